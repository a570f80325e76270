"""D3: a power cut at any moment loses nothing. strace records what a server wrote; the disk is rebuilt as it may be left.

Each moment is tried with everything dropped that was not synced, and with random parts of it kept. On each such disk
`awlog verify` finds nothing wrong, and a server starts and holds all that was answered before the moment.
AWLOG_TEST_POWER_CUTS sets the number of moments (default 12).
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from tests.faults.conftest import StartTimes, segment_count, verify
from tests.faults.disk import Disk, write_out
from tests.faults.load import Load
from tests.faults.straced import WHOLE_PAYLOADS, recorded, wait_for_end
from tests.faults.trace import SENDS, Call, answers_started, is_store_file, read_record
from tests.server import Server

pytestmark = pytest.mark.needs("strace")

MOMENTS = int(os.environ.get("AWLOG_TEST_POWER_CUTS") or 12)
RANDOM_PARTS = 2  # random disks for each moment, besides the one with everything dropped
REQUESTS = 250  # enough for one bucket to grow until its oldest records are sealed


@dataclass(frozen=True)
class Recorded:
    root: Path  # above the data directory
    data_dir: Path
    port: int
    load: Load
    calls: list[Call]
    before: dict[Path, bytes] = field(default_factory=dict)  # what was on the disk when the record begins

    def answers(self) -> dict[int, list[int]]:
        return answers_started(self.calls, self.port)

    def first_answer(self) -> int:
        return min(lines[0] for lines in self.answers().values())

    def load_at(self, line: int) -> Load:
        return self.load.rewound({port: bisect_left(lines, line) for port, lines in self.answers().items()})

    def disk_at(self, line: int, random: Random | None) -> dict[Path, bytes]:
        return Disk(self.root, random).holding(self.before).follow(self.calls, line).cut()


def record_load(root: Path, seed: int) -> Recorded:
    """The record of a server from its first start on, under a load that makes segments, to its clean stop."""
    record, data_dir = root / "record", root / "made" / "by the server" / "data"
    server = Server(data_dir, wrapper=recorded(record, payload_bytes=WHOLE_PAYLOADS))
    server.log_path = root / "server.log"
    server.start()
    try:
        load = Load(seed, writers=4, big=1)
        load.prepare(server)
        load.keep_logs()
        load.start(server)
        load.wait_for(REQUESTS)
        load.stop()
        load.join()
        process = server.pid
        assert server.stop() == 0
    finally:
        server.kill()
    wait_for_end(record, process)
    assert segment_count(data_dir), "nothing was sealed"
    return Recorded(root, data_dir, server.port, load, read_record(record))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record_load(tmp_path_factory.mktemp("recorded"), Random().randrange(10**9))


def store_lines(run: Recorded) -> list[int]:
    """Where a cut may fall: at the start and the end of each call that touches the store, and of each answer."""
    calls = [c for c in run.calls if is_store_file(c.target, run.root) or (c.name in SENDS and "TCP" in c.target)]
    lines = {call.started for call in calls} | {call.ended for call in calls if call.ended is not None}
    return sorted(lines | {line + 1 for line in lines})


Cut = tuple[int, Random | None, Path]  # at which line, what is kept, where to rebuild the disk


def check_disk(run: Recorded, cut: Cut, starts: StartTimes) -> int:
    """Rebuilds the disk as the cut may leave it, starts a server on it, compares. Gives the number of answers."""
    line, random, folder = cut
    write_out(run.disk_at(line, random), folder)
    data_dir = folder / run.data_dir.relative_to(run.root)
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    load = run.load_at(line)
    prepared = line > min(min(run.answers()[writer.port]) for writer in run.load.writers)
    if prepared:
        verify(data_dir)
    server = Server(data_dir)
    server.log_path = folder / "server.log"
    try:
        starts.measure(server.start)
        if prepared:
            load.check(server)
        assert server.stop() == 0
    except AssertionError as error:
        raise AssertionError(f"power cut at line {line}, {'parts' if random else 'nothing'} kept: {error}") from error
    finally:
        server.kill()
    return load.acknowledged


def test_a_power_cut_at_any_moment_loses_nothing(run, tmp_path, seed, note):
    random, starts = Random(seed), StartTimes()
    candidates = store_lines(run)
    early = [line for line in candidates if line <= run.first_answer()]
    moments = random.sample(early, k=max(2, MOMENTS // 3)) + random.sample(candidates, k=MOMENTS - MOMENTS // 3)
    disks: list[Cut] = [
        (line, Random(f"{seed} {line} {part}") if part else None, tmp_path / f"{number} {part}")
        for number, line in enumerate(moments)
        for part in range(1 + RANDOM_PARTS)
    ]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda disk: check_disk(run, disk, starts), disks))
    note(f"{len(moments)} moments, {len(disks)} disks, {sum(answers)} acknowledged writes looked for, {starts}")
    assert max(answers) > REQUESTS // 4, "all cuts fell before there was much to lose"


def test_without_the_syncs_the_same_cuts_lose_something(run, tmp_path, note):
    """The other side of the proof: had the server not synced (the calls are taken out), the disks would show it."""
    unsynced = [call for call in run.calls if call.name not in {"fdatasync", "fsync"}]
    forgetful = Recorded(run.root, run.data_dir, run.port, run.load, unsynced)
    line = max(lines[-1] for lines in run.answers().values())
    assert forgetful.disk_at(line, None) == {}
    kept = Counter(path.name for path in run.disk_at(line, None))
    assert kept["data.mdb"] == 1, kept
    assert kept["identity.json"] == 1, kept


def test_the_whole_record_gives_the_store_as_it_is_on_the_disk(run):
    """Nothing that the server writes escapes the record: rebuilt to the end, the files are equal byte for byte."""
    rebuilt = run.disk_at(1 << 60, None)
    for name in ("data.mdb", "identity.json"):
        path = run.data_dir / name
        assert rebuilt[path.relative_to(run.root)] == path.read_bytes(), name
