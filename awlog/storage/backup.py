"""A backup: one file, an LMDB environment like `data.mdb`, with all rows of one moment and a note of what they are.

The note, in `meta`, holds the digest of the content, so that a restore knows that it gives back all that was there. The
file is proved before it takes its place, so a failed backup never replaces a good one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import lmdb
import msgspec
from msgspec import Struct

from awlog.model.errors import CannotStart, DataDamaged, Refused
from awlog.model.event import Change
from awlog.model.times import Micros
from awlog.storage import layout
from awlog.storage.check import Progress, Report
from awlog.storage.copying import aside, copy_whole, give_identity, no_progress, proved, put_in_place
from awlog.storage.environment import DATA_FILE, MAP_BYTES, TABLES_MAX, Environment, existing, prepare_directory
from awlog.storage.identity import IDENTITY_FILE, Identity, new_device_id, write_identity
from awlog.storage.lock import DirectoryLock
from awlog.storage.recovery import recover
from awlog.storage.restored import note_restored
from awlog.storage.room import told_as_ours
from awlog.storage.upgrade import bring_up_to_date


class BackupNote(Struct, frozen=True):
    """What a backup says of itself, in `meta` under `backup`."""

    made_us: Micros
    digest: str


class Copied(Struct, frozen=True):
    """What was backed up or restored. `made_us` is when the backup was made, None for a file that does not say it."""

    file: str
    size_bytes: int
    buckets: int
    events: int
    digest: str
    made_us: Micros | None


class WouldOverwrite(Refused):
    """There is a store where one is to be restored."""


def back_up(data_dir: Path, file: Path, *, made_us: Micros, progress: Progress = no_progress) -> Copied:
    """One consistent copy of a store that may be in use; durable when it returns. About 3 µs an event.

    Raises CannotStart if there is no store, DataDamaged if it is not whole, InsufficientStorage, Unavailable; then what was
    in `file` before is still there.
    """
    existing(data_dir)
    with told_as_ours(file.parent), aside(file) as made:
        report = copy_whole(data_dir, made, progress)
        note = BackupNote(made_us, report.digest)
        _change_meta(made, {layout.BACKUP_KEY: layout.with_checksum(layout.BACKUP_KEY, msgspec.json.encode(note))})
        put_in_place(made / DATA_FILE, file)
        return _copied(file, report, made_us)


def _copied(file: Path, report: Report, made_us: Micros | None) -> Copied:
    return Copied(
        str(file),
        file.stat().st_size,
        len(report.buckets),
        sum(bucket.events for bucket in report.buckets),
        report.digest,
        made_us,
    )


def restore(
    file: Path, data_dir: Path, *, new_device: bool, restored_us: Micros, progress: Progress = no_progress
) -> Copied:
    """Makes a store of a backup, in a directory that holds none. It keeps the device's id unless `new_device`. A backup of
    an older format is upgraded.

    Its changes are counted on from `restored_us`, the time in µs: what was recorded after the backup had the numbers below
    that, and a follower or a hub that knows those would not be told of others under the same numbers. A store makes
    less than a change a microsecond, so no number is given twice.

    Raises WouldOverwrite, CannotStart, FormatTooNew, DataDamaged, InsufficientStorage, Unavailable; then there is no store
    as there was none before.
    """
    if not file.is_file() or file.stat().st_size == 0:
        raise CannotStart(f"{file} is {'empty' if file.is_file() else 'not there'}. Nothing was touched.")
    _refuse_to_overwrite(data_dir)
    prepare_directory(data_dir)
    with told_as_ours(data_dir), DirectoryLock(data_dir), aside(data_dir / DATA_FILE) as made:
        _refuse_to_overwrite(data_dir)
        shutil.copyfile(file, made / DATA_FILE)
        (made / DATA_FILE).chmod(0o600)
        is_of_this_format = bring_up_to_date(made, lambda _what, done, total: progress(done, total)) == 0
        identity = give_identity(made)
        report = proved(made, progress)
        note = _note_of(made)
        # Another format may have another digest of the same content.
        if is_of_this_format and note is not None and note.digest != report.digest:
            raise DataDamaged(f"{file}: what it holds is not what was backed up, and it")
        changes: dict[bytes, bytes | None] = {layout.BACKUP_KEY: None, layout.CLEAN_KEY: b"1"}
        begins_at = Change(max(restored_us, _next_change(made)))
        changes[layout.RESTORED_CHANGE_KEY] = layout.encode_restored_change(begins_at)
        if new_device:
            identity = Identity(identity.format_version, new_device_id())
            changes[layout.DEVICE_KEY] = layout.with_checksum(layout.DEVICE_KEY, identity.device_id.encode())
        _change_meta(made, changes)
        note_restored(data_dir)
        put_in_place(made / DATA_FILE, data_dir / DATA_FILE)
        write_identity(data_dir, identity)  # after a crash before it, the next start writes it
        return _copied(file, report, None if note is None else note.made_us)


def _refuse_to_overwrite(data_dir: Path) -> None:
    for name in (DATA_FILE, IDENTITY_FILE):
        if (data_dir / name).exists():
            raise WouldOverwrite(
                f"There is a store in {data_dir} already ({name}): nothing was touched. "
                "Restore into another --data-dir, or move this one away."
            )


def _next_change(store_dir: Path) -> Change:
    environment = Environment(store_dir, read_only=True)
    try:
        next_change = recover(environment).writes.next_change
    finally:
        environment.close()
    assert next_change is not None, "a start tells it"
    return next_change


def _note_of(store_dir: Path) -> BackupNote | None:
    environment = Environment(store_dir, read_only=True)
    try:
        with environment.lmdb.begin() as txn:
            stored = txn.get(layout.BACKUP_KEY, db=environment.databases[layout.META])
    finally:
        environment.close()
    if stored is None:
        return None
    content = layout.without_checksum(layout.BACKUP_KEY, bytes(stored), "What the backup says of itself")
    return msgspec.json.decode(content, type=BackupNote)


def _change_meta(store_dir: Path, changes: dict[bytes, bytes | None]) -> None:
    """Puts values, or removes those that are None, in one transaction; durable when it returns."""
    map_bytes = MAP_BYTES + (store_dir / DATA_FILE).stat().st_size
    environment = lmdb.open(str(store_dir), map_size=map_bytes, max_dbs=TABLES_MAX, lock=False, mode=0o600)
    try:
        with environment.begin(write=True) as txn:
            meta = environment.open_db(layout.META, txn=txn)
            for key, value in changes.items():
                if value is None:
                    txn.delete(key, db=meta)
                else:
                    txn.put(key, value, db=meta)
    finally:
        environment.close()
