"""A process that tells webhooks what changed: `python -m awlog.engine.webhook_process`.

It opens the store read-only. How far each webhook was told stands in a file beside the store, replaced after each delivery
that was taken: after a crash the last one may come again, under the same `Awlog-Delivery`.
"""

from __future__ import annotations

import hashlib
import os
import select
import sys
import time
from collections import deque
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Raw, Struct, field

from awlog.engine.clock import system_clock
from awlog.engine.feed_page import PageEnd, head_change, read_page
from awlog.engine.webhook import NotDelivered, Webhook, deliver
from awlog.model.errors import AwlogError, ChangesGone
from awlog.model.event import Change
from awlog.model.feed import FeedEntry, FeedFilter, FeedRequest
from awlog.model.times import format_timestamp
from awlog.storage.environment import DATA_FILE, Environment
from awlog.storage.identity import read_identity
from awlog.storage.live_view import LiveView
from awlog.storage.whole_file import write_whole

POSITIONS_FILE: Final = "webhooks.json"
DELIVERIES_KEPT: Final = 100
BACKOFF_S_MAX: Final = 600.0
_BATCH_ENTRIES: Final = 500
_BATCH_BYTES: Final = 256 << 10
_NICENESS: Final = 10
_CACHE_BYTES: Final = 4 << 20


class WebhookOptions(Struct, frozen=True):
    data_dir: str
    hooks: list[Webhook]
    interval_s: float


class Delivery(Struct):
    """One attempt, for the log of deliveries. `id` is the same when it is tried again."""

    at: str
    url: str
    id: str
    changes: int
    attempt: int
    status: int | None = None
    error: str | None = None


class WebhookStatus(Struct):
    deliveries: list[Delivery] = field(default_factory=list)


class _Told(Struct):
    """How far a webhook is, and when it is tried again after failures."""

    position: Change
    failures: int = 0
    not_before_s: float = 0.0


class _Sender:
    """All webhooks of one store."""

    def __init__(self, options: WebhookOptions) -> None:
        self._data_dir = Path(options.data_dir)
        self._hooks = options.hooks
        self._interval_s = options.interval_s
        self._known: dict[str, int] = _read_positions(self._data_dir)
        self._told: dict[str, _Told] = {}
        self._deliveries: deque[Delivery] = deque(maxlen=DELIVERIES_KEPT)
        identity = read_identity(self._data_dir)
        assert identity is not None, "a server runs on this directory"
        self._device_id = identity.device_id

    def round(self, view: LiveView) -> WebhookStatus | None:
        """Tells each webhook what it does not know yet; None if there was nothing to tell. Raises DataDamaged."""
        before = len(self._deliveries), self._deliveries[-1] if self._deliveries else None
        for hook in self._hooks:
            while self._tell_next(view, hook):
                pass
        after = len(self._deliveries), self._deliveries[-1] if self._deliveries else None
        return None if after == before else WebhookStatus(list(self._deliveries))

    def _tell_next(self, view: LiveView, hook: Webhook) -> bool:
        """One batch. Is there more to tell now?"""
        key = _key(hook)
        with view.now() as store:
            head = head_change(store)
            told = self._told.get(key)
            if told is None:
                # A webhook that is new begins now.
                told = self._told[key] = _Told(Change(min(self._known.get(key, head), head)))
            if time.monotonic() < told.not_before_s or told.position >= head:
                self._keep(key, told)
                return False
            shown = FeedFilter(readable=hook.bucket_prefixes, settings=False)
            request = FeedRequest(told.position, head, shown, _BATCH_ENTRIES, _BATCH_BYTES)
            entries: list[FeedEntry] = []
            end = PageEnd(head, more=False)
            try:
                for each in read_page(store, request):
                    if isinstance(each, PageEnd):
                        end = each
                    else:
                        entries.append(each)
            except ChangesGone:
                entries = []  # deletions of long ago are forgotten: it goes on from here
        if entries and not self._deliver(hook, told, entries, end.to):
            return False
        told.position = end.to
        self._keep(key, told)
        return end.more

    def _deliver(self, hook: Webhook, told: _Told, entries: list[FeedEntry], to: Change) -> bool:
        delivery_id = f"{self._device_id}-{told.position}-{to}"
        body = msgspec.json.encode(
            {
                "delivery": delivery_id,
                "device": self._device_id,
                "changes": [Raw(entry.line) for entry in entries],
            }
        )
        at = format_timestamp(system_clock())
        attempt = Delivery(at, hook.shown, delivery_id, len(entries), told.failures + 1)
        try:
            attempt.status = deliver(hook, body, delivery_id=delivery_id, timestamp_s=int(time.time()))
            told.failures = 0
        except NotDelivered as failure:
            attempt.error = str(failure)
            told.failures += 1
            wait_s = min(BACKOFF_S_MAX, self._interval_s * 2 ** min(told.failures, 20))
            told.not_before_s = time.monotonic() + wait_s
        self._deliveries.append(attempt)
        return attempt.error is None

    def _keep(self, key: str, told: _Told) -> None:
        if self._known.get(key) != told.position:
            self._known[key] = told.position
            write_whole(self._data_dir / POSITIONS_FILE, msgspec.json.encode(self._known))


def _key(hook: Webhook) -> str:
    """Of what a webhook is told, and where: another URL or other buckets are another webhook."""
    text = "\n".join([hook.url, *hook.bucket_prefixes])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read_positions(data_dir: Path) -> dict[str, int]:
    """Empty if there are none that can be read: then all begin now."""
    try:
        return msgspec.json.decode((data_dir / POSITIONS_FILE).read_bytes(), type=dict[str, int])
    except (OSError, msgspec.MsgspecError):
        return {}


def main() -> None:
    """Ends with its stdin."""
    if os.name == "posix":
        os.nice(_NICENESS)
    options = msgspec.json.decode(sys.stdin.buffer.readline(), type=WebhookOptions)
    sender = _Sender(options)
    data_file = Path(options.data_dir) / DATA_FILE
    while True:
        inode = data_file.stat().st_ino
        with closing(Environment(Path(options.data_dir), read_only=True)) as environment:
            view = LiveView(environment, _CACHE_BYTES)
            while data_file.stat().st_ino == inode:  # a compaction puts another file in its place
                status: WebhookStatus | None = None
                try:
                    status = sender.round(view)
                except (AwlogError, OSError):
                    time.sleep(1)  # damaged, or no room for the position: the server says so
                asked, is_over = _asked(options.interval_s, told=status)
                if is_over:
                    return
                if asked:
                    _tell(sender.round(view) or WebhookStatus())


def _asked(wait_s: float, *, told: WebhookStatus | None) -> tuple[bool, bool]:
    """Tells what there is to tell, then waits: was there a line that asks for a round, and is stdin at its end?"""
    if told is not None:
        _tell(told)
    readable, _, _ = select.select([sys.stdin.buffer], [], [], wait_s)
    if not readable:
        return False, False
    is_over = not os.read(sys.stdin.fileno(), 4096)
    return not is_over, is_over


def _tell(status: WebhookStatus) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(status) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
