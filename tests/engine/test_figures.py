"""Quantiles of the last minutes, and the busiest second."""

from __future__ import annotations

import pytest

from awlog.engine.figures import Busiest, Waits


@pytest.mark.parametrize(("share", "expected_s"), [(0.5, 0.001), (0.98, 0.001), (0.99, 0.3), (1.0, 0.3)])
def test_a_quantile_is_the_bound_below_which_so_many_waited(share: float, expected_s: float) -> None:
    """98 writes that waited 0.8 ms, and two of another commit that waited 0.25 s."""
    waits = Waits()
    waits.observe_all(0.0008, 98, 1000.0)
    waits.observe_all(0.25, 2, 1000.5)
    assert waits.recent_quantile_s(share, 1001.0) == expected_s


def test_what_is_older_than_five_minutes_is_only_in_the_whole() -> None:
    waits = Waits()
    assert waits.recent_quantile_s(0.5, 0.0) is None
    waits.observe_all(0.004, 3, 0.0)
    assert waits.recent_quantile_s(0.5, 299.0) == 0.004
    assert waits.recent_quantile_s(0.5, 301.0) is None
    waits.observe_all(9.0, 1, 301.0)
    assert waits.recent_quantile_s(0.5, 301.0) == 5.0, "beyond the last bound it is only known to be more"
    assert sum(waits.counts) == 4
    assert waits.sum == pytest.approx(9.012)


def test_a_commit_without_writes_of_anybody_is_no_wait() -> None:
    waits = Waits()
    waits.observe_all(1e6, 0, 5.0)
    assert waits.recent_quantile_s(0.5, 5.0) is None


def test_the_busiest_second_is_the_one_with_most() -> None:
    busiest = Busiest()
    for count, now_s in ((3, 1.1), (4, 1.9), (5, 2.0), (1, 3.0)):
        busiest.add(count, now_s)
    assert busiest.most == 7
