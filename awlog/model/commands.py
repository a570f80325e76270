"""Commands: the closed union of what a client may ask to be changed. Values are checked and in inner units already."""

from __future__ import annotations

from msgspec import Struct

from awlog.model.event import Event, Payload
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
    """All of them or none."""

    bucket_id: str
    events: list[NewEvent]
    sealed: SealedBeforehand | None = None


class SendHeartbeat(Struct, frozen=True, gc=False):
    bucket_id: str
    start_us: Micros
    duration_us: Micros
    payload: Payload
    pulsetime_us: Micros

    @property
    def end_us(self) -> Micros:
        return Micros(self.start_us + self.duration_us)


class DeleteEvent(Struct, frozen=True):
    bucket_id: str
    wire_id: int


class ImportBuckets(Struct, frozen=True):
    """Whole or not at all: each bucket is made if it is missing; events it already held are skipped."""

    buckets: list[tuple[CreateBucket, list[NewEvent], SealedBeforehand | None]]


class ChangeSetting(Struct, frozen=True):
    """`value` is JSON text; None removes the key."""

    key: str
    value: bytes | None


Command = (
    CreateBucket
    | UpdateBucket
    | DeleteBucket
    | InsertEvents
    | SendHeartbeat
    | DeleteEvent
    | ImportBuckets
    | ChangeSetting
)
