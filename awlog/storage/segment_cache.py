"""Decoded segments, least recently used first out, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict

from awlog.log.columns import Columns
from awlog.log.segment_index import SegmentEntry
from awlog.model.event import BucketNumber

_PAYLOAD_OVERHEAD_BYTES = 33 + 8  # a bytes object and its place in the list
_ARRAY_BYTES = 8 + 8 + 8 + 4


class SegmentCache:
    """Keyed by bucket and index entry: a rewritten segment has another entry, so an old one is never found for it."""

    def __init__(self, size_bytes_max: int) -> None:
        self._size_bytes_max = size_bytes_max
        self._size_bytes = 0
        self._columns: OrderedDict[tuple[BucketNumber, SegmentEntry], Columns] = OrderedDict()

    def get(self, number: BucketNumber, entry: SegmentEntry) -> Columns | None:
        key = (number, entry)
        columns = self._columns.get(key)
        if columns is not None:
            self._columns.move_to_end(key)
        return columns

    def put(self, number: BucketNumber, entry: SegmentEntry, columns: Columns) -> None:
        key = (number, entry)
        if key in self._columns:
            return
        self._columns[key] = columns
        self._size_bytes += _size_bytes(columns)
        while self._size_bytes > self._size_bytes_max and self._columns:
            _, gone = self._columns.popitem(last=False)
            self._size_bytes -= _size_bytes(gone)

    def clear(self) -> None:
        self._columns.clear()
        self._size_bytes = 0


def _size_bytes(columns: Columns) -> int:
    payload_bytes = sum(len(payload) for payload in columns.payloads)
    return len(columns) * _ARRAY_BYTES + len(columns.payloads) * _PAYLOAD_OVERHEAD_BYTES + payload_bytes
