"""`/metrics`, `/healthz` and `/readyz`: for those who watch the server. Outside `/api/`, where such tools look."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web
from msgspec import Struct

from awlog.api.call import Call
from awlog.api.counts import EdgeCounts
from awlog.api.wire import encode
from awlog.engine.figures import EngineFigures

_TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


async def metrics(call: Call) -> web.StreamResponse:
    """What Prometheus takes: counters since the start, and gauges of this moment."""
    figures = await call.engine.status.figures()
    text = await asyncio.to_thread(_rendered, figures, call.counts)
    return web.Response(body=text, headers={"Content-Type": _TEXT_TYPE, "Cache-Control": "no-store"})


def _rendered(figures: EngineFigures, edge: EdgeCounts) -> bytes:
    from awlog.api.exposition import exposition  # only now: not every start needs it

    return exposition(figures, edge)


class _Readiness(Struct):
    """`warnings`: the checks that found something, and are no reason not to be ready."""

    ready: bool
    checks: dict[str, str]
    warnings: list[str]


async def health(call: Call) -> web.StreamResponse:
    """Is the server alive? Its loop is, if this is answered."""
    return call.json(b'{"alive":true}')


async def readiness(call: Call) -> web.StreamResponse:
    """Can it do its work? 503 if not, with the reasons."""
    readiness = call.engine.readiness
    reasons = readiness.reasons()
    found = [name for name, reason in reasons.items() if reason is not None]
    warnings = [name for name in found if readiness.only_warns(name)]
    body = _Readiness(warnings == found, {name: reason or "ok" for name, reason in reasons.items()}, warnings)
    return call.json(encode(body), 200 if body.ready else 503)
