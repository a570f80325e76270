"""The fast lane: heartbeats, and insertions of a few events, are recognized in front of aiohttp and answered without it.

    bytes ──▶ request line and header block known? ──▶ body ──▶ engine ──▶ the commit is synced ──▶ answer
                        │ no                          │ refused
                        └──────────▶ aiohttp ◀────────┘   with all bytes, as if they had come there first

A connection that only sends heartbeats has no parser, task, future or timer: one object here, and one callback for each
commit it waits for. Whatever is not exactly a good one of these goes to aiohttp whole, so there is one source of error
answers. Only a write that could not be made durable is answered here with an error, because it must not be tried twice.

A connection lent to aiohttp comes back with its next request, if the one that was lent is answered to its end and nothing
came behind it: clients ask for the bucket first, then send heartbeats on the same connection for years. Where that cannot
be told for sure, it stays with aiohttp; without a lane all of them do. What it receives passes through here all the same:
here connections are counted, and those end that never finish their headers, or never read.

recv    data_received   find two line ends, look up line and block, decode, decide, apply       1 system call
commit                  shared by all that wait: `engine/committer.py`
send    _told           the answer's start is ready-made; Date changes once a second            1 system call
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final, cast

import structlog
from aiohttp import HttpVersion11, web
from aiohttp.http import SERVER_SOFTWARE

from awlog.api.configuration import EdgeLimits
from awlog.api.events import read_insertion
from awlog.api.failures import refusal
from awlog.api.heartbeat import read_heartbeat
from awlog.api.in_progress import InProgress
from awlog.api.open_connections import SWEEP_S, OpenConnections
from awlog.api.proxies import Proxies, peer_of
from awlog.api.recognise import BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_END, HeaderBlocks, Known, Lines
from awlog.api.refused_heads import refused_head, too_many_connections
from awlog.engine.bulk import shown
from awlog.engine.engine import Engine
from awlog.model.errors import AwlogError, Refused

_log: Final = structlog.get_logger(part="api")

_NO_PROXIES: Final = Proxies(())
# Sweeps that a request may take to arrive. aiohttp waits for slower ones, with the limits and time-outs of the ordinary way.
_ARRIVAL_SWEEPS: Final = 2
# Sweeps in which what comes behind a refusal is thrown away.
_LINGER_SWEEPS: Final = 2
# A stopping server waits no longer for one that reads nothing: it has ten seconds for all.
_STOPPING_UNREAD_S: Final = 3.0
# Sweeps without a word, then the connection is closed.
_IDLE_SWEEPS: Final = 3600
# What may wait behind the request that is being carried out; then the connection is not read on.
_AHEAD_BYTES_MAX: Final = HEAD_BYTES_MAX + BODY_BYTES_MAX

# Requests after which a connection comes back. Where each line ends with CR LF the first empty line ends the headers,
# whoever looks, so that the length of the request is known.
_LENT_HEAD: Final = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS) (?:[^\r\n]+\r\n)+\r\n")


class FastLane:
    """Makes the protocols of accepted connections: the factory for `loop.create_server`."""

    def __init__(
        self,
        engine: Engine,
        blocks: HeaderBlocks | None,
        in_progress: InProgress,
        make_handler: web.Server,
        limits: EdgeLimits,
        *,
        base_path: str = "",
        proxies: Proxies = _NO_PROXIES,
    ) -> None:
        """`make_handler`: the server that takes what is not for the lane, all if there are no `blocks`. Its App reports to
        `begun_by_aiohttp`, `answered_by_aiohttp` and `ended_by_aiohttp`. `proxies`: as for `OpenConnections`.
        """
        self.engine = engine
        self.blocks = blocks
        self.limits = limits
        self.connections = OpenConnections(limits, proxies, self._forget_old_blocks)
        self.lines = Lines(base_path)
        self.in_progress = in_progress
        self.make_handler = make_handler
        self.answered_count = 0
        self.handed_over_count = 0
        self.lent: dict[web.RequestHandler, _Connection] = {}
        self._tail_second = 0
        self._tail = b""

    def __call__(self) -> asyncio.Protocol:
        connection = _Connection(self)
        self.connections.add(connection)
        return connection

    def behind_handshake(self) -> asyncio.Protocol:
        """As `self()`, for TLS: counted when its handshake is done, for nobody is told of one that fails."""
        return _Connection(self)

    @property
    def connection_count(self) -> int:
        return len(self.connections)

    def answer_tail(self) -> bytes:
        """The headers that every answer ends with, as aiohttp writes them."""
        second = int(time.time())
        if second != self._tail_second:
            self._tail_second = second
            self._tail = f"\r\nDate: {formatdate(second, usegmt=True)}\r\nServer: {SERVER_SOFTWARE}\r\n".encode()
        return self._tail

    def begun_by_aiohttp(self, request: web.BaseRequest) -> None:
        """The headers of a request are whole: whoever answers it has limits for the rest."""
        connection = self.lent.get(request.protocol)
        if connection is not None:
            connection.is_asked = True

    def ended_by_aiohttp(self, request: web.BaseRequest) -> None:
        """Nothing more is done for this request, but that aiohttp may have a file to send."""
        connection = self.lent.get(request.protocol)
        if connection is not None:
            connection.is_asked = connection.is_arriving = False

    def answered_by_aiohttp(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """The answer has been written to its end."""
        connection = self.lent.get(request.protocol)
        if connection is not None:
            connection.take_back(request, response)

    def close(self) -> None:
        """Closes all connections that are in the lane."""
        self.connections.close()
        _log.info("fast lane", answered=self.answered_count, handed_over=self.handed_over_count)

    def _forget_old_blocks(self) -> bool:
        """Are there others left?"""
        if self.blocks is None:
            return False
        self.blocks.forget_old()
        return len(self.blocks) > 0


class _Connection(asyncio.Protocol):
    """One connection. At any time it does one of these:

    idle       nothing received that is not answered
    arriving   a part of a heartbeat has come: `_received`, and `_wanted_bytes` if its headers are judged
    waiting    the request at the beginning of `_received` is being carried out: `_known` is its header block
    lent       aiohttp has it: what comes is passed on, and `_lent_bytes` counted; for ever if it `_stays` there.
               `is_asked`: the headers are whole, and the answer is not; `is_arriving`: some of the headers are there
    """

    __slots__ = (
        "_address",
        "_can_write",
        "_handler",
        "_has_paused_reading",
        "_is_refused",
        "_known",
        "_lane",
        "_lent_bytes",
        "_lent_head",
        "_received",
        "_stays",
        "_sweeps",
        "_transport",
        "_unread_bytes",
        "_unread_sweeps",
        "_wanted_bytes",
        "is_arriving",
        "is_asked",
    )

    def __init__(self, lane: FastLane) -> None:
        self._lane = lane
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._wanted_bytes = 0
        self._known: Known | None = None
        self._handler: web.RequestHandler | None = None
        self._lent_head = b""
        self._lent_bytes = 0
        self._can_write = True
        self._has_paused_reading = False
        self._sweeps = 0  # since the state became what it is
        self._address: str | None = None
        self._stays = False
        self._is_refused = False
        self._unread_bytes = 0
        self._unread_sweeps = 0
        self.is_asked = False
        self.is_arriving = False

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._lane.connections.add(self)
        address = peer_of(transport)
        if self._lane.connections.is_shared(address):
            return
        if self._lane.connections.admit(address):
            self._address = address
        else:
            self._refuse(too_many_connections(self._lane.limits.connections_per_address))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._lane.connections.remove(self, self._address)
        if self._wanted_bytes:
            self._end_request()
        self._received = b""
        if self._handler is not None:
            self._lane.lent.pop(self._handler, None)
            self._handler.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if self._lent_bytes:
            self._pass_on(data)
            return
        if self._received:
            self._received += data
        else:
            self._received = data
            self._sweeps = 0
        if self._known is None:
            self._serve()
        elif len(self._received) > _AHEAD_BYTES_MAX and not self._has_paused_reading:
            self._pause_reading()

    def pause_writing(self) -> None:
        self._can_write = False
        self._sweeps = 0
        if self._handler is not None:
            self._handler.pause_writing()
        if not self._lent_bytes and not self._has_paused_reading:
            self._pause_reading()

    def resume_writing(self) -> None:
        self._can_write = True
        if self._handler is not None:
            self._handler.resume_writing()
        if not self._lent_bytes:
            self._go_on()

    # What the lane does

    def tick(self) -> None:
        """Once a second."""
        transport = self._transport
        if transport is None:
            return
        self._sweeps += 1
        limits = self._lane.limits
        unread_bytes = transport.get_write_buffer_size()
        if unread_bytes or self._unread_bytes:
            self._unread_sweeps = self._unread_sweeps + 1 if unread_bytes == self._unread_bytes else 0
            self._unread_bytes = unread_bytes
            patience_s = _STOPPING_UNREAD_S if self._lane.in_progress.stopping else limits.unread_s
            if self._unread_sweeps > min(patience_s, limits.unread_s):
                transport.abort()
                return
        if self._is_refused:
            if self._sweeps > _LINGER_SWEEPS:
                transport.abort()
        elif self._lent_bytes:
            if self.is_arriving and not self.is_asked and self._sweeps > limits.header_s:
                transport.abort()
        elif self._known is not None or not self._can_write:
            pass
        elif self._received:
            if self._sweeps > _ARRIVAL_SWEEPS:
                self._hand_over()
        elif self._sweeps > _IDLE_SWEEPS:
            transport.close()

    def close(self) -> None:
        if self._transport is not None and not self._lent_bytes:
            self._transport.close()

    def _refuse(self, answer: bytes) -> None:
        """Closes the connection, behind an answer to nothing in particular. What still comes is thrown away for a moment:
        a reset would take the answer along.
        """
        assert self._transport is not None, "what is refused came from somewhere"
        self._is_refused, self._sweeps = True, 0
        self._transport.write(answer)
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _serve(self) -> None:
        """Begins the request that `_received` begins with, as far as it is there."""
        received = self._received
        if not received or len(received) < self._wanted_bytes or self._known is not None or not self._can_write:
            return
        lane = self._lane
        if lane.blocks is None:
            self._hand_over()
            return
        line_end = received.find(b"\r\n")
        head_end = received.find(HEADERS_END, line_end, HEAD_BYTES_MAX)
        if head_end < 0:
            if len(received) >= HEAD_BYTES_MAX or not received.startswith(lane.lines.beginning[: len(received)]):
                self._hand_over()
            return
        head_end += len(HEADERS_END)
        line = received[:line_end]
        target = lane.lines.find(line)
        known = None if target is None else lane.blocks.find(line, received[line_end:head_end])
        if target is None or known is None or not target.bucket_id.startswith(known.prefixes):
            self._hand_over()
            return
        if not self._wanted_bytes:
            lane.in_progress.begin()
        self._wanted_bytes = end = head_end + known.body_bytes
        if len(received) < end:
            return
        self._known = known
        try:
            body = received[head_end:end]
            if target.pulsetime_us is not None:
                beat = read_heartbeat(body, target.bucket_id, target.pulsetime_us)
                lane.engine.send(beat, self._told)
            elif lane.engine.is_full:
                self._hand_over()  # to where it can wait until there is room
            else:
                insertion, single = read_insertion(body, target.bucket_id)
                lane.engine.send(insertion, self._told if single else self._told_of_list)
        except Exception:  # noqa: BLE001 - nothing was kept of it: aiohttp's way meets the same and knows what to say
            self._hand_over()

    def _told(self, outcome: Any) -> None:
        """The outcome of the request that is being carried out, which is durable now."""
        known = self._known
        if (
            known is not None
            and not known.reads
            and not isinstance(outcome, AwlogError)
            and outcome.dropped is not None
        ):
            self._hand_over()  # nothing was done; what is shown of the tail record depends on the bucket
            return
        self._tell(outcome, self._lane.engine.render)

    def _told_of_list(self, outcome: Any) -> None:
        self._tell(outcome, shown)

    def _tell(self, outcome: Any, show: Callable[[Any], bytes]) -> None:
        lane, transport, known = self._lane, self._transport, self._known
        if transport is None or known is None:
            return  # the client is gone
        if isinstance(outcome, Refused):  # nothing was done: aiohttp's way asks again, and says why not
            self._hand_over()
            return
        if isinstance(outcome, AwlogError):
            number, body = refusal(outcome)
            status = f"{number} {HTTPStatus(number).phrase}".encode()
        else:
            status, body = b"200 OK", show(outcome)
        closes = lane.in_progress.stopping
        end = b"Connection: close\r\n\r\n" if closes else b"\r\n"
        transport.write(
            b"HTTP/1.1 %b%b%d%b%b%b" % (status, known.answer_headers, len(body), lane.answer_tail(), end, body)
        )
        lane.answered_count += 1
        self._received = self._received[self._wanted_bytes :]
        self._end_request()
        if closes:
            transport.close()
        elif self._received or self._has_paused_reading:
            self._sweeps = 0
            # Not at once: others have their turn, and no pipeline is as deep as the stack.
            asyncio.get_running_loop().call_soon(self._go_on)

    def _end_request(self) -> None:
        self._known = None
        self._wanted_bytes = 0
        self._lane.in_progress.end()

    def _go_on(self) -> None:
        if self._lent_bytes or self._transport is None:
            return
        if self._has_paused_reading and self._can_write and len(self._received) <= _AHEAD_BYTES_MAX:
            self._resume_reading()
        self._serve()

    def _pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._has_paused_reading = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        self._has_paused_reading = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # To aiohttp and back

    def _hand_over(self) -> None:
        """Gives all that was received and not answered to aiohttp, and what comes from now on."""
        lane, transport = self._lane, self._transport
        assert transport is not None, "a connection that is lost has nothing to hand over"
        lane.handed_over_count += 1
        received, self._received = self._received, b""
        if self._handler is None:
            self._handler = lane.make_handler()
            self._handler.connection_made(transport)
            if not self._can_write:
                self._handler.pause_writing()
        lane.lent[self._handler] = self
        if self._has_paused_reading:
            self._resume_reading()
        self._pass_on(received)
        if self._wanted_bytes:
            self._end_request()

    def _pass_on(self, data: bytes) -> None:
        assert self._handler is not None, "lent to somebody"
        self._lent_bytes += len(data)
        if not self.is_arriving:
            self.is_arriving = True
            if self._stays:
                self._sweeps = 0
        if not self._stays and not self._lent_head.endswith(HEADERS_END):
            limits = self._lane.limits
            # The headers only: a body may be long, and lent for long.
            head, end, _ = (self._lent_head + data[: limits.request_line_bytes + limits.header_bytes]).partition(
                HEADERS_END
            )
            self._lent_head = head + end
            refused = refused_head(self._lent_head, limits)
            if refused is not None:
                self._refuse(refused)
                return
        self._handler.data_received(data)

    def take_back(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """The answer of aiohttp is written. Its handler stays, idle, for the next request that is not for the lane."""
        handler, transport = self._handler, self._transport
        assert handler is not None, "lent to somebody"
        assert transport is not None, "a lost connection is lent to nobody"
        if self._stays:
            return
        head = _LENT_HEAD.match(self._lent_head)
        answered = (
            self._lane.blocks is not None
            and head is not None
            and request.version == HttpVersion11
            and "Upgrade" not in request.headers
            and response.keep_alive
            # A body in chunks has no length here and some bytes at least: it never fits.
            and self._lent_bytes == head.end() + (request.content_length or 0)
            and transport.is_reading()
        )
        if answered:
            del self._lane.lent[handler]
            self._lent_bytes, self._lent_head, self._sweeps = 0, b"", 0
            self.is_asked = self.is_arriving = False
            # The handler would close the connection an hour after its last request; when it has gone to rest it need not.
            asyncio.get_running_loop().call_later(SWEEP_S, self._let_rest)
        else:
            self._stays, self._lent_head = True, b""

    def _let_rest(self) -> None:
        """Not if it works again: perhaps it keeps the connection, and then closes it when that is idle."""
        if self._handler is not None and not self._lent_bytes:
            self._handler.keep_alive(False)
