"""One owner per data directory: a lock that ends with its process, however that ends."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from awlog.model.errors import CannotStart

LOCK_FILE = "awlog.lock"


class DirectoryLock:
    """Holds `awlog.lock` in a data directory for as long as this process lives, and writes its pid there.

    The file stays when the lock is let go: removing it would let two owners lock two files of one name.
    """

    def __init__(self, data_dir: Path) -> None:
        """Takes the lock. Raises CannotStart, which names the owner's pid, if another process holds it."""
        path = data_dir / LOCK_FILE
        try:
            self._descriptor = _opened(path)
        except OSError as error:
            raise CannotStart(f"{path} cannot be opened: {error.strerror}. Nothing was touched.") from error
        try:
            _lock(self._descriptor)
        except OSError:
            owner = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise CannotStart(
                f"Another awlog server (process {owner}) is using {data_dir}. "
                "Nothing was touched: stop that one first, or choose another directory with --data-dir."
            ) from None
        with suppress(OSError):  # on a full disk: nobody then sees whose lock it is, but it holds
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> DirectoryLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def _opened(path: Path) -> int:
    """Raises OSError, also if the file system is read-only and the file is not there."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # it can be locked all the same


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        # A byte far behind the pid, so that others can still read who owns it.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
