"""The change feed's words: what a follower asks for, and what it is told."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from awlog.model.event import UNNUMBERED, Change

FROM_THE_BEGINNING: Final = Change(0)


class FeedFilter(Struct, frozen=True):
    """Which buckets a follower sees: those that it asked for, of those that it may read.

    bucket_prefix   what their ids begin with; everything begins with the empty text
    bucket_id       one bucket alone, if it is not None
    readable        beginnings of the ids that may be read
    settings        may settings be read?
    """

    bucket_prefix: str = ""
    bucket_id: str | None = None
    readable: tuple[str, ...] = ("",)
    settings: bool = True

    def shows(self, bucket_id: str | None) -> bool:
        """None stands for what belongs to no bucket: settings."""
        if bucket_id is None:
            return self.settings and not self.bucket_prefix and self.bucket_id is None
        return (
            bucket_id.startswith(self.bucket_prefix)
            and self.bucket_id in (None, bucket_id)
            and bucket_id.startswith(self.readable)
        )


class FeedEntry(Struct, frozen=True, gc=False):
    """One change as it is told: `line` is a JSON object without a newline. `bucket_id` None: a setting."""

    change: Change
    bucket_id: str | None
    line: bytes


class FeedRequest(Struct, frozen=True, tag="changes"):
    """A page of changes after `after`. `head`, a durable change: all up to it are to be seen.

    `entries_max` and `bytes_max` bound the page; one entry may be longer. `known_from`: what the page before gave, to a
    follower that began anew; deletions before it are nothing to this one. 0 if nobody says so.
    """

    after: Change
    head: Change
    shown: FeedFilter
    entries_max: int
    bytes_max: int
    known_from: Change = UNNUMBERED
