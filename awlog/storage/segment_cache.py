"""Decoded segments, least recently used first out, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from awlog.log.columns import Columns
from awlog.log.segment_index import SegmentEntry
from awlog.model.event import BucketNumber

_PAYLOAD_OVERHEAD_BYTES = 33 + 8  # a bytes object and its place in the list
_ARRAY_BYTES = 8 + 8 + 8 + 4
_CHANGE_BYTES = 8  # where they are kept


class SegmentCache:
    """Keyed by bucket and index entry: a rewritten segment has another entry, so an old one is never found for it.

    One segment may be kept in several forms, each for itself.
    """

    def __init__(self, size_bytes_max: int, *, owns_payloads: bool = True) -> None:
        """`owns_payloads`: False if somebody else keeps the payloads, and counts them."""
        self._size_bytes_max = size_bytes_max
        self._owns_payloads = owns_payloads
        self._size_bytes = 0
        self._kept: OrderedDict[tuple[BucketNumber, SegmentEntry, Hashable], tuple[Columns, int]] = OrderedDict()

    def get(self, number: BucketNumber, entry: SegmentEntry, form: Hashable = None) -> Columns | None:
        key = (number, entry, form)
        kept = self._kept.get(key)
        if kept is None:
            return None
        self._kept.move_to_end(key)
        return kept[0]

    def put(self, number: BucketNumber, entry: SegmentEntry, columns: Columns, form: Hashable = None) -> None:
        key = (number, entry, form)
        if key in self._kept:
            return
        size_bytes = len(columns) * _ARRAY_BYTES + len(columns.change) * _CHANGE_BYTES
        if self._owns_payloads:
            size_bytes += sum(map(len, columns.payloads)) + len(columns.payloads) * _PAYLOAD_OVERHEAD_BYTES
        self._kept[key] = (columns, size_bytes)
        self._size_bytes += size_bytes
        while self._size_bytes > self._size_bytes_max and self._kept:
            _, (_, gone_bytes) = self._kept.popitem(last=False)
            self._size_bytes -= gone_bytes

    def clear(self) -> None:
        self._kept.clear()
        self._size_bytes = 0
