"""Reads of the durable state: what is in memory at once, the rest from a snapshot of the same moment.

A read is one moment, however long it streams. Short ones are made on the loop, in steps of a millisecond or two; long ones,
and documents of other forms than JSON, come from a reader process.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Final

from msgspec import Struct

from awlog.engine.reader_messages import DocumentRequest, Opened, Part, ReadRequest
from awlog.engine.readers import Readers
from awlog.engine.store import Store
from awlog.formats.encoders import Wanted, check_installed
from awlog.formats.json_document import bucket_head
from awlog.log.columns import Columns
from awlog.log.history import count_events, events_newest_first, fingerprint, first_page, page_newest_first
from awlog.log.mirror import cursors, id_here, ids_here
from awlog.log.state import BucketState
from awlog.model.bucket import BucketMeta
from awlog.model.errors import NoSuchEvent
from awlog.model.event import BucketNumber, seq_in_bucket
from awlog.model.forms import Form
from awlog.model.page import Page
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros
from awlog.query.brief import brief, brief_columns
from awlog.query.render import render_event, render_events

# Events rendered in one turn of the loop: about 1.5 ms.
_STEP_EVENTS: Final = 1024
# And no more text than this, as far as the average payload tells: a client that does not read keeps it in memory.
_STEP_BYTES: Final = 256 << 10
# More than this is read in another process: here it would be 15 ms of the loop's time, in ten steps.
_LONG_READ_EVENTS: Final = 20_000


class BucketView(Struct, frozen=True):
    """A bucket as it is now: its metadata, and the span of the events it holds; both ends None when it is empty."""

    meta: BucketMeta
    start_us: Micros | None
    end_us: Micros | None


class ExportedBucket(Struct, frozen=True):
    """One bucket of an export. `head`: its fields as JSON, up to `"events":[`; `events` gives chunks of JSON events joined
    by commas, without ids.
    """

    meta: BucketMeta
    head: bytes
    events: AsyncIterator[bytes]


class Reads:
    """What a store holds, as JSON or as a document. Loop only."""

    def __init__(self, store: Store, readers: Readers) -> None:
        self._store = store
        self._readers = readers
        # A file that was put back by hand gives its change numbers once more: fingerprints of an earlier start say nothing.
        self._start = secrets.token_bytes(4)

    # What is in memory

    def buckets(self) -> list[BucketView]:
        """All buckets, oldest first. O(buckets). Raises DataDamaged if some are not known."""
        return [_view(bucket) for bucket in self._every_bucket()]

    def bucket(self, bucket_id: str) -> BucketView:
        """Raises NoSuchBucket."""
        return _view(self._store.durable.bucket(bucket_id))

    def setting(self, key: str) -> bytes | None:
        """JSON text, None if it is not set."""
        durable = self._store.durable
        if key not in durable.settings:
            durable.damage.require_settings()
        return durable.settings.get(key)

    def settings(self) -> dict[str, bytes]:
        self._store.durable.damage.require_settings()
        return dict(self._store.durable.settings)

    def last_sequence(self, producer_id: str) -> int:
        """How far a producer's stream is durable; 0 if nothing is known of it."""
        known = self._store.durable.producers.get(producer_id)
        return 0 if known is None else known.last_sequence

    def push_cursors(self, device_id: str) -> dict[str, tuple[int, int]]:
        """How far a device's buckets were pushed here: epoch and change, by their ids there. O(buckets)."""
        return cursors(self._store.durable, device_id)

    def pushed_to(self, device_id: str, bucket_id: str) -> str:
        """The id here of a device's bucket, whether it was pushed yet or not. O(buckets)."""
        return id_here(self._store.durable, device_id, bucket_id)

    def pushed_ids(self, device_id: str, bucket_ids: list[str]) -> Iterator[tuple[str, str]]:
        """As `pushed_to`, for many, each with its id here; lazy, so that the caller may give way to others."""
        return ids_here(self._store.durable, device_id, bucket_ids)

    # Events

    async def event_json(self, bucket_id: str, wire_id: int, *, text_chars_max: int | None = None) -> bytes:
        """The stored event, texts longer than `text_chars_max` cut. Raises NoSuchBucket, NoSuchEvent, DataDamaged."""
        async with self._store.segments() as load:
            bucket = self._store.durable.bucket(bucket_id)
            seq = seq_in_bucket(bucket.number, wire_id)
            event = None if seq is None else bucket.find(seq, load)
            if event is None:
                raise NoSuchEvent(bucket_id, str(wire_id))
        rendered = render_event(bucket.number, event)
        return rendered if text_chars_max is None else await asyncio.to_thread(brief, rendered, text_chars_max)

    async def count(self, bucket_id: str, start_us: Micros, end_us: Micros) -> int:
        """How many events meet [start_us, end_us]. Loads only the segments at its edges. Raises NoSuchBucket."""
        async with self._store.segments() as load:
            return count_events(self._store.durable.bucket(bucket_id), start_us, end_us, load)

    async def range_json(
        self,
        bucket_id: str,
        start_us: Micros,
        end_us: Micros,
        *,
        count_max: int | None,
        text_chars_max: int | None = None,
    ) -> AsyncGenerator[bytes]:
        """The events that meet [start_us, end_us], cut to it, newest first: chunks of JSON joined by commas. Texts that are
        longer than `text_chars_max` are cut.

        The bucket is looked up at the first step, which raises NoSuchBucket. Flat memory; gives way to others between
        chunks of a millisecond or two. Raises DataDamaged when it comes to a damaged segment.
        """
        if count_max is None and self._is_long(self._store.durable.bucket(bucket_id), start_us, end_us):
            request = ReadRequest(bucket_id, start_us, end_us, None, with_ids=True, text_chars_max=text_chars_max)
            async with aclosing(self._readers.stream(request)) as frames:
                async for frame in frames:
                    if isinstance(frame, Part):
                        yield frame.value
            return
        async with self._store.segments() as load:
            bucket = self._store.durable.bucket(bucket_id)
            chunks = events_newest_first(bucket, start_us, end_us, count_max, load)
            async for columns in _in_small_steps(chunks):
                shown = columns.clipped(start_us, end_us)
                if text_chars_max is not None:  # aside: a payload may be megabytes
                    shown = await asyncio.to_thread(brief_columns, shown, text_chars_max)
                yield render_events(shown, bucket.number)

    def fingerprint(self, bucket_id: str, start_us: Micros, end_us: Micros) -> bytes | None:
        """Another one when a read of this closed range may give something else; None if the range is still growing.

        Good until the server stops. Raises NoSuchBucket.
        """
        found = fingerprint(self._store.durable.bucket(bucket_id), start_us, end_us)
        return None if found is None else self._start + found

    def first_page(self, bucket_id: str, start_us: Micros, end_us: Micros) -> Page:
        """Where to begin with `page_json`. Raises NoSuchBucket."""
        return first_page(self._store.durable.bucket(bucket_id), start_us, end_us)

    async def page_json(self, bucket_id: str, page: Page, *, count_max: int) -> tuple[bytes, Page | None]:
        """The next events of a range read, as `range_json` gives them, and where to go on. Raises as `range_json`."""
        async with self._store.segments() as load:
            bucket = self._store.durable.bucket(bucket_id)
            columns, following = page_newest_first(bucket, page, count_max, load)
            return render_events(columns.clipped(page.start_us, page.end_us), bucket.number), following

    # Whole buckets

    @asynccontextmanager
    async def export(self, bucket_id: str | None) -> AsyncIterator[list[ExportedBucket]]:
        """One bucket, or all, as of one moment; to be read one after the other while the context is open.

        Raises NoSuchBucket.
        """
        if any(self._is_long(bucket, TIME_MIN_US, TIME_MAX_US) for bucket in self._named(bucket_id)):
            request = ReadRequest(bucket_id, TIME_MIN_US, TIME_MAX_US, None, with_ids=False)
            async with aclosing(self._readers.stream(request)) as frames:
                opened = await anext(frames)
                assert isinstance(opened, Opened), "a read begins with its buckets"
                parts = _Parts(frames)
                yield [ExportedBucket(meta, bucket_head(meta), parts.of_bucket(meta.number)) for meta in opened.buckets]
            return
        async with self._store.segments() as load:
            yield [
                ExportedBucket(
                    bucket.meta,
                    bucket_head(bucket.meta),
                    _without_ids(events_newest_first(bucket, TIME_MIN_US, TIME_MAX_US, None, load)),
                )
                for bucket in self._named(bucket_id)
            ]

    async def document(
        self,
        form: Form,
        bucket_id: str | None,
        start_us: Micros = TIME_MIN_US,
        end_us: Micros = TIME_MAX_US,
        *,
        count_max: int | None = None,
        with_ids: bool = False,
        for_spreadsheets: bool = False,
    ) -> AsyncGenerator[bytes]:
        """The events of a bucket, or of all, that meet the range and are cut to it, as one document, in flat memory.

        Made in a reader process. Raises NoSuchBucket, BadRequest for a form that needs a package which is not installed,
        DataDamaged, Unavailable.
        """
        check_installed(form)
        if bucket_id is not None:
            self._store.durable.bucket(bucket_id)
        wanted = Wanted(
            form.name,
            start_us,
            end_us,
            count_max,
            with_ids=with_ids,
            with_buckets=bucket_id is None,
            for_spreadsheets=for_spreadsheets,
        )
        async with aclosing(self._readers.document(DocumentRequest(bucket_id, wanted))) as pieces:
            async for piece in pieces:
                yield piece

    def _named(self, bucket_id: str | None) -> list[BucketState]:
        """Raises NoSuchBucket, DataDamaged."""
        return self._every_bucket() if bucket_id is None else [self._store.durable.bucket(bucket_id)]

    def _every_bucket(self) -> list[BucketState]:
        """Raises DataDamaged if some are not known or not complete."""
        self._store.durable.damage.require_all_buckets()
        return self._store.durable.buckets()

    def _is_long(self, bucket: BucketState, start_us: Micros, end_us: Micros) -> bool:
        """Is the read one for a reader process, and is there one? Else it is done here, in small steps."""
        if self._store.unreadable() is not None or not self._readers.may_stream():
            return False
        return sum(entry.count for entry in bucket.index.meeting(start_us, end_us)) > _LONG_READ_EVENTS


