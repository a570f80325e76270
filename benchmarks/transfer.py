"""Workload `transfer`: moving in and out.

`awlog import` of a database as ActivityWatch's Python server writes it, the same with everything there already, and
`awlog export` in each form; each is a process of its own, measured from its start to its end.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypedDict

from benchmarks.generator import window_events
from benchmarks.progress import say
from benchmarks.servers import CannotMeasure
from benchmarks.settings import Settings

_ROOT: Final = Path(__file__).parents[1]
_FORMS: Final = ("json", "ndjson", "csv", "arrow", "parquet")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TABLES: Final = """
CREATE TABLE bucketmodel (key INTEGER PRIMARY KEY, id TEXT, created TEXT, name TEXT, type TEXT, client TEXT, hostname TEXT,
    datastr TEXT);
CREATE TABLE eventmodel (id INTEGER PRIMARY KEY, bucket_id INTEGER, timestamp TEXT, duration REAL, datastr TEXT);
CREATE INDEX eventmodel_bucket_id_timestamp ON eventmodel (bucket_id, timestamp);
INSERT INTO bucketmodel VALUES (1, 'window', '2023-01-01 00:00:00+00:00', NULL, 'currentwindow', 'w', 'h', '{}');
"""


class Case(TypedDict):
    """One process: `peak_mib` is the most that was resident, pages of the store's map among it."""

    name: str
    events: int
    seconds: float
    cpu_s: float
    peak_mib: float
    written_bytes: int


def measure(settings: Settings) -> list[Case]:
    """Raises CannotMeasure if a command fails, or a table says that something is missing."""
    folder = settings.scratch / "transfer"
    folder.mkdir(parents=True, exist_ok=True)
    count = settings.transfer_events
    say(f"{count:,} events to move in and out")
    database = folder / "peewee-sqlite.v2.db"
    _write(database, count, settings.seed)
    where = ["--data-dir", str(folder / "data")]
    cases = [
        _case("import of a SQLite file", count, ["import", str(database), *where], folder / "data" / "data.mdb"),
        _case("the same again: all is there", count, ["import", str(database), *where], None),
    ]
    for form in _FORMS:
        file = folder / f"out.{form}"
        cases.append(_case(f"export, {form}", count, ["export", *where, "--format", form, "-o", str(file)], file))
        file.unlink()
    return cases


def _case(name: str, count: int, arguments: list[str], written: Path | None) -> Case:
    began_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "awlog", *arguments],
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began_s
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise CannotMeasure(
            f"awlog {arguments[0]} ended with {process.returncode}: {said[-300:].decode(errors='replace')}"
        )
    return Case(
        name=name,
        events=count,
        seconds=seconds,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_mib=usage.ru_maxrss / 1024,
        written_bytes=written.stat().st_size if written else 0,
    )


def _write(path: Path, count: int, seed: int) -> None:
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path)
    try:
        database.executescript(_TABLES)
        texts: dict[bytes, str] = {}
        with database:
            database.executemany(
                "INSERT INTO eventmodel (bucket_id, timestamp, duration, datastr) VALUES (1, ?, ?, ?)",
                (
                    (
                        (_EPOCH + timedelta(milliseconds=event.start_ms)).isoformat(" "),
                        event.duration_ms / 1000,
                        texts.get(event.data) or texts.setdefault(event.data, json.dumps(json.loads(event.data))),
                    )
                    for event in window_events(count, seed)
                ),
            )
    finally:
        database.close()
