"""The real Python server of ActivityWatch records; its database comes in whole, and answers as it did.

The server is the package from PyPI in a virtual environment of its own, made once (20 s), by the same code that
the benchmarks make it with.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from awlog.model.times import format_timestamp, parse_timestamp
from benchmarks import desktop_query
from benchmarks.generator import SEED
from benchmarks.history import History, create_buckets, insert, make
from benchmarks.peer_environment import python_of_peer
from benchmarks.rest import Address, ask, bucket_path, get
from benchmarks.servers import AwServer, OwnProcess
from tests.moving_in.stores import canonical, contents, imported, rows, settings
from tests.server import Server

DAYS = 2
ODD = "odd_bücket"
MINUTE_US = 60_000_000


class Recorded:
    """A running aw-server with a history: two days of a person, an odd bucket, a heartbeat that still grows, settings."""

    def __init__(self, contestant: AwServer, home: Path) -> None:
        self.home = home
        self.history: History = make(DAYS, SEED)
        self.process: OwnProcess = contestant.start_on(home)
        at = self.address = self.process.address
        create_buckets(at)
        insert(at, self.history)
        _post(at, f"/api/0/buckets/{ODD}", {"client": "c", "type": "odd", "hostname": "h"})
        self.odd: list[dict[str, Any]] = [
            {"timestamp": "2023-05-01T10:00:00.123000+00:00", "duration": 1.5, "data": {"nested": [1, {"a": None}]}},
            {"timestamp": "2023-05-01T10:00:00.123000+00:00", "duration": 1.5, "data": {"nested": [1, {"a": None}]}},
            {"timestamp": "1969-12-31T23:00:00+00:00", "duration": 0, "data": {"emoji": "🎉", "half": "\ud83d"}},
            {"timestamp": "2023-05-01T12:00:00+02:00", "duration": 86399.999, "data": {"true": True, "one": 1.0}},
        ]
        _post(at, f"/api/0/buckets/{ODD}/events", self.odd)
        self.beat(at_s=0)
        self.settings = {
            "classes": [{"name": ["Work"], "rule": {"type": "regex", "regex": "x"}}],
            "startOfDay": "04:00",
        }
        # The version at PyPI has no settings yet; later ones keep them here.
        file = home / ".config" / "activitywatch" / "aw-server" / "settings.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.settings, indent=4))
        self.database = contestant.database(home)

    def beat(self, at_s: int) -> None:
        beat = {"timestamp": f"2023-06-01T10:00:{at_s:02}+00:00", "duration": 0, "data": {"grows": 1}}
        _post(self.address, f"/api/0/buckets/{ODD}/heartbeat?pulsetime=60", beat)

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "AW_"))}
        return {**kept, "HOME": str(self.home)}


def _post(at: Address, path: str, body: Any) -> None:
    ask(at, "POST", path.replace("ü", "%C3%BC"), json.dumps(body).encode())


@pytest.fixture(scope="module")
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    assert request.config.cache is not None
    python = python_of_peer(request.config.cache.mkdir("peer"))
    there = Recorded(AwServer(tmp_path_factory.mktemp("scratch"), python), tmp_path_factory.mktemp("home") / "aw")
    yield there
    there.process.stop()


@pytest.fixture(scope="module")
def data_dir(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store into which the database was imported while its server ran."""
    where = tmp_path_factory.mktemp("awlog") / "data"
    files = sorted(path.name for path in recorded.database.parent.iterdir())
    table = rows(imported("--from-activitywatch", "--data-dir", where, env=recorded.env))
    expected = {desktop_query.BUCKETS[name]: len(events) for name, events in recorded.history.items()}
    expected[ODD] = len(recorded.odd) + 1
    assert {bucket: cells[:5] for bucket, cells in table.items()} == {
        bucket: [f"{count:,}", f"{count:,}", "0", "0", "0"] for bucket, count in expected.items()
    }
    assert sorted(path.name for path in recorded.database.parent.iterdir()) == files
    return where


@pytest.fixture(scope="module")
def awlog_server(data_dir: Path) -> Iterator[Server]:
    with Server(data_dir) as server:
        yield server


def test_every_event_is_there_as_it_was_sent(recorded: Recorded, data_dir: Path) -> None:
    """To the microsecond, copies and odd texts included; settings come from the server's own file."""
    stored = contents(data_dir)
    for name, events in recorded.history.items():
        expected = [
            (event.start_ms * 1000, event.duration_ms * 1000, canonical(json.loads(event.data))) for event in events
        ]
        assert sorted(stored[desktop_query.BUCKETS[name]].elements()) == sorted(expected)
    odd = [
        (parse_timestamp(event["timestamp"]), round(event["duration"] * 1e6), canonical(event["data"]))
        for event in recorded.odd
    ]
    odd = [(start, duration, data.replace("\ud83d", "\ufffd")) for start, duration, data in odd]
    assert sorted(stored[ODD].elements()) == sorted([*odd, (1685613600_000000, 0, '{"grows":1}')])
    assert settings(data_dir) == recorded.settings


