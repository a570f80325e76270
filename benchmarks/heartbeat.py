"""Workload `heartbeat`: how many heartbeats a second, how soon each is answered, and what that costs the server."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final, Literal, TypedDict
from uuid import uuid4

from benchmarks import slices
from benchmarks.beats import Kind
from benchmarks.figures import Ratio, ratio
from benchmarks.generator import FIRST_DAY_MS
from benchmarks.load import OpenOrder
from benchmarks.load_process import LoadProcess
from benchmarks.progress import say
from benchmarks.rest import Address, delete_bucket
from benchmarks.servers import Awlog, CannotMeasure, Contestant, Elsewhere, Floor, Running
from benchmarks.settings import Settings
from benchmarks.slices import Measured, Side, Summary

Metric = Literal["rate", "p50", "p99", "cpu"]
METRICS: Final[tuple[Metric, ...]] = ("rate", "p50", "p99", "cpu")


class Result(TypedDict):
    """One server in one case. `not_available` is the reason if there are no figures."""

    slices: list[Measured]
    summary: Summary | None
    checked_events: int
    not_available: str | None


class Case(TypedDict):
    kind: Kind
    connections: int
    servers: dict[str, Result]
    ratios: dict[Metric, Ratio]  # how many times better awlog is than the peer; empty without a peer
    over_floor: dict[Metric, Ratio]  # awlog's value / the floor's


def measure(contestants: Sequence[Contestant], settings: Settings) -> list[Case]:
    return [
        _case(contestants, kind, connections, settings) for kind, numbers in settings.cases for connections in numbers
    ]


def _case(contestants: Sequence[Contestant], kind: Kind, connections: int, settings: Settings) -> Case:
    """Every server on an empty store, the same heartbeats to each; afterwards the stores are compared with them."""
    say(f"heartbeat, {kind}, {connections} connections")
    results: dict[str, Result] = {}
    with ExitStack() as stack:
        sides = []
        for contestant in contestants:
            try:
                sides.append(_side(stack, contestant, kind, connections, settings.seed))
            except CannotMeasure as reason:
                results[contestant.name] = _without_figures(str(reason))
        measured = slices.alternate(
            sides, rounds=settings.rounds, slice_s=settings.slice_s, warm_up_s=settings.warm_up_s
        )
        for side in sides:
            results[side.name] = _checked(side, measured[side.name])
    peers = [each.name for each in contestants if not isinstance(each, (Awlog, Floor))]
    ratios: dict[Metric, Ratio] = {}
    if peers:
        quotients = _over(results, Awlog.name, peers[0])
        # A rate is better when higher, the others when lower.
        turned = _over(results, peers[0], Awlog.name)
        ratios = {metric: quotients[metric] if metric == "rate" else turned[metric] for metric in quotients}
    over_floor = _over(results, Awlog.name, Floor.name)
    return Case(kind=kind, connections=connections, servers=results, ratios=ratios, over_floor=over_floor)


def _side(stack: ExitStack, contestant: Contestant, kind: Kind, connections: int, seed: int) -> Side:
    server = contestant.start()
    stack.callback(server.stop)
    run = uuid4().hex[:8]  # a server that is not started afresh keeps what earlier runs left
    numbers = range(connections) if kind != "one bucket" else [0] * connections
    buckets = [f"awlog-benchmark-{run}-{number}" for number in numbers]
    if isinstance(contestant, Elsewhere):
        stack.callback(_delete, server.address, sorted(set(buckets)))
    return Side(contestant.name, server, stack.enter_context(_load(server, buckets, kind, seed)))


def _load(server: Running, buckets: list[str], kind: Kind, seed: int) -> LoadProcess:
    host, port = server.address.host, server.address.port
    return LoadProcess(OpenOrder(host=host, port=port, buckets=buckets, kind=kind, first_ms=FIRST_DAY_MS, seed=seed))


def _checked(side: Side, measured: list[Measured]) -> Result:
    """A wrong answer has no speed."""
    events, wrong = side.load.check()
    if wrong:
        reason = f"{len(wrong)} buckets do not hold what was acknowledged: {wrong[0]}"
        say(f"{side.name}: {reason}")
        return Result(slices=measured, summary=None, checked_events=events, not_available=reason)
    return Result(slices=measured, summary=slices.summary(measured), checked_events=events, not_available=None)


def _without_figures(reason: str) -> Result:
    say(f"n/a: {reason}")
    return Result(slices=[], summary=None, checked_events=0, not_available=reason)


def _over(results: dict[str, Result], over: str, under: str) -> dict[Metric, Ratio]:
    """The one's values / the other's, round by round; empty if one of them has none."""
    if any(name not in results or results[name]["summary"] is None for name in (over, under)):
        return {}
    return {
        metric: ratio(
            [value(each, metric) for each in results[over]["slices"]],
            [value(each, metric) for each in results[under]["slices"]],
        )
        for metric in METRICS
    }


def value(measured: Measured, metric: Metric) -> float:
    match metric:
        case "rate":
            return measured["rate"]
        case "p50":
            return measured["latency_ms"]["0.5"]
        case "p99":
            return measured["latency_ms"]["0.99"]
        case "cpu":
            return measured["cpu_s_per_1000"] or 0.0


def _delete(address: Address, buckets: list[str]) -> None:
    for bucket in buckets:
        delete_bucket(address, bucket)
