"""U4: an awlog that is too old for a store says so, with both numbers, and touches nothing."""

from __future__ import annotations

from pathlib import Path

import lmdb
import pytest

from awlog.model.errors import CannotStart, FormatTooNew
from awlog.storage import layout
from awlog.storage.environment import DATA_FILE, Environment, create_if_new
from awlog.storage.identity import IDENTITY_FILE, read_identity, write_identity
from tests.engine.harness import Store
from tests.storage.raw import tables
from tests.storage.test_identity import files

NEWER = layout.FORMAT_VERSION + 1


def _make_newer(store: Store, *, data: bool, identity: bool) -> None:
    if data:
        with tables(store.data_dir) as rows:
            rows.put(layout.META, layout.FORMAT_KEY, str(NEWER).encode())
    if identity:
        known = read_identity(store.data_dir)
        assert known is not None
        write_identity(store.data_dir, type(known)(NEWER, known.device_id))


@pytest.mark.parametrize(("data", "identity"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("read_only", [False, True])
async def test_a_newer_format_is_refused_and_nothing_touched(store: Store, data: bool, identity: bool, read_only: bool):
    """Whichever of the two witnesses says it, a server and `verify` refuse; the message has both numbers."""
    _make_newer(store, data=data, identity=identity)
    before = files(store.data_dir)
    with pytest.raises(FormatTooNew, match=rf"\b{NEWER}\b.*\b{layout.FORMAT_VERSION}\b"):
        create_if_new(store.data_dir)
        Environment(store.data_dir, read_only=read_only)
    assert files(store.data_dir) == before


async def test_a_newer_format_without_an_identity_gets_none(store: Store):
    _make_newer(store, data=True, identity=False)
    (store.data_dir / IDENTITY_FILE).unlink()
    before = files(store.data_dir)
    with pytest.raises(FormatTooNew):
        create_if_new(store.data_dir)
    assert files(store.data_dir) == before


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_format_with_other_tables_is_refused_and_nothing_touched(tmp_path: Path, read_only: bool):
    """None of this version's tables is made in it."""
    theirs = lmdb.open(str(tmp_path), max_dbs=4)
    meta = theirs.open_db(layout.META)
    with theirs.begin(write=True, db=meta) as txn:
        txn.put(layout.FORMAT_KEY, b"12")
    theirs.close()
    before = (tmp_path / DATA_FILE).read_bytes()
    with pytest.raises(FormatTooNew, match=r"\b12\b"):
        Environment(tmp_path, read_only=read_only)
    assert (tmp_path / DATA_FILE).read_bytes() == before


@pytest.mark.parametrize("value", [b"", b"x", b"\xff", b"-1", b"1.0", None])
async def test_a_damaged_format_number_is_refused_and_nothing_touched(store: Store, value: bytes | None):
    with tables(store.data_dir) as rows:
        if value is None:
            rows.delete(layout.META, layout.FORMAT_KEY)
        else:
            rows.put(layout.META, layout.FORMAT_KEY, value)
    before = files(store.data_dir)
    with pytest.raises(CannotStart):
        Environment(store.data_dir)
    assert files(store.data_dir) == before


async def test_a_refused_store_is_let_go(store: Store):
    """The same process may open it again, when the newer version's number was a mistake of the test."""
    _make_newer(store, data=True, identity=False)
    with pytest.raises(FormatTooNew):
        Environment(store.data_dir)
    with tables(store.data_dir) as rows:
        rows.put(layout.META, layout.FORMAT_KEY, str(layout.FORMAT_VERSION).encode())
    engine = await store.open()
    assert len(await engine.events("main")) == 16
    await store.close()
