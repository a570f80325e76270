"""Sealed history as of one moment: one LMDB read transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import lmdb

from awlog.log.columns import Columns
from awlog.log.segment import decode_segment
from awlog.log.segment_index import SegmentEntry, entry_of
from awlog.model.errors import DataDamaged, Unavailable
from awlog.model.event import BucketNumber
from awlog.storage import layout
from awlog.storage.environment import Environment


class Snapshot:
    """Reads from one transaction; valid while the `open_snapshot` that made it is open."""

    def __init__(self, txn: lmdb.Transaction, environment: Environment) -> None:
        self._txn = txn
        self._segments = environment.databases[layout.SEGMENTS]

    def txn_id(self) -> int:
        """The number of the newest transaction that this snapshot shows."""
        return int(self._txn.id())

    def segment(self, number: BucketNumber, entry: SegmentEntry) -> Columns:
        """The events of a segment, in the order of their seqs. About 0.5 ms.

        Raises DataDamaged if the segment is missing, fails its checksum, or is not the one that `entry` describes.
        """
        where = f"Segment {entry.first_seq} of bucket number {number}"
        sealed = self._txn.get(layout.seq_key(number, entry.first_seq), db=self._segments)
        if sealed is None:
            raise DataDamaged(where)
        columns = decode_segment(sealed, entry.first_seq, where)
        if entry_of(columns, entry.revision) != entry:  # a segment in another's place
            raise DataDamaged(where)
        return columns


@contextmanager
def open_snapshot(environment: Environment) -> Iterator[Snapshot]:
    """A snapshot of the store as it is on the disk now. Raises Unavailable if the store is opened anew meanwhile."""
    try:
        with environment.reading() as txn:
            yield Snapshot(txn, environment)
    except lmdb.Error as error:
        raise Unavailable("The store was opened anew in the middle of this read; retry.") from error
