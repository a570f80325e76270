"""How much room events take on the disk."""

from __future__ import annotations

from typing import Final

from awlog.log.record import RECORD_HEADER_BYTES
from awlog.log.segment_index import SegmentEntry
from awlog.log.state import BucketState
from awlog.storage import layout

# Before the value in the first of LMDB's overflow pages.
_PAGE_HEADER_BYTES: Final = 16


def segment_bytes(bucket: BucketState, entry: SegmentEntry, sealed_bytes: int, page_bytes: int) -> int:
    """A segment of so many bytes in whole pages, and its index entry."""
    pages = -(-(sealed_bytes + _PAGE_HEADER_BYTES) // page_bytes)
    return pages * page_bytes + len(layout.encode_entry(bucket.number, entry))


def record_bytes(bucket: BucketState) -> int:
    """The tail record and the head, with their keys and LMDB's eight bytes for each. O(records)."""
    recent = [*bucket.head, *([] if bucket.tail is None else [bucket.tail])]
    return sum(len(event.payload) + RECORD_HEADER_BYTES + 12 + 8 for event in recent)
