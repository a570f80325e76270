"""Columns <-> the bytes of a sealed segment."""

from __future__ import annotations

import struct
from random import Random
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from awlog.log.columns import columns_of
from awlog.log.segment import HEADER_BYTES, SEGMENT_EVENTS, decode_segment, encode_segment
from awlog.model.errors import DataDamaged
from awlog.model.event import Change, Event, Seq
from awlog.model.times import TIME_MAX_US, TIME_MIN_US
from tests.log.events import VIM, WEB, any_event, close_events, event

S = 1_000_000
# Two watchers' minutes: touching, overlapping and out of order, one seq missing.
SMALL = [event(5, 100 * S, 60 * S), event(6, 160 * S, 30 * S, WEB), event(8, 40 * S, 250), event(9, 190 * S, 0, b"{}")]
SEALED = encode_segment(columns_of(SMALL), Seq(5))


@st.composite
def segments(draw: st.DrawFn) -> list[Event]:
    """Any events in the order of their seqs, with gaps in between and in front."""
    events = draw(st.lists(any_event(), min_size=1, max_size=12))
    steps = draw(st.lists(st.integers(1, 3) | st.integers(1, 1 << 20), min_size=len(events), max_size=len(events)))
    seqs = np.cumsum(steps).tolist()
    return [event(seq, one.start_us, one.duration_us, one.payload) for seq, one in zip(seqs, events, strict=True)]


@given(segments())
def test_a_segment_is_read_as_it_was_written(events: list[Event]) -> None:
    """From year 1 to 9999, in any order of time, any length, any gaps in the seqs, any payload."""
    first_seq = events[0].seq
    assert (
        decode_segment(encode_segment(columns_of(events), first_seq), first_seq, Change(0), "here").events() == events
    )


@given(
    st.lists(st.integers(1, 1 << 62) | st.integers(1, 300), min_size=1, max_size=12, unique=True)
    | st.integers(1, 1 << 62).map(lambda first: list(range(first, first + 5)))
)
def test_changes_are_read_as_they_were_written(changes: list[int]) -> None:
    """In any order, as far apart as they may be; those that follow each other take no room; left out if nobody asks."""
    events = [replace(event(seq), change=Change(change)) for seq, change in enumerate(changes, start=1)]
    sealed = encode_segment(columns_of(events), Seq(1))
    decoded = decode_segment(sealed, Seq(1), Change(min(changes)), "here")
    assert decoded.change.tolist() == changes
    assert [one.change for one in decoded.events()] == changes
    if changes == list(range(changes[0], changes[0] + len(changes))):
        assert sealed[2] == 0, "bytes of a step"
    assert len(decode_segment(sealed, Seq(1), None, "here").change) == 0


