"""A store written anew without its free pages and without the bytes of erased rows, in place of the old file.

The new file is made and proved in a directory aside, and then renamed over the old one: a crash at any moment leaves one of
the two, and both hold everything. LMDB's lock file changes with it: it belongs to the pages of one file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from awlog.log.write_set import WriteSet
from awlog.storage.check import Progress
from awlog.storage.copying import aside, copy_whole, no_progress, put_in_place
from awlog.storage.environment import DATA_FILE, LOCK_FILE, Environment, existing
from awlog.storage.identity import sync_directory
from awlog.storage.lock import DirectoryLock
from awlog.storage.room import told_as_ours
from awlog.storage.writer import Writer


class Compacted(Struct, frozen=True):
    """Lengths of the file."""

    before_bytes: int
    after_bytes: int


def compact(data_dir: Path, progress: Progress = no_progress) -> Compacted:
    """Compacts a store that no server has open. Raises CannotStart, DataDamaged, InsufficientStorage, Unavailable."""
    data_file = existing(data_dir) / DATA_FILE
    with DirectoryLock(data_dir), told_as_ours(data_dir), aside(data_file) as made:
        before_bytes = data_file.stat().st_size
        copy_whole(data_dir, made, progress)
        put_in_place(made / DATA_FILE, data_file)
        with suppress(FileNotFoundError):
            (data_dir / LOCK_FILE).unlink()
        return Compacted(before_bytes, data_file.stat().st_size)


class HalfSwappedError(Exception):
    """Which of two files has the store's name, now or after a power cut, nobody knows. Both hold all that was answered."""


class Successor:
    """A compact copy that is brought up to date, and then takes the place of the file that a server has open.

    For one thread at a time. `environment` is open until the successor is adopted or closed.
    """

    def __init__(self, made: Path) -> None:
        self.environment = Environment(made)
        self._made = made
        self._writer = Writer(self.environment)

    def catch_up(self, writes: list[WriteSet]) -> None:
        """Applies, in one transaction, what was committed since the copy began; what it holds already does no harm.

        Raises MapFull, InsufficientStorage, Unavailable.
        """
        if writes:
            self._writer.commit_all(writes)

    def take_place(self, data_dir: Path) -> None:
        """Renames it over the store's file: durable when it returns. Nothing may be committed meanwhile.

        The lock file goes first: a process that opens the store in the middle of this reads the old file, which nobody
        writes to any more, and of the new one nobody reads what its lock file does not tell. Raises OSError if everything
        is as it was, HalfSwappedError if it is neither so nor so.
        """
        descriptor = os.open(self._made / DATA_FILE, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        lock_file, old_lock_file = data_dir / LOCK_FILE, self._made / f"{LOCK_FILE}.old"
        lock_file.replace(old_lock_file)
        try:
            (self._made / LOCK_FILE).replace(lock_file)
            (self._made / DATA_FILE).replace(data_dir / DATA_FILE)
        except OSError:
            with _or_half_swapped():
                old_lock_file.replace(lock_file)
            raise
        with _or_half_swapped():
            sync_directory(data_dir)


@contextmanager
def _or_half_swapped() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HalfSwappedError(str(error)) from error
