"""Workload `footprint`: what a large bucket costs on the disk, at the start, in memory, and for one small read."""

from __future__ import annotations

import http.client
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict

from benchmarks import processes
from benchmarks.figures import quantile
from benchmarks.large_store import LargeStore
from benchmarks.progress import say
from benchmarks.rest import Address, UnexpectedAnswer, bucket_path, get
from benchmarks.servers import Awlog, CannotMeasure, OwnProcess, data_dir
from benchmarks.settings import Settings

READ_LIMIT = 100


class Start(TypedDict):
    """One start of the server. Memory is taken when it has answered, before any other request."""

    ready_s: float  # process made -> GET /api/0/info answered
    first_read_s: float  # process made -> the newest event of the large bucket read
    memory_mib: dict[str, float]


class Disk(TypedDict):
    """`bucket` is what `awlog stats` says of the bucket, `live` its pages in use in the whole store; `allocated` is what
    the files take of the disk, free pages included. Without `awlog stats` the first two are None.
    """

    bucket_bytes_per_event: float | None
    live_bytes_per_event: float | None
    allocated_bytes_per_event: float
    stats: dict[str, Any] | None


class Footprint(TypedDict):
    events: int
    insert_events_per_s: float
    seal_s: float
    disk: Disk
    starts: list[Start]
    empty_starts: list[Start]  # the same with nothing stored, to compare
    read_ms: dict[str, float]  # GET events?limit=100: quantile -> ms


def measure(awlog: Awlog, store: LargeStore, settings: Settings) -> Footprint:
    say("disk, starts, reads")
    empty = settings.scratch / "empty"
    starts = []
    empty_starts = []
    for _ in range(settings.starts):
        starts.append(_start(awlog, store.home, bucket=store.buckets[store.event_count]))
        empty_starts.append(_start(awlog, empty, bucket=None))
    return Footprint(
        events=store.event_count,
        insert_events_per_s=store.event_count / store.insert_s,
        seal_s=store.seal_s,
        disk=_disk(awlog, store),
        starts=starts,
        empty_starts=empty_starts,
        read_ms=_reads(awlog, store, settings.reads),
    )


def _start(awlog: Awlog, home: Path, *, bucket: str | None) -> Start:
    server = awlog.start_on(home)
    try:
        memory = _memory(server)
        # Taking the memory is not part of the start.
        asked_s = time.perf_counter()
        if bucket is not None:
            get(server.address, f"{bucket_path(bucket)}/events?limit=1")
        read_s = time.perf_counter() - asked_s
    finally:
        server.stop()
    return Start(ready_s=server.ready_s, first_read_s=server.ready_s + read_s, memory_mib=memory)


def _memory(server: OwnProcess) -> dict[str, float]:
    assert server.pid is not None
    return {name: round(mib, 1) for name, mib in asdict(processes.memory(server.pid)).items()}


def _disk(awlog: Awlog, store: LargeStore) -> Disk:
    stats = awlog.stats(store.home)
    files = [path for path in data_dir(store.home).rglob("*") if path.is_file()]
    allocated_bytes = sum(path.stat().st_blocks * 512 for path in files)
    bucket_bytes = live_bytes = None
    if stats is not None:
        bucket_bytes = next(
            bucket["disk_bytes"] for bucket in stats["buckets"] if bucket["id"] == store.buckets[store.event_count]
        )
        live_bytes = stats["live_bytes"]
    return Disk(
        bucket_bytes_per_event=bucket_bytes / store.event_count if bucket_bytes is not None else None,
        live_bytes_per_event=live_bytes / store.event_count if live_bytes is not None else None,
        allocated_bytes_per_event=allocated_bytes / store.event_count,
        stats=stats,
    )


def _reads(awlog: Awlog, store: LargeStore, count: int) -> dict[str, float]:
    """Latencies of GET events?limit=100 on one kept-alive connection, request to last byte; the first is warm-up."""
    path = f"{bucket_path(store.buckets[store.event_count])}/events?limit={READ_LIMIT}"
    server = awlog.start_on(store.home)
    try:
        if len(get(server.address, path)) != READ_LIMIT:
            raise CannotMeasure(f"a read did not give {READ_LIMIT} events")
        took_ms = sorted(timed_reads(server.address, [path] * (count + 1))[1:])
    finally:
        server.stop()
    return {str(q): quantile(took_ms, q) for q in (0.5, 0.99, 1.0)}


def timed_reads(at: Address, paths: Sequence[str]) -> list[float]:
    """Milliseconds from each request to the last byte of its answer, on one connection."""
    took_ms = []
    connection = http.client.HTTPConnection(at.host, at.port, timeout=60)
    try:
        for path in paths:
            start_ns = time.perf_counter_ns()
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            took_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
            if response.status != 200:
                raise UnexpectedAnswer(f"GET {path}: {response.status}")
    finally:
        connection.close()
    return took_ms
