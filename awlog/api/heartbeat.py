"""`/buckets/<id>/heartbeat`: the hot path."""

from __future__ import annotations

import math
import re
from typing import Final

from aiohttp import web

from awlog.api import wire
from awlog.api.call import Call
from awlog.model.commands import SendHeartbeat
from awlog.model.errors import BadRequest
from awlog.model.times import Micros, span_from_seconds

_FLOAT: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)

# Heartbeats repeat their data until it changes: nearly all are found here.
_payloads: Final = wire.PayloadCache()


async def heartbeat(call: Call) -> web.StreamResponse:
    """Extends the newest event if the data are equal and the gap is at most `pulsetime` seconds, else stores a new one."""
    body = wire.decode(wire.HEARTBEAT, await call.json_body())
    event = wire.new_event(body, _payloads)
    pulsetime_us = _pulsetime_us(call.query.get("pulsetime"))
    bucket_id = call.params["bucket_id"]
    beat = SendHeartbeat(bucket_id, event.start_us, event.duration_us, event.payload, pulsetime_us)
    return call.json(call.engine.render(await call.engine.submit(beat)))


def _pulsetime_us(text: str | None) -> Micros:
    if text is None:
        raise BadRequest("`pulsetime` is missing: the longest gap, in seconds, that still merges")
    if _FLOAT.fullmatch(text) is None or math.isinf(seconds := float(text)):
        raise BadRequest("`pulsetime` must be a finite number of seconds")
    return span_from_seconds(seconds)
