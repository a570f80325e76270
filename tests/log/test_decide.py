"""What follows from each command: `rest-api.md` sections 5, 6, 8, 10 and 11."""

from __future__ import annotations

from typing import Any

import pytest

from awlog.log.decide import BULK_EVENTS, decide
from awlog.log.decision import Appended, Decision, Stored
from awlog.log.sealing import seal_new
from awlog.log.segment import SEGMENT_EVENTS
from awlog.model.bucket import BucketMeta
from awlog.model.commands import (
    ChangeSetting,
    Command,
    CreateBucket,
    DeleteBucket,
    DeleteEvent,
    ImportBuckets,
    InsertEvents,
    NewEvent,
    SendHeartbeat,
    UpdateBucket,
)
from awlog.model.errors import BucketExists, InsufficientStorage, NoSuchBucket
from awlog.model.event import BUCKET_NUMBER_MAX, SEQ_MAX, BucketNumber, Event, Payload, Seq, event_id
from awlog.model.facts import (
    BucketCreated,
    BucketDeleted,
    BucketUpdated,
    EventAppended,
    EventDeleted,
    EventsAppended,
    EventsReplaced,
    SettingChanged,
    TailExtended,
)
from awlog.model.times import Micros
from tests.log.events import NONE, VIM, WEB, event
from tests.log.memory_store import NUMBER, MemoryStore, contents, store_with


def create(bucket_id: str = "notes", **fields: Any) -> CreateBucket:
    given = {"type": "t", "client": "c", "hostname": "h", "created_us": Micros(5), "name": None, "data": NONE, **fields}
    return CreateBucket(bucket_id, **given)


def new(start_us: int, duration_us: int = 0, payload: bytes = VIM, wire_id: int | None = None) -> NewEvent:
    return NewEvent(Micros(start_us), Micros(duration_us), Payload(payload), wire_id)


def insert(*events: NewEvent) -> InsertEvents:
    return InsertEvents("notes", list(events))


def beat(start_us: int, duration_us: int = 0, payload: bytes = VIM, *, pulsetime_us: int = 5) -> SendHeartbeat:
    return SendHeartbeat("notes", Micros(start_us), Micros(duration_us), Payload(payload), Micros(pulsetime_us))


def decided(store: MemoryStore, command: Command) -> Decision:
    return decide(store.staged, command, store.load)


def wire(seq: int, number: int = NUMBER) -> int:
    return event_id(BucketNumber(number), Seq(seq))


# Buckets


def test_a_new_bucket_gets_the_next_number() -> None:
    """Its metadata are those of the command."""
    store = store_with()
    command = create("other", name="Other", data=Payload(b'{"k":1}'))
    meta = BucketMeta(BucketNumber(2), "other", "t", "c", "h", Micros(5), "Other", Payload(b'{"k":1}'))
    assert decided(store, command) == Decision([BucketCreated(meta)], None)


def test_a_bucket_that_is_there_is_not_made_again() -> None:
    """A 304 on the wire; ids are compared letter by letter."""
    store = store_with()
    with pytest.raises(BucketExists):
        decided(store, create("notes"))
    assert len(decided(store, create("Notes")).facts) == 1


def test_a_bucket_made_anew_gets_another_number() -> None:
    """So the ids of its events are new too."""
    store = store_with([event(1)])
    store.send(DeleteBucket("notes"))
    store.send(create("notes"))
    assert store.staged.bucket("notes").number == 2
    assert store.staged.bucket("notes").tail is None


