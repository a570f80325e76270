"""Bytes on the disk that must never change: a data directory written by any released awlog must open.

Each literal is spelled out field by field, as `awlog/storage/FORMAT.md` describes it. If one of these tests fails, do not
change the literal: the format needs a new version and the code a way to read the old one.
"""

from __future__ import annotations

from zlib import crc32

import pytest
import zstandard

from awlog.log.columns import columns_of
from awlog.log.record import decode_record, encode_record
from awlog.log.segment import decode_segment, encode_segment
from awlog.log.segment_index import SegmentEntry
from awlog.log.write_set import BucketGone, EventGone, EventsGone, SettingGone, SettingRow, TailRow, Tombstone
from awlog.model.access import Grant, Scope, Token
from awlog.model.bucket import BucketMeta
from awlog.model.event import BucketNumber, Change, Event, Payload, Seq
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros
from awlog.storage import layout


def data(*fields: str) -> bytes:
    return bytes.fromhex("".join(fields))


NUMBER = BucketNumber(3)
# 2024-05-01T10:00:00.25Z, 12.5 s
EVENT = Event(
    Seq(7),
    Micros(1_714_557_600_250_000),
    Micros(12_500_000),
    Payload('{"app":"vim","title":"café"}'.encode()),
    Change(300),
)

RECORD = data(
    "bf746682",  # crc32 of the rest, seeded with the bucket number
    "0700000000000000",  # seq
    "90b8b58c61170600",  # start
    "20bcbe0000000000",  # duration
    "2c01000000000000",  # change
    "7b22617070223a2276696d222c227469746c65223a22636166c3a9227d",  # payload
)
# crc32, next seq, next revision, count of the bucket's events, the record
TAIL_ROW = data("239cfb35", "0800000000000000", "05000000", "0110000000000000") + RECORD
EMPTY_TAIL_ROW = data("21141d05", "0100000000000000", "01000000", "0000000000000000")

ENTRY = data(
    "04b3a3eb",  # crc32 of the key and the rest
    "0410000000000000",  # last seq
    "00100000",  # count
    "0040d400014023ff",  # least start
    "90b8b58c61170600",  # greatest start
    "ff5f73cc0c448403",  # greatest end
    "2c01000000000000",  # least change
    "2d11000000000000",  # greatest change
    "09000000",  # revision
)
ENTRY_KEY = data("00000003", "0000000000000001")
SEGMENT_ENTRY = SegmentEntry(
    Seq(1), Seq(4100), 4096, TIME_MIN_US, Micros(1_714_557_600_250_000), TIME_MAX_US, Change(300), Change(4397), 9
)

BUCKET_KEY = data("00000003")
BUCKETS = {
    BucketMeta(
        NUMBER,
        "aw-watcher-window_desk",
        "currentwindow",
        "aw-watcher-window",
        "desk",
        Micros(1_714_557_598_120_000),
        None,
        Payload(b'{"k":1}'),
        Change(4),
    ): b"\xc4\x11\xc5\xea"  # crc32 of the key and the rest
    b"\x99"  # MessagePack: an array of nine
    b"\xb6aw-watcher-window_desk"
    b"\xadcurrentwindow"
    b"\xb1aw-watcher-window"
    b"\xa4desk"
    b"\xcf\x00\x06\x17\x61\x8c\x95\x38\x40"  # created
    b"\xc0"  # no name
    b'\xc4\x07{"k":1}'
    b"\x04"  # change
    b"\xc0",  # no origin
    BucketMeta(NUMBER, "日", "", "", "", Micros(-1), "n", Payload(b"{}"), Change(70_000)): data(
        "30c104a6", "99", "a3e697a5", "a0", "a0", "a0", "ff", "a16e", "c4027b7d", "ce00011170", "c0"
    ),
}

SETTING = data("4dc9ef23", "2c01000000000000") + b'[{"id":1}]'  # crc32, change, JSON

CHANGE_KEY = data("000000000000012c")
TOMBSTONES: dict[Tombstone, bytes] = {
    BucketGone(NUMBER, "b"): data("5b8191e1", "93", "01", "03", "a162"),
    EventGone(NUMBER, Seq(7)): data("8b8b80ad", "93", "02", "03", "07"),
    EventsGone(NUMBER, Seq(7), Seq(4102)): data("9a80c60e", "94", "04", "03", "07", "cd1006"),
    SettingGone("views"): data("0a13f2a5", "92", "03", "a57669657773"),
}


