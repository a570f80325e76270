"""The change feed: pages from the disk against a plain list of all that has a number, and the ring of the live part."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from awlog.engine import feed as feed_module
from awlog.engine.feed import COALESCE_S, Feed, Told
from awlog.engine.feed_page import PageEnd, read_page
from awlog.log.state import State
from awlog.log.write_set import WriteSet
from awlog.model.commands import ChangeSetting, DeleteBucket, DeleteEvent, UpdateBucket
from awlog.model.errors import ChangesGone
from awlog.model.event import UNNUMBERED, Change
from awlog.model.feed import FeedEntry, FeedFilter, FeedRequest
from awlog.storage import writer as writer_module
from awlog.storage.live_view import LiveView
from tests.engine.harness import Store, WatchedEngine, beat, create, event, insert, small_segments

ALL = FeedFilter()


@pytest.fixture(autouse=True)
def _small_segments() -> Iterator[None]:
    with small_segments():
        yield


async def filled(store: Store) -> WatchedEngine:
    """Two buckets that share the numbers, with segments whose changes overlap, edits in them, and tombstones."""
    engine = await store.open()
    random = Random(1)
    for name in ("main", "other", "gone"):
        await engine.submit(create(name))
    for n in range(60):
        await engine.submit(insert("main" if n % 3 else "other", event(n, 1, f"title {n % 4}")))
        await engine.submit(beat("other", 1000 + n, 0, f"title {n // 9}"))
    await engine.insert(insert("other", *(event(n) for n in range(9))))
    await engine.upkept()
    for name in ("main", "other"):
        ids = await engine.ids(name)
        for one in random.sample(ids, 6):
            await engine.submit(insert(name, event(random.randrange(900), 2, "edited", wire_id=one)))
        for one in random.sample(ids, 4):
            await engine.submit(DeleteEvent(name, one))
    await engine.submit(insert("gone", event(1)))
    await engine.submit(ChangeSetting("a", b"1"))
    await engine.submit(ChangeSetting("b", b"[2]"))
    await engine.submit(UpdateBucket("main", None, None, "renamed", None, None))
    await engine.submit(ChangeSetting("a", None))
    await engine.submit(DeleteEvent("gone", (await engine.ids("gone"))[0]))
    await engine.submit(DeleteBucket("gone"))
    await engine.upkept()
    assert len(engine.durable_state.bucket("main").index) > 3
    return engine


def page(
    view: LiveView,
    after: int,
    head: int,
    *,
    shown: FeedFilter = ALL,
    entries_max: int = 10_000,
    known_from: Change = UNNUMBERED,
) -> tuple[list[FeedEntry], PageEnd]:
    with view.now() as store:
        request = FeedRequest(Change(after), Change(head), shown, entries_max, 1 << 20, known_from)
        *entries, end = read_page(store, request)
    assert isinstance(end, PageEnd)
    return entries, end  # type: ignore[return-value]


async def test_a_page_tells_all_that_is_newer_each_thing_once_and_in_order(tmp_path: Path):
    """Events as they are now, wherever they live; buckets, settings, and what is gone."""
    store = Store(tmp_path / "data")
    engine = await filled(store)
    view, head = LiveView(engine.environment, 1 << 20), engine.durable_state.head_change
    entries, end = page(view, 0, head)
    assert end.to == head
    told = [json.loads(entry.line) for entry in entries]
    numbers = [one["change"] for one in told]
    assert numbers == sorted(set(numbers))
    for name in ("main", "other"):
        events = {
            one["event"]["id"]: one["event"] for one in told if one.get("bucket") == name and one["kind"] == "event"
        }
        assert events == {one["id"]: one for one in await engine.events(name)}
        gone = [one["id"] for one in told if one.get("bucket") == name and one["kind"] == "event_deleted"]
        assert len(gone) == len(set(gone)) == 4
        assert not set(gone) & set(events)
    assert [(one["key"], one["value"]) for one in told if one["kind"] == "setting"] == [("b", [2]), ("a", None)]
    assert [one["bucket"] for one in told if one["kind"] == "bucket"] == ["other", "main"]
    assert [one["bucket"] for one in told if one["kind"] == "bucket_deleted"] == ["gone"]
    assert not any(one["kind"] == "event_deleted" and one["bucket"] == "gone" for one in told)
    for after in range(0, head + 1, 7):
        assert page(view, after, head)[0] == [entry for entry in entries if entry.change > after]
    await store.close()


@pytest.mark.parametrize("entries_max", [1, 2, 3, 10, 40])
async def test_pages_of_any_length_come_to_the_same(tmp_path: Path, entries_max: int):
    """Each begins where the one before says; none is longer than it may be."""
    store = Store(tmp_path / "data")
    engine = await filled(store)
    view, head = LiveView(engine.environment, 1 << 20), engine.durable_state.head_change
    for shown in (
        ALL,
        FeedFilter(bucket_prefix="ma"),
        FeedFilter(bucket_id="other"),
        FeedFilter(readable=("mai", "go"), settings=False),
    ):
        whole = [entry for entry in page(view, 0, head)[0] if shown.shows(entry.bucket_id)]
        found, at = [], 0
        while True:
            entries, end = page(view, at, head, shown=shown, entries_max=entries_max)
            assert len(entries) <= entries_max
            found += entries
            if end.to == at or end.to >= head:
                break
            at = end.to
        assert found == whole
        assert whole
    await store.close()


async def test_who_asks_for_forgotten_deletions_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """But a beginning needs none of them."""
    monkeypatch.setattr(writer_module, "TOMBSTONES_MAX", 3)
    store = Store(tmp_path / "data")
    engine = await filled(store)
    view, head = LiveView(engine.environment, 1 << 20), engine.durable_state.head_change
    with pytest.raises(ChangesGone, match="since=0"):
        page(view, 5, head)
    assert page(view, 0, head)[1].to == head
    await store.close()


async def test_a_beginning_of_many_pages_needs_no_forgotten_deletions_on_any_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its later pages begin at numbers whose deletions are forgotten; what is forgotten after it began it would miss."""
    monkeypatch.setattr(writer_module, "TOMBSTONES_MAX", 3)
    monkeypatch.setattr(feed_module, "_PAGE_ENTRIES", 2)
    store = Store(tmp_path / "data")
    engine = await filled(store)
    view, head = LiveView(engine.environment, 1 << 20), engine.durable_state.head_change
    whole = [entry.change for entry in page(view, 0, head)[0]]
    assert len(whole) > 20
    following = engine.feed.follow(Change(0), ALL)
    assert await numbers_until_quiet(following) == whole
    await following.aclose()
    _, end = page(view, 0, head, entries_max=2)
    assert end.to < end.known_from < head
    assert page(view, end.to, head, known_from=end.known_from)[1].to == head
    for one in (await engine.ids("main"))[:5]:
        await engine.submit(DeleteEvent("main", one))
    with pytest.raises(ChangesGone):
        page(view, end.to, head, known_from=end.known_from)
    await store.close()


