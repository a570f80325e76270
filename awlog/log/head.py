"""The head of a bucket: its records that are not sealed yet, but for the tail record.

By seq for lookups and sealing, by start for reads. Bounded by sealing: each to about two segments' worth, and all of
them together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from sortedcontainers import SortedList

from awlog.model.event import Event, Seq
from awlog.model.times import Micros

# What a record takes in a server beside the text of its payload: the event and its numbers 190 bytes, the payload's object
# 33, and in each of the two states a place in a dictionary and one in the order, 130.
RECORD_BYTES: Final = 480


class Head:
    """Records by seq, and sorted by (start, -seq): read backwards that is the order of range reads.

    New records are put in order when somebody asks for the order: one that only grows, as the staged state's does, is
    never sorted, and what a second of heartbeats adds is sorted at once.
    `longest_us` is at least the longest duration held, so that a read knows how far back an event may begin that still
    reaches into its range. It only falls when the head is rebuilt. `size_bytes`: what the records take in memory.
    """

    __slots__ = ("_longest_us", "_order", "_records", "_unordered", "size_bytes")

    def __init__(self) -> None:
        self._records: dict[Seq, Event] = {}
        self._order: SortedList[tuple[Micros, int]] = SortedList()
        self._unordered: list[tuple[Micros, int]] = []
        self._longest_us = 0
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self._records)

    def get(self, seq: Seq) -> Event | None:
        return self._records.get(seq)

    def put(self, event: Event) -> None:
        """Adds the record or replaces the one with its seq. About 0.3 µs for a new one."""
        known = self._records.get(event.seq)
        if known is not None:
            self._ordered().remove((known.start_us, -known.seq))
            self.size_bytes -= RECORD_BYTES + len(known.payload)
        self._records[event.seq] = event
        self.size_bytes += RECORD_BYTES + len(event.payload)
        self._unordered.append((event.start_us, -event.seq))
        if event.duration_us > self._longest_us:
            self._longest_us = event.duration_us

    def put_all(self, events: Iterable[Event]) -> None:
        """Adds records whose seqs are not held yet."""
        added = list(events)
        assert not any(event.seq in self._records for event in added), "only new records are added in bulk"
        self._records.update([(event.seq, event) for event in added])
        self._unordered += [(event.start_us, -event.seq) for event in added]
        self._longest_us = max([self._longest_us, *[event.duration_us for event in added]])
        self.size_bytes += _size_bytes(added)

    def remove(self, seq: Seq) -> None:
        event = self._records.pop(seq)
        self.size_bytes -= RECORD_BYTES + len(event.payload)
        self._ordered().remove((event.start_us, -event.seq))

    def remove_all(self, seqs: Iterable[Seq]) -> None:
        """Removes many records by building what is left anew: O(left), about 1 ms for 4,096 of them."""
        for seq in seqs:
            del self._records[seq]
        left = self._records.values()
        self._order = SortedList()
        self._unordered = [(event.start_us, -event.seq) for event in left]
        self._longest_us = max([event.duration_us for event in left], default=0)
        self.size_bytes = _size_bytes(left)

    def _ordered(self) -> SortedList[tuple[Micros, int]]:
        """All records in order. O(n log n) of those that are new, least if they come in order."""
        if self._unordered:
            self._order.update(self._unordered)
            self._unordered = []
        return self._order

    def oldest(self, count_max: int) -> list[Event]:
        """The records with the least seqs, in their order. O(n log n)."""
        return [self._records[seq] for seq in sorted(self._records)[:count_max]]

    def newest_first(self, start_us: int, end_us: int) -> Iterator[Event]:
        """The records that meet [start_us, end_us], by descending start and ascending seq.

        Lazy; O(log n + looked at).
        """
        least = (Micros(start_us - self._longest_us), -(1 << 63))
        for _, minus_seq in self._ordered().irange(least, (Micros(end_us), 0), reverse=True):
            event = self._records[Seq(-minus_seq)]
            if event.end_us >= start_us:
                yield event

    def count_from(self, start_us: int) -> int:
        """How many records begin at this instant or later. O(log n)."""
        order = self._ordered()
        return len(order) - order.bisect_left((Micros(start_us), -(1 << 63)))

    def youngest(self) -> Event | None:
        """The record with the greatest start, of equal ones the greatest seq. O(log n + equal starts)."""
        order = self._ordered()
        if not order:
            return None
        start_us = order[-1][0]
        first_of_equals = next(order.irange((start_us, -(1 << 63)), None))
        return self._records[Seq(-first_of_equals[1])]

    def min_start_us(self) -> Micros | None:
        order = self._ordered()
        return order[0][0] if order else None

    def max_end_us(self) -> Micros | None:
        """O(records that begin within `longest_us` of the newest): the others cannot end later."""
        order = self._ordered()
        if not order:
            return None
        newest_start_us = order[-1][0]
        least = (Micros(newest_start_us - self._longest_us), -(1 << 63))
        reach = order.irange(least, None)
        return max(self._records[Seq(-minus_seq)].end_us for _, minus_seq in reach)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._records.values())


def _size_bytes(events: Collection[Event]) -> int:
    return RECORD_BYTES * len(events) + sum([len(event.payload) for event in events])
