"""Makes the golden store of today's format: `python -m tests.golden.make_store`, once, when a format is released.

It prints the digest, which belongs into `test_stores.py`. A store that is there is never made again: it must open for ever.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import zstandard

from awlog.model.access import Grant, Scope
from awlog.model.commands import (
    ChangeSetting,
    DeleteBucket,
    DeleteEvent,
    Producer,
    PushChanges,
    PushedItem,
    SendHeartbeats,
)
from awlog.model.event import BucketNumber, Event, Seq, event_id
from awlog.model.times import Micros
from awlog.storage import layout
from awlog.storage.backup import back_up
from tests.engine.harness import NOW_US, Store, beat, create, event, insert, payload, small_segments


def golden_file(format_version: int) -> Path:
    return Path(__file__).with_name(f"store-of-format-{format_version}.mdb.zst")


async def fill(store: Store) -> None:
    """Something of each kind: segments with and without gaps, heads, tail records, every tombstone, what is mirrored."""
    engine = await store.open()
    for bucket_id in ("window", "gone", "afk", "empty"):
        await engine.submit(create(bucket_id))
    await engine.insert(insert("window", *(event(100 * n, 10.5, f"title {n % 4} é") for n in range(13))))
    for n in range(13, 30):
        await engine.submit(insert("window", event(90 * n, 10, f"title {n % 5}")))
    await engine.upkept()
    await engine.submit(DeleteEvent("window", event_id(BucketNumber(1), Seq(15))))
    await engine.submit(DeleteEvent("window", event_id(BucketNumber(1), Seq(29))))
    for n in range(5):
        await engine.submit(beat("afk", 50 + 5 * n, 5, "afk" if n < 3 else "not-afk"))
    await engine.submit(insert("gone", event(1), event(2)))
    await engine.submit(DeleteBucket("gone"))
    pushed = [Event(Seq(n), Micros(n * 1_000_000), Micros(500_000), payload("pushed")) for n in range(1, 7)]
    items = [PushedItem(event=each) for each in pushed]
    await engine.submit(PushChanges("6f1c0000-laptop", "notes", 1, 0, 6, create("notes"), items))
    gone = [PushedItem(gone=(Seq(2), Seq(4)))]
    await engine.submit(PushChanges("6f1c0000-laptop", "notes", 1, 6, 9, create("notes"), gone))
    for key, value in (("theme", b'"dark"'), ("views", b'[1,{"a":null}]'), ("gone", b"1"), ("gone", None)):
        await engine.submit(ChangeSetting(key, value))
    await engine.submit_heartbeats(SendHeartbeats([None], Producer("phone", 7)))
    await engine.submit_heartbeats(SendHeartbeats([None], Producer("laptop", 1)))
    await engine.tokens.create("phone", [Grant(Scope.APPEND, "phone-")], None)
    await engine.tokens.create("me", [Grant(Scope.ADMIN)], Micros(NOW_US + 1_000_000))
    await store.close()


def main() -> None:
    target = golden_file(layout.FORMAT_VERSION)
    assert not target.exists(), "it was released"
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "data")
        with small_segments():
            asyncio.run(fill(store))
        made = back_up(store.data_dir, Path(folder) / "backup", made_us=NOW_US)
        target.write_bytes(zstandard.compress(Path(made.file).read_bytes(), 19))
    print(target, target.stat().st_size, made)  # noqa: T201


if __name__ == "__main__":
    main()
