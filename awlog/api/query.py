"""`/query`: programs over time ranges, run in reader processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

from aiohttp import web
from msgspec import Raw

from awlog.api import wire
from awlog.api.answer_bodies import ExplainedBody
from awlog.api.call import BrokenOff, Call
from awlog.api.describe import Body, Operation, Parameter, described
from awlog.api.events import TEXT_MAX, text_chars_max
from awlog.model.access import Scope

# How soon a query ends after its client has gone.
_CLIENT_CHECK_S: Final = 0.25


@described(
    Operation(
        list[Any] | ExplainedBody,
        query=(
            Parameter("name", str, "A name for it, that its text may use"),
            TEXT_MAX,
            Parameter("explain", str, "`1`: tell what each statement cost", example="1"),
        ),
        bodies=(
            Body(
                wire.QueryBody,
                {
                    "query": ["events = query_bucket('aw-watcher-window_desk');", "RETURN = sum_durations(events);"],
                    "timeperiods": ["2026-01-01T00:00:00+00:00/2026-01-02T00:00:00+00:00"],
                },
            ),
        ),
    )
)
async def query(call: Call) -> web.StreamResponse:
    """Runs a program once for each period; the list of its results. `explain=1` tells what it did besides."""
    body = wire.decode(wire.QUERY, await call.json_body())
    explain = call.query.get("explain") == "1"
    running = asyncio.ensure_future(
        call.engine.readers.query(
            body.query,
            body.timeperiods,
            name=call.query.get("name", ""),
            explain=explain,
            prefixes=call.access.prefixes(Scope.READ),
            text_chars_max=text_chars_max(call),
        )
    )
    try:
        while not (await asyncio.wait({running}, timeout=_CLIENT_CHECK_S))[0]:
            transport = call.request.transport
            if transport is None or transport.is_closing():
                raise BrokenOff("the client of a query went away")
    finally:
        running.cancel()
    answer = running.result()
    try:
        if answer.explanation is None:
            return await call.stream(_as_list(answer.parts))
        results = Raw(b"[%b]" % b"".join(answer.parts))
        return call.json(wire.encode({"results": results, "explanation": answer.explanation}))
    finally:
        call.engine.readers.let_go(answer)


async def _as_list(parts: list[bytes]) -> AsyncGenerator[bytes]:
    yield b"["
    for part in parts:
        yield part
        await asyncio.sleep(0)  # an answer may be hundreds of megabytes: others get their turn
    yield b"]"
