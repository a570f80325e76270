"""The HTTP edge of a server process: the fast lane in front, aiohttp behind it, and the sockets on which both listen."""

from __future__ import annotations

import asyncio
import socket
from typing import Final, NamedTuple

from aiohttp import web

from awlog.api.app import App
from awlog.api.configuration import ApiSettings, EdgeLimits
from awlog.api.counts import EdgeCounts
from awlog.api.fast_lane import FastLane
from awlog.api.http_server import HttpServer
from awlog.api.in_progress import InProgress
from awlog.api.recognise import HeaderBlocks
from awlog.cli.listeners import Listeners
from awlog.cli.listening import BACKLOG
from awlog.cli.tls import Encryption
from awlog.engine.engine import Engine

# A stop takes ten seconds at most. Of them it gives this to requests in progress, and then twice this, because aiohttp does
# it twice, to connections that do not close.
_FINISH_S: Final = 8.0
_CLOSE_S: Final = 0.5
# After a refused body: how long its rest is read and thrown away, so that the client sees the answer.
_LINGER_S: Final = 2.0


class Places(NamedTuple):
    """Where a server listens: by TCP, encrypted if there is `tls`, Unix sockets, and that of the data directory."""

    sockets: list[socket.socket]
    tls: Encryption | None
    local: socket.socket | None


class Edge:
    """From `open` on it answers; `close` ends what it is doing in good order. Loop only."""

    def __init__(self, engine: Engine, settings: ApiSettings, places: Places, *, fast_lane: bool) -> None:
        counts = EdgeCounts()
        self._places = places
        self._handshake_s = settings.limits.header_s
        self._in_progress = InProgress()
        app = App(engine, settings, self._in_progress, counts=counts)
        local_app = App(engine, settings, self._in_progress, counts=counts, is_local=True)
        self._server, self._local_server = (_http_server(each, settings.limits) for each in (app, local_app))
        self._lane = FastLane(
            engine,
            _header_blocks(engine, app, settings) if fast_lane else None,
            self._in_progress,
            self._server,
            settings.limits,
            base_path=settings.base_path,
            proxies=settings.proxies,
        )
        counts.lane = self._lane
        app.on_begun = self._lane.begun_by_aiohttp
        app.on_ended = self._lane.ended_by_aiohttp
        app.on_answered = self._lane.answered_by_aiohttp
        self._listeners = Listeners(places.sockets, self._accept)
        connections = self._lane.connections
        connections.on_full, connections.on_room = self._listeners.pause, self._listeners.resume
        connections.on_sweep = app.lasting.sweep
        self._local_listener: asyncio.Server | None = None

    async def open(self) -> None:
        await self._listeners.open()
        if self._places.tls is not None:
            self._places.tls.obey_hangups(self._listeners.reopen)
        if self._places.local is not None:
            loop = asyncio.get_running_loop()
            self._local_listener = await loop.create_unix_server(self._local_server, sock=self._places.local)

    async def close(self) -> None:
        """Refuses who comes, finishes what has begun, and ends all connections."""
        self._lane.connections.on_room = lambda: None
        self._listeners.close()
        if self._local_listener is not None:
            self._local_listener.close()
        # First what has begun, then aiohttp's own shutdown: that throws away the rest of a body that is still coming.
        await self._in_progress.finish(_FINISH_S)
        self._lane.close()
        servers = (self._server, self._local_server)
        for each in servers:
            each.pre_shutdown()
        await asyncio.gather(*(each.shutdown(_CLOSE_S) for each in servers))

    async def _accept(self, listening: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        if listening.family == socket.AF_UNIX:
            return await loop.create_unix_server(self._lane, sock=listening, backlog=BACKLOG)
        if self._places.tls is None:
            return await loop.create_server(self._lane, sock=listening, backlog=BACKLOG)
        return await loop.create_server(
            self._lane.behind_handshake,
            sock=listening,
            backlog=BACKLOG,
            ssl=self._places.tls.context,
            ssl_handshake_timeout=self._handshake_s,
        )


def _header_blocks(engine: Engine, app: App, settings: ApiSettings) -> HeaderBlocks:
    blocks = HeaderBlocks(
        app.guard,
        engine.tokens,
        body_bytes_max=settings.body_bytes_max,
        headers_max=settings.limits.headers,
        now_s=asyncio.get_running_loop().time,
        heeds_proxies=bool(settings.proxies),
    )
    engine.tokens.on_changed(blocks.forget_all)
    return blocks


def _http_server(app: App, limits: EdgeLimits) -> web.Server:
    """Its own limits of line and headers are met on connections that the lane has given away, by a second request."""
    return HttpServer(
        app,
        access_log=None,
        auto_decompress=False,
        lingering_time=_LINGER_S,
        max_line_size=limits.request_line_bytes,
        max_field_size=limits.header_bytes,
        max_headers=limits.headers + 1,  # it may count the first line too
    )
