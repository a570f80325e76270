"""union_no_overlap: one list, and what of a second has room beside it."""

from __future__ import annotations

import numpy as np

from awlog.query.events import EventList, unit_us
from awlog.query.transforms.lists import concat


def union_no_overlap(events: EventList, others: EventList) -> EventList:
    """`events` whole, `others` cut to what they leave free. Both are taken as they come: nothing is sorted.

    The head `b` of the others may be the rest of an event that was split; it lives in local variables.
    """
    if not len(events) or not len(others):
        return concat(events, others)
    unit = unit_us(events, others)
    offset = len(events)
    a_starts, a_ends = events.start_us.tolist(), events.end_us.tolist()
    b_starts, b_durations = others.start_us.tolist(), others.duration_us.tolist()
    rows: list[int] = []  # of both lists, one after the other
    starts: list[int] = []
    durations: list[int] = []
    a = b = 0
    b_start, b_duration = b_starts[0], b_durations[0]
    while a < len(a_starts) and b < len(b_starts):
        a_start, a_end, b_end = a_starts[a], a_ends[a], b_start + b_duration
        overlap = (
            a_start <= b_start < a_end or a_start < b_end <= a_end or (b_start <= a_start and a_end <= b_end)
        )  # fmt: skip
        give_a = a_start <= b_start
        drop_b = False
        if give_a:
            rows.append(a)
            starts.append(a_start)
            durations.append(a_end - a_start)
            a += 1
            if overlap and b_start < a_end < b_end:
                b_start, b_duration = a_end - a_end % unit, b_end - a_end
            else:
                drop_b = overlap
        else:
            rows.append(offset + b)
            starts.append(b_start)
            if a_start < b_end:  # then they overlap
                durations.append(a_start - b_start)
                b_start, b_duration = a_start, b_end - a_start
            else:
                durations.append(b_duration)
                drop_b = True
        if drop_b:
            b += 1
            if b < len(b_starts):
                b_start, b_duration = b_starts[b], b_durations[b]
    if b < len(b_starts):
        b_starts[b], b_durations[b] = b_start, b_duration  # the head, perhaps what is left of it
    rows += [*range(a, offset), *range(offset + b, offset + len(b_starts))]
    starts += a_starts[a:] + b_starts[b:]
    durations += events.duration_us[a:].tolist() + b_durations[b:]
    both = concat(events, others).take(np.array(rows, np.intp))
    return both.at(np.array(starts, np.int64), np.array(durations, np.int64))
