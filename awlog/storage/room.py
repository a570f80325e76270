"""Is the disk full?"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import lmdb

from awlog.model.errors import InsufficientStorage, Unavailable

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_TEXTS: Final = tuple(os.strerror(code) for code in _FULL)
# On a full disk LMDB's commit fails as EIO as often as with ENOSPC; less free space than this is taken for the cause.
_FULL_BELOW_BYTES: Final = 1 << 20


def is_full(error: Exception, folder: Path) -> bool:
    """Did a write in this folder fail for want of room: of the disk, a quota, or the greatest length of a file?"""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(text in str(error) for text in _FULL_TEXTS) or free_bytes(folder) < _FULL_BELOW_BYTES


@contextmanager
def told_as_ours(folder: Path) -> Iterator[None]:
    """Errors of the disk, while something new is made in this folder, as InsufficientStorage and Unavailable."""
    try:
        yield
    except lmdb.Error as error:
        kind = InsufficientStorage if is_full(error, folder) else Unavailable
        raise kind(f"{folder}: {error}. Nothing was changed.") from error
    except OSError as error:
        kind = InsufficientStorage if is_full(error, folder) else Unavailable
        raise kind(f"{error.filename or folder}: {error.strerror or error}. Nothing was changed.") from error


def free_bytes(folder: Path) -> int:
    """What is free on the disk of this folder; a great number if that cannot be told. About 2 µs."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 1 << 62
