"""One recent event <-> the bytes it has on the disk, with a checksum over its key and its content."""

from __future__ import annotations

import struct
from typing import Final
from zlib import crc32

from awlog.model.errors import DataDamaged
from awlog.model.event import BucketNumber, Change, Event, Payload, Seq
from awlog.model.times import Micros

# crc32 of the rest and of the bucket number, seq, start, duration, change; the payload follows.
_RECORD: Final = struct.Struct("<IQqqQ")
_CRC: Final = struct.Struct("<I")
RECORD_HEADER_BYTES: Final = 36
assert _RECORD.size == RECORD_HEADER_BYTES, "a data directory written by an older awlog must open"


def encode_record(bucket_number: BucketNumber, event: Event) -> bytes:
    """36 bytes and the payload. About 1 µs."""
    packed = _RECORD.pack(0, event.seq, event.start_us, event.duration_us, event.change) + event.payload
    return _CRC.pack(crc32(packed, bucket_number)) + packed[4:]


def decode_record(bucket_number: BucketNumber, record: bytes, where: str) -> Event:
    """The event that `encode_record` wrote. Raises DataDamaged, which names `where`, if the checksum does not match."""
    if len(record) < RECORD_HEADER_BYTES:
        raise DataDamaged(where)
    checksum, seq, start_us, duration_us, change = _RECORD.unpack_from(record)
    if crc32(b"\0\0\0\0" + record[4:], bucket_number) != checksum:
        raise DataDamaged(where)
    payload = Payload(record[RECORD_HEADER_BYTES:])
    return Event(Seq(seq), Micros(start_us), Micros(duration_us), payload, Change(change))
