"""Clocks jump: by NTP, by a dead battery, by hand. Nothing that was acknowledged depends on them."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from awlog.engine.access import AccessRules, Door, new_token
from awlog.engine.backups import BackupPlan, Backups
from awlog.engine.clock import Doubt
from awlog.engine.retention import Retention
from awlog.model.access import Grant, Scope
from awlog.model.commands import ChangeSetting, CreateBucket
from awlog.model.event import Payload
from awlog.model.times import Micros
from tests.engine.harness import NOW_US, Store, beat, create, event, everything, insert, within_patience

YEAR_US = 366 * 86_400 * 1_000_000


async def test_what_was_acknowledged_survives_a_clock_that_jumps(store: Store):
    """Far back and far ahead, between writes and across restarts."""
    engine = await store.open()
    await engine.submit(create("a"))
    seen: list[int] = []
    for number, jump_us in enumerate((0, -30 * YEAR_US, 70 * YEAR_US, -1, 0)):
        made_us = Micros(NOW_US + jump_us)
        engine.clock = partial(Micros, made_us)
        await engine.submit(CreateBucket(f"made {number}", "t", "c", "h", made_us, None, Payload(b"{}")))
        await engine.submit(insert("a", event(1_000 * number, 5)))
        stored = await engine.submit(beat("a", 1_000 * number + 3, 9))
        seen.append(stored.events[0].seq)
        shown = await everything(engine)
        engine = await store.restart()
        assert await everything(engine) == shown
    assert seen == sorted(seen), "ids go on whatever the clock says"
    assert len(await engine.events("a")) == 5, "each heartbeat continued the event before it"
    await store.close()


async def test_a_backup_is_due_after_the_interval_and_after_a_jump(store: Store, tmp_path: Path):
    """One out of the future, made while the clock was wrong, keeps the next from being made no more than it makes one follow
    the other.
    """
    engine = await store.open()
    folder = tmp_path / "backups"
    folder.mkdir()
    now_us = [int(NOW_US)]
    backups = Backups(engine.environment.data_dir, BackupPlan(None, 3600.0, 2), lambda: Micros(now_us[0]))

    def make(name: str) -> None:
        (folder / f"awlog-{name}Z.mdb").touch()
        os.utime(folder / f"awlog-{name}Z.mdb", (now_us[0] / 1e6, now_us[0] / 1e6))

    assert backups._is_due(folder), "there is none"
    make("first")
    assert not backups._is_due(folder)
    now_us[0] = NOW_US + 3_601_000_000
    assert backups._is_due(folder)
    now_us[0] = NOW_US - YEAR_US
    assert backups._is_due(folder)
    make("jumped")
    assert not backups._is_due(folder), "a year of backups after backups"
    now_us[0] += 3_601_000_000
    assert backups._is_due(folder)
    make("next")
    backups._remove_old(folder)
    assert sorted(file.name for file in folder.iterdir()) == ["awlog-jumpedZ.mdb", "awlog-nextZ.mdb"]
    await backups.close()


DAY_S = 86_400
HOUR_S = 3_600


@pytest.mark.parametrize(
    ("wall_s", "steady_s", "doubted"),
    [
        ([HOUR_S, 2 * HOUR_S], [HOUR_S, 2 * HOUR_S], [False, False]),
        ([40 * DAY_S], [40 * DAY_S], [False]),  # the machine slept
        ([23 * HOUR_S], [0], [False]),
        ([366 * DAY_S, 366 * DAY_S + HOUR_S], [HOUR_S, 2 * HOUR_S], [True, True]),
        ([366 * DAY_S, 367 * DAY_S], [0, DAY_S], [True, False]),
        ([366 * DAY_S, HOUR_S], [0, HOUR_S], [True, False]),
        ([-366 * DAY_S, HOUR_S], [0, HOUR_S], [False, True]),
    ],
)
def test_a_clock_that_jumped_ahead_is_doubted_for_a_day(wall_s, steady_s, doubted):
    """Or until it is put back. A machine that slept has not jumped."""
    wall, steady = iter([0, *wall_s]), iter([0, *steady_s])
    doubt = Doubt(lambda: Micros(NOW_US + next(wall) * 1_000_000), None, lambda: next(steady))
    assert [doubt.holds() for _ in wall_s] == doubted


@pytest.mark.parametrize(
    ("newest_us", "doubted"), [(NOW_US, False), (NOW_US + YEAR_US, False), (NOW_US - YEAR_US, True)]
)
def test_at_the_start_the_clock_is_compared_with_what_is_recorded(newest_us, doubted):
    """Nobody was there when it jumped."""
    assert Doubt(lambda: NOW_US, newest_us, lambda: 0.0).holds() == doubted


async def test_retention_by_the_clock_waits_when_the_clock_has_jumped_ahead(store: Store):
    """A year of events is not too old because a clock says so; asked for by hand it is done."""
    engine = await store.open()
    await engine.submit(create("a"))
    await engine.submit(insert("a", event(NOW_US / 1e6 - 3600), event(NOW_US / 1e6)))
    await engine.submit(ChangeSetting("retention", b'[{"max_age_days":30}]'))
    jumped = partial(Micros, NOW_US + YEAR_US)
    doubt = Doubt(jumped, NOW_US, lambda: 0.0)
    retention = Retention(engine.editor, engine.jobs, jumped, lambda: engine.reads.setting("retention"), doubt)
    retention.every(0.001)
    while retention.last_run is None:
        await asyncio.sleep(0.001)
    assert retention.last_run.error is not None
    assert "the clock has jumped ahead" in retention.last_run.error
    assert len(await engine.events("a")) == 2
    await retention.close()
    await within_patience(engine.jobs.ended(retention.start()))
    assert len(await engine.events("a")) == 1, "the tail record stays"
    await store.close()


def test_the_last_use_of_a_token_is_no_time_in_the_future():
    """A use that was noted by a clock that was ahead would stand there for a year."""
    secret, token = new_token("phone", [Grant(Scope.READ)], created_us=NOW_US, expires_us=None)
    door = Door(AccessRules())
    door.take({token.id: replace(token, last_used_us=Micros(NOW_US + YEAR_US))}, required=True)
    door.admit([f"Bearer {secret}"], NOW_US)
    assert door.unwritten_uses() == {token.id: NOW_US}
