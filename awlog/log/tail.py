"""Does this heartbeat continue the tail record? The rule that keeps the hot path O(1)."""

from __future__ import annotations

from awlog.model.commands import SendHeartbeat
from awlog.model.event import Event
from awlog.model.times import Micros


def merged_duration_us(tail: Event, beat: SendHeartbeat) -> Micros | None:
    """The tail record's new duration if `beat` continues it, else None. Pure, O(1)."""
    if beat.payload != tail.payload:
        return None
    after_us = beat.start_us - tail.start_us
    if not 0 <= after_us <= tail.duration_us + beat.pulsetime_us:
        return None
    # A beat that ends earlier never takes time back.
    return max(tail.duration_us, Micros(after_us + beat.duration_us))


def covers(event: Event, beat: SendHeartbeat) -> bool:
    """Does a stored event say already all that `beat` says? Then sending it again does no harm."""
    return event.start_us <= beat.start_us and event.end_us >= beat.end_us and event.payload == beat.payload
