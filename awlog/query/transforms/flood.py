"""flood: closes the small gaps between events, and cuts overlaps so that no time is counted twice.

Two steps. First each neighbouring pair, from left to right; the only thing that one pair hands to the next is what became
of its right event. So all pairs are computed at once from a guess of these (the stored events), then again those whose left
neighbour came out different, until nothing changes: the first event is right from the start, so what is stable is the
answer. Then, only where events still overlap, the later cuts the earlier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from awlog.query.events import EventList, unit_us

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Times = NDArray[np.int64]

PULSETIME_US: Final = 5_000_000
# An overlap of other data shorter than this counts as a gap.
_OVERLAP_TRIMMED_US: Final = 100_000
# Far beyond all time that can be shown, far from the edge of int64.
_PULSETIME_MAX_US: Final = 1 << 61
# Watchers need some tens of passes, most of them over few events. Beyond, the plain loop is faster.
_PASSES_MAX: Final = 300
# Fewer events than this go through the plain loop at once.
_FEW: Final = 24


def flood(events: EventList, pulsetime_us: int = PULSETIME_US) -> EventList:
    """By ascending start, without overlaps and without events of no length. About 0.4 µs an event."""
    if not len(events):
        return events
    unit = unit_us(events)
    events = by_start_and_duration(events)
    classes = events.payloads.classes(events.payload)
    same = classes[1:] == classes[:-1]
    pulse_us = max(-_PULSETIME_MAX_US, min(pulsetime_us, _PULSETIME_MAX_US))
    start, duration = (
        close_gaps_by_loop(events.start_us, events.duration_us, same, pulse_us, unit)
        if len(events) < _FEW
        else close_gaps(events.start_us, events.duration_us, same, pulse_us, unit)
    )
    long = duration > 0
    events = events.at(start, duration).take(long)
    return cut_overlaps(events, classes[long])


def by_start_and_duration(events: EventList) -> EventList:
    """By ascending start, equal starts by ascending duration. O(n) for lists as storage gives them."""
    order = np.argsort(events.start_us, kind="stable")
    start = events.start_us[order]
    tied = start[1:] == start[:-1]
    if tied.any():
        rows = np.flatnonzero(np.append(tied, False) | np.append(False, tied))
        among = order[rows]
        order[rows] = among[np.lexsort((events.duration_us[among], events.start_us[among]))]
    return events.take(order)


def close_gaps(start: Times, duration: Times, same: NDArray[np.bool_], pulse_us: int, unit: int) -> tuple[Times, Times]:
    """Starts and durations after each neighbouring pair was looked at once, from left to right."""
    # What each event is when its right neighbour meets it. The first guess: as it is stored.
    handed_start, handed_duration = start.copy(), duration.copy()
    pairs: NDArray[np.intp] | slice = slice(0, len(same))
    rights: NDArray[np.intp] | slice = slice(1, len(same) + 1)
    for _ in range(_PASSES_MAX):
        right_start, right_duration = _right_of_pairs(
            handed_start[pairs] + handed_duration[pairs], handed_start[pairs], handed_duration[pairs],
            start[rights], duration[rights], same[pairs], pulse_us, unit,
        )  # fmt: skip
        changed = (right_start != handed_start[rights]) | (right_duration != handed_duration[rights])
        handed_start[rights] = right_start
        handed_duration[rights] = right_duration
        moved = np.flatnonzero(changed)
        pairs = moved + 1 if isinstance(rights, slice) else rights[moved]
        if len(pairs) and pairs[-1] == len(same):
            pairs = pairs[:-1]  # the last event has no right neighbour
        if not len(pairs):
            break
        rights = pairs + 1
    else:
        return close_gaps_by_loop(start, duration, same, pulse_us, unit)
    left_start, left_duration = _left_of_pairs(
        handed_start[:-1], handed_duration[:-1], start[1:], duration[1:], same, pulse_us
    )
    return np.append(left_start, handed_start[-1]), np.append(left_duration, handed_duration[-1])


def _middles(
    a_end: Times, b_start: Times, same: NDArray[np.bool_], pulse_us: int
) -> tuple[Times, NDArray[np.bool_], NDArray[np.intp]]:
    """Of many pairs: the middles of the gaps, where they count, and the rows in which equal data are joined."""
    gap = b_start - a_end
    counts = (gap > -_OVERLAP_TRIMMED_US) & (gap <= pulse_us)
    joined = np.flatnonzero(same)
    joined = joined[(gap[joined] < 0) | (counts[joined] & (gap[joined] > 0))]
    half = gap >> 1
    half += gap & half & 1  # half to even
    half += a_end
    return half, counts & ~same, joined  # a gap of nothing has its middle at both edges


def _right_of_pairs(
    a_end: Times, a_start: Times, a_duration: Times, b_start: Times, b_duration: Times, same: NDArray[np.bool_],
    pulse_us: int, unit: int,
) -> tuple[Times, Times]:  # fmt: skip
    """Many pairs at once: start and duration of `b` when its pair is done."""
    middle, halved, joined = _middles(a_end, b_start, same, pulse_us)
    new_start: Times = np.where(halved, middle, b_start)
    new_duration: Times = b_duration - (new_start - b_start)
    new_start -= halved * (middle % unit)
    if len(joined):
        a_start, a_end, a_duration = a_start[joined], a_end[joined], a_duration[joined]
        b_start, b_duration = b_start[joined], b_duration[joined]
        b_end = b_start + b_duration
        into_b = (b_start > a_end) & (a_duration < b_duration)
        end = np.where(b_start < a_end, np.maximum(a_end, b_end), b_end)
        new_start[joined] = np.where(into_b, a_start, end - end % unit)
        new_duration[joined] = np.where(into_b, b_end - a_start, 0)
    return new_start, new_duration


def _left_of_pairs(
    a_start: Times, a_duration: Times, b_start: Times, b_duration: Times, same: NDArray[np.bool_], pulse_us: int
) -> tuple[Times, Times]:
    """Many pairs at once: start and duration of `a` when its pair is done."""
    middle, halved, joined = _middles(a_start + a_duration, b_start, same, pulse_us)
    new_start = a_start
    new_duration = np.where(halved, middle, a_start + a_duration) - a_start
    if len(joined):
        new_start = a_start.copy()
        a_start, a_duration = a_start[joined], a_duration[joined]
        b_start, b_duration = b_start[joined], b_duration[joined]
        a_end, b_end = a_start + a_duration, b_start + b_duration
        overlap = b_start < a_end
        new_start[joined] = np.where(overlap, np.minimum(a_start, b_start), a_start)
        end = np.where(overlap, np.maximum(a_end, b_end), b_end)
        into_b = ~overlap & (a_duration < b_duration)
        new_duration[joined] = np.where(into_b, 0, end - new_start[joined])
    return new_start, new_duration


def close_gaps_by_loop(
    start: Times, duration: Times, same: NDArray[np.bool_], pulse_us: int, unit: int
) -> tuple[Times, Times]:
    """What `close_gaps` gives, one pair after the other. About 1 µs a pair."""
    starts, durations = start.tolist(), duration.tolist()
    for i, equal in enumerate(same.tolist()):
        a_start, a_duration, b_start, b_duration = starts[i], durations[i], starts[i + 1], durations[i + 1]
        a_end, b_end = a_start + a_duration, b_start + b_duration
        gap = b_start - a_end
        if gap == 0:
            continue
        if gap < 0 and equal:
            end = max(a_end, b_end)
            starts[i] = min(a_start, b_start)
            durations[i] = end - starts[i]
            starts[i + 1], durations[i + 1] = end - end % unit, 0
        elif -_OVERLAP_TRIMMED_US < gap <= pulse_us:
            if not equal:
                half = gap >> 1
                middle = a_end + half + (gap & half & 1)
                durations[i] = middle - a_start
                starts[i + 1], durations[i + 1] = middle - middle % unit, b_end - middle
            elif a_duration >= b_duration:
                durations[i] = b_end - a_start
                starts[i + 1], durations[i + 1] = b_end - b_end % unit, 0
            else:
                durations[i] = 0
                starts[i + 1], durations[i + 1] = a_start, b_end - a_start
    return np.array(starts, np.int64), np.array(durations, np.int64)


def cut_overlaps(events: EventList, classes: NDArray[np.int64]) -> EventList:
    """Events of some length, as the first step left them: a later one cuts an earlier one, equal data are joined."""
    start, end = events.start_us, events.end_us
    overlaps = end[:-1] > start[1:]
    if not overlaps.any():
        return events
    duration = events.duration_us.copy()
    duration[:-1] = np.where(overlaps, start[1:] - start[:-1], duration[:-1])
    # That is all where each cut leaves something and data differ. Elsewhere a cut may reach further back than one event.
    if not (hard := overlaps & ((classes[1:] == classes[:-1]) | (start[1:] <= start[:-1]))).any():
        return events.at(start, duration)
    # From a border on nothing begins before the end of what was before: no cut goes across.
    border = np.ones(len(events) + 1, np.bool_)
    border[1:-1] = np.maximum.accumulate(end)[:-1] <= np.minimum.accumulate(start[::-1])[::-1][1:]
    borders = np.flatnonzero(border)
    kept = np.ones(len(events), np.bool_)
    for group in np.unique(np.searchsorted(borders, np.flatnonzero(hard), side="right")).tolist():
        rows = slice(borders[group - 1], borders[group])
        kept[rows] = False
        for row, new_duration in _cut_by_loop(
            start[rows].tolist(), events.duration_us[rows].tolist(), classes[rows].tolist()
        ):
            kept[rows.start + row] = True
            duration[rows.start + row] = new_duration
    return events.at(start, duration).take(kept)


def _cut_by_loop(starts: list[int], durations: list[int], classes: list[int]) -> list[tuple[int, int]]:
    """The rows that stay, with their durations."""
    out: list[tuple[int, int]] = []
    for row, (start, duration) in enumerate(zip(starts, durations, strict=True)):
        while out:
            last, last_duration = out[-1]
            if starts[last] + last_duration <= start:
                out.append((row, duration))
                break
            if classes[last] == classes[row]:
                out[-1] = (last, max(starts[last] + last_duration, start + duration) - starts[last])
                break
            if start > starts[last]:
                out[-1] = (last, start - starts[last])
                out.append((row, duration))
                break
            out.pop()
        else:
            out.append((row, duration))
    return out
