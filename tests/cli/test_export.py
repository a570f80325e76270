"""`awlog export` where what is written to is no file, or is full."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import pytest

from tests.moving_in.stores import awlog

LINE: Final = '{"timestamp": "2024-05-01T10:00:00Z", "duration": 1, "data": {"app": "vim"}}\n'

# Stays at its first piece.
_SLOW_EXPORT: Final = """
import sys, time
from awlog.cli import export
from awlog.cli.main import main

def slow_document(*arguments):
    for piece in document(*arguments):
        yield piece
        print("writing", file=sys.stderr, flush=True)
        time.sleep(60)

document, export.document = export.document, slow_document
main()
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "in.ndjson").write_text(LINE)
    assert awlog("import", tmp_path / "in.ndjson", "--data-dir", tmp_path / "data").returncode == 0
    return tmp_path / "data"


def test_a_pipe_is_written_to_and_stays_one_also_by_force(data_dir: Path, tmp_path: Path) -> None:
    """Put aside and renamed, a file would take the place of the pipe, or of a device."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reading = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reading.start()
    done = awlog("export", "--data-dir", data_dir, "--format", "ndjson", "--bucket", "imported", "-o", pipe, "--force")
    assert done.returncode == 0, done.stderr
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    reading.join(20)
    assert json.loads(read[0])["data"] == {"app": "vim"}


def test_an_output_that_is_full_is_told_in_one_line(data_dir: Path) -> None:
    command = [sys.executable, "-m", "awlog", "export", "--data-dir", str(data_dir)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == "Error: The output cannot be written: No space left on device"


@pytest.mark.parametrize(
    ("number", "status", "says"), [(signal.SIGTERM, 143, "SIGTERM"), (signal.SIGINT, 1, "Aborted")]
)
def test_an_export_that_is_ended_leaves_nothing_beside_the_old_file(
    data_dir: Path, tmp_path: Path, number: signal.Signals, status: int, says: str
) -> None:
    """By a signal, when some of the new file has been written."""
    output = tmp_path / "out" / "all.json"
    output.parent.mkdir()
    output.write_text("before")
    words = ["export", "--data-dir", str(data_dir), "-o", str(output), "--force"]
    process = subprocess.Popen([sys.executable, "-c", _SLOW_EXPORT, *words], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        assert process.stderr.readline() == "writing\n"
        assert len(list(output.parent.iterdir())) == 2
        process.send_signal(number)
        said = process.communicate(timeout=20)[1]
    finally:
        process.kill()
    assert (process.returncode, says in said, "Traceback" in said) == (status, True, False)
    assert [(path.name, path.read_text()) for path in output.parent.iterdir()] == [("all.json", "before")]


def test_what_breaks_off_leaves_the_old_file_and_nothing_beside_it(data_dir: Path, tmp_path: Path) -> None:
    """No room for a file that is longer than so many bytes."""
    output = tmp_path / "out" / "all.json"
    output.parent.mkdir()
    output.write_text("before")
    limited = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)); "
    limited += "from awlog.cli.main import main; sys.argv[0] = 'awlog'; main()"
    words = ["export", "--data-dir", str(data_dir), "-o", str(output), "--force"]
    done = subprocess.run([sys.executable, "-c", limited, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == f"Error: {output} cannot be written: File too large"
    assert output.read_text() == "before"
    assert [each.name for each in output.parent.iterdir()] == ["all.json"]