def test_the_last_bucket_number_is_given_and_none_after_it() -> None:
    """Beyond it ids would not be exact in a JavaScript number."""
    store = store_with()
    store.staged.next_bucket_number = BucketNumber(BUCKET_NUMBER_MAX)
    assert len(decided(store, create("last")).facts) == 1
    store.staged.next_bucket_number = BucketNumber(BUCKET_NUMBER_MAX + 1)
    with pytest.raises(InsufficientStorage, match="bucket numbers"):
        decided(store, create("one too many"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"type": "other"},
        {"client": "other"},
        {"hostname": "other"},
        {"name": "other"},
        {"data": Payload(b'{"k":1}')},
        {"type": "", "name": ""},
        {"type": "a", "client": "b", "hostname": "c", "name": "d", "data": Payload(b"{}")},
    ],
)
def test_an_update_changes_the_fields_that_are_given(changes: dict[str, Any]) -> None:
    """The others, the number and the moment of creation stay; an empty text is a text."""
    store = store_with()
    before = store.bucket.meta
    given = {"type": None, "client": None, "hostname": None, "name": None, "data": None, **changes}
    (fact,) = decided(store, UpdateBucket("notes", **given)).facts
    assert isinstance(fact, BucketUpdated)
    for field in before.__struct_fields__:
        assert getattr(fact.meta, field) == changes.get(field, getattr(before, field))


def test_deleting_a_bucket_names_its_number() -> None:
    """An id may come again, a number does not."""
    assert decided(store_with(), DeleteBucket("notes")) == Decision([BucketDeleted(NUMBER)], None)


@pytest.mark.parametrize(
    "command",
    [
        UpdateBucket("missing", "t", None, None, None, None),
        DeleteBucket("missing"),
        InsertEvents("missing", []),
        InsertEvents("missing", [new(0)]),
        SendHeartbeat("missing", Micros(0), Micros(0), VIM, Micros(0)),
        DeleteEvent("missing", wire(1)),
    ],
    ids=lambda command: type(command).__name__,
)
def test_what_names_an_unknown_bucket_is_refused(command: Command) -> None:
    """Buckets are never made on the way, not even for an empty list of events."""
    with pytest.raises(NoSuchBucket) as refused:
        decided(store_with(), command)
    assert refused.value.bucket_id == "missing"


# Events


def test_new_events_get_the_next_seqs_in_the_order_given() -> None:
    """Whatever their times; equal ones are not merged."""
    store = store_with([event(1, 50), event(2, 60)])
    decision = decided(store, insert(new(70), new(10, 3, WEB), new(10, 3, WEB)))
    stored = [event(3, 70), event(4, 10, 3, WEB), event(5, 10, 3, WEB)]
    assert decision == Decision([EventsAppended(NUMBER, 3, stored, [])], Stored(NUMBER, stored))


def test_no_events_are_no_facts() -> None:
    """`[]` on the wire."""
    assert decided(store_with(), insert()) == Decision([], Stored(NUMBER, []))


def three_homes() -> MemoryStore:
    """Seqs 1 and 2 in a segment, 3 in the head, 4 the tail record; 5 was deleted."""
    store = store_with([event(seq, 10 * seq) for seq in (1, 2, 3, 4, 5)], [1, 2])
    store.apply(EventDeleted(NUMBER, Seq(5)))
    return store


@pytest.mark.parametrize(
    "seq", [1, 2, 3, 4], ids=["in a segment", "in a segment too", "in the head", "the tail record"]
)
def test_an_id_of_this_bucket_replaces_its_event(seq: int) -> None:
    """Timestamp, duration and data; the id stays, wherever the event lives."""
    store = three_homes()
    replacement = event(seq, 7, 2, WEB)
    decision = decided(store, insert(new(7, 2, WEB, wire(seq))))
    assert decision == Decision([EventsReplaced(NUMBER, [replacement])], Stored(NUMBER, [replacement]))


