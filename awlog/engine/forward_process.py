"""A process that pushes to a hub now and then: `python -m awlog.engine.forward_process`.

It opens the store read-only, so that reading, encoding and waiting for the network cost the server nothing. The first line
on stdin says what to do; each line after it asks for a round now. After each round a line on stdout says how far it is.
"""

from __future__ import annotations

import os
import select
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, field

from awlog.engine.clock import system_clock
from awlog.engine.push import BucketPushed, Hub, push_all, unpushed
from awlog.model.errors import AwlogError
from awlog.model.times import format_timestamp
from awlog.storage.environment import Environment
from awlog.storage.identity import read_identity
from awlog.storage.live_view import LiveView

_NICENESS: Final = 10
_CACHE_BYTES: Final = 4 << 20
BACKOFF_S_MAX: Final = 600.0


class ForwardOptions(Struct, frozen=True):
    data_dir: str
    hub: Hub
    interval_s: float


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
    status = ForwardStatus(options.hub.url)
    failures = 0
    while True:
        status.at = format_timestamp(system_clock())
        try:
            # Opened anew for each round: a compaction puts another file in the place of the store.
            with closing(Environment(data_dir, read_only=True)) as environment:
                status.buckets = push_all(LiveView(environment, _CACHE_BYTES), options.hub, identity.device_id)
            status.error = next((each.error for each in unpushed(status.buckets)), None)
        except AwlogError as error:
            status.error = str(error)
        if status.error is None:
            failures, status.pushed_at = 0, status.at
        else:
            failures += 1
        sys.stdout.buffer.write(msgspec.json.encode(status) + b"\n")
        sys.stdout.buffer.flush()
        if _is_over(min(BACKOFF_S_MAX, options.interval_s * 2 ** min(failures, 20))):
            return


def _is_over(wait_s: float) -> bool:
    """Waits, or until a line asks for the next round; True at the end of stdin."""
    readable, _, _ = select.select([sys.stdin.buffer], [], [], wait_s)
    return bool(readable) and not os.read(sys.stdin.fileno(), 4096)


if __name__ == "__main__":
    main()
