"""`restored.json`: this store was made of a backup, and which of its followers know that.

A hub remembers how far a bucket came by a change number. After a restore the numbers that were lost are given out again, to
other changes: who knows a number of before must begin anew, once.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from awlog.storage.whole_file import write_whole

_FILE: Final = "restored.json"


def note_restored(data_dir: Path) -> None:
    """Nobody knows of it yet. Raises OSError."""
    write_whole(data_dir / _FILE, b"[]\n")


class Restored:
    """Who knows, by names of the caller's."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / _FILE
        self._known: set[str] | None = None
        with suppress(FileNotFoundError):
            try:
                self._known = set(msgspec.json.decode(self._path.read_bytes(), type=list[str]))
            except msgspec.MsgspecError:
                self._known = set()

    def must_begin_anew(self, name: str) -> bool:
        return self._known is not None and name not in self._known

    def knows(self, name: str) -> None:
        """From now on. What cannot be written is asked for once more."""
        if self._known is not None and name not in self._known:
            self._known.add(name)
            with suppress(OSError):
                write_whole(self._path, msgspec.json.encode(sorted(self._known)))
