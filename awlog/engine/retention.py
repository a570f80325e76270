"""Retention on a server: the rules of the setting `retention`, obeyed every so often and on demand, by a job."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from msgspec import Struct, field

from awlog.engine.clock import Clock, Doubt
from awlog.engine.editor import BucketPreview, Editor
from awlog.engine.jobs import Job, Jobs
from awlog.log.retention import RetentionAt, retention_rules
from awlog.model.errors import AwlogError
from awlog.model.rules import RetentionRule
from awlog.model.times import Micros

_log: Final = structlog.get_logger(part="retention")

KIND: Final = "retention"
RETENTION_INTERVAL_S: Final = 3600.0
_CLOCK_JUMPED: Final = (
    "the clock has jumped ahead, so nobody knows how old events are: retention by itself waits for a day; set the clock "
    "right, or run it by hand"
)


class LastRun(Struct):
    """The run of this server that ended last, or is under way. `removed`: events by bucket id, where there were any."""

    started_us: Micros
    ended_us: Micros | None = None
    removed: dict[str, int] = field(default_factory=dict)
    error: str | None = None


class Retention:
    """Loop only. `setting` gives the rules' JSON text."""

    def __init__(
        self, editor: Editor, jobs: Jobs, clock: Clock, setting: Callable[[], bytes | None], doubt: Doubt
    ) -> None:
        self._editor = editor
        self._jobs = jobs
        self._clock = clock
        self._setting = setting
        self._doubt = doubt
        self._scheduled: asyncio.Task[None] | None = None
        self.last_run: LastRun | None = None

    def every(self, interval_s: float) -> None:
        """Obeys the rules from now on at this interval, if there are any."""
        self._scheduled = asyncio.get_running_loop().create_task(self._run_every(interval_s))

    async def close(self) -> None:
        if self._scheduled is not None:
            self._scheduled.cancel()
            await asyncio.gather(self._scheduled, return_exceptions=True)

    def start(self) -> Job:
        """Obeys the rules now. Raises Unavailable if too many jobs wait."""
        return self._jobs.start(KIND, self._obey)

    def rules(self) -> list[RetentionRule]:
        """Those of the setting."""
        return retention_rules(self._setting())

    async def preview(self, text: bytes | None) -> list[BucketPreview]:
        """What the rules of this JSON text, or else those of the setting, would remove.

        Raises BadRequest, DataDamaged, Unavailable.
        """
        rules = self.rules() if text is None else retention_rules(text, are_new=True)
        return await self._editor.preview(RetentionAt(rules, self._clock()), None)

    async def _obey(self, job: Job) -> None:
        run = self.last_run = LastRun(self._clock())
        try:
            edited = await self._editor.in_steps(RetentionAt(self.rules(), self._clock()), None, job)
            run.removed = {bucket_id: each.deleted for bucket_id, each in edited.items()}
        except AwlogError as error:
            run.error = str(error)
            raise
        finally:
            run.ended_us = self._clock()

    async def _run_every(self, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            is_doubtful = self._doubt.holds()
            if is_doubtful and any(rule.max_age_days is not None for rule in self.rules()):
                self._put_off()
            elif self.rules():
                try:
                    await self._jobs.ended(self.start())
                except AwlogError as error:  # too many jobs wait
                    _log.warning("retention was put off", error=str(error))

    def _put_off(self) -> None:
        now_us = self._clock()
        _log.warning(_CLOCK_JUMPED)
        self.last_run = LastRun(now_us, now_us, error=_CLOCK_JUMPED)
