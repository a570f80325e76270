"""Command lines that put strace in front of a server, or attach it to one that runs; and the end of its record.

`strace -D` makes the server the child that the tests know, and the tracer its grandchild: signals and exit statuses are
the server's own. The record is complete when its last line says how the server ended.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

from tests.faults.trace import TRACED

WHOLE_PAYLOADS = 4_000_000


def recorded(record: Path, *inject: str, payload_bytes: int = 64, calls: frozenset[str] = TRACED) -> tuple[str, ...]:
    """The wrapper that records `calls` of a server; `inject`: strace's injections (`fdatasync:error=EIO:when=3+4`)."""
    return (
        "strace", "-D", "-f", "-yy", "-xx", "-s", str(payload_bytes), "-o", str(record),
        "-e", f"trace={','.join('?' + name for name in sorted(calls))}", "-e", "signal=none",
        *(part for injection in inject for part in ("-e", f"inject={injection}")),
    )  # fmt: skip


def wait_for_end(record: Path, process: int, timeout_s: float = 60.0) -> None:
    """Returns when the tracer has written how `process` ended. Raises AssertionError if it never does."""
    deadline = time.monotonic() + timeout_s
    while True:
        tail = record.read_bytes()[-20_000:].decode(errors="replace")
        if any(line.split()[:1] == [str(process)] and "+++" in line for line in tail.splitlines()):
            return
        assert time.monotonic() < deadline, f"the record does not say how {process} ended:\n{tail[-500:]}"
        time.sleep(0.02)


class Attached:
    """strace attached to a running server for as long as the block lasts, with injections at work on one file, or all."""

    def __init__(self, process: int, record: Path, file: Path | None, *inject: str, payload_bytes: int = 64) -> None:
        self.process, self.record = process, record
        calls = sorted({injection.partition(":")[0] for injection in inject})
        self.command = [
            "strace", "-f", "-yy", "-xx", "-s", str(payload_bytes), "-o", str(record), "-p", str(process),
            *(() if file is None else ("-P", str(file))),
            "-e", f"trace={','.join('?' + name for name in calls)}", "-e", "signal=none",
            *(part for injection in inject for part in ("-e", f"inject={injection}")),
        ]  # fmt: skip
        self.tracer: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Attached:
        self.tracer = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not all(_tracer_of(thread) == self.tracer.pid for thread in _threads(self.process)):
            assert self.tracer.poll() is None, f"strace ended with {self.tracer.returncode}"
            assert time.monotonic() < deadline, "strace does not attach"
            time.sleep(0.01)
        return self

    def wait_until_held(self) -> None:
        """Returns when a `delay_enter` holds a thread of the server: it is in a tracing stop, look after look."""
        deadline = time.monotonic() + 30
        looks: Counter[str] = Counter()
        while not looks or max(looks.values()) < 5:
            assert time.monotonic() < deadline, "no thread of the server is held"
            time.sleep(0.01)
            held = {thread.name for thread in _threads(self.process) if _state_of(thread) == "t"}
            looks = Counter({name: looks[name] + 1 for name in held})

    def __exit__(self, *exc: object) -> None:
        assert self.tracer is not None
        if self.tracer.poll() is None:
            self.tracer.send_signal(signal.SIGTERM)
        try:
            self.tracer.wait(30)
        except subprocess.TimeoutExpired:  # a thread it holds has died: without its tracer the process can end
            self.tracer.kill()
            self.tracer.wait()
            raise


def _threads(process: int) -> list[Path]:
    return list(Path(f"/proc/{process}/task").iterdir())


def _state_of(thread: Path) -> str:
    """One letter; "t" is a tracing stop. Of a thread that has ended, "X"."""
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def _tracer_of(thread: Path) -> int:
    status = (thread / "status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("TracerPid:"))