@given(close_events().filter(bool), st.integers(1, 1 << 31))
def test_the_bytes_do_not_depend_on_the_first_seq(events: list[Event], shift: int) -> None:
    """So a run can be encoded before its seqs are known: read with another first seq it is moved."""
    sealed = encode_segment(columns_of(events), Seq(1))
    moved = [event(one.seq + shift, one.start_us, one.duration_us, one.payload) for one in events]
    assert encode_segment(columns_of(moved), Seq(1 + shift)) == sealed
    assert decode_segment(sealed, Seq(1 + shift), Change(0), "here").events() == moved


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([event(1)], id="one event"),
        pytest.param([event(1, TIME_MIN_US, TIME_MAX_US - TIME_MIN_US)], id="all of time"),
        pytest.param([event(1, TIME_MAX_US), event(2, TIME_MIN_US), event(3, TIME_MAX_US)], id="the widest gaps"),
        pytest.param(
            [event(1, TIME_MIN_US, TIME_MAX_US - TIME_MIN_US), event(2, TIME_MIN_US, TIME_MAX_US - TIME_MIN_US)],
            id="the widest negative gap",
        ),
        pytest.param([event(1, 0, 5), event(2, 3, 5), event(3, 1, 0)], id="gaps below zero"),
        pytest.param([event(seq, 60 * S * seq, 60 * S) for seq in range(1, 20)], id="no gap at all"),
        pytest.param([event(seq, 7, 0) for seq in range(1, 20)], id="equal starts"),
        pytest.param([event(1), event(1 << 31), event((1 << 32) - 1)], id="the widest seqs"),
        pytest.param([event(seq, seq, 0, b"%d" % seq) for seq in range(1, 300)], id="as many payloads as events"),
        pytest.param([event(1, -5, 3), event(2, -2, 1)], id="before 1970"),
    ],
)
def test_extreme_segments_are_read_as_they_were_written(events: list[Event]) -> None:
    """The edges of every column."""
    sealed = encode_segment(columns_of(events), events[0].seq)
    assert decode_segment(sealed, events[0].seq, Change(0), "here").events() == events
    assert decode_segment(memoryview(sealed), events[0].seq, Change(0), "here").events() == events


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_full_segment_is_read_as_it_was_written(seed: int) -> None:
    """4,096 events of a watcher: whole milliseconds, mostly touching, few payloads."""
    random = Random(seed)
    events, at_us = [], 1_714_557_600_000_000
    for seq in range(1, SEGMENT_EVENTS + 1):
        duration_us = random.randrange(0, 600_000) * 1000
        events.append(event(seq, at_us, duration_us, random.choice([VIM, WEB, b'{"title":"%d"}' % (seq % 50)])))
        at_us += duration_us + random.choice([0, 0, 0, 1000, -1000, 5 * S])
    sealed = encode_segment(columns_of(events), Seq(1))
    decoded = decode_segment(sealed, Seq(1), Change(0), "here")
    assert decoded.events() == events
    assert len(decoded.payloads) == len(set(decoded.payloads)), "each payload once"


def test_every_flipped_bit_of_a_segment_is_noticed() -> None:
    """In the header or in what is compressed; the error names the place, and zstd is not asked first."""
    for bit in range(8 * len(SEALED)):
        damaged = bytearray(SEALED)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DataDamaged, match=r"Segment 5 of bucket number 3 .*awlog verify"):
            decode_segment(bytes(damaged), Seq(5), Change(0), "Segment 5 of bucket number 3")


def test_a_segment_of_another_length_is_noticed() -> None:
    """Cut short anywhere, or with a byte too many."""
    for damaged in (*(SEALED[:kept_bytes] for kept_bytes in range(len(SEALED))), SEALED + b"\0"):
        with pytest.raises(DataDamaged):
            decode_segment(damaged, Seq(5), Change(0), "here")


def test_a_segment_of_an_unknown_version_is_not_read() -> None:
    """Even with a checksum that fits."""
    header = bytearray(SEALED[:HEADER_BYTES])
    header[0] = 2
    header[-4:] = bytes(4)
    struct.pack_into("<I", header, HEADER_BYTES - 4, crc32(SEALED[HEADER_BYTES:], crc32(header)))
    with pytest.raises(DataDamaged):
        decode_segment(bytes(header) + SEALED[HEADER_BYTES:], Seq(5), Change(0), "here")


def test_the_arrays_outlive_the_bytes_and_may_be_written() -> None:
    """The bytes lie in LMDB's map and are gone after the transaction."""
    buffer = bytearray(SEALED)
    view = memoryview(buffer)
    columns = decode_segment(view, Seq(5), Change(0), "here")
    view.release()
    buffer[:] = bytes(len(buffer))
    assert columns.events() == SMALL
    for array in (columns.seq, columns.start_us, columns.duration_us, columns.payload_code):
        assert array.flags.writeable
        assert array.flags.c_contiguous


@pytest.mark.parametrize(
    ("events", "first_seq"),
    [
        pytest.param([], 1, id="no event"),
        pytest.param([event(2), event(1)], 1, id="seqs that descend"),
        pytest.param([event(1), event(1)], 1, id="a seq twice"),
        pytest.param([event(1), event(2)], 2, id="a seq below the first"),
    ],
)
def test_what_is_no_segment_is_not_written(events: list[Event], first_seq: int) -> None:
    """Our own mistakes: an assertion, before anything is on the disk."""
    with pytest.raises(AssertionError):
        encode_segment(columns_of(events), Seq(first_seq))
