"""Workload `growth`: does a heartbeat cost more when its bucket is large?

Three places take turns in one run, one connection each: a bucket that is new in a store that is new, a bucket that is
new in the store that holds the large bucket, and the large bucket. So the share of the bucket and that of the store show.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final, Literal, TypedDict

from benchmarks import slices
from benchmarks.beats import Kind
from benchmarks.figures import Ratio, ratio
from benchmarks.large_store import BUCKET, LargeStore
from benchmarks.load import OpenOrder
from benchmarks.load_process import LoadProcess
from benchmarks.progress import say
from benchmarks.servers import Awlog, CannotMeasure, Running
from benchmarks.settings import Settings
from benchmarks.slices import Measured, Side, Summary

Place = Literal["new store", "new bucket", "large bucket"]
Metric = Literal["cpu", "written", "p50"]
PLACES: Final[tuple[Place, ...]] = ("new store", "new bucket", "large bucket")
METRICS: Final[tuple[Metric, ...]] = ("cpu", "written", "p50")
_KIND: Final[Kind] = "merging"
# A tenth is what must show: more rounds than where factors are compared.
_ROUNDS_FACTOR: Final = 2


class Growth(TypedDict):
    events: int  # in the large bucket
    places: dict[Place, list[Measured]]
    summaries: dict[Place, Summary]
    over_new_bucket: dict[Metric, Ratio]  # large bucket / new bucket beside it
    over_new_store: dict[Metric, Ratio]  # large bucket / new bucket in a new store


def measure(awlog: Awlog, store: LargeStore, settings: Settings) -> Growth:
    """Adds some thousand events to `store`. Raises CannotMeasure if a bucket does not hold what was acknowledged."""
    say("growth: heartbeats into a new and into the large bucket")
    with ExitStack() as stack:
        grown = awlog.start_on(store.home)
        stack.callback(grown.stop)
        fresh = awlog.start()
        stack.callback(fresh.stop)
        places: tuple[tuple[Place, Running, str], ...] = (
            ("new store", fresh, "awlog-benchmark-new"),
            ("new bucket", grown, "awlog-benchmark-new"),
            ("large bucket", grown, BUCKET),
        )
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
    by_place = {place: measured[place] for place in PLACES}
    return Growth(
        events=store.event_count,
        places=by_place,
        summaries={place: slices.summary(taken) for place, taken in by_place.items()},
        over_new_bucket=_ratios(by_place, "new bucket"),
        over_new_store=_ratios(by_place, "new store"),
    )


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


def _ratios(places: dict[Place, list[Measured]], under: Place) -> dict[Metric, Ratio]:
    return {
        metric: ratio(
            [value(each, metric) for each in places["large bucket"]], [value(each, metric) for each in places[under]]
        )
        for metric in METRICS
    }


def value(measured: Measured, metric: Metric) -> float:
    match metric:
        case "cpu":
            return measured["cpu_s_per_1000"] or 0.0
        case "written":
            return measured["written_bytes_per_beat"] or 0.0
        case "p50":
            return measured["latency_ms"]["0.5"]
