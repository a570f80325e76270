"""The LMDB environment of a data directory: create, open, look, grow, close.

Durability rests on LMDB's plain mode: a commit writes its pages, syncs them, and only then writes the meta page through a
descriptor that syncs by itself. None of LMDB's faster modes (writemap, nosync, nometasync, mapasync) is used: each of them
would break a promise.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final

import lmdb

from awlog.model.errors import Busy, CannotStart, FormatTooNew, InsufficientStorage, Unavailable
from awlog.storage import layout
from awlog.storage.identity import Identity, new_device_id, read_identity, sync_directory, write_identity
from awlog.storage.pages import NO_PAGE, PageDamaged, PageFile
from awlog.storage.reserve import Reserve
from awlog.storage.room import is_read_only

DATA_FILE: Final = "data.mdb"
LOCK_FILE: Final = "lock.mdb"

# The map is address space, not memory and not disk (on Windows it is disk): generous, and doubled when half full.
MAP_BYTES: Final = 1 << 28 if sys.platform == "win32" else 1 << 32
# LMDB's two meta pages come before everything else; the first commit makes the file longer.
_META_PAGES: Final = 2
_META_MAGIC: Final = b"\xde\xc0\xef\xbe"
READERS_MAX: Final = 512
# What LMDB makes of that: a cache line for each reader, and its own head.
_LOCK_FILE_BYTES: Final = READERS_MAX * 64 + 128
# More than there are: a newer awlog may have added some, which are kept.
TABLES_MAX: Final = 32


class Environment:
    """One open LMDB environment with its sub-databases. Owned by the loop; the committer thread only commits.

    Growing the map moves it, so it must not happen while a transaction is open in this process: `reader_count` says how
    many snapshots are.
    """

    def __init__(
        self, data_dir: Path, *, map_bytes: int = MAP_BYTES, read_only: bool = False, reserve_bytes: int = 0
    ) -> None:
        """Opens what `create` made. Raises CannotStart if it cannot be opened, OtherFormat for one of another format."""
        self.data_dir = data_dir
        self.reader_count = 0
        self._map_bytes = map_bytes
        self._read_only = read_only
        self.why_read_only: Busy | None = None
        """To a server: why it can write nothing."""
        self._open()
        self.reserve = Reserve(self, reserve_bytes)

    def _open(self) -> None:
        try:
            size_bytes = (self.data_dir / DATA_FILE).stat().st_size
            make_lock_file(self.data_dir)
            self.lmdb = lmdb.open(
                str(self.data_dir),
                map_size=max(self._map_bytes, 2 * size_bytes),
                max_dbs=TABLES_MAX,
                max_readers=READERS_MAX,
                mode=0o600,
                readonly=self._read_only,
                create=False,
            )
        except (lmdb.Error, OSError) as error:
            raise _cannot_open(self.data_dir, error) from error
        try:
            check_format(self.lmdb, self.data_dir)  # before anything is written
            self.reap_readers()
            self.databases = {name: self.lmdb.open_db(name, create=False) for name in layout.SUB_DATABASES}
        except lmdb.Error as error:
            self.lmdb.close()
            raise _cannot_open(self.data_dir, error) from error
        except CannotStart:
            self.lmdb.close()
            raise
        self.page_bytes = int(self.lmdb.stat()["psize"])

    def close(self) -> None:
        """Ends all transactions and closes. A write transaction must not be open in another thread."""
        self.lmdb.close()

    def start_over(self) -> None:
        """Makes the environment usable again after a failed commit. Raises Unavailable.

        A commit that failed before its meta page leaves LMDB whole, and snapshots go on; after a failed meta page LMDB
        refuses everything, and the environment is closed, which ends the snapshots, and opened anew.
        """
        try:
            self.lmdb.begin(write=True).abort()
        except lmdb.Error:
            self._reopen()

    def _reopen(self) -> None:
        self.lmdb.close()
        self.reader_count = 0
        try:
            self._open()
        except (CannotStart, OSError) as error:
            raise Unavailable(f"The store cannot be opened again: {error}") from error

    def begin_writing(self) -> bool:
        """Opens anew, to write, what was opened read-only because its file system was. False if that still is.

        No transaction may be open in this process, and none in others: without a lock file nobody knew of them. Raises
        Unavailable.
        """
        assert self.reader_count == 0, "a snapshot would lose its pages"
        if is_read_only(self.data_file):
            return False
        self._read_only = False
        self._reopen()
        self.why_read_only = None
        return True

    def adopt(self, successor: Environment) -> None:
        """Goes on with the files of another environment, which have taken the place of these. Closes these.

        No transaction may be open in this process.
        """
        assert self.reader_count == 0, "a snapshot would lose its pages"
        self.lmdb.close()
        self.lmdb, self.databases, self._map_bytes = successor.lmdb, successor.databases, successor._map_bytes

    @contextmanager
    def reading(self) -> Iterator[lmdb.Transaction]:
        """A read transaction, counted. Loop thread only."""
        with self.lmdb.begin(buffers=True) as txn:
            opened = self.lmdb
            self.reader_count += 1
            try:
                yield txn
            finally:
                if opened is self.lmdb:  # else it was closed under the reader, and counts from zero again
                    self.reader_count -= 1

    def reap_readers(self) -> None:
        """Frees the slots of processes that died while they were reading: each would keep old pages for ever."""
        self.lmdb.reader_check()

    def follow_growth(self) -> None:
        """Takes over the size of the map that another process gave it. No transaction may be open in this process."""
        self.lmdb.set_mapsize(0)

    def last_txn_id(self) -> int:
        return int(self.lmdb.info()["last_txnid"])

    @cached_property
    def data_file(self) -> Path:
        return self.data_dir / DATA_FILE

    def used_bytes(self) -> int:
        """Up to where the file was ever used. What is longer is the reserve."""
        return (int(self.lmdb.info()["last_pgno"]) + 1) * self.page_bytes

    def is_cut_short(self) -> bool:
        """Is the file shorter than the pages that were ever used? Free pages at its end may never have been written."""
        return self.data_file.stat().st_size < self.used_bytes()

    def wants_growth(self) -> bool:
        """Is more than half of the map in use? About 1 µs."""
        info = self.lmdb.info()
        return bool((info["last_pgno"] + 1) * self.page_bytes * 2 > info["map_size"])

    def grow(self) -> None:
        """Doubles the map. No transaction may be open in this process. Raises InsufficientStorage, Unavailable."""
        assert self.reader_count == 0, "growing the map would move it under a reader"
        map_bytes = 2 * int(self.lmdb.info()["map_size"])
        try:
            self.lmdb.set_mapsize(map_bytes)
        except (lmdb.Error, MemoryError, OverflowError) as error:
            self._reopen()  # LMDB closes itself when it cannot have its map
            raise InsufficientStorage(f"The store cannot grow to {map_bytes} bytes of address space") from error
        self._map_bytes = map_bytes


def prepare_directory(data_dir: Path) -> None:
    """Makes the data directory, for its owner only. Raises CannotStart."""
    try:
        made = [folder for folder in (data_dir, *data_dir.parents) if not folder.exists()]
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if data_dir.stat().st_mode & 0o777 != 0o700:  # on a read-only file system not even the same may be set
            data_dir.chmod(0o700)
        for folder in made:
            sync_directory(folder.parent)  # a folder whose name is not durable takes the store with it
    except OSError as error:
        raise CannotStart(f"The data directory {data_dir} cannot be used: {error.strerror}") from error


def create_if_new(data_dir: Path, *, map_bytes: int = MAP_BYTES) -> Identity:
    """Makes a store in a directory that never held one; durable when it returns. Gives the identity of the store.

    Raises CannotStart where a store was and is not whole: a lost store is never replaced by an empty one.
    """
    identity = read_identity(data_dir)
    data_file = data_dir / DATA_FILE
    size_bytes = data_file.stat().st_size if data_file.exists() else 0
    if identity is not None:
        if size_bytes == 0:
            raise CannotStart(
                f"{data_file} is {'empty' if data_file.exists() else 'missing'}, but a store was made here "
                f"(identity.json names device {identity.device_id}). Put {DATA_FILE} back from a backup; to begin "
                "with an empty store instead, move identity.json away."
            )
        if identity.format_version > layout.FORMAT_VERSION:
            raise FormatTooNew(identity.format_version, layout.FORMAT_VERSION)
        return identity
    # Either nothing is here, or a first start was cut short before the identity was written.
    try:
        if size_bytes and (_is_zeros(data_file) or (size_bytes <= _META_PAGES * mmap.PAGESIZE and _is_meta(data_file))):
            os.truncate(data_file, 0)  # meta pages at most: nothing was ever committed
        device_id = _create(data_dir, map_bytes)
    except (lmdb.Error, OSError) as error:
        raise _cannot_open(data_dir, error) from error
    sync_directory(data_dir)
    identity = Identity(layout.FORMAT_VERSION, device_id)
    write_identity(data_dir, identity)
    return identity


def _create(data_dir: Path, map_bytes: int) -> str:
    """Makes the store in one transaction, if it is not there; gives the device's id."""
    make_lock_file(data_dir)
    environment = lmdb.open(str(data_dir), map_size=map_bytes, max_dbs=TABLES_MAX, max_readers=READERS_MAX, mode=0o600)
    try:
        if environment.stat()["entries"]:
            check_format(environment, data_dir)
        with environment.begin(write=True) as txn:
            # All at once: a store that was made and never opened by a server must be readable read-only.
            databases = {name: environment.open_db(name, txn=txn) for name in layout.SUB_DATABASES}
            meta = databases[layout.META]
            stored = txn.get(layout.DEVICE_KEY, db=meta)
            if stored is not None:
                return _decode_device_id(bytes(stored))
            device_id = new_device_id()
            txn.put(layout.DEVICE_KEY, layout.with_checksum(layout.DEVICE_KEY, device_id.encode()), db=meta)
            txn.put(layout.NEXT_BUCKET_KEY, layout.with_checksum(layout.NEXT_BUCKET_KEY, b"1"), db=meta)
            txn.put(layout.FORMAT_KEY, str(layout.FORMAT_VERSION).encode(), db=meta)
            txn.put(layout.CLEAN_KEY, b"1", db=meta)
            return device_id
    finally:
        environment.close()


