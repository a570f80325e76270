"""Both ways into one engine, on real sockets and in the test's own loop: by the fast lane, and by aiohttp alone.

A piece of a request that is sent has been read when the loop has turned a few times: nothing here waits for a clock.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from typing import Any, Final

from aiohttp import web

from awlog.api.app import App
from awlog.api.fast_lane import FastLane
from awlog.api.in_progress import InProgress
from awlog.api.recognise import HeaderBlocks
from tests.api.settings import api_settings
from tests.engine.harness import WatchedEngine, within_patience

_DATE: Final = re.compile(rb"\r\nDate: [^\r]+")
_LENGTH: Final = re.compile(rb"\r\nContent-Length: (\d+)")
_TURNS: Final = 4


class Client:
    """One connection. Reads answers one after the other, without their dates."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self._received = b""

    async def send(self, data: bytes) -> None:
        """Returns when the server has read it."""
        await within_patience(asyncio.get_running_loop().sock_sendall(self.socket, data))
        for _ in range(_TURNS):
            await asyncio.sleep(0)

    async def answer(self) -> bytes:
        """Headers and body as they came."""
        while (head_end := self._received.find(b"\r\n\r\n") + 4) == 3:
            await self._more()
        found = _LENGTH.search(self._received[:head_end])
        end = head_end + (int(found[1]) if found else 0)
        while len(self._received) < end:
            await self._more()
        answer, self._received = self._received[:end], self._received[end:]
        return _DATE.sub(b"", answer, count=1)

    async def ask(self, request: bytes) -> bytes:
        await self.send(request)
        return await self.answer()

    async def ends(self) -> bool:
        """Waits for the end of the connection; False if something came instead."""
        return not self._received and not await within_patience(
            asyncio.get_running_loop().sock_recv(self.socket, 65536)
        )

    async def _more(self) -> None:
        chunk = await within_patience(asyncio.get_running_loop().sock_recv(self.socket, 65536))
        assert chunk, f"the connection ended after {self._received!r}"
        self._received += chunk


class Edge:
    """The HTTP edge on an engine; `lane` stands in front of `server`, which can be reached without it, too."""

    def __init__(self, engine: WatchedEngine, **settings: Any) -> None:
        loop = asyncio.get_running_loop()
        self.settings = api_settings(**settings)
        self.in_progress = InProgress()
        self.app = App(engine, self.settings, self.in_progress)
        self.server = web.Server(self.app, access_log=None, auto_decompress=False)
        self.blocks = HeaderBlocks(
            self.app.guard,
            engine.tokens,
            body_bytes_max=self.settings.body_bytes_max,
            headers_max=self.settings.limits.headers,
            now_s=loop.time,
        )
        engine.tokens.on_changed(self.blocks.forget_all)
        self.lane = FastLane(engine, self.blocks, self.in_progress, self.server, self.settings.limits)
        self.app.on_begun, self.app.on_ended = self.lane.begun_by_aiohttp, self.lane.ended_by_aiohttp
        self.app.on_answered = self.lane.answered_by_aiohttp
        self._clients: list[Client] = []

    async def connect(self, *, by_lane: bool = True) -> Client:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        factory = self.lane if by_lane else self.server
        await asyncio.get_running_loop().connect_accepted_socket(factory, theirs)
        self._clients.append(client := Client(ours))
        return client

    async def ask(self, request: bytes, *, by_lane: bool) -> bytes:
        """One request on a connection of its own."""
        return await (await self.connect(by_lane=by_lane)).ask(request)

    async def close(self) -> None:
        self.lane.close()
        self.server.pre_shutdown()
        await self.server.shutdown(0)
        for client in self._clients:
            client.socket.close()


def heartbeat(
    body: Any = None,
    *headers: str,
    bucket: str = "b",
    query: str = "pulsetime=10",
    host: str | None = "localhost",
    content_type: str | None = "application/json",
    line_end: str = "\r\n",
) -> bytes:
    """The bytes of a heartbeat; `body` as JSON, or `bytes` as they are."""
    raw = body if isinstance(body, bytes) else json.dumps(beat_body() if body is None else body).encode()
    lines = [f"POST /api/0/buckets/{bucket}/heartbeat?{query} HTTP/1.1"]
    lines += [f"Host: {host}"] if host is not None else []
    lines += [f"Content-Type: {content_type}"] if content_type is not None else []
    lines += headers
    if not any(header.lower().startswith(("content-length", "transfer-encoding")) for header in headers):
        lines.append(f"Content-Length: {len(raw)}")
    return line_end.join([*lines, "", ""]).encode("latin-1") + raw


def beat_body(second: float = 0, duration_s: float = 0, **data: Any) -> dict[str, Any]:
    return {"timestamp": f"2024-05-01T10:00:{second:09.6f}Z", "duration": duration_s, "data": data or {"s": 1}}


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()
