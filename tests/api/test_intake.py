"""A stream on its way in: what a producer's number says is there, is there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from awlog.api.event_bodies import PayloadCache
from awlog.api.intake import Intake
from awlog.engine import engine as engine_module
from awlog.engine import store as store_module
from awlog.log.apply import apply
from awlog.model.access import FULL_ACCESS
from awlog.model.commands import Producer, SendHeartbeats
from awlog.model.errors import Unavailable
from awlog.model.facts import EventAppended
from tests.engine.harness import Disk, WatchedEngine, beat, insert, small_segments
from tests.engine.harness import event as new_event


def block(*seconds: int, bucket: str = "b") -> bytes:
    """Lines that each are a new event."""
    return b"".join(
        json.dumps(
            {
                "bucket": bucket,
                "pulsetime": 0.5,
                "event": {"timestamp": f"2023-11-14T22:13:{second:02}Z", "data": {"n": second}},
            }
        ).encode()
        + b"\n"
        for second in seconds
    )


def numbered(engine: WatchedEngine) -> Intake:
    intake = Intake(engine, FULL_ACCESS, PayloadCache(), 1 << 20, tells=False)
    intake.number(Producer("p", 1))
    return intake


async def test_behind_a_block_that_is_lost_nothing_is_taken(
    engine: WatchedEngine, disk: Disk, monkeypatch: pytest.MonkeyPatch
):
    """Else the producer's number would say that the lost one is there, and sending it again would bring nothing back."""
    disk.before_commit.hold()
    in_flight = engine.submit(insert("b", new_event(1)))
    await disk.before_commit.reached()
    intake = numbered(engine)
    await intake.take(block(1, 2))
    monkeypatch.setattr(engine_module, "apply", failing_once())
    with pytest.raises(Unavailable):  # a write of somebody else's, which takes along what is not in flight
        await failed_at_once(engine)
    disk.before_commit.release()
    with pytest.raises(Unavailable):
        await intake.take(block(3, 4))
    await in_flight
    await engine.quiet()
    assert engine.reads.last_sequence("p") == 0

    again = numbered(engine)
    await again.take(block(1, 2))
    await again.take(block(3, 4))
    await again.finish()
    assert (again.totals.inserted, again.totals.duplicates) == (4, 0)


async def failed_at_once(engine: WatchedEngine) -> None:
    """Fails without a turn of the loop: who waits for what it took along is not told yet."""
    raised: list[Any] = []
    engine.send(insert("b", new_event(2)), raised.append)
    raise raised[0] if raised else Unavailable("told when the commit in flight is durable")


def failing_once() -> Any:
    has_failed = False

    def failing(state: Any, fact: Any, writes: Any, load: Any) -> None:
        nonlocal has_failed
        if isinstance(fact, EventAppended) and not has_failed:
            has_failed = True
            raise Unavailable("no slot")
        apply(state, fact, writes, load)

    return failing


async def test_behind_a_block_that_could_not_be_decided_nothing_is_taken(
    engine: WatchedEngine, disk: Disk, monkeypatch: pytest.MonkeyPatch
):
    """Also while a commit is in flight, whose end other refusals wait for."""
    disk.before_commit.hold()
    in_flight = engine.submit(beat("b", 0))
    await disk.before_commit.reached()
    intake = numbered(engine)
    with monkeypatch.context() as patch:
        patch.setattr(engine_module, "apply", failing_once())
        await intake.take(block(1, 2))
    disk.before_commit.release()
    with pytest.raises(Unavailable):
        await intake.take(block(3, 4))
    await in_flight
    await engine.quiet()
    assert engine.reads.last_sequence("p") == 0


async def test_a_line_that_cannot_be_decided_now_is_not_refused_for_ever(engine: WatchedEngine):
    """A heartbeat that comes late needs history; while that cannot be opened, the stream fails and is sent again."""
    with small_segments():
        await engine.submit(insert("b", *(new_event(10 * n, 5) for n in range(40))))
    engine.forget_decoded_segments()
    late = [beat("b", 51), beat("b", 57)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "open_snapshot", _no_slot)
        with pytest.raises(Unavailable):
            await engine.submit_heartbeats(SendHeartbeats(late, Producer("p", 1)))
    assert engine.reads.last_sequence("p") == 0
    taken = await engine.submit_heartbeats(SendHeartbeats(late, Producer("p", 1)))
    assert (taken.merged, taken.inserted, taken.refused) == (1, 1, [])


def _no_slot(_environment: Any) -> Any:
    raise Unavailable("no slot")
