"""`/status`, `/refusals`, `/sizes` and the timelines: what a page needs to show what is recorded, and whether it is."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from awlog.api import wire
from awlog.api.call import Call
from awlog.api.describe import Operation, Parameter, described
from awlog.api.events import INTEGER, range_end
from awlog.api.refusals import RefusedRequest
from awlog.engine.reader_messages import TimelineRequest
from awlog.engine.status import RECENT_US, BucketStatus
from awlog.model.access import Scope
from awlog.model.errors import BadRequest
from awlog.model.event import Event, event_id
from awlog.model.picture import ALL_BINS_MAX, BINS_MAX, EVENTS_MAX
from awlog.model.times import Micros, format_timestamp, seconds_from_us

_BINS: Final = 600
# Written in one turn of the loop, 5 µs each; others get theirs in between.
_STEP_BUCKETS: Final = 100


class TailBody(Struct):
    """The newest event of a bucket, called by its name; `GET …/events/<id>` has all of it."""

    id: int
    timestamp: str
    duration: float
    name: str
    detail: str


class BucketStatusBody(Struct):
    """`usual_silence`: nine in ten of the latest gaps were no longer, in seconds; null where events are too few."""

    id: str
    type: str
    client: str
    hostname: str
    events: int
    start: str | None
    tail: TailBody | None
    events_per_minute: float
    usual_silence: float | None


class HeartbeatsBody(Struct):
    """Since the start, by what became of them: they continued an event, began one, or it had reached that far already."""

    merged: int
    inserted: int
    unchanged: int


class WaitsBody(Struct):
    """Within so many seconds half, and 99 of 100, of the writes of the last five minutes were durable; null without any."""

    p50: float | None
    p99: float | None


class CommitsBody(Struct):
    """Of the newest commit: when it was on the disk, and how many seconds that took. Null before the first one."""

    count: int
    at: str | None
    seconds: float | None
    is_writable: bool


class DiskBody(Struct):
    file_bytes: int
    free_bytes: int


class StatusBody(Struct):
    """Counted since the start: `acknowledged`, writes that were answered, and how many in the `busiest_second`; `refused`,
    requests by the type of the error. What is of the whole server is null for a token that may read some buckets only.
    """

    now: str
    uptime: float
    acknowledged: int | None
    busiest_second: int | None
    waits: WaitsBody | None
    heartbeats: HeartbeatsBody | None
    refused: dict[str, int] | None
    events: int
    commits: CommitsBody | None
    disk: DiskBody | None
    buckets: list[BucketStatusBody]


class BarsBody(Struct):
    """Events by their start, uncut. `offset_s` counts from the start of the range; `name` is a place in `names`."""

    id: list[int]
    offset_s: list[float]
    duration_s: list[float]
    name: list[int]


class BinsBody(Struct):
    """Equal parts of the range: seconds covered by events, events that begin there, and the name that fills most, or -1."""

    covered_s: list[float]
    count: list[int]
    name: list[int]


class PictureBody(Struct):
    """What is drawn of a bucket: neither bars nor bins where there is no event."""

    events: int
    names: list[str]
    bars: BarsBody | UnsetType = UNSET
    bins: BinsBody | UnsetType = UNSET


class TimelineBody(Struct):
    """A range, and a picture of it for each bucket."""

    start: str
    end: str
    bin_count: int
    buckets: dict[str, PictureBody]


_BinCount = Annotated[int, Meta(ge=1, le=BINS_MAX)]
_RANGE: Final = (
    Parameter("start", wire.Timestamp, "Where the picture begins", True, "2026-01-01T00:00:00+00:00"),
    Parameter("end", wire.Timestamp, "Where it ends", True, "2026-01-02T00:00:00+00:00"),
    Parameter("bins", _BinCount, "Equal parts of the range; 600 if it is left out", example=24),
)


@described(Operation(StatusBody))
async def get_status(call: Call) -> web.StreamResponse:
    """Is it recording? Each bucket's newest event, and how the server is."""
    engine = call.engine
    events, buckets = 0, []
    for at, each in enumerate(await engine.status.of_buckets(), 1):
        if call.access.may(Scope.READ, each.meta.id):
            events += each.event_count
            buckets.append(_bucket_body(each))
        if at % _STEP_BUCKETS == 0:
            await asyncio.sleep(0)
    server = engine.status.of_server()
    now, uptime_s = format_timestamp(engine.clock()), round(server.uptime_s, 3)
    body = StatusBody(now, uptime_s, None, None, None, None, None, events, None, None, buckets)
    if call.access.may(Scope.READ):
        body.acknowledged = server.acknowledged_count
        body.busiest_second = server.busiest_second_count
        body.waits = WaitsBody(server.wait_p50_s, server.wait_p99_s)
        body.heartbeats = HeartbeatsBody(server.merged_count, server.inserted_count, server.unchanged_count)
        body.refused = call.counts.refused
        body.commits = CommitsBody(
            server.commit_count,
            None if server.committed_us is None else format_timestamp(server.committed_us),
            server.commit_s,
            server.is_writable,
        )
        body.disk = DiskBody(server.file_bytes, server.free_bytes)
    return await call.long_json(wire.encode(body))


