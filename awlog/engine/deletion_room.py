"""Room for deletions on a full disk: they need some before they give some back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from awlog.engine.committer import Outcome, Reply
from awlog.model.commands import Command, DeleteBucket, DeleteEvent, EditEvents
from awlog.model.errors import InsufficientStorage
from awlog.storage.room import Reserve

_log: Final = structlog.get_logger(part="engine")

# Commands that give room back.
FREEING: Final = frozenset((DeleteBucket, DeleteEvent, EditEvents))
_RETRY_S: Final = 30.0


class DeletionRoom:
    """Takes the reserve, lets it go for a deletion that finds the disk full, and takes it again later. Loop only."""

    def __init__(self, data_dir: Path, size_bytes: int) -> None:
        """Takes it at once if there is room. `size_bytes`: 0 for none."""
        self._reserve = Reserve(data_dir, size_bytes)
        self._reserve.take()
        self._tried_at_s = -_RETRY_S

    @property
    def is_held(self) -> bool:
        return self._reserve.is_held

    def used_for(self, command: Command, reply: Reply, send: Callable[[Command, Reply], None]) -> Reply:
        """A reply that sends a deletion once more when there is no other room."""

        def told(outcome: Outcome) -> None:
            if isinstance(outcome, InsufficientStorage) and self._reserve.is_held:
                _log.warning("the disk is full: the reserve is used to delete")
                self._reserve.let_go()
                send(command, reply)
            else:
                reply(outcome)

        return told

    def take_again(self) -> None:
        """After each commit without it: tries now and then, until there is room."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._tried_at_s >= _RETRY_S:
            self._tried_at_s = loop.time()
            loop.run_in_executor(None, self._reserve.take)
