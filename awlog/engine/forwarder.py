"""Pushing to a hub: owns the process that does it, and what it said last."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from awlog.engine.companion import Companion
from awlog.engine.forward_process import ForwardOptions, ForwardStatus
from awlog.engine.push import Hub

_log: Final = structlog.get_logger(part="forwarder")

FORWARD_INTERVAL_S: Final = 30.0


class ForwardPlan(Struct, frozen=True):
    hub: Hub
    interval_s: float = FORWARD_INTERVAL_S


class Forwarder:
    """Loop only."""

    def __init__(self, data_dir: Path, plan: ForwardPlan) -> None:
        self.status = ForwardStatus(plan.hub.url)
        options = ForwardOptions(str(data_dir), plan.hub, plan.interval_s)
        self._companion = Companion("awlog.engine.forward_process", msgspec.json.encode(options), self._take)

    async def close(self) -> None:
        """Pushes once more, if that is quick."""
        await self._companion.close()

    def _take(self, line: bytes) -> None:
        status = msgspec.json.decode(line, type=ForwardStatus)
        if status.error is not None and status.error != self.status.error:
            # Why it failed names buckets: that is for `awlog push --status`, not for the log.
            _log.warning("pushing to the hub failed; it is tried again, and `awlog push --status` says why")
        elif status.error is None and self.status.error is not None:
            _log.info("pushing to the hub works again")
        self.status = status
