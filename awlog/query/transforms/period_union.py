"""period_union: the time that either of two lists covers, without data."""

from __future__ import annotations

import numpy as np

from awlog.query.events import EventList
from awlog.query.transforms.lists import concat


def period_union(events: EventList, others: EventList) -> EventList:
    """Runs of events that overlap or touch, by ascending start, each with the id of its first event."""
    both = concat(events, others).by_start()
    if not len(both):
        return both
    reach = np.maximum.accumulate(both.end_us)
    opens = np.ones(len(both), np.bool_)
    opens[1:] = both.start_us[1:] > reach[:-1]
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(both)) - 1
    no_data = np.full(len(first), both.payloads.add({}), np.uint32)
    start = both.start_us[first]
    return EventList(start, reach[last] - start, no_data, both.event_id[first], both.payloads)
