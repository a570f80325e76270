"""Databases of ActivityWatch's Rust server, of every version that its tables are documented for."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from awlog.model.times import parse_timestamp
from tests.moving_in.databases import RustEvent, rust_database
from tests.moving_in.stores import awlog, canonical, contents, imported, rows, settings
from tests.server import Server

SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS


def some_events(count: int, seed: int) -> list[RustEvent]:
    """In order of time, with times that only nanoseconds can tell."""
    rng = random.Random(seed)
    return [
        (start_ns, start_ns + rng.randrange(50 * SECOND_NS), canonical({"app": f"a{rng.randrange(9)}", "n": place}))
        for place in range(count)
        for start_ns in [START_NS + place * 60 * SECOND_NS + rng.randrange(SECOND_NS)]
    ]


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6])
def test_every_version_of_the_tables_comes_in_whole(tmp_path: Path, version: int) -> None:
    """The table says so, and the store holds each event: starts cut to the microsecond, durations rounded to it."""
    windows, afk = some_events(700, 1), some_events(50, 2)
    settings_there = {"classes": [{"name": ["Work"]}], "views": []} if version >= 4 else {}
    database = rust_database(tmp_path / "sqlite.db", version, {"window": windows, "afk": afk}, settings_there)
    table = imported(database, "--data-dir", tmp_path / "data")
    assert rows(table)["window"][:5] == ["700", "700", "0", "0", "0"]
    assert rows(table)["window"][-1] == "ok"
    stored = contents(tmp_path / "data")
    for bucket_id, events in (("window", windows), ("afk", afk)):
        expected = {(start // 1000, (end - start + 500) // 1000, data) for start, end, data in events}
        assert set(stored[bucket_id]) == expected
        assert stored[bucket_id].total() == len(events)
    assert settings(tmp_path / "data") == settings_there


def test_a_file_without_tables_is_an_empty_source(tmp_path: Path) -> None:
    """Version 0: the server was started, and ended before it had made them. That is said, and is no success."""
    database = rust_database(tmp_path / "sqlite.db", 0, {})
    done = awlog("import", database, "--data-dir", tmp_path / "data")
    assert (done.returncode, "No bucket was found" in done.stdout) == (1, True)


def test_random_range_reads_give_the_events_of_the_source(tmp_path: Path) -> None:
    """200 of them, also through events that last longer than a day, cut to the range as that server cuts them."""
    events = [*some_events(2000, 3), (START_NS, START_NS + 100_000 * SECOND_NS, '{"app":"long"}')]
    database = rust_database(tmp_path / "sqlite.db", 5, {"window": events})
    imported(database, "--data-dir", tmp_path / "data")
    micros = [(start // 1000, start // 1000 + (end - start + 500) // 1000, data) for start, end, data in events]
    rng = random.Random(4)
    with Server(tmp_path / "data") as server:
        for _ in range(200):
            start = START_NS // 1000 + rng.randrange(2000 * 60_000_000)
            end = start + rng.randrange(1, 7_200_000_000)
            expected = sorted(
                (max(first, start), min(last, end), data)
                for first, last, data in micros
                if last >= start and first <= end
            )
            path = f"/api/0/buckets/window/events?start={_iso(start)}&end={_iso(end)}"
            answer = server.request("GET", path).json()
            read = [(parse_timestamp(each["timestamp"]), each["duration"], canonical(each["data"])) for each in answer]
            assert sorted((at, at + round(seconds * 1e6), data) for at, seconds, data in read) == expected


def test_what_cannot_be_an_event_is_counted_with_its_reason(tmp_path: Path) -> None:
    """The rest comes in; the exit status is 1, so that nobody overlooks it. A time that runs backwards becomes 0."""
    good = (START_NS, START_NS + SECOND_NS, '{"app":"a"}')
    bad = [
        (START_NS, START_NS, "no json"),
        (START_NS, START_NS, "[1]"),
        (START_NS, START_NS, '{"n":1e999}'),
        (START_NS, START_NS - SECOND_NS, '{"app":"back"}'),
    ]
    database = rust_database(tmp_path / "sqlite.db", 5, {"window": [good, *bad]})
    done = awlog("import", database, "--data-dir", tmp_path / "data")
    assert done.returncode == 1
    assert rows(done.stdout)["window"][:5] == ["5", "2", "0", "0", "3"]
    assert "2 refused: Malformed JSON" in done.stdout
    assert "1 refused: `data` must be a JSON object" in done.stdout
    assert "1 with a duration below zero" in done.stdout
    assert contents(tmp_path / "data")["window"].total() == 2


def _iso(micros: int) -> str:
    from awlog.model.times import format_timestamp

    return format_timestamp(micros).replace("+", "%2B")


def test_events_come_in_as_the_privacy_filters_leave_them(tmp_path: Path) -> None:
    """Those of the source too, which come along; a second import finds the redacted events and doubles none."""
    rules = [
        {"enabled": True, "pattern": "secret", "action": "drop", "field": "app"},
        {"enabled": True, "pattern": "name", "action": "redact", "field": "app", "replacement": "X"},
    ]
    apps = ["secret", "name", "tea"]
    events = [(START_NS + n, START_NS + SECOND_NS, canonical({"app": app})) for n, app in enumerate(apps)]
    database = rust_database(tmp_path / "sqlite.db", 5, {"window": events}, {"privacy_filters": rules})
    first = imported(database, "--data-dir", tmp_path / "data")
    assert rows(first)["window"][:5] == ["3", "2", "0", "0", "0"]
    assert "1 dropped by this server's privacy filters" in first
    again = rows(imported(database, "--data-dir", tmp_path / "data"))
    assert again["window"][:5] == ["3", "0", "2", "0", "0"]
    assert sorted(data for _, _, data in contents(tmp_path / "data")["window"]) == ['{"app":"X"}', '{"app":"tea"}']


def test_settings_come_in_as_they_would_by_the_api(tmp_path: Path) -> None:
    """However their JSON is written; what is no setting here is named, and what is set here stays."""
    database = rust_database(tmp_path / "sqlite.db", 5, {}, {"views": [{"b": 1, "a": 2}], "none": None, "k" * 128: 1})
    writer = sqlite3.connect(database)
    with writer:
        writer.execute("INSERT INTO key_value VALUES ('settings.broken', '{\"a\":', 0), ('other', '1', 0)")
    writer.close()
    first = imported(database, "--data-dir", tmp_path / "data")
    assert "settings imported: none, views" in first
    assert f"refused, as this server cannot keep them: broken, {'k' * 47}…" in first
    assert settings(tmp_path / "data") == {"views": [{"a": 2, "b": 1}]}
    assert "there already, with the same value: views" in imported(database, "--data-dir", tmp_path / "data")
