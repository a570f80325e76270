"""A picture of a bucket over a range: its events if there are few, else what fills each of a number of equal bins.

The answer's size follows from the bins that were asked for, never from the events. About 0.05 µs an event.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from msgspec import Struct

from awlog.log.columns import Columns
from awlog.model.event import SEQ_BITS, BucketNumber, Payload
from awlog.model.picture import NAME_BYTES_MAX
from awlog.model.times import Micros

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Pieces of events, one for each bin that they reach into, that are held at a time: 8 MB for each array of them.
_PIECES_MAX: Final = 1 << 20
# A table with a place for each bin and name is added up faster than pieces are sorted, up to so many places for each.
_DENSE_PER_PIECE: Final = 8


class Bins(Struct, frozen=True):
    """Equal parts of a range. `width_us` is no whole number, so that they fill it."""

    start_us: Micros
    end_us: Micros
    count: int

    @property
    def width_us(self) -> float:
        return max(1, self.end_us - self.start_us) / self.count


class Sums(Struct):
    """What was found until now.

    covered_us  float64[bins]  time covered by events, each for itself where they overlap
    counts      int64[bins]    events that begin in the bin, or in the first one if they began before
    keys, weights              time by bin and name: bin * 2^32 + the name's number, and µs (and 1 for each piece)
    """

    event_count: int
    covered_us: NDArray[np.float64]
    counts: NDArray[np.int64]
    keys: list[NDArray[np.int64]]
    weights: list[NDArray[np.float64]]


def picture(parts: Iterable[Columns], number: BucketNumber, bins: Bins, *, events_max: int) -> dict[str, Any]:
    """What is drawn of the bucket: `{"events": n, "names": [...], ...}` with `bars` or with `bins`.

    `parts`: the events that meet the range, in any order, with their names for payloads, all of one growing list. Bars
    have their offset to the start of the range, uncut; bins have covered seconds, how many events begin, and the name
    that fills most of it. Neither is there in a range without events.
    """
    sums = Sums(0, np.zeros(bins.count), np.zeros(bins.count, np.int64), [], [])
    few: list[Columns] = []
    names: list[Payload] = []
    for columns in parts:
        if not len(columns):
            continue
        if sums.event_count + len(columns) <= events_max:
            few.append(columns)
        else:
            few.clear()
        names = columns.payloads
        _add(sums, columns, bins)
    if not sums.event_count:
        return {"events": 0, "names": []}
    if sums.event_count <= events_max:
        return _bars(few, number, bins, names)
    return _binned(sums, bins, names)


def _bars(few: list[Columns], number: BucketNumber, bins: Bins, names: list[Payload]) -> dict[str, Any]:
    ids = np.concatenate([columns.seq for columns in few]) | (number << SEQ_BITS)
    start = np.concatenate([columns.start_us for columns in few])
    duration = np.concatenate([columns.duration_us for columns in few])
    numbers = np.concatenate([columns.payload_code for columns in few]).astype(np.int64)
    order = np.lexsort((ids, start))
    shown, places = _used(numbers[order], names)
    return {
        "events": len(ids),
        "names": shown,
        "bars": {
            "id": ids[order].tolist(),
            "offset_s": ((start[order] - bins.start_us) / 1e6).tolist(),
            "duration_s": (duration[order] / 1e6).tolist(),
            "name": places,
        },
    }


def _binned(sums: Sums, bins: Bins, names: list[Payload]) -> dict[str, Any]:
    top = np.full(bins.count, -1, np.int64)
    if sums.keys:
        keys, weights = _added_up(np.concatenate(sums.keys), np.concatenate(sums.weights))
        order = np.lexsort((weights, keys >> 32))
        in_bin = keys[order] >> 32
        last = np.flatnonzero(np.append(in_bin[1:] != in_bin[:-1], True))
        top[in_bin[last]] = keys[order][last] & 0xFFFF_FFFF
    shown, places = _used(top, names)
    return {
        "events": sums.event_count,
        "names": shown,
        "bins": {
            "covered_s": np.round(sums.covered_us / 1e6, 1 if bins.width_us > 60e6 else 3).tolist(),
            "count": sums.counts.tolist(),
            "name": places,
        },
    }


def _add(sums: Sums, columns: Columns, bins: Bins) -> None:
    first = np.clip((columns.start_us - bins.start_us) / bins.width_us, 0, bins.count - 1).astype(np.int64)
    last = np.clip((columns.end_us - bins.start_us) / bins.width_us, 0, bins.count - 1).astype(np.int64)
    sums.event_count += len(columns)
    sums.counts += np.bincount(first, minlength=bins.count)
    pieces = last - first + 1
    cuts = np.flatnonzero(np.diff(np.cumsum(pieces) // _PIECES_MAX)) + 1
    for rows in np.split(np.arange(len(columns)), cuts):
        _add_pieces(sums, columns, bins, first, pieces, rows)


def _add_pieces(
    sums: Sums,
    columns: Columns,
    bins: Bins,
    first: NDArray[np.int64],
    pieces: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> None:
    """Cuts the events of these rows at the edges of the bins."""
    row = np.repeat(rows, pieces[rows])
    begin = np.cumsum(pieces[rows]) - pieces[rows]
    at = first[row] + np.arange(len(row)) - np.repeat(begin, pieces[rows])
    left = bins.start_us + at * bins.width_us
    start = np.maximum(columns.start_us[row], left)
    end = np.minimum(columns.start_us[row] + columns.duration_us[row], left + bins.width_us)
    inside_us = np.maximum(end - start, 0)
    sums.covered_us += np.bincount(at, inside_us, bins.count)
    # One more for each, so that events without length are seen too.
    keys, weights = _added_up_at(at, columns.payload_code[row].astype(np.int64), inside_us + 1)
    sums.keys.append(keys)
    sums.weights.append(weights)


def _added_up_at(
    bins: NDArray[np.int64], names: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """`_added_up` by bin and name, each weight above 0: without sorting where a segment fills few bins with few names."""
    first_bin, last_bin, name_count = int(bins.min()), int(bins.max()), int(names.max()) + 1
    if (last_bin - first_bin + 1) * name_count > _DENSE_PER_PIECE * len(bins):
        return _added_up(bins << 32 | names, weights)
    dense = np.bincount((bins - first_bin) * name_count + names, weights).astype(np.float64)
    found = np.flatnonzero(dense)
    return (found // name_count + first_bin) << 32 | found % name_count, dense[found]


def _added_up(keys: NDArray[np.int64], weights: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    distinct, place = np.unique(keys, return_inverse=True)
    return distinct, np.bincount(place, weights).astype(np.float64)


def _used(numbers: NDArray[np.integer[Any]], names: list[Payload]) -> tuple[list[str], list[int]]:
    """The names that are in use, sorted, and for each number its place among them; -1 stays."""
    distinct, place = np.unique(numbers, return_inverse=True)
    known = sorted((names[number], at) for at, number in enumerate(distinct.tolist()) if number >= 0)
    rank = np.full(len(distinct), -1, np.int64)
    rank[[at for _, at in known]] = np.arange(len(known))
    return [_cut(name.decode()) for name, _ in known], rank[place].tolist()


def _cut(name: str) -> str:
    while len(msgspec.json.encode(name)) > NAME_BYTES_MAX:
        name = name[: len(name) * 7 // 8] + "…"
    return name
