"""Group commit: what arrives in one turn of the loop, or while a commit is in flight, shares one transaction."""

from __future__ import annotations

import asyncio

import pytest

from awlog.engine.committer import Committer, into_future
from awlog.engine.figures import Counts
from awlog.log.decision import Stored
from awlog.log.write_set import SettingRow, WriteSet
from awlog.model.commands import DeleteEvent
from awlog.model.errors import BucketExists, NoSuchBucket, Unavailable
from awlog.model.event import Change
from awlog.storage.writer import MapFull
from tests.engine.harness import Disk, Store, WatchedEngine, beat, create, event, insert, within_patience


async def test_commands_of_one_turn_of_the_loop_are_one_transaction(engine: WatchedEngine, disk: Disk):
    """A hundred heartbeats into ten buckets, sent without waiting for one another, make one commit."""
    await asyncio.gather(*(engine.submit(create(f"b{n}")) for n in range(10)))
    assert len(disk.committed) == 1, "ten buckets made in one turn"
    txn_id = engine.environment.last_txn_id()
    await asyncio.gather(*(engine.submit(beat(f"b{n % 10}", n)) for n in range(100)))
    assert len(disk.committed) == 2
    assert engine.environment.last_txn_id() == txn_id + 1


async def test_what_arrives_while_a_commit_is_in_flight_is_the_next_transaction(engine: WatchedEngine, disk: Disk):
    """One commit in flight, then fifty commands over several turns of the loop: two commits altogether."""
    await engine.submit(create("b"))
    disk.before_commit.hold()
    first = engine.submit(beat("b", 0))
    await disk.before_commit.reached()
    others = []
    for n in range(1, 51):
        others.append(engine.submit(beat("b", n)))
        await asyncio.sleep(0)
    disk.release()
    await asyncio.gather(first, *others)
    assert len(disk.committed) == 3, "the bucket, the first beat, the fifty others"


async def test_many_heartbeats_of_one_record_write_it_once(engine: WatchedEngine, disk: Disk):
    """A batch holds the last state of what it touched, not each step."""
    await engine.submit(create("b"))
    await asyncio.gather(*(engine.submit(beat("b", n)) for n in range(50)))
    written = disk.committed[-1]
    assert len(written.tails) == 1
    assert not written.records


async def test_an_answer_comes_after_the_commit_that_holds_it(engine: WatchedEngine, disk: Disk):
    """While the transaction has not begun, and while it is synced but not settled, nobody is answered."""
    await engine.submit(create("b"))
    disk.before_commit.hold()
    disk.after_commit.hold()
    answer = engine.submit(beat("b", 0))
    await disk.before_commit.reached()
    assert not answer.done()
    disk.before_commit.release()
    await disk.after_commit.reached()
    assert not answer.done()
    disk.after_commit.release()
    assert (await within_patience(answer)).events


async def test_answers_are_those_of_the_order_of_arrival(engine: WatchedEngine):
    """Each command sees what the ones before it in the same turn did."""
    answers = await asyncio.gather(
        engine.submit(create("b")),
        engine.submit(create("b")),
        engine.submit(beat("b", 0)),
        engine.submit(beat("b", 5)),
        engine.submit(insert("b", event(100))),
        engine.submit(beat("b", 7)),
        return_exceptions=True,
    )
    assert isinstance(answers[1], BucketExists)
    (first, longer, inserted, late) = [engine.answer(stored)[0] for stored in answers[2:] if isinstance(stored, Stored)]
    assert (first["duration"], longer["duration"]) == (0.0, 5.0)
    assert longer["id"] == first["id"]
    assert late["id"] not in (first["id"], inserted["id"]), (
        "older than the tail record and not covered: an event of its own"
    )


