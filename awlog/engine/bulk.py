"""Many new events at once: read from columns of wire values, and shown as they are stored. Pure; may run in threads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from awlog.log.columns import columns_of, columns_of_new
from awlog.log.decision import Appended, Stored
from awlog.log.many_times import durations_of, instants_of
from awlog.model.commands import NewEvent
from awlog.model.event import Payload
from awlog.query.render import render_events, render_few

# Shorter lists are read and shown faster one by one.
MANY_EVENTS: Final = 256
# Shown in one step, 1.5 ms: a thread that shows more of them gives way to others in between.
_STEP_EVENTS: Final = 4096


def new_events(
    timestamps: Sequence[str],
    durations_s: Sequence[float | None],
    payloads: Sequence[Payload],
    wire_ids: Sequence[int | None],
) -> list[NewEvent]:
    """Events from columns of equal length. About 0.2 µs each. Raises BadRequest, which does not say which one it is."""
    start_us = instants_of(timestamps)
    duration_us = durations_of(durations_s, start_us)
    return list(map(NewEvent, start_us.tolist(), duration_us.tolist(), payloads, wire_ids))


def shown(stored: Stored | Appended) -> bytes:
    """The answer to an insertion: a JSON list of the events as they are stored. About 0.5 µs each, 2 µs in a short list."""
    number = stored.bucket_number
    assert number is not None, "only a heartbeat may be answered with what is not stored"
    if isinstance(stored, Appended):
        columns = columns_of_new(stored.events, stored.first_seq)
    elif len(stored.events) < MANY_EVENTS:
        return b"[%b]" % render_few(number, stored.events)
    else:
        columns = columns_of(stored.events)
    steps = (columns.take(slice(at, at + _STEP_EVENTS)) for at in range(0, len(columns), _STEP_EVENTS))
    pieces = [b"[", *(b"%b," % render_events(step, number) for step in steps)]
    pieces[-1] = pieces[-1][:-1]
    return b"".join([*pieces, b"]"])
