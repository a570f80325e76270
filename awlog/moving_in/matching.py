"""Which events of a source does a bucket hold already? Pure.

Each event that the bucket held before the import answers for one event of the source: an equal one, else one with the same
start and data. So duplicates in the source stay as many as they are; an import that was ended in the middle and begun again
gives what it would have given, because what it had brought is a beginning of the source; and an event that was still
growing when it was imported first is not stored twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct, field

from awlog.log.columns import Columns
from awlog.model.commands import NewEvent
from awlog.model.event import BucketNumber, Event, Seq, event_id

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NONE: Final[list[Event]] = []


class Matched(Struct):
    """`missing`: to be stored, in the order of the source. `grown`: to replace the shorter event whose id they carry.

    `identical_count` have an equal held event, or one that is longer: by `longer_us` in all.
    """

    missing: list[NewEvent] = field(default_factory=list)
    grown: list[NewEvent] = field(default_factory=list)
    identical_count: int = 0
    longer_us: int = 0


class Held:
    """The events that a bucket held before the import: those with a seq below `seq_below`. One byte for each."""

    def __init__(self, number: BucketNumber, seq_below: Seq) -> None:
        self._number = number
        self._answered: NDArray[np.bool_] = np.zeros(seq_below, np.bool_)

    def is_empty(self) -> bool:
        return len(self._answered) <= 1  # seqs begin with 1

    def answered(self, columns: Columns) -> NDArray[np.bool_]:
        """Of each row: did it answer for an event of the source?"""
        below = columns.seq < len(self._answered)
        found = np.zeros(len(columns), np.bool_)
        found[below] = self._answered[columns.seq[below]]
        return found

    def match(self, events: list[NewEvent], chunks: Iterable[Columns]) -> Matched:
        """`chunks`: what the bucket holds from the least to the greatest start of `events`. 2 µs an event."""
        matched = Matched()
        by_start_and_payload = self._candidates(events, chunks)
        without_equal: list[tuple[NewEvent, list[Event]]] = []
        for event in events:
            candidates = by_start_and_payload.get((event.start_us, event.payload), _NONE)
            equal = next((held for held in candidates if held.duration_us == event.duration_us), None)
            if equal is None:
                without_equal.append((event, candidates))
            else:
                self._take(equal, candidates)
                matched.identical_count += 1
        for event, candidates in without_equal:
            if not candidates:
                matched.missing.append(event)
                continue
            held = max(candidates, key=lambda each: each.duration_us)
            self._take(held, candidates)
            if held.duration_us > event.duration_us:
                matched.identical_count += 1
                matched.longer_us += held.duration_us - event.duration_us
            else:
                wire_id = event_id(self._number, held.seq)
                matched.grown.append(NewEvent(event.start_us, event.duration_us, event.payload, wire_id))
        return matched

    def _candidates(self, events: list[NewEvent], chunks: Iterable[Columns]) -> dict[tuple[int, bytes], list[Event]]:
        """Held events that start when one of `events` does and have not answered yet, in the order of their seqs."""
        starts = np.unique(np.fromiter((event.start_us for event in events), np.int64, len(events)))
        found: dict[tuple[int, bytes], list[Event]] = {}
        for columns in chunks:
            at = np.searchsorted(starts, columns.start_us)
            same = starts[np.minimum(at, len(starts) - 1)] == columns.start_us
            rows = columns.take(same & (columns.seq < len(self._answered)))
            for held in rows.take(~self.answered(rows)).events():
                found.setdefault((held.start_us, held.payload), []).append(held)
        return found

    def _take(self, held: Event, candidates: list[Event]) -> None:
        candidates.remove(held)
        self._answered[held.seq] = True
