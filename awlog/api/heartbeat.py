"""`/buckets/<id>/heartbeat`: the hot path. Most heartbeats come by `fast_lane.py` and meet this one in `read_heartbeat`."""

from __future__ import annotations

import math
import re
from typing import Final

from aiohttp import web

from awlog.api import wire
from awlog.api.call import Call
from awlog.model.commands import SendHeartbeat
from awlog.model.errors import BadRequest
from awlog.model.times import Micros, duration_from_seconds, parse_timestamp, span_from_seconds

_FLOAT: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)

# Heartbeats repeat their data until it changes: nearly all are found here.
_payloads: Final = wire.PayloadCache()


async def heartbeat(call: Call) -> web.StreamResponse:
    """Extends the newest event if the data are equal and the gap is at most `pulsetime` seconds, else stores a new one."""
    body = await call.json_body()
    beat = read_heartbeat(body, call.params["bucket_id"], span_of_pulsetime(call.query.get("pulsetime")))
    return call.json(call.engine.render(await call.engine.submit(beat)))


def read_heartbeat(body: bytes, bucket_id: str, pulsetime_us: Micros) -> SendHeartbeat:
    """The command that a request means. Raises BadRequest."""
    beat = wire.decode(wire.HEARTBEAT, body)
    start_us = parse_timestamp(beat.timestamp)
    duration_us = duration_from_seconds(beat.duration, start_us)
    return SendHeartbeat(bucket_id, start_us, duration_us, _payloads.payload(beat.data), pulsetime_us)


def span_of_pulsetime(text: str | None) -> Micros:
    """Seconds as they stand in the query. Raises BadRequest."""
    if text is None:
        raise BadRequest("`pulsetime` is missing: the longest gap, in seconds, that still merges")
    if _FLOAT.fullmatch(text) is None or math.isinf(seconds := float(text)):
        raise BadRequest("`pulsetime` must be a finite number of seconds")
    return span_from_seconds(seconds)
