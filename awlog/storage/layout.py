"""Sub-databases, keys <-> bytes, and the small values. `FORMAT.md` says the same in words."""

from __future__ import annotations

import struct
from typing import Any, Final
from zlib import crc32

import msgspec

from awlog.log.record import decode_record, encode_record
from awlog.log.segment_index import SegmentEntry
from awlog.log.write_set import ProducerRow, SettingRow, TailRow, Tombstone
from awlog.model.access import Grant, Scope, Token
from awlog.model.bucket import BucketMeta, Origin
from awlog.model.errors import DataDamaged, FormatTooNew, FormatTooOld
from awlog.model.event import BucketNumber, Change, Event, Payload, Seq
from awlog.model.times import Micros

FORMAT_VERSION: Final = 1

META: Final = b"meta"
BUCKETS: Final = b"buckets"
TAILS: Final = b"tails"
LOG: Final = b"log"
SEGMENTS: Final = b"segments"
SEGMENT_INDEX: Final = b"segment_index"
SETTINGS: Final = b"settings"
PRODUCERS: Final = b"producers"
CHANGES: Final = b"changes"
TOKENS: Final = b"tokens"
SUB_DATABASES: Final = (META, BUCKETS, TAILS, LOG, SEGMENTS, SEGMENT_INDEX, SETTINGS, PRODUCERS, CHANGES, TOKENS)

# Keys of `meta`.
FORMAT_KEY: Final = b"format_version"
DEVICE_KEY: Final = b"device_id"
NEXT_BUCKET_KEY: Final = b"next_bucket_number"
CLEAN_KEY: Final = b"clean"
# Tombstones up to this change were dropped; absent while all are kept.
OLDEST_CHANGE_KEY: Final = b"oldest_change"
# Numbers of changes up to this one may have been given to others, which were made after the backup and are lost.
RESTORED_CHANGE_KEY: Final = b"restored_change"
BACKUP_KEY: Final = b"backup"
TOKENS_REQUIRED_KEY: Final = b"tokens_required"

_BUCKET_KEY: Final = struct.Struct(">I")
_SEQ_KEY: Final = struct.Struct(">IQ")
_TAIL_ROW: Final = struct.Struct("<IQIQ")
_PRODUCER_ROW: Final = struct.Struct("<QQ")
_ENTRY: Final = struct.Struct("<IQIqqqQQI")
_CHANGE: Final = struct.Struct("<Q")
_CHANGE_KEY: Final = struct.Struct(">Q")

KEY_BYTES_MAX: Final = 511  # LMDB's limit
SETTING_KEY_BYTES_MAX: Final = 127
assert SETTING_KEY_BYTES_MAX <= KEY_BYTES_MAX, "a setting's key is an LMDB key as it is"


def _unpacked(packing: struct.Struct, key: bytes, wanted: str) -> tuple[Any, ...]:
    if len(key) != packing.size:
        raise DataDamaged(f"A key of {len(key)} bytes where {wanted} {packing.size}")
    return packing.unpack(key)


def bucket_key(bucket_number: BucketNumber) -> bytes:
    return _BUCKET_KEY.pack(bucket_number)


def bucket_number_of(key: bytes) -> BucketNumber:
    """Raises DataDamaged if it is no such key."""
    return BucketNumber(_unpacked(_BUCKET_KEY, key, "a bucket number has")[0])


def seq_key(bucket_number: BucketNumber, seq: Seq) -> bytes:
    """Sorts by bucket, then by seq."""
    return _SEQ_KEY.pack(bucket_number, seq)


def split_seq_key(key: bytes) -> tuple[BucketNumber, Seq]:
    """Raises DataDamaged if it is no such key."""
    number, seq = _unpacked(_SEQ_KEY, key, "bucket number and seq have")
    return BucketNumber(number), Seq(seq)


def decode_record_at(bucket_number: BucketNumber, seq: Seq, value: bytes) -> Event:
    """The record under this key. Raises DataDamaged, also for a record in another's place."""
    where = f"Record {seq} of bucket number {bucket_number}"
    event = decode_record(bucket_number, value, where)
    if event.seq != seq:
        raise DataDamaged(where)
    return event


