"""A store with one large bucket of realistic window events: made through the API once, used by two workloads."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from benchmarks import processes
from benchmarks.generator import BUCKET_TYPES, body, window_events
from benchmarks.progress import say
from benchmarks.rest import Address, ask, bucket_path, create_bucket, get
from benchmarks.servers import Awlog, CannotMeasure

BUCKET: Final = "awlog-benchmark-large"
_BATCH_EVENTS: Final = 10_000  # about 1.5 MB of JSON: large enough that the request itself is not what costs
_IDLE_CORES: Final = 0.02
_IDLE_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True)
class LargeStore:
    """On the disk, no server running. The first event that comes after all that is stored may start at `next_ms`."""

    home: Path
    event_count: int
    next_ms: int
    insert_s: float  # of posting the batches, each acknowledged
    seal_s: float  # from then until the server had nothing left to do


def make(awlog: Awlog, home: Path, *, event_count: int, seed: int) -> LargeStore:
    """Some 15 s for a million events, most of it making them up. Raises CannotMeasure if the count is wrong after."""
    say(f"a bucket of {event_count:,} events")
    server = awlog.start_on(home)
    try:
        insert_s, end_ms = _fill(server.address, event_count, seed)
        assert server.pid is not None
        seal_s = wait_until_idle(server.pid)
        stored = get(server.address, f"{bucket_path(BUCKET)}/events/count")
        if stored != event_count:
            raise CannotMeasure(f"{event_count} events were acknowledged, {stored} are stored")
    finally:
        server.stop()
    return LargeStore(home, event_count, end_ms + 60_000, insert_s, seal_s)


def _fill(at: Address, event_count: int, seed: int) -> tuple[float, int]:
    """Seconds spent in requests, and the end of the last event in ms."""
    create_bucket(at, BUCKET, BUCKET_TYPES["window"])
    events = window_events(event_count, seed)
    insert_s, end_ms = 0.0, 0
    while batch := list(islice(events, _BATCH_EVENTS)):
        text = body(batch)
        start_s = time.perf_counter()
        ask(at, "POST", f"{bucket_path(BUCKET)}/events", text)
        insert_s += time.perf_counter() - start_s
        end_ms = max(end_ms, *(event.end_ms for event in batch))
    return insert_s, end_ms


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
