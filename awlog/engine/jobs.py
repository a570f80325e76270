"""Long work on the data, in steps: one job at a time, listed, with progress, to be cancelled at any moment.

A job is harmless to run again, so what a crash or a stop cut off is simply started anew; nothing of it is kept on the disk.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, Final

import structlog
from msgspec import Struct, field

from awlog.engine.clock import Clock
from awlog.model.errors import AwlogError, NoSuchJob, Unavailable
from awlog.model.times import Micros

_log: Final = structlog.get_logger(part="jobs")

JOBS_WAITING_MAX: Final = 16
# Jobs that have ended and can be asked about.
_ENDED_KEPT: Final = 100


class JobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Job(Struct):
    """One piece of work. `done` of `total` steps; `counts` grow as it goes on. `started_by`: the id of a token, or None."""

    id: int
    kind: str
    created_us: Micros
    state: JobState = JobState.WAITING
    started_us: Micros | None = None
    ended_us: Micros | None = None
    done: int = 0
    total: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    error: str | None = None
    started_by: str | None = None

    @property
    def has_ended(self) -> bool:
        return self.state not in (JobState.WAITING, JobState.RUNNING)


Work = Callable[[Job], Awaitable[Any]]


class Jobs:
    """Owns one task, which runs the jobs in the order they came. Loop only."""

    def __init__(self, clock: Clock, *, waiting_max: int = JOBS_WAITING_MAX) -> None:
        self._clock = clock
        self._waiting_max = waiting_max
        self._jobs: OrderedDict[int, Job] = OrderedDict()
        self._waiting: deque[tuple[Job, Work]] = deque()
        self._ended: dict[int, asyncio.Event] = {}
        self._running: tuple[Job, asyncio.Task[Any]] | None = None
        self._next_id = 1
        self._task: asyncio.Task[None] | None = None

    def start(self, kind: str, work: Work, *, started_by: str | None = None) -> Job:
        """Queues the work. Raises Unavailable if too much waits already."""
        if len(self._waiting) >= self._waiting_max:
            raise Unavailable(
                f"{self._waiting_max} jobs wait already; try again when one has ended, "
                "or raise the setting `max_jobs_waiting`"
            )
        job = Job(self._next_id, kind, self._clock(), started_by=started_by)
        self._next_id += 1
        self._jobs[job.id] = job
        self._ended[job.id] = asyncio.Event()
        self._waiting.append((job, work))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        return job

    def all(self) -> list[Job]:
        """Newest first."""
        return list(reversed(self._jobs.values()))

    def get(self, job_id: int) -> Job:
        """Raises NoSuchJob."""
        job = self._jobs.get(job_id)
        if job is None:
            raise NoSuchJob(job_id)
        return job

    async def ended(self, job: Job) -> None:
        """Returns when the job has ended, however it did."""
        event = self._ended.get(job.id)
        if event is not None:
            await event.wait()

    def cancel(self, job_id: int) -> Job:
        """What is done of it stays done. Raises NoSuchJob."""
        job = self.get(job_id)
        if self._running is not None and self._running[0] is job:
            self._running[1].cancel()
        for entry in [entry for entry in self._waiting if entry[0] is job]:
            self._waiting.remove(entry)
            self._end(job, JobState.CANCELLED)
        return job

    async def close(self) -> None:
        """Ends the running job in the middle."""
        self._waiting.clear()
        if self._running is not None:
            self._running[1].cancel()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._waiting:
            job, work = self._waiting.popleft()
            job.state, job.started_us = JobState.RUNNING, self._clock()
            task = asyncio.get_running_loop().create_task(_as_coroutine(work, job))
            self._running = job, task
            state = JobState.DONE
            try:
                await task
            except asyncio.CancelledError:  # by `cancel` or `close`: nobody cancels this task itself
                state = JobState.CANCELLED
            except AwlogError as error:
                state, job.error = JobState.FAILED, str(error)
                _log.warning("a job failed", kind=job.kind, error=str(error))
            except Exception:  # noqa: BLE001 - one job's trouble must not end those behind it
                state, job.error = JobState.FAILED, "awlog made a mistake in this job; its log says more"
                _log.exception("a job failed", kind=job.kind)
            self._running = None
            self._end(job, state)
        self._task = None

    def _end(self, job: Job, state: JobState) -> None:
        job.state, job.ended_us = state, self._clock()
        self._ended.pop(job.id).set()
        ended = [each.id for each in self._jobs.values() if each.has_ended]
        for job_id in ended[: max(0, len(ended) - _ENDED_KEPT)]:
            del self._jobs[job_id]


async def _as_coroutine(work: Work, job: Job) -> Any:
    return await work(job)
