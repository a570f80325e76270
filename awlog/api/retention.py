"""`/retention`, `/retention/preview` and `/retention/run`: how long events are kept."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Raw, Struct, field

from awlog.api import wire
from awlog.api.call import Call
from awlog.api.describe import Body, Operation, described
from awlog.api.jobs import JobBody, job_body
from awlog.model.rules import RetentionRule
from awlog.model.times import format_timestamp


class RetentionPreviewBody(Struct):
    """`rules` in the place of those that are stored."""

    rules: Annotated[Raw, Meta(extra_json_schema={"type": ["array", "null"]})] = field(default_factory=Raw)


class WouldRemoveBody(Struct):
    """Events, in all and by bucket."""

    would_remove: int
    buckets: dict[str, int]


class RunBody(Struct):
    pass


class LastRunBody(Struct):
    """`removed`: events by bucket. `seconds` and `ended` are null while it runs."""

    started: str
    ended: str | None
    seconds: float | None
    removed: dict[str, int]
    error: str | None


class RetentionBody(Struct):
    """The stored rules, and the last run of this server."""

    rules: list[RetentionRule]
    last_run: LastRunBody | None


_PREVIEW: Final = msgspec.json.Decoder(RetentionPreviewBody)
_RUN: Final = msgspec.json.Decoder(RunBody)
_EXAMPLE: Final = [{"bucket_prefix": "aw-watcher-web", "max_age_days": 365}]


@described(Operation(RetentionBody))
async def get_retention(call: Call) -> web.StreamResponse:
    """The rules of retention, and what their last run removed."""
    run = call.engine.retention.last_run
    shown = None
    if run is not None:
        ended = None if run.ended_us is None else format_timestamp(run.ended_us)
        seconds = None if run.ended_us is None else (run.ended_us - run.started_us) / 1e6
        shown = LastRunBody(format_timestamp(run.started_us), ended, seconds, run.removed, run.error)
    return call.json(wire.encode(RetentionBody(call.engine.retention.rules(), shown)))


@described(Operation(WouldRemoveBody, bodies=(Body(RetentionPreviewBody, {"rules": _EXAMPLE}),)))
async def preview_retention(call: Call) -> web.StreamResponse:
    """What the rules of retention, the stored ones or those given, would remove now; changes nothing."""
    body = wire.decode(_PREVIEW, await call.json_body())
    previews = await call.engine.retention.preview(wire.value_or_none(body.rules))
    buckets = {each.bucket_id: each.deleted for each in previews if each.deleted}
    return call.json(wire.encode(WouldRemoveBody(sum(buckets.values()), buckets)))


@described(Operation(JobBody, bodies=(Body(RunBody, {}),), status=202))
async def run_retention(call: Call) -> web.StreamResponse:
    """Starts the job that removes what the stored rules of retention do not keep."""
    wire.decode(_RUN, await call.json_body())
    return call.json(wire.encode(job_body(call.engine.retention.start())), status=202)