@pytest.mark.parametrize(
    "wire_id",
    [
        pytest.param(wire(5), id="deleted"),
        pytest.param(wire(6), id="the next one"),
        pytest.param(wire(4711), id="never given"),
        pytest.param(wire(1, number=2), id="of another bucket"),
        pytest.param(wire(1, number=77), id="of no bucket"),
        pytest.param(1, id="a bare seq"),
        pytest.param(0, id="zero"),
        pytest.param(wire(0), id="seq 0"),
        pytest.param(-wire(1), id="negative"),
        pytest.param(1 << 70, id="beyond 64 bits"),
    ],
)
def test_an_id_that_names_nothing_here_makes_a_new_event(wire_id: int) -> None:
    """With a new id; no other bucket is touched."""
    store = three_homes()
    store.send(create("other"))
    store.send(InsertEvents("other", [new(1, 1, b'{"a":1}')]))
    decision = decided(store, insert(new(7, 2, WEB, wire_id)))
    stored = event(6, 7, 2, WEB)
    assert decision == Decision([EventAppended(NUMBER, stored)], Stored(NUMBER, [stored]))


def test_of_two_events_with_the_same_id_in_a_list_the_later_counts() -> None:
    """Both answers say so."""
    store = three_homes()
    decision = decided(store, insert(new(7, 2, WEB, wire(3)), new(8, 1, VIM, wire(3))))
    later = event(3, 8, 1, VIM)
    assert decision == Decision([EventsReplaced(NUMBER, [later])], Stored(NUMBER, [later, later]))


def test_a_list_may_mix_replacements_and_new_events() -> None:
    """The answer has the order given, the new ones count on from the bucket's next seq."""
    store = three_homes()
    sent = [new(1), new(2, 0, WEB, wire(2)), new(3, 0, NONE, wire(999)), new(4, 0, WEB, wire(4))]
    decision = store.send(insert(*sent))
    stored = [event(6, 1), event(2, 2, 0, WEB), event(7, 3, 0, NONE), event(4, 4, 0, WEB)]
    assert decision.answer == Stored(NUMBER, stored)
    assert store.events() == [event(1, 10), stored[1], event(3, 30), stored[3], stored[0], stored[2]]


def test_an_unknown_id_does_not_name_an_event_of_the_same_list() -> None:
    """Ids are looked up in what the bucket holds, not in what the list is about to add."""
    store = three_homes()
    decision = store.send(insert(new(1), new(2, 0, WEB, wire(6))))
    assert decision.answer == Stored(NUMBER, [event(6, 1), event(7, 2, 0, WEB)])


def test_many_new_events_become_segments_at_once() -> None:
    """Runs are sealed beforehand or here, with the same result; the youngest stays a record."""
    store = store_with([event(1, 7)])
    events = [new(10 * i, 5, b'{"n":%d}' % (i % 9)) for i in range(BULK_EVENTS)]
    decision = decided(store, insert(*events))
    beforehand = decided(store, InsertEvents("notes", events, seal_new(events)))
    assert beforehand == decision
    (fact,) = decision.facts
    assert isinstance(fact, EventsAppended)
    assert fact.event_count == BULK_EVENTS
    assert [(run.first_seq, run.count) for run in fact.sealed] == [
        (2, SEGMENT_EVENTS),
        (2 + SEGMENT_EVENTS, SEGMENT_EVENTS - 1),
    ]
    assert decision.answer == Appended(NUMBER, Seq(2), events)
    store.apply(fact)
    stored = [Event(Seq(seq), one.start_us, one.duration_us, one.payload) for seq, one in enumerate(events, start=2)]
    assert store.events() == [event(1, 7), *stored]


def test_one_event_fewer_than_many_are_records() -> None:
    """One fact for all of them."""
    decision = decided(store_with(), insert(*(new(i) for i in range(BULK_EVENTS - 1))))
    (fact,) = decision.facts
    assert isinstance(fact, EventsAppended)
    assert (len(fact.records), fact.sealed) == (BULK_EVENTS - 1, [])


@pytest.mark.parametrize("wire_id", [None, 5], ids=["without an id", "with an unknown id"])
def test_the_last_seq_is_given_and_none_after_it(wire_id: int | None) -> None:
    """The list as a whole is refused, before anything of it is stored; the text says what to do."""
    store = store_with()
    store.bucket.next_seq = Seq(SEQ_MAX - 1)
    decision = decided(store, insert(new(1, wire_id=wire_id), new(2, wire_id=wire_id)))
    assert decision.answer == Stored(NUMBER, [event(SEQ_MAX - 1, 1), event(SEQ_MAX, 2)])
    with pytest.raises(InsufficientStorage, match="another bucket"):
        decided(store, insert(*(new(i, wire_id=wire_id) for i in range(3))))


