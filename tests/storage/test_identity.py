"""R4: a lost store is never replaced by an empty one; and a first start that was cut short is completed (R1)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import lmdb
import pytest

from awlog.model.errors import CannotStart
from awlog.storage.check import check
from awlog.storage.environment import DATA_FILE, Environment, create_if_new, existing, prepare_directory
from awlog.storage.identity import IDENTITY_FILE, Identity, read_identity, write_identity
from tests.engine.harness import Store

LMDB_LOCK_FILE = "lock.mdb"


def files(directory: Path) -> dict[str, bytes]:
    """All that is in a directory, but for what LMDB notes about readers."""
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != LMDB_LOCK_FILE}


def prove_new(data_dir: Path) -> Identity:
    """Creates what is missing; the store is whole, empty and says who it is."""
    identity = create_if_new(data_dir)
    assert read_identity(data_dir) == identity
    environment = Environment(data_dir)
    report = check(environment)
    environment.close()
    assert report.problems == []
    assert report.buckets == []
    return identity


def test_a_new_store_keeps_its_identity(tmp_path: Path):
    first = prove_new(tmp_path)
    assert create_if_new(tmp_path) == first
    assert first.device_id.count("-") == 4


def test_two_stores_are_two_devices(tmp_path: Path):
    made = []
    for name in ("a", "b"):
        prepare_directory(tmp_path / name)
        made.append(create_if_new(tmp_path / name).device_id)
    assert len(set(made)) == 2


def _remove(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("lose", [_remove, _empty])
def test_a_lost_data_file_is_refused_and_nothing_made_in_its_place(store: Store, lose: Callable[[Path], None]):
    """The message says which file, and that a backup or moving identity.json away are the ways on."""
    lose(store.data_dir / DATA_FILE)
    before = files(store.data_dir)
    for _ in range(2):
        with pytest.raises(CannotStart, match=r"data\.mdb.*backup.*identity\.json"):
            create_if_new(store.data_dir)
        with pytest.raises(CannotStart):
            existing(store.data_dir)
    assert files(store.data_dir) == before


def test_moving_the_identity_away_begins_anew_where_the_data_are_lost(store: Store):
    """As the message says; it is another device then."""
    known = read_identity(store.data_dir)
    (store.data_dir / DATA_FILE).unlink()
    (store.data_dir / IDENTITY_FILE).unlink()
    assert prove_new(store.data_dir) != known


async def test_a_lost_identity_is_written_anew_from_the_data(store: Store):
    """The store is whole: it opens with all its events, and is the same device."""
    known = read_identity(store.data_dir)
    (store.data_dir / IDENTITY_FILE).unlink()
    assert create_if_new(store.data_dir) == known == read_identity(store.data_dir)
    engine = await store.open()
    assert len(await engine.events("main")) == 16
    await store.close()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b'{"format_version":"1","device_id":"x"}', b"{}"])
def test_a_damaged_identity_is_refused_and_everything_left_as_it_is(store: Store, content: bytes):
    (store.data_dir / IDENTITY_FILE).write_bytes(content)
    before = files(store.data_dir)
    with pytest.raises(CannotStart, match=r"identity\.json is damaged"):
        create_if_new(store.data_dir)
    assert files(store.data_dir) == before


@pytest.mark.parametrize("with_identity", [True, False])
@pytest.mark.parametrize(
    "content", [b"not a store", os.urandom(9000), b"\0" * 5000 + b"\1"], ids=["text", "noise", "odd"]
)
def test_a_data_file_that_is_no_store_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes, with_identity: bool):
    (tmp_path / DATA_FILE).write_bytes(content)
    if with_identity:
        write_identity(tmp_path, Identity(1, "somebody"))
    before = files(tmp_path)
    with pytest.raises(CannotStart):
        create_if_new(tmp_path)
        Environment(tmp_path)
    assert files(tmp_path) == before


@pytest.mark.parametrize("with_identity", [True, False])
@pytest.mark.parametrize("table", [b"theirs", b"meta", None])
def test_an_lmdb_file_of_another_program_is_refused_and_left_as_it_is(
    tmp_path: Path, table: bytes | None, with_identity: bool
):
    """Whether it has a table that is called like one of ours, another one, or none."""
    theirs = lmdb.open(str(tmp_path), max_dbs=4)
    with theirs.begin(write=True, db=None if table is None else theirs.open_db(table)) as txn:
        txn.put(b"key", b"value")
    theirs.close()
    if with_identity:
        write_identity(tmp_path, Identity(1, "somebody"))
    before = files(tmp_path)
    with pytest.raises(CannotStart):
        create_if_new(tmp_path)
        Environment(tmp_path)
    assert files(tmp_path) == before


def _nothing(_: Path) -> None:
    pass


def _empty_data_file(data_dir: Path) -> None:
    (data_dir / DATA_FILE).write_bytes(b"")


def _zeros(data_dir: Path) -> None:
    (data_dir / DATA_FILE).write_bytes(bytes(8192))


def _odd_zeros(data_dir: Path) -> None:
    (data_dir / DATA_FILE).write_bytes(bytes(5000))


def _meta_pages_only(data_dir: Path) -> None:
    environment = lmdb.open(str(data_dir), max_dbs=16)
    environment.close()


def _half_an_identity(data_dir: Path) -> None:
    (data_dir / f"{IDENTITY_FILE}.tmp").write_bytes(b'{"format_v')


def _all_but_the_identity(data_dir: Path) -> None:
    create_if_new(data_dir)
    (data_dir / IDENTITY_FILE).unlink()


@pytest.mark.parametrize(
    "left",
    [_nothing, _empty_data_file, _zeros, _odd_zeros, _meta_pages_only, _half_an_identity, _all_but_the_identity],
    ids=lambda left: left.__name__.strip("_").replace("_", " "),
)
def test_what_a_power_cut_leaves_of_a_first_start_is_completed(tmp_path: Path, left: Callable[[Path], None]):
    left(tmp_path)
    prove_new(tmp_path)


def _dies_at_line(number: int, data_dir: Path) -> bool:
    """Makes a store in a child that ends without a word at its nth line of storage code. False: it came to its end."""
    child = os.fork()
    if child == 0:
        lines_left = number

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal lines_left
            if not frame.f_globals.get("__name__", "").startswith("awlog.storage"):
                return None
            if event == "line":
                lines_left -= 1
                if lines_left < 0:
                    os._exit(1)
            return trace

        try:
            sys.settrace(trace)
            prepare_directory(data_dir)
            create_if_new(data_dir)
            Environment(data_dir)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) == 1


def test_a_first_start_cut_short_at_any_line_is_completed(tmp_path: Path):
    """Whatever had been done: the next start makes the rest, and keeps a device id that was durable."""
    number = 0
    left_behind = set()
    while _dies_at_line(number, data_dir := tmp_path / str(number)):
        number += 1
        if not data_dir.exists():
            continue
        sizes = frozenset((path.name, path.stat().st_size) for path in data_dir.iterdir())
        if sizes in left_behind:
            continue
        left_behind.add(sizes)
        noted = read_identity(data_dir)
        made = prove_new(data_dir)
        assert noted in (None, made)
    assert number > 40, "the child died at every line of it"
    assert len(left_behind) >= 5, "nothing, an empty file, meta pages, the store, the identity aside, and in its place"
