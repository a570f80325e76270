"""Commands: the closed union of what a client may ask to be changed. Values are checked and in inner units already."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field

from awlog.model.access import Token
from awlog.model.edits import BucketEdit
from awlog.model.errors import AwlogError, Refused
from awlog.model.event import Event, Payload, Seq
from awlog.model.facts import SealedRun
from awlog.model.times import Micros


class CreateBucket(Struct, frozen=True):
    """Refused with BucketExists if the id is taken."""

    bucket_id: str
    type: str
    client: str
    hostname: str
    created_us: Micros
    name: str | None
    data: Payload


class UpdateBucket(Struct, frozen=True):
    """Changes the fields that are not None; `device_id` is put into `data`, into that of the bucket if none is given."""

    bucket_id: str
    type: str | None
    client: str | None
    hostname: str | None
    name: str | None
    data: Payload | None
    device_id: str | None = None


class DeleteBucket(Struct, frozen=True):
    bucket_id: str


class NewEvent(Struct, frozen=True, gc=False):
    """An event as a client sends it; `wire_id` asks for the replacement of a stored one."""

    start_us: Micros
    duration_us: Micros
    payload: Payload
    wire_id: int | None = None


SealedBeforehand = tuple[list[Event], list[SealedRun]]
"""Many new events as `log/sealing.seal_new` laid them out, off the loop, while their seqs are not known yet."""


class InsertEvents(Struct, frozen=True):
    """All of them or none.

    `filtered_by`: the text of the privacy filters that the events have passed already, off the loop. `sealed` is of what
    they have left.
    """

    bucket_id: str
    events: list[NewEvent]
    sealed: SealedBeforehand | None = None
    filtered_by: bytes | None = None


class SendHeartbeat(Struct, frozen=True, gc=False):
    bucket_id: str
    start_us: Micros
    duration_us: Micros
    payload: Payload
    pulsetime_us: Micros

    @property
    def end_us(self) -> Micros:
        return Micros(self.start_us + self.duration_us)


class Producer(Struct, frozen=True, gc=False):
    """Who sends a stream, by a name of its own choice, and the sequence number of the first line of a command."""

    id: str
    first_sequence: int


class SendHeartbeats(Struct, frozen=True):
    """Many heartbeats, to any buckets: each is decided after the one before, as if it came alone.

    `lines` holds one entry for each line that was sent: a heartbeat, why it was none, or None for an empty line. Those
    before `begin` are decided already. Line i of a producer has the sequence number `first_sequence` + i.
    """

    lines: Sequence[SendHeartbeat | Refused | None]
    producer: Producer | None = None
    begin: int = 0


class Taken(Struct):
    """The answer to `SendHeartbeats`. `refused` names them by their index; those up to `end` are decided.

    `merged` made an event longer or were covered by one, `duplicates` had a sequence number that was known already,
    `dropped` met a privacy filter.
    """

    merged: int = 0
    inserted: int = 0
    duplicates: int = 0
    dropped: int = 0
    refused: list[tuple[int, AwlogError]] = field(default_factory=list)
    end: int = 0

    def add(self, later: Taken) -> None:
        """Takes in what was decided next."""
        self.merged += later.merged
        self.inserted += later.inserted
        self.duplicates += later.duplicates
        self.dropped += later.dropped
        self.refused += later.refused
        self.end = later.end


class DeleteEvent(Struct, frozen=True):
    bucket_id: str
    wire_id: int


class ImportBuckets(Struct, frozen=True):
    """Whole or not at all: each bucket is made if it is missing; events it already held are skipped.

    `filtered_by`: as of `InsertEvents`.
    """

    buckets: list[tuple[CreateBucket, list[NewEvent], SealedBeforehand | None]]
    filtered_by: bytes | None = None


class ChangeSetting(Struct, frozen=True):
    """`value` is JSON text; None removes the key."""

    key: str
    value: bytes | None


class CreateToken(Struct, frozen=True):
    token: Token


class RevokeToken(Struct, frozen=True):
    """Refused with NoSuchToken if there is none."""

    token_id: str


class NoteTokenUses(Struct, frozen=True):
    """When tokens were used last, by id; of those that are gone meanwhile nothing is noted."""

    used_us: dict[str, Micros]


class RequireTokens(Struct, frozen=True):
    required: bool


class EditEvents(Struct, frozen=True):
    """`whole`: all of it or nothing, if something else has changed since it was looked at; else as much as still holds."""

    edits: list[BucketEdit]
    whole: bool


class PushedItem(Struct, frozen=True):
    """One change of a mirrored bucket: an event as it is now, or the seqs of events that are gone, or with neither: the
    bucket was deleted, with all that was pushed before.
    """

    event: Event | None = None
    gone: tuple[Seq, Seq] | None = None


class PushChanges(Struct, frozen=True):
    """What a device sends of one of its buckets: whole or not at all. `bucket` is as it is now, None if it is gone.

    Refused with PushConflict unless `after` and `epoch` are where the mirrored bucket is. `token_id`: whose token it comes
    with, which is bound to the device then; None if it needs none.
    """

    device_id: str
    bucket_id: str
    epoch: int
    after: int
    to: int
    bucket: CreateBucket | None
    items: list[PushedItem]
    token_id: str | None = None
    now_us: Micros = Micros(0)


class ReleaseBucket(Struct, frozen=True):
    """A mirrored bucket becomes an ordinary one, which its device pushes no more to."""

    bucket_id: str


Command = (
    PushChanges
    | ReleaseBucket
    | CreateBucket
    | UpdateBucket
    | DeleteBucket
    | InsertEvents
    | SendHeartbeat
    | SendHeartbeats
    | DeleteEvent
    | ImportBuckets
    | ChangeSetting
    | CreateToken
    | RevokeToken
    | NoteTokenUses
    | RequireTokens
    | EditEvents
)
