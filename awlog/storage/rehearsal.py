"""Reading a store first in a child process, whose death can be reported.

LMDB has no page checksums: a zeroed page ends the process with SIGABRT, a file that was cut short with SIGBUS, and
Python catches neither. So a child does all the reading that a start does; if that kills it, the server says so.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from awlog.model.errors import AwlogError, CannotStart


class DiedApart(Exception):
    """What was run in a child failed, or ended the child; the text is the cause, in words."""


def run_apart(work: Callable[[], bytes], *, let_go: Callable[[], object] = lambda: None) -> bytes:
    """Runs `work` in a forked child and gives what it returns. Raises DiedApart if it fails or dies.

    `let_go` closes, in the child, what it inherited and must not keep if the parent is killed meanwhile: lock and sockets.
    Call it while there is one thread and no event loop. Where there is no fork the work is done here.
    """
    if not hasattr(os, "fork"):
        try:
            return work()
        except AwlogError as error:
            raise DiedApart(str(error)) from error
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _run_child(let_go, work, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as said:
        answer = said.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        raise DiedApart(f"reading it ends a process with {signal.Signals(os.WTERMSIG(status)).name}")
    if os.WEXITSTATUS(status) != 0:
        raise DiedApart(answer.decode(errors="replace"))
    return answer


def rehearse(data_dir: Path, read: Callable[[], object], *, let_go: Callable[[], object] = lambda: None) -> None:
    """Does in a child what a start is about to do. Raises CannotStart with the cause if that fails. Costs one reading."""
    if not hasattr(os, "fork"):
        return

    def work() -> bytes:
        read()
        return b""

    try:
        run_apart(work, let_go=let_go)
    except DiedApart as died:
        raise CannotStart(
            f"The store in {data_dir} is damaged: {str(died).rstrip('.')}. Nothing was changed. `awlog verify --data-dir "
            f"{data_dir}` says what is whole, `awlog repair --data-dir {data_dir}` makes a new store of that; or restore a "
            "backup."
        ) from None


def _run_child(let_go: Callable[[], object], work: Callable[[], bytes], writer: int) -> None:
    """Never returns. Broad on purpose: whatever goes wrong here is what the parent has to say."""
    status = 1
    try:
        # LMDB's assertion writes to stderr before it aborts; the parent says it in a better way.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno() if sys.stderr else 2)
        let_go()
        _write_all(writer, work())
        status = 0
    except AwlogError as error:
        _write_all(writer, str(error).encode())
    except BaseException as error:  # noqa: BLE001
        _write_all(writer, f"{type(error).__name__}: {error}".encode()[:2000])
    finally:
        os._exit(status)


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