def device_id_of(environment: lmdb.Environment) -> str:
    """Raises DataDamaged."""
    with environment.begin() as txn:
        meta = environment.open_db(layout.META, txn=txn, create=False)
        return _decode_device_id(bytes(txn.get(layout.DEVICE_KEY, b"", db=meta)))


def _decode_device_id(stored: bytes) -> str:
    return layout.without_checksum(layout.DEVICE_KEY, stored, "The device's id").decode()


def make_lock_file(data_dir: Path) -> None:
    """Gives LMDB's lock file its blocks on the disk: a hole in a mapped file, on a full disk, is a death by SIGBUS.

    No environment may be open on this directory in this process. Raises OSError if there is no room.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        descriptor = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return  # LMDB reads without one
        raise
    try:
        if os.fstat(descriptor).st_blocks * 512 < _LOCK_FILE_BYTES:
            os.posix_fallocate(descriptor, 0, _LOCK_FILE_BYTES)
    finally:
        os.close(descriptor)


def make_lock_file_if_full(data_dir: Path) -> None:
    """As `make_lock_file`, on a full disk with some of the room that the data file holds in reserve. Raises OSError.

    Nobody may write to the store.
    """
    try:
        make_lock_file(data_dir)
    except OSError:
        data_file = data_dir / DATA_FILE
        try:
            with closing(PageFile(data_file)) as pages:
                used_bytes = (pages.meta.last_page + 1) * pages.meta.page_bytes
        except PageDamaged:
            return  # whoever opens it says so
        left_bytes = data_file.stat().st_size - 2 * _LOCK_FILE_BYTES
        if left_bytes < used_bytes:
            raise
        os.truncate(data_file, left_bytes)
        make_lock_file(data_dir)


def check_format(environment: lmdb.Environment, data_dir: Path) -> None:
    """Reads only. Raises CannotStart if this is not a store of awlog's, OtherFormat if it is of another one."""
    try:
        with environment.begin() as txn:
            stored = txn.get(layout.FORMAT_KEY, db=environment.open_db(layout.META, txn=txn, create=False))
    except lmdb.NotFoundError:
        stored = None
    if stored is None or not bytes(stored).isdigit() or int(stored) == 0:
        raise CannotStart(
            f"{data_dir / DATA_FILE} is an LMDB file, but not one of awlog's, or its format is damaged. Nothing was changed."
        )
    layout.require_known_format(int(stored))


