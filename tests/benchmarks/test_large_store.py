"""The events of the large store: as many as were asked for, each later than the last."""

from __future__ import annotations

import json

import pytest

from benchmarks.generator import SEED, window_events
from benchmarks.large_store import _batches
from benchmarks.times import ms


@pytest.mark.parametrize("count", [1, 700, 1000, 2500, 20_001])
def test_a_year_comes_again_and_again_in_order_of_time(count: int) -> None:
    """Whatever the number asked for, and wherever the last batch ends."""
    year = list(window_events(1000, SEED))
    starts: list[int] = []
    for batch, end_ms in _batches(count, year):
        events = json.loads(batch)
        starts += [ms(event["timestamp"]) for event in events]
        assert end_ms == starts[-1] + round(events[-1]["duration"] * 1000)
    assert len(starts) == count
    assert starts == sorted(set(starts))
