"""The heartbeats one connection sends into its bucket, and what the bucket must hold afterwards."""

from __future__ import annotations

from typing import Final, Literal

from benchmarks.generator import POLL_MS, window_events
from benchmarks.times import iso

Kind = Literal["merging", "inserting"]

# Heartbeats with the same data, one after another: what window watchers send for an event of 20 s.
RUN_COUNT: Final[dict[Kind, int]] = {"merging": 20, "inserting": 1}
STEP_MS: Final = POLL_MS + 7  # looks drift by some ms each, so that times are not round
PULSETIME_S: Final = 5.0
assert PULSETIME_S * 1000 >= STEP_MS, "heartbeats of one run must merge"

_PAYLOAD_COUNT: Final = 500  # then they repeat


def payloads(seed: int) -> list[bytes]:
    """`data` of successive events in a window bucket: compact JSON, neighbours different, last and first too."""
    found = [event.data for event in window_events(_PAYLOAD_COUNT, seed)]
    while found[-1] == found[0]:
        found.pop()
    return found


class BeatStream:
    """The heartbeats of one bucket, one after another. The next is made only after the last was acknowledged."""

    def __init__(self, data: list[bytes], kind: Kind, first_ms: int) -> None:
        self._data = data
        self._run_count = RUN_COUNT[kind]
        self._first_ms = first_ms
        self.acknowledged_count = 0

    def next_body(self) -> bytes:
        """The next heartbeat as the stock Python client writes it: the same again until it is acknowledged. O(1)."""
        data = self._data[self.acknowledged_count // self._run_count % len(self._data)]
        at_ms = self._first_ms + self.acknowledged_count * STEP_MS
        return b'{"id": null, "timestamp": "%b", "duration": 0.0, "data": %b}' % (iso(at_ms), data)

    def mismatch(self, stored: list[tuple[int, int]], *, undecided: bool) -> str | None:
        """What is wrong with `stored`, the bucket's (start, duration) in ms by start; None if nothing is.

        `undecided`: the next heartbeat was sent and never answered, so it may be stored or not.
        """
        expected = self._merged(self.acknowledged_count)
        if stored == expected or (undecided and stored == self._merged(self.acknowledged_count + 1)):
            return None
        return f"stored {_sum(stored)}, acknowledged {_sum(expected)}"

    def _merged(self, count: int) -> list[tuple[int, int]]:
        """The events that the first `count` heartbeats merge into."""
        run = self._run_count
        return [
            (self._first_ms + index * STEP_MS, (min(run, count - index) - 1) * STEP_MS)
            for index in range(0, count, run)
        ]


def _sum(events: list[tuple[int, int]]) -> str:
    return f"{len(events)} events of {sum(duration_ms for _, duration_ms in events) / 1000:.3f} s"
