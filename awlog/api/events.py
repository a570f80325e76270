"""`/buckets/<id>/events` and what is below it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Final

from aiohttp import web
from msgspec import Meta

from awlog.api import wire
from awlog.api.answer_bodies import DeletedBody, PageBody, StoredEvent
from awlog.api.call import LARGE_BODY_BYTES, Call
from awlog.api.describe import Body, Operation, Parameter, described
from awlog.api.event_bodies import EventBody, PayloadCache, decode_events, new_event, new_events
from awlog.api.forms import FILE_TYPES, FORM_PARAMETERS, form_of, send_document
from awlog.api.paging import PAGE_EVENTS_MAX, cursor_of, page_of
from awlog.model.access import Scope
from awlog.model.commands import DeleteEvent, InsertEvents, NewEvent
from awlog.model.errors import BadRequest, Forbidden, NoSuchEvent, NotFound
from awlog.model.forms import JSON
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros, parse_query_timestamp

INTEGER: Final = re.compile(r"[+-]?[0-9]{1,1000}", re.ASCII)
# No bucket holds more events than this.
_ALL: Final = 1 << 32
_PAGE_EVENTS: Final = 1000
_TEXT_CHARS_MAX: Final = 1_000_000

# Small insertions repeat the data of those before.
_payloads: Final = PayloadCache()

_PageSize = Annotated[int, Meta(ge=1, le=PAGE_EVENTS_MAX)]
_IN_RANGE: Final = (
    Parameter("start", wire.Timestamp, "Events that end here or later", example="2026-01-01T00:00:00+00:00"),
    Parameter("end", wire.Timestamp, "Events that start here or earlier", example="2026-01-02T00:00:00+00:00"),
)
_TextMax = Annotated[int, Meta(ge=1, le=_TEXT_CHARS_MAX)]
TEXT_MAX: Final = Parameter("text_max", _TextMax, "JSON: longer texts are cut, and end in `…`", example=400)
_EXAMPLE: Final = {"timestamp": "2026-01-01T12:00:00+00:00", "duration": 60, "data": {"app": "vim", "title": "notes"}}


@described(
    Operation(
        list[StoredEvent] | PageBody,
        query=(
            *_IN_RANGE,
            Parameter("limit", int, "The first so many; negative: all", example=100),
            Parameter("page_size", _PageSize, "Answers in pages of so many events, each with a cursor to the next"),
            Parameter("cursor", str, "The `next` of an earlier page, in place of `start` and `end`"),
            TEXT_MAX,
            *FORM_PARAMETERS,
        ),
        file_types=FILE_TYPES,
        others={304: "The events are those that `If-None-Match` names"},
    )
)
async def read_events(call: Call) -> web.StreamResponse:
    """The events that meet [start, end], cut to it, newest first; `limit` takes the first n."""
    if "cursor" in call.query or "page_size" in call.query:
        return await _read_page(call)
    start_us, end_us = range_end(call, "start"), range_end(call, "end")
    count_max = _limit(call.query.get("limit"))
    cut_at = text_chars_max(call)
    form = form_of(call)
    fingerprint = call.engine.reads.fingerprint(call.params["bucket_id"], start_us, end_us)
    headers = {}
    if fingerprint is not None:
        shown = "" if form is JSON else f"-{form.name}{call.query.get('spreadsheet', '')}"
        shown += "" if cut_at is None else f"-{cut_at}"
        tag = f'W/"{fingerprint.hex()}-{"all" if count_max is None else count_max}{shown}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if _names(call.request.headers.get("If-None-Match", ""), tag):
            return web.Response(status=304, headers={**call.headers, **headers, "Vary": call.vary})
    if form is not JSON:
        if cut_at is not None:
            raise BadRequest("`text_max` is for JSON")
        return await send_document(
            call,
            form,
            call.params["bucket_id"],
            call.params["bucket_id"],
            start_us,
            end_us,
            count_max=count_max,
            with_ids=True,
            headers=headers,
        )
    chunks = call.engine.reads.range_json(
        call.params["bucket_id"], start_us, end_us, count_max=count_max, text_chars_max=cut_at
    )
    return await call.stream(_as_list(chunks), headers)


def _names(if_none_match: str, tag: str) -> bool:
    """Does the header name this tag? Compared weakly, RFC 9110, section 13.1.2."""
    bare = tag.removeprefix("W/")
    return any(each.strip().removeprefix("W/") in (bare, "*") for each in if_none_match.split(","))


async def _read_page(call: Call) -> web.StreamResponse:
    """`{"events": [...], "next": cursor or null}`: the range in parts, stable while others write."""
    bucket_id, query = call.params["bucket_id"], call.query
    if "text_max" in query:
        raise BadRequest("`text_max` has no meaning for pages: leave it out")
    number = call.engine.reads.bucket(bucket_id).meta.number
    page_size = _limit(query.get("page_size", str(_PAGE_EVENTS)))
    if page_size is None or not 1 <= page_size <= PAGE_EVENTS_MAX:
        raise BadRequest(f"`page_size` must be an integer from 1 to {PAGE_EVENTS_MAX}")
    if "cursor" in query:
        if query.keys() & {"start", "end", "limit"}:
            raise BadRequest("`cursor` holds the range: leave out `start`, `end` and `limit`")
        page = page_of(query["cursor"], number)
    else:
        if "limit" in query:
            raise BadRequest("`limit` has no meaning for pages: leave it out")
        page = call.engine.reads.first_page(bucket_id, range_end(call, "start"), range_end(call, "end"))
    events, following = await call.engine.reads.page_json(bucket_id, page, count_max=page_size)
    cursor = b"null" if following is None else b'"%b"' % cursor_of(number, following).encode()
    return await call.long_json(b'{"events":[%b],"next":%b}' % (events, cursor))


async def _as_list(chunks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    opening = b"["
    async with aclosing(chunks):
        async for chunk in chunks:
            yield opening
            yield chunk
            opening = b","
    yield b"[]" if opening == b"[" else b"]"


@described(Operation(int, query=_IN_RANGE))
async def count_events(call: Call) -> web.StreamResponse:
    """How many events meet [start, end]."""
    start_us, end_us = range_end(call, "start", "starttime"), range_end(call, "end", "endtime")
    return call.json(b"%d" % await call.engine.reads.count(call.params["bucket_id"], start_us, end_us))


@described(Operation(StoredEvent, query=(TEXT_MAX,)))
async def get_event(call: Call) -> web.StreamResponse:
    """One stored event, uncut in time; `text_max` cuts long texts."""
    bucket_id, text = call.params["bucket_id"], call.params["event_id"]
    call.engine.reads.bucket(bucket_id)
    if INTEGER.fullmatch(text) is None:
        raise NoSuchEvent(bucket_id, text)
    return call.json(await call.engine.reads.event_json(bucket_id, int(text), text_chars_max=text_chars_max(call)))


@described(Operation(DeletedBody))
async def delete_event(call: Call) -> web.StreamResponse:
    """Deletes one event; `{"success": false}` if there is none with this id."""
    text = call.params["event_id"]
    if INTEGER.fullmatch(text) is None:
        raise NotFound("An event id is an integer")
    deleted = await call.engine.submit(DeleteEvent(call.params["bucket_id"], int(text)))
    return call.json(b'{"success":true}' if deleted else b'{"success":false}')


@described(
    Operation(
        StoredEvent | list[StoredEvent] | None,
        bodies=(Body(EventBody | list[EventBody], [_EXAMPLE]),),
    )
)
async def insert_events(call: Call) -> web.StreamResponse:
    """Stores one event or a list of them, all or none; an id of this bucket replaces that event."""
    raw = await call.json_body()
    if len(raw) < LARGE_BODY_BYTES:
        single, events, replaces = _decode(raw, _payloads)
    else:
        single, events, replaces = await asyncio.to_thread(_decode, raw, PayloadCache())
    if replaces:
        _check_may_replace(call)
    command = InsertEvents(call.params["bucket_id"], events)
    if single:
        await call.engine.room()
        return call.json(call.engine.render(await call.engine.submit(command)))
    return await call.json_in_pieces(await call.engine.shown(await call.engine.insert(command)))


def read_insertion(body: bytes, bucket_id: str) -> tuple[InsertEvents, bool]:
    """The command that a request in the fast lane means, and whether it is one event and no list. Raises BadRequest;
    Forbidden if an event has an id, because whoever may append may not always replace.
    """
    single, events, replaces = _decode(body, _payloads)
    if replaces:
        raise Forbidden("Replacing takes another right: look at the token")
    return InsertEvents(bucket_id, events), single


def _check_may_replace(call: Call) -> None:
    """Raises Forbidden. Whether there is such an event is nothing that the answer depends on."""
    try:
        call.access.require(Scope.WRITE, call.params["bucket_id"])
    except Forbidden as refusal:
        raise Forbidden(f"{refusal}: an event with an `id` replaces a stored one; send new ones without") from None


def _decode(raw: bytes, payloads: PayloadCache) -> tuple[bool, list[NewEvent], bool]:
    """Was it one event, the events, and may some of them replace stored ones?"""
    body = decode_events(raw)
    is_list = isinstance(body, list)
    events = new_events(body, "events", payloads) if isinstance(body, list) else [new_event(body, payloads)]
    return not is_list, events, any(event.wire_id is not None for event in events)


def range_end(call: Call, *names: str) -> Micros:
    """The instant under the first name that is given; else the beginning or the end of all time."""
    for name in names:
        text = call.query.get(name)
        if text is not None:
            try:
                return parse_query_timestamp(text)
            except BadRequest as error:
                raise BadRequest(f"`{name}`: {error}") from None
    return TIME_MIN_US if names[0] == "start" else TIME_MAX_US


def text_chars_max(call: Call) -> int | None:
    """None for all of each text. Raises BadRequest."""
    text = call.query.get("text_max")
    if text is None:
        return None
    if INTEGER.fullmatch(text) is None or not 1 <= int(text) <= _TEXT_CHARS_MAX:
        raise BadRequest(f"`text_max` must be an integer from 1 to {_TEXT_CHARS_MAX}")
    return int(text)


def _limit(text: str | None) -> int | None:
    """None for all."""
    if text is None:
        return None
    if INTEGER.fullmatch(text) is None:
        raise BadRequest("`limit` must be an integer; -1 means all")
    count_max = int(text)
    return count_max if 0 <= count_max < _ALL else None
