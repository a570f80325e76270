"""Order, length and sum of a list: what needs no look at times together or at data."""

from __future__ import annotations

import numpy as np

from awlog.query.events import EventList

_INT64_MAX = np.iinfo(np.int64).max


def sort_by_timestamp(events: EventList) -> EventList:
    """By ascending start; equal starts keep their order."""
    return events.by_start()


def sort_by_duration(events: EventList) -> EventList:
    """By descending duration; equal durations keep their order."""
    return events.take(np.argsort(-events.duration_us, kind="stable"))


def limit(events: EventList, count: int) -> EventList:
    """The first `count`, none if that is below zero."""
    return events.take(slice(max(0, min(count, len(events)))))


def concat(*lists: EventList) -> EventList:
    """One list after the other; at least one. (None at all is `no_events`.)"""
    if len(lists) == 1:
        return lists[0]
    return EventList(
        np.concatenate([events.start_us for events in lists]),
        np.concatenate([events.duration_us for events in lists]),
        np.concatenate([events.payload for events in lists]),
        np.concatenate([events.event_id for events in lists]),
        lists[0].payloads,
    )


def sum_durations_us(events: EventList) -> int:
    """The exact sum, however large."""
    duration = events.duration_us
    if len(duration) and int(duration.max()) > _INT64_MAX // len(duration):
        return sum(duration.tolist())
    return int(duration.sum())