TOKEN_KEY = b"0123456789ab"
TOKEN = Token(
    "0123456789ab",
    "phone",
    bytes(range(32)),
    Micros(1_714_557_600_000_000),
    None,
    (Grant(Scope.READ), Grant(Scope.APPEND, "phone-")),
    Micros(1),
    "6f1c",
)


def test_a_token() -> None:
    """A hash of the secret, never the secret; scopes as words; the device that it pushes for."""
    stored = layout.encode_token(TOKEN_KEY, TOKEN)
    assert (
        stored[4:]
        == (
            b"\x97"  # MessagePack: an array of seven
            b"\xa5phone"
            b"\xc4\x20"
            + bytes(range(32))
            + b"\xcf"
            + (1_714_557_600_000_000).to_bytes(8, "big")  # created
            + b"\xc0"  # never expires
            b"\x01"  # used last
            b"\x92\x92\xa4read\xa0\x92\xa6append\xa6phone-"
            b"\xa46f1c"
        )
    )
    assert stored[:4] == crc32(TOKEN_KEY + stored[4:]).to_bytes(4, "little")
    assert layout.decode_token(TOKEN_KEY, stored) == TOKEN
    assert layout.decode_tokens_required(layout.encode_tokens_required(required=True)) is True


def test_a_record() -> None:
    """One recent event."""
    assert encode_record(NUMBER, EVENT) == RECORD
    assert decode_record(NUMBER, RECORD, "the golden record") == EVENT


@pytest.mark.parametrize(
    ("row", "stored"),
    [(TailRow(Seq(8), 5, EVENT, 4097), TAIL_ROW), (TailRow(Seq(1), 1, None), EMPTY_TAIL_ROW)],
    ids=["with a tail record", "of an empty bucket"],
)
def test_a_tail_row(row: TailRow, stored: bytes) -> None:
    """What a heartbeat rewrites."""
    assert layout.encode_tail_row(NUMBER, row) == stored
    assert layout.decode_tail_row(NUMBER, stored) == row


def test_an_index_entry_and_its_key() -> None:
    """Keys are big-endian, so that they sort as numbers do."""
    assert layout.seq_key(NUMBER, Seq(1)) == ENTRY_KEY
    assert layout.encode_entry(NUMBER, SEGMENT_ENTRY) == ENTRY
    assert layout.decode_entry(ENTRY_KEY, ENTRY) == SEGMENT_ENTRY


@pytest.mark.parametrize(("meta", "stored"), BUCKETS.items(), ids=["a watcher's", "with a name, before 1970"])
def test_a_bucket_row(meta: BucketMeta, stored: bytes) -> None:
    """MessagePack: fields may be added at its end."""
    assert layout.bucket_key(NUMBER) == BUCKET_KEY
    assert layout.encode_bucket(meta) == stored
    assert layout.decode_bucket(BUCKET_KEY, stored) == meta


def test_a_setting() -> None:
    """Canonical JSON behind a checksum."""
    assert layout.encode_setting(b"views", SettingRow(b'[{"id":1}]', Change(300))) == SETTING
    assert layout.decode_setting(b"views", SETTING) == SettingRow(b'[{"id":1}]', Change(300))


@pytest.mark.parametrize(
    ("tombstone", "stored"), TOMBSTONES.items(), ids=["of a bucket", "of an event", "of events", "of a setting"]
)
def test_a_tombstone(tombstone: Tombstone, stored: bytes) -> None:
    """MessagePack: what is gone, then which."""
    assert layout.change_key(Change(300)) == CHANGE_KEY
    assert layout.encode_tombstone(Change(300), tombstone) == stored
    assert layout.decode_tombstone(CHANGE_KEY, stored) == tombstone


def test_the_format_is_version_1() -> None:
    """An awlog that finds a higher number touches nothing; so it changes only when an old awlog could not read the new."""
    assert layout.FORMAT_VERSION == 1
    assert set(layout.SUB_DATABASES) == {
        b"meta",
        b"buckets",
        b"tails",
        b"log",
        b"segments",
        b"segment_index",
        b"settings",
        b"producers",
        b"changes",
        b"tokens",
    }


