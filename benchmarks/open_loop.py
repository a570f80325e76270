"""Workload `open loop`: how soon is a heartbeat answered when so many become due in a second, whatever becomes of them?

Watchers do not wait for a server to be ready for them. Heartbeats become due at a fixed rate on connections that are kept,
and each latency begins when one was due, so that what waits behind a stall counts (no coordinated omission). Beside it the
closed loop on the same connections, where each sends its next heartbeat when the last is answered: as fast as it goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final, Literal, TypedDict
from uuid import uuid4

from benchmarks import slices
from benchmarks.generator import FIRST_DAY_MS
from benchmarks.load import OpenOrder
from benchmarks.load_process import LoadProcess
from benchmarks.progress import say
from benchmarks.rest import delete_bucket
from benchmarks.servers import CannotMeasure, Contestant, Elsewhere
from benchmarks.settings import Settings
from benchmarks.slices import Measured, Side, Summary

Metric = Literal["p50", "p99"]
METRICS: Final[tuple[Metric, ...]] = ("p50", "p99")
CONNECTIONS: Final = 64
_ROUNDS_MAX: Final = 3
# A server that answers less than this share of what is due falls behind for ever: it is asked no higher rate.
_KEEPS_UP: Final = 0.9


class Result(TypedDict):
    """One server at one rate. Medians; None if there are no figures, for the reason in `not_available`."""

    slices: list[Measured]
    summary: Summary | None
    keeps_up: bool
    not_available: str | None


class Case(TypedDict):
    per_s: int | None  # due in a second; None is the closed loop
    servers: dict[str, Result]


def measure(contestants: Sequence[Contestant], settings: Settings) -> list[Case]:
    """The open loop at each rate, the closed one last. Raises CannotMeasure if nobody can be asked."""
    cases: list[Case] = []
    with ExitStack() as stack:
        sides: list[Side] = []
        unable: dict[str, str] = {}
        for contestant in contestants:
            try:
                sides.append(_side(stack, contestant, settings))
            except CannotMeasure as reason:
                unable[contestant.name] = str(reason)
        for side in sides:
            side.load.run(settings.warm_up_s)
        for per_s in (*settings.arrivals_per_s, None):
            say(f"open loop, {per_s} heartbeats a second" if per_s else "the closed loop beside it")
            able = [side for side in sides if per_s is None or side.name not in unable]
            servers = _case(able, per_s, settings)
            for name, result in servers.items():
                if not result["keeps_up"]:
                    unable.setdefault(name, f"it falls behind at {per_s} a second")
            for name, why in unable.items():
                servers.setdefault(name, _nothing(why))
            cases.append(Case(per_s=per_s, servers=servers))
        for side in sides:
            _, wrong = side.load.check()
            for case in cases if wrong else []:
                case["servers"][side.name] = _nothing(wrong[0])
    return cases


def _nothing(reason: str) -> Result:
    return Result(slices=[], summary=None, keeps_up=False, not_available=reason)


def _side(stack: ExitStack, contestant: Contestant, settings: Settings) -> Side:
    server = contestant.start()
    stack.callback(server.stop)
    run = uuid4().hex[:8]
    buckets = [f"awlog-benchmark-{run}-{number}" for number in range(CONNECTIONS)]
    if isinstance(contestant, Elsewhere):
        for bucket in buckets:
            stack.callback(delete_bucket, server.address, bucket)
    order = OpenOrder(
        host=server.address.host,
        port=server.address.port,
        buckets=buckets,
        kind="merging",
        first_ms=FIRST_DAY_MS,
        seed=settings.seed,
    )
    return Side(contestant.name, server, stack.enter_context(LoadProcess(order)))


def _case(sides: Sequence[Side], per_s: int | None, settings: Settings) -> dict[str, Result]:
    taken: dict[str, list[Measured]] = {side.name: [] for side in sides}
    for number in range(min(settings.rounds, _ROUNDS_MAX)):
        for side in sides if number % 2 == 0 else reversed(sides):
            taken[side.name].append(slices.measure(side, settings.slice_s, per_s))
    return {
        name: Result(
            slices=measured,
            summary=(summary := slices.summary(measured)),
            keeps_up=per_s is None or summary["rate"] >= _KEEPS_UP * per_s,
            not_available=None,
        )
        for name, measured in taken.items()
    }


def value(measured: Measured, metric: Metric) -> float:
    return measured["latency_ms"]["0.5" if metric == "p50" else "0.99"]
