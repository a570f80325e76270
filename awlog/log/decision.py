"""What `decide` gives: the facts that follow from a command, and its answer."""

from __future__ import annotations

from msgspec import Struct

from awlog.model.commands import NewEvent, Taken
from awlog.model.edits import Edited
from awlog.model.errors import InsufficientStorage
from awlog.model.event import SEQ_MAX, BucketNumber, Event, Seq
from awlog.model.facts import Fact


class Stored(Struct, frozen=True):
    """The answer to a command that writes events: as they are stored, in the order given.

    `bucket_number` is None when nothing is stored: then the event is what was sent, and is shown without an id.
    `dropped`: a heartbeat that a privacy filter dropped, when `events` is the tail record, which others may have sent.
    """

    bucket_number: BucketNumber | None
    events: list[Event]
    dropped: Event | None = None

    def as_sent(self) -> Stored:
        """For whoever may read nothing but acknowledgements: without what is not the sender's own."""
        return self if self.dropped is None else Stored(None, [self.dropped])

    @property
    def first_seq(self) -> Seq:
        return self.events[0].seq

    @property
    def last_seq(self) -> Seq:
        return self.events[-1].seq


class Appended(Struct, frozen=True):
    """The answer to a command that wrote many new events: as they were given, with seqs from `first_seq` on."""

    bucket_number: BucketNumber
    first_seq: Seq
    events: list[NewEvent]

    @property
    def last_seq(self) -> Seq:
        return Seq(self.first_seq + len(self.events) - 1)


class Decision(Struct, frozen=True):
    """What happens, in order, and what the client is told when it is durable."""

    facts: list[Fact]
    answer: Stored | Appended | Taken | list[Edited] | bool | None


def given(seq: Seq) -> Seq:
    """A seq that is about to be given to a new event. Raises InsufficientStorage when there are no more."""
    if seq > SEQ_MAX:
        raise InsufficientStorage(f"This bucket has given out all its {SEQ_MAX} event ids; begin another bucket")
    return seq
