"""`/api/1/push/...` and `/api/1/mirrored/...`: what devices send to this hub, and where they should go on."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Raw, Struct, field
from msgspec.structs import replace

from awlog.api import wire
from awlog.api.answer_bodies import EmptyBody
from awlog.api.call import LARGE_BODY_BYTES, Call
from awlog.api.describe import Body, Operation, described
from awlog.api.event_bodies import EventBody, PayloadCache, new_event
from awlog.api.failures import body_of
from awlog.engine.forward_process import ForwardStatus
from awlog.model.access import Scope, check_device_id
from awlog.model.bucket import EMPTY_PAYLOAD, check_bucket_id
from awlog.model.commands import CreateBucket, PushChanges, PushedItem, ReleaseBucket
from awlog.model.errors import BadRequest, PushConflict
from awlog.model.event import SEQ_MAX, Event, Seq
from awlog.model.times import parse_timestamp

ITEMS_MAX: Final = 5000
_CHANGE_MAX: Final = (1 << 63) - 1
# Looked at in one turn of the loop, 1 µs each; others get theirs in between.
_STEP_IDS: Final = 1000


# Epoch and change.
Cursor = Annotated[list[int], Meta(min_length=2, max_length=2)]


class HelloBody(Struct):
    """A device, and the newest change of each of its buckets."""

    device: str
    buckets: dict[str, int] = field(default_factory=dict)


class CursorsBody(Struct):
    """How far each bucket of the device is here: epoch and change. Those of `restored` are further than the device: push
    them anew, in the next epoch. Those of `refused` are not taken with this token.
    """

    cursors: dict[str, Cursor]
    restored: list[str]
    refused: list[str]


class StatusBody(Struct):
    """`forward` is null if this server has no hub."""

    forward: ForwardStatus | None


class CursorBody(Struct):
    cursor: Cursor


class ItemBody(Struct):
    """A line of the change feed."""

    kind: str
    event: EventBody | None = None
    id: int | None = None
    first_id: int | None = None
    last_id: int | None = None


class MetadataBody(Struct):
    type: str
    client: str
    hostname: str
    created: str
    name: str | None = None
    data: wire.DataObject = field(default_factory=Raw)


class PushBody(Struct, rename={"after": "from"}):
    """The changes of one bucket after `from`, all up to `to`; `metadata` is the bucket as it is now, null if it is gone."""

    device: str
    epoch: int
    after: int
    to: int
    metadata: MetadataBody | None
    items: list[ItemBody]


_HELLO: Final = msgspec.json.Decoder(HelloBody)
_PUSH: Final = msgspec.json.Decoder(PushBody)
_payloads: Final = PayloadCache()
_METADATA_EXAMPLE: Final = {"type": "t", "client": "c", "hostname": "laptop", "created": "2026-01-01T00:00:00+00:00"}
_EVENT_EXAMPLE: Final = {"id": 4294967297, "timestamp": "2026-01-01T12:00:00+00:00", "duration": 1, "data": {}}
_PUSH_EXAMPLE: Final = {
    "device": "00000000-0000-4000-8000-000000000000",
    "epoch": 1,
    "from": 0,
    "to": 2,
    "metadata": _METADATA_EXAMPLE,
    "items": [{"kind": "event", "event": _EVENT_EXAMPLE}],
}


@described(
    Operation(CursorsBody, bodies=(Body(HelloBody, {"device": _PUSH_EXAMPLE["device"], "buckets": {"notes": 7}}),))
)
async def hello(call: Call) -> web.StreamResponse:
    """Tells a device how far each of its buckets was pushed to this hub."""
    raw = await call.json_body()
    decoded = asyncio.to_thread(wire.decode, _HELLO, raw) if len(raw) > LARGE_BODY_BYTES else None
    body = wire.decode(_HELLO, raw) if decoded is None else await decoded
    _check_device(call, body.device)
    known = call.engine.reads.push_cursors(body.device)
    refused = set()
    for at, (id_, here) in enumerate(
        call.engine.reads.pushed_ids(body.device, [*known, *(body.buckets.keys() - known)]), 1
    ):
        if not call.access.may(Scope.WRITE, here):
            refused.add(id_)
        if at % _STEP_IDS == 0:
            await asyncio.sleep(0)
    cursors = {id_: list(cursor) for id_, cursor in known.items() if id_ not in refused}
    restored = [id_ for id_, (_, change) in cursors.items() if change > body.buckets.get(id_, change)]
    return call.json(wire.encode(CursorsBody(cursors, restored, sorted(refused & body.buckets.keys()))))


@described(
    Operation(
        CursorBody,
        bodies=(Body(PushBody, _PUSH_EXAMPLE),),
        others={409: "The bucket is elsewhere here: the answer's `cursor` says where to go on"},
    )
)
async def push(call: Call) -> web.StreamResponse:
    """Takes the next changes of a bucket of a device, whole or not at all; sent again they change nothing."""
    raw = await call.json_body()
    bucket_id = call.params["bucket_id"]
    decoded = asyncio.to_thread(_command, raw, bucket_id) if len(raw) > LARGE_BODY_BYTES else None
    command = _command(raw, bucket_id) if decoded is None else await decoded
    _check_device(call, command.device_id)
    call.access.require(Scope.WRITE, call.engine.reads.pushed_to(command.device_id, bucket_id))
    await call.engine.room()
    try:
        await call.engine.submit(replace(command, token_id=call.access.token_id, now_us=call.engine.clock()))
    except PushConflict as conflict:
        told = msgspec.json.decode(body_of(conflict), type=dict[str, Any])
        return call.json(wire.encode({**told, "cursor": conflict.cursor}), 409)
    return call.json(wire.encode(CursorBody([command.epoch, command.to])))


@described(Operation(StatusBody))
async def get_forwarding(call: Call) -> web.StreamResponse:
    """How far this server's own buckets are pushed to its hub, what is behind, and why."""
    forwarder = call.engine.forwarder
    status = None if forwarder is None else forwarder.status()
    return call.json(wire.encode(StatusBody(status)))