async def test_a_follower_goes_from_the_disk_to_the_ring_without_a_gap(tmp_path: Path):
    """From the beginning to what is written while it follows; a reader process reads the pages."""
    store = Store(tmp_path / "data")
    engine = await filled(store)
    following = engine.feed.follow(Change(0), ALL)
    numbers = await numbers_until_quiet(following)
    assert numbers == sorted(set(numbers))
    await engine.submit(insert("main", event(5000), event(5001)))
    await engine.insert(insert("main", *(event(6000 + n) for n in range(30))))  # read from the disk
    await engine.submit(insert("main", event(7000)))
    head = engine.durable_state.head_change
    newer: list[int] = []
    while not newer or newer[-1] < head:
        newer += await numbers_until_quiet(following)
    assert newer == list(range(head - 32, head + 1))
    engine.feed.close()
    assert [told async for told in following] == []
    await store.close()


async def numbers_until_quiet(following: AsyncGenerator[Told | None]) -> list[int]:
    numbers: list[int] = []
    while (told := await anext(following)) is not None:
        numbers += [entry.change for entry in told.entries]
    return numbers


# The ring alone, with a clock of the test's own


class Ring:
    """A feed that is told what an engine makes durable, and whose disk says only that it was asked."""

    def __init__(self, engine: WatchedEngine) -> None:
        self.now_s = 100.0
        self.asked: list[int] = []
        self.feed = Feed(self._read, now_s=lambda: self.now_s)
        self._engine = engine
        self.feed.restart(engine.durable_state.head_change)
        taken = engine._take_durable

        def take(writes: WriteSet, txn_id: int) -> None:
            taken(writes, txn_id)
            self.feed.settle(writes, engine.durable_state)

        engine._committer._on_durable = take

    async def _read(self, request: FeedRequest) -> AsyncGenerator[list[FeedEntry] | PageEnd]:
        self.asked.append(request.after)
        yield PageEnd(request.head, more=False)

    async def told(self, following: AsyncGenerator[Told | None]) -> list[dict[str, Any]]:
        """What there is to be told now."""
        told: list[dict[str, Any]] = []
        while (one := await anext(following)) is not None:
            told += [json.loads(entry.line) for entry in one.entries]
        return told

    def follow(self, shown: FeedFilter = ALL) -> AsyncGenerator[Told | None]:
        return self.feed.follow(self.feed.head, shown, idle_s=0)


