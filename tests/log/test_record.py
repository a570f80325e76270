"""One recent event <-> the bytes it has on the disk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.log.record import RECORD_HEADER_BYTES, decode_record, encode_record
from awlog.model.errors import DataDamaged
from awlog.model.event import BUCKET_NUMBER_MAX, SEQ_MAX, BucketNumber, Event
from tests.log.events import any_event, event

numbers = st.integers(1, BUCKET_NUMBER_MAX).map(BucketNumber)
RECORD = encode_record(BucketNumber(3), event(7, 1_714_557_600_000_000, 12_500_000))


@given(numbers, st.integers(1, SEQ_MAX).flatmap(any_event))
def test_a_record_is_read_as_it_was_written(number: BucketNumber, one: Event) -> None:
    """Every time, duration and payload."""
    record = encode_record(number, one)
    assert decode_record(number, record, "here") == one
    assert decode_record(number, bytes(memoryview(record)), "here") == one
    assert len(record) == RECORD_HEADER_BYTES + len(one.payload)


def test_every_flipped_bit_of_a_record_is_noticed() -> None:
    """In the checksum, the header or the payload; the error names the place."""
    for bit in range(8 * len(RECORD)):
        damaged = bytearray(RECORD)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DataDamaged, match=r"Record 7 of bucket number 3 .*awlog verify"):
            decode_record(BucketNumber(3), bytes(damaged), "Record 7 of bucket number 3")


def test_a_record_that_was_cut_short_is_noticed() -> None:
    """At every length, none at all among them."""
    for kept_bytes in range(len(RECORD)):
        with pytest.raises(DataDamaged):
            decode_record(BucketNumber(3), RECORD[:kept_bytes], "here")


@given(numbers.filter(lambda number: number != 3))
def test_a_record_belongs_to_its_bucket(number: BucketNumber) -> None:
    """Under another bucket's key it is damage, not that bucket's event."""
    with pytest.raises(DataDamaged):
        decode_record(number, RECORD, "here")
