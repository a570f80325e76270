"""`newest.json`: a change number that the store has had for certain. One with a lesser one was put in its place by somebody.

Such a store would give numbers once more, to other changes, and followers that know the old ones would miss them. So it is
taken for a restored one: its changes are counted on from the time of the start, and who is at a number below begins anew.
Noted now and then, so what was lost since the last note is not seen; all of it is after a clean stop.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

import lmdb
import msgspec

from awlog.model.errors import Unavailable
from awlog.model.event import UNNUMBERED, Change
from awlog.model.times import Micros
from awlog.storage import layout
from awlog.storage.environment import Environment
from awlog.storage.restored import note_restored
from awlog.storage.whole_file import write_whole

NEWEST_FILE: Final = "newest.json"


class _Newest(msgspec.Struct, frozen=True):
    change: Change


class NewestChange:
    """Of one data directory. A file that cannot be read or written is as none."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / NEWEST_FILE
        self.noted = UNNUMBERED
        with suppress(OSError, msgspec.MsgspecError):
            self.noted = msgspec.json.decode(self._path.read_bytes(), type=_Newest).change

    def note(self, change: Change) -> None:
        """That is durable. Two syncs, unless it is noted."""
        if change != self.noted:
            with suppress(OSError):
                write_whole(self._path, msgspec.json.encode(_Newest(change)) + b"\n")
                self.noted = change


def count_on_from(environment: Environment, now_us: Micros, next_change: Change) -> None:
    """As a restore does it: durable when it returns. Raises Unavailable."""
    row = layout.encode_restored_change(Change(max(now_us, next_change)))
    try:
        note_restored(environment.data_dir)
        with environment.lmdb.begin(write=True) as txn:
            txn.put(layout.RESTORED_CHANGE_KEY, row, db=environment.databases[layout.META])
    except (OSError, lmdb.Error) as error:
        raise Unavailable(f"What was put in the place of the store cannot be counted on from now: {error}") from error
