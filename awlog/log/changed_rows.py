"""The events with the least change numbers behind a given one, of parts that come one by one. In bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from awlog.log.columns import Columns
from awlog.model.event import BucketNumber, Change, Event

# Rows that are held before those beyond the page are let go, as multiples of the page.
_HELD_PAGES: Final = 4


class ChangedRows:
    """Events that may be on the page, and the greatest change that can be on it."""

    def __init__(self, after: Change, entries_max: int, singles: list[Change]) -> None:
        """`singles`: the changes of what is no event and may be on the page."""
        self._after = after
        self._entries_max = entries_max
        self._singles = np.array(singles, np.int64)
        self._parts: list[tuple[BucketNumber, Columns]] = []
        self._held = 0
        self._cut: int | None = None

    def add(self, number: BucketNumber, columns: Columns) -> None:
        newer = columns.change > self._after
        if not newer.all():
            columns = columns.take(newer)
        if not len(columns):
            return
        self._parts.append((number, columns))
        self._held += len(columns)
        self._cut = None
        if self._held > _HELD_PAGES * self._entries_max:
            self._let_go()

    def cut(self) -> int:
        """The change of the last entry that fits on the page; beyond all if there is room."""
        if self._cut is None:
            numbers = np.concatenate([self._singles, *(columns.change for _, columns in self._parts)])
            room = self._entries_max
            self._cut = (1 << 63) - 1 if len(numbers) <= room else int(np.partition(numbers, room - 1)[room - 1])
        return self._cut

    def events(self, number: BucketNumber, cut: int) -> Iterator[Event]:
        for of, columns in self._parts:
            if of == number:
                yield from columns.take(columns.change <= cut).events()

    def _let_go(self) -> None:
        """Of the rows beyond the page; what stays is copied, so that nothing of a whole segment is held for it."""
        cut = self.cut()
        kept = [(number, columns.take(columns.change <= cut)) for number, columns in self._parts]
        self._parts = [(number, columns.compacted()) for number, columns in kept if len(columns)]
        self._held = sum(len(columns) for _, columns in self._parts)
