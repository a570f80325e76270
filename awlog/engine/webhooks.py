"""Webhooks: owns the process that tells them, and the log of deliveries."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from awlog.engine.companion import Companion
from awlog.engine.webhook import Webhook
from awlog.engine.webhook_process import Delivery, WebhookOptions, WebhookStatus

WEBHOOK_INTERVAL_S: Final = 2.0


class WebhookPlan(Struct, frozen=True):
    hooks: list[Webhook]
    interval_s: float = WEBHOOK_INTERVAL_S


class Webhooks:
    """Loop only."""

    def __init__(self, data_dir: Path, plan: WebhookPlan) -> None:
        self._status = WebhookStatus()
        options = WebhookOptions(str(data_dir), plan.hooks, plan.interval_s)
        self._companion = Companion("awlog.engine.webhook_process", msgspec.json.encode(options), self._take)

    def deliveries(self) -> list[Delivery]:
        """The newest attempts, newest first; since the process began."""
        return self._status.deliveries[::-1]

    async def close(self) -> None:
        """Tells once more, if that is quick."""
        await self._companion.close()

    def _take(self, line: bytes) -> None:
        status = msgspec.json.decode(line, type=WebhookStatus)
        if status.deliveries:
            self._status = status
