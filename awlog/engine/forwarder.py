"""Pushing to a hub: owns the process that does it, and what it said last."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from awlog.engine.clock import Clock
from awlog.engine.companion import Companion
from awlog.engine.forward_process import ForwardOptions, ForwardStatus
from awlog.engine.push import BucketPushed, Hub
from awlog.model.times import parse_timestamp

_log: Final = structlog.get_logger(part="forwarder")

FORWARD_INTERVAL_S: Final = 30.0
FORWARD_WARN_S: Final = 86_400.0


class ForwardPlan(Struct, frozen=True):
    """`token_file`: where the hub's token stands, read before each round. `warn_s`: for how long a change may be unsent
    until that is a warning.
    """

    hub: Hub
    token_file: Path | None = None
    interval_s: float = FORWARD_INTERVAL_S
    warn_s: float = FORWARD_WARN_S


class Behind(Struct, frozen=True):
    """How many buckets are not all sent, and the age of the oldest change that is not."""

    bucket_count: int = 0
    unsent_s: float = 0.0


class Forwarder:
    """Loop only."""

    def __init__(self, data_dir: Path, plan: ForwardPlan, clock: Clock) -> None:
        self._status = ForwardStatus(plan.hub.url)
        self._clock = clock
        self._warn_s = plan.warn_s
        token_file = None if plan.token_file is None else str(plan.token_file.absolute())
        options = ForwardOptions(str(data_dir), plan.hub, plan.interval_s, token_file)
        self._companion = Companion("awlog.engine.forward_process", msgspec.json.encode(options), self._take)

    async def close(self) -> None:
        """Pushes once more, if that is quick."""
        await self._companion.close()

    def status(self) -> ForwardStatus:
        """What the last round came to, with the ages of now."""
        return replace(self._status, buckets=[self._aged(each) for each in self._status.buckets])

    def behind(self) -> Behind:
        """O(buckets)."""
        waiting = [self._aged(each) for each in self._status.buckets if each.waiting]
        return Behind(len(waiting), max((each.unsent_s or 0.0 for each in waiting), default=0.0))

    def why_warned(self) -> str | None:
        """Names no bucket, and not what the hub said."""
        behind = self.behind()
        if behind.unsent_s < self._warn_s:
            return None
        return (
            f"Changes of {behind.bucket_count} buckets wait to be pushed to the hub, the oldest for "
            f"{behind.unsent_s / 3600:.1f} hours: `awlog push --status` says why."
        )

    def _aged(self, pushed: BucketPushed) -> BucketPushed:
        if pushed.unsent_since is None:
            return pushed
        age_us = self._clock() - parse_timestamp(pushed.unsent_since)
        return replace(pushed, unsent_s=max(0.0, age_us / 1e6))  # below 0 if the clock was set back

    def _take(self, line: bytes) -> None:
        status = msgspec.json.decode(line, type=ForwardStatus)
        if status.error is not None and status.error != self._status.error:
            # Why it failed names buckets: that is for `awlog push --status`, not for the log.
            _log.warning("pushing to the hub failed; it is tried again, and `awlog push --status` says why")
        elif status.error is None and self._status.error is not None:
            _log.info("pushing to the hub works again")
        self._status = status
