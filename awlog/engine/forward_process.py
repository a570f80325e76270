"""A process that pushes to a hub now and then: `python -m awlog.engine.forward_process`.

It opens the store read-only, so that reading, encoding and waiting for the network cost the server nothing. The first line
on stdin says what to do; each line after it asks for a round now. After each round a line on stdout says how far it is, and
a file keeps that, so that a laptop that is offline for a week, and started each morning, knows for how long.
"""

from __future__ import annotations

import os
import select
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from awlog.engine.clock import system_clock
from awlog.engine.push import NOT_ALLOWED, BucketPushed, Hub, look_here, push_all, unpushed
from awlog.model.errors import AwlogError
from awlog.model.event import Change
from awlog.model.times import format_timestamp
from awlog.storage.environment import Environment
from awlog.storage.identity import read_identity
from awlog.storage.live_view import LiveView
from awlog.storage.whole_file import write_whole

_NICENESS: Final = 10
_CACHE_BYTES: Final = 4 << 20
BACKOFF_S_MAX: Final = 600.0
STATUS_FILE: Final = "forward.json"


class ForwardOptions(Struct, frozen=True):
    data_dir: str
    hub: Hub
    interval_s: float
    token_file: str | None = None

    @property
    def hub_now(self) -> Hub:
        """With the token that stands in the file now: who puts another one there need not start the server anew."""
        if self.token_file is None:
            return self.hub
        try:
            return replace(self.hub, token=Path(self.token_file).read_text("utf-8").strip())
        except (OSError, UnicodeDecodeError):  # it was there at the start: somebody is at it
            return self.hub


class ForwardStatus(Struct):
    """What a round came to. `pushed_at`: the last round in which everything was sent; times as the wire writes them."""

    hub: str
    at: str = ""
    pushed_at: str | None = None
    error: str | None = None
    buckets: list[BucketPushed] = field(default_factory=list)


def main() -> None:
    """Ends with its stdin."""
    if os.name == "posix":
        os.nice(_NICENESS)
    options = msgspec.json.decode(sys.stdin.buffer.readline(), type=ForwardOptions)
    data_dir = Path(options.data_dir)
    identity = read_identity(data_dir)
    assert identity is not None, "a server runs on this directory"
    status = _read_status(data_dir, options.hub)
    failures = 0
    while True:
        failures = 0 if _round(data_dir, options.hub_now, identity.device_id, status) else failures + 1
        sys.stdout.buffer.write(msgspec.json.encode(status) + b"\n")
        sys.stdout.buffer.flush()
        if _is_over(min(BACKOFF_S_MAX, options.interval_s * 2 ** min(failures, 20))):
            return


def _round(data_dir: Path, hub: Hub, device_id: str, status: ForwardStatus) -> bool:
    """Pushes, and brings the status up to date. False if it should wait longer for the next one."""
    before = {each.bucket: each for each in status.buckets}
    known = {each.bucket: Change(each.change) for each in status.buckets}

    def note(pushed: BucketPushed) -> None:
        known[pushed.bucket] = Change(pushed.change)

    status.at = format_timestamp(system_clock())
    try:
        # Opened anew for each round: a compaction puts another file in the place of the store.
        with closing(Environment(data_dir, read_only=True)) as environment:
            view = LiveView(environment, _CACHE_BYTES)
            try:
                status.buckets = push_all(view, hub, device_id, note)
                status.error = None
            except AwlogError as error:
                status.error = str(error)
                status.buckets = look_here(view, hub.bucket_prefixes, known, status.error)
    except AwlogError as error:
        status.error = str(error)
    refused = next(unpushed(status.buckets), None)
    if status.error is None and refused is not None:
        status.error = refused.error
    if status.error is None:
        status.pushed_at = status.at
    for each in status.buckets:
        if each.waiting:
            was = before.get(each.bucket)
            still = was is not None and was.change == each.change
            each.unsent_since = (was.unsent_since if was is not None and still else None) or status.at
    if {each.bucket: each for each in status.buckets} != before:
        with suppress(OSError):  # no room for it: then it is remembered until the server ends
            write_whole(data_dir / STATUS_FILE, msgspec.json.encode(status))
    # What the token may not write is not sent: to find that again costs nothing, and others need not wait for it.
    return status.error is None or (refused is not None and _is_taken(status.buckets))


def _is_taken(buckets: list[BucketPushed]) -> bool:
    """Was everything taken that this token may write?"""
    return all(each.error in (None, NOT_ALLOWED) for each in buckets)


def _read_status(data_dir: Path, hub: Hub) -> ForwardStatus:
    """What is known of this hub since the last time; nothing if that cannot be read."""
    try:
        status = msgspec.json.decode((data_dir / STATUS_FILE).read_bytes(), type=ForwardStatus)
    except (OSError, msgspec.MsgspecError):
        return ForwardStatus(hub.url)
    return status if status.hub == hub.url else ForwardStatus(hub.url)


def _is_over(wait_s: float) -> bool:
    """Waits, or until a line asks for the next round; True at the end of stdin."""
    readable, _, _ = select.select([sys.stdin.buffer], [], [], wait_s)
    return bool(readable) and not os.read(sys.stdin.fileno(), 4096)


if __name__ == "__main__":
    main()
