"""A hub's mirrored buckets: what a push comes to, and who may change them."""

from __future__ import annotations

from random import Random

import pytest

from awlog.log.mirror import cursors
from awlog.model.bucket import BucketMeta, Origin
from awlog.model.commands import (
    ChangeSetting,
    Command,
    CreateBucket,
    DeleteBucket,
    DeleteEvent,
    EditEvents,
    ImportBuckets,
    InsertEvents,
    NewEvent,
    PushChanges,
    PushedItem,
    ReleaseBucket,
    SendHeartbeat,
    SendHeartbeats,
    UpdateBucket,
)
from awlog.model.edits import BucketEdit, Edit, Edited, Erase, Expire
from awlog.model.errors import MirroredBucket, PushConflict
from awlog.model.event import BucketNumber, Event, Payload, Seq, event_id
from awlog.model.facts import BucketCreated
from awlog.model.times import Micros
from tests.log.events import NONE, VIM, WEB, event
from tests.log.memory_store import NUMBER, MemoryStore

DEVICE = "6f1c0000-laptop"
MADE = CreateBucket("notes", "note", "me", "laptop", Micros(5), None, Payload(b"{}"))


def push(
    after: int,
    to: int,
    *items: Event | tuple[int, int] | None,
    epoch: int = 1,
    bucket: CreateBucket | None = MADE,
    device: str = DEVICE,
) -> PushChanges:
    """Items: an event, seqs from and to that are gone, or None for the whole bucket that is gone."""
    told = []
    for item in items:
        if isinstance(item, tuple):
            told.append(PushedItem(gone=(Seq(item[0]), Seq(item[1]))))
        else:
            told.append(PushedItem(event=item))
    return PushChanges(device, "notes", epoch, after, to, bucket, told)


def test_a_push_makes_the_bucket_and_keeps_the_seqs_of_the_device() -> None:
    """In the order of changes, which is not that of the seqs; the cursor is remembered in the same commit."""
    store = MemoryStore()
    store.send(push(0, 9, event(7, 30), event(2, 10), event(5, 20, 3, WEB)))
    assert store.events() == [event(2, 10), event(5, 20, 3, WEB), event(7, 30)]
    assert store.durable.bucket("notes").meta.origin == Origin(DEVICE, "notes", 1, 9)
    assert store.durable.bucket("notes").meta.hostname == "laptop"
    assert cursors(store.durable, DEVICE) == {"notes": (1, 9)}
    assert cursors(store.durable, "another") == {}


def test_what_is_sent_again_conflicts_and_changes_nothing() -> None:
    """The answer says where the bucket is."""
    store = MemoryStore()
    store.send(push(0, 9, event(1)))
    for again in (push(0, 9, event(1)), push(8, 12), push(10, 12), push(9, 12, epoch=2), push(0, 9, epoch=0)):
        with pytest.raises(PushConflict) as refused:
            store.send(again)
        assert refused.value.cursor == (1, 9)
    store.send(push(9, 12, event(2, 5)))
    assert len(store.events()) == 2


def test_edits_and_deletions_are_found_wherever_the_events_live() -> None:
    """The tail record, records, and segments with and without gaps; what is not there any more is no mistake."""
    store = MemoryStore()
    store.send(push(0, 9, *(event(seq, 10 * seq) for seq in range(1, 13))))
    store.seal([1, 2, 3, 4])
    store.seal([5, 7, 8])
    store.send(push(9, 20, event(2, 15, 1, WEB), event(12, 120, 9), (3, 4), (6, 7), (11, 11), (90, 95), event(20, 130)))
    expected = {1: event(1, 10), 2: event(2, 15, 1, WEB), 20: event(20, 130), 12: event(12, 120, 9)}
    expected |= {seq: event(seq, 10 * seq) for seq in (5, 8, 9, 10)}
    assert {one.seq: one for one in store.events()} == expected


def test_a_bucket_that_was_deleted_and_made_anew_is_another_one_here() -> None:
    """Its seqs begin again; the ids here do not."""
    store = MemoryStore()
    store.send(push(0, 9, event(1), event(2, 5)))
    store.send(push(9, 20, event(3, 9), None, event(1, 50, 1, WEB)))
    assert store.staged.numbered(NUMBER) is None
    assert store.events(BucketNumber(2)) == [event(1, 50, 1, WEB)]
    store.send(push(20, 30, None, bucket=None))
    assert store.staged.buckets() == []


def test_a_device_that_was_restored_pushes_again_in_the_next_epoch() -> None:
    """What it has replaces what is here; what only the hub has stays."""
    store = MemoryStore()
    store.send(push(0, 90, event(1), event(2, 5), event(3, 9)))
    store.send(push(0, 40, event(1, 0, 7), event(4, 20), epoch=2))
    assert store.events() == [event(1, 0, 7), event(2, 5), event(3, 9), event(4, 20)]
    assert cursors(store.durable, DEVICE) == {"notes": (2, 40)}


