"""The change feed: what became durable, to whoever follows, in the order of the change numbers and without a gap.

settle   loop     after each commit: with followers, its changes join the ring; without, one comparison   O(batch)
release  loop     changes become visible in their order; an event at most once a second                    O(released)
follow   loop     a follower takes what is newer than its own number from the ring                         O(taken)
                  or, if it is behind the ring, a page from the disk, read in a reader process

A follower is a number: nothing is kept for it here, so a slow one costs nothing, and one that was away for a year reads
what it missed in pages. The ring has one entry for each thing that changed, its newest, like the disk.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Hashable, Iterator
from contextlib import aclosing
from functools import partial
from itertools import chain
from typing import Final

from msgspec import Struct

from awlog.engine.feed_lines import EventLines, bucket_line, setting_line, tombstone_line
from awlog.engine.feed_page import PageEnd
from awlog.log.state import State
from awlog.log.write_set import BucketGone, EventGone, EventsGone, WriteSet
from awlog.model.bucket import BucketMeta
from awlog.model.errors import ChangesGone
from awlog.model.event import UNNUMBERED, BucketNumber, Change, Event
from awlog.model.feed import FeedEntry, FeedFilter, FeedRequest

ReadPage = Callable[[FeedRequest], AsyncGenerator[list[FeedEntry] | PageEnd]]

# A heartbeat a second for each event that grows is what a follower gets at most.
COALESCE_S: Final = 1.0
# Of changes with their payloads. Who is behind these reads from the disk.
_RING_ENTRIES_MAX: Final = 8192
# Of one commit: some 2 ms. What is more is read from the disk.
_COMMIT_ENTRIES_MAX: Final = 1000
_RING_BYTES_MAX: Final = 16 << 20
# Without followers there is no ring; it is kept for a while for one that asks again and again.
_KEPT_S: Final = 60.0
# How often a quiet follower is told that there is nothing.
KEEP_ALIVE_S: Final = 15.0
_BATCH_ENTRIES: Final = 256
_PAGE_ENTRIES: Final = 5000
_PAGE_BYTES: Final = 8 << 20
_ENTRY_BYTES: Final = 300


class _Held(Struct, gc=False):
    """A change in memory; its line is written when the first follower takes it."""

    change: Change
    bucket_id: str | None
    size_bytes: int
    write: Callable[[], bytes]
    entry: FeedEntry | None = None

    def told(self) -> FeedEntry:
        if self.entry is None:
            self.entry = FeedEntry(self.change, self.bucket_id, self.write())
        return self.entry


class Told(Struct, frozen=True):
    """Some entries in their order; everything up to `to` that this follower sees is told now.

    `known_from`: as in FeedRequest, for what comes next.
    """

    entries: list[FeedEntry]
    to: Change
    known_from: Change = UNNUMBERED


class Feed:
    """Owns the ring. Loop only."""

    def __init__(self, read_page: ReadPage, *, now_s: Callable[[], float] | None = None) -> None:
        """To be told where it is by `restart`. `now_s`: the loop's clock."""
        self._read_page = read_page
        self._now_s = now_s or asyncio.get_running_loop().time
        self._head = UNNUMBERED
        # The ring holds all changes in (base, visible]; those in (visible, head] are pending.
        self._base = self._visible = UNNUMBERED
        self._ring: OrderedDict[Hashable, _Held] = OrderedDict()
        self._ring_bytes = 0
        self._pending: OrderedDict[Hashable, _Held] = OrderedDict()
        self._released_s: OrderedDict[Hashable, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._follower_count = 0
        self._wanted_until_s = 0.0
        self._waiting: set[asyncio.Future[None]] = set()
        self._closed = False

    @property
    def follower_count(self) -> int:
        return self._follower_count

    @property
    def head(self) -> Change:
        """The newest durable change; 0 if there is none."""
        return self._head

    def close(self) -> None:
        """All followers end."""
        self._closed = True
        self._let_go()
        self._wake()

    def restart(self, head: Change) -> None:
        """After the state was read, at the start or anew: what was not durable was never told."""
        self._let_go()
        self._head = self._base = self._visible = head
        self._wake()

    # What became durable

    def settle(self, writes: WriteSet, durable: State) -> None:
        """Takes a commit that the durable state holds already. Without followers: one comparison."""
        newer_than, self._head = self._head, durable.head_change
        if not self._follower_count and self._now_s() >= self._wanted_until_s:
            if self._ring or self._pending:
                self._let_go()
            self._base = self._visible = self._head
            return
        if self._head == newer_than:
            return
        if _has_bulk(writes, newer_than):
            # Too many to hold: followers read them from the disk.
            self._let_go()
            self._base = self._visible = self._head
            self._wake()
            return
        for number, meta in writes.buckets.items():
            if meta is None:
                for key in [key for held in (self._ring, self._pending) for key in held if _is_of(key, number)]:
                    self._drop(key)
        for key, held in sorted(_changes(writes, durable, newer_than), key=lambda change: change[1].change):
            self._drop(key)
            self._pending[key] = held
        self._release()

    def _release(self) -> None:
        """Lets followers see what is pending, up to the first event that they saw less than a second ago."""
        now_s, visible = self._now_s(), self._visible
        while self._released_s and now_s - next(iter(self._released_s.values())) >= COALESCE_S:
            self._released_s.popitem(last=False)
        crowded = len(self._pending) > _RING_ENTRIES_MAX
        while self._pending:
            key = next(iter(self._pending))
            seen_s = self._released_s.pop(key, None)
            if seen_s is not None and not crowded:
                self._released_s[key] = seen_s
                self._released_s.move_to_end(key, last=False)
                self._call_release_in(COALESCE_S - (now_s - seen_s))
                break
            self._released_s[key] = now_s
            held = self._ring[key] = self._pending.pop(key)
            self._ring_bytes += held.size_bytes
            self._visible = held.change
        else:
            self._visible = self._head
        while len(self._ring) > _RING_ENTRIES_MAX or self._ring_bytes > _RING_BYTES_MAX:
            _, oldest = self._ring.popitem(last=False)
            self._ring_bytes -= oldest.size_bytes
            self._base = oldest.change
        if self._visible != visible:
            self._wake()

    def _call_release_in(self, delay_s: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.release_due)

    def release_due(self) -> None:
        """What waited for its second to be over."""
        self._timer = None
        self._release()

    def _drop(self, key: Hashable) -> None:
        self._pending.pop(key, None)
        old = self._ring.pop(key, None)
        if old is not None:
            self._ring_bytes -= old.size_bytes

    def _let_go(self) -> None:
        self._ring.clear()
        self._pending.clear()
        self._released_s.clear()
        self._ring_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    # Followers

    async def follow(
        self, after: Change, shown: FeedFilter, *, idle_s: float = KEEP_ALIVE_S, known_from: Change = UNNUMBERED
    ) -> AsyncGenerator[Told | None]:
        """All that changes after `after`, for ever; None when there is nothing new, and again after each `idle_s` in which
        there was not.

        Ends when the feed is closed. Raises ChangesGone, DataDamaged, Unavailable.
        """
        if after > self._head:
            raise ChangesGone(after)
        begun_at = self._head  # what is durable now is told now; what comes later becomes visible in its time
        self._follower_count += 1
        quiet_told = False
        try:
            while not self._closed:
                if after < self._base:
                    async for told in self._from_disk(after, shown, known_from):
                        after, known_from, quiet_told = told.to, told.known_from, False
                        yield told
                elif after < max(self._visible, begun_at):
                    told = self._from_memory(after, shown, max(self._visible, begun_at))
                    after, quiet_told = told.to, False
                    yield told
                elif not quiet_told:
                    quiet_told = True
                    yield None
                else:
                    quiet_told = await self._is_news(idle_s)
        finally:
            self._follower_count -= 1
            self._wanted_until_s = self._now_s() + _KEPT_S

    async def _is_news(self, patience_s: float) -> bool:
        """Waits until there may be something new; False if the patience is over."""
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(news)
        try:
            done, _ = await asyncio.wait((news,), timeout=patience_s)
        finally:
            self._waiting.discard(news)
        return bool(done)

    def _from_memory(self, after: Change, shown: FeedFilter, upto: Change) -> Told:
        """The next ones, at most a batch of them."""
        newer: list[_Held] = []
        for held in chain(reversed(self._pending.values()), reversed(self._ring.values())):
            if held.change <= after:
                break
            if held.change <= upto:
                newer.append(held)
        newer.reverse()
        to = upto if len(newer) <= _BATCH_ENTRIES else newer[_BATCH_ENTRIES - 1].change
        return Told([held.told() for held in newer[:_BATCH_ENTRIES] if shown.shows(held.bucket_id)], to)

    async def _from_disk(self, after: Change, shown: FeedFilter, known_from: Change) -> AsyncGenerator[Told]:
        """A page, in batches. All of it is taken from the reader before anybody waits for a client."""
        request = FeedRequest(after, self._head, shown, _PAGE_ENTRIES, _PAGE_BYTES, known_from)
        batches: list[list[FeedEntry]] = []
        end = PageEnd(after, more=False)
        async with aclosing(self._read_page(request)) as parts:
            async for part in parts:
                if isinstance(part, PageEnd):
                    end = part
                elif part:
                    batches.append(part)
        for batch in batches:
            yield Told(batch, batch[-1].change, end.known_from)
        yield Told([], end.to, end.known_from)


def _is_of(key: Hashable, number: BucketNumber) -> bool:
    return isinstance(key, tuple) and key[0] == number


def _has_bulk(writes: WriteSet, newer_than: Change) -> bool:
    """Are there more changes than the loop has time for, many events deleted at once, or sealed ones changed?"""
    if sum(map(len, writes.records.values())) + len(writes.tails) > _COMMIT_ENTRIES_MAX:
        return True
    return any(isinstance(gone, EventsGone) for gone in writes.tombstones.values()) or any(
        segment is not None and segment.entry.max_change > newer_than
        for segments in writes.segments.values()
        for segment in segments.values()
    )


def _changes(writes: WriteSet, durable: State, newer_than: Change) -> Iterator[tuple[Hashable, _Held]]:
    """What a commit changed, by what it changed: bucket number and seq; bucket number; a setting's key."""
    for number, row in writes.tails.items():
        bucket = durable.numbered(number)
        if row.tail is not None and row.tail.change > newer_than and bucket is not None:
            yield _event(number, bucket.meta.id, row.tail)
    for number, records in writes.records.items():
        bucket = durable.numbered(number)
        if bucket is not None:
            for record in records.values():
                if record is not None and record.change > newer_than:
                    yield _event(number, bucket.meta.id, record)
    for meta in writes.buckets.values():
        if meta is not None and meta.change > newer_than:
            yield _bucket(meta)
    for key, setting in writes.settings.items():
        if setting is not None and setting.change > newer_than:
            value, change = setting.value, setting.change
            size_bytes = _ENTRY_BYTES + len(value)
            yield key, _Held(change, None, size_bytes, partial(setting_line, change, key, value))
    for change, gone in writes.tombstones.items():
        bucket_id: str | None = None
        thing: Hashable
        if isinstance(gone, EventGone):
            bucket = durable.numbered(gone.bucket_number)
            if bucket is None:
                continue  # gone as well
            bucket_id, thing = bucket.meta.id, (gone.bucket_number, gone.seq)
        elif isinstance(gone, BucketGone):
            bucket_id, thing = gone.bucket_id, gone.number
        elif isinstance(gone, EventsGone):
            raise AssertionError("a bulk is read from the disk")
        else:
            thing = gone.key
        yield thing, _Held(change, bucket_id, _ENTRY_BYTES, partial(tombstone_line, change, gone, bucket_id))


def _event(number: BucketNumber, bucket_id: str, event: Event) -> tuple[Hashable, _Held]:
    size_bytes = _ENTRY_BYTES + len(event.payload)
    return (number, event.seq), _Held(
        event.change, bucket_id, size_bytes, lambda: EventLines(number, bucket_id).line(event)
    )


def _bucket(meta: BucketMeta) -> tuple[Hashable, _Held]:
    return meta.number, _Held(meta.change, meta.id, _ENTRY_BYTES + len(meta.data), partial(bucket_line, meta))
