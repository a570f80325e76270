"""Columns <-> the bytes of a sealed segment. `storage/FORMAT.md` describes every byte.

Like a row group of a columnar file: each column is turned into small numbers (gaps instead of times, offsets instead of
seqs, a common divisor taken out), byte-shuffled, so that equal bytes stand together, and compressed by zstd. Watchers
send whole milliseconds and begin an event where the last one ended: the divisor and the gaps use both. The distinct
payloads are sorted, so that each stands beside its likes, and are a zstd frame of their own: numbers and texts do better
with separate statistics. Measured on window events: 9.0 bytes an event, against 10.7 unsorted in one frame. Change numbers
that follow each other take no room; those of a watcher's heartbeats a byte or two an event.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, cast
from zlib import crc32

import numpy as np
import zstandard

from awlog.log.columns import NO_CHANGES, Columns
from awlog.model.errors import DataDamaged
from awlog.model.event import Change, Payload, Seq

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Events per sealed segment, up to half as many again where many new ones are dealt out evenly. Decoded:
# 4096 x (8 + 8 + 8 + 4) bytes = 112 KiB of arrays; ten million events need 2,442 index entries at start-up. Twice as many
# would halve the index and double what a one-minute read must decode.
SEGMENT_EVENTS: Final = 4096
SEAL_ABOVE_EVENTS: Final = 2 * SEGMENT_EVENTS
# What an event counts for at least, where segments are filled by the length of the payloads. 4096 x 1 KiB: a segment has
# 4 MiB of them at most, half as much again where many are dealt out evenly, or one that is longer than that. So window
# titles fill it by their number, and events of 64 KiB make one of 64, which is read in one piece.
EVENT_BYTES: Final = 1 << 10
assert SEAL_ABOVE_EVENTS > SEGMENT_EVENTS, "sealing leaves recent records in the head, where heartbeats rewrite them"

# Level 9 against 3: a twentieth smaller, 0.9 ms instead of 0.3 ms for a segment, in a thread that nobody waits for.
# Level 12: one hundredth smaller for twice the time.
ZSTD_LEVEL: Final = 9
ZSTD_LEVEL_SOON: Final = 3
"""For segments that a client waits for."""

# version, dense seqs, bytes of a step of the changes, count, payload count, first start, unit of gaps, unit of durations,
# bytes of the first frame, of the second, crc32. The lengths are looked at before anything behind the header is: what a
# damaged store says is the length of a value may reach beyond the end of its file, where reading ends the process.
_HEADER: Final = struct.Struct("<BBBIIqqqIII")
_VERSION: Final = 1
HEADER_BYTES: Final = 47
_BETWEEN_PAYLOADS: Final = b"\n"  # never inside canonical JSON
assert _HEADER.size == HEADER_BYTES, "a data directory written by an older awlog must open"


def encode_segment(columns: Columns, first_seq: Seq, *, level: int = ZSTD_LEVEL) -> bytes:
    """The events of a segment in the order of their seqs, the seqs kept relative to `first_seq`. O(n), 1 to 5 ms.

    The bytes do not depend on the bucket, on `first_seq` or on the least change, so a run can be encoded before its seqs
    and changes are known.
    """
    assert len(columns) > 0, "an empty segment is removed, not written"
    offsets = columns.seq - first_seq
    assert (np.diff(offsets) > 0).all(), "a segment is in the order of its seqs"
    assert offsets[0] >= 0, "the key of a segment is its least seq"
    count = len(columns)
    dense = bool(offsets[0] == 0 and offsets[-1] == count - 1)
    start = columns.start_us
    gaps = np.empty(count, np.int64)
    gaps[0] = 0
    gaps[1:] = start[1:] - (start[:-1] + columns.duration_us[:-1])
    gap_unit, duration_unit = _common_divisor(gaps), _common_divisor(columns.duration_us)
    payloads, code = _sorted_payloads(columns)
    steps = _zigzag(np.diff(columns.change, prepend=columns.change.min() - 1) - 1)
    step = _narrowest(steps)
    numbers = _compressed(
        b"".join(
            [
                b"" if dense else _shuffled(offsets),
                _shuffled(_zigzag(gaps // gap_unit)),
                _shuffled(columns.duration_us // duration_unit),
                _shuffled(code),
                _shuffled(steps.astype(step)) if step else b"",
            ]
        ),
        level,
    )
    texts = _compressed(_BETWEEN_PAYLOADS.join(payloads), level)
    packed = numbers + texts
    step_bytes = step.itemsize if step else 0
    shape = (_VERSION, dense, step_bytes, count, len(payloads), int(start[0]), gap_unit, duration_unit)
    fields = (*shape, len(numbers), len(texts))
    checksum = crc32(packed, crc32(_HEADER.pack(*fields, 0)))
    return _HEADER.pack(*fields, checksum) + packed


def decode_segment(sealed: bytes | memoryview, first_seq: Seq, min_change: Change | None, where: str) -> Columns:
    """The n events of a sealed segment in the order of their seqs; the arrays outlive `sealed`. O(n), about 0.5 ms.

    `min_change`: the least change in it; None leaves the changes out, for those who do not look at them. Raises
    DataDamaged, which names `where`, if the checksum does not match.
    """
    if len(sealed) < HEADER_BYTES:
        raise DataDamaged(where)
    *fields, checksum = _HEADER.unpack_from(sealed)
    version, dense, step_bytes, count, payload_count, first_start_us, gap_unit, duration_unit = fields[:-2]
    numbers_bytes, texts_bytes = fields[-2:]
    if len(sealed) != HEADER_BYTES + numbers_bytes + texts_bytes:
        raise DataDamaged(where)
    packed = memoryview(sealed)[HEADER_BYTES:]
    if version != _VERSION or checksum != crc32(packed, crc32(_HEADER.pack(*fields, 0))):
        raise DataDamaged(where)
    body = memoryview(zstandard.ZstdDecompressor().decompress(packed[:numbers_bytes]))
    at = 0
    if dense:
        offsets = np.arange(count, dtype=np.int64)
    else:
        offsets, at = _unshuffled(body, at, np.dtype(np.int64), count)
    zigzagged, at = _unshuffled(body, at, np.dtype(np.int64), count)
    duration_us, at = _unshuffled(body, at, np.dtype(np.int64), count)
    payload_code, at = _unshuffled(body, at, np.dtype(np.uint32), count)
    change = NO_CHANGES
    if min_change is not None:
        change = np.arange(min_change, min_change + count, dtype=np.int64)
        if step_bytes:
            zigzagged_steps, at = _unshuffled(body, at, np.dtype(f"u{step_bytes}"), count)
            change += np.cumsum(_unzigzag(zigzagged_steps.astype(np.int64)))
    duration_us *= duration_unit
    steps = _unzigzag(zigzagged) * gap_unit
    steps[1:] += duration_us[:-1]
    start_us = np.cumsum(steps) + first_start_us
    texts = zstandard.ZstdDecompressor().decompress(packed[numbers_bytes:])
    payloads = cast("list[Payload]", texts.split(_BETWEEN_PAYLOADS))
    assert len(payloads) == payload_count, "what matches its checksum was written whole"
    return Columns(offsets + first_seq, start_us, duration_us, payload_code, payloads, change)


def _sorted_payloads(columns: Columns) -> tuple[list[Payload], NDArray[np.uint32]]:
    """The payloads in the order of their bytes, and the codes that go with it."""
    order = sorted(range(len(columns.payloads)), key=columns.payloads.__getitem__)
    rank = np.empty(len(order), np.uint32)
    rank[order] = np.arange(len(order), dtype=np.uint32)
    return [columns.payloads[old] for old in order], rank[columns.payload_code]


def _compressed(plain: bytes, level: int) -> bytes:
    return zstandard.ZstdCompressor(level=level, write_checksum=False).compress(plain)


def _common_divisor(values: NDArray[np.int64]) -> int:
    return int(np.gcd.reduce(values)) or 1


def _zigzag(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Small numbers of either sign -> small numbers whose high bytes are zero."""
    return (values << 1) ^ (values >> 63)


def _unzigzag(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return ((values >> 1) & np.int64(0x7FFF_FFFF_FFFF_FFFF)) ^ -(values & 1)


def _narrowest(values: NDArray[np.int64]) -> np.dtype[np.unsignedinteger] | None:
    """The smallest type that holds these, none of which is negative; None if all are zero."""
    greatest = int(values.max())
    return None if greatest == 0 else np.dtype(np.min_scalar_type(greatest))


def _shuffled(values: NDArray[np.int64] | NDArray[np.unsignedinteger]) -> bytes:
    """The first bytes of all values, then the second bytes, and so on."""
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return little.view(np.uint8).reshape(len(values), -1).T.tobytes()


def _unshuffled(body: memoryview, at: int, dtype: np.dtype, count: int) -> tuple[NDArray, int]:  # type: ignore[type-arg]
    """The values that `_shuffled` wrote at `at`, and where they end."""
    end = at + count * dtype.itemsize
    planes = np.frombuffer(body[at:end], np.uint8).reshape(dtype.itemsize, count)
    return np.ascontiguousarray(planes.T).reshape(-1).view(dtype.newbyteorder("<")).astype(dtype), end
