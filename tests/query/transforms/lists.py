"""Event lists in few words, and what they hold in plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from awlog.query.events import EventList, Payloads

MS = 1000
S = 1_000_000

Row = tuple[int, int, dict[str, Any], int]
"""start_us, duration_us, data, event_id"""


def made(payloads: Payloads, rows: Sequence[tuple[int, int, Mapping[str, Any]] | Row]) -> EventList:
    """(start_us, duration_us, data[, event_id]) -> a list; ids are 1, 2, 3 ... where none is given."""
    return EventList(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows], np.int64),
        np.array([payloads.add(dict(row[2])) for row in rows], np.uint32),
        np.array([row[3] if len(row) == 4 else i for i, row in enumerate(rows, start=1)], np.int64),
        payloads,
    )


def seconds(payloads: Payloads, spans: Iterable[tuple[float, float, Any]]) -> EventList:
    """(start, end, value) in seconds -> events with data `{"a": value}`; value None: no data."""
    rows = [
        (round(start * S), round(end * S) - round(start * S), {} if value is None else {"a": value})
        for start, end, value in spans
    ]
    return made(payloads, rows)


def rows(events: EventList) -> list[Row]:
    data = events.payloads.data
    columns = (events.start_us, events.duration_us, events.payload, events.event_id)
    return [(s, d, data(code), i) for s, d, code, i in zip(*(column.tolist() for column in columns), strict=True)]


def spans(events: EventList) -> list[tuple[float, float, Any]]:
    """The inverse of `seconds`: ids left out."""
    return [(s / S, (s + d) / S, data.get("a")) for s, d, data, _ in rows(events)]
