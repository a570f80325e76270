"""What the C library's `malloc` is told by a server."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Final

_ARENA_MAX: Final = -8  # glibc's M_ARENA_MAX


def use_one_arena() -> None:
    """Before there are threads. glibc gives each thread memory of its own, which it keeps, and what one thread has decoded
    here is let go by another: 230 MB of long texts left 260 MiB behind, and 190 with one arena for all. The threads take
    turns anyway. Other C libraries have nothing of the kind.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
