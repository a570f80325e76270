"""`/buckets/<id>/heartbeat`: the hot path; most heartbeats come by `fast_lane.py` and meet this one in `read_heartbeat`.

`/buckets/<id>/heartbeats` takes many at once.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final

from aiohttp import web
from msgspec import Raw

from awlog.api import wire
from awlog.api.answer_bodies import StoredEvent, TakenBody
from awlog.api.call import LARGE_BODY_BYTES, Call
from awlog.api.describe import Body, Operation, Parameter, described
from awlog.api.event_bodies import (
    BATCHED_HEARTBEAT,
    HEARTBEAT,
    HEARTBEAT_LIST,
    BatchedHeartbeatBody,
    PayloadCache,
    UnnumberedEventBody,
    new_event,
)
from awlog.api.intake import REFUSED_NAMED_MAX, refused_body
from awlog.model.access import Scope
from awlog.model.commands import SendHeartbeat, SendHeartbeats
from awlog.model.errors import BadRequest, Refused
from awlog.model.numbers import decimal
from awlog.model.times import Micros, duration_from_seconds, parse_timestamp, span_from_seconds

# Heartbeats repeat their data until it changes: nearly all are found here.
_payloads: Final = PayloadCache.lasting()

_EXAMPLE: Final = {"timestamp": "2026-01-01T12:00:00+00:00", "duration": 60, "data": {"app": "vim", "title": "notes"}}


@described(
    Operation(
        StoredEvent,
        query=(Parameter("pulsetime", float, "Seconds", required=True, example=60),),
        bodies=(Body(UnnumberedEventBody, _EXAMPLE),),
    )
)
async def heartbeat(call: Call) -> web.StreamResponse:
    """Extends the newest event if the data are equal and the gap is at most `pulsetime` seconds, else stores a new one."""
    body = await call.json_body()
    pulsetime_us = span_of_pulsetime(call.query.get("pulsetime"))
    if len(body) < LARGE_BODY_BYTES:
        beat = read_heartbeat(body, call.params["bucket_id"], pulsetime_us)
    else:
        beat = await asyncio.to_thread(read_heartbeat, body, call.params["bucket_id"], pulsetime_us)
    stored = await call.engine.submit(beat)
    may_read = call.access.may(Scope.READ, beat.bucket_id)
    return call.json(call.engine.render(stored if may_read else stored.as_sent()))


@described(
    Operation(
        TakenBody,
        query=(Parameter("pulsetime", float, "Seconds, for those that have none of their own", example=60),),
        bodies=(Body(list[BatchedHeartbeatBody], [_EXAMPLE, {**_EXAMPLE, "pulsetime": 5}]),),
    )
)
async def heartbeats(call: Call) -> web.StreamResponse:
    """A list of heartbeats, each as if it came alone after the one before; one that is refused stops no other."""
    given = call.query.get("pulsetime")
    pulsetime_us = None if given is None else span_of_pulsetime(given)
    bucket_id = call.params["bucket_id"]
    raw = await call.json_body()
    if len(raw) < LARGE_BODY_BYTES:
        beats = _decode_list(raw, bucket_id, pulsetime_us, _payloads)
    else:
        beats = await asyncio.to_thread(_decode_list, raw, bucket_id, pulsetime_us, PayloadCache())
    call.engine.reads.bucket(bucket_id)
    taken = await call.engine.submit_heartbeats(SendHeartbeats(beats))
    named = [refused_body(why, index=at) for at, why in taken.refused[:REFUSED_NAMED_MAX]]
    body = TakenBody(taken.end, taken.merged, taken.inserted, 0, len(taken.refused), named, dropped=taken.dropped)
    return call.json(wire.encode(body))


def _decode_list(
    raw: bytes, bucket_id: str, pulsetime_us: Micros | None, payloads: PayloadCache
) -> list[SendHeartbeat | Refused | None]:
    """One entry for each element. Raises BadRequest if it is no list."""
    elements: list[Raw] | list[BatchedHeartbeatBody]
    try:
        elements = wire.decode(HEARTBEAT_LIST, raw)
    except BadRequest:
        elements = wire.decode(wire.RAW_LIST, raw)
    beats: list[SendHeartbeat | Refused | None] = []
    for element in elements:
        try:
            body = wire.decode(BATCHED_HEARTBEAT, bytes(element)) if isinstance(element, Raw) else element
            event = new_event(body, payloads)
            own_us = pulsetime_us if body.pulsetime is None else span_from_seconds(body.pulsetime)
            if own_us is None:
                raise BadRequest("`pulsetime` is missing, in the heartbeat and in the query")
            beats.append(SendHeartbeat(bucket_id, event.start_us, event.duration_us, event.payload, own_us))
        except BadRequest as refusal:
            beats.append(refusal.with_traceback(None))
    return beats


def read_heartbeat(body: bytes, bucket_id: str, pulsetime_us: Micros) -> SendHeartbeat:
    """The command that a request means. Raises BadRequest."""
    beat = wire.decode(HEARTBEAT, body)
    start_us = parse_timestamp(beat.timestamp)
    duration_us = duration_from_seconds(beat.duration, start_us)
    return SendHeartbeat(bucket_id, start_us, duration_us, _payloads.payload(beat.data), pulsetime_us)


def span_of_pulsetime(text: str | None) -> Micros:
    """Seconds as they stand in the query. Raises BadRequest."""
    if text is None:
        raise BadRequest("`pulsetime` is missing: the longest gap, in seconds, that still merges")
    seconds = decimal(text)
    if seconds is None or math.isinf(seconds):
        raise BadRequest("`pulsetime` must be a finite number of seconds")
    return span_from_seconds(seconds)
