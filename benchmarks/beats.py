"""The heartbeats one connection sends into its bucket, and what the bucket must hold afterwards."""

from __future__ import annotations

from typing import Final, Literal, Protocol

from benchmarks.generator import POLL_MS, window_events
from benchmarks.times import iso

Kind = Literal["merging", "inserting", "stock client", "one bucket"]
"""merging       new data every 20th
inserting     new data every time
stock client  as merging, and each on a new connection, headers and body in two packets, as ActivityWatch's client does
one bucket    all connections into the same bucket, never new data: they overtake one another, and must all merge
"""

# Heartbeats with the same data, one after another: what window watchers send for an event of 20 s.
RUN_COUNT: Final[dict[Kind, int]] = {"merging": 20, "inserting": 1, "stock client": 20}
STEP_MS: Final = POLL_MS + 7  # looks drift by some ms each, so that times are not round
PULSETIME_S: Final = 5.0
# In one bucket the heartbeat of one connection may come long before an earlier one of another.
SHARED_PULSETIME_S: Final = 3600.0
assert PULSETIME_S * 1000 >= STEP_MS, "heartbeats of one run must merge"

_PAYLOAD_COUNT: Final = 500  # then they repeat


def payloads(seed: int) -> list[bytes]:
    """`data` of successive events in a window bucket: compact JSON, neighbours different, last and first too."""
    found = [event.data for event in window_events(_PAYLOAD_COUNT, seed)]
    while found[-1] == found[0]:
        found.pop()
    return found


class Stream(Protocol):
    """What one connection sends."""

    pulsetime_s: float

    def next_body(self) -> bytes:
        """The next heartbeat as the stock Python client writes it: the same again until it is acknowledged. O(1)."""
        ...

    def acknowledge(self) -> None: ...

    def mismatch(self, stored: list[tuple[int, int]], *, undecided: bool) -> str | None:
        """What is wrong with `stored`, the bucket's (start, duration) in ms by start; None if nothing is.

        `undecided`: a heartbeat was sent and never answered, so it may be stored or not.
        """
        ...


class BeatStream:
    """The heartbeats of one bucket, one after another. The next is made only after the last was acknowledged."""

    pulsetime_s = PULSETIME_S

    def __init__(self, data: list[bytes], kind: Kind, first_ms: int) -> None:
        self._data = data
        self._run_count = RUN_COUNT[kind]
        self._first_ms = first_ms
        self.acknowledged_count = 0

    def next_body(self) -> bytes:
        data = self._data[self.acknowledged_count // self._run_count % len(self._data)]
        return _body(self._first_ms + self.acknowledged_count * STEP_MS, data)

    def acknowledge(self) -> None:
        self.acknowledged_count += 1

    def mismatch(self, stored: list[tuple[int, int]], *, undecided: bool) -> str | None:
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


class SharedClock:
    """The times of a bucket that many send into: each is given once."""

    def __init__(self, data: bytes, first_ms: int) -> None:
        self.data = data
        self.first_ms = first_ms
        self.given_count = 0
        self.acknowledged_max = -1


class SharedBeatStream:
    """One of the senders into a bucket. All heartbeats have the same data, so whoever comes late, they are one event."""

    pulsetime_s = SHARED_PULSETIME_S

    def __init__(self, clock: SharedClock) -> None:
        self._clock = clock
        self._number: int | None = None

    def next_body(self) -> bytes:
        clock = self._clock
        if self._number is None:
            self._number = clock.given_count
            clock.given_count += 1
        return _body(clock.first_ms + self._number * STEP_MS, clock.data)

    def acknowledge(self) -> None:
        assert self._number is not None
        self._clock.acknowledged_max = max(self._clock.acknowledged_max, self._number)
        self._number = None

    def mismatch(self, stored: list[tuple[int, int]], *, undecided: bool) -> str | None:  # noqa: ARG002
        """One event that covers all that was acknowledged and nothing that was not sent."""
        clock = self._clock
        least_ms, most_ms = clock.acknowledged_max * STEP_MS, (clock.given_count - 1) * STEP_MS
        if len(stored) == 1 and stored[0][0] == clock.first_ms and least_ms <= stored[0][1] <= most_ms:
            return None
        return f"stored {_sum(stored)}, acknowledged 1 event of {least_ms / 1000:.3f} s"


def _body(at_ms: int, data: bytes) -> bytes:
    return b'{"id": null, "timestamp": "%b", "duration": 0.0, "data": %b}' % (iso(at_ms), data)


def _sum(events: list[tuple[int, int]]) -> str:
    return f"{len(events)} events of {sum(duration_ms for _, duration_ms in events) / 1000:.3f} s"
