"""A write that fails in the middle of its facts leaves nothing behind, whatever it fails with."""

from __future__ import annotations

from typing import Any

import pytest

from awlog.engine import engine as engine_module
from awlog.log.apply import apply
from awlog.model.errors import Unavailable
from awlog.model.facts import EventAppended
from awlog.model.times import TIME_MAX_US, TIME_MIN_US
from tests.engine.harness import WatchedEngine, beat, create, event, insert


@pytest.mark.parametrize("failure", [Unavailable("no slot"), AssertionError("our mistake"), MemoryError()])
async def test_a_batch_that_fails_at_its_second_fact_is_not_half_kept(
    engine: WatchedEngine, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    """D4 and D5: the next commit carries none of it."""
    await engine.submit(create("b"))
    stored = await engine.submit(insert("b", event(10, 1, "a"), event(20, 1, "b"), event(30, 1, "c")))
    ids = [stored.bucket_number << 32 | one.seq for one in stored.events]
    before = await engine.reads.count("b", TIME_MIN_US, TIME_MAX_US)
    has_failed = False

    def failing(state: Any, fact: Any, writes: Any, load: Any) -> None:
        nonlocal has_failed
        if isinstance(fact, EventAppended) and not has_failed:
            has_failed = True
            raise failure
        apply(state, fact, writes, load)

    monkeypatch.setattr(engine_module, "apply", failing)
    with pytest.raises(type(failure)):
        changed = [event(10 * n, 5, "new", wire_id=one) for n, one in enumerate(ids, start=1)]
        await engine.submit(insert("b", *changed, event(35, 1, "new")))
    await engine.submit(beat("b", 40))
    assert await engine.reads.count("b", TIME_MIN_US, TIME_MAX_US) == before + 1
    for wire_id in ids:
        assert b'"new"' not in await engine.reads.event_json("b", wire_id)
