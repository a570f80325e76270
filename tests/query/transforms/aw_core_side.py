"""The same lists as aw-core's events, and what came out of aw-core as rows, for comparison."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from aw_core.models import Event

from tests.query.transforms.lists import Row

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_US = timedelta(microseconds=1)

logging.getLogger("aw_transform").setLevel(logging.ERROR)  # it warns about every overlap


def to_aw(rows: Sequence[Row]) -> list[Any]:
    return [
        Event(
            id=event_id or None,
            timestamp=EPOCH + timedelta(microseconds=start),
            duration=timedelta(microseconds=duration),
            data=deepcopy(data),
        )
        for start, duration, data, event_id in rows
    ]


def from_aw(events: Sequence[Any]) -> list[Row]:
    return [((one.timestamp - EPOCH) // _ONE_US, one.duration // _ONE_US, one.data, one.id or 0) for one in events]
