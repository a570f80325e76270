"""The one place that asks what time it is."""

from __future__ import annotations

import time
from collections.abc import Callable

from awlog.model.times import Micros

Clock = Callable[[], Micros]


def system_clock() -> Micros:
    """The wall clock, µs since the epoch, UTC."""
    return Micros(time.time_ns() // 1000)
