"""`/changes`: what changed, in order, as lines of JSON to be asked for again, or as server-sent events for ever.

A change number is all that a follower needs to go on after a disconnection, of either side and for however long.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from aiohttp import web

from awlog.api.answer_bodies import ChangeBody
from awlog.api.call import Call
from awlog.api.describe import Operation, Parameter, described
from awlog.api.follow import filter_of
from awlog.api.stream import NDJSON_TYPES
from awlog.engine.feed import KEEP_ALIVE_S, Told
from awlog.engine.feed_lines import position_line
from awlog.model.errors import BadRequest
from awlog.model.event import Change
from awlog.model.feed import FeedFilter
from awlog.model.numbers import decimal

EVENT_STREAM: Final = "text/event-stream"
_CHANGE_DIGITS_MAX: Final = 19
WAIT_S_MAX: Final = 300.0
# What a browser waits before it connects again.
_RETRY: Final = b"retry: 1000\n\n"


@described(
    Operation(
        ChangeBody,
        query=(
            Parameter(
                "since", int, "The last change that is known; 0 for everything, left out for what comes from now on"
            ),
            Parameter("known_from", int, "As the `position` before said, if it did", example=0),
            Parameter("limit", int, "At most so many lines, and the position"),
            Parameter("bucket_prefix", str, "Only of buckets whose id begins so"),
            Parameter("wait_s", float, "How long to wait, in seconds up to 300, if there is nothing new", example=0),
        ),
        headers=(Parameter("Last-Event-ID", str, "In place of `since`: browsers send it when they connect again"),),
        answer_type=NDJSON_TYPES[0],
        others={410: "Some of these changes are not known any more: begin with `since=0`"},
    )
)
async def get_changes(call: Call) -> web.StreamResponse:
    """All that changed since a change number, in order, each thing as it is now; as NDJSON or server-sent events."""
    since = _since(call)
    shown = filter_of(call.access, call.query.get("bucket_prefix", ""))
    limit, wait_s = _limit(call.query.get("limit")), _wait_s(call.query.get("wait_s"))
    streams = EVENT_STREAM in call.request.headers.get("Accept", "")
    if call.request.method == "HEAD":
        return _begin(call, EVENT_STREAM if streams else NDJSON_TYPES[0])
    if streams:
        return await _stream_events(call, since, shown)
    response = _begin(call, NDJSON_TYPES[0])
    after, known_from = since, change_number(call.query.get("known_from", "0"), "known_from")
    async with aclosing(_told(call, since, known_from, shown, limit=limit, wait_s=wait_s)) as news:
        async for told in news:
            after, known_from = told.to, max(known_from, told.known_from)
            await _write(call, response, [entry.line + b"\n" for entry in told.entries])
    await _write(call, response, [position_line(after, known_from) + b"\n"])
    await response.write_eof()
    return response


async def _told(
    call: Call, since: Change, known_from: Change, shown: FeedFilter, *, limit: int | None, wait_s: float
) -> AsyncGenerator[Told]:
    """What there is now; if that is nothing, what comes first within `wait_s`."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + wait_s
    feed = call.engine.feed
    head, count = feed.head, 0
    with call.in_progress.telling(feed.close):
        async with aclosing(feed.follow(since, shown, idle_s=max(wait_s, 0.001), known_from=known_from)) as following:
            async for told in following:
                call.engine.tokens.check(call.access)
                if told is None:
                    if count or loop.time() >= until_s:
                        return
                    continue
                if limit is not None and count + len(told.entries) >= limit and told.entries:
                    entries = told.entries[: limit - count]
                    yield Told(entries, entries[-1].change, told.known_from)
                    return
                count += len(told.entries)
                yield told
                if told.to >= head and (count or loop.time() >= until_s):
                    return


async def _stream_events(call: Call, since: Change, shown: FeedFilter) -> web.StreamResponse:
    """Server-sent events; the id of each is its change. A comment now and then says that the connection lives."""
    response = _begin(call, EVENT_STREAM)
    feed = call.engine.feed
    with call.in_progress.telling(feed.close):
        async with aclosing(feed.follow(since, shown, idle_s=KEEP_ALIVE_S)) as following:
            known = since
            async for told in following:
                call.engine.tokens.check(call.access)
                if told is None:
                    # Also where it is: what a filter hides need not be looked at again after a disconnection.
                    await _write(
                        call, response, [] if response.prepared else [_RETRY], b"id: %d\n: still here\n\n" % known
                    )
                    continue
                known = told.to
                if told.entries:
                    events = [b"id: %d\ndata: %b\n\n" % (entry.change, entry.line) for entry in told.entries]
                    await _write(call, response, events if response.prepared else [_RETRY, *events])
    await response.write_eof()
    return response


def change_number(text: str, name: str) -> Change:
    """Raises BadRequest that names the parameter."""
    if not (text.isascii() and text.isdigit() and len(text) <= _CHANGE_DIGITS_MAX):
        raise BadRequest(f"`{name}` is the number of a change: an integer from 0 on")
    return Change(int(text))


def _since(call: Call) -> Change:
    for name, text in (
        ("since", call.query.get("since")),
        ("Last-Event-ID", call.request.headers.get("Last-Event-ID")),
    ):
        if text is not None and (text or name == "since"):  # no id is what a page sends that has seen none
            return change_number(text, name)
    return call.engine.feed.head


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= len(text) <= _CHANGE_DIGITS_MAX and int(text) >= 1):
        raise BadRequest("`limit` is how many lines there may be: an integer from 1 on")
    return int(text)


def _wait_s(text: str | None) -> float:
    wait_s = 0.0 if text is None else decimal(text)
    if wait_s is None or not 0 <= wait_s <= WAIT_S_MAX:
        raise BadRequest(f"`wait_s` is a number of seconds from 0 to {WAIT_S_MAX:g}")
    return wait_s


def _begin(call: Call, content_type: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={**call.headers, "Cache-Control": "no-store"})
    response.content_type = content_type
    return response


async def _write(call: Call, response: web.StreamResponse, lines: list[bytes], more: bytes = b"") -> None:
    """The status leaves with the first lines, so that what goes wrong before is an answer of its own."""
    text = b"".join(lines) + more
    if not text:
        return
    if not response.prepared:
        await response.prepare(call.request)
    async with asyncio.timeout(call.settings.limits.unread_s):
        await response.write(text)
