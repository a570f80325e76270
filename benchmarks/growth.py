"""Workload `growth`: what becomes slower, or writes or reads more, as a bucket grows?

The same heartbeats take turns in one run in a bucket that is new in a new store and in buckets of ten thousand to ten
million events, which share a store, one connection each. Then each bucket is read: its last 100 events, a day at a random
place, the count of a day. What counts is the value of the largest bucket over that of the smallest.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final, Literal, TypedDict

from benchmarks import slices
from benchmarks.beats import Kind
from benchmarks.figures import Ratio, quantile, ratio
from benchmarks.footprint import timed_reads
from benchmarks.generator import FIRST_DAY_MS
from benchmarks.large_store import LargeStore
from benchmarks.load import OpenOrder
from benchmarks.load_process import LoadProcess
from benchmarks.progress import say
from benchmarks.rest import bucket_path
from benchmarks.servers import Awlog, CannotMeasure, Running
from benchmarks.settings import Settings
from benchmarks.slices import Measured, Side, Summary
from benchmarks.times import DAY_MS, iso

Metric = Literal["cpu", "written", "read", "p50"]
METRICS: Final[tuple[Metric, ...]] = ("cpu", "written", "read", "p50")
READS: Final = ("last 100", "a day", "count of a day")
NEW_STORE: Final = "new store"
_KIND: Final[Kind] = "merging"
# A tenth is what must show: more rounds than where factors are compared.
_ROUNDS_FACTOR: Final = 2
_READS_EACH: Final = 200


class Growth(TypedDict):
    """Places: "new store", then the numbers of events of the buckets, the least first."""

    places: dict[str, list[Measured]]
    summaries: dict[str, Summary]
    over_smallest: dict[Metric, Ratio]  # largest bucket / smallest, round by round
    over_new_store: dict[Metric, Ratio]  # largest bucket / new bucket in a new store
    reads_ms: dict[str, dict[str, dict[str, float]]]  # place -> what is read -> quantile -> ms


def measure(awlog: Awlog, store: LargeStore, settings: Settings) -> Growth:
    """Adds some thousand events to `store`. Raises CannotMeasure if a bucket does not hold what was acknowledged."""
    say("growth: heartbeats into a new bucket and into large ones")
    with ExitStack() as stack:
        grown = awlog.start_on(store.home)
        stack.callback(grown.stop)
        # Before there are heartbeats, whose events are not of the days that are read.
        reads_ms = {f"{size}": _reads(grown, store, size, settings) for size in store.buckets}
        fresh = awlog.start()
        stack.callback(fresh.stop)
        places: list[tuple[str, Running, str]] = [(NEW_STORE, fresh, "awlog-benchmark-new")]
        places += [(f"{size}", grown, bucket) for size, bucket in store.buckets.items()]
        sides = [Side(name, on, stack.enter_context(_load(on, bucket, store, settings))) for name, on, bucket in places]
        measured = slices.alternate(
            sides,
            rounds=_ROUNDS_FACTOR * settings.rounds,
            slice_s=settings.slice_s,
            warm_up_s=settings.warm_up_s,
        )
        for side in sides:
            _, wrong = side.load.check()
            if wrong:
                raise CannotMeasure(f"{side.name}: {wrong[0]}")
    smallest, largest = (measured[f"{how(store.buckets)}"] for how in (min, max))
    return Growth(
        places=measured,
        summaries={place: slices.summary(taken) for place, taken in measured.items()},
        over_smallest=_ratios(largest, smallest),
        over_new_store=_ratios(largest, measured[NEW_STORE]),
        reads_ms=reads_ms,
    )


def _reads(server: Running, store: LargeStore, size: int, settings: Settings) -> dict[str, dict[str, float]]:
    path = f"{bucket_path(store.buckets[size])}/events"
    days = list(_days(store.end_ms[size], settings.seed))
    asked = {
        "last 100": [f"{path}?limit=100"] * _READS_EACH,
        "a day": [f"{path}?{day}" for day in days],
        "count of a day": [f"{path}/count?{day}" for day in days],
    }
    taken = {what: sorted(timed_reads(server.address, paths)[1:]) for what, paths in asked.items()}
    return {what: {str(q): quantile(ms, q) for q in (0.5, 0.99, 1.0)} for what, ms in taken.items()}


def _days(end_ms: int, seed: int) -> Iterator[str]:
    """Query strings of days that lie within the events."""
    draw = random.Random(seed)
    for _ in range(_READS_EACH):
        start_ms = FIRST_DAY_MS + draw.randrange(max(1, (end_ms - FIRST_DAY_MS) // DAY_MS)) * DAY_MS
        start, end = (iso(at_ms).decode().replace("+", "%2B") for at_ms in (start_ms, start_ms + DAY_MS))
        yield f"start={start}&end={end}"


def _load(server: Running, bucket: str, store: LargeStore, settings: Settings) -> LoadProcess:
    return LoadProcess(
        OpenOrder(
            host=server.address.host,
            port=server.address.port,
            buckets=[bucket],
            kind=_KIND,
            first_ms=store.next_ms,
            seed=settings.seed,
        )
    )


def _ratios(over: list[Measured], under: list[Measured]) -> dict[Metric, Ratio]:
    return {
        metric: ratio([value(each, metric) for each in over], [value(each, metric) for each in under])
        for metric in METRICS
    }


def value(measured: Measured, metric: Metric) -> float:
    match metric:
        case "cpu":
            return measured["cpu_s_per_1000"] or 0.0
        case "written":
            return measured["written_bytes_per_beat"] or 0.0
        case "read":
            return measured["read_bytes_per_beat"] or 0.0
        case "p50":
            return measured["latency_ms"]["0.5"]