def encode_tail_row(bucket_number: BucketNumber, row: TailRow) -> bytes:
    """crc32, next seq, next revision, count, and the tail record if there is one. About 1.5 µs."""
    packed = _TAIL_ROW.pack(0, row.next_seq, row.next_revision, row.event_count)
    if row.tail is not None:
        packed += encode_record(bucket_number, row.tail)
    return crc32(packed, bucket_number).to_bytes(4, "little") + packed[4:]


def decode_tail_row(bucket_number: BucketNumber, value: bytes) -> TailRow:
    """Raises DataDamaged."""
    where = f"The tail record of bucket number {bucket_number}"
    if len(value) < _TAIL_ROW.size or crc32(b"\0\0\0\0" + value[4:], bucket_number) != int.from_bytes(
        value[:4], "little"
    ):
        raise DataDamaged(where)
    _, next_seq, next_revision, event_count = _TAIL_ROW.unpack_from(value)
    record = value[_TAIL_ROW.size :]
    tail = decode_record(bucket_number, record, where) if record else None
    return TailRow(Seq(next_seq), next_revision, tail, event_count)


def encode_entry(bucket_number: BucketNumber, entry: SegmentEntry) -> bytes:
    packed = _ENTRY.pack(
        0,
        entry.last_seq,
        entry.count,
        entry.min_start_us,
        entry.max_start_us,
        entry.max_end_us,
        entry.min_change,
        entry.max_change,
        entry.revision,
    )
    checksum = crc32(packed[4:], crc32(seq_key(bucket_number, entry.first_seq)))
    return checksum.to_bytes(4, "little") + packed[4:]


def decode_entry(key: bytes, value: bytes) -> SegmentEntry:
    """Raises DataDamaged."""
    number, first_seq = split_seq_key(key)
    if len(value) != _ENTRY.size or crc32(value[4:], crc32(key)) != int.from_bytes(value[:4], "little"):
        raise DataDamaged(f"The index entry of segment {first_seq} of bucket number {number}")
    _, last_seq, count, min_start_us, max_start_us, max_end_us, min_change, max_change, revision = _ENTRY.unpack(value)
    return SegmentEntry(
        first_seq,
        Seq(last_seq),
        count,
        Micros(min_start_us),
        Micros(max_start_us),
        Micros(max_end_us),
        Change(min_change),
        Change(max_change),
        revision,
    )


class _BucketRow(msgspec.Struct, array_like=True):
    """A bucket's metadata on the disk: MessagePack, so that old readers skip fields that are added at the end."""

    id: str
    type: str
    client: str
    hostname: str
    created_us: int
    name: str | None
    data: bytes
    change: int
    origin: Origin | None = None


_BUCKET_DECODER: Final = msgspec.msgpack.Decoder(_BucketRow)


def encode_bucket(meta: BucketMeta) -> bytes:
    row = _BucketRow(
        meta.id, meta.type, meta.client, meta.hostname, meta.created_us, meta.name, meta.data, meta.change, meta.origin
    )
    return with_checksum(bucket_key(meta.number), msgspec.msgpack.encode(row))


def decode_bucket(key: bytes, value: bytes) -> BucketMeta:
    """Raises DataDamaged."""
    number = bucket_number_of(key)
    row = _BUCKET_DECODER.decode(without_checksum(key, value, f"The metadata of bucket number {number}"))
    return BucketMeta(
        number,
        row.id,
        row.type,
        row.client,
        row.hostname,
        Micros(row.created_us),
        row.name,
        Payload(row.data),
        Change(row.change),
        row.origin,
    )


def encode_producer(key: bytes, row: ProducerRow) -> bytes:
    return with_checksum(key, _PRODUCER_ROW.pack(row.turn, row.last_sequence))


def decode_producer(key: bytes, value: bytes) -> ProducerRow:
    """Raises DataDamaged."""
    where = f"How far producer {key.decode()!r} was taken"
    packed = without_checksum(key, value, where)
    if len(packed) != _PRODUCER_ROW.size:
        raise DataDamaged(where)
    return ProducerRow(*_PRODUCER_ROW.unpack(packed))


def encode_setting(key: bytes, row: SettingRow) -> bytes:
    return with_checksum(key, _CHANGE.pack(row.change) + row.value)


def decode_setting(key: bytes, stored: bytes) -> SettingRow:
    """Raises DataDamaged."""
    where = f"The setting {key.decode()!r}"
    value = without_checksum(key, stored, where)
    if len(value) < _CHANGE.size:
        raise DataDamaged(where)
    return SettingRow(value[_CHANGE.size :], Change(_CHANGE.unpack_from(value)[0]))


