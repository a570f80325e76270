"""`/heartbeats` and `/stream`: many heartbeats to any buckets on one connection, as lines of JSON.

A line is `{"bucket": ..., "pulsetime": ..., "event": {...}}`. A line that cannot be taken is named in the answer and stops
no other. A producer that numbers its lines may send them again: what was taken counts once.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import Final, Literal

from aiohttp import WSCloseCode, WSMsgType, web
from msgspec import UNSET

from awlog.api import wire
from awlog.api.answer_bodies import TakenBody
from awlog.api.call import Call
from awlog.api.configuration import PING_S
from awlog.api.describe import Body, Operation, Parameter, described
from awlog.api.event_bodies import PayloadCache
from awlog.api.failures import body_of
from awlog.api.follow import filter_of
from awlog.api.intake import Intake, checked_producer, own_id
from awlog.api.lines import BLOCK_BYTES, LineSplitter
from awlog.engine.feed_lines import position_line
from awlog.model.access import Scope
from awlog.model.errors import AwlogError, BadRequest, Busy, RequestTimeout, UnsupportedMediaType
from awlog.model.event import Change

NDJSON_TYPES: Final = ("application/x-ndjson", "application/jsonl", "application/ndjson")
SUBPROTOCOL: Final = "awlog.v1"
_PRODUCER_HEADER: Final = "Awlog-Producer"
_SEQUENCE_HEADER: Final = "Awlog-Sequence"
# Messages of a WebSocket that are decided together when they are there together.
_MESSAGES_MAX: Final = 512
_CLOSE_S: Final = 2.0

# Heartbeats repeat their data until it changes: nearly all are found here.
_payloads: Final = PayloadCache.lasting()

_EXAMPLE: Final = (
    '{"bucket": "aw-watcher-window_desk", "pulsetime": 60, '
    '"event": {"timestamp": "2026-01-01T12:01:00Z", "data": {"app": "vim"}}}\n'
)
_UPGRADE: Final = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": SUBPROTOCOL,
}


@described(
    Operation(
        TakenBody,
        query=(Parameter("acks", Literal["end", "chunk"], "Answer at the end, or in lines as they become durable"),),
        headers=(
            Parameter(_PRODUCER_HEADER, str, "A name of the sender's own, which numbers its lines"),
            Parameter(_SEQUENCE_HEADER, int, "The number of the first line"),
        ),
        bodies=(Body(bytes, _EXAMPLE, NDJSON_TYPES[0]),),
    )
)
async def post_heartbeats(call: Call) -> web.StreamResponse:
    """Takes a stream of heartbeats, lines of JSON of any number; answers when all are durable, or `?acks=chunk` by chunk."""
    if call.request.content_type not in NDJSON_TYPES:
        raise UnsupportedMediaType(f"Send lines of JSON as `Content-Type: {NDJSON_TYPES[0]}`")
    acks = call.query.get("acks", "end")
    if acks not in ("end", "chunk"):
        raise BadRequest("`acks` is `end` or `chunk`")
    intake = _intake(call, tells=acks == "chunk")
    _number_by_headers(call, intake)
    if acks == "chunk":
        return await _acknowledge_as_it_comes(call, intake)
    try:
        await _take_body(call, intake)
    except (Busy, RequestTimeout) as error:
        raise type(error)(f"{error} Lines up to {intake.totals.durable} of this stream are durable.") from error
    return call.json(wire.encode(intake.totals))


def _intake(call: Call, *, tells: bool) -> Intake:
    return Intake(call.engine, call.access, _payloads, call.settings.body_bytes_max, tells=tells)


def _number_by_headers(call: Call, intake: Intake) -> None:
    producer_id = call.request.headers.get(_PRODUCER_HEADER)
    sequence = call.request.headers.get(_SEQUENCE_HEADER)
    if producer_id is None and sequence is None:
        return
    if (
        producer_id is None
        or sequence is None
        or not (sequence.isascii() and sequence.isdigit() and len(sequence) < 20)
    ):
        raise BadRequest(
            f"`{_PRODUCER_HEADER}` comes with `{_SEQUENCE_HEADER}`, the number of the first line: an integer from 1 on"
        )
    intake.number(checked_producer(producer_id, int(sequence), call.access))


async def _take_body(call: Call, intake: Intake) -> None:
    """Returns when all of the body is durable. What was whole lines of a body that is cut off is taken."""
    splitter = LineSplitter(call.settings.body_bytes_max)
    try:
        async with aclosing(call.body_in_pieces()) as pieces:
            async for piece in pieces:
                for block in splitter.feed(piece):
                    await intake.take(block)
        for block in splitter.finish():
            await intake.take(block)
    finally:
        await intake.finish()


async def _acknowledge_as_it_comes(call: Call, intake: Intake) -> web.StreamResponse:
    """An answer of lines: `durable` says up to which line, the counts are of those since the last such line. The last one
    has the counts of all, and `done`; or it is an error, and says what. Nothing leaves, the status neither, before the first
    lines are durable.
    """
    response = web.StreamResponse(headers=call.headers)
    response.content_type = NDJSON_TYPES[0]
    taking = asyncio.create_task(_take_body(call, intake))
    taking.add_done_callback(lambda _done: intake.news.set())
    try:
        while not taking.done():
            await intake.news.wait()
            intake.news.clear()
            await _write(call, response, _news(intake))
        await _write(call, response, _news(intake))
        try:
            taking.result()
        except AwlogError as error:
            if not response.prepared:
                raise
            await _write(call, response, [body_of(error)])
        else:
            await _write(call, response, [b'{"done":true,' + wire.encode(intake.totals)[1:]])
    finally:
        taking.cancel()
    await response.write_eof()
    return response


def _news(intake: Intake) -> list[bytes]:
    """What became durable, if anything did; a failure is for who takes the lines."""
    with suppress(AwlogError):
        since = intake.since_last_time()
        return [] if since is None else [wire.encode(since)]
    return []


async def _write(call: Call, response: web.StreamResponse, lines: list[bytes]) -> None:
    if lines and not response.prepared:
        await response.prepare(call.request)
    for line in lines:
        async with asyncio.timeout(call.settings.limits.unread_s):
            await response.write(line + b"\n")


@described(
    Operation(
        None,
        headers=tuple(Parameter(name, str, f"`{value}`", example=value) for name, value in _UPGRADE.items()),
        status=101,
    )
)
async def stream(call: Call) -> web.StreamResponse:
    """The same lines over a WebSocket (subprotocol `awlog.v1`): one or several a message, acknowledged when durable.

    Or, after a first message `{"follow": {"since": 0, "bucket_prefix": ""}}`, what `/changes` tells, as it comes: for
    that the scope `read` is enough, and nothing can be sent.
    """
    socket = web.WebSocketResponse(
        timeout=_CLOSE_S,
        heartbeat=PING_S,
        protocols=(SUBPROTOCOL,),
        autoclose=False,
        compress=False,
        max_msg_size=call.settings.body_bytes_max,
        decode_text=False,
    )
    offered = [text.strip() for text in call.request.headers.get("Sec-WebSocket-Protocol", SUBPROTOCOL).split(",")]
    if SUBPROTOCOL not in offered or not socket.can_prepare(call.request):
        raise BadRequest(f"This path speaks WebSocket: connect with an upgrade, subprotocol `{SUBPROTOCOL}`")
    socket.headers.update(call.headers)
    await socket.prepare(call.request)
    await _Conversation(call, socket).run()
    return socket


class _Conversation:
    """One WebSocket, in three tasks: one receives messages into a bounded inbox, one takes them in, one acknowledges.

    Receiving is ahead, so that messages that are there together are decided together.
    """

    def __init__(self, call: Call, socket: web.WebSocketResponse[bool]) -> None:
        self._call = call
        self._socket = socket
        self._intake = _intake(call, tells=True)
        self._inbox: list[bytes] = []
        self._inbox_bytes = 0
        self._arrived = asyncio.Event()
        self._emptied = asyncio.Event()

    async def run(self) -> None:
        """Returns when the socket is closed. What was not acknowledged by then may be durable or not.

        Raises ConnectionError or TimeoutError if the other end is gone, or does not read.
        """
        receiving = asyncio.create_task(self._receive())
        taking = asyncio.create_task(self._take(receiving))
        acknowledging = asyncio.create_task(self._acknowledge())
        receiving.add_done_callback(lambda _done: self._arrived.set())
        code = WSCloseCode.OK
        try:
            with self._call.in_progress.telling(receiving.cancel):
                await asyncio.wait([taking, acknowledging], return_when=asyncio.FIRST_COMPLETED)
            if acknowledging.done():
                acknowledging.result()  # raises
            taking.result()
            await self._intake.finish()
            await self._send_news()
            code = WSCloseCode.GOING_AWAY if receiving.cancelled() else receiving.result()
        except AwlogError as error:
            code = WSCloseCode.TRY_AGAIN_LATER if isinstance(error, Busy) else WSCloseCode.POLICY_VIOLATION
            await self._send_news()
            await self._send(body_of(error))
        finally:
            for task in (receiving, taking, acknowledging):
                task.cancel()
        await self._socket.close(code=code)

    async def _receive(self) -> WSCloseCode:
        """Fills the inbox until the other end closes; gives the code to close with. Stops reading when it is full."""
        while True:
            message = await self._socket.receive()
            if message.type is not WSMsgType.TEXT:
                return WSCloseCode.UNSUPPORTED_DATA if message.type is WSMsgType.BINARY else WSCloseCode.OK
            self._inbox.append(message.data)
            self._inbox_bytes += len(message.data)
            self._arrived.set()
            while len(self._inbox) >= _MESSAGES_MAX or self._inbox_bytes >= BLOCK_BYTES:
                self._emptied.clear()
                await self._emptied.wait()

    async def _take(self, receiving: asyncio.Task[WSCloseCode]) -> None:
        """Takes in what is received, until nothing more comes. Raises BadRequest, Forbidden, Busy."""
        first = True
        while True:
            while not self._inbox:
                if receiving.done():
                    return
                self._arrived.clear()
                await self._arrived.wait()
            messages, self._inbox, self._inbox_bytes = self._inbox, [], 0
            self._emptied.set()
            if first and (wanted := _wanted_feed(messages[0])) is not None:
                following = asyncio.create_task(self._follow(wanted))
                await _first_of(following, receiving)
                return
            if first:
                self._call.access.require_somewhere(Scope.APPEND)
            if first and await self._greet(messages[0]):
                del messages[0]
            first = False
            splitter = LineSplitter(self._call.settings.body_bytes_max)
            text = b"".join(message if message.endswith(b"\n") else message + b"\n" for message in messages)
            for block in splitter.feed(text):
                await self._intake.take(block)

    async def _follow(self, wanted: wire.FollowBody) -> None:
        """Tells the other end changes, until the feed ends. Raises BadRequest, Forbidden, ChangesGone, Unauthorized."""
        call, feed = self._call, self._call.engine.feed
        call.access.require_somewhere(Scope.READ)
        since = feed.head if wanted.since is None else Change(wanted.since)
        with call.lasting.watched(call.access), call.in_progress.telling(feed.close):
            async with aclosing(feed.follow(since, filter_of(call.access, wanted.bucket_prefix))) as following:
                async for told in following:
                    call.engine.tokens.check(call.access)
                    for entry in told.entries if told is not None else ():
                        await self._send(entry.line)
                    await self._send(position_line(since if told is None else told.to))
                    since = since if told is None else told.to

    async def _greet(self, message: bytes) -> bool:
        """Was this a hello? Then it is answered by how far this producer's stream is durable. Raises BadRequest."""
        try:
            hello = wire.decode(wire.STREAM_HELLO, message)
        except BadRequest:
            return False
        if hello.bucket is not UNSET:
            return False
        access = self._call.access
        known = self._call.engine.reads.last_sequence(own_id(hello.producer, access))
        sequence = known + 1 if hello.sequence is None else hello.sequence
        self._intake.number(checked_producer(hello.producer, sequence, access))
        await self._send(b'{"hello":"%b","sequence":%d}' % (SUBPROTOCOL.encode(), known))
        return True

    async def _acknowledge(self) -> None:
        while True:
            await self._intake.news.wait()
            self._intake.news.clear()
            await self._send_news()

    async def _send_news(self) -> None:
        for line in _news(self._intake):
            await self._send(line)

    async def _send(self, line: bytes) -> None:
        async with asyncio.timeout(self._call.settings.limits.unread_s):
            await self._socket.send_frame(line, WSMsgType.TEXT)


def _wanted_feed(message: bytes) -> wire.FollowBody | None:
    """Which changes the other end wants to be told; None if that is not what it says. Raises BadRequest."""
    try:
        if wire.decode(wire.STREAM_FOLLOWING, message).follow is UNSET:
            return None
    except BadRequest:
        return None
    wanted = wire.decode(wire.STREAM_FOLLOW, message).follow
    if wanted.since is not None and wanted.since < 0:
        raise BadRequest("`since` is the number of a change: an integer from 0 on")
    return wanted


async def _first_of(following: asyncio.Task[None], receiving: asyncio.Task[WSCloseCode]) -> None:
    """Returns when the feed has ended, or the other end has closed, which it may do while nothing changes."""
    try:
        await asyncio.wait([following, receiving], return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            following.result()  # raises
    finally:
        following.cancel()