@pytest.mark.parametrize(
    ("wire_id", "seq"),
    [
        *((wire(seq), seq) for seq in (1, 2, 3, 4)),
        *((other, None) for other in (wire(5), wire(6), wire(0), wire(1, number=2), 1, 0, -wire(1), 1 << 70)),
    ],
)
def test_an_event_is_deleted_by_its_id_or_there_was_none(wire_id: int, seq: int | None) -> None:
    """`{"success": false}` for an id that names nothing here: never a stranger's event."""
    decision = decided(three_homes(), DeleteEvent("notes", wire_id))
    expected = Decision([], answer=False) if seq is None else Decision([EventDeleted(NUMBER, Seq(seq))], answer=True)
    assert decision == expected


# Heartbeats


def test_a_heartbeat_of_an_empty_bucket_is_a_new_event() -> None:
    """Rule 1."""
    stored = event(1, 100, 3)
    assert decided(store_with(), beat(100, 3)) == Decision([EventAppended(NUMBER, stored)], Stored(NUMBER, [stored]))


def test_a_heartbeat_that_continues_the_tail_record_extends_it() -> None:
    """Rule 2: one small fact; start, data and id stay."""
    store = store_with([event(1, 100, 10)])
    decision = decided(store, beat(115, 2))
    assert decision == Decision([TailExtended(NUMBER, Seq(1), Micros(17))], Stored(NUMBER, [event(1, 100, 17)]))


def test_a_heartbeat_within_the_tail_record_changes_nothing() -> None:
    """Accepted, but nothing goes to the disk."""
    store = store_with([event(1, 100, 10)])
    assert decided(store, beat(103, 7)) == Decision([], Stored(NUMBER, [event(1, 100, 10)]))


def covering_store(home: str) -> MemoryStore:
    """An event with seq 1 at [100, 120] in the named place, behind younger ones."""
    events = [event(1, 100, 20), event(2, 130, 5, WEB), event(3, 200, 0, WEB)]
    match home:
        case "tail":
            return store_with(events[:1])
        case "head":
            return store_with(events)
        case "segment":
            return store_with(events, [1, 2])
    raise AssertionError(home)


@pytest.mark.parametrize(
    ("home", "start_us", "duration_us"),
    [
        ("tail", 100, 0),
        ("tail", 100, 20),
        *((home, *span) for home in ("head", "segment") for span in ((100, 0), (100, 20), (105, 3), (120, 0))),
    ],
)
def test_a_late_heartbeat_that_is_covered_changes_nothing(home: str, start_us: int, duration_us: int) -> None:
    """Rule 3: sent again it does no harm, wherever the event that covers it lives. -1,000 keeps it from merging."""
    decision = decided(covering_store(home), beat(start_us, duration_us, pulsetime_us=-1_000))
    assert decision == Decision([], Stored(NUMBER, [event(1, 100, 20)]))


@pytest.mark.parametrize("home", ["head", "segment"])
@pytest.mark.parametrize(
    ("start_us", "duration_us", "payload"),
    [
        (99, 0, VIM),
        (99, 21, VIM),
        (100, 21, VIM),
        (121, 0, VIM),
        (110, 11, VIM),
        (105, 3, NONE),
        (105, 3, WEB),
        (50, 0, VIM),
    ],
)
def test_a_late_heartbeat_that_is_not_covered_is_an_event_of_its_own(
    home: str, start_us: int, duration_us: int, payload: bytes
) -> None:
    """Rule 4: it begins before, ends after, or says something else. No event is changed, the tail record stays."""
    store = covering_store(home)
    before = store.events()
    decision = store.send(beat(start_us, duration_us, payload, pulsetime_us=1_000))
    stored = event(4, start_us, duration_us, payload)
    assert decision == Decision([EventAppended(NUMBER, stored)], Stored(NUMBER, [stored]))
    assert store.events() == [*before, stored]
    assert store.bucket.tail == event(3, 200, 0, WEB)


