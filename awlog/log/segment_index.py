"""Which segments can hold events of [start, end]? Answered in memory, without opening a segment."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from sortedcontainers import SortedKeyList

from awlog.log.columns import Columns
from awlog.model.event import Change, Seq
from awlog.model.times import Micros

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SegmentEntry(Struct, frozen=True):
    """What is known of a sealed segment. `first_seq`, its key, is the least seq in it; `revision` is never given twice."""

    first_seq: Seq
    last_seq: Seq
    count: int
    min_start_us: Micros
    max_start_us: Micros
    max_end_us: Micros
    min_change: Change
    max_change: Change
    revision: int


def entry_of(columns: Columns, revision: int) -> SegmentEntry:
    """The entry that describes these events, which are in the order of their seqs. About 20 µs for a full segment."""
    return SegmentEntry(
        first_seq=Seq(int(columns.seq[0])),
        last_seq=Seq(int(columns.seq[-1])),
        count=len(columns),
        min_start_us=Micros(int(columns.start_us.min())),
        max_start_us=Micros(int(columns.start_us.max())),
        max_end_us=Micros(int(columns.end_us.max())),
        min_change=Change(int(columns.change.min())),
        max_change=Change(int(columns.change.max())),
        revision=revision,
    )


def describes(entry: SegmentEntry, columns: Columns) -> bool:
    """Are these the events that the entry speaks of? The changes are compared if they are there."""
    if len(columns.change):
        return entry_of(columns, entry.revision) == entry
    return entry_of(replace(columns, change=np.array([entry.min_change, entry.max_change])), entry.revision) == entry


def _by_start(entry: SegmentEntry) -> tuple[int, int]:
    return (entry.min_start_us, entry.first_seq)


class SegmentIndex:
    """The entries of one bucket, sorted by their least start.

    Segments may overlap in time, and their seq ranges may too: a tail record that stayed behind is sealed later.
    `longest_us` is at least the longest span of a segment, so that a read knows how far back to look.
    """

    __slots__ = ("_by_seq", "_entries", "_event_count", "_longest_us", "_max_end_us")

    def __init__(self) -> None:
        self._entries: SortedKeyList[SegmentEntry, tuple[int, int]] = SortedKeyList(key=_by_start)
        self._by_seq: dict[Seq, SegmentEntry] = {}
        self._longest_us = 0
        self._max_end_us: Micros | None = None
        self._event_count = 0

    def __len__(self) -> int:
        return len(self._by_seq)

    def __iter__(self) -> Iterator[SegmentEntry]:
        return iter(self._entries)

    def get(self, first_seq: Seq) -> SegmentEntry | None:
        return self._by_seq.get(first_seq)

    def put(self, entry: SegmentEntry) -> None:
        """Adds the entry or replaces the one of the same segment. O(log n); a replacement O(n)."""
        if entry.first_seq in self._by_seq:
            self.remove(entry.first_seq)
        self._entries.add(entry)
        self._by_seq[entry.first_seq] = entry
        self._event_count += entry.count
        self._longest_us = max(self._longest_us, entry.max_end_us - entry.min_start_us)
        self._max_end_us = entry.max_end_us if self._max_end_us is None else max(self._max_end_us, entry.max_end_us)

    def remove(self, first_seq: Seq) -> None:
        self.remove_all([first_seq])

    def remove_all(self, first_seqs: Collection[Seq]) -> None:
        """Many at once: what is left is looked at once."""
        for first_seq in first_seqs:
            entry = self._by_seq.pop(first_seq)
            self._entries.remove(entry)
            self._event_count -= entry.count
        if first_seqs:
            self._max_end_us = max((entry.max_end_us for entry in self._entries), default=None)

    def meeting(self, start_us: int, end_us: int) -> list[SegmentEntry]:
        """The segments whose [min start, max end] meets the range, by descending greatest start."""
        reach = self._entries.irange_key((start_us - self._longest_us, 0), (end_us, 1 << 63))
        met = [entry for entry in reach if entry.max_end_us >= start_us]
        met.sort(key=lambda entry: entry.max_start_us, reverse=True)
        return met

    def newest_meeting(self, start_us: int, end_us: int, count_max: int) -> list[SegmentEntry]:
        """As `meeting`, but only those that may hold one of the newest `count_max` events of the range.

        O(those), and those that overlap with them in time; not O(history).
        """
        met: list[SegmentEntry] = []
        inside_count = 0
        enough_us: int | None = None  # so many events begin here or later
        least = (start_us - self._longest_us, 0)
        for entry in self._entries.irange_key(least, (end_us, 1 << 63), reverse=True):
            if enough_us is not None:
                if entry.min_start_us < enough_us - self._longest_us:
                    break
                if entry.max_start_us < enough_us:
                    continue
            if entry.max_end_us < start_us:
                continue
            met.append(entry)
            if enough_us is None and entry.min_start_us >= start_us and entry.max_start_us <= end_us:
                inside_count += entry.count
                if inside_count >= count_max:
                    enough_us = entry.min_start_us
        met.sort(key=lambda entry: entry.max_start_us, reverse=True)
        return met

    def maybe_holding(self, seq: Seq) -> Iterator[SegmentEntry]:
        """The segments whose seq range includes `seq`; nearly always at most one. O(n)."""
        return (entry for entry in self._entries if entry.first_seq <= seq <= entry.last_seq)

    def maybe_holding_any(self, firsts: NDArray[np.int64], lasts: NDArray[np.int64]) -> list[SegmentEntry]:
        """The segments whose seq range meets one of these, which ascend and do not overlap. O(n), 0.3 µs each."""
        entries = list(self._entries)
        if not entries:
            return []
        # The last range that begins at or before the segment's end must end at or behind its beginning.
        at = firsts.searchsorted([entry.last_seq for entry in entries], side="right") - 1
        met = (at >= 0) & (lasts[at] >= [entry.first_seq for entry in entries])
        return [entries[place] for place in met.nonzero()[0].tolist()]

    def min_start_us(self) -> Micros | None:
        return self._entries[0].min_start_us if self._entries else None

    def max_end_us(self) -> Micros | None:
        return self._max_end_us

    def event_count(self) -> int:
        """O(1)."""
        return self._event_count

    def by_descending_seq(self) -> Iterator[SegmentEntry]:
        """O(n), 20 ns each, as most came in the order of their seqs."""
        return (self._by_seq[first_seq] for first_seq in sorted(self._by_seq, reverse=True))

    def newest(self) -> SegmentEntry | None:
        """The segment with the greatest least start."""
        return self._entries[-1] if self._entries else None
