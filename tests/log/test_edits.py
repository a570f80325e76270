"""Edits of many events against the plain rule for one event, in any order with other changes."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.log.edits import judge_of, matcher_of
from awlog.log.look import look
from awlog.model.commands import EditEvents, SendHeartbeat
from awlog.model.edits import BucketEdit, Edit, Edited, Erase, Expire, FieldMatch, Obey, SegmentEdit
from awlog.model.errors import BadRequest
from awlog.model.event import Event, Payload, Seq
from awlog.model.facts import EventsDeleted
from awlog.model.times import Micros
from tests.log.events import NONE, VIM, WEB, close_events, close_starts, event
from tests.log.memory_store import NUMBER, MemoryStore, contents, store_with

Parts = list[tuple[int | None, int, int, bytes]]
"""Events as (seq, start, duration, payload); no seq for one that is new."""

WEB_ONLY = FieldMatch("app", equals=b'"web"')
DROP_WEB = {"enabled": True, "pattern": "web", "action": "drop", "field": "app"}
HIDE_VIM = {"enabled": True, "pattern": "vim", "action": "redact", "field": "app", "replacement": "hidden"}


def seen(store: MemoryStore, edit: Edit) -> BucketEdit:
    """What a look at the store finds."""
    bucket = store.bucket
    recent: list[Seq] = []
    segments: list[SegmentEdit] = []
    judge = judge_of(edit, bucket.meta.id)
    entries = list(bucket.index)
    for found in look(
        bucket, judge, lambda entry: store.load(NUMBER, entry), entries=entries, with_recent=True, samples_max=0
    ):
        if found.segment is None:
            recent += found.recent
        else:
            segments.append(found.segment)
    return BucketEdit(NUMBER, bucket.meta.id, edit, bucket.next_seq, bucket.next_revision, segments, recent)


def done(store: MemoryStore, found: BucketEdit, *, whole: bool = True) -> Edited:
    answer = store.send(EditEvents([found], whole=whole)).answer
    assert isinstance(answer, list)
    return Edited() if not answer else answer[0]


def after(edit: Edit, one: Event, *, is_tail: bool) -> Parts:
    """The rule for one event, word for word."""
    unchanged: Parts = [(one.seq, one.start_us, one.duration_us, one.payload)]
    match edit:
        case Erase(first, last, match):
            if match is not None and one.payload != WEB:
                return unchanged
            if first <= one.start_us and one.end_us <= last:
                return []
            if one.end_us <= first or one.start_us >= last:
                return unchanged
            left: Parts = []
            if one.start_us < first:
                left.append((one.seq, one.start_us, first - one.start_us, one.payload))
            if one.end_us > last:
                left.append((None if left else one.seq, last, one.end_us - last, one.payload))
            return left
        case Expire(ended, started, shorter):
            old = (ended is not None and one.end_us < ended) or (started is not None and one.start_us < started)
            short = shorter is not None and one.duration_us < shorter
            return unchanged if is_tail or not (old or short) else []
        case Obey():
            hidden = b'{"app":"hidden"}'
            kept = {WEB: None, VIM: hidden}.get(one.payload, one.payload)
            return [] if kept is None else [(one.seq, one.start_us, one.duration_us, kept)]


def told(events: Iterable[Event], below: int) -> Parts:
    return [(one.seq if one.seq < below else None, one.start_us, one.duration_us, one.payload) for one in events]


spans = st.tuples(close_starts, close_starts).map(sorted)
erasures = st.builds(
    lambda span, match: Erase(Micros(span[0]), Micros(span[1]), match), spans, st.sampled_from([None, WEB_ONLY])
)
limits = st.none() | st.integers(-12, 20).map(Micros)
expiries = st.builds(Expire, limits, limits, st.none() | st.integers(1, 9).map(Micros))
edits = erasures | expiries | st.just(Obey(json.dumps([DROP_WEB, HIDE_VIM]).encode()))


@st.composite
def stores(draw: st.DrawFn) -> MemoryStore:
    """Events in the tail record, in the head and in segments, some of them with gaps between their seqs."""
    store = store_with(draw(close_events(max_size=14)))
    for _ in range(draw(st.integers(0, 3))):
        seqs = sorted(one.seq for one in store.bucket.head)
        if seqs:
            chosen = draw(st.sets(st.sampled_from(seqs), min_size=1))
            store.seal(chosen)
    return store


@given(stores(), edits)
def test_an_edit_does_to_many_events_what_it_says_of_one(store: MemoryStore, edit: Edit) -> None:
    """Whether they are sealed or not; the counts are those of what happened, and doing it again does nothing."""
    events, below, tail = store.events(), store.bucket.next_seq, store.bucket.tail
    expected = [part for one in events for part in after(edit, one, is_tail=one == tail)]
    edited = done(store, seen(store, edit))
    assert sorted(told(store.events(), below), key=repr) == sorted(expected, key=repr)
    seqs = {seq for seq, *_ in expected if seq is not None}
    kept = {one.seq: (one.seq, one.start_us, one.duration_us, one.payload) for one in events}
    changed = [part for part in expected if part[0] is not None and kept[Seq(part[0])] != part]
    assert edited == Edited(len(events) - len(seqs), len(changed))
    before = contents(store)
    again = done(store, seen(store, edit))
    if not isinstance(edit, Expire):  # there another event may be the tail record, which is spared
        assert (again, contents(store)) == (Edited(), before)


@given(stores(), erasures | st.just(Obey(json.dumps([DROP_WEB, HIDE_VIM]).encode())), close_events(max_size=4))
def test_what_came_after_the_look_is_edited_too(store: MemoryStore, edit: Edit, later: list[Event]) -> None:
    """Heartbeats go on between the look and the decision: none escapes, and none makes the look worthless."""
    found = seen(store, edit)
    for one in later:
        store.send(SendHeartbeat("notes", one.start_us, one.duration_us, one.payload, Micros(3)))
    events, below = store.events(), store.bucket.next_seq
    done(store, found)
    expected = [part for one in events for part in after(edit, one, is_tail=False)]
    assert sorted(told(store.events(), below), key=repr) == sorted(expected, key=repr)


@given(stores(), edits, st.data())
def test_a_look_that_something_else_overtook_does_nothing_or_what_still_holds(
    store: MemoryStore, edit: Edit, data: st.DataObject
) -> None:
    """As a whole: nothing, and the answer says so. In steps: what it does is right, and the next look finds the rest."""
    found = seen(store, edit)
    head = sorted(one.seq for one in store.bucket.head)
    if not head:
        return
    store.seal(data.draw(st.sets(st.sampled_from(head), min_size=1)))
    before = contents(store)
    assert done(store, found) == Edited(stale=True)
    assert contents(store) == before
    events, below, tail = store.events(), store.bucket.next_seq, store.bucket.tail
    done(store, found, whole=False)
    done(store, seen(store, edit), whole=False)
    if not isinstance(edit, Expire):
        expected = [part for one in events for part in after(edit, one, is_tail=one == tail)]
        assert sorted(told(store.events(), below), key=repr) == sorted(expected, key=repr)


def test_whole_segments_go_without_being_read() -> None:
    """What lies inside the range by its index entry is dropped; only the segment at the edge is looked into."""
    store = store_with([event(seq, 10 * seq, 5, VIM) for seq in range(1, 14)], range(1, 5), range(5, 9), range(9, 13))
    found = seen(store, Erase(Micros(0), Micros(102)))
    assert [entry.first_seq for entry in store.loaded] == [9]
    store.loaded.clear()
    decision = store.send(EditEvents([found], whole=True))
    deleted = [fact for fact in decision.facts if isinstance(fact, EventsDeleted)]
    assert deleted == [EventsDeleted(NUMBER, [(Seq(1), Seq(4)), (Seq(5), Seq(8)), (Seq(9), Seq(9))])]
    assert decision.answer == [Edited(9, 1)]
    assert {entry.first_seq for entry in store.loaded} == {9}


def test_a_bucket_without_a_rule_of_its_own_is_not_read() -> None:
    """Rules for one bucket cost the others nothing."""
    store = store_with([event(seq, seq) for seq in range(1, 6)], range(1, 5))
    rules = [{**DROP_WEB, "bucket_prefix": "web"}, {**HIDE_VIM, "enabled": False}]
    assert done(store, seen(store, Obey(json.dumps(rules).encode()))) == Edited()
    assert store.loaded == []


def test_a_payload_that_nobody_uses_any_more_leaves_its_segment() -> None:
    """What is erased is not in the bytes that are written."""
    events = [event(1, 0, 1, VIM), event(2, 1, 1, WEB), event(3, 2, 1, VIM), event(4, 9, 1, NONE)]
    store = store_with(events, range(1, 4))
    done(store, seen(store, Erase(Micros(0), Micros(5), WEB_ONLY)))
    (entry,) = store.bucket.index
    assert store.load(NUMBER, entry).payloads == [VIM]


@pytest.mark.parametrize(
    ("field", "equals", "pattern", "data", "hit"),
    [
        ("a", b"1", None, '{"a":1}', True),
        ("a", b"1", None, '{"a":1.0}', False),
        ("a", b"null", None, '{"a":null}', True),
        ("a", b"null", None, "{}", False),
        ("a.b", b'"x"', None, '{"a":{"b":"x"}}', True),
        ("a.b", b'"x"', None, '{"a":["b","x"]}', False),
        ("a", b'{"b":[1]}', None, '{"a":{"b":[1]}}', True),
        ("a", None, "x", '{"a":"axe"}', True),
        ("a", None, "^x", '{"a":"axe"}', False),
        ("a", None, "1", '{"a":1}', False),
    ],
)
def test_a_filter_looks_at_one_field(
    field: str, equals: bytes | None, pattern: str | None, data: str, hit: bool
) -> None:
    """Equal to any JSON value, or a text with a pattern in it."""
    assert matcher_of(FieldMatch(field, equals, pattern))(Payload(data.encode())) is hit


@pytest.mark.parametrize(
    "match", [FieldMatch("a"), FieldMatch("a", b"1", "x"), FieldMatch("", b"1"), FieldMatch("a", pattern="(")]
)
def test_a_filter_that_means_nothing_is_refused(match: FieldMatch) -> None:
    with pytest.raises(BadRequest):
        matcher_of(match)
