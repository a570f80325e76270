"""Which records to seal, and runs of events as segments."""

from __future__ import annotations

from random import Random

import pytest

from awlog.log.head import Head
from awlog.log.sealing import moved, oldest_records, records_to_seal, seal, seal_new
from awlog.log.segment import SEAL_ABOVE_EVENTS, SEGMENT_EVENTS, decode_segment
from awlog.model.commands import NewEvent
from awlog.model.event import Event, Payload, Seq
from awlog.model.facts import SealedRun
from awlog.model.times import Micros
from tests.log.events import PAYLOADS, VIM, WEB, event, youngest


def head_of(seqs: range) -> Head:
    """Records whose starts run against their seqs."""
    head = Head()
    head.put_all(event(seq, -seq) for seq in seqs)
    return head


def in_runs(runs: list[SealedRun]) -> list[Event]:
    return [one for run in runs for one in decode_segment(run.segment, run.first_seq, run.min_change, "here").events()]


def test_a_head_of_up_to_two_segments_is_left_alone() -> None:
    """Recent records are rewritten by heartbeats and edits: they stay where that is cheap."""
    assert SEAL_ABOVE_EVENTS == 2 * SEGMENT_EVENTS
    assert records_to_seal(head_of(range(1, SEAL_ABOVE_EVENTS + 1))) == []
    assert records_to_seal(Head()) == []


def test_of_a_longer_head_the_oldest_records_by_seq_are_sealed() -> None:
    """One segment of them, in the order of their seqs, whatever their times."""
    chosen = records_to_seal(head_of(range(5, SEAL_ABOVE_EVENTS + 6)))
    assert [one.seq for one in chosen] == list(range(5, SEGMENT_EVENTS + 5))


def long_events(count: int, length: int) -> list[Event]:
    return [event(seq, seq, payload=Payload(b'{"n":%0*d}' % (length, seq))) for seq in range(1, count + 1)]


def test_a_head_of_long_events_is_sealed_when_its_bytes_are_two_segments_worth() -> None:
    """Payloads of 64 KiB: a hundred of them are left alone, and of 128 the oldest 64 are a segment."""
    head = Head()
    head.put_all(long_events(100, 65_000))
    assert records_to_seal(head) == []
    head.put_all(event(seq, seq, payload=Payload(b'{"n":%065000d}' % seq)) for seq in range(101, 131))
    assert [one.seq for one in records_to_seal(head)] == list(range(1, 65))


def test_one_event_that_is_longer_than_a_segment_is_sealed_alone() -> None:
    """There is always something to seal."""
    head = Head()
    head.put_all(long_events(2, 5_000_000))
    assert [one.seq for one in oldest_records(head)] == [1]


def test_new_events_are_dealt_out_by_the_length_of_their_payloads() -> None:
    """Ten of 3 MB behind 2,000 short ones: no run has more than three of them, and nothing is lost."""
    sent = [NewEvent(Micros(i), Micros(0), VIM) for i in range(2000)]
    sent += [NewEvent(Micros(2000 + i), Micros(0), Payload(b'{"n":%03000000d}' % i)) for i in range(11)]
    records, runs = seal_new(sent)
    assert [one.start_us for one in records] == [2010]
    assert [one.start_us for one in in_runs(runs)] == list(range(2010))
    assert max(sum(len(one.payload) > 1000 for one in in_runs([run])) for run in runs) <= 3


def test_a_run_says_what_its_index_entry_needs() -> None:
    """Least and greatest seq, the count, and the span of time, whose greatest end need not be the last event's."""
    run = seal([event(5, 100, 900), event(7, 50, 10, WEB), event(8, 300, 20)])
    assert (run.first_seq, run.last_seq, run.count) == (5, 8, 3)
    assert (run.min_start_us, run.max_start_us, run.max_end_us) == (50, 300, 1000)
    assert in_runs([run]) == [event(5, 100, 900), event(7, 50, 10, WEB), event(8, 300, 20)]


@pytest.mark.parametrize(
    ("event_count", "run_count", "record_count"),
    [
        (1, 0, 1),
        (2, 0, 2),
        (SEGMENT_EVENTS // 2, 0, SEGMENT_EVENTS // 2),
        (SEGMENT_EVENTS, 1, 1),
        (SEGMENT_EVENTS + 1, 1, 1),
        (SEGMENT_EVENTS * 3 // 2, 1, 1),
        (SEGMENT_EVENTS * 3 // 2 + 2, 2, 1),
        (2 * SEGMENT_EVENTS, 2, 1),
    ],
)
def test_many_new_events_are_runs_of_equal_length_and_one_record(
    event_count: int, run_count: int, record_count: int
) -> None:
    """The youngest is always a record: it may become the tail record, which is never in a segment. A few are records."""
    random = Random(event_count)
    sent = [NewEvent(Micros(random.randrange(999)), Micros(i % 7), PAYLOADS[i % 3]) for i in range(event_count)]
    records, runs = seal_new(sent)
    assert (len(runs), len(records)) == (run_count, record_count)
    counts = [run.count for run in runs]
    assert not counts or max(counts) - min(counts) <= 1
    everything = sorted([*records, *in_runs(runs)], key=lambda one: one.seq)
    assert [(one.start_us, one.duration_us, one.payload) for one in everything] == [
        (one.start_us, one.duration_us, one.payload) for one in sent
    ]
    assert [one.seq for one in everything] == list(range(1, event_count + 1))
    assert youngest(everything) in records


def test_of_equally_young_events_the_last_to_arrive_is_the_record() -> None:
    """It is the one that the next heartbeat continues."""
    records, _ = seal_new([NewEvent(Micros(5), Micros(0), VIM)] * (SEGMENT_EVENTS + 1))
    assert [one.seq for one in records] == [SEGMENT_EVENTS + 1]


def test_what_was_laid_out_beforehand_is_moved_to_the_next_seq() -> None:
    """Nothing is encoded again, and every event is where its seq says."""
    sent = [NewEvent(Micros(i), Micros(1), PAYLOADS[i % 3]) for i in range(SEGMENT_EVENTS + 3)]
    records, runs = seal_new(sent)
    moved_records, moved_runs = moved(records, runs, Seq(1000))
    assert [run.segment for run in moved_runs] == [run.segment for run in runs]
    before, after = [*in_runs(runs), *records], [*in_runs(moved_runs), *moved_records]
    assert [(one.seq + 999, one.start_us, one.payload) for one in before] == [
        (one.seq, one.start_us, one.payload) for one in after
    ]
    assert [(run.first_seq, run.last_seq) for run in moved_runs] == [(1000, 1000 + SEGMENT_EVENTS + 1)]
    assert moved(records, runs, Seq(1)) == (records, runs)
