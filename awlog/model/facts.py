"""Facts: the closed union of what can have happened. `log/apply.py` takes each into the state, deterministically.

All but the last say something about the data. `RecordsSealed` only says where events live now; it is local to a server.

A fact that changes what a follower sees takes the next change number, one that names many events takes one for each, in
their order. `ProducerAdvanced` and `RecordsSealed` take none.
"""

from __future__ import annotations

from msgspec import Struct

from awlog.model.access import Token
from awlog.model.bucket import BucketMeta, Origin
from awlog.model.edits import SeqRange
from awlog.model.event import BucketNumber, Change, Event, Seq
from awlog.model.times import Micros


class BucketCreated(Struct, frozen=True):
    meta: BucketMeta


class BucketUpdated(Struct, frozen=True):
    meta: BucketMeta


class BucketDeleted(Struct, frozen=True):
    bucket_number: BucketNumber


class EventAppended(Struct, frozen=True):
    """A new event; its seq is the next of its bucket."""

    bucket_number: BucketNumber
    event: Event


class EventsAppended(Struct, frozen=True):
    """Many new events at once, in the order of their seqs, the first the next of its bucket.

    `sealed` are runs of them that were encoded as segments beforehand, each with the first seq as an offset of zero;
    `records` are the others.
    """

    bucket_number: BucketNumber
    event_count: int
    records: list[Event]
    sealed: list[SealedRun]


class SealedRun(Struct, frozen=True):
    """A run of events as the bytes of a segment, with what its index entry needs.

    Of new events the changes count from 1 until `apply` knows the first one's, like their seqs.
    """

    first_seq: Seq
    last_seq: Seq
    count: int
    min_start_us: Micros
    max_start_us: Micros
    max_end_us: Micros
    min_change: Change
    max_change: Change
    segment: bytes


class TailExtended(Struct, frozen=True, gc=False):
    """A heartbeat continued the tail record: only its duration changes."""

    bucket_number: BucketNumber
    seq: Seq
    duration_us: Micros


class EventsReplaced(Struct, frozen=True):
    """Stored events, each with its own seq, are something else now."""

    bucket_number: BucketNumber
    events: list[Event]


class EventDeleted(Struct, frozen=True):
    bucket_number: BucketNumber
    seq: Seq


class EventsDeleted(Struct, frozen=True):
    """Many stored events are gone: all in these ranges of seqs, ascending, each seq in them a stored event's."""

    bucket_number: BucketNumber
    ranges: list[SeqRange]


class EventsPlaced(Struct, frozen=True):
    """Events of a mirrored bucket that are new here, with the seqs that their device gave them. Ascending."""

    bucket_number: BucketNumber
    events: list[Event]


class MirrorAdvanced(Struct, frozen=True):
    """How far a mirrored bucket was pushed. No follower is told: it takes no change number."""

    bucket_number: BucketNumber
    origin: Origin


class SettingChanged(Struct, frozen=True):
    key: str
    value: bytes | None


class ProducerAdvanced(Struct, frozen=True, gc=False):
    """Everything that a producer numbered up to `last_sequence` is decided: sent again, it is a duplicate."""

    producer_id: str
    last_sequence: int


class TokenCreated(Struct, frozen=True):
    """From now on whoever asks needs a token."""

    token: Token


class TokenRevoked(Struct, frozen=True):
    token_id: str


class TokenUsed(Struct, frozen=True):
    """Told now and then, not for each use."""

    token_id: str
    used_us: Micros


class TokenBound(Struct, frozen=True):
    """From now on the token pushes as this device only."""

    token_id: str
    device_id: str


class TokensRequired(Struct, frozen=True):
    """Whether tokens are needed is remembered by itself: no token that expires or is revoked ever opens a server."""

    required: bool


class RecordsSealed(Struct, frozen=True):
    """The oldest records of a bucket's head now live in a segment, and so do the events of small segments, `merged`, which
    are named by their least seqs and are no more.
    """

    bucket_number: BucketNumber
    seqs: list[Seq]
    run: SealedRun
    merged: list[Seq] = []


Fact = (
    BucketCreated
    | BucketUpdated
    | BucketDeleted
    | EventAppended
    | EventsAppended
    | TailExtended
    | EventsReplaced
    | EventDeleted
    | EventsDeleted
    | EventsPlaced
    | MirrorAdvanced
    | SettingChanged
    | ProducerAdvanced
    | TokenCreated
    | TokenRevoked
    | TokenUsed
    | TokenBound
    | TokensRequired
    | RecordsSealed
)
