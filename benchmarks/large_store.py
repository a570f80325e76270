"""A store with buckets of realistic window events, each ten times as large as the last: two workloads use it.

The events of a year are made once; then they come again, moved on in time. A segment holds some days of them, so that this
changes nothing in what is stored together, and ten million events are there in a minute.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import processes
from benchmarks.generator import BUCKET_TYPES, Event, window_events
from benchmarks.progress import say
from benchmarks.rest import Address, ask, bucket_path, create_bucket, get
from benchmarks.servers import Awlog, CannotMeasure
from benchmarks.times import DAY_MS, iso

_BATCH_EVENTS: Final = 10_000  # about 1.5 MB of JSON: large enough that the request itself is not what costs
_DISTINCT_EVENTS: Final = 400_000
_STEPS: Final = (1000, 100, 10, 1)
_EVENTS_MIN: Final = 1000
_IDLE_CORES: Final = 0.02
_IDLE_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True)
class LargeStore:
    """On the disk, no server running. The first event that comes after all that is stored may start at `next_ms`."""

    home: Path
    buckets: dict[int, str]  # number of events -> bucket, the largest last
    end_ms: dict[int, int]  # of the last event
    insert_s: float  # of posting the batches of the largest, each acknowledged
    seal_s: float  # from then until the server had nothing left to do

    @property
    def event_count(self) -> int:
        """Of the largest bucket."""
        return max(self.buckets)

    @property
    def next_ms(self) -> int:
        return max(self.end_ms.values()) + 60_000


def make(awlog: Awlog, home: Path, *, event_count: int, seed: int) -> LargeStore:
    """Some 60 s for ten million events. Raises CannotMeasure if a count is wrong after."""
    sizes = [event_count // step for step in _STEPS if event_count // step >= _EVENTS_MIN] or [event_count]
    buckets = {size: f"awlog-benchmark-{size}" for size in sizes}
    year = list(window_events(min(event_count, _DISTINCT_EVENTS), seed))
    end_ms = {}
    insert_s = 0.0
    server = awlog.start_on(home)
    try:
        for size, bucket in buckets.items():
            say(f"a bucket of {size:,} events")
            insert_s, end_ms[size] = _fill(server.address, bucket, size, year)
        assert server.pid is not None
        seal_s = wait_until_idle(server.pid)
        for size, bucket in buckets.items():
            stored = get(server.address, f"{bucket_path(bucket)}/events/count")
            if stored != size:
                raise CannotMeasure(f"{size} events were acknowledged, {stored} are stored")
    finally:
        server.stop()
    return LargeStore(home, buckets, end_ms, insert_s, seal_s)


def _fill(at: Address, bucket: str, event_count: int, year: list[Event]) -> tuple[float, int]:
    """Seconds spent in requests, and the end of the last event in ms."""
    create_bucket(at, bucket, BUCKET_TYPES["window"])
    insert_s, last_ms = 0.0, 0
    for text, end_ms in _batches(event_count, year):
        last_ms = end_ms
        start_s = time.perf_counter()
        ask(at, "POST", f"{bucket_path(bucket)}/events", text)
        insert_s += time.perf_counter() - start_s
    return insert_s, last_ms


def _batches(event_count: int, year: list[Event]) -> Iterator[tuple[bytes, int]]:
    """JSON lists, each with the end of its last event in ms; a year after the other."""
    rests = [
        (start_ms, b'","duration":%.3f,"data":%b}' % (length_ms / 1000, data)) for start_ms, length_ms, data in year
    ]
    year_ms = -(-(year[-1].end_ms - year[0].start_ms + 1) // DAY_MS) * DAY_MS
    left = event_count
    for moved_ms in range(0, year_ms * -(-event_count // len(year)), year_ms):
        for at in range(0, min(left, len(year)), _BATCH_EVENTS):
            chosen = rests[at : at + min(_BATCH_EVENTS, left)]
            left -= len(chosen)
            events = [b'{"timestamp":"%b%b' % (iso(start_ms + moved_ms), rest) for start_ms, rest in chosen]
            yield b"[%b]" % b",".join(events), year[at + len(chosen) - 1].end_ms + moved_ms


def wait_until_idle(pid: int) -> float:
    """Seconds until the server used next to no CPU for half a second: it has sealed what it is going to seal."""
    start_s = time.perf_counter()
    before = processes.usage(pid)
    while time.perf_counter() - start_s < _IDLE_TIMEOUT_S:
        time.sleep(0.5)
        now = processes.usage(pid)
        if now.since(before).cpu_s / 0.5 < _IDLE_CORES:
            break
        before = now
    return time.perf_counter() - start_s - 0.5
