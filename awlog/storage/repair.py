"""A damaged store -> a new one with all that is whole, and a report of all that is not.

The old directory is only read. Every event that can be read is kept under its id; what was lost is named by bucket, seqs and
time. Numbers that are given out once (seqs, buckets, changes) go on well behind the greatest that is left, because the
greatest may be among what was lost.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import lmdb
import msgspec
from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import replace

from awlog.log.columns import Columns, numbered_from, youngest_row
from awlog.log.record import encode_record
from awlog.log.segment import encode_segment
from awlog.log.segment_index import SegmentEntry, entry_of
from awlog.log.write_set import BucketGone, EventGone, TailRow
from awlog.model.bucket import BucketMeta
from awlog.model.errors import CannotStart, DataDamaged, Refused
from awlog.model.event import BUCKET_NUMBER_MAX, SEQ_MAX, BucketNumber, Change, Event, Payload, Seq
from awlog.model.times import Micros, format_timestamp
from awlog.storage import layout
from awlog.storage.copying import aside, proved, put_in_place
from awlog.storage.environment import DATA_FILE, MAP_BYTES, TABLES_MAX, prepare_directory
from awlog.storage.identity import IDENTITY_FILE, Identity, new_device_id, read_identity, write_identity
from awlog.storage.lock import DirectoryLock
from awlog.storage.room import told_as_ours
from awlog.storage.salvage import Salvage, SalvagedBucket

REPORT_FILE: Final = "repair-report.json"
# What may have been given out behind the greatest number that is left: more than a head holds.
_SEQS_SKIPPED: Final = 1 << 17
_BUCKETS_SKIPPED: Final = 64
_CHANGES_SKIPPED: Final = 1 << 24


class Loss(Struct, frozen=True, omit_defaults=True):
    """Something that is not whole. Times are ISO 8601; of what is not known there is no field."""

    what: str
    bucket_number: int | UnsetType = UNSET
    bucket_id: str | UnsetType = UNSET
    first_seq: int | UnsetType = UNSET
    last_seq: int | UnsetType = UNSET
    start: str | UnsetType = UNSET
    end: str | UnsetType = UNSET
    events: int | UnsetType = UNSET

    def text(self) -> str:
        """One line for people."""
        parts = [self.what]
        if self.bucket_number is not UNSET:
            name = "" if self.bucket_id is UNSET else f" ({self.bucket_id!r})"
            parts.append(f"bucket number {self.bucket_number}{name}")
        if self.events is not UNSET:
            parts.append(f"{self.events:,} events")
        if self.first_seq is not UNSET:
            parts.append(f"seqs {self.first_seq} to {self.last_seq}")
        if self.start is not UNSET:
            parts.append(f"from {self.start} to {self.end}")
        return ", ".join(parts)


class RepairReport(Struct):
    """What is in the new store, and what is not."""

    source: str
    target: str
    made: str
    buckets: int = 0
    events: int = 0
    digest: str = ""
    lost: list[Loss] = field(default_factory=list)


class _Rows:
    """The rows of the new store, by table."""

    def __init__(self) -> None:
        self.by_table: dict[bytes, dict[bytes, bytes]] = {name: {} for name in layout.SUB_DATABASES}

    def put(self, table: bytes, key: bytes, value: bytes) -> None:
        self.by_table.setdefault(table, {})[key] = value


def repair(data_dir: Path, target_dir: Path) -> RepairReport:
    """Makes a store in `target_dir`, which holds none. The report is also there, as JSON. Memory: all of the store's rows.

    Raises Refused if there is a store in `target_dir`, CannotStart if nothing can be read or a server runs, DataDamaged if
    what was made is not whole, InsufficientStorage, Unavailable; then nothing was made.
    """
    for name in (DATA_FILE, IDENTITY_FILE):
        if (target_dir / name).exists():
            raise Refused(f"There is a store in {target_dir} already: nothing was touched. Choose another directory.")
    if not (data_dir / DATA_FILE).is_file():
        raise CannotStart(f"There is no store in {data_dir}. `awlog paths` says where it is expected.")
    with DirectoryLock(data_dir):
        salvage = Salvage(data_dir)
        try:
            return _Repair(salvage, target_dir).run()
        finally:
            salvage.close()


def losses_of(salvage: Salvage) -> list[Loss]:
    """What is not whole in a store, without making a new one. Reads every segment."""
    repairing = _Repair(salvage, salvage.data_dir)
    repairing.collect()
    return repairing.report.lost


class _Repair:
    def __init__(self, salvage: Salvage, target_dir: Path) -> None:
        self._salvage = salvage
        self._target_dir = target_dir
        self._rows = _Rows()
        self._next_change = 1
        made = format_timestamp(time.time_ns() // 1000)
        self.report = RepairReport(str(salvage.data_dir), str(target_dir), made)

    def run(self) -> RepairReport:
        self.collect()
        prepare_directory(self._target_dir)
        with (
            told_as_ours(self._target_dir),
            DirectoryLock(self._target_dir),
            aside(self._target_dir / DATA_FILE) as made,
        ):
            identity = self._identity()
            _write(made, self._rows.by_table)
            write_identity(made, identity)
            proof = proved(made)
            self.report.buckets, self.report.digest = len(proof.buckets), proof.digest
            self.report.events = sum(bucket.events for bucket in proof.buckets)
            (made / REPORT_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(self.report), indent=2) + b"\n")
            put_in_place(made / REPORT_FILE, self._target_dir / REPORT_FILE)
            put_in_place(made / DATA_FILE, self._target_dir / DATA_FILE)
            write_identity(self._target_dir, identity)
        return self.report

    def collect(self) -> None:
        """Sorts what is whole from what is not."""
        salvage = self._salvage
        buckets = salvage.buckets()
        for bucket in buckets:
            for event in self._events_without_segments(bucket):
                self._next_change = max(self._next_change, event.change + 1)
            for entry in bucket.entries.values():
                self._next_change = max(self._next_change, entry.max_change + 1)
            if bucket.meta is not None:
                self._next_change = max(self._next_change, bucket.meta.change + 1)
        tombstones = {
            layout.change_of(key): layout.decode_tombstone(key, value)
            for key, value in salvage.rows[layout.CHANGES].items()
        }
        settings = {key: layout.decode_setting(key, value) for key, value in salvage.rows[layout.SETTINGS].items()}
        given = [*tombstones, *(row.change for row in settings.values()), *self._change_limits()]
        self._next_change = max(self._next_change, *(change + 1 for change in given)) + (
            _CHANGES_SKIPPED if salvage.damaged else 0
        )
        self._tell_lost_rows()
        seqs_gone: dict[BucketNumber, int] = {}
        for tombstone in tombstones.values():
            if isinstance(tombstone, EventGone):
                seqs_gone[tombstone.bucket_number] = max(seqs_gone.get(tombstone.bucket_number, 0), tombstone.seq)
        ids = {bucket.meta.id for bucket in buckets if bucket.meta is not None}
        for bucket in buckets:
            self._take_bucket(bucket, seqs_gone.get(bucket.number, 0), ids)
        numbers = [bucket.number for bucket in buckets]
        numbers += [tombstone.number for tombstone in tombstones.values() if isinstance(tombstone, BucketGone)]
        self._take_the_rest(max(numbers, default=0))

    def _events_without_segments(self, bucket: SalvagedBucket) -> list[Event]:
        tail = None if bucket.row is None else bucket.row.tail
        return [*bucket.records.values(), *([] if tail is None else [tail])]

    def _change_limits(self) -> Iterator[Change]:
        """Numbers that `meta` says were given."""
        meta = self._salvage.rows[layout.META]
        if layout.OLDEST_CHANGE_KEY in meta:
            yield layout.decode_oldest_change(meta[layout.OLDEST_CHANGE_KEY])
        if layout.RESTORED_CHANGE_KEY in meta:
            yield layout.decode_restored_change(meta[layout.RESTORED_CHANGE_KEY])

    def _tell_lost_rows(self) -> None:
        if not self._salvage.is_newest_certain:
            self.report.lost.append(Loss("one of the two meta pages: what the last transaction wrote may be lost"))
        told_by_bucket = (layout.TAILS, layout.LOG, layout.SEGMENTS, layout.SEGMENT_INDEX)
        for name, count in self._salvage.damaged.items():
            if name not in told_by_bucket:
                self.report.lost.append(Loss(f"rows or pages of the table `{name.decode()}`: {count}"))

    def _lose(
        self, bucket: SalvagedBucket, what: str, entry: SegmentEntry | None = None, events: int | None = None
    ) -> None:
        loss = Loss(what, bucket.number, UNSET if bucket.meta is None else bucket.meta.id)
        if entry is not None:
            loss = replace(
                loss,
                first_seq=entry.first_seq,
                last_seq=entry.last_seq,
                start=format_timestamp(entry.min_start_us),
                end=format_timestamp(entry.max_end_us),
            )
            events = entry.count
        self.report.lost.append(loss if events is None else replace(loss, events=events))

    def _take_bucket(self, bucket: SalvagedBucket, greatest_seq_gone: int, ids: set[str]) -> None:
        number, row = bucket.number, bucket.row
        seqs: set[int] = set()
        sealed: dict[Seq, tuple[bytes, Columns, SegmentEntry | None]] = {}
        unreadable_count = 0
        for first_seq in sorted(bucket.segments | bucket.entries.keys()):
            entry = bucket.entries.get(first_seq)
            found = self._salvage.segment(bucket, first_seq)
            if found is None or not seqs.isdisjoint(found[1].seq.tolist()):
                unreadable_count += 0 if entry is None else entry.count
                self._lose(bucket, "a segment" if entry is not None else f"the segment {first_seq}", entry)
                continue
            seqs.update(found[1].seq.tolist())
            sealed[first_seq] = (*found, entry)
        recent = {event.seq: event for event in self._events_without_segments(bucket) if event.seq not in seqs}
        event_count = len(seqs) + len(recent)
        if not event_count and bucket.meta is None and row is None:
            return
        if row is None:
            self._lose(bucket, "the tail record, and perhaps more events that no other row tells of")
        elif row.event_count - unreadable_count > event_count:
            self._lose(
                bucket, "recent events or whole segments", events=row.event_count - unreadable_count - event_count
            )
        if bucket.meta is None:
            self._lose(bucket, "the metadata; the bucket gets a new name")
        greatest_seq = max([0, greatest_seq_gone, *seqs, *recent, *(e.last_seq for e in bucket.entries.values())])
        next_seq = greatest_seq + 1 + _SEQS_SKIPPED if row is None else max(row.next_seq, greatest_seq + 1)
        revision = max(
            [0, *(entry.revision for entry in bucket.entries.values()), 0 if row is None else row.next_revision]
        )
        tail = self._youngest(recent, sealed)
        for first_seq, (content, columns, entry) in sealed.items():
            if not len(columns):
                continue
            revision += 1
            new_entry = entry
            if entry is None or not content:
                columns = self._with_changes(columns)
                new_entry = entry_of(columns, revision)
                content = encode_segment(columns, new_entry.first_seq)
            assert new_entry is not None, "it is the old one or a new one"
            key = layout.seq_key(number, new_entry.first_seq)
            self._rows.put(layout.SEGMENTS, key, content)
            self._rows.put(layout.SEGMENT_INDEX, key, layout.encode_entry(number, new_entry))
            assert new_entry.first_seq >= first_seq, "a segment only loses events"
        for event in recent.values():
            if tail is not None and event.seq != tail.seq:
                self._rows.put(layout.LOG, layout.seq_key(number, event.seq), encode_record(number, event))
        new_row = TailRow(Seq(min(next_seq, SEQ_MAX + 1)), revision + 1, tail, event_count)
        self._rows.put(layout.TAILS, layout.bucket_key(number), layout.encode_tail_row(number, new_row))
        meta = bucket.meta or self._placeholder(number, ids)
        self._rows.put(layout.BUCKETS, layout.bucket_key(number), layout.encode_bucket(meta))

    def _youngest(
        self,
        recent: dict[Seq, Event],
        sealed: dict[Seq, tuple[bytes, Columns, SegmentEntry | None]],
    ) -> Event | None:
        """The tail record: the youngest of all events; one that was sealed is taken out of its segment."""
        youngest = max(recent.values(), key=lambda event: (event.start_us, event.seq), default=None)
        home: Seq | None = None
        for first_seq, (_, columns, _) in sealed.items():
            at = youngest_row(columns)
            if youngest is None or (columns.start_us[at], columns.seq[at]) > (youngest.start_us, youngest.seq):
                numbered = self._with_changes(columns)
                if numbered is not columns:
                    sealed[first_seq] = (b"", numbered, None)
                youngest, home = numbered.event(at), first_seq
        if home is not None:
            assert youngest is not None, "it has a home"
            columns = sealed[home][1]
            sealed[home] = (b"", columns.take(columns.seq != youngest.seq).compacted(), None)
        return youngest

    def _with_changes(self, columns: Columns) -> Columns:
        """With new numbers if its own are not known: they stand in a part of the entry that was lost."""
        return columns if len(columns.change) else numbered_from(columns, self._new_changes(len(columns)))

    def _new_changes(self, count: int) -> Change:
        """The first of so many."""
        first, self._next_change = self._next_change, self._next_change + count
        return Change(first)

    def _placeholder(self, number: BucketNumber, ids: set[str]) -> BucketMeta:
        name = f"repaired-{number}"
        while name in ids:
            name += "-"
        ids.add(name)
        change = self._new_changes(1)
        return BucketMeta(number, name, "unknown", "awlog repair", "unknown", Micros(0), None, Payload(b"{}"), change)

    def _take_the_rest(self, greatest_number: int) -> None:
        salvage, put = self._salvage, self._rows.put
        for name, rows in salvage.rows.items():
            if name in (layout.SETTINGS, layout.PRODUCERS, layout.TOKENS) or name not in layout.SUB_DATABASES:
                for key, value in rows.items():
                    put(name, key, value)
        meta = dict(salvage.rows[layout.META])
        meta.pop(layout.BACKUP_KEY, None)
        stored = meta.get(layout.NEXT_BUCKET_KEY)
        next_number = greatest_number + 1 + _BUCKETS_SKIPPED
        if stored is not None:
            next_number = max(greatest_number + 1, int(layout.without_checksum(layout.NEXT_BUCKET_KEY, stored, "")))
        next_number = min(next_number, BUCKET_NUMBER_MAX + 1)
        meta[layout.NEXT_BUCKET_KEY] = layout.with_checksum(layout.NEXT_BUCKET_KEY, str(next_number).encode())
        meta[layout.FORMAT_KEY] = str(layout.FORMAT_VERSION).encode()
        meta[layout.CLEAN_KEY] = b"1"
        if salvage.is_damaged(layout.META) and layout.TOKENS_REQUIRED_KEY not in meta:
            # Nobody can say whether they were; a store that asked for them must not be open to all.
            meta[layout.TOKENS_REQUIRED_KEY] = layout.encode_tokens_required(required=True)
            self.report.lost.append(Loss("whether tokens are required: they are from now on"))
        if self.report.lost:
            # Who follows the changes begins anew: some may be lost, and with them tombstones.
            meta[layout.OLDEST_CHANGE_KEY] = layout.encode_oldest_change(Change(self._next_change))
        else:
            for key, value in salvage.rows[layout.CHANGES].items():
                put(layout.CHANGES, key, value)
        for key, value in meta.items():
            put(layout.META, key, value)

    def _identity(self) -> Identity:
        """The device's id, from the store, from the file beside it, or a new one."""
        stored = self._rows.by_table[layout.META].get(layout.DEVICE_KEY)
        try:
            beside = read_identity(self._salvage.data_dir)
        except CannotStart:
            beside = None
        if stored is not None:
            device_id = layout.without_checksum(layout.DEVICE_KEY, stored, "").decode()
        else:
            device_id = beside.device_id if beside is not None else new_device_id()
            self._rows.put(layout.META, layout.DEVICE_KEY, layout.with_checksum(layout.DEVICE_KEY, device_id.encode()))
        return Identity(layout.FORMAT_VERSION, device_id)


def _write(made: Path, tables: dict[bytes, dict[bytes, bytes]]) -> None:
    size_bytes = sum(len(key) + len(value) for rows in tables.values() for key, value in rows.items())
    environment = lmdb.open(
        str(made), map_size=MAP_BYTES + 4 * size_bytes, max_dbs=TABLES_MAX, mode=0o600, lock=False, sync=False
    )
    try:
        for name, rows in tables.items():
            database = environment.open_db(name)
            with environment.begin(write=True) as txn:
                for key in sorted(rows):
                    if not txn.put(key, rows[key], db=database, append=True):
                        raise DataDamaged("A table of the new store")
        environment.sync(True)
    finally:
        environment.close()
