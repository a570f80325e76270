"""The one place that asks what time it is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from awlog.model.times import Micros

Clock = Callable[[], Micros]

# The clock is believed again after so long; and jumps that are smaller are none.
_DOUBT_S: Final = 86_400.0
_JUMP_S: Final = 86_400.0


def system_clock() -> Micros:
    """The wall clock, µs since the epoch, UTC."""
    return Micros(time.time_ns() // 1000)


def steady_seconds() -> float:
    """Goes on evenly, whatever is done to the wall clock; while the machine sleeps too, where the system counts that."""
    sleeping_too: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if sleeping_too is None else time.clock_gettime(sleeping_too)


class Doubt:
    """Has the wall clock jumped ahead? For what cannot be undone if it has: a flat battery is no reason to forget a year.

    It is doubted for a day after it went ahead by more than a day, seen against a steady clock, and at the start against the
    newest time that is recorded. A clock that is put back is believed.
    """

    def __init__(self, clock: Clock, newest_us: Micros | None, steady_s: Callable[[], float] = steady_seconds) -> None:
        self._clock = clock
        self._steady_s = steady_s
        self._seen_us = clock() if newest_us is None else newest_us
        self._seen_s = steady_s()
        self._until_s = -math.inf

    def holds(self) -> bool:
        """To be asked now and then: a jump is seen when it is."""
        now_us, now_s = self._clock(), self._steady_s()
        ahead_s = (now_us - self._seen_us) / 1e6 - (now_s - self._seen_s)
        self._seen_us, self._seen_s = now_us, now_s
        if ahead_s > _JUMP_S:
            self._until_s = now_s + _DOUBT_S
        elif ahead_s < -_JUMP_S:
            self._until_s = -math.inf
        return now_s < self._until_s
