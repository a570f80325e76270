"""U1: a store of every released format opens, whole, with all that was in it: one small file for each (`make_store.py`)."""

from __future__ import annotations

from pathlib import Path

import pytest
import zstandard

from awlog.storage import layout
from awlog.storage.backup import restore
from awlog.storage.environment import DATA_FILE, stored_format
from tests.engine.harness import NOW_US, Store, beat, starts_s
from tests.faults.conftest import digest, verify
from tests.golden.make_store import golden_file
from tests.server import Server

# Of what each holds, by its format. Another digest of the same content, in a newer format, is the newer one's.
DIGESTS = {1: "6e37294fb43a9c6ef4bbcec6bfbd03be"}


def unpacked(format_version: int, to: Path) -> Path:
    to.write_bytes(zstandard.decompress(golden_file(format_version).read_bytes()))
    return to


def test_there_is_a_store_of_every_format():
    """Whoever raises the number makes the last store of the old one, and a digest."""
    assert set(DIGESTS) == set(range(1, layout.FORMAT_VERSION + 1))


@pytest.mark.parametrize("format_version", DIGESTS)
def test_a_server_opens_the_store_of_each_format(tmp_path: Path, format_version: int):
    data_dir = tmp_path / "data"
    data_dir.mkdir(0o700)
    assert stored_format(unpacked(format_version, data_dir / DATA_FILE).parent) == format_version
    with Server(data_dir) as server:
        assert stored_format(data_dir) == layout.FORMAT_VERSION
        assert server.stop() == 0
    verify(data_dir)
    assert digest(data_dir) == DIGESTS[format_version]


@pytest.mark.parametrize("format_version", DIGESTS)
async def test_a_backup_of_each_format_is_restored_and_goes_on(tmp_path: Path, format_version: int):
    """Read by eye: buckets, counts, both ends of a bucket, settings, tokens, producers, what is mirrored."""
    backup = unpacked(format_version, tmp_path / "backup")
    assert restore(backup, tmp_path / "data", new_device=False, restored_us=NOW_US).digest == DIGESTS[format_version]
    store = Store(tmp_path / "data")
    engine = await store.open()
    events = {bucket.meta.id: await engine.events(bucket.meta.id) for bucket in engine.reads.buckets()}
    assert {bucket_id: len(held) for bucket_id, held in events.items()} == {
        "window": 28,
        "afk": 2,
        "empty": 0,
        "notes": 3,
    }
    assert (starts_s(events["window"])[0], starts_s(events["window"])[-1]) == (2610, 0)
    assert events["window"][-1]["data"] == {"d": "title 0 é"}
    assert [event["duration"] for event in events["afk"]] == [10, 15]
    assert engine.reads.settings() == {"theme": b'"dark"', "views": b'[1,{"a":null}]'}
    assert sorted(token.name for token in engine.durable_state.tokens.values()) == ["me", "phone"]
    assert (engine.reads.last_sequence("phone"), engine.reads.last_sequence("laptop")) == (7, 1)
    assert engine.reads.push_cursors("6f1c0000-laptop") == {"notes": (1, 9)}
    assert len(engine.durable_state.bucket("window").index) > 1
    await engine.submit(beat("afk", 75, 5, "not-afk"))
    assert (await engine.events("afk"))[0]["duration"] == 15
    await store.close()
