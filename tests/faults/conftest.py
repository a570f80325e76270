"""Seeds and figures of the fault tests: every run shows its seeds and what it counted, whether it passes or fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom

import pytest

_notes: list[str] = []

Note = Callable[[str], None]


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Shows a line at the end of the test run, and beside the test's failure."""

    def add(text: str) -> None:
        _notes.append(f"{request.node.name}: {text}")
        request.node.add_report_section("call", "note", text)

    return add


@pytest.fixture
def seed(note: Note) -> int:
    """A new one for every test and run; AWLOG_TEST_SEED repeats one."""
    chosen = int(os.environ.get("AWLOG_TEST_SEED") or SystemRandom().randrange(10**9))
    note(f"AWLOG_TEST_SEED={chosen}")
    return chosen


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _notes:
        terminalreporter.section("faults")
        for text in _notes:
            terminalreporter.write_line(text)


def awlog(*args: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """One awlog command, run to its end."""
    command = [sys.executable, "-m", "awlog", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def verify(data_dir: Path) -> None:
    """Raises AssertionError if `awlog verify` finds anything wrong."""
    done = awlog("verify", "--data-dir", str(data_dir))
    assert done.returncode == 0, f"awlog verify: exit status {done.returncode}\n{done.stdout}\n{done.stderr}"


def digest(data_dir: Path) -> str:
    """Of the whole logical state: equal for equal state. Works beside a running server."""
    done = awlog("verify", "--digest", "--data-dir", str(data_dir))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def segment_count(data_dir: Path) -> int:
    """How many sealed segments a store holds."""
    done = awlog("stats", "--json", "--data-dir", str(data_dir))
    assert done.returncode == 0, done.stderr
    return sum(bucket["segments"] for bucket in json.loads(done.stdout)["buckets"])


class StartTimes:
    """How long starts took, from the spawn of the process to its first answer. Told, never asserted."""

    def __init__(self) -> None:
        self.taken_s: list[float] = []

    def measure(self, start: Callable[[], object]) -> None:
        begun = time.monotonic()
        start()
        self.taken_s.append(time.monotonic() - begun)

    def __str__(self) -> str:
        ordered = sorted(self.taken_s)
        return f"{len(ordered)} starts, median {ordered[len(ordered) // 2]:.2f} s, longest {ordered[-1]:.2f} s"
