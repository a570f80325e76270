"""Workload `documents`: the list of many buckets, an import, and the export of what was imported.

Each server starts empty. The import is one document with one bucket, as ActivityWatch exports it; each round names a new
bucket, whose export must hold as many events as went in.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final
from uuid import uuid4

from benchmarks.figures import quantile, ratio
from benchmarks.generator import BUCKET_TYPES, body, window_events
from benchmarks.progress import say
from benchmarks.read import Case, Result, nothing
from benchmarks.rest import UnexpectedAnswer, bucket_path, create_bucket
from benchmarks.servers import CannotMeasure, Contestant, Elsewhere, Running, used
from benchmarks.settings import Settings

_BUCKETS: Final = 500
_ROUNDS: Final = 3
_TIMEOUT_S: Final = 600.0
# A server that has spent this long on one kind is not asked again.
_KIND_S: Final = 10.0


class _Side:
    """One server and its connection."""

    def __init__(self, name: str, server: Running) -> None:
        self.name = name
        self._server = server
        self._connection = http.client.HTTPConnection(server.address.host, server.address.port, timeout=_TIMEOUT_S)

    def ask(self, requests: Sequence[tuple[str, str, bytes | None]], events: int | None) -> Result:
        """Method, path and body of each; `events` is how many each moves. Raises UnexpectedAnswer."""
        taken_ms: list[float] = []
        answer = b""
        before, began_s = used(self._server), time.perf_counter()
        for method, path, sent in requests:
            start_ns = time.perf_counter_ns()
            self._connection.request(method, path, sent, {"Content-Type": "application/json"} if sent else {})
            response = self._connection.getresponse()
            answer = response.read()
            taken_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
            if response.status != 200:
                raise UnexpectedAnswer(f"{method} {path}: {response.status} {answer[:200]!r}")
            if path.endswith("/export") and events is not None and answer.count(b'"timestamp"') != events:
                raise UnexpectedAnswer(f"an export holds {answer.count(b'timestamp')} events, not {events}")
            if time.perf_counter() - began_s > _KIND_S:
                break
        after = used(self._server)
        cpu_s = after.since(before).cpu_s if before is not None and after is not None else None
        ordered = sorted(taken_ms)
        return Result(
            taken_ms=taken_ms,
            p50_ms=quantile(ordered, 0.5),
            p99_ms=quantile(ordered, 0.99),
            events_per_s=None if events is None else events * len(taken_ms) / (sum(taken_ms) / 1000),
            cpu_ms=cpu_s * 1000 / len(taken_ms) if cpu_s is not None else None,
            sent_bytes=len(answer),
            not_available=None,
        )


def measure(contestants: Sequence[Contestant], settings: Settings) -> list[Case]:
    count = settings.document_events
    run = uuid4().hex[:8]
    imported = [f"awlog-benchmark-{run}-imported-{number}" for number in range(_ROUNDS)]
    events = body(window_events(count, settings.seed))
    kinds: dict[str, tuple[list[tuple[str, str, bytes | None]], int | None]] = {
        f"list of {_BUCKETS} buckets": ([("GET", "/api/0/buckets/", None)] * settings.reads, None),
        f"import of {count:,} events": ([("POST", "/api/0/import", _document(b, events)) for b in imported], count),
        f"export of {count:,} events": ([("GET", f"{bucket_path(b)}/export", None) for b in imported], count),
    }
    results: dict[str, dict[str, Result]] = {name: {} for name in kinds}
    with ExitStack() as stack:
        for contestant in contestants:
            say(f"documents, {contestant.name}")
            for name in kinds:
                results[name][contestant.name] = nothing("an earlier step failed")
            try:
                side = _side(stack, contestant, run)
                for name, (requests, moved) in kinds.items():
                    results[name][side.name] = side.ask(requests, moved)
            except (CannotMeasure, OSError, http.client.HTTPException, UnexpectedAnswer) as error:
                for name in kinds:
                    if not results[name][contestant.name]["taken_ms"]:
                        results[name][contestant.name] = nothing(str(error))
    return [_case(name, servers) for name, servers in results.items()]


def _side(stack: ExitStack, contestant: Contestant, run: str) -> _Side:
    if isinstance(contestant, Elsewhere):
        raise CannotMeasure("it would keep hundreds of buckets")
    server = contestant.start()
    stack.callback(server.stop)
    for number in range(_BUCKETS):
        create_bucket(server.address, f"awlog-benchmark-{run}-{number}", BUCKET_TYPES["window"])
    return _Side(contestant.name, server)


def _document(bucket: str, events: bytes) -> bytes:
    meta = {"id": bucket, "type": BUCKET_TYPES["window"], "client": "benchmark", "hostname": "benchmark"}
    created = {**meta, "name": None, "created": "2023-01-02T00:00:00+00:00"}
    return b'{"buckets":{"%b":%b,"events":%b}}}' % (bucket.encode(), json.dumps(created).encode()[:-1], events)


def _case(name: str, servers: dict[str, Result]) -> Case:
    taken = [result["taken_ms"] for result in servers.values()]
    asked = min(map(len, taken))
    sooner = ratio(taken[1][:asked], taken[0][:asked]) if len(taken) > 1 and asked else None
    return Case(name=name, servers=servers, sooner=sooner)