async def test_a_no_op_answer_waits_for_what_it_was_decided_on(engine: WatchedEngine, disk: Disk):
    """A heartbeat that adds nothing to a record that is not durable yet is answered when that is."""
    await engine.submit(create("b"))
    disk.before_commit.hold()
    staged = engine.submit(beat("b", 0, 10))
    await disk.before_commit.reached()
    nothing_to_add = engine.submit(beat("b", 5))
    no_such_event = engine.submit(DeleteEvent("b", 1))
    await asyncio.sleep(0)
    assert not nothing_to_add.done()
    assert not no_such_event.done()
    disk.release()
    assert (await staged).events == (await nothing_to_add).events
    assert await no_such_event is False
    assert len(disk.committed) == 2, "no-ops do not make a commit"


async def test_a_no_op_decided_on_the_open_batch_waits_for_that_and_not_for_the_one_in_flight(
    engine: WatchedEngine, disk: Disk
):
    """Two commits behind one another: the answer belongs to the second."""
    await engine.submit(create("b"))
    disk.before_commit.hold()
    first = engine.submit(beat("b", 0, 10))
    await disk.before_commit.reached()
    second = engine.submit(beat("b", 5, 20))
    no_op = engine.submit(beat("b", 6, 1))
    disk.before_commit.let_one_pass()
    await within_patience(first)
    await disk.before_commit.reached()
    assert not no_op.done()
    disk.release()
    assert (await second).events == (await no_op).events


async def test_a_no_op_on_a_durable_state_is_answered_without_a_commit(engine: WatchedEngine, disk: Disk):
    await engine.submit(create("b"))
    await engine.submit(beat("b", 0, 10))
    before = len(disk.committed)
    assert engine.submit(beat("b", 5)).done()
    assert engine.submit(DeleteEvent("b", 1)).done()
    assert len(disk.committed) == before


async def test_a_refusal_decided_on_a_staged_state_waits_for_it(engine: WatchedEngine, disk: Disk):
    """`BucketExists` may be said only when the bucket that is in the way is durable."""
    disk.before_commit.hold()
    staged = engine.submit(create("b"))
    in_the_same_turn = engine.submit(create("b"))
    await disk.before_commit.reached()
    later = engine.submit(create("b"))
    missing = engine.submit(beat("no such bucket", 0))
    await asyncio.sleep(0)
    assert not any(future.done() for future in (staged, in_the_same_turn, later, missing))
    disk.release()
    await staged
    for refused in (in_the_same_turn, later):
        with pytest.raises(BucketExists):
            await refused
    with pytest.raises(NoSuchBucket):
        await missing


async def test_a_refusal_decided_on_what_could_not_be_made_durable_is_not_given(engine: WatchedEngine, disk: Disk):
    """The bucket that was in the way is gone with the failed commit: the second request is told to come again."""
    disk.fail_next(Unavailable("no"))
    first, second = engine.submit(create("b")), engine.submit(create("b"))
    for refused in (first, second):
        with pytest.raises(Unavailable):
            await refused
    await engine.submit(create("b"))


async def test_a_client_that_goes_away_takes_nothing_back(engine: WatchedEngine, disk: Disk):
    """Its command is carried out, and those of the same batch are answered."""
    await engine.submit(create("b"))
    disk.before_commit.hold()
    gone, stays = engine.submit(beat("b", 0)), engine.submit(beat("b", 100))
    await disk.before_commit.reached()
    gone.cancel()
    disk.release()
    await within_patience(stays)
    assert len(await engine.events("b")) == 2


async def test_closing_commits_what_is_still_open(store: Store):
    """Nothing that was submitted before `close` is lost, whether its commit had begun or not."""
    engine = await store.open()
    await engine.submit(create("b"))
    store.disk.before_commit.hold()
    in_flight = engine.submit(insert("b", event(0)))
    await store.disk.before_commit.reached()
    still_open = engine.submit(insert("b", event(100)))
    closing = asyncio.create_task(store.close())  # lets the gate go
    await within_patience(closing)
    assert in_flight.done()
    assert still_open.done()
    engine = await store.open()
    assert len(await engine.events("b")) == 2


