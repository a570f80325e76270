"""Slices in alternation: the one way every workload compares two sides. A B, then B A, so that drift hits both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypedDict

from benchmarks.load import Slice
from benchmarks.load_process import LoadProcess
from benchmarks.servers import Running, used


class Measured(Slice):
    """A slice with what the server used for it; None if that cannot be read."""

    rate: float  # answered per s, the wait for the last ones included
    cpu_s_per_1000: float | None
    written_bytes_per_beat: float | None
    read_bytes_per_beat: float | None
    dirtied_bytes_per_beat: float | None  # see processes.Usage: kept for the record, not compared


class Summary(TypedDict):
    """Medians over `n` slices; `max_ms` is the highest of all, `client_cores` too."""

    n: int
    rate: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_s_per_1000: float | None
    written_bytes_per_beat: float | None
    read_bytes_per_beat: float | None
    client_cores: float
    refused: int
    unanswered: int


@dataclass(frozen=True)
class Side:
    """One of the things compared: a server and the load on it."""

    name: str
    server: Running
    load: LoadProcess


def alternate(sides: Sequence[Side], *, rounds: int, slice_s: float, warm_up_s: float) -> dict[str, list[Measured]]:
    """`rounds` slices of each side, after a warm-up that is not counted."""
    for side in sides:
        side.load.run(warm_up_s)
    measured: dict[str, list[Measured]] = {side.name: [] for side in sides}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            measured[side.name].append(measure(side, slice_s))
    return measured


def summary(slices: Sequence[Measured]) -> Summary:
    return Summary(
        n=len(slices),
        rate=median(each["rate"] for each in slices),
        p50_ms=median(each["latency_ms"]["0.5"] for each in slices),
        p99_ms=median(each["latency_ms"]["0.99"] for each in slices),
        max_ms=max(each["latency_ms"]["1.0"] for each in slices),
        cpu_s_per_1000=_median_or_none([each["cpu_s_per_1000"] for each in slices]),
        written_bytes_per_beat=_median_or_none([each["written_bytes_per_beat"] for each in slices]),
        read_bytes_per_beat=_median_or_none([each["read_bytes_per_beat"] for each in slices]),
        client_cores=max(each["client_cores"] for each in slices),
        refused=sum(each["refused"] for each in slices),
        unanswered=sum(each["unanswered"] for each in slices),
    )


def measure(side: Side, slice_s: float, per_s: float | None = None) -> Measured:
    """One slice; `per_s` heartbeats arrive in a second whatever becomes of those before, else each follows an answer."""
    before = used(side.server)
    taken = side.load.run(slice_s, per_s)
    after = used(side.server)
    beats = taken["answered"]
    cpu_s_per_1000 = written_bytes_per_beat = read_bytes_per_beat = dirtied_bytes_per_beat = None
    if before is not None and after is not None and beats > 0:
        spent = after.since(before)
        cpu_s_per_1000 = spent.cpu_s / beats * 1000
        written_bytes_per_beat = spent.written_bytes / beats
        read_bytes_per_beat = spent.read_bytes / beats
        dirtied_bytes_per_beat = spent.dirtied_bytes / beats
    return Measured(
        **taken,
        rate=beats / taken["seconds"],
        cpu_s_per_1000=cpu_s_per_1000,
        written_bytes_per_beat=written_bytes_per_beat,
        read_bytes_per_beat=read_bytes_per_beat,
        dirtied_bytes_per_beat=dirtied_bytes_per_beat,
    )


def _median_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
