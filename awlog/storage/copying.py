"""A store -> another store, row by row: what backups, restores and `awlog compact` are made of.

Rows and not pages: a page of LMDB's keeps bytes of rows that are gone in the gaps between those that are there, and erased
payloads must not come along. A copy is written aside, in a directory of its own, and proved there before it counts.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import lmdb

from awlog.model.errors import CannotStart, DataDamaged
from awlog.storage import layout
from awlog.storage.check import Progress, Report, check
from awlog.storage.environment import DATA_FILE, MAP_BYTES, TABLES_MAX, Environment, device_id_of
from awlog.storage.identity import Identity, sync_directory, write_identity
from awlog.storage.lock import DirectoryLock

# Copied in one transaction: LMDB keeps the pages of a transaction in memory.
_STEP_BYTES: Final = 32 << 20
# How often progress is told.
_STEP_ROWS: Final = 256


def no_progress(_done: int, _all: int) -> None:
    """For whoever does not want to be told."""


def copy_whole(data_dir: Path, made: Path, progress: Progress = no_progress) -> Report:
    """Writes what a store, which may be in use, holds at this moment into `made`, with its identity, and proves it.

    Raises CannotStart, DataDamaged, lmdb.Error.
    """
    source = Environment(data_dir, read_only=True)
    try:
        copy_rows(source.lmdb, made, progress)
    finally:
        source.close()
    give_identity(made)
    return proved(made)


def copy_rows(source: lmdb.Environment, target_dir: Path, progress: Progress = no_progress) -> None:
    """Writes every row of every table, as of one moment, into a new store in an empty directory. Synced when it returns.

    Also tables that this awlog does not know. About 1 µs a row, and the disk's time. Raises lmdb.Error, of a full disk too.
    """
    map_bytes = max(MAP_BYTES, 2 * int(source.info()["map_size"]))
    target = lmdb.open(
        str(target_dir), map_size=map_bytes, max_dbs=TABLES_MAX, mode=0o600, lock=False, sync=False, metasync=False
    )
    try:
        with source.begin(buffers=True) as txn:
            names = [bytes(name) for name in txn.cursor().iternext(keys=True, values=False)]
            tables = {name: source.open_db(name, txn=txn, create=False) for name in names}
            rows_all = sum(int(txn.stat(table)["entries"]) for table in tables.values())
            rows_done = 0
            for name, table in tables.items():
                for row_count in _copy_table(txn, table, target, target.open_db(name)):
                    rows_done += row_count
                    progress(rows_done, rows_all)
        target.sync(True)
    finally:
        target.close()


def _copy_table(
    source: lmdb.Transaction, table: lmdb._Database, target: lmdb.Environment, copied: lmdb._Database
) -> Iterator[int]:
    """Gives how many rows were copied, now and then."""
    cursor = source.cursor(table)
    more = cursor.first()
    while more:
        row_count = step_bytes = 0
        with target.begin(write=True) as txn:
            while more and step_bytes < _STEP_BYTES:
                key, value = cursor.item()
                if not txn.put(key, value, db=copied, append=True):
                    raise DataDamaged("A table whose keys are not in their order")
                step_bytes += len(key) + len(value)
                row_count += 1
                if row_count % _STEP_ROWS == 0:
                    yield _STEP_ROWS
                more = cursor.next()
        yield row_count % _STEP_ROWS


def proved(copy_dir: Path, progress: Progress = no_progress) -> Report:
    """Reads a copy from the disk and checks all of it. Raises DataDamaged with the first thing that is wrong."""
    with (copy_dir / DATA_FILE).open("rb") as file:
        if hasattr(os, "posix_fadvise"):  # what was just written is read from the disk, not from memory
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    environment = Environment(copy_dir, read_only=True)
    try:
        if environment.is_cut_short():
            raise DataDamaged("A file that was cut short")
        report = check(environment, progress)
    finally:
        environment.close()
    if report.problems:
        raise DataDamaged(report.problems[0])
    return report


def give_identity(copy_dir: Path) -> Identity:
    """Writes `identity.json` beside a copy, from what the copy says. Raises DataDamaged."""
    environment = Environment(copy_dir, read_only=True)
    try:
        identity = Identity(layout.FORMAT_VERSION, device_id_of(environment.lmdb))
    finally:
        environment.close()
    write_identity(copy_dir, identity)
    return identity


@contextmanager
def aside(target: Path) -> Iterator[Path]:
    """A directory beside `target` to make it in; gone at the end. What others left there when they died goes too."""
    remove_abandoned(target)
    made = Path(tempfile.mkdtemp(prefix=_prefix(target), dir=target.parent))
    try:
        with DirectoryLock(made):
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def remove_abandoned(target: Path) -> None:
    """Removes what others who died left beside `target`."""
    for left in target.parent.glob(f"{_prefix(target)}*"):
        with suppress(CannotStart), DirectoryLock(left):  # else somebody is at work in it
            shutil.rmtree(left, ignore_errors=True)


def _prefix(target: Path) -> str:
    return f".{target.name}.making-"


def put_in_place(made: Path, target: Path) -> None:
    """Renames a finished file to its place: durable when it returns, and never half."""
    descriptor = os.open(made, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    made.replace(target)
    sync_directory(target.parent)
