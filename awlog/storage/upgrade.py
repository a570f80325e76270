"""A store of an older format -> one of this awlog's format. `FORMAT.md` says how a format comes to an end.

The old file is never changed. A snapshot of it is kept, proved row by row; the steps work on a copy of that, aside; what
comes out is checked as a whole and renamed over the old file. So a crash, a full disk or a mistake in a step leaves the
old store.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import lmdb
from msgspec import Struct

from awlog.model.errors import AwlogError, Busy, CannotStart, DataDamaged, InsufficientStorage
from awlog.storage import layout
from awlog.storage.check import Progress
from awlog.storage.copying import aside, copy_rows, give_identity, proved, put_in_place, remove_abandoned
from awlog.storage.environment import DATA_FILE, LOCK_FILE, MAP_BYTES, TABLES_MAX, stored_format
from awlog.storage.identity import Identity, read_identity, sync_directory, write_identity
from awlog.storage.rehearsal import DiedApart, run_apart
from awlog.storage.room import told_as_ours

Step = Callable[[lmdb.Environment, Progress], None]
"""Rewrites all rows of one format as the next one has them, in a copy that nobody else has open. It may take as many
transactions as it likes: a copy that is not finished is thrown away. It checks what it reads. Raises DataDamaged."""

STEPS: Final[dict[int, Step]] = {}
"""The step that leads away from each format that was ever released."""
assert set(STEPS) == set(range(1, layout.FORMAT_VERSION)), "a newer awlog opens every older released format"

SNAPSHOTS_FOLDER: Final = "backups"
_DIGEST_DIGITS: Final = 12

Tell = Callable[[str, int, int], None]
"""Told what is being done, and how much of it is done, of how much."""


class Upgraded(Struct, frozen=True):
    """What was done. `snapshot` holds the store as it was before."""

    from_format: int
    to_format: int
    snapshot: Path


def upgrade_if_old(data_dir: Path, tell: Tell, *, let_go: Callable[[], object]) -> Upgraded | None:
    """For the owner of the directory, before it opens the store; durable when it returns. None if nothing was to be done.

    About 10 µs an event, and room for two more copies of the store. `let_go` as for `run_apart`. Raises CannotStart; then
    the store is as it was.
    """
    found = stored_format(data_dir)
    identity = read_identity(data_dir)
    if found == layout.FORMAT_VERSION:
        if identity is not None and identity.format_version < found:  # an upgrade was cut short at its very end
            write_identity(data_dir, Identity(found, identity.device_id))
        return None
    if (
        found is None
        or found not in STEPS
        or (identity is not None and identity.format_version > layout.FORMAT_VERSION)
    ):
        return None  # whoever opens it says what it is
    tell("reading", 0, 1)
    try:
        # In a child: a damaged page ends the process that reads it.
        digest = run_apart(lambda: rows_digest(data_dir / DATA_FILE).encode(), let_go=let_go).decode()
        with told_as_ours(data_dir):
            snapshot = _kept_snapshot(data_dir, found, digest, tell, let_go)
            _replace(data_dir, snapshot, tell)
    except Busy as busy:
        size_bytes = (data_dir / DATA_FILE).stat().st_size
        needs = f"needs room for two more copies of it, up to {2 * size_bytes:,} bytes: {busy} Make room there"
        raise CannotStart(
            f"The store in {data_dir} has format {found} and must be upgraded to format {layout.FORMAT_VERSION}, which "
            f"{needs if isinstance(busy, InsufficientStorage) else f'is not possible: {busy} Mend that'} and start "
            "again; or go on with the awlog that wrote it."
        ) from busy
    except (
        Exception
    ) as failure:  # a step meets bytes that no release ever wrote: whatever that makes of it, nothing was lost
        raise CannotStart(
            f"The store in {data_dir} has format {found}, and cannot be upgraded to format {layout.FORMAT_VERSION}: "
            f"{_cause(failure)}. It is as it was. Install the awlog that wrote it and run its `awlog verify` and "
            "`awlog repair`; or restore a backup."
        ) from failure
    return Upgraded(found, layout.FORMAT_VERSION, snapshot)


def bring_up_to_date(copy_dir: Path, tell: Tell) -> int:
    """Takes a copy of a store, which nobody else has open, through all steps from its format to this one. Durable at the
    end. Gives how many there were.

    Raises DataDamaged, FormatTooNew, lmdb.Error.
    """
    found = stored_format(copy_dir)
    if found is None or found not in STEPS:
        return 0
    map_bytes = MAP_BYTES + 4 * (copy_dir / DATA_FILE).stat().st_size
    environment = lmdb.open(
        str(copy_dir), map_size=map_bytes, max_dbs=TABLES_MAX, lock=False, sync=False, metasync=False, mode=0o600
    )
    try:
        for at in range(found, layout.FORMAT_VERSION):
            STEPS[at](environment, lambda done, total, to=at + 1: tell(f"to format {to}", done, total))  # type: ignore[misc]
            with environment.begin(write=True) as txn:
                txn.put(layout.FORMAT_KEY, str(at + 1).encode(), db=environment.open_db(layout.META, txn=txn))
        environment.sync(True)
    finally:
        environment.close()
    return layout.FORMAT_VERSION - found


def _cause(failure: Exception) -> str:
    if isinstance(failure, DataDamaged):
        return f"{failure.where} does not match its checksum"
    said = str(failure).rstrip(".")
    return said if isinstance(failure, (AwlogError, DiedApart)) else f"{type(failure).__name__}: {said}"


def rows_digest(data_file: Path) -> str:
    """Of every row of every table, of whatever format: equal for equal rows. About 1 µs a row. Raises lmdb.Error."""
    digest = hashlib.sha256()
    environment = _looked_at(data_file)
    try:
        with environment.begin(buffers=True) as txn:
            for name in [bytes(name) for name in txn.cursor().iternext(values=False)]:
                digest.update(b"%d\n%b" % (len(name), name))
                for key, value in txn.cursor(environment.open_db(name, txn=txn, create=False)):
                    digest.update(b"%d %d\n" % (len(key), len(value)))
                    digest.update(key)
                    digest.update(value)
    finally:
        environment.close()
    return digest.hexdigest()


def _looked_at(data_file: Path) -> lmdb.Environment:
    return lmdb.open(str(data_file), subdir=False, max_dbs=TABLES_MAX, readonly=True, lock=False, create=False)


def _kept_snapshot(data_dir: Path, found: int, digest: str, tell: Tell, let_go: Callable[[], object]) -> Path:
    """A copy of the store, as it is, in the folder of snapshots; proved, and durable. Made unless it is there already.

    Its name tells the content, so that an upgrade that is tried again keeps one, and none takes the place of another.
    """
    folder = data_dir / SNAPSHOTS_FOLDER
    snapshot = folder / f"format-{found}-{digest[:_DIGEST_DIGITS]}.mdb"
    with suppress(DiedApart):  # one that was damaged meanwhile is made again
        if snapshot.exists() and run_apart(lambda: rows_digest(snapshot).encode(), let_go=let_go) == digest.encode():
            remove_abandoned(snapshot)  # by a start that died when it had just put it there
            return snapshot
    made_folder = not folder.exists()
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        with aside(snapshot) as made:
            source = _looked_at(data_dir / DATA_FILE)
            try:
                copy_rows(source, made, lambda done, total: tell("keeping a snapshot", done, total))
            finally:
                source.close()
            if rows_digest(made / DATA_FILE) != digest:
                raise DataDamaged("The snapshot, which was read back from the disk,")
            put_in_place(made / DATA_FILE, snapshot)
        sync_directory(data_dir)
    except BaseException:
        if made_folder:
            with suppress(OSError):
                folder.rmdir()
        raise
    return snapshot


def _replace(data_dir: Path, snapshot: Path, tell: Tell) -> None:
    """Puts what the steps make of the snapshot in the place of the store, when all of it has been checked."""
    data_file = data_dir / DATA_FILE
    with aside(data_file) as made:
        shutil.copyfile(snapshot, made / DATA_FILE)
        bring_up_to_date(made, tell)
        identity = give_identity(made)
        proved(made, lambda done, total: tell("checking", done, total))
        put_in_place(made / DATA_FILE, data_file)
        with suppress(FileNotFoundError):
            (data_dir / LOCK_FILE).unlink()
    write_identity(data_dir, identity)  # after a crash before it, the next start does
