"""The result of a run: one JSON document with every slice, the machine, the versions and the weather."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NotRequired, TypedDict, TypeVar, cast

from benchmarks import weather
from benchmarks.crowd import Crowd
from benchmarks.dashboard import Dashboard
from benchmarks.footprint import Footprint
from benchmarks.growth import Growth
from benchmarks.heartbeat import Case
from benchmarks.insert import Case as InsertCase
from benchmarks.isolation import Isolation
from benchmarks.machine import Machine
from benchmarks.open_loop import Case as OpenLoopCase
from benchmarks.query import Query
from benchmarks.read import Case as ReadCase
from benchmarks.servers import CannotMeasure
from benchmarks.stream import Case as StreamCase
from benchmarks.transfer import Case as TransferCase
from benchmarks.weather import Weather

FORMAT: Final = 5
T = TypeVar("T")


class Group(TypedDict):
    """When and in which weather a workload ran, and the reason if it could not."""

    seconds: float
    before: Weather
    after: Weather
    not_available: str | None


class Document(TypedDict):
    format: int
    started: str
    settings: dict[str, Any]
    machine: Machine
    servers: list[dict[str, Any]]
    groups: dict[str, Group]
    heartbeat: list[Case] | None
    open_loop: list[OpenLoopCase] | None
    stream: list[StreamCase] | None
    insert: list[InsertCase] | None
    documents: list[ReadCase] | None
    growth: Growth | None
    footprint: Footprint | None
    read: list[ReadCase] | None
    query: Query | None
    isolation: Isolation | None
    transfer: NotRequired[list[TransferCase] | None]
    crowd: NotRequired[Crowd | None]
    dashboard: NotRequired[Dashboard | None]


def timed(groups: dict[str, Group], name: str, folder: Path, work: Callable[[], T]) -> T | None:
    """Runs one workload between two looks at the weather; None if it is not available, with the reason in `groups`."""
    before = weather.take(folder)
    start_s = time.perf_counter()
    result, reason = None, None
    try:
        result = work()
    except CannotMeasure as error:
        reason = str(error)
    seconds = round(time.perf_counter() - start_s, 1)
    groups[name] = Group(seconds=seconds, before=before, after=weather.take(folder), not_available=reason)
    return result


def write(document: Document, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_rounded(document), ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")


def read(path: Path) -> Document:
    """Raises ValueError if it is no result of this version of the benchmarks."""
    found = json.loads(path.read_text())
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"{path.name} is not a benchmark result of format {FORMAT}")
    return cast(Document, found)


def _rounded(value: object) -> object:
    """Six significant digits: more are noise."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return value