async def test_an_event_that_grows_is_told_once_a_second_and_what_is_behind_it_waits(tmp_path: Path):
    """The last state always arrives, in order; what comes before it does not wait."""
    store = Store(tmp_path / "data")
    engine = await store.open()
    await engine.submit(create("main"))
    ring = Ring(engine)
    following = ring.follow()
    assert await ring.told(following) == []
    await engine.submit(beat("main", 0))
    assert [one["event"]["duration"] for one in await ring.told(following)] == [0.0]
    for second in (1, 2, 3):
        await engine.submit(ChangeSetting("k", b"%d" % second) if second == 2 else beat("main", second))
    ring.feed.release_due()
    assert [one["kind"] for one in await ring.told(following)] == ["setting"], "the event moved behind it"
    await engine.submit(insert("main", event(50, 1, "next")))
    assert await ring.told(following) == [], "it waits for the event before it"
    ring.now_s += COALESCE_S
    ring.feed.release_due()
    assert [one["event"]["duration"] for one in await ring.told(following)] == [3.0, 1.0]
    await following.aclose()
    await store.close()


async def test_whoever_is_behind_the_ring_reads_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """After more changes than it holds, and after a bulk, of which it holds nothing."""
    monkeypatch.setattr(feed_module, "_RING_ENTRIES_MAX", 3)
    store = Store(tmp_path / "data")
    engine = await store.open()
    await engine.submit(create("main"))
    ring = Ring(engine)
    slow, quick = ring.follow(), ring.follow()
    assert await ring.told(slow) == await ring.told(quick) == []
    begin = ring.feed.head
    for n in range(6):
        await engine.submit(insert("main", event(100 * n)))
        assert len(await ring.told(quick)) == 1
    assert ring.asked == []
    await ring.told(slow)
    assert ring.asked == [begin]
    await engine.insert(insert("main", *(event(n) for n in range(20))))
    await ring.told(quick)
    assert ring.asked == [begin, begin + 6]
    for each in (slow, quick):
        await each.aclose()
    await store.close()


async def test_a_commit_of_very_many_records_is_read_from_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """To hold each of them would take the loop too long."""
    monkeypatch.setattr(feed_module, "_COMMIT_ENTRIES_MAX", 3)
    store = Store(tmp_path / "data")
    engine = await store.open()
    await engine.submit(create("main"))
    ring = Ring(engine)
    following = ring.follow()
    assert await ring.told(following) == []
    await engine.submit(insert("main", event(1), event(2), event(3)))
    assert len(await ring.told(following)) == 3
    begin = ring.feed.head
    await engine.submit(insert("main", *(event(100 + n) for n in range(6))))
    await ring.told(following)
    assert ring.asked == [begin]
    await following.aclose()
    await store.close()


async def test_without_a_follower_nothing_is_held(tmp_path: Path):
    """And nothing is looked at: `settle` gets a write set that has nothing to look at."""
    store = Store(tmp_path / "data")
    await store.open()
    feed = Feed(lambda _request: pytest.fail("nobody asks"))
    state = State()
    state.next_change = Change(9)
    feed.settle(None, state)  # type: ignore[arg-type]
    assert feed.head == 8
    await store.close()


async def test_a_change_that_was_never_made_is_refused(tmp_path: Path):
    """Of a store that was restored from a backup, perhaps: what comes under that number is something else."""
    store = Store(tmp_path / "data")
    engine = await store.open()
    with pytest.raises(ChangesGone):
        await anext(engine.feed.follow(Change(1), ALL))
    await store.close()
