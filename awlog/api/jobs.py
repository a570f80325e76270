"""`/jobs` and `/jobs/<id>`: long work on the data, its progress, and how to stop it."""

from __future__ import annotations

from aiohttp import web
from msgspec import Struct

from awlog.api import wire
from awlog.api.call import Call
from awlog.api.describe import Operation, described
from awlog.engine.jobs import Job, JobState
from awlog.model.access import Scope
from awlog.model.errors import NoSuchJob, NotFound
from awlog.model.times import Micros, format_timestamp

_ID_DIGITS_MAX = 15


class JobBody(Struct):
    """One piece of work: `done` of `total` steps, and what it has changed so far. `total` may still grow."""

    id: int
    kind: str
    state: JobState
    created: str
    started: str | None
    ended: str | None
    done: int
    total: int
    counts: dict[str, int]
    error: str | None


def job_body(job: Job) -> JobBody:
    return JobBody(
        job.id,
        job.kind,
        job.state,
        format_timestamp(job.created_us),
        _shown(job.started_us),
        _shown(job.ended_us),
        job.done,
        job.total,
        job.counts,
        job.error,
    )


def _shown(instant_us: Micros | None) -> str | None:
    return None if instant_us is None else format_timestamp(instant_us)


@described(Operation(list[JobBody]))
async def list_jobs(call: Call) -> web.StreamResponse:
    """The jobs of this server since its start, newest first."""
    return call.json(wire.encode([job_body(job) for job in call.engine.jobs.all()]))


@described(Operation(JobBody))
async def get_job(call: Call) -> web.StreamResponse:
    """One job: whether it waits, runs or has ended, and how far it is. For admins, and for the token that started it."""
    job = call.engine.jobs.get(_id(call))
    is_own = job.started_by is not None and job.started_by == call.access.token_id
    if not (is_own or call.access.may(Scope.ADMIN)):
        raise NoSuchJob(job.id)
    return call.json(wire.encode(job_body(job)))


@described(Operation(JobBody))
async def cancel_job(call: Call) -> web.StreamResponse:
    """Stops a job that waits or runs; what is done of it stays done."""
    return call.json(wire.encode(job_body(call.engine.jobs.cancel(_id(call)))))


def _id(call: Call) -> int:
    text = call.params["job_id"]
    if not (text.isascii() and text.isdigit() and len(text) <= _ID_DIGITS_MAX):
        raise NotFound("A job's id is an integer")
    return int(text)
