"""Columns: events as arrays, with each distinct payload once. What sealed history and range reads work on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from awlog.model.commands import NewEvent
from awlog.model.event import UNNUMBERED, Change, Event, Payload, Seq
from awlog.model.times import Micros

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Converted at a time, 0.3 ms: a thread lets nobody else work meanwhile.
_STEP_EVENTS: Final = 8192

NO_CHANGES: Final[NDArray[np.int64]] = np.empty(0, np.int64)


class Columns(Struct, frozen=True, eq=False):
    """n events of one bucket; the order is the owner's business.

    seq           int64[n]
    start_us      int64[n]   µs since the epoch, UTC
    duration_us   int64[n]   >= 0
    payload_code  uint32[n]  index into payloads
    payloads      the payloads; in a sealed segment distinct, after a merge of several parts perhaps not
    change        int64[n]   when each became what it is; int64[0] where nobody asks, as in queries
    """

    seq: NDArray[np.int64]
    start_us: NDArray[np.int64]
    duration_us: NDArray[np.int64]
    payload_code: NDArray[np.uint32]
    payloads: list[Payload]
    change: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.seq)

    @property
    def end_us(self) -> NDArray[np.int64]:
        return self.start_us + self.duration_us

    def event(self, row: int) -> Event:
        return Event(
            Seq(int(self.seq[row])),
            Micros(int(self.start_us[row])),
            Micros(int(self.duration_us[row])),
            self.payloads[self.payload_code[row]],
            Change(int(self.change[row])) if len(self.change) else UNNUMBERED,
        )

    def events(self) -> list[Event]:
        """All rows as events, in their order. About 1 µs each."""
        payloads = self.payloads
        rows = zip(
            self.seq.tolist(),
            self.start_us.tolist(),
            self.duration_us.tolist(),
            self.payload_code.tolist(),
            self.change.tolist() if len(self.change) else repeat(UNNUMBERED, len(self)),
            strict=True,
        )
        return [Event(Seq(s), Micros(t), Micros(d), payloads[code], Change(c)) for s, t, d, code, c in rows]

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Columns:
        """The rows of a mask, of indices in their order, or of a slice. The payload list is shared."""
        return Columns(
            self.seq[rows],
            self.start_us[rows],
            self.duration_us[rows],
            self.payload_code[rows],
            self.payloads,
            self.change[rows] if len(self.change) else self.change,
        )

    def compacted(self) -> Columns:
        """The same rows with only the payloads that they use. O(n log n), 0.1 ms for a segment."""
        used, code = np.unique(self.payload_code, return_inverse=True)
        payloads = [self.payloads[old] for old in used.tolist()]
        return Columns(self.seq, self.start_us, self.duration_us, code.astype(np.uint32), payloads, self.change)

    def payload_counts(self) -> list[int]:
        """How many events have each payload, by code. O(n)."""
        counts: list[int] = np.bincount(self.payload_code, minlength=len(self.payloads)).tolist()
        return counts

    def meeting(self, start_us: int, end_us: int) -> Columns:
        """The events that meet [start_us, end_us], both ends inside, uncut."""
        inside = (self.end_us >= start_us) & (self.start_us <= end_us)
        return self if inside.all() else self.take(inside)

    def clipped(self, start_us: int, end_us: int) -> Columns:
        """Each event cut to [start_us, end_us]; all of them must meet it."""
        start = np.maximum(self.start_us, start_us)
        end = np.minimum(self.end_us, end_us)
        return Columns(self.seq, start, end - start, self.payload_code, self.payloads, self.change)

    def newest_first(self) -> Columns:
        """By descending start and ascending seq: the order of range reads. O(n log n), O(n) if starts ascend."""
        if (self.start_us[1:] > self.start_us[:-1]).all():
            return self.take(slice(None, None, -1))
        return self.take(np.lexsort((self.seq, -self.start_us)))


def columns_of(events: Sequence[Event]) -> Columns:
    """Events as columns in the same order, each distinct payload once. About 0.6 µs each."""
    codes: dict[Payload, int] = {}
    code = np.fromiter((codes.setdefault(e.payload, len(codes)) for e in events), np.uint32, len(events))
    return Columns(
        np.fromiter((e.seq for e in events), np.int64, len(events)),
        np.fromiter((e.start_us for e in events), np.int64, len(events)),
        np.fromiter((e.duration_us for e in events), np.int64, len(events)),
        code,
        list(codes),
        np.fromiter((e.change for e in events), np.int64, len(events)),
    )


def columns_of_new(events: Sequence[NewEvent], first_seq: Seq) -> Columns:
    """New events as columns in the same order, with seqs from `first_seq` and changes from 1 on. About 0.1 µs each."""
    count = len(events)
    codes: dict[Payload, int] = {}
    start_us, duration_us = np.empty(count, np.int64), np.empty(count, np.int64)
    code = np.empty(count, np.uint32)
    for at in range(0, count, _STEP_EVENTS):
        step = events[at : at + _STEP_EVENTS]
        rows = slice(at, at + len(step))
        start_us[rows] = [event.start_us for event in step]
        duration_us[rows] = [event.duration_us for event in step]
        code[rows] = [codes.setdefault(event.payload, len(codes)) for event in step]
    seq = np.arange(first_seq, first_seq + count, dtype=np.int64)
    return Columns(seq, start_us, duration_us, code, list(codes), np.arange(1, count + 1, dtype=np.int64))


def joined(parts: Sequence[Columns]) -> Columns:
    """All rows of the parts, one part after the other. Payload codes are moved unless the parts have one payload list;
    payloads are not compared.
    """
    if len(parts) == 1:
        return parts[0]
    codes = [part.payload_code for part in parts]
    payloads: list[Payload] = parts[0].payloads if parts else []
    if any(part.payloads is not payloads for part in parts):
        payloads = []
        for place, part in enumerate(parts):
            codes[place] = part.payload_code + np.uint32(len(payloads))
            payloads.extend(part.payloads)
    empty_int64, empty_uint32 = NO_CHANGES, np.empty(0, np.uint32)
    numbered = all(len(part.change) == len(part) for part in parts)
    return Columns(
        np.concatenate([empty_int64, *(part.seq for part in parts)]),
        np.concatenate([empty_int64, *(part.start_us for part in parts)]),
        np.concatenate([empty_int64, *(part.duration_us for part in parts)]),
        np.concatenate([empty_uint32, *codes]),
        payloads,
        np.concatenate([empty_int64, *(part.change for part in parts)]) if numbered else NO_CHANGES,
    )


def merge_newest_first(parts: Iterable[tuple[int, Callable[[], Columns]]]) -> Iterator[Columns]:
    """Merges parts, each with an upper bound of its starts, into one sequence by descending start and ascending seq.

    The parts come by descending bound and are loaded one at a time, when all that begins later has been yielded: only
    parts that overlap in time are held together. O(n log n) within each overlap.
    """
    held: Columns | None = None
    for max_start_us, load in parts:
        if held is not None:
            later = held.start_us > max_start_us
            if later.any():
                yield held.take(later).newest_first()
                held = held.take(~later)
        part = load()
        if held is None or not len(held):
            held = part
        else:
            held = joined([held if held.payloads is part.payloads else held.compacted(), part])
    if held is not None and len(held):
        yield held.newest_first()


def youngest_row(columns: Columns) -> int:
    """Of the event with the greatest start, of equal ones that with the greatest seq. O(n log n)."""
    return int(np.lexsort((columns.seq, columns.start_us))[-1])


def numbered_from(columns: Columns, first_change: Change) -> Columns:
    """The same events, as if each had become what it is by a change of its own, in their order."""
    change = np.arange(first_change, first_change + len(columns), dtype=np.int64)
    return replace(columns, change=change)
