"""`/buckets/<id>/delete` and `/forget`: many events are deleted, or lose the time that is to be forgotten."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from awlog.api import wire
from awlog.api.call import Call
from awlog.api.describe import Body, Operation, described
from awlog.api.jobs import JobBody, job_body
from awlog.model.access import Scope
from awlog.model.edits import Edited, Erase, FieldMatch
from awlog.model.errors import BadRequest, MirroredBucket
from awlog.model.event import BucketNumber
from awlog.model.payload import canonical_value
from awlog.model.rules import check_pattern_length
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros, parse_timestamp

_MINUTE_US: Final = 60_000_000


class FilterBody(Struct):
    """Events whose data hold a value at `field`, a path with dots: equal to `equals`, or a text in which `pattern` is
    found. What it finds tells what is recorded: a token needs the scope `read` in the bucket too.
    """

    field: str
    equals: Annotated[Raw | UnsetType, Meta(description="Any JSON value")] = UNSET
    pattern: str | None = None


class DeleteBody(Struct):
    start: wire.Timestamp | None = None
    end: wire.Timestamp | None = None
    filter: FilterBody | None = None
    dry_run: bool = False


class ForgetBody(Struct):
    minutes: Annotated[float, Meta(gt=0, le=1e9)]
    bucket: str | None = None
    dry_run: bool = False


class ErasedBody(Struct):
    """`cut` events keep the part that is outside the range. `job`: too much for one step, it goes on in a job."""

    deleted: int
    cut: int
    dry_run: bool
    buckets: dict[str, dict[str, int]]
    job: JobBody | None = None


_DELETE: Final = msgspec.json.Decoder(DeleteBody)
_FORGET: Final = msgspec.json.Decoder(ForgetBody)
_IN_A_JOB: Final = {202: "Too much for one step: a job does it"}


@described(
    Operation(
        ErasedBody,
        bodies=(
            Body(
                DeleteBody,
                {
                    "start": "2026-01-01T00:00:00+00:00",
                    "end": "2026-01-02T00:00:00+00:00",
                    "filter": {"field": "app", "equals": "vim"},
                    "dry_run": True,
                },
            ),
        ),
        others=_IN_A_JOB,
    )
)
async def delete_events(call: Call) -> web.StreamResponse:
    """Erases a range of time in a bucket, or what a filter finds in it; `dry_run` only counts."""
    bucket_id = call.params["bucket_id"]
    body = wire.decode(_DELETE, await call.json_body())
    if body.filter is not None:
        call.access.require(Scope.READ, bucket_id)
    if body.start is None and body.end is None and body.filter is None:
        raise BadRequest("Name a `start`, an `end` or a `filter`; DELETE on the bucket deletes all of it")
    edit = Erase(
        TIME_MIN_US if body.start is None else parse_timestamp(body.start),
        TIME_MAX_US if body.end is None else parse_timestamp(body.end),
        None if body.filter is None else _match(body.filter),
    )
    if edit.start_us > edit.end_us:
        raise BadRequest("`start` is after `end`")
    return await _erase(call, "delete", edit, [_own(call, bucket_id)], dry_run=body.dry_run)


@described(
    Operation(
        ErasedBody,
        bodies=(Body(ForgetBody, {"minutes": 10, "dry_run": True}),),
        others={**_IN_A_JOB, 404: "There is no bucket of this name"},
    )
)
async def forget(call: Call) -> web.StreamResponse:
    """Erases the last so many minutes, and what lies in the future, in one bucket or in all; `dry_run` only counts."""
    body = wire.decode(_FORGET, await call.json_body())
    if body.bucket is None:
        call.access.require(Scope.ADMIN)
        numbers = [view.meta.number for view in call.engine.reads.buckets() if view.meta.origin is None]
    else:
        call.access.require(Scope.WRITE, body.bucket)
        numbers = [_own(call, body.bucket)]
    start_us = max(TIME_MIN_US, Micros(call.engine.clock() - round(body.minutes * _MINUTE_US)))
    return await _erase(call, "forget", Erase(start_us, TIME_MAX_US), numbers, dry_run=body.dry_run)


def _own(call: Call, bucket_id: str) -> BucketNumber:
    """Raises NoSuchBucket, and MirroredBucket for one that a device pushes here: its time is erased there."""
    meta = call.engine.reads.bucket(bucket_id).meta
    if meta.origin is not None:
        raise MirroredBucket(bucket_id, meta.origin.device_id)
    return meta.number


def _match(body: FilterBody) -> FieldMatch:
    if body.pattern is not None:
        check_pattern_length(body.pattern)
    equals = None if body.equals is UNSET else canonical_value(bytes(body.equals))
    return FieldMatch(body.field, equals, body.pattern)


async def _erase(
    call: Call, kind: str, edit: Erase, numbers: list[BucketNumber], *, dry_run: bool
) -> web.StreamResponse:
    engine = call.engine
    if dry_run:
        previews = await engine.editor.preview(edit, numbers)
        counted = {each.bucket_id: Edited(each.deleted, each.changed) for each in previews}
        return call.json(wire.encode(_told({k: v for k, v in counted.items() if v.deleted or v.changed}, dry_run=True)))
    erased = await engine.editor.at_once(edit, numbers)
    if erased is not None:
        return call.json(wire.encode(_told(erased, dry_run=False)))
    work = partial(engine.editor.in_steps, edit, numbers)
    job = engine.jobs.start(kind, work, started_by=call.access.token_id)
    body = _told({}, dry_run=False)
    body.job = job_body(job)
    return call.json(wire.encode(body), status=202)


def _told(erased: dict[str, Edited], *, dry_run: bool) -> ErasedBody:
    total = sum(erased.values(), Edited())
    buckets: dict[str, Any] = {name: {"deleted": each.deleted, "cut": each.changed} for name, each in erased.items()}
    return ErasedBody(total.deleted, total.changed, dry_run, buckets)
