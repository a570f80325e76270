"""What a store holds, and `awlog` as a shell runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from awlog.model.times import TIME_MAX_US, TIME_MIN_US
from awlog.storage.check import check
from awlog.storage.environment import Environment
from awlog.storage.live_view import LiveView

Stored = tuple[int, int, str]
"""Start and duration in µs, and `data` as canonical JSON."""


def awlog(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "awlog", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def imported(*arguments: object, env: dict[str, str] | None = None) -> str:
    """What a successful import prints."""
    done = awlog("import", *arguments, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rows(table: str) -> dict[str, list[str]]:
    """The cells of the table's lines by bucket: in source, imported, identical, extended, refused, ..., the verdict."""
    return {line.split()[0]: line.split()[1:] for line in table.splitlines() if line.endswith(("ok", "DIFFERS"))}


def contents(data_dir: Path) -> dict[str, Counter[Stored]]:
    """The events of each bucket; the store is checked on the way."""
    environment = Environment(data_dir, read_only=True)
    try:
        assert check(environment).problems == []
        with LiveView(environment, 0).now() as view:
            return {
                bucket.id: Counter(
                    (event.start_us, event.duration_us, event.payload.decode())
                    for columns in view.chunks(bucket.number, TIME_MIN_US, TIME_MAX_US, None)
                    for event in columns.events()
                )
                for bucket in view.buckets()
            }
    finally:
        environment.close()


def settings(data_dir: Path) -> dict[str, Any]:
    environment = Environment(data_dir, read_only=True)
    try:
        with LiveView(environment, 0).now() as view:
            return {key: json.loads(value) for key, value in view.settings().items()}
    finally:
        environment.close()


def canonical(data: object) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
