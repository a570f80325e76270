"""Edits of many events on a real store: by one command or by a job, cut off anywhere, and what is remembered of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from awlog.engine import editor as editor_module
from awlog.engine.jobs import JOBS_WAITING_MAX, Job, JobState
from awlog.log.filters import SETTING
from awlog.log.retention import SETTING as RETENTION_SETTING
from awlog.model.commands import ChangeSetting
from awlog.model.edits import Edited, Erase, FieldMatch, Obey
from awlog.model.errors import NoSuchJob, Unavailable
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, Micros
from tests.engine.harness import Store, WatchedEngine, beat, create, event, insert, within_patience
from tests.properties.replay import Replay

DROP = json.dumps([{"enabled": True, "pattern": "^secret", "action": "drop", "field": "d"}]).encode()
SECRETS = Erase(TIME_MIN_US, TIME_MAX_US, FieldMatch("d", pattern="^secret"))


async def fill(engine: WatchedEngine, count: int, *, bucket: str = "b") -> None:
    """So many events, ten seconds apart; two of three are secret, the newest and the oldest among them."""
    await engine.submit(create(bucket))
    for n in range(count):
        await engine.submit(insert(bucket, event(10 * n, 1, f"plain {n}" if n % 3 == 1 else f"secret {n}")))
    await engine.upkept()


async def titles(engine: WatchedEngine, bucket: str = "b") -> list[str]:
    return [one["data"]["d"] for one in reversed(await engine.events(bucket))]


def plain(count: int) -> list[str]:
    return [f"plain {n}" for n in range(count) if n % 3 == 1]


async def run(engine: WatchedEngine, edit: Erase | Obey) -> Job:
    job = engine.jobs.start("test", lambda job: engine.editor.in_steps(edit, None, job))
    await within_patience(engine.jobs.ended(job))
    return job


@pytest.mark.parametrize("edit", [SECRETS, Obey(DROP)], ids=["erase", "filters"])
async def test_a_job_leaves_nothing_behind(engine: WatchedEngine, edit: Erase | Obey) -> None:
    """Not the newest event either, nor the ones that take its place as tail record while the job goes on."""
    await fill(engine, 60)
    job = await run(engine, edit)
    assert (job.state, job.counts, job.done) == (JobState.DONE, {"deleted": 40, "changed": 0}, job.total)
    assert await titles(engine) == plain(60)
    assert (await run(engine, edit)).counts == {"deleted": 0, "changed": 0}


async def test_everything_may_go(engine: WatchedEngine) -> None:
    """The bucket is empty then, and records again."""
    await fill(engine, 30)
    job = await run(engine, Erase(TIME_MIN_US, TIME_MAX_US, FieldMatch("d", pattern="")))
    assert job.counts == {"deleted": 30, "changed": 0}
    assert engine.answer(await engine.submit(beat("b", 5)))[0]["duration"] == 0
    assert len(await engine.events("b")) == 1


async def test_an_edit_at_once_is_one_commit(store: Store, engine: WatchedEngine) -> None:
    """Whole segments, a part of one, the head and the tail record."""
    await fill(engine, 30)
    await engine.quiet()
    commits = len(store.disk.committed)
    edited = await engine.editor.at_once(Erase(Micros(45_000_000), TIME_MAX_US), None)
    assert edited == {"b": Edited(25, 0)}
    assert len(store.disk.committed) == commits + 1
    assert await titles(engine) == ["secret 0", "plain 1", "secret 2", "secret 3", "plain 4"]


async def test_what_is_too_large_for_one_command_is_not_begun(
    engine: WatchedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then the caller is told so, and nothing has changed."""
    await fill(engine, 40)
    before = engine.digest()
    monkeypatch.setattr(editor_module, "REWRITTEN_AT_ONCE_MAX", 1)
    assert await engine.editor.at_once(SECRETS, None) is None
    assert engine.digest() == before


async def test_a_job_that_a_crash_cuts_off_is_run_again(store: Store, engine: WatchedEngine, tmp_path: Path) -> None:
    """What was done stays done; the facts replayed give the same store, to the digest."""
    await fill(engine, 60)
    store.disk.after_commit.hold()
    job = engine.jobs.start("test", lambda job: engine.editor.in_steps(SECRETS, None, job))
    for _ in range(4):
        await within_patience(store.disk.after_commit.reached())
        store.disk.after_commit.let_one_pass()
    await within_patience(store.disk.after_commit.reached())
    engine = await store.crash()
    assert job.state is not JobState.DONE
    left = await titles(engine)
    assert set(plain(60)) < set(left)
    assert len(left) < 60
    assert (await run(engine, SECRETS)).counts["deleted"] == len(left) - 20
    assert await titles(engine) == plain(60)


