"""filter_period_intersect: the parts of events that lie within the periods of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from awlog.query.events import EventList

if TYPE_CHECKING:
    from numpy.typing import NDArray


def filter_period_intersect(events: EventList, filter_events: EventList) -> EventList:
    """By ascending start. All pairs at once if each list is free of overlaps and of events without length."""
    events, filters = events.by_start(), filter_events.by_start()
    if not (_is_plain(events) and _is_plain(filters)):
        return intersect_by_fingers(events, filters)
    first = np.searchsorted(filters.end_us, events.start_us, side="right")
    count = np.searchsorted(filters.start_us, events.end_us, side="left") - first
    rows = np.repeat(np.arange(len(events)), count)
    # The running number within the pairs of each event, from its first filter on.
    filter_rows = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count - first, count)
    start = np.maximum(events.start_us[rows], filters.start_us[filter_rows])
    end = np.minimum(events.end_us[rows], filters.end_us[filter_rows])
    return events.take(rows).at(start, end - start)


def _is_plain(events: EventList) -> bool:
    """Sorted events of which each has some length and ends before the next begins."""
    return bool((events.duration_us > 0).all() and (events.end_us[:-1] <= events.start_us[1:]).all())


def intersect_by_fingers(events: EventList, filters: EventList) -> EventList:
    """Two fingers over two sorted lists, for touching, overlapping and empty events too. About 1 µs an event."""
    a_starts, a_ends = events.start_us.tolist(), events.end_us.tolist()
    b_starts, b_ends = filters.start_us.tolist(), filters.end_us.tolist()
    rows: list[int] = []
    starts: list[int] = []
    ends: list[int] = []
    a = b = 0
    while a < len(a_starts) and b < len(b_starts):
        a_start, a_end, b_start, b_end = a_starts[a], a_ends[a], b_starts[b], b_ends[b]
        overlap = True
        if a_start <= b_start and b_end <= a_end:
            start, end = b_start, b_end
        elif a_start <= b_start < a_end:
            start, end = b_start, a_end
        elif a_start < b_end <= a_end:
            start, end = a_start, b_end
        elif b_start <= a_start and a_end <= b_end:
            start, end = a_start, a_end
        else:
            overlap = False
        if overlap:
            rows.append(a)
            starts.append(start)
            ends.append(end)
            step_a = a_end <= b_end
        else:
            step_a = a_end <= b_start
        if step_a:
            a += 1
        else:
            b += 1
    start_us: NDArray[np.int64] = np.array(starts, np.int64)
    return events.take(np.array(rows, np.intp)).at(start_us, np.array(ends, np.int64) - start_us)