def test_a_heartbeat_younger_than_the_tail_record_is_not_covered_by_older_events() -> None:
    """Rule 3 is for late ones: a long event of long ago does not swallow what happens now."""
    store = store_with([event(1, 0, 1_000), event(2, 100, 0, WEB)])
    stored = event(3, 101, 0)
    assert decided(store, beat(101)) == Decision([EventAppended(NUMBER, stored)], Stored(NUMBER, [stored]))


def test_a_heartbeat_at_the_start_of_the_tail_record_with_other_data_is_the_tail_from_then_on() -> None:
    """Equal starts: the greater id is younger."""
    store = store_with([event(1, 100, 10)])
    store.send(beat(100, 0, WEB))
    assert store.bucket.tail == event(2, 100, 0, WEB)


def test_a_heartbeat_too_late_for_the_pulsetime_is_a_new_event() -> None:
    """Rule 4, and it is the tail record then."""
    store = store_with([event(1, 100, 10)])
    store.send(beat(116))
    assert store.bucket.tail == event(2, 116)


def test_the_tail_record_follows_from_what_is_stored_whoever_wrote_it() -> None:
    """After a POST, an edit, a deletion the next heartbeat sees the new tail record."""
    store = store_with()
    store.send(beat(100))
    store.send(insert(new(200, 10, WEB)))
    assert store.send(beat(212, 0, WEB)).answer == Stored(NUMBER, [event(2, 200, 12, WEB)])
    store.send(insert(new(150, 0, VIM, wire(2))))
    assert store.send(beat(153)).answer == Stored(NUMBER, [event(2, 150, 3)])
    store.send(DeleteEvent("notes", wire(2)))
    assert store.send(beat(104)).answer == Stored(NUMBER, [event(1, 100, 4)])
    store.send(DeleteEvent("notes", wire(1)))
    assert store.send(beat(105)).answer == Stored(NUMBER, [event(3, 105)])


def test_the_example_of_section_8() -> None:
    """Line by line, in seconds; pulsetime 10."""
    store = store_with()
    ten = 36_000
    for start_us, payload, stored in [
        (ten, VIM, event(1, ten, 0)),
        (ten + 7, VIM, event(1, ten, 7)),
        (ten + 17, VIM, event(1, ten, 17)),
        (ten + 5, VIM, event(1, ten, 17)),
        (ten - 60, VIM, event(2, ten - 60, 0)),
        (ten - 60, VIM, event(2, ten - 60, 0)),
        (ten + 20, VIM, event(1, ten, 20)),
        (ten + 21, WEB, event(3, ten + 21, 0, WEB)),
    ]:
        assert store.send(beat(start_us, 0, payload, pulsetime_us=10)).answer == Stored(NUMBER, [stored])


# Import


def imports(*buckets: tuple[CreateBucket, list[NewEvent]]) -> ImportBuckets:
    return ImportBuckets([(created, events, None) for created, events in buckets])


def test_an_import_makes_missing_buckets_with_all_their_events() -> None:
    """Duplicates inside the file included; the buckets get numbers in its order."""
    store = store_with()
    store.send(imports((create("b"), [new(1), new(1), new(2, 5, WEB)]), (create("a", name="A"), [])))
    assert store.events(BucketNumber(2)) == [event(1, 1), event(2, 1), event(3, 2, 5, WEB)]
    assert store.staged.bucket("b").number == 2
    assert (store.staged.bucket("a").number, store.staged.bucket("a").meta.name) == (3, "A")


