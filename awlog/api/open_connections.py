"""The connections that are open: counted, together and of each address, and looked at once a second by one timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from awlog.api.configuration import EdgeLimits
from awlog.api.proxies import UNIX_PEER, Proxies

SWEEP_S: Final = 1.0


class Connection(Protocol):
    def tick(self) -> None:
        """Once a second."""

    def close(self) -> None:
        """The server stops."""


class OpenConnections:
    """Loop only.

    on_full, on_room  told when as many connections are open as there may be, and when there is room again
    on_sweep          told once a second, while there are connections
    """

    def __init__(self, limits: EdgeLimits, proxies: Proxies, sweep_more: Callable[[], bool]) -> None:
        """Connections of `proxies`, behind each of which are many clients, are counted only in all.

        `sweep_more` is called at each sweep, too; it says whether it wants another, also without any connection.
        """
        self.on_full: Callable[[], None] = lambda: None
        self.on_room: Callable[[], None] = lambda: None
        self.on_sweep: Callable[[], None] = lambda: None
        self._limits = limits
        self._proxies = proxies
        self._sweep_more = sweep_more
        self._is_full = False
        self._counts: dict[str, int] = {}  # of each address
        self._connections: set[Connection] = set()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, connection: Connection) -> None:
        """Counts one more that is open, if it is not counted yet."""
        self._connections.add(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(SWEEP_S, self._sweep_again)
        if len(self._connections) >= self._limits.connections and not self._is_full:
            self._is_full = True
            self._loop.call_soon(self.on_full)  # not at once: this one is not accepted yet

    def is_shared(self, address: str) -> bool:
        """Is it not of one client: a Unix socket's, or a proxy's?"""
        return address == UNIX_PEER or (bool(self._proxies) and self._proxies.trusts(address))

    def admit(self, address: str) -> bool:
        """Counts one more connection of this address. False if it has too many."""
        count = self._counts.get(address, 0)
        if count >= self._limits.connections_per_address:
            return False
        self._counts[address] = count + 1
        return True

    def remove(self, connection: Connection, address: str | None) -> None:
        """`address`: the one it was counted under, if it was admitted."""
        self._connections.discard(connection)
        if address is not None:
            count = self._counts[address] - 1
            if count:
                self._counts[address] = count
            else:
                del self._counts[address]
        if self._is_full and len(self._connections) < self._limits.connections:
            self._is_full = False
            self.on_room()

    def close(self) -> None:
        """Closes all, and ends the sweep."""
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._connections):
            connection.close()

    def sweep(self) -> bool:
        """Is there something left to watch?"""
        self.on_sweep()
        more = self._sweep_more()
        for connection in list(self._connections):
            connection.tick()
        return more or bool(self._connections)

    def _sweep_again(self) -> None:
        self._timer = self._loop.call_later(SWEEP_S, self._sweep_again) if self.sweep() else None