def test_an_id_that_is_taken_is_shown_with_the_device() -> None:
    """By a bucket of the hub's own, or of another device; the metadata stay the device's."""
    store = MemoryStore()
    store.apply(BucketCreated(BucketMeta(NUMBER, "notes", "t", "c", "hub", Micros(0))))
    store.send(push(0, 9, event(1)))
    store.send(push(0, 9, event(1), device="abcdefgh-phone"))
    assert [bucket.meta.id for bucket in store.staged.buckets()] == ["notes", "notes@6f1c0000", "notes@abcdefgh"]
    store.send(ReleaseBucket("notes@6f1c0000"))
    store.send(push(0, 9, event(1)))
    assert store.staged.find_bucket("notes@6f1c0000-2") is not None


BEAT = SendHeartbeat("notes", Micros(99), Micros(0), VIM, Micros(5))
OTHERS: list[Command] = [
    BEAT,
    InsertEvents("notes", [NewEvent(Micros(1), Micros(0), NONE)]),
    InsertEvents("notes", [NewEvent(Micros(1), Micros(0), NONE, event_id(NUMBER, Seq(1)))]),
    UpdateBucket("notes", "other", None, None, None, None),
    DeleteBucket("notes"),
    DeleteEvent("notes", event_id(NUMBER, Seq(1))),
    ImportBuckets([(MADE, [NewEvent(Micros(1), Micros(0), NONE)], None)]),
]


@pytest.mark.parametrize("command", OTHERS, ids=lambda command: type(command).__name__)
def test_only_its_device_changes_a_mirrored_bucket(command: Command) -> None:
    """Until it is released: then anybody may, and the device pushes to a new one."""
    store = MemoryStore()
    store.send(push(0, 9, event(1)))
    with pytest.raises(MirroredBucket, match=DEVICE):
        store.send(command)
    assert store.send(SendHeartbeats([BEAT])).answer.refused[0][0] == 0  # type: ignore[union-attr]
    assert store.events() == [event(1)]
    store.send(ReleaseBucket("notes"))
    assert store.bucket.meta.origin is None
    store.send(command)


def test_random_pushes_come_to_what_the_device_has() -> None:
    """Batches of the newest state of what changed, as the feed gives them, against a plain dict."""
    random = Random(3)
    store = MemoryStore()
    held: dict[int, Event] = {}
    at = 0
    for batch in range(60):
        items: list[Event | tuple[int, int]] = []
        for seq in random.sample(range(1, 40), 5):
            if random.random() < 0.3:
                held.pop(seq, None)
                items.append((seq, seq))
            else:
                held[seq] = event(seq, random.randrange(20), random.randrange(5), random.choice([VIM, WEB]))
                items.append(held[seq])
        store.send(push(at, at + 5, *items))
        at += 5
        assert {one.seq: one for one in store.events()} == held
        if batch % 7 == 6 and len(store.bucket.head) > 3:
            store.seal(sorted(one.seq for one in store.bucket.head)[:3])
    store.send(ChangeSetting("a", b"1"))


def test_a_push_passes_the_privacy_filters_of_the_hub() -> None:
    """What is dropped is not stored, and leaves what is stored as it is; what is redacted is so before it is stored."""
    store = MemoryStore()
    rules = [
        b'{"enabled":true,"pattern":"web","action":"drop","field":"app"}',
        b'{"enabled":true,"pattern":"vim","action":"redact","field":"app","replacement":"hidden"}',
    ]
    store.send(push(0, 1, event(9, 90, 0, NONE)))
    store.send(ChangeSetting("privacy_filters", b"[%b]" % b",".join(rules)))
    store.send(push(1, 9, event(1, 10, 0, WEB), event(2, 20, 0, VIM), event(9, 95, 0, WEB)))
    hidden = Payload(b'{"app":"hidden"}')
    assert store.events() == [event(2, 20, 0, hidden), event(9, 90, 0, NONE)]


def test_time_is_erased_on_the_device_and_retention_works_here() -> None:
    """An event that is cut in two needs a new seq, and those are the device's to give."""
    store = MemoryStore()
    store.send(push(0, 9, event(1, 10, 50), event(2, 20, 5)))

    def edit(what: Edit) -> EditEvents:
        bucket = store.bucket
        seqs = [event.seq for event in store.events()]
        return EditEvents(
            [BucketEdit(NUMBER, bucket.meta.id, what, bucket.next_seq, bucket.next_revision, [], seqs)], whole=True
        )

    with pytest.raises(MirroredBucket):
        store.send(edit(Erase(Micros(15), Micros(30))))
    assert store.send(edit(Expire(started_before_us=Micros(15)))).answer == [Edited(1, 0)]
    assert store.events() == [event(2, 20, 5)]
    store.send(push(9, 12, event(3, 30), (1, 1)))
    assert store.events() == [event(2, 20, 5), event(3, 30)]
