"""A second process's view is the engine's, after every kind of change, whether the view was kept or made anew."""

from __future__ import annotations

import random
from typing import Any

import pytest

from awlog.engine.answers import Answers, Watched
from awlog.model.commands import DeleteBucket, DeleteEvent
from awlog.model.event import BucketNumber
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros
from awlog.query.render import render_events
from awlog.storage.live_view import LiveView
from tests.engine.harness import WatchedEngine, beat, create, decoded, event, insert


def seen(view: LiveView) -> dict[str, Any]:
    """All events of all buckets, as the view gives them."""
    with view.now() as store:
        shown = {}
        for meta in store.buckets():
            columns = store.events(meta.number, TIME_MIN_US, TIME_MAX_US)
            shown[meta.id] = decoded([render_events(columns, meta.number)] if len(columns) else [])
            assert store.count(meta.number, TIME_MIN_US, TIME_MAX_US) == len(shown[meta.id])
        return shown


async def stored(engine: WatchedEngine) -> dict[str, Any]:
    """All events of all buckets, as the engine gives them."""
    shown = {}
    for bucket in engine.reads.buckets():
        chunks = [
            chunk async for chunk in engine.reads.range_json(bucket.meta.id, TIME_MIN_US, TIME_MAX_US, count_max=None)
        ]
        shown[bucket.meta.id] = decoded(chunks)
    return shown


async def change(engine: WatchedEngine, draw: random.Random) -> None:
    """Something that can happen to the bucket `b`."""
    ids = [one["id"] for one in (await stored(engine)).get("b", [])]
    match draw.choice(["beat", "beat", "late beat", "insert", "bulk", "replace", "delete", "newest", "again", "wait"]):
        case "beat":
            await engine.submit(beat("b", 1000 + draw.randrange(200), data=draw.choice("xy")))
        case "late beat":
            await engine.submit(beat("b", draw.randrange(1000), data=draw.choice("xy")))
        case "insert":
            await engine.submit(insert("b", event(draw.randrange(2000), draw.randrange(9), draw.choice("xyz"))))
        case "bulk":
            await engine.insert(insert("b", *(event(draw.randrange(500)) for _ in range(11))))
        case "replace" if ids:
            await engine.submit(insert("b", event(draw.randrange(2000), 3, "new", wire_id=draw.choice(ids))))
        case "delete" if ids:
            await engine.submit(DeleteEvent("b", draw.choice(ids)))
        case "newest" if ids:
            await engine.submit(DeleteEvent("b", ids[0]))
        case "again" if draw.random() < 0.1:
            await engine.submit(DeleteBucket("b"))
            await engine.submit(create("b"))
        case "wait":
            await engine.upkept()


@pytest.mark.parametrize("seed", range(12))
async def test_a_kept_view_is_the_engine_s_after_every_change(engine: WatchedEngine, seed: int) -> None:
    """Growth is read as growth, everything else anew; segments of four events make every kind of home common."""
    draw = random.Random(seed)
    kept = LiveView(engine.environment, 1 << 20)  # LMDB is opened once in a process
    await engine.submit(create("b"))
    for _ in range(120):
        await change(engine, draw)
        if draw.random() < 0.5:  # now and then several changes come between two looks
            assert seen(kept) == await stored(engine)
    assert seen(kept) == await stored(engine)


SECOND_US = 1_000_000


def read_up_to(store: Watched, end_us: Micros) -> bytes:
    """A program of which the answer is all that there is up to then."""
    parts = [b"%d:" % meta.number + render(store, meta.number, end_us) for meta in store.buckets()]
    return b";".join(parts)


def render(store: Watched, number: BucketNumber, end_us: Micros) -> bytes:
    columns = store.events(number, TIME_MIN_US, end_us)
    return render_events(columns.clipped(TIME_MIN_US, end_us), number) if len(columns) else b""


@pytest.mark.parametrize("seed", range(12))
async def test_a_kept_answer_is_given_only_if_it_still_is_the_answer(engine: WatchedEngine, seed: int) -> None:
    """After every kind of change, for ranges that end before the tail record, within it and after it."""
    draw = random.Random(seed)
    view, answers = LiveView(engine.environment, 1 << 20), Answers()
    await engine.submit(create("b"))
    await engine.submit(create("other"))
    for _ in range(150):
        await change(engine, draw)
        with view.now() as store:
            for end_s in draw.sample([0, 300, 900, 1050, 1100, 1150, 1199, 2500], 3):
                end_us = Micros(end_s * SECOND_US)
                watched = Watched(store)
                answer = read_up_to(watched, end_us)
                assert answers.get(end_s, store) in (None, answer)
                answers.put(end_s, answer, watched)


async def test_what_is_past_stays_answered_while_the_bucket_grows(engine: WatchedEngine) -> None:
    """New events and a longer tail record leave it; a late event, an edit, and another bucket do not."""
    view, answers, end_us = LiveView(engine.environment, 1 << 20), Answers(), Micros(1500 * SECOND_US)

    def is_known() -> bool:
        with view.now() as store:
            known = answers.get("question", store)
            watched = Watched(store)
            answer = read_up_to(watched, end_us)
            assert known in (None, answer)
            answers.put("question", answer, watched)
            return known is not None

    await engine.submit(create("b"))
    for second in (1000, 2000):
        await engine.submit(beat("b", second, data=str(second)))
    assert not is_known()
    assert is_known()
    await engine.submit(beat("b", 2001, data="2000"))
    assert is_known()
    await engine.submit(beat("b", 3000, data="new"))
    await engine.submit(beat("b", 3001, data="new"))
    assert is_known()
    await engine.submit(insert("b", event(1200, 3, "late")))
    assert not is_known()
    assert is_known()
    (newest, *_) = (await stored(engine))["b"]
    await engine.submit(DeleteEvent("b", newest["id"]))
    assert not is_known()
    await engine.submit(create("c"))
    assert not is_known()
    assert is_known()


async def test_answers_are_bounded(engine: WatchedEngine) -> None:
    """What was asked longest ago goes first; what is too large is not kept at all."""
    view, answers = LiveView(engine.environment, 1 << 20), Answers(bytes_max=160_000)
    with view.now() as store:
        for name, size in [("a", 19_000), ("b", 19_000), ("huge", 20_001)]:
            answers.put(name, b"x" * size, Watched(store))
        assert answers.get("a", store) == b"x" * 19_000
        for name in "cdefghi":
            answers.put(name, b"x" * 19_000, Watched(store))
        kept = [name for name in ("a", "b", "huge", *"cdefghi") if answers.get(name, store) is not None]
        assert kept == ["a", *"cdefghi"]


async def test_small_answers_count_with_what_is_kept_about_them(engine: WatchedEngine) -> None:
    """Each takes a place, and each range that was read for it one more."""
    view, answers = LiveView(engine.environment, 1 << 20), Answers(bytes_max=100_000)
    await engine.submit(create("b"))
    with view.now() as store:
        for number in range(1000):
            answers.put(number, b"1", Watched(store))
        assert 10 < len(answers._kept) < 1000
        watched = Watched(store)
        for end_us in range(100):
            watched.count(store.buckets()[0].number, TIME_MIN_US, Micros(end_us))
        answers.put("many ranges", b"1", watched)
        assert answers.get("many ranges", store) is None
