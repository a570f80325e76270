"""S12: the data directory is 0700 and its files 0600, whatever the umask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from awlog.model.errors import CannotStart
from awlog.storage.environment import prepare_directory
from awlog.storage.lock import DirectoryLock
from tests.engine.harness import Store, create, event, insert


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> str:
    return oct(path.stat().st_mode & 0o7777)


async def test_all_files_are_the_owners_alone(tmp_path: Path, umask: int):
    """After everything that makes a file: the first start, the lock, writes, another start."""
    store = Store(tmp_path / "far" / "data")
    prepare_directory(store.data_dir)
    with DirectoryLock(store.data_dir):
        engine = await store.open()
        await engine.submit(create("b"))
        await engine.insert(insert("b", *(event(n) for n in range(20))))
        engine = await store.restart()
        await engine.submit(insert("b", event(50)))
        await store.close()
    assert mode(store.data_dir) == "0o700"
    assert {path.name: mode(path) for path in store.data_dir.iterdir()} == dict.fromkeys(
        ("awlog.lock", "data.mdb", "identity.json", "lock.mdb", "newest.json"), "0o600"
    )


def test_a_directory_that_was_open_to_others_is_closed(tmp_path: Path):
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    data_dir.chmod(0o777)
    prepare_directory(data_dir)
    assert mode(data_dir) == "0o700"


def test_a_directory_that_cannot_be_made_is_said_in_one_message(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CannotStart, match="data directory"):
        prepare_directory(tmp_path / "file" / "data")