def stored_format(data_dir: Path) -> int | None:
    """The format of a store; None if there is none, or if that cannot be read. Reads a few pages, without LMDB."""
    try:
        file = PageFile(data_dir / DATA_FILE)
    except (PageDamaged, OSError):
        return None
    try:
        root = file.tables(lambda _lost: None).get(layout.META, NO_PAGE)
        values = [file.value(node) for node in file.nodes(root, lambda _lost: None) if node.key == layout.FORMAT_KEY]
        return int(values[0]) if values and values[0].isdigit() else None
    except (PageDamaged, OSError):
        return None
    finally:
        file.close()


def require_this_format(data_dir: Path) -> None:
    """Raises FormatTooNew, FormatTooOld; nothing where there is no store, or where that cannot be read."""
    found = stored_format(data_dir)
    if found is not None:
        layout.require_known_format(found)


def _cannot_open(data_dir: Path, error: Exception) -> CannotStart:
    return CannotStart(
        f"The store in {data_dir} cannot be opened: {error}. "
        "Nothing was changed. Keep a copy of the directory, then run `awlog verify --data-dir` on it."
    )


def _is_meta(data_file: Path) -> bool:
    """Is each page of a short file zeros or one of LMDB's meta pages?"""
    content = data_file.read_bytes()
    pages = [content[at : at + mmap.PAGESIZE] for at in range(0, len(content), mmap.PAGESIZE)]
    return all(not page.strip(b"\0") or page[16:20] == _META_MAGIC for page in pages)


def _is_zeros(data_file: Path) -> bool:
    """Is there nothing in it but zeros? Looks no further than the first other byte."""
    with data_file.open("rb") as file:
        return all(not block.strip(b"\0") for block in iter(lambda: file.read(1 << 20), b""))


def existing(data_dir: Path) -> Path:
    """The directory, if a store is in it. Raises CannotStart otherwise."""
    if not (data_dir / DATA_FILE).is_file():
        raise CannotStart(f"There is no store in {data_dir}. `awlog paths` says where it is expected.")
    if (data_dir / DATA_FILE).stat().st_size == 0:
        raise CannotStart(f"{data_dir / DATA_FILE} is empty: the store that was there is lost. Restore a backup.")
    return data_dir
