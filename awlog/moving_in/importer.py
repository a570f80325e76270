"""Source -> target, in batches: read, leave out what is there, store the rest, and look at the store once more.

Each batch is one durable transaction. Whatever ends an import, beginning it again brings what is missing, because each time
the source is compared with what the store holds (`matching.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Final

import numpy as np

from awlog.log.columns import Columns
from awlog.log.filters import SETTING as FILTERS_SETTING
from awlog.log.filters import Filters, filters_of
from awlog.log.segment import SEGMENT_EVENTS
from awlog.model.bucket import BucketMeta, check_bucket_id
from awlog.model.commands import NewEvent
from awlog.model.errors import BadRequest, Refused
from awlog.model.event import BucketNumber, Seq
from awlog.model.payload import canonical_value, mend_lone_surrogates
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros
from awlog.moving_in.matching import Held
from awlog.moving_in.report import BucketReport, Report, Totals
from awlog.moving_in.target import Target
from awlog.sources.source import Found, Source, SourceBucket
from awlog.storage.layout import SETTING_KEY_BYTES_MAX
from awlog.storage.live_view import ViewAtOnce

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Events of a batch: they fill eight segments, and one becomes the tail record. 150 bytes each.
BATCH_EVENTS: Final = 8 * SEGMENT_EVENTS + 1
# Events that wait in all buckets together, and the bytes of their payloads: many buckets share this.
_WAITING_EVENTS_MAX: Final = 4 * BATCH_EVENTS
_WAITING_BYTES_MAX: Final = 64 << 20
# Beyond that some is stored, of many buckets in one commit.
_STORED_EVENTS: Final = _WAITING_EVENTS_MAX // 4
_STORED_BYTES: Final = _WAITING_BYTES_MAX // 4
# Events of the store that are looked at again in one snapshot. A server that records meanwhile cannot use the pages that
# were freed since; and each snapshot costs a look at all buckets.
_LOOKED_AT_MAX: Final = 1_000_000


class Importer:
    """One import. `advance` is told how much of `Source.size` was read."""

    def __init__(self, source: Source, target: Target, advance: Callable[[int], None]) -> None:
        self._source = source
        self._target = target
        self._advance = advance
        self._buckets: dict[str, _Bucket] = {}
        self._waiting_count = 0
        self._waiting_bytes = 0
        self._filters_text: bytes | None = None
        self._filters: Filters | None = None

    def run(self) -> Report:
        """Raises SourceUnreadable, and what the target raises; what was imported until then stays."""
        report = Report(growing=self._target.is_recording)
        report.settings = self._settings()
        self._filters = filters_of(self._filters_text)
        self._begin(self._source.buckets())
        for step in self._source.steps():
            report.orphan_count += step.orphan_count
            for bucket_id, found in step.found.items():
                self._take(bucket_id, found)
            self._advance(step.read)
        while self._waiting_count:
            self._store(self._largest())
        if not self._target.is_rehearsal:
            self._look_again()
        report.buckets = [each.report for each in self._buckets.values()]
        return report

    def _look_again(self) -> None:
        """Adds up what the store holds of the source."""
        buckets = deque(self._buckets.values())
        while buckets:
            with self._target.view() as view:
                looked_at = 0
                while buckets and looked_at < _LOOKED_AT_MAX:
                    looked_at += buckets.popleft().look_again(view)
                    if view is not None:
                        view.forget()

    def _settings(self) -> dict[str, str]:
        there = self._target.settings()
        outcome: dict[str, str] = {}
        for key, text in self._source.settings().items():
            try:
                outcome[key] = self._set(key, canonical_value(mend_lone_surrogates(text)), there)
            except Refused:  # no JSON, filters that this server cannot keep, a key that is too long
                outcome[key] = "refused"
        self._filters_text = there.get(FILTERS_SETTING)
        return outcome

    def _set(self, key: str, value: bytes, there: dict[str, bytes]) -> str:
        """What became of a setting. Raises Refused."""
        if key in there:
            return "identical" if there[key] == value else "kept"
        if not 0 < len(key.encode("utf-8", "surrogateescape")) <= SETTING_KEY_BYTES_MAX:
            raise BadRequest(f"A setting's key has 1 to {SETTING_KEY_BYTES_MAX} bytes of UTF-8")
        if value != b"null":  # that is how a setting that is not there is written
            self._target.set_setting(key, value)
            there[key] = value
        return "imported"

    def _begin(self, described: list[SourceBucket]) -> None:
        """Makes the buckets that are missing, and notes what those that are there hold already."""
        begun: list[_Bucket] = []
        for bucket in described:
            known = self._buckets[bucket.id] = _Bucket(bucket.id)
            with suppress(BadRequest):
                check_bucket_id(bucket.id)
                known.report.made = self._target.make(bucket)
                begun.append(known)
        with self._target.view() as view:
            metas = {} if view is None else {meta.id: meta for meta in view.buckets()}
            for known in begun:
                known.begin(metas.get(known.report.bucket_id), view)

    def _take(self, bucket_id: str, found: Found) -> None:
        if bucket_id not in self._buckets:
            self._begin([self._source.bucket(bucket_id)])
        bucket = self._buckets[bucket_id]
        if bucket.held is None:
            found.refuse("The id of the bucket cannot be one", len(found.events))
            found.events = []
        if self._filters is not None:
            found.events = self._filtered(self._filters, bucket, found.events)
        bucket.report.refused += found.refused
        bucket.report.negative_count += found.negative_count
        bucket.report.source.add(found.events)
        bucket.waiting += found.events
        bucket.waiting_bytes += sum(len(event.payload) for event in found.events)
        self._waiting_count += len(found.events)
        self._waiting_bytes += sum(len(event.payload) for event in found.events)
        while len(bucket.waiting) >= BATCH_EVENTS:
            self._store([bucket])
        while self._waiting_count > _WAITING_EVENTS_MAX or self._waiting_bytes > _WAITING_BYTES_MAX:
            self._store(self._largest())

    def _largest(self) -> list[_Bucket]:
        """The buckets in which most waits: together as much as is stored at once, or all."""
        largest: list[_Bucket] = []
        count, size_bytes = 0, 0
        for bucket in sorted(self._buckets.values(), key=lambda each: each.waiting_bytes, reverse=True):
            if not bucket.waiting or count >= _STORED_EVENTS or size_bytes >= _STORED_BYTES:
                break
            largest.append(bucket)
            count += len(bucket.waiting)
            size_bytes += bucket.waiting_bytes
        return largest

    def _filtered(self, filters: Filters, bucket: _Bucket, events: list[NewEvent]) -> list[NewEvent]:
        """As the store will hold them: compared with what it holds, a redacted event must be redacted."""
        left: list[NewEvent] = []
        for event in events:
            kept = filters.kept(bucket.report.bucket_id, event.payload)
            if kept is event.payload:
                left.append(event)
            elif kept is not None:
                left.append(NewEvent(event.start_us, event.duration_us, kept))
        bucket.report.dropped_count += len(events) - len(left)
        return left

    def _store(self, buckets: list[_Bucket]) -> None:
        """One batch of what waits in each."""
        batches: list[tuple[_Bucket, list[NewEvent]]] = []
        with self._target.view() if any(each.holds_some() for each in buckets) else nullcontext() as view:
            for bucket in buckets:
                batch = bucket.next_batch()
                self._waiting_count -= len(batch)
                self._waiting_bytes -= sum(len(event.payload) for event in batch)
                missing, grown = bucket.leave_out_held(batch, view)
                bucket.report.imported_count += len(missing)
                bucket.report.grown_count += len(grown)
                batches += [(bucket, grown)] if grown else []
                batches += [(bucket, missing)] if missing else []
        spans = self._target.insert([(bucket.report.bucket_id, events) for bucket, events in batches])
        for (bucket, events), stored in zip(batches, spans, strict=True):
            if events[0].wire_id is None:
                bucket.stored += stored


class _Bucket:
    """One bucket on its way. `held` is None for a bucket that cannot be stored."""

    def __init__(self, bucket_id: str) -> None:
        self.report = BucketReport(bucket_id)
        self.waiting: list[NewEvent] = []
        self.waiting_bytes = 0
        self.held: Held | None = None
        self._number: BucketNumber | None = None
        self.stored: list[tuple[Seq, Seq]] = []

    def begin(self, meta: BucketMeta | None, view: ViewAtOnce | None) -> None:
        """What the store gets from now on is new. No `meta`: there is no such bucket yet."""
        if view is None or meta is None:
            self.held = Held(BucketNumber(0), Seq(1))
        else:
            self._number = meta.number
            self.held = Held(meta.number, view.next_seq(meta.number))

    def holds_some(self) -> bool:
        """Did it hold anything before the import?"""
        return self.held is not None and not self.held.is_empty() and self._number is not None

    def next_batch(self) -> list[NewEvent]:
        batch, self.waiting = self.waiting[:BATCH_EVENTS], self.waiting[BATCH_EVENTS:]
        self.waiting_bytes -= sum(len(event.payload) for event in batch)
        return batch

    def leave_out_held(self, batch: list[NewEvent], view: ViewAtOnce | None) -> tuple[list[NewEvent], list[NewEvent]]:
        """What is missing, and what has grown since it was imported."""
        if not batch or not self.holds_some():
            return batch, []
        assert view is not None, "a bucket that holds something is in a store"
        assert self.held is not None, "it holds something"
        assert self._number is not None, "it holds something"
        start_us = Micros(min(event.start_us for event in batch))
        end_us = Micros(max(event.start_us for event in batch))
        matched = self.held.match(batch, view.chunks(self._number, start_us, end_us, None))
        self.report.identical_count += matched.identical_count
        self.report.longer_us += matched.longer_us
        return matched.missing, matched.grown

    def look_again(self, view: ViewAtOnce | None) -> int:
        """Adds up what the store holds of the source; gives how many events it looked at."""
        if view is None or self._number is None or self.held is None:
            return 0
        spans = self.stored or [(Seq(0), Seq(0))]
        first, last = (np.array(ends, np.int64) for ends in zip(*spans, strict=True))
        totals = Totals()
        looked_at = 0
        for columns in view.chunks(self._number, TIME_MIN_US, TIME_MAX_US, None):
            looked_at += len(columns)
            totals.add_columns(columns.take(self.held.answered(columns) | _within(columns, first, last)))
        self.report.stored = totals
        return looked_at


def _within(columns: Columns, first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Of each row: does its seq lie in one of the spans [first, last], which ascend?"""
    at = np.searchsorted(first, columns.seq, "right") - 1
    within: NDArray[np.bool_] = (at >= 0) & (columns.seq <= last[np.maximum(at, 0)])
    return within
