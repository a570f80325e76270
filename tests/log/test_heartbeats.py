"""Many heartbeats at once: the outcome is that of sending them one by one, and a producer's lines count once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from awlog.log import apply as apply_module
from awlog.log import heartbeats
from awlog.log.decide import decide
from awlog.log.decision import Stored
from awlog.model.bucket import BucketMeta
from awlog.model.commands import Producer, SendHeartbeat, SendHeartbeats, Taken
from awlog.model.errors import BadRequest, InsufficientStorage, NoSuchBucket, Refused
from awlog.model.event import SEQ_MAX, BucketNumber, Payload, Seq
from awlog.model.facts import BucketCreated, EventAppended, ProducerAdvanced, TailExtended
from awlog.model.times import Micros
from tests.log.events import PAYLOADS, VIM, WEB, close_events, close_starts, event, short_durations
from tests.log.memory_store import NUMBER, MemoryStore, contents_of, store_with

OTHER = BucketNumber(2)


def beat(
    start_us: int, duration_us: int = 0, payload: bytes = VIM, pulsetime_us: int = 5, bucket_id: str = "notes"
) -> SendHeartbeat:
    return SendHeartbeat(bucket_id, Micros(start_us), Micros(duration_us), Payload(payload), Micros(pulsetime_us))


beats = st.builds(
    beat,
    close_starts,
    short_durations,
    st.sampled_from(PAYLOADS),
    st.integers(-3, 6),
    st.sampled_from(["notes", "notes", "other", "none"]),
)
undecodable = st.just(BadRequest("no heartbeat"))
batches = st.lists(st.one_of(beats, beats, beats, undecodable, st.none()), max_size=30)


def two_buckets(store: MemoryStore) -> MemoryStore:
    store.apply(BucketCreated(BucketMeta(OTHER, "other", "note", "test", "desk", Micros(0))))
    return store


def send(
    store: MemoryStore, lines: Sequence[SendHeartbeat | Refused | None], producer: Producer | None = None
) -> Taken:
    """The whole batch, step by step as the engine does it."""
    taken = Taken()
    while taken.end < len(lines):
        decision = store.send(SendHeartbeats(lines, producer, begin=taken.end))
        assert isinstance(decision.answer, Taken)
        assert decision.answer.end > taken.end, "each step decides something"
        taken.add(decision.answer)
    return taken


def send_one_by_one(store: MemoryStore, lines: Sequence[SendHeartbeat | Refused | None]) -> Taken:
    """What the batch must come to."""
    taken = Taken(end=len(lines))
    for at, line in enumerate(lines):
        if isinstance(line, SendHeartbeat):
            bucket = store.staged.find_bucket(line.bucket_id)
            next_seq = None if bucket is None else bucket.next_seq
            try:
                decision = store.send(line)
            except Refused as refusal:
                taken.refused.append((at, refusal))
                continue
            assert isinstance(decision.answer, Stored)
            if decision.answer.events[0].seq == next_seq:
                taken.inserted += 1
            else:
                taken.merged += 1
        elif line is not None:
            taken.refused.append((at, line))
    return taken


def outcome(taken: Taken) -> object:
    return taken.merged, taken.inserted, taken.end, [(at, type(why), str(why)) for at, why in taken.refused]


@given(close_events(max_size=8), st.booleans(), batches, st.sampled_from([1, 2, 128]))
@example([], False, [beat(0), beat(3), beat(1, payload=WEB), beat(4)], 128)
@example([event(1, 0, 5)], False, [beat(3, 4), beat(0, payload=WEB), beat(0, payload=WEB), beat(9)], 128)
@example([event(1, 0, 5)], False, [beat(0, payload=WEB), beat(0, 2, payload=WEB), beat(-1), beat(0, 9)], 128)
def test_a_batch_comes_to_what_its_heartbeats_come_to_one_by_one(stored, some_sealed: bool, lines, late_among: int):
    """Events, seqs, counts, refusals; also with late heartbeats, negative pulsetimes, and buckets that are not there.

    However many new events a late one is compared with before it is decided alone.
    """
    stores = []
    for _ in range(2):
        store = two_buckets(store_with(stored))
        if some_sealed and len(store.bucket.head) >= 2:
            store.seal(sorted(one.seq for one in store.bucket.head)[:2])
        stores.append(store)
    at_once, one_by_one = stores
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heartbeats, "_LATE_AMONG_MAX", late_among)
        taken = send(at_once, lines)
    assert outcome(taken) == outcome(send_one_by_one(one_by_one, lines))
    assert contents_of(at_once.staged) == contents_of(one_by_one.staged)
    assert at_once.segments == one_by_one.segments


def test_a_run_of_merging_heartbeats_is_one_fact():
    store = store_with([event(1, 0, 1)])
    decision = decide(store.staged, SendHeartbeats([beat(at) for at in range(100)]), store.load)
    assert decision.facts == [TailExtended(NUMBER, Seq(1), Micros(99))]


def test_new_events_are_appended_as_they_are_at_the_end():
    """One fact each, however often they were extended."""
    store = store_with([event(1, 0, 1)])
    lines = [beat(2), beat(10, payload=WEB), beat(12, payload=WEB), beat(20), beat(22)]
    decision = decide(store.staged, SendHeartbeats(lines), store.load)
    assert decision.facts == [
        TailExtended(NUMBER, Seq(1), Micros(2)),
        EventAppended(NUMBER, event(2, 10, 2, WEB)),
        EventAppended(NUMBER, event(3, 20, 2)),
    ]


def test_a_refusal_names_its_line_and_stops_no_other():
    store = store_with([event(1, 0, 1)])
    taken = send(store, [beat(1), BadRequest("bad"), None, beat(2, bucket_id="none"), beat(3)])
    assert (taken.merged, taken.inserted, taken.end) == (2, 0, 5)
    assert [(at, type(why)) for at, why in taken.refused] == [(1, BadRequest), (3, NoSuchBucket)]


def test_a_bucket_without_seqs_left_still_takes_what_merges():
    store = store_with([event(1, 0, 1)])
    store.bucket.next_seq = store.durable.buckets()[0].next_seq = Seq(SEQ_MAX + 1)
    decision = decide(store.staged, SendHeartbeats([beat(2), beat(50), beat(3)]), store.load)
    facts, taken = decision.facts, decision.answer
    assert isinstance(taken, Taken)
    assert [(at, type(why)) for at, why in taken.refused] == [(1, InsufficientStorage)]
    assert facts == [TailExtended(NUMBER, Seq(1), Micros(3))]


def test_a_line_that_was_taken_counts_once():
    """What is sent again is known by its number; what is new behind it is taken."""
    store = store_with()
    first = send(store, [beat(0), beat(20), beat(40)], Producer("phone", 1))
    again = send(store, [beat(20), beat(40), beat(60)], Producer("phone", 2))
    assert (first.inserted, first.duplicates) == (3, 0)
    assert (again.inserted, again.merged, again.duplicates, again.end) == (1, 0, 2, 3)
    assert store.staged.producers["phone"].last_sequence == 4


def test_producers_do_not_share_their_numbers():
    store = store_with()
    send(store, [beat(0)], Producer("phone", 1))
    assert send(store, [beat(20)], Producer("tablet", 1)).inserted == 1


def test_a_refused_line_is_taken_too():
    """Its refusal was told; it is not tried again."""
    store = store_with()
    send(store, [BadRequest("bad"), beat(0, bucket_id="none")], Producer("phone", 1))
    assert store.staged.producers["phone"].last_sequence == 2


def test_a_gap_in_the_numbers_is_the_producers_own_affair():
    store = store_with()
    send(store, [beat(0)], Producer("phone", 1))
    assert send(store, [beat(20)], Producer("phone", 1000)).inserted == 1
    assert send(store, [beat(20)], Producer("phone", 999)).duplicates == 1


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), min_size=1, max_size=8))
def test_resending_any_stretch_of_a_stream_changes_nothing(stretches: list[tuple[int, int]]):
    """As a client does that does not know which of its lines arrived."""
    lines = [beat(20 * at, payload=PAYLOADS[at % 2]) for at in range(60)]
    once, often = store_with(), store_with()
    end = 0
    for length, back in stretches:
        begin = max(0, end - back)
        end = min(end + length, len(lines))
        send(often, lines[begin:end], Producer("phone", begin + 1))
    send(once, lines[:end])
    assert often.events() == once.events()


def test_who_sends_under_many_names_pushes_out_nobody_else(monkeypatch: pytest.MonkeyPatch):
    """One token's names take the places of its own; those who send under their own names find theirs, whoever came first."""
    monkeypatch.setattr(apply_module, "PRODUCERS_MAX", 6)
    store = store_with()
    for name in ("desk", "t1\nphone", "t2\nlaptop", *(f"t3\nname {n}" for n in range(50)), "t4\nnew", "t4\nnewer"):
        store.apply(ProducerAdvanced(name, 1))
    kept = ["desk", "t1\nphone", "t2\nlaptop", "t3\nname 49", "t4\nnew", "t4\nnewer"]
    assert list(store.staged.producers) == list(store.durable.producers) == kept


def test_the_producer_that_was_silent_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch):
    """Deterministically: by how many others were heard since, and by no clock."""
    monkeypatch.setattr(apply_module, "PRODUCERS_MAX", 3)
    store = store_with()
    for name in ("a", "b", "c", "a", "d"):
        known = store.staged.producers.get(name)
        store.apply(ProducerAdvanced(name, 1 if known is None else known.last_sequence + 1))
    assert list(store.staged.producers) == list(store.durable.producers) == ["c", "a", "d"]
    assert store.staged.producers == store.durable.producers
    assert store.staged.next_turn == store.durable.next_turn == 6
