"""O7: program messages do not fill the disk: what happens again and again is told once, with how often."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from awlog.telemetry import Repeats


class Clock:
    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


def said(repeats: Repeats, **fields: Any) -> dict[str, Any] | None:
    """The message as it comes out, None if it does not."""
    try:
        return dict(repeats(None, "warning", {"level": "warning", "event": "refused", **fields}))
    except structlog.DropEvent:
        return None


def test_a_message_is_told_once_a_minute_with_how_often_it_was_not() -> None:
    clock = Clock()
    repeats = Repeats(clock)
    first = said(repeats)
    assert first is not None
    assert "repeated" not in first
    assert [said(repeats) for _ in range(1000)] == [None] * 1000
    assert repeats.untold() == 1000
    clock.s += 60
    second = said(repeats)
    assert second is not None
    assert second["repeated"] == 1000
    assert repeats.untold() == 0
    clock.s += 60
    assert "repeated" not in (said(repeats) or {})


@pytest.mark.parametrize(
    "other", [{"event": "broken"}, {"part": "x"}, {"error": "x"}, {"reason": "x"}, {"type": "x"}, {"status": 507}]
)
def test_another_cause_is_told_at_once(other: dict[str, Any]) -> None:
    repeats = Repeats(Clock())
    assert said(repeats) is not None
    assert said(repeats, **other) is not None
    assert said(repeats, **other) is None


def test_what_is_no_trouble_is_always_told() -> None:
    repeats = Repeats(Clock())
    for _ in range(3):
        assert repeats(None, "info", {"level": "info", "event": "serving"})


def test_causes_that_are_all_different_are_told_together() -> None:
    """An error's text may hold a number: nobody makes the table, or the log, grow without end."""
    clock = Clock()
    repeats = Repeats(clock)
    told = [number for number in range(10_000) if said(repeats, error=str(number)) is not None]
    assert len(told) == 257
    assert repeats.untold() == 10_000 - 257
    clock.s += 61
    assert said(repeats, error="new") is not None
