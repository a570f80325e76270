"""Events and their ids: `rest-api.md` sections 2 and 6."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.model.event import (
    BUCKET_NUMBER_MAX,
    SEQ_MAX,
    BucketNumber,
    Event,
    Payload,
    Seq,
    event_id,
    seq_in_bucket,
)
from awlog.model.times import Micros

numbers = st.integers(1, BUCKET_NUMBER_MAX).map(BucketNumber)
seqs = st.integers(1, SEQ_MAX).map(Seq)


def test_the_id_on_the_wire_is_the_bucket_number_and_the_seq() -> None:
    """The ids of the example in section 6."""
    assert event_id(BucketNumber(3), Seq(1)) == 12884901889
    assert event_id(BucketNumber(3), Seq(2)) == 12884901890
    assert event_id(BucketNumber(1), Seq(3)) == 4294967299


def test_the_greatest_id_is_exact_in_a_float() -> None:
    """Below 2^53, so that a JavaScript number holds every id."""
    assert event_id(BucketNumber(BUCKET_NUMBER_MAX), Seq(SEQ_MAX)) == (1 << 53) - 1


@given(numbers, seqs)
def test_an_id_leads_back_to_its_event(number: BucketNumber, seq: Seq) -> None:
    """And is a positive integer below 2^53."""
    wire_id = event_id(number, seq)
    assert 1 <= wire_id < 1 << 53
    assert seq_in_bucket(number, wire_id) == seq


@given(numbers, numbers, seqs)
def test_an_id_names_nothing_in_another_bucket(number: BucketNumber, other: BucketNumber, seq: Seq) -> None:
    """Scripts copy events between buckets with their ids on: those must not hit strangers."""
    assert (seq_in_bucket(other, event_id(number, seq)) is None) == (number != other)


@pytest.mark.parametrize(
    "wire_id", [0, -1, 1, 7, SEQ_MAX, 1 << 32, -(1 << 32), (2 << 32) + 1, 1 << 53, 1 << 64, -(1 << 70), (1 << 96) + 5]
)
def test_ids_that_were_never_given_name_no_event_of_bucket_1(wire_id: int) -> None:
    """Small numbers, negative ones and those beyond every bucket: no seq, or seq 0, which no event has."""
    assert not seq_in_bucket(BucketNumber(1), wire_id)


@pytest.mark.parametrize(
    ("start_us", "seq", "younger"),
    [(101, 1, True), (101, 9, True), (100, 6, True), (100, 5, False), (100, 4, False), (99, 9, False)],
)
def test_of_two_events_the_younger_begins_later_or_equal_with_the_greater_seq(
    start_us: int, seq: int, younger: bool
) -> None:
    """Against an event with start 100 and seq 5; neither is younger than itself."""
    one = Event(Seq(seq), Micros(start_us), Micros(0), Payload(b"{}"))
    assert one.younger_than(Event(Seq(5), Micros(100), Micros(7), Payload(b"{}"))) == younger


def test_an_event_ends_after_its_duration() -> None:
    """The end is start and duration."""
    assert Event(Seq(1), Micros(-5), Micros(7), Payload(b"{}")).end_us == 2
