"""An import that is killed, and begun again."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from awlog.model.errors import CannotStart
from awlog.storage.check import sizes
from awlog.storage.environment import Environment
from tests.moving_in.databases import PythonEvent, python_database
from tests.moving_in.stores import canonical, contents, imported, rows
from tests.server import Server


def events_with_copies(count: int, seed: int) -> list[PythonEvent]:
    """Every fifth comes once more, some of them much later; some have the start and the data of one before."""
    rng = random.Random(seed)
    events: list[PythonEvent] = []
    for place in range(count):
        if events and rng.random() < 0.2:
            again = events[-rng.randrange(1, min(len(events), 40_000) + 1)]
            events.append(again if rng.random() < 0.8 else (again[0], again[1] + 1.5, again[2]))
        else:
            events.append((1_700_000_000_000_000 + place * 1_000_000, rng.randrange(5000) / 1000, {"n": place % 97}))
    return events


def test_an_import_killed_between_its_commits_gives_the_same_in_the_end(tmp_path: Path) -> None:
    """`kill -9` after the first and after the next commit that brings events, then to the end: each copy is there once."""
    events = events_with_copies(110_000, 5)
    database = python_database(tmp_path / "peewee-sqlite.v2.db", {"window": events})
    data_dir = tmp_path / "data"
    before = database.read_bytes()
    command = [sys.executable, "-m", "awlog", "import", str(database), "--data-dir", str(data_dir)]
    counts: list[int] = []
    for _ in range(2):
        _kill_when_it_has_brought_more(command, data_dir, counts[-1] if counts else 0)
        counts.append(contents(data_dir)["window"].total())
    assert 0 < counts[0] < counts[1] < len(events)
    table = rows(imported(database, "--data-dir", data_dir))
    assert [int(cell.replace(",", "")) for cell in table["window"][:3]] == [
        len(events),
        len(events) - counts[1],
        counts[1],
    ]
    expected = Counter((start, round(seconds * 1e6), canonical(data)) for start, seconds, data in events)
    assert contents(data_dir)["window"] == expected
    assert rows(imported(database, "--data-dir", data_dir))["window"][1] == "0"
    assert database.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", database.name]


def test_an_import_through_a_server_that_is_killed_gives_the_same_in_the_end(tmp_path: Path) -> None:
    """The command says that the server is gone; with the next server it brings what is missing, while a watcher beats."""
    events = events_with_copies(80_000, 7)
    database = python_database(tmp_path / "peewee-sqlite.v2.db", {"window": events})
    data_dir = tmp_path / "data"
    command = [sys.executable, "-m", "awlog", "import", str(database), "--data-dir", str(data_dir)]
    with Server(data_dir) as server:
        importing = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while importing.poll() is None and _event_count(data_dir) == 0:
            time.sleep(0.005)
        server.kill()
        _, said = importing.communicate()
    assert importing.returncode == 1
    assert "went away in the middle" in said
    assert "Traceback" not in said
    brought = contents(data_dir)["window"].total()
    assert 0 < brought < len(events)
    with Server(data_dir) as server:
        beat = {"timestamp": "2024-05-01T10:00:00Z", "duration": 1, "data": {"status": "afk"}}
        server.request("POST", "/api/0/buckets/window/heartbeat?pulsetime=10", beat)
        table = rows(imported(database, "--data-dir", data_dir))
    assert [int(cell.replace(",", "")) for cell in table["window"][1:3]] == [len(events) - brought, brought]
    expected = Counter((start, round(seconds * 1e6), canonical(data)) for start, seconds, data in events)
    assert contents(data_dir)["window"] - expected == Counter({(1714557600_000000, 1_000_000, '{"status":"afk"}'): 1})
    assert expected - contents(data_dir)["window"] == Counter()


def _kill_when_it_has_brought_more(command: list[str], data_dir: Path, known_count: int) -> None:
    """SIGKILL as soon as the store holds more events than that."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and _event_count(data_dir) <= known_count:
        time.sleep(0.005)
    process.kill()
    process.wait()


def _event_count(data_dir: Path) -> int:
    try:
        environment = Environment(data_dir, read_only=True)
    except CannotStart:  # not made yet
        return 0
    try:
        return sum(bucket.events for bucket in sizes(environment).buckets)
    finally:
        environment.close()
