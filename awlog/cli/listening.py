"""Sockets that listen from the first moment of a start, before anything is read: early clients wait in the backlog."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Final

from awlog.cli.server_config import ServerConfig
from awlog.model.errors import CannotStart

BACKLOG: Final = 4096


def listen(config: ServerConfig) -> list[socket.socket]:
    """Listening sockets for every address of the host. Raises CannotStart."""
    try:
        found = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        sockets = []
        for family, address in sorted({(entry[0], entry[4]) for entry in found}):
            listening = socket.socket(family, socket.SOCK_STREAM)
            if os.name == "posix":
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Its connections inherit this: a peer that vanished without a word is noticed some day.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(address)
            listening.listen(BACKLOG)
            listening.setblocking(False)
            sockets.append(listening)
    except OSError as error:
        raise CannotStart(
            f"Cannot listen on {config.host} port {config.port}: {error.strerror or error}. "
            "Is another server there (ActivityWatch's own, perhaps)? Stop it, or choose another --port."
        ) from None
    return sockets


def listen_unix(path: Path, mode: int) -> socket.socket:
    """A listening Unix socket, as TCP in all but TLS; one that a crash left is replaced. Raises CannotStart."""
    try:
        if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
            raise CannotStart(f"Cannot listen on {path}: something else is there")
        if _is_alive(path):
            raise CannotStart(f"Cannot listen on {path}: another server does. Choose another --unix-socket.")
        path.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(str(path))
        path.chmod(mode)
        listening.listen(BACKLOG)
    except OSError as error:
        raise CannotStart(f"Cannot listen on {path}: {error.strerror or error}") from None
    listening.setblocking(False)
    return listening


def _is_alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
