"""What goes on while the disk is full: deletions, which may take the reserve, and what adds nothing. The rest is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from awlog.engine.committer import Outcome, Reply
from awlog.log.write_set import WriteSet
from awlog.model.commands import Command, DeleteBucket, DeleteEvent, EditEvents, RevokeToken
from awlog.model.errors import Busy, InsufficientStorage
from awlog.model.facts import Fact, TailExtended
from awlog.storage.reserve import Reserve

# Commands that give room back, and one that nobody should have to wait with.
FREEING: Final = frozenset((DeleteBucket, DeleteEvent, EditEvents, RevokeToken))


class FullDisk:
    """Knows since when a commit found no room; whether that is still so is seen when something wants to grow. Loop only.

    While it is, what grows joins no batch, so that a batch with a deletion is not refused because of others in it.
    """

    def __init__(self, reserve: Reserve) -> None:
        """Takes the reserve, if there is room for it."""
        self._reserve = reserve
        self._found: InsufficientStorage | None = None
        # Not even what adds nothing could be committed: there is no reserve, or most of it is taken.
        self._is_at_the_end = False
        reserve.is_there()

    @property
    def is_full(self) -> bool:
        return self._found is not None

    def note(self, failure: Busy | None) -> None:
        """Tells why a commit failed."""
        if isinstance(failure, InsufficientStorage):
            self._is_at_the_end = self._found is not None
            self._found = failure

    def refusal(self, facts: list[Fact], writes: WriteSet) -> InsufficientStorage | None:
        """Why these facts may not join a batch of `writes`. Some 50 µs while the disk is full.

        A batch that fails costs a start over: what would fail again is refused here.
        """
        if self._found is None:
            return None
        grows = not all(type(fact) is TailExtended for fact in facts)
        if not grows and not self._is_at_the_end:
            return None
        if not self._reserve.is_there(grows=grows):
            return InsufficientStorage(str(self._found))
        self._is_at_the_end = False
        if grows:
            self._found = None
            writes.may_use_reserve = False
        return None

    def reply_to_deletion(
        self, command: Command, reply: Reply, writes: WriteSet, send: Callable[[Command, Reply], None]
    ) -> Reply:
        """Lets a deletion that joins `writes` use the reserve; or gives a reply that sends it again when it must."""
        if self._found is not None:
            writes.may_use_reserve = True
            return reply
        if not self._reserve.size_bytes:
            return reply

        def told(outcome: Outcome) -> None:
            if isinstance(outcome, InsufficientStorage):
                self._found = outcome
                send(command, reply)
            else:
                reply(outcome)

        return told

    def why(self) -> str | None:
        """For those who watch: what was found, if it is still so."""
        return None if self._found is None or self._reserve.is_there() else str(self._found)
