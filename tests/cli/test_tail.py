"""`awlog tail` goes on by itself: across a restart, and across a restore, after which nothing is where it was."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from tests.moving_in.stores import awlog
from tests.server import Server

FIELDS = {"client": "c", "type": "t", "hostname": "h"}


@contextmanager
def tailing(server: Server, *words: str) -> Iterator[tuple[IO[str], IO[str]]]:
    """What a running `awlog tail` shows, and what it says."""
    command = [sys.executable, "-m", "awlog", "tail", "--url", server.url, *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        yield process.stdout, process.stderr
    finally:
        process.kill()
        process.communicate()


def record(server: Server, n: int) -> None:
    event = {"timestamp": f"2026-01-01T00:00:0{n}Z", "duration": 1, "data": {"n": n}}
    assert server.request("POST", "/api/0/buckets/notes/events", event).status == 200


def restored(server: Server, backup: Path) -> None:
    """The server again, on the store of the backup."""
    server.stop()
    server.data_dir.rename(server.data_dir.with_name("lost"))
    assert awlog("restore", backup, "--data-dir", server.data_dir).returncode == 0
    server.start()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """With one event that is in a backup beside it, and one that is not."""
    with Server(tmp_path / "data") as server:
        server.request("POST", "/api/0/buckets/notes", FIELDS)
        record(server, 1)
        assert awlog("backup", tmp_path / "one.mdb", "--data-dir", server.data_dir).returncode == 0
        record(server, 2)
        yield server


def test_a_restored_store_is_told_anew(server: Server, tmp_path: Path) -> None:
    """To a program all of it, behind a line that says so; then what happens."""
    with tailing(server, "--json", "--since", "0") as (shown, said):
        told: list[dict[str, Any]] = []
        while [line.get("event", {}).get("data") for line in told][-1:] != [{"n": 2}]:
            told.append(json.loads(shown.readline()))
        restored(server, tmp_path / "one.mdb")
        assert json.loads(shown.readline()) == {"kind": "snapshot"}
        anew = [json.loads(shown.readline()) for _ in range(2)]
        assert sorted((line["kind"], line.get("event", {}).get("data")) for line in anew) == [
            ("bucket", None),
            ("event", {"n": 1}),
        ]
        record(server, 3)
        assert json.loads(shown.readline())["event"]["data"] == {"n": 3}
        assert any("was restored" in said.readline() for _ in range(2))


def test_somebody_who_watches_goes_on_with_what_happens(server: Server, tmp_path: Path) -> None:
    """Without --since nobody has asked for what was recorded before."""
    with tailing(server) as (shown, said):
        wait_for_follower(server)
        record(server, 3)
        assert '"n":3' in shown.readline()
        restored(server, tmp_path / "one.mdb")
        while "was restored" not in said.readline():
            pass
        wait_for_follower(server)
        record(server, 4)
        assert '"n":4' in shown.readline()


def wait_for_follower(server: Server) -> None:
    while b"\nawlog_feed_followers 1" not in server.request("GET", "/metrics").body:
        pass


def test_a_program_that_asks_for_a_few_at_a_time_gets_through_the_beginning(server: Server, tmp_path: Path) -> None:
    """After a restore too, where the numbers that it is at on the way are those of a history that is no more."""
    restored(server, tmp_path / "one.mdb")
    for n in (3, 4, 5):
        record(server, n)
    told: list[int] = []
    asked = "since=0"
    while True:
        lines = server.request("GET", f"/api/0/changes?limit=1&{asked}").body.splitlines()
        *news, position = map(json.loads, lines)
        if not news:
            break
        told += [line["event"]["data"]["n"] for line in news if line["kind"] == "event"]
        asked = f"since={position['change']}&known_from={position.get('known_from', 0)}"
    assert told == [1, 3, 4, 5]


@pytest.mark.parametrize("words", [["--once"], ["--once", "--json"]])
def test_once_from_a_number_that_was_never_given_shows_all(server: Server, words: list[str]) -> None:
    """And ends."""
    done = awlog("tail", "--url", server.url, "--since", "999999", *words)
    assert done.returncode == 0
    assert "Beginning anew" in done.stderr
    assert [f'"n":{n}' in done.stdout for n in (1, 2, 3)] == [True, True, False]
