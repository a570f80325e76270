"""How many requests are being answered, so that a stop can wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

# What aiohttp has been given is a request in progress after so many turns of the loop: its task begins, reads what was
# parsed, and begins a task for the handler.
_TURNS: Final = 3


class InProgress:
    """One count for all ways in. For the loop's thread."""

    __slots__ = ("_count", "_none", "_told", "stopping")

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._told: set[Callable[[], object]] = set()
        self.stopping = False

    def begin(self) -> None:
        self._count += 1

    def end(self) -> None:
        self._count -= 1
        assert self._count >= 0, "what ends has begun"
        if self.stopping and not self._count:
            self._none.set()

    @contextmanager
    def telling(self, stop: Callable[[], object]) -> Iterator[None]:
        """For streams, which may last for ever: calls `stop` when the server stops while the context is open."""
        self._told.add(stop)
        if self.stopping:
            stop()
        try:
            yield
        finally:
            self._told.discard(stop)

    async def finish(self, patience_s: float) -> None:
        """Returns when no request is in progress, or the patience is over. New ones are the last of their connection."""
        self.stopping = True
        for stop in list(self._told):
            stop()
        try:
            async with asyncio.timeout(patience_s):
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
                while self._count:
                    self._none.clear()
                    await self._none.wait()
                    for _ in range(_TURNS):  # one may have left the fast lane for aiohttp
                        await asyncio.sleep(0)
        except TimeoutError:
            pass
