"""A page of the change feed, read from a snapshot: the next changes after a number, in their order, in bounded memory.

Nothing is written per change, so a page is a look at everything that has a number: of segments only those whose index
entry says that they hold newer ones, and of these only while they can hold one of the least that were found. Each page is
read from a snapshot of its own: what changes in between comes with its newer number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from msgspec import Struct

from awlog.engine.feed_lines import EventLines, bucket_line, setting_line, tombstone_line
from awlog.log.changed_rows import ChangedRows
from awlog.log.columns import Columns, columns_of
from awlog.log.state import BucketState
from awlog.log.write_set import BucketGone, EventGone, EventsGone
from awlog.model.errors import ChangesGone
from awlog.model.event import UNNUMBERED, Change
from awlog.model.feed import FROM_THE_BEGINNING, FeedEntry, FeedRequest
from awlog.storage.live_view import ViewAtOnce
from awlog.storage.snapshot import Snapshot


class PageEnd(Struct, frozen=True):
    """All up to `to` was told; `more` if there are more changes in this snapshot. `known_from`: for the next request."""

    to: Change
    more: bool
    known_from: Change = UNNUMBERED


class _Found(Struct):
    """A change that may be on the page, and how to write its line."""

    change: Change
    bucket_id: str | None
    line: Callable[[], bytes]


def read_page(view: ViewAtOnce, request: FeedRequest) -> Iterator[FeedEntry | PageEnd]:
    """The entries in their order, then the end. About 3 µs an entry and 0.7 ms a segment.

    Raises ChangesGone if tombstones after `request.after` were dropped or the store was restored since, DataDamaged.
    """
    snapshot = view.snapshot
    # Who begins anew has nothing of what was deleted before: also on the later pages of that beginning.
    followed_from = snapshot.followed_from()
    known_from = followed_from if request.after == FROM_THE_BEGINNING else request.known_from
    if max(request.after, known_from) < followed_from:
        raise ChangesGone(request.after)
    single = list(_singles(view, snapshot, request))
    chosen = [meta for meta in view.buckets() if request.shown.shows(meta.id)]
    rows = ChangedRows(request.after, request.entries_max, [found.change for found in single])
    segments = []
    for meta in chosen:
        bucket = view.bucket(meta.number)
        rows.add(meta.number, _recent(bucket, request.after))
        segments += [(entry, meta.number) for entry in bucket.index if entry.max_change > request.after]
    for entry, number in sorted(segments, key=lambda segment: segment[0].min_change):
        if entry.min_change > rows.cut():
            break
        rows.add(number, snapshot.segment(number, entry))
    cut = rows.cut()
    found = [each for each in single if each.change <= cut]
    for meta in chosen:
        lines = EventLines(meta.number, meta.id)
        found += [_Found(event.change, meta.id, partial(lines.line, event)) for event in rows.events(meta.number, cut)]
    found.sort(key=lambda each: each.change)
    size_bytes, last = 0, request.after
    for each in found:
        if size_bytes > request.bytes_max:
            yield PageEnd(last, more=True, known_from=known_from)
            return
        line = each.line()
        size_bytes += len(line)
        last = each.change
        yield FeedEntry(each.change, each.bucket_id, line)
    more = len(found) >= request.entries_max
    yield PageEnd(last if more else max(last, request.head), more, known_from)


def head_change(view: ViewAtOnce) -> Change:
    """The newest change in a snapshot. O(records that are not sealed)."""
    snapshot = view.snapshot
    numbers = [snapshot.followed_from(), *(meta.change for meta in view.buckets())]
    numbers += [row.change for _, row in snapshot.setting_rows()]
    last = snapshot.last_tombstone()
    if last is not None:
        numbers.append(last)
    for meta in view.buckets():
        bucket = view.bucket(meta.number)
        numbers += [event.change for event in bucket.head]
        numbers += [entry.max_change for entry in bucket.index]
        if bucket.tail is not None:
            numbers.append(bucket.tail.change)
    return max(numbers)


def _singles(view: ViewAtOnce, snapshot: Snapshot, request: FeedRequest) -> Iterator[_Found]:
    """Buckets, settings, and the next tombstones."""
    after, shown = request.after, request.shown
    ids = {meta.number: meta.id for meta in view.buckets()}
    for meta in view.buckets():
        if meta.change > after and shown.shows(meta.id):
            yield _Found(meta.change, meta.id, partial(bucket_line, meta))
    if shown.shows(None):
        for key, row in snapshot.setting_rows():
            if row.change > after:
                yield _Found(row.change, None, partial(setting_line, row.change, key, row.value))
    count = 0
    for change, tombstone in snapshot.tombstones(after=after):
        bucket_id = None
        if isinstance(tombstone, EventGone | EventsGone):
            bucket_id = ids.get(tombstone.bucket_number)
            if bucket_id is None:
                continue  # the bucket is gone as well, and has a tombstone of its own
        elif isinstance(tombstone, BucketGone):
            bucket_id = tombstone.bucket_id
        if shown.shows(bucket_id):
            yield _Found(change, bucket_id, partial(tombstone_line, change, tombstone, bucket_id))
            count += 1
            if count > request.entries_max:
                return


def _recent(bucket: BucketState, after: Change) -> Columns:
    """The tail record and the records of the head that changed after this."""
    events = [event for event in bucket.head if event.change > after]
    if bucket.tail is not None and bucket.tail.change > after:
        events.append(bucket.tail)
    return columns_of(events)