def test_random_range_reads_give_what_the_source_gives(recorded: Recorded, awlog_server: Server) -> None:
    """200 of them, within its precision: it cuts at the end of a range a millisecond later."""
    rng = random.Random(6)
    first_us = 1000 * min(events[0].start_ms for events in recorded.history.values())
    for _, bucket in zip(range(200), itertools.cycle(desktop_query.BUCKETS.values()), strict=False):
        start = (first_us + rng.randrange(DAYS * 1440) * MINUTE_US) // 1000 * 1000 + rng.randrange(1000) * 1000
        end = start + rng.randrange(1, 180) * MINUTE_US
        query = f"/events?start={_wire(start)}&end={_wire(end)}&limit=-1"
        theirs = _shown(get(recorded.address, bucket_path(bucket) + query), start, end)
        ours = _shown(awlog_server.request("GET", bucket_path(bucket) + query).json(), start, end)
        assert [each[:2] for each in ours] == [each[:2] for each in theirs]
        assert [each[2] for each in ours] == pytest.approx([each[2] for each in theirs], abs=1)


def _wire(micros: int) -> str:
    return format_timestamp(micros).replace("+", "%2B")


def _shown(events: list[dict[str, Any]], start_us: int, end_us: int) -> list[tuple[int, str, int]]:
    """Start, data and duration, in milliseconds; without those that only touch the range, which that server gives or not."""
    shown = []
    for event in events:
        at, duration = parse_timestamp(event["timestamp"]), round(event["duration"] * 1e6)
        if at < end_us and (duration or at > start_us):
            shown.append((round(at / 1000), canonical(event["data"]), round(duration / 1000)))
    return sorted(shown)


def test_the_desktop_query_gives_what_the_source_gives(recorded: Recorded, awlog_server: Server) -> None:
    """Titles, apps and categories of two days, and of each of them."""
    first_ms = min(events[0].start_ms for events in recorded.history.values())
    day_ms = 86_400_000
    periods = [
        (first_ms, first_ms + day_ms),
        (first_ms + day_ms, first_ms + 2 * day_ms),
        (first_ms, first_ms + 2 * day_ms),
    ]
    body = desktop_query.body(periods)
    here = Address(awlog_server.host, awlog_server.port)
    theirs = desktop_query.totals(desktop_query.send(recorded.address, body, timeout_s=120))
    ours = desktop_query.totals(desktop_query.send(here, body, timeout_s=120))
    for of_theirs, of_ours in zip(theirs, ours, strict=True):
        assert of_ours.keys() == of_theirs.keys()
        assert of_ours == pytest.approx(of_theirs, abs=desktop_query.TOLERANCE_S)


def test_importing_again_later_brings_only_what_has_come_since(recorded: Recorded, awlog_server: Server) -> None:
    """By its URL, by its file, and by the file when the server has ended; through the server that records here meanwhile.

    The event that was growing is stored once, as long as it is now. The file and what lies beside it stay as they are.
    """
    total = sum(contents(awlog_server.data_dir)[ODD].values())
    recorded.beat(at_s=30)
    again = rows(
        imported(f"http://{recorded.address.host}:{recorded.address.port}", "--data-dir", awlog_server.data_dir)
    )
    assert again[ODD][:5] == [str(total), "0", str(total - 1), "1", "0"]
    assert {cells[1] for cells in again.values()} == {"0"}
    again = rows(imported(recorded.database, "--data-dir", awlog_server.data_dir))
    assert again[ODD][:5] == [str(total), "0", str(total), "0", "0"]
    recorded.process.stop()
    before = {
        path.name: path.read_bytes() for path in recorded.database.parent.iterdir() if not path.name.endswith("-shm")
    }
    again = rows(imported("--from-activitywatch", "--data-dir", awlog_server.data_dir, env=recorded.env))
    assert {cells[1] for cells in again.values()} == {"0"}
    after = {
        path.name: path.read_bytes() for path in recorded.database.parent.iterdir() if not path.name.endswith("-shm")
    }
    assert after == before
    grown = [event for event in contents(awlog_server.data_dir)[ODD].elements() if "grows" in event[2]]
    assert grown == [(1685613600_000000, 30_000_000, '{"grows":1}')]