@described(Operation(list[RefusedRequest]))
async def get_refusals(call: Call) -> web.StreamResponse:
    """What was refused lately, newest first, why, and who sent it; equal ones are one entry, `last` is their newest."""
    return call.json(wire.encode(call.counts.refusals.newest_first(call.access)))


@described(Operation(dict[str, int]))
async def get_sizes(call: Call) -> web.StreamResponse:
    """Bytes on the disk by bucket."""
    sizes = await call.engine.status.sizes_bytes()
    return await call.long_json(
        wire.encode({id_: size for id_, size in sizes.items() if call.access.may(Scope.READ, id_)})
    )


@described(Operation(TimelineBody, query=_RANGE))
async def get_timeline(call: Call) -> web.StreamResponse:
    """What fills a range of a bucket: its events if there are few, else so many `bins`. Under 300 KB."""
    start_us, end_us = _range(call)
    bin_count = _bin_count(call, BINS_MAX)
    ids = [call.params["bucket_id"]]
    parts = await call.engine.readers.timeline(TimelineRequest(ids, start_us, end_us, bin_count, EVENTS_MAX))
    return await _answer(call, start_us, end_us, bin_count, parts)


@described(Operation(TimelineBody, query=_RANGE))
async def get_timelines(call: Call) -> web.StreamResponse:
    """What fills a range of every bucket, in `bins`. Under 300 KB: many buckets get fewer bins."""
    start_us, end_us = _range(call)
    ids = [view.meta.id for view in call.engine.reads.buckets() if call.access.may(Scope.READ, view.meta.id)]
    bin_count = min(_bin_count(call, BINS_MAX), max(1, ALL_BINS_MAX // max(1, len(ids))))
    parts = await call.engine.readers.timeline(TimelineRequest(ids, start_us, end_us, bin_count, 0))
    return await _answer(call, start_us, end_us, bin_count, parts)


async def _answer(
    call: Call, start_us: Micros, end_us: Micros, bin_count: int, parts: list[bytes]
) -> web.StreamResponse:
    start, end = format_timestamp(start_us).encode(), format_timestamp(end_us).encode()
    opening = b'{"start":"%b","end":"%b","bin_count":%d,"buckets":' % (start, end, bin_count)
    return await call.long_json(b"%b%b}" % (opening, b"".join(parts)))


def _range(call: Call) -> tuple[Micros, Micros]:
    if "start" not in call.query or "end" not in call.query:
        raise BadRequest("A timeline needs `start` and `end`")
    start_us, end_us = range_end(call, "start"), range_end(call, "end")
    if start_us >= end_us:
        raise BadRequest("`start` must be before `end`")
    return start_us, end_us


def _bin_count(call: Call, count_max: int) -> int:
    text = call.query.get("bins", str(_BINS))
    if INTEGER.fullmatch(text) is None or not 1 <= int(text) <= count_max:
        raise BadRequest(f"`bins` must be an integer from 1 to {count_max}")
    return int(text)


def _bucket_body(status: BucketStatus) -> BucketStatusBody:
    meta, silence_us = status.meta, status.usual_silence_us
    return BucketStatusBody(
        meta.id,
        meta.type,
        meta.client,
        meta.hostname,
        status.event_count,
        None if status.start_us is None else format_timestamp(status.start_us),
        None if status.tail is None else _tail_body(status, status.tail),
        status.recent_count * 60e6 / RECENT_US,
        None if silence_us is None else seconds_from_us(silence_us),
    )


def _tail_body(status: BucketStatus, tail: Event) -> TailBody:
    assert status.label is not None, "a tail record has a label"
    return TailBody(
        event_id(status.meta.number, tail.seq),
        format_timestamp(tail.start_us),
        seconds_from_us(tail.duration_us),
        status.label.name,
        status.label.detail,
    )
