"""Edits: what may be done to many stored events at once, and what a look at the store found that it means.

An edit is a rule, not a list of events. A process that reads finds which events it changes; whoever decides checks that
they are still what was seen.
"""

from __future__ import annotations

from msgspec import Struct

from awlog.model.event import BucketNumber, Event, Payload, Seq
from awlog.model.times import Micros


class FieldMatch(Struct, frozen=True):
    """Events whose data hold a value at `field`, a path with its parts between dots: equal to the JSON text `equals`, or a
    text in which `pattern` is found.
    """

    field: str
    equals: bytes | None = None
    pattern: str | None = None


class Erase(Struct, frozen=True, tag="erase"):
    """The time [start_us, end_us] is forgotten: events inside go, others lose the part that is inside."""

    start_us: Micros
    end_us: Micros
    match: FieldMatch | None = None


class Obey(Struct, frozen=True, tag="obey"):
    """Privacy filters, as the JSON text of their setting, as if each event came in now."""

    filters: bytes


class Expire(Struct, frozen=True, tag="expire"):
    """Events are too old, too many or too short. The tail record never is: it may be growing."""

    ended_before_us: Micros | None = None
    started_before_us: Micros | None = None
    shorter_than_us: Micros | None = None


Edit = Erase | Obey | Expire

SeqRange = tuple[Seq, Seq]
"""First and last, each of them and all between."""


class EventPart(Struct, frozen=True):
    """What is left of an event behind the time that was forgotten; what is left before it keeps its id."""

    start_us: Micros
    duration_us: Micros
    payload: Payload


class SegmentEdit(Struct, frozen=True):
    """What an edit makes of a segment that was seen with this revision."""

    first_seq: Seq
    revision: int
    deleted: list[SeqRange]
    changed: list[Event]
    parts: list[EventPart]


class BucketEdit(Struct, frozen=True):
    """An edit of one bucket as it was seen: `recent` are the events of its head and the tail record that it changes.

    What came since is looked at when it is decided: events from `next_seq` on, unless that is None. `revision` is the
    bucket's next one then.
    """

    bucket_number: BucketNumber
    bucket_id: str
    edit: Edit
    next_seq: Seq | None
    revision: int
    segments: list[SegmentEdit]
    recent: list[Seq]


class Edited(Struct, frozen=True):
    """How many events an edit deletes and changes. `stale`: something else had changed, so that not all of it was done."""

    deleted: int = 0
    changed: int = 0
    stale: bool = False

    def __add__(self, other: Edited) -> Edited:
        return Edited(self.deleted + other.deleted, self.changed + other.changed, self.stale or other.stale)
