"""R6: one owner a data directory. The lock ends with its process, however that ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from awlog.model.errors import CannotStart
from awlog.storage.lock import LOCK_FILE, DirectoryLock

HOLDS = """
import sys
from pathlib import Path
from awlog.storage.lock import DirectoryLock
with DirectoryLock(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""

# The child that rehearses waits for the end of stdin too: it lives on when its parent is killed.
REHEARSES = """
import sys
from pathlib import Path
from awlog.storage.lock import DirectoryLock
from awlog.storage.rehearsal import rehearse
def read():
    print("locked", flush=True)
    sys.stdin.read()
with DirectoryLock(Path(sys.argv[1])) as lock:
    rehearse(Path(sys.argv[1]), read, let_go=lock.release)
"""


@contextmanager
def owner(data_dir: Path, program: str = HOLDS) -> Iterator[subprocess.Popen[str]]:
    """A process that owns the directory until its stdin is closed or it is killed."""
    command = [sys.executable, "-c", program, str(data_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()


def test_a_second_owner_is_refused_and_told_who_the_first_is(tmp_path: Path):
    """By another process: its pid, the directory and what to do are in the message."""
    with owner(tmp_path) as first:
        with pytest.raises(CannotStart, match=rf"process {first.pid}\b") as refused:
            DirectoryLock(tmp_path)
        assert str(tmp_path) in str(refused.value)
        assert "--data-dir" in str(refused.value)
        assert first.poll() is None, "the first does not notice"
        with pytest.raises(CannotStart):
            DirectoryLock(tmp_path)
    DirectoryLock(tmp_path).release()


def test_a_refused_second_owner_touches_nothing(tmp_path: Path):
    with DirectoryLock(tmp_path):
        before = (tmp_path / LOCK_FILE).read_bytes()
        with pytest.raises(CannotStart):
            DirectoryLock(tmp_path)
        assert (tmp_path / LOCK_FILE).read_bytes() == before == f"{os.getpid()}\n".encode()
        assert sorted(path.name for path in tmp_path.iterdir()) == [LOCK_FILE]


def test_death_of_the_owner_lets_the_lock_go(tmp_path: Path):
    """SIGKILL: nothing had time to tidy up, and the next start needs no help."""
    with owner(tmp_path) as first:
        first.kill()
        first.wait()
        with DirectoryLock(tmp_path):
            assert (tmp_path / LOCK_FILE).read_text() == f"{os.getpid()}\n"


def test_death_of_the_owner_while_a_child_rehearses_lets_the_lock_go(tmp_path: Path):
    """The child that lives a little longer does not hold the directory."""
    with owner(tmp_path, REHEARSES) as first:
        first.kill()
        first.wait()
        DirectoryLock(tmp_path).release()


def test_a_longer_pid_of_the_owner_before_leaves_nothing(tmp_path: Path):
    (tmp_path / LOCK_FILE).write_text("99999999999\n")
    with DirectoryLock(tmp_path):
        assert (tmp_path / LOCK_FILE).read_text() == f"{os.getpid()}\n"


def test_the_lock_file_stays(tmp_path: Path):
    """Removing it would let two owners lock two files of one name."""
    DirectoryLock(tmp_path).release()
    assert (tmp_path / LOCK_FILE).exists()


def test_the_lock_is_not_inherited_by_programs_that_are_started(tmp_path: Path):
    """A long-lived helper must not keep the directory after the server's end."""
    with DirectoryLock(tmp_path):
        helper = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        DirectoryLock(tmp_path).release()
    finally:
        assert helper.stdin is not None
        helper.stdin.close()
        helper.wait()