@pytest.mark.parametrize(
    ("sent", "added"),
    [
        (new(10, 5, VIM), False),
        (new(20, 5, WEB), False),
        (new(30, 5, NONE), False),
        (new(10, 5, VIM, 4711), False),
        (new(10, 6, VIM), True),
        (new(11, 5, VIM), True),
        (new(10, 5, WEB), True),
        (new(25, 0, WEB), True),
        (new(30, 0, NONE), True),
        (new(0), True),
        (new(99), True),
    ],
)
def test_an_import_skips_what_the_bucket_held_before(sent: NewEvent, added: bool) -> None:
    """Equal timestamp, duration and data of the stored, uncut event: in a segment, the head, or the tail record."""
    store = store_with([event(1, 10, 5), event(2, 20, 5, WEB), event(3, 30, 5, NONE)], [1])
    meta = store.bucket.meta
    facts = store.send(imports((create("notes", type="another"), [sent]))).facts
    stored = event(4, sent.start_us, sent.duration_us, sent.payload)
    assert facts == ([EventAppended(NUMBER, stored)] if added else [])
    assert store.bucket.meta == meta, "its own fields stay"


def test_importing_a_file_twice_changes_nothing_the_second_time() -> None:
    """Though the file holds duplicates: those were stored the first time."""
    store = MemoryStore()
    file = imports((create("a"), [new(1), new(1), new(5, 2, WEB)]), (create("b"), [new(7)]))
    store.send(file)
    before = contents(store)
    assert store.send(file).facts == []
    assert contents(store) == before


def test_new_duplicates_in_a_file_for_a_known_bucket_are_all_added() -> None:
    """Skipped is what the bucket held before this import, not what the import has just added."""
    store = store_with([event(1, 10)])
    store.send(imports((create("notes"), [new(20), new(20)]), (create("notes"), [new(20), new(10)])))
    assert store.events() == [event(1, 10), event(2, 20), event(3, 20), event(4, 20)]


def test_a_bucket_that_comes_twice_in_an_import_is_made_once() -> None:
    """Two documents of a form may name the same bucket; its seqs count on."""
    store = MemoryStore()
    store.send(imports((create("a", name="first"), [new(1)]), (create("a", name="second"), [new(2)])))
    assert store.staged.bucket("a").meta.name == "first"
    assert store.events() == [event(1, 1), event(2, 2)]


def test_a_large_import_becomes_segments_whether_laid_out_beforehand_or_not() -> None:
    """For a new bucket, and for a known one some of whose events are skipped: then it is laid out again."""
    events = [new(10 * i, 5, b'{"n":%d}' % (i % 7)) for i in range(BULK_EVENTS + 1)]
    store = store_with([event(1, 0, 5, b'{"n":0}')])
    store.send(ImportBuckets([(create("a"), events, seal_new(events)), (create("notes"), events, seal_new(events))]))
    other = BucketNumber(2)
    assert [(one.start_us, one.payload) for one in store.events(other)] == [
        (one.start_us, one.payload) for one in events
    ]
    assert [(one.start_us, one.payload) for one in store.events()] == [(one.start_us, one.payload) for one in events]
    assert store.bucket.index.event_count() == BULK_EVENTS - 1


# Settings


@pytest.mark.parametrize("value", [b"false", b'""', b'{"a":1}', None])
def test_a_setting_is_stored_as_it_is_and_none_removes_it(value: bytes | None) -> None:
    """`false` is a value."""
    assert decided(MemoryStore(), ChangeSetting("key", value)) == Decision([SettingChanged("key", value)], None)


def test_deciding_changes_nothing() -> None:
    """All kinds of commands, and the state is what it was: a refused or failed request leaves no trace."""
    store = three_homes()
    before = contents(store)
    for command in (
        create("other"),
        UpdateBucket("notes", "x", None, None, None, None),
        DeleteBucket("notes"),
        insert(new(1), new(2, 0, WEB, wire(1))),
        beat(42),
        beat(15),
        DeleteEvent("notes", wire(1)),
        imports((create("notes"), [new(10)]), (create("b"), [new(1)])),
        ChangeSetting("key", b"1"),
    ):
        decided(store, command)
        assert contents(store) == before
