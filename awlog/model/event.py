"""Events: what happened from `start_us` for `duration_us`, with its `data` as a payload."""

from __future__ import annotations

from typing import Final, NewType

from msgspec import Struct

from awlog.model.times import Micros

Seq = NewType("Seq", int)
"""The number of an event in its bucket: from 1, given once."""
BucketNumber = NewType("BucketNumber", int)
"""The number of a bucket: from 1, given once, below 2^21 so that every event id stays below 2^53."""
Change = NewType("Change", int)
"""When something became what it is: the number of the change, from 1, given once in the whole server."""
Payload = NewType("Payload", bytes)
"""Canonical JSON of an event's `data`: UTF-8, keys sorted, no white space. Equal data are equal bytes."""

UNNUMBERED: Final = Change(0)
"""Of what is decided and not applied yet: `apply` gives the number."""
SEQ_BITS: Final = 32
SEQ_MAX: Final = (1 << SEQ_BITS) - 1
BUCKET_NUMBER_MAX: Final = (1 << 21) - 1
assert (BUCKET_NUMBER_MAX << SEQ_BITS | SEQ_MAX) < 1 << 53, "event ids must be exact in a JavaScript number"


class Event(Struct, frozen=True, gc=False, eq=False):
    """One stored event. Frozen: a change makes a new one, so that the durable one still exists if a commit fails.

    Events that say the same are equal, whenever they became so: `change` is not compared.
    """

    seq: Seq
    start_us: Micros
    duration_us: Micros
    payload: Payload
    change: Change = UNNUMBERED

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and self._said() == other._said()

    def __ne__(self, other: object) -> bool:  # Struct has one of its own
        return not self == other

    def __hash__(self) -> int:
        return hash(self._said())

    def _said(self) -> tuple[Seq, Micros, Micros, Payload]:
        return self.seq, self.start_us, self.duration_us, self.payload

    @property
    def end_us(self) -> Micros:
        return Micros(self.start_us + self.duration_us)

    def younger_than(self, other: Event) -> bool:
        """Would this event be the tail record of a bucket that holds both? By start, then by seq."""
        return (self.start_us, self.seq) > (other.start_us, other.seq)


def event_id(bucket_number: BucketNumber, seq: Seq) -> int:
    """The id on the wire: unique in the server, because it carries the bucket."""
    return bucket_number << SEQ_BITS | seq


def seq_in_bucket(bucket_number: BucketNumber, wire_id: int) -> Seq | None:
    """The sequence number that an id names in this bucket, None if the id belongs to another or to none."""
    if wire_id <= 0 or wire_id >> SEQ_BITS != bucket_number:
        return None
    return Seq(wire_id & SEQ_MAX)
