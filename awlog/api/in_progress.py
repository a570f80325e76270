"""How many requests are being answered, so that a stop can wait for them."""

from __future__ import annotations

import asyncio
from typing import Final

# What aiohttp has been given is a request in progress after so many turns of the loop: its task begins, reads what was
# parsed, and begins a task for the handler.
_TURNS: Final = 3


class InProgress:
    """One count for all ways in. For the loop's thread."""

    __slots__ = ("_count", "_none", "stopping")

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self.stopping = False

    def begin(self) -> None:
        self._count += 1

    def end(self) -> None:
        self._count -= 1
        assert self._count >= 0, "what ends has begun"
        if self.stopping and not self._count:
            self._none.set()

    async def finish(self, patience_s: float) -> None:
        """Returns when no request is in progress, or the patience is over. New ones are the last of their connection."""
        self.stopping = True
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
