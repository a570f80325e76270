"""The Unix socket in the data directory, by which commands on this machine reach the server that owns the data.

The file is the owner's alone, as the directory is: who can open it may do everything (`App(is_local=True)`), and needs no
token for it.
"""

from __future__ import annotations

import errno
import http.client
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from awlog.model.errors import CannotStart, Refused

SOCKET_FILE: Final = "awlog.sock"
_BACKLOG: Final = 64


class ServerRefused(Refused):
    """The running server refused; the text is its own."""


def listen_locally(data_dir: Path) -> socket.socket | None:
    """A listening socket in a data directory that this process has locked; one that a crash left is replaced.

    None where the system has no such sockets, and on a read-only file system. Raises CannotStart.
    """
    if os.name != "posix":
        return None
    try:
        (data_dir / SOCKET_FILE).unlink(missing_ok=True)
    except OSError as error:
        if error.errno == errno.EROFS:
            return None
        raise CannotStart(f"{data_dir / SOCKET_FILE} cannot be replaced: {error.strerror}") from None
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _reachable(data_dir) as path:
            listening.bind(path)
        (data_dir / SOCKET_FILE).chmod(0o600)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EROFS:
            return None
        raise CannotStart(f"Cannot listen on {data_dir / SOCKET_FILE}: {error.strerror or error}") from None
    listening.setblocking(False)
    return listening


def stop_listening_locally(data_dir: Path) -> None:
    """Removes the socket's file, if there is one."""
    with suppress(OSError):
        (data_dir / SOCKET_FILE).unlink()


class LocalServer:
    """The server that runs on a data directory, asked by its socket, one request after the other."""

    def __init__(self, data_dir: Path, *, timeout_s: float | None = None) -> None:
        """Raises OSError if no server listens there."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout_s)
        try:
            with _reachable(data_dir) as path:
                self._socket.connect(path)
        except OSError:
            self._socket.close()
            raise
        self._connection = http.client.HTTPConnection("localhost")
        self._connection.sock = self._socket

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded JSON of the answer. `body` is sent as JSON. Raises ServerRefused."""
        response = self.open(method, path, body)
        content = response.read()
        return msgspec.json.decode(content) if content else None

    def open(self, method: str, path: str, body: Any = None) -> http.client.HTTPResponse:
        """The answer, for the caller to read to its end. Raises ServerRefused."""
        encoded = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        self._connection.request(method, path, encoded, headers)
        response = self._connection.getresponse()
        if response.status >= 400:
            raise ServerRefused(_message(response.read()) or f"The server answered {response.status}")
        return response

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> LocalServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def running_server(data_dir: Path) -> LocalServer | None:
    """The server that owns the directory; None if none is running. The caller closes it."""
    try:
        return LocalServer(data_dir)
    except OSError:
        return None


def _message(body: bytes) -> str:
    try:
        refusal = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return ""
    return str(refusal.get("message", ""))


@contextmanager
def _reachable(data_dir: Path) -> Iterator[str]:
    """A path to the socket that is short enough for a socket's address (108 bytes), however long the directory's is."""
    plain = str(data_dir / SOCKET_FILE)
    if len(os.fsencode(plain)) < 100:
        yield plain
        return
    folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET_FILE}"
    finally:
        os.close(folder)
