"""A device's side of a push: what changed since the hub's cursor -> batches, posted one after the other.

The hub knows how far each bucket came, so nothing is kept here: after any failure the next round begins with a hello. What
is sent are the lines of the change feed, each thing as it is now, so a day offline is sent as finished events.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Raw, Struct

from awlog.engine.feed_lines import metadata_of
from awlog.engine.feed_page import PageEnd, head_change, read_page
from awlog.model.bucket import BucketMeta
from awlog.model.errors import AwlogError, BadRequest, Unavailable
from awlog.model.event import UNNUMBERED, Change
from awlog.model.feed import FROM_THE_BEGINNING, FeedEntry, FeedFilter, FeedRequest
from awlog.storage.live_view import LiveView, ViewAtOnce
from awlog.storage.restored import Restored

# The hub takes a batch in one turn of its loop: some 4 ms. Fewer requests would not be much faster.
BATCH_ITEMS: Final = 500
_BATCH_BYTES: Final = 256 << 10
_TIMEOUT_S: Final = 60.0
NOT_ALLOWED: Final = "The hub's token may not write this bucket"
# A cursor that another push of this device moved meanwhile is taken over so often in one round.
_CONFLICTS_MAX: Final = 3


class Hub(Struct, frozen=True):
    """Where to, and with which token."""

    url: str
    token: str | None = None
    bucket_prefixes: tuple[str, ...] = ("",)


class HubRefused(AwlogError):
    """The hub answered with an error; the text is the hub's."""

    def __init__(self, status: int, message: str, cursor: tuple[int, int] | None = None) -> None:
        super().__init__(f"The hub answered {status}: {message}")
        self.status = status
        self.cursor = cursor


class BucketPushed(Struct):
    """How far a bucket is pushed, and why no further; times as the wire writes them.

    waiting        there are changes after `change` that the hub does not have
    behind_since   the start of the oldest event among them
    unsent_since   when the oldest of them was first seen to wait; only a server that forwards knows
    unsent_s       its age now
    """

    bucket: str
    change: int = 0
    sent: int = 0
    waiting: bool = False
    behind_since: str | None = None
    unsent_since: str | None = None
    unsent_s: float | None = None
    error: str | None = None


class Cursors(Struct):
    """The hub's answer to a hello: how far each bucket came, epoch and change, and which this token may not write."""

    cursors: dict[str, tuple[int, int]]
    refused: list[str]


class HubConnection:
    """One kept connection. Blocking. Raises Unavailable if the hub cannot be reached, HubRefused."""

    def __init__(self, hub: Hub, device_id: str) -> None:
        """Raises BadRequest for what is no URL."""
        parts = urlsplit(hub.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadRequest("The hub's URL is like https://hub.example:5600")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT_S)
        self._base = parts.path.rstrip("/")
        self._device_id = device_id
        self._headers = {"Content-Type": "application/json"}
        if hub.token is not None:
            self._headers["Authorization"] = f"Bearer {hub.token}"

    def hello(self, head: Change, bucket_ids: list[str]) -> Cursors:
        """Asks how far this device's buckets came."""
        body = {"device": self._device_id, "buckets": dict.fromkeys(bucket_ids, head)}
        try:
            return msgspec.json.decode(self._post("/api/1/push/hello", body), type=Cursors)
        except msgspec.MsgspecError:
            raise Unavailable("What answers at the hub's URL is no awlog") from None

    def push(
        self,
        bucket_id: str,
        *,
        epoch: int,
        after: int,
        to: int,
        metadata: dict[str, Any] | None,
        lines: list[bytes],
    ) -> None:
        body = {
            "device": self._device_id,
            "epoch": epoch,
            "from": after,
            "to": to,
            "metadata": metadata,
            "items": [Raw(line) for line in lines],
        }
        self._post(f"/api/1/push/{quote(bucket_id, safe='')}", body)

    def close(self) -> None:
        self._connection.close()

    def _post(self, path: str, body: dict[str, Any]) -> bytes:
        try:
            self._connection.request("POST", self._base + path, msgspec.json.encode(body), self._headers)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise Unavailable(f"The hub cannot be reached: {error or type(error).__name__}") from error
        if response.status != http.client.OK:
            raise _refusal(response.status, content)
        return content


class _Refusal(Struct):
    message: str = ""
    cursor: tuple[int, int] | None = None


def _refusal(status: int, content: bytes) -> HubRefused:
    try:
        refusal = msgspec.json.decode(content, type=_Refusal)
    except msgspec.MsgspecError:
        refusal = _Refusal()
    return HubRefused(status, refusal.message, refusal.cursor)


Told = Callable[[BucketPushed], None]


def push_all(view: LiveView, hub: Hub, device_id: str, told: Told = lambda _pushed: None) -> list[BucketPushed]:
    """One round: everything that the hub does not have. What is wrong with one bucket stops no other.

    `told` how far each bucket is, at first and after each batch. Raises Unavailable, HubRefused to the hello, DataDamaged.
    """
    connection = HubConnection(hub, device_id)
    restored = Restored(view.data_dir)
    try:
        work = _work(view, connection, hub, restored)
        return [_push_bucket(view, connection, each, _noting(told, restored, hub, each)) for each in work]
    finally:
        connection.close()


def look(view: LiveView, hub: Hub, device_id: str) -> list[BucketPushed]:
    """How far each bucket is, without sending anything. Raises as `push_all`."""
    connection = HubConnection(hub, device_id)
    try:
        found = []
        for work in _work(view, connection, hub, Restored(view.data_dir)):
            with view.now() as store:
                found.append(_looked_at(store, work.bucket_id, work.after, work.head, error=work.refusal))
        return found
    finally:
        connection.close()


