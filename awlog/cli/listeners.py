"""Listening sockets that can stop accepting for a while: whoever comes then waits in the backlog and is not refused."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

# Makes a server of a listening socket, which it closes when it is closed.
Open = Callable[[socket.socket], Awaitable[asyncio.Server]]


class Listeners:
    """Owns the sockets. Loop only.

    The loop's servers work on copies: closing one ends the accepting, and the socket goes on listening.
    """

    def __init__(self, sockets: list[socket.socket], open_server: Open) -> None:
        self._sockets = sockets
        self._open_server = open_server
        self._servers: list[asyncio.Server] = []
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._servers = [await self._open_server(listening.dup()) for listening in self._sockets]

    async def reopen(self) -> None:
        """With other servers, which `open_server` makes by now: no connection is refused meanwhile."""
        new = [await self._open_server(listening.dup()) for listening in self._sockets]
        # If nobody is to be accepted at this moment, whoever resumes makes servers of the same kind.
        gone, self._servers = (self._servers, new) if self._servers else (new, [])
        for server in gone:
            server.close()

    def pause(self) -> None:
        """Accepts nobody from now on."""
        if self._opening is not None:
            self._opening.cancel()
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()

    def resume(self) -> None:
        """Accepts again, those first that have waited longest."""
        if self._sockets:
            self._opening = asyncio.get_running_loop().create_task(self.open())

    def close(self) -> None:
        """Refuses who comes from now on."""
        self.pause()
        for listening in self._sockets:
            listening.close()
        self._sockets = []
