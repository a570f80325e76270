"""The server that a command asks: the one that runs on the data, else one of the command's own, for as long as it asks.

So a command does the same beside a running server and without one: there is one way to do it, the API.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from awlog import __version__
from awlog.api.app import App
from awlog.api.configuration import ApiSettings
from awlog.api.in_progress import InProgress
from awlog.cli.local_socket import LocalServer, listen_locally, running_server, stop_listening_locally
from awlog.cli.owned_store import owned_store
from awlog.engine.engine import Engine
from awlog.model.errors import CannotStart
from awlog.storage.environment import Environment, existing

_CLOSE_S: Final = 1.0


@contextmanager
def asked_server(data_dir: Path) -> Iterator[LocalServer]:
    """Raises CannotStart if there is no store, or if it cannot be opened."""
    running = running_server(existing(data_dir))
    if running is not None:
        with running:
            yield running
        return
    with owned_store(data_dir) as environment:
        listening = listen_locally(data_dir)
        if listening is None:
            raise CannotStart("This system has no Unix sockets: start `awlog serve` and use its API")
        own = _OwnServer(environment, listening)
        try:
            with LocalServer(data_dir) as server:
                yield server
        finally:
            own.close()
            stop_listening_locally(data_dir)


class _OwnServer:
    """Serves on the socket in the data directory, in a thread. Only the thread touches engine and environment."""

    def __init__(self, environment: Environment, listening: socket.socket) -> None:
        """Returns when it serves. Raises what the start of the engine raises."""
        self._environment = environment
        self._listening = listening
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="awlog-own-server")
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def close(self) -> None:
        assert self._loop is not None, "it has started"
        assert self._stopping is not None, "it has started"
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        """Broad except: whatever ends the start is raised where it was asked for."""
        try:
            asyncio.run(self._serve())
        except BaseException as failure:  # noqa: BLE001
            self._failure = failure
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        engine = Engine(self._environment)
        try:
            settings = ApiSettings(
                host="localhost",
                port=0,
                testing=False,
                hostname=socket.gethostname(),
                device_id="",
                version=__version__,
            )
            server = web.Server(App(engine, settings, InProgress(), is_local=True), access_log=None)
            listener = await self._loop.create_unix_server(server, sock=self._listening)
            self._started.set()
            await self._stopping.wait()
            listener.close()
            await server.shutdown(_CLOSE_S)
        finally:
            await engine.close()
