"""Retention: which events of a bucket are too old, too many or too short, by the setting `retention`. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from awlog.log.columns import Columns
from awlog.log.record import RECORD_HEADER_BYTES
from awlog.log.rule_list import decode_rules
from awlog.log.segment_index import SegmentEntry
from awlog.log.state import BucketState
from awlog.model.edits import Expire
from awlog.model.errors import BadRequest
from awlog.model.rules import RetentionRule
from awlog.model.times import TIME_MIN_US, Micros

SETTING: Final = "retention"
# On the disk, a record's key and what stands before its payload.
_RECORD_BYTES: Final = RECORD_HEADER_BYTES + 20
_DAY_US: Final = 86_400_000_000
_SECOND_US: Final = 1_000_000


class RetentionAt(Struct, frozen=True, tag="retention"):
    """The rules, and the moment by which they judge ages."""

    rules: list[RetentionRule]
    now_us: Micros


_DECODER: Final = msgspec.json.Decoder(RetentionRule)


def check_retention(text: bytes) -> None:
    """For rules that are to be stored. Raises BadRequest."""
    retention_rules(text, are_new=True)


def retention_rules(text: bytes | None, *, are_new: bool = False) -> list[RetentionRule]:
    """The rules that a setting's JSON text means. Raises BadRequest, which names the rule and says why. Only `are_new` rules
    must be within the limit.
    """
    return [] if text is None else decode_rules(text, SETTING, _DECODER, _check, are_new=are_new)


def _check(rule: RetentionRule) -> None:
    if rule == RetentionRule(rule.bucket_prefix):
        raise BadRequest("it names no limit; give `max_age_days`, `max_events`, `max_bytes` or `min_duration_s`")


def rule_for(rules: list[RetentionRule], bucket_id: str) -> RetentionRule | None:
    """The first whose prefix fits: so one for a bucket stands before one for all."""
    return next((rule for rule in rules if bucket_id.startswith(rule.bucket_prefix)), None)


def expiry(
    rule: RetentionRule,
    now_us: Micros,
    bucket: BucketState,
    size_bytes: Callable[[SegmentEntry], int],
    load: Callable[[SegmentEntry], Columns],
) -> Expire:
    """What the rule means for this bucket at this moment. Loads a few segments if there are too many events or bytes.

    Never more goes than must: events with equal starts, which are at the limit together, stay.
    """
    started_before_us = TIME_MIN_US
    too_many = 0 if rule.max_events is None else bucket.event_count() - rule.max_events
    if too_many > 0:
        ages = _Ages(bucket, lambda entry: entry.count, lambda _: 1, load)
        started_before_us = max(started_before_us, ages.oldest(too_many))
    if rule.max_bytes is not None:
        sizes = {entry.first_seq: size_bytes(entry) for entry in bucket.index}
        ages = _Ages(bucket, lambda entry: sizes[entry.first_seq], lambda payload: _RECORD_BYTES + len(payload), load)
        started_before_us = max(started_before_us, ages.oldest(ages.total - rule.max_bytes))
    return Expire(
        ended_before_us=None if rule.max_age_days is None else Micros(now_us - round(rule.max_age_days * _DAY_US)),
        started_before_us=None if started_before_us == TIME_MIN_US else Micros(started_before_us),
        shorter_than_us=None if rule.min_duration_s is None else Micros(round(rule.min_duration_s * _SECOND_US)),
    )


class _Ages:
    """Sizes of a bucket's events by their starts: how much begins before an instant?"""

    def __init__(
        self,
        bucket: BucketState,
        size_of_segment: Callable[[SegmentEntry], int],
        size_of_record: Callable[[bytes], int],
        load: Callable[[SegmentEntry], Columns],
    ) -> None:
        self._load = load
        self._entries = list(bucket.index)
        self._sizes = [size_of_segment(entry) for entry in self._entries]
        recent = [*bucket.head, *([] if bucket.tail is None else [bucket.tail])]
        self._starts = np.array([event.start_us for event in recent], np.int64)
        self._record_sizes = np.array([size_of_record(event.payload) for event in recent], np.int64)
        self._loaded: dict[int, Columns] = {}
        self.total = sum(self._sizes) + int(self._record_sizes.sum())

    def oldest(self, size: int) -> Micros:
        """The latest instant before which no more than `size` begins."""
        low, high = TIME_MIN_US, max([TIME_MIN_US, *self._starts.tolist(), *(e.max_start_us for e in self._entries)])
        if size <= 0:
            return Micros(low)
        while low < high:
            middle = (low + high + 1) // 2
            if self._before(middle) <= size:
                low = Micros(middle)
            else:
                high = Micros(middle - 1)
        return Micros(low)

    def _before(self, instant_us: int) -> float:
        size: float = float(self._record_sizes[self._starts < instant_us].sum())
        for entry, segment_size in zip(self._entries, self._sizes, strict=True):
            if entry.max_start_us < instant_us:
                size += segment_size
            elif entry.min_start_us < instant_us:
                columns = self._loaded.get(entry.first_seq)
                if columns is None:
                    columns = self._loaded[entry.first_seq] = self._load(entry)
                size += segment_size * float((columns.start_us < instant_us).mean())
        return size
