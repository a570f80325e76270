"""What systemd and its like hand over and want to be told: sockets that listen already, readiness, signs of life."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import Final

from awlog.model.errors import CannotStart

# The first file that a service manager hands over.
_FIRST: Final = 3


def handed_over_sockets() -> list[socket.socket]:
    """Listening sockets from socket activation (`LISTEN_FDS`); none if this was not started so. Raises CannotStart.

    Clients wait in them while nothing runs: not one is refused through a restart.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(os.environ.pop("LISTEN_FDS", "0"))
    del os.environ["LISTEN_PID"]  # a child is not meant
    sockets = []
    for number in range(_FIRST, _FIRST + count):
        os.set_inheritable(number, False)
        handed_over = socket.socket(fileno=number)
        if handed_over.type != socket.SOCK_STREAM or not handed_over.getsockopt(
            socket.SOL_SOCKET, socket.SO_ACCEPTCONN
        ):
            raise CannotStart(f"The file {number} that was handed over in LISTEN_FDS is no listening stream socket")
        handed_over.setblocking(False)
        sockets.append(handed_over)
    return sockets


class ServiceManager:
    """Tells the one that started this process (`NOTIFY_SOCKET`), if it wants to know. Loop only."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        asked_us = (
            os.environ.get("WATCHDOG_USEC", "") if os.environ.get("WATCHDOG_PID") in (None, str(os.getpid())) else ""
        )
        # Twice as often as it wants: a turn of the loop that takes long is no death.
        self._interval_s = int(asked_us) / 2_000_000 if asked_us.isdigit() else 0.0
        self._timer: asyncio.TimerHandle | None = None

    def ready(self, status: str) -> None:
        """It serves. From now on it gives signs of life: those of the loop, on which everything depends."""
        self._tell(f"READY=1\nSTATUS={status}")
        if self._interval_s:
            self._live()

    def wait(self, wait_s: int, status: str) -> None:
        """It takes longer to start than usual: asks for so much time, from now on."""
        self._tell(f"EXTEND_TIMEOUT_USEC={wait_s * 1_000_000}\nSTATUS={status}")

    def stopping(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._tell("STOPPING=1")

    def _live(self) -> None:
        self._tell("WATCHDOG=1")
        self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._live)

    def _tell(self, text: str) -> None:
        if not self._address or os.name != "posix":
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling:
            telling.sendto(text.encode(), address)
