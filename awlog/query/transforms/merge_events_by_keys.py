"""merge_events_by_keys: one event for all events with equal values under some keys."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from awlog.query.distinct import distinct
from awlog.query.events import EventList
from awlog.query.transforms.groups import summed_by_group


def merge_events_by_keys(events: EventList, keys: Sequence[str]) -> EventList:
    """In order of first appearance: start and values of the first event of each group, the sum of durations, no id.

    Without keys the list unchanged.
    """
    if not keys or not len(events):
        return events
    payloads = events.payloads
    used, inverse = events.in_use()
    number = payloads.value_numbers(used, keys[0])
    for key in keys[1:]:
        # Small numbers for the pairs so far, so that the next product stays far below 2^63.
        _, number = distinct(number)
        following = payloads.value_numbers(used, key)
        number = number * (int(following.max()) + 1) + following
    _, group_of_used = distinct(number)
    group = group_of_used[inverse]
    count = int(group_of_used.max()) + 1

    first = np.empty(count, np.intp)
    first[group[::-1]] = np.arange(len(events) - 1, -1, -1)  # the last assignment stays: the first event of each group
    order = np.argsort(first)  # the groups by first appearance
    first = first[order]
    return EventList(
        events.start_us[first],
        summed_by_group(events.duration_us, group, count)[order],
        payloads.only(events.payload[first], keys),
        np.zeros(count, np.int64),
        payloads,
    )
