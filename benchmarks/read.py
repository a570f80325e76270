"""Workload `read`: events and counts of a bucket that holds a year, as views ask for them.

Each request goes to a range at another seeded place, so that nothing is asked twice; the same places are asked of both
servers, and both must give the same number of events, but for those at the ends. What takes a peer seconds is asked of it
fewer times.
"""

from __future__ import annotations

import gzip
import http.client
import json
import random
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, TypedDict

from benchmarks.desktop_query import BUCKETS
from benchmarks.figures import Ratio, quantile, ratio
from benchmarks.generator import FIRST_DAY_MS
from benchmarks.history import Store
from benchmarks.progress import say
from benchmarks.query import loaded_peer
from benchmarks.rest import UnexpectedAnswer, bucket_path
from benchmarks.servers import Awlog, CannotMeasure, Contestant, Running, used
from benchmarks.settings import Settings
from benchmarks.times import DAY_MS, iso

_TIMEOUT_S: Final = 1800.0
# A server that has spent this long on one case is not asked again.
_CASE_S: Final = 10.0
# Events that only touch an end of the range: the peer moves its ends to whole milliseconds, and one beyond.
_EDGES: Final = 2


@dataclass(frozen=True)
class Read:
    """One kind of request. `days` is the length of its range, None for no range at all."""

    name: str
    below: str  # the path below the bucket
    days: int | None
    coding: str = "identity"


READS: Final = (
    Read("last 100", "events?limit=100", None),
    Read("last 100 of a year", "events?limit=100", 365),
    Read("a day", "events", 1),
    Read("a month", "events", 30),
    Read("a year", "events", 365),
    Read("a year, gzip", "events", 365, "gzip"),
    Read("count of all", "events/count", None),
    Read("count of a day", "events/count", 1),
    Read("count of a month", "events/count", 30),
)


class Result(TypedDict):
    """One server, one kind. Milliseconds from request to last byte, in the order of asking."""

    taken_ms: list[float]
    p50_ms: float | None
    p99_ms: float | None
    events_per_s: float | None  # None for counts
    cpu_ms: float | None  # of the server, each
    sent_bytes: int  # of the last answer, as it came over the wire
    not_available: str | None


class Case(TypedDict):
    name: str
    servers: dict[str, Result]
    sooner: Ratio | None  # how many times sooner the first server answers than the second, place by place


def measure(awlog: Awlog, peer: Contestant | None, store: Store, settings: Settings) -> list[Case]:
    with ExitStack() as stack:
        ours = awlog.start_on(store.home)
        stack.callback(ours.stop)
        servers: list[tuple[str, Running]] = [(awlog.name, ours)]
        unable = None
        if peer is not None:
            try:
                servers.append((peer.name, loaded_peer(stack, peer, store, settings)[0]))
            except (CannotMeasure, OSError, UnexpectedAnswer) as error:
                unable = f"it cannot be loaded: {error}"
        cases = []
        for read in READS:
            say(f"read, {read.name}")
            cases.append(_case(read, servers, settings))
            if peer is not None and unable is not None:
                cases[-1]["servers"][peer.name] = nothing(unable)
        return cases


def _case(read: Read, servers: Sequence[tuple[str, Running]], settings: Settings) -> Case:
    paths = _paths(read, settings)
    counts: list[dict[int, int]] = []
    results: dict[str, Result] = {}
    for name, server in servers:
        try:
            results[name], found = _ask_all(server, read, paths)
        except (OSError, http.client.HTTPException, UnexpectedAnswer) as error:
            results[name] = nothing(str(error))
            continue
        counts.append(found)
    if len(counts) == 2:
        for place in counts[0].keys() & counts[1].keys():
            if abs(counts[0][place] - counts[1][place]) > _EDGES:
                raise CannotMeasure(f"{read.name}: {counts[0][place]} events and {counts[1][place]} at place {place}")
    sooner = None
    if len(counts) == 2:
        ours, theirs = (results[name]["taken_ms"] for name, _ in servers)
        asked = min(len(ours), len(theirs))
        sooner = ratio(theirs[:asked], ours[:asked])
    return Case(name=read.name, servers=results, sooner=sooner)


def _paths(read: Read, settings: Settings) -> list[str]:
    base = f"{bucket_path(BUCKETS['window'])}/{read.below}"
    if read.days is None:
        return [base] * settings.reads
    spare_minutes = (settings.history_days - read.days) * DAY_MS // 60_000
    if spare_minutes < 0:
        return []
    draw = random.Random(f"{settings.seed} {read.days}")
    paths = []
    for _ in range(settings.reads):
        start_ms = FIRST_DAY_MS + draw.randrange(spare_minutes + 1) * 60_000
        span = f"start={_text(start_ms)}&end={_text(start_ms + read.days * DAY_MS)}"
        paths.append(f"{base}{'&' if '?' in base else '?'}{span}")
    return paths


def _text(at_ms: int) -> str:
    return iso(at_ms).decode().replace("+", "%2B")


def _ask_all(server: Running, read: Read, paths: list[str]) -> tuple[Result, dict[int, int]]:
    """What came of the requests, on one connection as long as the server keeps it, and how many events each gave."""
    if not paths:
        return nothing("the history is shorter"), {}
    taken_ms: list[float] = []
    counts: dict[int, int] = {}
    body = b""
    before = used(server)
    began_s = time.perf_counter()
    connection = http.client.HTTPConnection(server.address.host, server.address.port, timeout=_TIMEOUT_S)
    try:
        for place, path in enumerate(paths):
            start_ns = time.perf_counter_ns()
            connection.request("GET", path, headers={"Accept-Encoding": read.coding})
            response = connection.getresponse()
            body = response.read()
            taken_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
            if response.status != 200:
                raise UnexpectedAnswer(f"GET {path}: {response.status}")
            counts[place] = _count(body, response.headers.get("Content-Encoding"))
            if time.perf_counter() - began_s > _CASE_S:
                break
    finally:
        connection.close()
    after = used(server)
    cpu_s = after.since(before).cpu_s if before is not None and after is not None else None
    ordered = sorted(taken_ms)
    is_count = "count" in read.below
    return Result(
        taken_ms=taken_ms,
        p50_ms=quantile(ordered, 0.5),
        p99_ms=quantile(ordered, 0.99),
        events_per_s=None if is_count else sum(counts.values()) / (sum(taken_ms) / 1000),
        cpu_ms=cpu_s * 1000 / len(taken_ms) if cpu_s is not None else None,
        sent_bytes=len(body),
        not_available=None,
    ), counts


def _count(body: bytes, coding: str | None) -> int:
    """How many events an answer holds; a count is its own."""
    plain = gzip.decompress(body) if coding == "gzip" else body
    # Each event has one; texts of the generator hold none.
    return plain.count(b'"timestamp"') if plain[:1] == b"[" else int(json.loads(plain))


def nothing(reason: str) -> Result:
    return Result(
        taken_ms=[], p50_ms=None, p99_ms=None, events_per_s=None, cpu_ms=None, sent_bytes=0, not_available=reason
    )
