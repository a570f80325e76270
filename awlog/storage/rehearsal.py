"""Opening a store first in a child process, whose death can be reported.

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


def rehearse(data_dir: Path, read: Callable[[], object], *, let_go: Callable[[], object] = lambda: None) -> None:
    """Runs `read` in a forked child. Raises CannotStart with the cause if the child fails or dies.

    `let_go` closes, in the child, what it inherited and must not keep if the server is killed meanwhile: lock and sockets.
    Call it while there is one thread and no event loop. Costs one more reading; where there is no fork it does nothing.
    """
    if not hasattr(os, "fork"):
        return
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _run_child(let_go, read, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as said:
        message = said.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        cause = f"reading it ends a process with {signal.Signals(os.WTERMSIG(status)).name}"
    elif os.WEXITSTATUS(status) != 0:
        cause = message
    else:
        return
    raise CannotStart(
        f"The store in {data_dir} is damaged: {cause}. Nothing was changed, and the server does not start, so that "
        f"nothing is made worse. Keep a copy of the directory, run `awlog verify --data-dir {data_dir}` to see what is "
        "whole, and restore a backup."
    )


def _run_child(let_go: Callable[[], object], read: Callable[[], object], writer: int) -> None:
    """Never returns. Broad on purpose: whatever goes wrong here is what the parent has to say."""
    status = 1
    try:
        # LMDB's assertion writes to stderr before it aborts; the parent says it in a better way.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno() if sys.stderr else 2)
        let_go()
        read()
        status = 0
    except AwlogError as error:
        os.write(writer, str(error).encode())
    except BaseException as error:  # noqa: BLE001
        os.write(writer, f"{type(error).__name__}: {error}".encode()[:2000])
    finally:
        os._exit(status)