# A segment with a gap in its seqs, a gap below zero in time, and a payload that comes twice.

TEN_US = 1_714_557_600_000_000
SEGMENT_EVENTS = [
    Event(Seq(5), Micros(TEN_US), Micros(60_000_000), Payload(b'{"app":"vim"}'), Change(21)),
    Event(Seq(6), Micros(TEN_US + 60_000_000), Micros(30_000_000), Payload(b'{"app":"firefox"}'), Change(22)),
    Event(Seq(8), Micros(TEN_US - 20_000_000), Micros(0), Payload(b'{"app":"vim"}'), Change(20)),
    Event(Seq(9), Micros(TEN_US + 90_500_000), Micros(250_000), Payload(b"{}"), Change(320)),
]
SEGMENT_HEADER = data(
    "01",  # version
    "00",  # the seqs have gaps
    "02",  # bytes of a step of the changes
    "04000000",  # events
    "03000000",  # distinct payloads
    "00e8b18c61170600",  # first start
    "20a1070000000000",  # unit of the gaps: 0.5 s
    "90d0030000000000",  # unit of the durations: 0.25 s
)
FRAME_LENGTHS_AND_CRC = data("31000000", "2b000000", "ae444b67")
# Before compression, byte-shuffled: the first bytes of all values, then the second bytes, and so on.
NUMBERS = data(
    *("00010304", "00000000" * 7),  # seqs, less the first
    *("0000b7ba", "00000101", "00000000" * 6),  # gaps, zigzag: 0, 0, -110 s, +110.5 s
    *("f0780001", "00000000" * 7),  # durations
    *("01000102", "00000000" * 3),  # payload codes
    *("02000556", "00000002"),  # steps of the changes but for 1, zigzag: 1, 0, -3, 299
)
PAYLOADS = b'{"app":"firefox"}\n{"app":"vim"}\n{}'
NUMBERS_FRAME = data(
    "28b52ffd2078450100f00001030400b7ba0000010100f07800010001000102000200055600000002",
    "041000860e756d6e2d",
)
PAYLOADS_FRAME = data("28b52ffd2022110100", PAYLOADS.hex())


def test_a_segment_is_read() -> None:
    """As some zstd compressed it once; every later one must give the same events."""
    sealed = SEGMENT_HEADER + FRAME_LENGTHS_AND_CRC + NUMBERS_FRAME + PAYLOADS_FRAME
    assert decode_segment(sealed, Seq(5), Change(20), "the golden segment").events() == SEGMENT_EVENTS


def test_a_segment_is_written() -> None:
    """The header to the byte, and what was compressed; how well it was may change with the version of zstd."""
    sealed = encode_segment(columns_of(SEGMENT_EVENTS), Seq(5))
    header_bytes = len(SEGMENT_HEADER)
    assert sealed[:header_bytes] == SEGMENT_HEADER
    frame_bytes = int.from_bytes(sealed[header_bytes : header_bytes + 4], "little")
    frames = sealed[header_bytes + len(FRAME_LENGTHS_AND_CRC) :]
    decompressor = zstandard.ZstdDecompressor()
    assert decompressor.decompress(frames[:frame_bytes]) == NUMBERS
    assert decompressor.decompress(frames[frame_bytes:]) == PAYLOADS


def test_a_segment_without_gaps_in_its_seqs_does_not_hold_them() -> None:
    """One byte in the header says so, and the numbers begin with the gaps in time."""
    dense = [
        Event(Seq(5 + i), one.start_us, one.duration_us, one.payload, one.change)
        for i, one in enumerate(SEGMENT_EVENTS)
    ]
    sealed = encode_segment(columns_of(dense), Seq(5))
    header_bytes = len(SEGMENT_HEADER)
    assert sealed[:2] == b"\x01\x01"
    assert sealed[2:header_bytes] == SEGMENT_HEADER[2:]
    frame_bytes = int.from_bytes(sealed[header_bytes : header_bytes + 4], "little")
    frame = sealed[header_bytes + 12 :][:frame_bytes]
    assert zstandard.ZstdDecompressor().decompress(frame) == NUMBERS[32:]