@described(Operation(EmptyBody))
async def release(call: Call) -> web.StreamResponse:
    """Makes a mirrored bucket an ordinary one of this server; what its device pushes from then on goes to another."""
    await call.engine.submit(ReleaseBucket(call.params["bucket_id"]))
    return call.json(b"{}")


def _check_device(call: Call, device_id: str) -> None:
    """Raises BadRequest, and Forbidden with a token of another device."""
    check_device_id(device_id)
    if device_id == call.settings.device_id:
        raise BadRequest("This server is that device: it is its own hub already")
    call.engine.tokens.check_device(call.access, device_id)


def _command(raw: bytes, bucket_id: str) -> PushChanges:
    """Raises BadRequest. About 3 µs an item."""
    body = wire.decode(_PUSH, raw)
    check_bucket_id(bucket_id)
    if len(body.items) > ITEMS_MAX:
        raise BadRequest(f"A push has at most {ITEMS_MAX} items")
    if not (1 <= body.epoch <= _CHANGE_MAX and 0 <= body.after <= body.to <= _CHANGE_MAX):
        raise BadRequest("A push has an `epoch` from 1 on, and goes from a change `from` to one that is not less")
    made = None
    if body.metadata is not None:
        told = body.metadata
        made = CreateBucket(
            bucket_id,
            told.type,
            told.client,
            told.hostname,
            parse_timestamp(told.created),
            told.name,
            wire.payload_or_none(told.data) or EMPTY_PAYLOAD,
        )
    return PushChanges(
        body.device,
        bucket_id,
        body.epoch,
        body.after,
        body.to,
        made,
        [item for each in body.items if (item := _item(each)) is not None],
    )


def _item(body: ItemBody) -> PushedItem | None:
    """None for what `metadata` says already."""
    match body.kind:
        case "event" if body.event is not None:
            sent = new_event(body.event, _payloads)
            return PushedItem(Event(_seq(sent.wire_id), sent.start_us, sent.duration_us, sent.payload))
        case "event_deleted":
            return PushedItem(gone=(_seq(body.id), _seq(body.id)))
        case "events_deleted":
            return PushedItem(gone=(_seq(body.first_id), _seq(body.last_id)))
        case "bucket_deleted":
            return PushedItem()
        case "bucket":
            return None
        case _:
            raise BadRequest("An item of a push is a line of the change feed, of one of its kinds")


def _seq(wire_id: int | None) -> Seq:
    """The number of an event in its bucket is what is left of its id without that of the bucket."""
    if wire_id is None or wire_id < 1 or not wire_id & SEQ_MAX:
        raise BadRequest("An item of a push names its event by the id that it has on its device")
    return Seq(wire_id & SEQ_MAX)
