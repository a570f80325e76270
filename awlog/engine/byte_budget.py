"""So many bytes for all: who wants more than are left waits, in the order of arrival."""

from __future__ import annotations

import asyncio
from collections import deque


class ByteBudget:
    """Loop only. Fair: nobody overtakes one that waits, so a large one is not kept waiting by small ones."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._left_bytes = bytes_max
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting_count(self) -> int:
        return len(self._waiting)

    async def take(self, wanted_bytes: int) -> int:
        """How many were taken: to be given back. One that wants more than there are altogether gets them all."""
        wanted_bytes = min(wanted_bytes, self._bytes_max)
        if self._waiting or wanted_bytes > self._left_bytes:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            entry = (wanted_bytes, turn)
            self._waiting.append(entry)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.give_back(wanted_bytes)
                else:
                    self._waiting.remove(entry)
                    self._admit()
                raise
        else:
            self._left_bytes -= wanted_bytes
        return wanted_bytes

    def give_back(self, taken_bytes: int) -> None:
        self._left_bytes += taken_bytes
        assert self._left_bytes <= self._bytes_max, "what is given back was taken"
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._left_bytes:
            wanted_bytes, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._left_bytes -= wanted_bytes
                turn.set_result(None)