def change_key(change: Change) -> bytes:
    return _CHANGE_KEY.pack(change)


def change_of(key: bytes) -> Change:
    """Raises DataDamaged if it is no such key."""
    return Change(_unpacked(_CHANGE_KEY, key, "a change has")[0])


def encode_oldest_change(change: Change) -> bytes:
    return with_checksum(OLDEST_CHANGE_KEY, str(change).encode())


def decode_oldest_change(stored: bytes) -> Change:
    """Raises DataDamaged."""
    return Change(int(without_checksum(OLDEST_CHANGE_KEY, stored, "The oldest change that is kept")))


def encode_restored_change(change: Change) -> bytes:
    return with_checksum(RESTORED_CHANGE_KEY, str(change).encode())


def decode_restored_change(stored: bytes) -> Change:
    """Raises DataDamaged."""
    return Change(int(without_checksum(RESTORED_CHANGE_KEY, stored, "The change at which the store was restored")))


_TOMBSTONE_DECODER: Final = msgspec.msgpack.Decoder(Tombstone)


def encode_tombstone(change: Change, tombstone: Tombstone) -> bytes:
    return with_checksum(change_key(change), msgspec.msgpack.encode(tombstone))


def decode_tombstone(key: bytes, stored: bytes) -> Tombstone:
    """Raises DataDamaged."""
    where = f"The tombstone of change {change_of(key)}"
    try:
        tombstone: Tombstone = _TOMBSTONE_DECODER.decode(without_checksum(key, stored, where))
    except msgspec.DecodeError:
        raise DataDamaged(where) from None
    return tombstone


class _TokenRow(msgspec.Struct, array_like=True):
    """A token on the disk: MessagePack, so that old readers skip fields that are added at the end."""

    name: str
    digest: bytes
    created_us: int
    expires_us: int | None
    last_used_us: int | None
    grants: list[tuple[str, str]]
    device_id: str | None = None


_TOKEN_DECODER: Final = msgspec.msgpack.Decoder(_TokenRow)


def encode_token(key: bytes, token: Token) -> bytes:
    grants = [(str(grant.scope), grant.bucket_prefix) for grant in token.grants]
    row = [token.name, token.digest, token.created_us, token.expires_us, token.last_used_us, grants]
    if token.device_id is not None:  # all others are as they were before there was such a thing
        row.append(token.device_id)
    return with_checksum(key, msgspec.msgpack.encode(row))


def decode_token(key: bytes, value: bytes) -> Token:
    """Raises DataDamaged."""
    row = _TOKEN_DECODER.decode(without_checksum(key, value, f"The token {key.decode('ascii', 'replace')!r}"))
    return Token(
        key.decode(),
        row.name,
        row.digest,
        Micros(row.created_us),
        None if row.expires_us is None else Micros(row.expires_us),
        tuple(Grant(Scope(scope), prefix) for scope, prefix in row.grants),
        None if row.last_used_us is None else Micros(row.last_used_us),
        row.device_id,
    )


def encode_tokens_required(*, required: bool) -> bytes:
    return with_checksum(TOKENS_REQUIRED_KEY, b"1" if required else b"0")


def decode_tokens_required(value: bytes) -> bool:
    """Raises DataDamaged."""
    return without_checksum(TOKENS_REQUIRED_KEY, value, "What says whether tokens are required") == b"1"


def require_known_format(found: int) -> None:
    """Raises FormatTooNew, FormatTooOld."""
    if found > FORMAT_VERSION:
        raise FormatTooNew(found, FORMAT_VERSION)
    if found < FORMAT_VERSION:
        raise FormatTooOld(found, FORMAT_VERSION)


def with_checksum(key: bytes, value: bytes) -> bytes:
    """A small value with a crc32 over its key and itself in front."""
    return crc32(value, crc32(key)).to_bytes(4, "little") + value


def without_checksum(key: bytes, stored: bytes, where: str) -> bytes:
    """Raises DataDamaged, which names `where`, if the checksum does not match."""
    value = stored[4:]
    if len(stored) < 4 or crc32(value, crc32(key)) != int.from_bytes(stored[:4], "little"):
        raise DataDamaged(where)
    return value
