"""What is whole in a damaged store: every row that matches its checksum, found without LMDB.

First the tables are walked. What a damaged page hides below it is looked for in the pages that nothing else accounts for,
and known by its keys and checksums. Nothing here writes, and no damage ends the process.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from awlog.log.columns import Columns
from awlog.log.segment import decode_segment
from awlog.log.segment_index import SegmentEntry, describes
from awlog.log.write_set import TailRow
from awlog.model.bucket import BucketMeta
from awlog.model.errors import AwlogError, CannotStart, DataDamaged
from awlog.model.event import BucketNumber, Event, Seq
from awlog.storage import layout
from awlog.storage.environment import DATA_FILE
from awlog.storage.pages import NO_PAGE, LostPage, Node, PageDamaged, PageFile

# What a decoder may raise on bytes that are not what they should be.
_NOT_WHOLE: Final = (AwlogError, ValueError, struct.error, msgspec.MsgspecError, LookupError, AssertionError)
_CHECKED_META: Final = (
    layout.DEVICE_KEY,
    layout.NEXT_BUCKET_KEY,
    layout.OLDEST_CHANGE_KEY,
    layout.RESTORED_CHANGE_KEY,
    layout.TOKENS_REQUIRED_KEY,
    layout.BACKUP_KEY,
)


def _check_meta(key: bytes, value: bytes) -> None:
    if key in _CHECKED_META:
        layout.without_checksum(key, value, "meta")
    elif key == layout.FORMAT_KEY:
        int(value)


def _check_setting(key: bytes, value: bytes) -> None:
    msgspec.json.decode(layout.decode_setting(key, value).value)


# How a row of each table is told from noise, and from a row of another table. In this order for rows whose table is unknown.
_CHECKS: Final[dict[bytes, Callable[[bytes, bytes], Any]]] = {
    layout.LOG: lambda key, value: layout.decode_record_at(*layout.split_seq_key(key), value),
    layout.SEGMENT_INDEX: layout.decode_entry,
    layout.BUCKETS: layout.decode_bucket,
    layout.TAILS: lambda key, value: layout.decode_tail_row(layout.bucket_number_of(key), value),
    layout.CHANGES: layout.decode_tombstone,
    layout.TOKENS: layout.decode_token,
    layout.SETTINGS: _check_setting,
    layout.PRODUCERS: layout.decode_producer,
    layout.META: _check_meta,
}


class SalvagedBucket(Struct):
    """All that was found of one bucket. `segments` are the first seqs of those that are there, whole or not."""

    number: BucketNumber
    meta: BucketMeta | None = None
    row: TailRow | None = None
    records: dict[Seq, Event] = field(default_factory=dict)
    entries: dict[Seq, SegmentEntry] = field(default_factory=dict)
    segments: set[Seq] = field(default_factory=set)

    def event_count(self) -> int:
        """Of those that are accounted for, sealed ones by the index."""
        sealed = sum(entry.count for entry in self.entries.values())
        return (self.row is not None and self.row.tail is not None) + len(self.records) + sealed

    def incompleteness(self) -> str | None:
        """Why this bucket cannot be read as it was; None if it can, but perhaps for single segments."""
        if self.row is None:
            return f"The tail record of bucket number {self.number}"
        if self.row.event_count != self.event_count():
            return f"Bucket number {self.number}, which has {self.event_count()} of its {self.row.event_count} events,"
        return None


class Salvage:
    """The rows of a store that are whole. Owned by one thread; holds the file open until `close`."""

    def __init__(self, data_dir: Path) -> None:
        """Walks all tables. O(pages) of the file; no segment is read. Raises CannotStart if nothing can be found."""
        self.data_dir = data_dir
        self.rows: dict[bytes, dict[bytes, bytes]] = {name: {} for name in layout.SUB_DATABASES}
        self.damaged: dict[bytes, int] = {}
        """Tables with rows that are not whole or pages that cannot be read, and how many there are of these."""
        self._segments: dict[bytes, Node] = {}
        try:
            self._file = PageFile(data_dir / DATA_FILE)
        except (PageDamaged, OSError) as error:
            raise CannotStart(
                f"Nothing can be read in {data_dir / DATA_FILE}: {error}. Nothing was changed. Restore a backup."
            ) from None
        self.is_newest_certain = self._file.is_newest_certain
        self._walk_tables()
        if self.damaged:
            self._take_orphans()
        self._check_format()

    def close(self) -> None:
        self._file.close()

    def txn_id(self) -> int:
        return self._file.meta.txn_id

    def is_damaged(self, table: bytes) -> bool:
        return table in self.damaged

    def buckets(self) -> list[SalvagedBucket]:
        """All buckets of which anything is left, by their numbers."""
        found: dict[BucketNumber, SalvagedBucket] = {}

        def bucket(number: BucketNumber) -> SalvagedBucket:
            return found.setdefault(number, SalvagedBucket(number))

        for key, value in self.rows[layout.BUCKETS].items():
            meta = layout.decode_bucket(key, value)
            bucket(meta.number).meta = meta
        for key, value in self.rows[layout.TAILS].items():
            number = layout.bucket_number_of(key)
            bucket(number).row = layout.decode_tail_row(number, value)
        for key, value in self.rows[layout.LOG].items():
            number, seq = layout.split_seq_key(key)
            bucket(number).records[seq] = layout.decode_record_at(number, seq, value)
        for key, value in self.rows[layout.SEGMENT_INDEX].items():
            number, seq = layout.split_seq_key(key)
            bucket(number).entries[seq] = layout.decode_entry(key, value)
        for key in self._segments:
            number, seq = layout.split_seq_key(key)
            bucket(number).segments.add(seq)
        return [found[number] for number in sorted(found)]

    def segment_keys(self) -> list[bytes]:
        return sorted(self._segments)

    def sealed(self, key: bytes) -> bytes | None:
        """The bytes under the key of a segment, whole or not."""
        node = self._segments.get(key)
        if node is None:
            return None
        try:
            return self._file.value(node)
        except PageDamaged:
            return b""

    def segment(self, bucket: SalvagedBucket, first_seq: Seq) -> tuple[bytes, Columns] | None:
        """A segment, as it is stored and decoded; None if it is not whole or not the one of its entry.

        Of one without an entry the changes are not known.
        """
        sealed = self.sealed(layout.seq_key(bucket.number, first_seq))
        entry = bucket.entries.get(first_seq)
        if not sealed:
            return None
        try:
            columns = decode_segment(sealed, first_seq, None if entry is None else entry.min_change, "a segment")
        except _NOT_WHOLE:
            return None
        return None if entry is not None and not describes(entry, columns) else (sealed, columns)

    def _walk_tables(self) -> None:
        roots = self._file.tables(lambda _page: self._note_damage(*layout.SUB_DATABASES))
        for name in layout.SUB_DATABASES:
            if name not in roots:
                self._note_damage(name)
        for name, root in roots.items():
            for node in self._file.nodes(root, self._lost_page_of(name)):
                self._take(name, node)

    def _lost_page_of(self, name: bytes) -> Callable[[LostPage], None]:
        return lambda _page: self._note_damage(name)

    def _take(self, name: bytes, node: Node) -> None:
        if not node.key:
            self._note_damage(name)
            return
        if name == layout.SEGMENTS:
            if len(node.key) == len(layout.seq_key(BucketNumber(1), Seq(1))) and not node.is_table:
                self._segments[node.key] = node
                try:
                    self._file.claim(node)
                except PageDamaged:
                    self._note_damage(name)
            else:
                self._note_damage(name)
            return
        try:
            value = self._file.value(node)
        except PageDamaged:
            self._note_damage(name)
            return
        try:
            if name in _CHECKS:
                _CHECKS[name](node.key, value)
        except _NOT_WHOLE:
            self._note_damage(name)
            # A damaged page may have led to one of another table.
            belongs_to = _table_of(node.key, value)
            if belongs_to is not None and belongs_to != layout.SEGMENTS:
                self.rows[belongs_to].setdefault(node.key, value)
        else:
            self.rows.setdefault(name, {})[node.key] = value

    def _note_damage(self, *names: bytes) -> None:
        for name in names:
            self.damaged[name] = self.damaged.get(name, 0) + 1

    def _take_orphans(self) -> None:
        for node in self._file.orphans():
            if node.is_table:
                continue
            try:
                value = self._file.value(node)
            except PageDamaged:
                continue
            name = _table_of(node.key, value)
            if name == layout.SEGMENTS:
                self._segments.setdefault(node.key, node)
            elif name is not None and self.is_damaged(name):
                self.rows[name].setdefault(node.key, value)

    def _check_format(self) -> None:
        """Raises FormatTooNew, FormatTooOld, CannotStart."""
        stored = self.rows[layout.META].get(layout.FORMAT_KEY)
        if stored is not None:
            layout.require_known_format(int(stored))
        if stored is None and not any(self.rows[name] for name in (layout.BUCKETS, layout.TAILS, layout.LOG)):
            raise CannotStart(
                f"Nothing of awlog's can be read in {self.data_dir / DATA_FILE}. Nothing was changed. Restore a backup."
            )


def require_usable_pages(data_dir: Path) -> None:
    """Raises DataDamaged if LMDB would die of the length of a segment, or could not write for its list of free pages.

    About 10 µs a segment, of which none is read, and 0.2 µs a free page.
    """
    lost: list[LostPage] = []
    try:
        file = PageFile(data_dir / DATA_FILE)
        try:
            roots = file.tables(lost.append)
            for node in file.nodes(roots.get(layout.SEGMENTS, NO_PAGE), lost.append):
                try:
                    file.check_extent(node)
                except PageDamaged:
                    number, seq = layout.split_seq_key(node.key)
                    raise DataDamaged(f"Segment {seq} of bucket number {number}") from None
            if file.free_pages() is None:
                raise DataDamaged("The list of free pages, without which nothing can be written,")
        finally:
            file.close()
    except PageDamaged as damage:
        raise DataDamaged(f"The data file, of which {damage},") from None
    if lost:
        raise DataDamaged("A page of the table of segments")


def _table_of(key: bytes, value: bytes) -> bytes | None:
    """The table that a row belongs to, by what its checksum covers; None if it is none of a known table."""
    if len(key) == len(layout.seq_key(BucketNumber(1), Seq(1))):
        try:
            decode_segment(value, layout.split_seq_key(key)[1], None, "a segment")
        except _NOT_WHOLE:
            pass
        else:
            return layout.SEGMENTS
    for name, check in _CHECKS.items():
        if name == layout.META and key not in (*_CHECKED_META, layout.FORMAT_KEY):
            continue
        try:
            check(key, value)
        except _NOT_WHOLE:
            continue
        return name
    return None