def _view(bucket: BucketState) -> BucketView:
    return BucketView(bucket.meta, bucket.start_us(), bucket.end_us())


async def _in_small_steps(chunks: Iterator[Columns]) -> AsyncIterator[Columns]:
    """The chunks in slices that take a millisecond or two to render; others get their turn in between."""
    for columns in chunks:
        payload_bytes = sum(map(len, columns.payloads)) // max(1, len(columns.payloads))
        step = max(1, min(_STEP_EVENTS, _STEP_BYTES // max(1, payload_bytes)))
        for at in range(0, len(columns), step):
            yield columns if len(columns) <= step else columns.take(slice(at, at + step))
            await asyncio.sleep(0)


async def _without_ids(chunks: Iterator[Columns]) -> AsyncIterator[bytes]:
    async for columns in _in_small_steps(chunks):
        yield render_events(columns, None)


class _Parts:
    """The parts of a read of many buckets, to be taken bucket by bucket in their order."""

    def __init__(self, frames: AsyncIterator[Opened | Part]) -> None:
        self._frames = frames
        self._next: Part | None = None

    async def of_bucket(self, number: BucketNumber) -> AsyncIterator[bytes]:
        while True:
            if self._next is None:
                frame = await anext(self._frames, None)
                if not isinstance(frame, Part):
                    return
                self._next = frame
            if self._next.bucket_number != number:
                return
            part, self._next = self._next, None
            yield part.value
