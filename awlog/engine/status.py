"""Is it recording? What the server can say at once about each bucket and about itself, from what it holds in memory."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Final

from msgspec import Struct

from awlog.engine.clock import Clock
from awlog.engine.committer import Committer
from awlog.engine.feed import Feed
from awlog.engine.figures import Counts, EngineFigures
from awlog.engine.forwarder import Behind, Forwarder
from awlog.engine.readers import Readers
from awlog.engine.store import Store
from awlog.log.rhythm import usual_silence_us
from awlog.log.state import BucketState
from awlog.model.bucket import BucketMeta
from awlog.model.event import BucketNumber, Event
from awlog.model.times import Micros
from awlog.query.label import Label, label_of
from awlog.storage.environment import DATA_FILE
from awlog.storage.sizes import record_bytes

# "Now", for events per minute.
RECENT_US: Final = 5 * 60 * 1_000_000
# Buckets whose status is told in one turn of the loop: 50 µs each when nothing is known of them.
_STEP_BUCKETS: Final = 32
# Segments whose size is asked for in one turn of the loop.
_STEP_ENTRIES: Final = 500
# With less room on its disk the server is not ready: a commit needs some, and so does the next one.
_FREE_BYTES_MIN: Final = 16 << 20


class BucketStatus(Struct, frozen=True):
    """A bucket's tail record and what it is called, how often events come, and how long none usually comes.

    recent_count      events that began within the last five minutes
    usual_silence_us  None if there are too few events to tell
    """

    meta: BucketMeta
    event_count: int
    start_us: Micros | None
    tail: Event | None
    label: Label | None
    recent_count: int
    usual_silence_us: Micros | None


class ServerStatus(Struct, frozen=True):
    """What was done since the start, the newest commit, and the room on the disk.

    acknowledged_count  writes that were answered, those of streams each for itself
    merged_count        heartbeats that continued an event; inserted: that began one; unchanged: that it had reached already
    busiest_second_count  writes that were answered in the second with most of them
    wait_p50_s, wait_p99_s  until half, and 99 of 100, of the writes of the last five minutes were durable; None without any
    commit_s            how long the newest commit took, with its sync; None before the first
    """

    uptime_s: float
    acknowledged_count: int
    merged_count: int
    inserted_count: int
    unchanged_count: int
    busiest_second_count: int
    wait_p50_s: float | None
    wait_p99_s: float | None
    commit_count: int
    committed_us: Micros | None
    commit_s: float | None
    is_writable: bool
    file_bytes: int
    free_bytes: int


class _Looked(Struct, frozen=True):
    tail: Event
    label: Label
    usual_silence_us: Micros | None


class Status:
    """Looks at the parts of an engine for those who watch it; long looks give way to others in between. Loop only.

    Remembers for each bucket what only changes with a new event: its status costs some 3 µs, not 50.
    """

    def __init__(
        self,
        clock: Clock,
        store: Store,
        committer: Committer,
        counts: Counts,
        *,
        readers: Readers,
        feed: Feed,
        forwarder: Forwarder | None,
    ) -> None:
        self._clock = clock
        self._store = store
        self._committer = committer
        self._counts = counts
        self._readers = readers
        self._feed = feed
        self._forwarder = forwarder
        self._data_dir = store.environment.data_dir
        self._began_s = asyncio.get_running_loop().time()
        self._looked: dict[BucketNumber, _Looked] = {}
        self.committed_us: Micros | None = None
        """When the newest commit was durable; the engine tells."""

    def forget(self) -> None:
        """Lets go of what was seen of stored events."""
        self._looked.clear()

    async def of_buckets(self) -> list[BucketStatus]:
        """Oldest first. O(buckets)."""
        buckets, now_us = self._store.durable.buckets(), self._clock()
        for number in self._looked.keys() - {bucket.number for bucket in buckets}:
            del self._looked[number]
        statuses = []
        for bucket in buckets:
            statuses.append(self._of_bucket(bucket, now_us))
            if len(statuses) % _STEP_BUCKETS == 0:
                await asyncio.sleep(0)
        return statuses

    def of_server(self) -> ServerStatus:
        file_bytes, free_bytes = _room(self._data_dir)
        now_s = time.perf_counter()
        return ServerStatus(
            asyncio.get_running_loop().time() - self._began_s,
            self._committer.answered_count + self._counts.streamed,
            self._counts.merged,
            self._counts.inserted,
            self._counts.unchanged,
            self._counts.busiest.most,
            self._counts.waits.recent_quantile_s(0.5, now_s),
            self._counts.waits.recent_quantile_s(0.99, now_s),
            self._committer.commit_count,
            self.committed_us,
            self._committer.commit_s,
            self._store.why_not_written() is None,
            file_bytes,
            free_bytes,
        )

    async def figures(self) -> EngineFigures:
        """All that can be counted. O(buckets)."""
        event_count = 0
        for at, bucket in enumerate(self._store.durable.buckets(), 1):
            event_count += bucket.event_count()
            if at % _STEP_BUCKETS == 0:
                await asyncio.sleep(0)
        file_bytes, free_bytes = _room(self._data_dir)
        running, waiting = self._readers.query_counts()
        return EngineFigures(
            counts=self._counts,
            bucket_count=len(self._store.durable.buckets()),
            event_count=event_count,
            snapshot_count=self._store.environment.reader_count,
            reader_count=self._readers.process_count,
            follower_count=self._feed.follower_count,
            queries_running=running,
            queries_waiting=waiting,
            file_bytes=file_bytes,
            free_bytes=free_bytes,
            behind=Behind() if self._forwarder is None else self._forwarder.behind(),
        )

    async def sizes_bytes(self) -> dict[str, int]:
        """By bucket id, the room that it takes on the disk. 2 µs a segment."""
        sizes: dict[str, int] = {}
        async with self._store.snapshot() as snapshot:
            for bucket in self._store.durable.buckets():
                sizes[bucket.meta.id] = record_bytes(bucket)
                for at, entry in enumerate(list(bucket.index), 1):
                    sizes[bucket.meta.id] += snapshot.segment_bytes(bucket, entry)
                    if at % _STEP_ENTRIES == 0:
                        await asyncio.sleep(0)
                await asyncio.sleep(0)
        return sizes

    def why_disk_is_full(self) -> str | None:
        """For the readiness of the server."""
        free_bytes = _room(self._data_dir)[1]
        if free_bytes >= _FREE_BYTES_MIN:
            return None
        return f"There are {free_bytes} bytes left on the disk: writes may be refused. Reads go on."

    def _of_bucket(self, bucket: BucketState, now_us: int) -> BucketStatus:
        tail = bucket.tail
        if tail is None:
            return BucketStatus(bucket.meta, 0, None, None, None, 0, None)
        looked = self._looked.get(bucket.number)
        if looked is None or (looked.tail.seq, looked.tail.start_us) != (tail.seq, tail.start_us):
            looked = _Looked(tail, label_of(tail.payload), usual_silence_us(bucket))
        elif looked.tail.payload is not tail.payload:
            looked = _Looked(tail, label_of(tail.payload), looked.usual_silence_us)
        self._looked[bucket.number] = looked
        since_us = now_us - RECENT_US
        return BucketStatus(
            bucket.meta,
            bucket.event_count(),
            bucket.start_us(),
            tail,
            looked.label,
            bucket.head.count_from(since_us) + (tail.start_us >= since_us),
            looked.usual_silence_us,
        )


def _room(data_dir: Path) -> tuple[int, int]:
    """Bytes of the store's file, and bytes that are free beside it. 20 µs."""
    return (data_dir / DATA_FILE).stat().st_size, shutil.disk_usage(data_dir).free