async def test_a_batch_that_found_the_map_full_is_committed_again_before_any_later_one():
    """The committer alone: the same write set comes again, and what was staged meanwhile comes after it."""
    seen: list[WriteSet] = []
    durable: list[WriteSet] = []

    def commit(writes: WriteSet) -> int:
        seen.append(writes)
        if len(seen) == 1:
            raise MapFull
        return len(seen)

    growing, may_grow = asyncio.Event(), asyncio.Event()

    async def grow() -> None:
        growing.set()
        await may_grow.wait()

    committer = Committer(
        commit,
        on_durable=lambda writes, _: durable.append(writes),
        on_failed=lambda _error: None,
        on_map_full=grow,
        before_commit=lambda: None,
        counts=Counts(),
    )
    committer.writes.settings["first"] = SettingRow(b"1", Change(1))
    first, second = asyncio.Future[str](), asyncio.Future[str]()
    committer.join("first", into_future(first))
    await within_patience(growing.wait())
    committer.writes.settings["second"] = SettingRow(b"2", Change(2))
    committer.join("second", into_future(second))
    await asyncio.sleep(0)
    assert not first.done()
    assert not second.done()
    may_grow.set()
    assert await within_patience(first) == "first"
    assert await within_patience(second) == "second"
    await within_patience(committer.close())
    assert [list(writes.settings) for writes in seen] == [["first"], ["first"], ["second"]]
    assert durable == seen[1:]


async def test_a_reply_is_told_once_when_the_commit_is_durable(engine: WatchedEngine, disk: Disk):
    """The way without a future keeps the same order: nothing before the sync, then each in the order of arrival."""
    told: list[object] = []
    await engine.submit(create("b"))
    disk.before_commit.hold()
    for start_s in (0, 100):
        engine.send(beat("b", start_s), lambda outcome: told.append(engine.answer(outcome)[0]["id"]))
    engine.send(beat("no such bucket", 0), lambda outcome: told.append(type(outcome)))
    await disk.before_commit.reached()
    assert told == []
    disk.release()
    await engine.quiet()
    assert told == [4294967297, 4294967298, NoSuchBucket]
    engine.send(beat("b", 100), told.append)
    assert len(told) == 4, "all of it is durable: told at once"


async def test_a_reply_may_hand_in_the_next_command(engine: WatchedEngine, disk: Disk):
    """As a connection does that has read on: the next command belongs to a later commit, also after a failed one."""
    told: list[object] = []

    def then_again(outcome: object) -> None:
        told.append(outcome)
        engine.send(beat("b", 10), told.append)

    await engine.submit(create("b"))
    disk.fail_next(Unavailable("no"))
    engine.send(beat("b", 0), then_again)
    while len(told) < 2:
        await asyncio.sleep(0)
    assert isinstance(told[0], Unavailable)
    assert isinstance(told[1], Stored)
    assert len(await engine.events("b")) == 1


async def test_a_reply_that_fails_keeps_no_other_from_its_answer(engine: WatchedEngine):
    await engine.submit(create("b"))

    def fail(_outcome: object) -> None:
        raise AssertionError("our mistake")

    engine.send(beat("b", 0), fail)
    assert isinstance(await engine.submit(beat("b", 5)), Stored)
    assert isinstance(await engine.submit(beat("b", 10)), Stored)


async def test_each_that_waits_for_a_failed_commit_is_refused_with_an_error_of_its_own(
    engine: WatchedEngine, disk: Disk
):
    """One error object raised in two places would carry the traces of both."""
    told: list[object] = []
    await engine.submit(create("b"))
    disk.fail_next(Unavailable("no"))
    for start_s in (0, 100):
        engine.send(beat("b", start_s), told.append)
    while len(told) < 2:
        await asyncio.sleep(0)
    assert [str(error) for error in told] == ["no", "no"]
    assert told[0] is not told[1]
