"""Reads that last: an export, a query, a feed. Whoever is not let in any more gets no more of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from awlog.model.access import Access
from awlog.model.errors import Unauthorized


class Checking(Protocol):
    """The part of the engine that says who may do what."""

    def check(self, access: Access) -> None:
        """Raises Unauthorized if who was admitted would not be admitted now."""


class LastingReads:
    """Reads that are being answered, and for whom. Loop only."""

    def __init__(self, tokens: Checking) -> None:
        self._tokens = tokens
        self._readers: dict[asyncio.Task[Any], Access] = {}
        self._refused: dict[asyncio.Task[Any], Unauthorized] = {}

    @contextmanager
    def watched(self, access: Access) -> Iterator[None]:
        """For the task of a read. Raises Unauthorized in the middle of it when `sweep` finds that it must end. 1 µs."""
        task = asyncio.current_task()
        assert task is not None, "a request is answered in a task"
        self._readers[task] = access
        try:
            yield
        except asyncio.CancelledError:
            refusal = self._refused.get(task)
            if refusal is None:
                raise
            task.uncancel()
            raise refusal from None
        finally:
            self._readers.pop(task, None)
            self._refused.pop(task, None)

    def sweep(self) -> None:
        """Ends those of tokens that were revoked or have expired; once a second. O(reads)."""
        for task, access in list(self._readers.items()):
            try:
                self._tokens.check(access)
            except Unauthorized as refusal:
                del self._readers[task]
                self._refused[task] = refusal
                task.cancel()
