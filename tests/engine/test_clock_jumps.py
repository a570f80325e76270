"""Clocks jump: by NTP, by a dead battery, by hand. Nothing that was acknowledged depends on them."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from awlog.engine.backups import BackupPlan, Backups
from awlog.model.commands import CreateBucket
from awlog.model.event import Payload
from awlog.model.times import Micros
from tests.engine.harness import NOW_US, Store, beat, create, event, everything, insert

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
    """A backup out of the future, made while the clock was wrong, does not keep the next ones from being made."""
    engine = await store.open()
    folder = tmp_path / "backups"
    folder.mkdir()
    now_us = [int(NOW_US)]
    backups = Backups(engine.environment.data_dir, BackupPlan(None, 3600.0, 3), lambda: Micros(now_us[0]))
    assert backups._is_due(folder), "there is none"
    made = folder / "awlog-20231114T221320Z.mdb"
    made.touch()
    os.utime(made, (NOW_US / 1e6, NOW_US / 1e6))
    assert not backups._is_due(folder)
    now_us[0] = NOW_US + 3_601_000_000
    assert backups._is_due(folder)
    now_us[0] = NOW_US - YEAR_US
    assert backups._is_due(folder)
    await backups.close()
