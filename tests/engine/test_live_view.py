"""A second process's view is the engine's, after every kind of change, whether the view was kept or made anew."""

from __future__ import annotations

import random
from typing import Any

import pytest

from awlog.model.commands import DeleteBucket, DeleteEvent
from awlog.model.times import TIME_MAX_US, TIME_MIN_US
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
    for bucket in engine.buckets():
        chunks = [chunk async for chunk in engine.read_json(bucket.meta.id, TIME_MIN_US, TIME_MAX_US, count_max=None)]
        shown[bucket.meta.id] = decoded(chunks)
    return shown


@pytest.mark.parametrize("seed", range(12))
async def test_a_kept_view_is_the_engine_s_after_every_change(engine: WatchedEngine, seed: int) -> None:
    """Growth is read as growth, everything else anew; segments of four events make every kind of home common."""
    draw = random.Random(seed)
    kept = LiveView(engine.environment, 1 << 20)  # LMDB is opened once in a process
    await engine.submit(create("b"))
    for _ in range(120):
        ids = [one["id"] for one in (await stored(engine)).get("b", [])]
        match draw.choice(
            ["beat", "beat", "late beat", "insert", "bulk", "replace", "delete", "newest", "again", "wait"]
        ):
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
        if draw.random() < 0.5:  # now and then several changes come between two looks
            assert seen(kept) == await stored(engine)
    assert seen(kept) == await stored(engine)
