"""The weather: how fast this machine's disk and processor are right now, whoever else is using them."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final, TypedDict

_SYNCS: Final = 50
_LOOPS: Final = 5


class Weather(TypedDict):
    fdatasync_ms: float  # median of a write of 512 B and its fdatasync, in the folder the servers write to
    loop_ms: float  # median of a fixed Python loop
    load_average: float  # of the last minute


def take(folder: Path) -> Weather:
    """About 0.1 s on a quiet machine."""
    return Weather(
        fdatasync_ms=round(_fdatasync_ms(folder), 4),
        loop_ms=round(_loop_ms(), 3),
        load_average=round(os.getloadavg()[0], 2),
    )


def _fdatasync_ms(folder: Path) -> float:
    took_ms = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_SYNCS):
            start_ns = time.perf_counter_ns()
            os.write(file.fileno(), bytes(512))
            os.fdatasync(file.fileno())
            took_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
    return median(took_ms)


def _loop_ms() -> float:
    took_ms = []
    for _ in range(_LOOPS):
        start_ns = time.perf_counter_ns()
        total = 0
        for number in range(100_000):
            total += number & 7
        took_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
    return median(took_ms)