async def test_the_facts_of_edits_replay_to_the_same_store(store: Store, engine: WatchedEngine, tmp_path: Path) -> None:
    """A follower that is fed them holds what this server holds."""
    await fill(engine, 50)
    await engine.editor.at_once(Erase(Micros(101_500_000), Micros(200_500_000)), None)
    await run(engine, Obey(DROP))
    await engine.submit(create("other"))
    await engine.submit(insert("other", event(0, 100)))
    edited = await engine.editor.at_once(Erase(Micros(10_000_000), Micros(20_000_000)), None)
    assert edited == {"b": Edited(1, 0), "other": Edited(0, 1)}
    digest = engine.digest()
    engine = await store.restart()
    assert engine.digest() == digest
    await store.close()
    empty = Store(tmp_path / "replayed")
    await empty.open()
    await empty.close()
    assert Replay(store.facts).digest(empty.data_dir) == digest


async def test_jobs_wait_for_each_other_and_can_be_cancelled(engine: WatchedEngine) -> None:
    """The one that runs, and those that wait; the others are not touched by it."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work(_job: Job) -> None:
        begun.set()
        await go_on.wait()

    first, second, third = (engine.jobs.start("test", work) for _ in range(3))
    await within_patience(begun.wait())
    assert [job.state for job in engine.jobs.all()] == [JobState.WAITING, JobState.WAITING, JobState.RUNNING]
    engine.jobs.cancel(second.id)
    engine.jobs.cancel(first.id)
    await within_patience(engine.jobs.ended(first))
    go_on.set()
    await within_patience(engine.jobs.ended(third))
    assert [job.state for job in (first, second, third)] == [JobState.CANCELLED, JobState.CANCELLED, JobState.DONE]
    engine.jobs.cancel(third.id)
    assert third.state is JobState.DONE
    with pytest.raises(NoSuchJob):
        engine.jobs.get(99)


async def test_jobs_that_wait_are_bounded(engine: WatchedEngine) -> None:
    """And one that fails says why, and ends no other."""

    async def fail(_job: Job) -> None:
        raise Unavailable("no disk")

    jobs = [engine.jobs.start("test", fail) for _ in range(JOBS_WAITING_MAX)]
    with pytest.raises(Unavailable, match="max_jobs_waiting"):
        engine.jobs.start("test", fail)
    await within_patience(engine.jobs.ended(jobs[-1]))
    assert {(job.state, job.error) for job in jobs} == {(JobState.FAILED, "no disk")}


async def test_retention_runs_by_itself(engine: WatchedEngine) -> None:
    """Every so often, if there are rules; the tail record stays however old it is."""
    await fill(engine, 20)
    await engine.submit(ChangeSetting(RETENTION_SETTING, b'[{"max_age_days":1}]'))
    engine.retention.every(0.001)
    async with asyncio.timeout(20):
        while engine.retention.last_run is None or engine.retention.last_run.ended_us is None:
            await asyncio.sleep(0.001)
    assert engine.retention.last_run.error is None
    assert await titles(engine) == ["plain 19"]


async def test_nothing_remembers_what_was_erased(engine: WatchedEngine) -> None:
    """No cache of the server, and no reader process that has seen it."""
    await fill(engine, 30)
    await engine.submit(ChangeSetting(SETTING, DROP))
    await engine.submit(beat("b", 295, data="secret again"))
    await engine.reads.count("b", Micros(1), Micros(95_000_000))
    await engine.status.of_buckets()
    engine.answer(await engine.submit(beat("b", 295, data="secret again")))
    await engine.editor.preview(SECRETS, None)
    filters = engine.staged_state.filters()
    assert filters is not None
    held, readers = engine.remembered()
    assert (held > 2, len(readers), filters.known_count) == (True, 1, 1)
    told: list[str] = []
    engine.on_erased = lambda: told.append("erased")
    await engine.editor.at_once(Erase(TIME_MIN_US, TIME_MAX_US), None)
    await engine.editor.preview(SECRETS, None)
    held, others = engine.remembered()
    assert (held, readers & others, filters.known_count, told) == (0, set(), 0, ["erased"])
