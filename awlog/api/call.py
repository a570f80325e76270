"""One request on its way through the edge: its parts, its body within limits, and its answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from aiohttp import web

from awlog.api.configuration import ApiSettings
from awlog.api.content_coding import COMPRESSED_FROM_BYTES, Encoder, coding_for
from awlog.api.counts import EdgeCounts
from awlog.api.in_progress import InProgress
from awlog.api.lasting import LastingReads
from awlog.api.proxies import peer_of
from awlog.engine.byte_budget import ByteBudget
from awlog.engine.engine import Engine
from awlog.model.access import FULL_ACCESS
from awlog.model.errors import (
    AwlogError,
    BadRequest,
    PayloadTooLarge,
    RequestTimeout,
    Unavailable,
    UnsupportedMediaType,
)

# An answer shorter than this is sent whole, with its length; a longer one is streamed.
_WHOLE_BYTES_MAX: Final = 256 * 1024
# What is written to a socket at a time: fewer system calls, and pieces that are worth compressing.
_WRITTEN_BYTES: Final = 64 * 1024
# A body up to this length waits for no other: no heartbeat stands behind an import. So much a connection may always hold.
_SMALL_BODY_BYTES: Final = 64 << 10
# From this length on a body is decoded in a thread, so that nobody waits for it.
LARGE_BODY_BYTES: Final = 256 * 1024
JSON_TYPE: Final = "application/json"


class BrokenOff(ConnectionError):
    """An answer cannot be finished; the connection is closed, so that nobody takes a part for the whole."""


class Shared(NamedTuple):
    """What all requests share. `bodies`: what their bodies may take together."""

    engine: Engine
    settings: ApiSettings
    in_progress: InProgress
    bodies: ByteBudget
    counts: EdgeCounts
    lasting: LastingReads


# How a request is counted that led nowhere.
UNKNOWN_ROUTE: Final = "none"


class Call:
    """The request, who asks, the path's parameters, and what the answer's headers hold already."""

    __slots__ = (
        "_bodies",
        "_held_bytes",
        "_query",
        "access",
        "counts",
        "engine",
        "headers",
        "in_progress",
        "lasting",
        "params",
        "query_text",
        "request",
        "request_id",
        "route",
        "settings",
    )

    def __init__(self, request: web.BaseRequest, shared: Shared, query_text: str, request_id: str) -> None:
        """Call `let_go` when the request is answered."""
        self.request = request
        self.request_id = request_id
        self.engine, self.settings, self.in_progress, self._bodies, self.counts, self.lasting = shared
        self.query_text = query_text
        self.route = UNKNOWN_ROUTE
        self.access = FULL_ACCESS
        self.params: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self._query: dict[str, str] | None = None
        self._held_bytes = 0

    def let_go(self) -> None:
        """The body is not needed any more."""
        if self._held_bytes:
            self._bodies.give_back(self._held_bytes)
            self._held_bytes = 0

    @property
    def query(self) -> dict[str, str]:
        """The query parameters; of equal names the first counts."""
        if self._query is None:
            if "&" not in self.query_text and "%" not in self.query_text and "+" not in self.query_text:
                name, _, value = self.query_text.partition("=")  # a heartbeat's: nothing to decode
                self._query = {name: value}
                return self._query
            try:
                pairs = parse_qsl(self.query_text, keep_blank_values=True, max_num_fields=100)
            except ValueError:
                raise BadRequest("The query string has more than 100 fields") from None
            self._query = dict(reversed(pairs))
        return self._query

    @property
    def client(self) -> str:
        """The client's address, as far as it can be believed; `unix` on a Unix socket. For limits and program messages."""
        forwarded_for = self.request.headers.getall("X-Forwarded-For", [])
        return self.settings.proxies.client_of(peer_of(self.request.transport), forwarded_for)

    async def json_body(self) -> bytes:
        """The body of a request that must be JSON. Raises UnsupportedMediaType, PayloadTooLarge, RequestTimeout."""
        if not is_json(self.request.content_type):
            raise UnsupportedMediaType("Send the body as `Content-Type: application/json`")
        return await self.body(self.settings.body_bytes_max, "max_body_bytes")

    async def body(self, bytes_max: int, setting: str) -> bytes:
        """All of the body, at most `bytes_max`; beyond it PayloadTooLarge names the setting.

        Raises Unauthorized if the token was revoked meanwhile: a body can take as long as its sender likes.
        """
        whole = await self._received(bytes_max, setting)
        self.engine.tokens.check(self.access)
        return whole

    async def _received(self, bytes_max: int, setting: str) -> bytes:
        await self.begin_body(bytes_max, setting)
        length = self.request.content_length
        content = self.request.content
        if content.is_eof() and (length or 0) <= bytes_max:  # all of it came with the headers, or soon after
            whole = content.read_nowait(-1)
            self.counts.body_bytes += len(whole)
            if len(whole) > bytes_max:
                raise too_large(bytes_max, setting)
            return whole
        parts: list[bytes] = []
        received_bytes = 0
        async for part in self._pieces():
            received_bytes += len(part)
            if received_bytes > bytes_max:
                raise too_large(bytes_max, setting)
            if received_bytes > _SMALL_BODY_BYTES:  # one in chunks, whose length nobody knows beforehand
                await self.take_turn(bytes_max)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def body_in_pieces(self) -> AsyncGenerator[bytes]:
        """The body as it comes, of any length. Raises as `body` does, and Unavailable when the server stops."""
        self._check_encoding()
        await self._say_continue()
        content = self.request.content
        stopped = Unavailable("The server is stopping; send the rest when it is back.")
        with self.in_progress.telling(lambda: content.set_exception(stopped)):
            async for piece in self._pieces():
                yield piece

    async def _pieces(self) -> AsyncGenerator[bytes]:
        content = self.request.content
        try:
            while not content.at_eof():
                async with asyncio.timeout(self.settings.limits.silence_s):
                    piece = await content.readany()
                self.counts.body_bytes += len(piece)
                yield piece
        except TimeoutError:
            raise silence(self.settings.limits.silence_s) from None
        except web.RequestPayloadError:
            raise BadRequest("The body is malformed: its chunks or its length do not fit") from None

    async def begin_body(self, bytes_max: int, setting: str) -> None:
        """What is decided by the headers, before any of the body is read. Raises as `body` does."""
        self._check_encoding()
        length = self.request.content_length
        if length is not None and length > bytes_max:
            raise too_large(bytes_max, setting)
        if length is not None and length > _SMALL_BODY_BYTES:
            await self.take_turn(length)
        await self._say_continue()

    async def take_turn(self, size_bytes: int) -> None:
        """Waits, once a call, until there is room for a body of this size beside all that are received or worked on."""
        if not self._held_bytes:
            self._held_bytes = await self._bodies.take(size_bytes)

    def _check_encoding(self) -> None:
        encoding = self.request.headers.get("Content-Encoding", "identity").lower()
        if encoding != "identity":
            raise UnsupportedMediaType("Compressed bodies are not taken; send the body as it is")

    async def _say_continue(self) -> None:
        if "Expect" not in self.request.headers:
            return
        if self.request.headers["Expect"].lower() != "100-continue":
            raise BadRequest("Only `Expect: 100-continue` is understood")
        writer = self.request.writer
        await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.output_size = 0  # the answer has not begun

    def json(self, body: bytes, status: int = 200) -> web.Response:
        return web.Response(body=body, status=status, content_type=JSON_TYPE, headers=self.headers)

    async def stream(
        self,
        chunks: AsyncGenerator[bytes],
        extra_headers: dict[str, str] | None = None,
        content_type: str = JSON_TYPE,
    ) -> web.StreamResponse:
        """JSON, or something else, in chunks: sent whole if it is short, else as it comes, in flat memory.

        What `chunks` raises before the first quarter of a megabyte becomes an error answer; later the connection is
        broken off, so that nobody takes a part for the whole.
        """
        headers = {**self.headers, **(extra_headers or {}), "Vary": self.vary}
        async with aclosing(chunks):
            held = bytearray()
            async for chunk in chunks:
                held += chunk
                del chunk  # whoever does not read has one copy here, not three
                if len(held) > _WHOLE_BYTES_MAX:
                    break
            else:
                return await self._whole(bytes(held), headers, content_type)
            coding = coding_for(self.request.headers.get("Accept-Encoding", ""))
            if coding is not None:
                headers["Content-Encoding"] = coding
            response = web.StreamResponse(headers=headers)
            response.content_type = content_type
            if self.request.method == "HEAD":
                return response
            encoder = Encoder(coding) if coding is not None else None
            await response.prepare(self.request)
            try:
                await self._write_pieces(response, encoder, held)
                async for chunk in chunks:
                    held += chunk
                    del chunk
                    await self._write_pieces(response, encoder, held)
            except AwlogError as error:
                raise BrokenOff(str(error)) from error
            await self._write(response, encoder, bytes(held), last=True)
            await response.write_eof()
            return response

    async def _write_pieces(self, response: web.StreamResponse, encoder: Encoder | None, held: bytearray) -> None:
        """Writes what is enough for a piece, from the front of `held`, and lets go of it as it leaves."""
        while len(held) >= _WRITTEN_BYTES:
            piece = bytes(held[:_WRITTEN_BYTES])
            del held[:_WRITTEN_BYTES]
            await self._write(response, encoder, piece)

    async def _write(
        self, response: web.StreamResponse, encoder: Encoder | None, piece: bytes, *, last: bool = False
    ) -> None:
        if encoder is not None:
            piece = await encoder.encode(piece, last=last)
        if piece:
            async with asyncio.timeout(self.settings.limits.unread_s):
                await response.write(piece)

    async def json_in_pieces(self, body: bytes) -> web.StreamResponse:
        """As `json`, for an answer that may be long: written in pieces, so that nobody waits for a copy of it."""
        if len(body) <= _WHOLE_BYTES_MAX:
            return self.json(body)
        response = web.StreamResponse(headers=self.headers)
        response.content_type, response.content_length = JSON_TYPE, len(body)
        await response.prepare(self.request)
        for at in range(0, len(body), _WRITTEN_BYTES):
            await self._write(response, None, body[at : at + _WRITTEN_BYTES])
        await response.write_eof()
        return response

    async def long_json(self, body: bytes) -> web.Response:
        """As `json`, for an answer that may be long: compressed if the client takes that."""
        return await self._whole(body, {**self.headers, "Vary": self.vary})

    async def _whole(self, body: bytes, headers: dict[str, str], content_type: str = JSON_TYPE) -> web.Response:
        if len(body) >= COMPRESSED_FROM_BYTES:
            coding = coding_for(self.request.headers.get("Accept-Encoding", ""))
            if coding is not None:
                body = await Encoder(coding).encode(body, last=True)
                headers["Content-Encoding"] = coding
        return web.Response(body=body, content_type=content_type, headers=headers)

    @property
    def vary(self) -> str:
        """The headers that decide what a long answer looks like."""
        known = self.headers.get("Vary")
        return f"{known}, Accept-Encoding" if known else "Accept-Encoding"


def is_json(content_type: str) -> bool:
    """`application/json` or `application/*+json`; parameters are cut off already."""
    return content_type == JSON_TYPE or (content_type.startswith("application/") and content_type.endswith("+json"))


def silence(silence_s: float) -> RequestTimeout:
    return RequestTimeout(
        f"Nothing came for {silence_s:g} s inside the body; the setting `max_silence_s` sets the limit"
    )


def too_large(bytes_max: int, setting: str) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is longer than {bytes_max} bytes; the setting `{setting}` sets the limit")
