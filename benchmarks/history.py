"""Some days of the generated person in all four buckets, and the two ways they get into a server."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

from benchmarks.desktop_query import BUCKETS
from benchmarks.generator import BUCKET_TYPES, BucketName, Event, body, days
from benchmarks.large_store import wait_until_idle
from benchmarks.progress import say
from benchmarks.rest import Address, ask, bucket_path, create_bucket, get
from benchmarks.servers import Awlog, CannotMeasure

_BATCH_EVENTS: Final = 10_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

History = dict[BucketName, list[Event]]


@dataclass(frozen=True)
class Store:
    """A history on awlog's disk, no server running."""

    home: Path
    history: History

    @property
    def event_count(self) -> int:
        return sum(len(events) for events in self.history.values())

    @property
    def title_count(self) -> int:
        return len({event.data for event in self.history["window"]})


def store(awlog: Awlog, home: Path, *, day_count: int, seed: int) -> Store:
    """Some 15 s for a year. Raises CannotMeasure if a count is wrong afterwards."""
    say(f"{day_count} days in four buckets")
    history = make(day_count, seed)
    server = awlog.start_on(home)
    try:
        create_buckets(server.address)
        insert(server.address, history)
        assert server.pid is not None
        wait_until_idle(server.pid)
    finally:
        server.stop()
    return Store(home, history)


def make(day_count: int, seed: int) -> History:
    """The first days of the person: 15 ms each."""
    history: History = {name: [] for name in BUCKETS}
    for day in islice(days(seed), day_count):
        for name, events in day.items():
            history[name].extend(events)
    return history


def insert(at: Address, history: History) -> None:
    """Into the buckets, through the API, in large batches. Raises CannotMeasure if a count is wrong afterwards."""
    for name, events in history.items():
        path = f"{bucket_path(BUCKETS[name])}/events"
        for first in range(0, len(events), _BATCH_EVENTS):
            ask(at, "POST", path, body(events[first : first + _BATCH_EVENTS]), timeout_s=600.0)
    check(at, history)


def create_buckets(at: Address) -> None:
    """Raises CannotMeasure if one is there already: what it holds is not ours."""
    there = get(at, "/api/0/buckets/")
    for name, bucket in BUCKETS.items():
        if bucket in there:
            raise CannotMeasure(f"the server has a bucket {bucket} already")
        create_bucket(at, bucket, BUCKET_TYPES[name])


def check(at: Address, history: History) -> None:
    """Raises CannotMeasure unless every bucket holds as many events as it should."""
    for name, events in history.items():
        stored = get(at, f"{bucket_path(BUCKETS[name])}/events/count")
        if stored != len(events):
            raise CannotMeasure(f"{len(events)} events went into {BUCKETS[name]}, it holds {stored}")


def write_into(database: Path, history: History) -> None:
    """Straight into the file of a stopped aw-server that has the buckets: through its API a year takes a minute or more.
    The rows are those it would write itself, in order of arrival.
    """
    connection = sqlite3.connect(database)
    try:
        keys = dict(connection.execute("SELECT id, key FROM bucketmodel"))
        with connection:
            connection.executemany(
                "INSERT INTO eventmodel (bucket_id, timestamp, duration, datastr) VALUES (?, ?, ?, ?)",
                _rows(history, keys),
            )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def _rows(history: History, keys: dict[str, int]) -> Iterator[tuple[int, str, float, str]]:
    texts: dict[bytes, str] = {}
    for name, events in history.items():
        key = keys[BUCKETS[name]]
        for event in events:
            text = texts.get(event.data)
            if text is None:
                text = texts[event.data] = json.dumps(json.loads(event.data))
            started = _EPOCH + timedelta(milliseconds=event.start_ms)
            yield key, started.isoformat(" "), event.duration_ms / 1000, text