def look_here(view: LiveView, prefixes: tuple[str, ...], known: dict[str, Change], error: str) -> list[BucketPushed]:
    """How far each bucket is by what is known of the hub while it cannot be asked, and why that is. Raises DataDamaged."""
    with view.now() as store:
        head = head_change(store)
        own = {meta.id for meta in store.buckets() if _is_pushed(meta, prefixes)}
        found = []
        for bucket_id in sorted({*own, *known}):
            after = known.get(bucket_id, FROM_THE_BEGINNING)
            if not _can_go_on(store, after, head):
                after = FROM_THE_BEGINNING
            found.append(_looked_at(store, bucket_id, after, head, error=error))
        return found


def _looked_at(store: ViewAtOnce, bucket_id: str, after: Change, head: Change, *, error: str | None) -> BucketPushed:
    """`error` is why nothing is sent; nothing is wrong with a bucket of which there is nothing to send."""
    entries, _ = _page(store, bucket_id, after, head, entries_max=1)
    if not entries:
        return BucketPushed(bucket_id, after)
    line = msgspec.json.decode(entries[0].line)
    return BucketPushed(
        bucket_id, after, waiting=True, behind_since=line.get("event", {}).get("timestamp"), error=error
    )


class _Work(Struct):
    """What to push of one bucket: all that is behind `after`, counted in `epoch`; or why nothing of it is taken."""

    bucket_id: str
    epoch: int
    after: Change
    head: Change
    refusal: str | None
    known_from: Change = UNNUMBERED


def _name(hub: Hub, bucket_id: str) -> str:
    """Of a bucket at a hub, among those who know of a restore."""
    return f"{hub.url} {bucket_id}"


def _noting(told: Told, restored: Restored, hub: Hub, work: _Work) -> Told:
    """The hub's position is one of this store as soon as it has taken a batch of it."""

    def note(pushed: BucketPushed) -> None:
        if pushed.sent:
            restored.knows(_name(hub, work.bucket_id))
        told(pushed)

    return note


def _work(view: LiveView, connection: HubConnection, hub: Hub, restored: Restored) -> list[_Work]:
    prefixes = hub.bucket_prefixes
    with view.now() as store:
        head = head_change(store)
        own = [meta.id for meta in store.buckets() if _is_pushed(meta, prefixes)]
    there = connection.hello(head, own)
    work = []
    with view.now() as store:
        for bucket_id in sorted({*own, *(each for each in there.cursors if each.startswith(prefixes))}):
            epoch, after = there.cursors.get(bucket_id, (0, 0))
            begins_anew = (
                not epoch or not _can_go_on(store, after, head) or restored.must_begin_anew(_name(hub, bucket_id))
            )
            work.append(
                _Work(
                    bucket_id,
                    epoch + 1 if begins_anew else epoch,
                    Change(0 if begins_anew else after),
                    head,
                    NOT_ALLOWED if bucket_id in there.refused else None,
                )
            )
    return work


def _can_go_on(store: ViewAtOnce, after: int, head: Change) -> bool:
    """Not if the hub's position is of a history that is no more, because this store was restored from a backup, and not
    if deletions that it does not know are forgotten here, as they are after a repair.
    """
    return not after or store.snapshot.followed_from() <= after <= head


def _is_pushed(meta: BucketMeta, prefixes: tuple[str, ...]) -> bool:
    """A bucket that another device pushed to here is not passed on, so nothing comes back round."""
    return meta.origin is None and meta.id.startswith(prefixes)


def _push_bucket(view: LiveView, connection: HubConnection, work: _Work, told: Told) -> BucketPushed:
    if work.refusal is not None:
        with view.now() as store:
            return _looked_at(store, work.bucket_id, work.after, work.head, error=work.refusal)
    state = BucketPushed(work.bucket_id, work.after)
    told(state)
    conflicts = 0
    more = True
    while more:
        with view.now() as store:
            entries, end = _page(
                store, work.bucket_id, work.after, work.head, entries_max=BATCH_ITEMS, known_from=work.known_from
            )
            meta = next((each for each in store.buckets() if each.id == work.bucket_id), None)
        if not entries:
            break  # the cursor need not move for nothing
        metadata = None if meta is None or meta.origin is not None else metadata_of(meta)
        lines = [entry.line for entry in entries]
        try:
            connection.push(
                work.bucket_id, epoch=work.epoch, after=work.after, to=end.to, metadata=metadata, lines=lines
            )
        except HubRefused as refusal:
            conflicts += 1
            if refusal.cursor is None or conflicts > _CONFLICTS_MAX or refusal.cursor[1] > work.head:
                state.error, state.waiting = str(refusal), True
                return state
            work.epoch, work.after = max(1, refusal.cursor[0]), Change(refusal.cursor[1])
            continue
        work.after, work.known_from = Change(end.to), end.known_from
        more = end.more or end.to < work.head
        state.change, state.sent = end.to, state.sent + len(lines)
        told(state)
    return state


def _page(
    store: ViewAtOnce,
    bucket_id: str,
    after: Change,
    head: Change,
    *,
    entries_max: int,
    known_from: Change = UNNUMBERED,
) -> tuple[list[FeedEntry], PageEnd]:
    shown = FeedFilter(bucket_id=bucket_id, settings=False)
    entries: list[FeedEntry] = []
    for each in read_page(store, FeedRequest(after, head, shown, entries_max, _BATCH_BYTES, known_from)):
        if isinstance(each, PageEnd):
            return entries, each
        entries.append(each)
    raise AssertionError("a page has an end")


def unpushed(states: list[BucketPushed]) -> Iterator[BucketPushed]:
    """Those that are not where they should be."""
    return (state for state in states if state.waiting or state.error is not None)
