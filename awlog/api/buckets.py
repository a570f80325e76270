"""`/buckets` and `/buckets/<id>`."""

from __future__ import annotations

from aiohttp import web

from awlog.api import wire
from awlog.api.answer_bodies import BucketBody, EmptyBody, bucket_body
from awlog.api.call import Call
from awlog.api.describe import Body, Operation, Parameter, described
from awlog.model.access import Scope
from awlog.model.bucket import EMPTY_PAYLOAD, check_bucket_id
from awlog.model.commands import CreateBucket, DeleteBucket, UpdateBucket
from awlog.model.errors import DeleteBucketUnauthorized
from awlog.model.payload import with_field
from awlog.model.times import parse_timestamp

# A client that does not know its host's name asks for the server's.
_LOCAL = "!local"


@described(Operation(dict[str, BucketBody]))
async def list_buckets(call: Call) -> web.StreamResponse:
    """All buckets that may be read, by id."""
    views = [view for view in call.engine.reads.buckets() if call.access.may(Scope.READ, view.meta.id)]
    return call.json(wire.encode({view.meta.id: bucket_body(view) for view in views}))


@described(Operation(BucketBody))
async def get_bucket(call: Call) -> web.StreamResponse:
    """One bucket: its metadata, and the span of its events."""
    return call.json(wire.encode(bucket_body(call.engine.reads.bucket(call.params["bucket_id"]))))


@described(
    Operation(
        EmptyBody,
        bodies=(
            Body(wire.CreateBucketBody, {"type": "currentwindow", "client": "aw-watcher-window", "hostname": "desk"}),
        ),
        others={304: "It is there already; nothing was changed"},
    )
)
async def create_bucket(call: Call) -> web.StreamResponse:
    """Makes a bucket; 304 if it is there already."""
    body = wire.decode(wire.CREATE_BUCKET, await call.json_body())
    check_bucket_id(call.params["bucket_id"])
    created_us = call.engine.clock() if body.created is None else parse_timestamp(body.created)
    hostname, data = body.hostname, wire.payload_or_none(body.data) or EMPTY_PAYLOAD
    if hostname == _LOCAL:
        hostname, data = call.settings.hostname, with_field(data, "device_id", call.settings.device_id)
    await call.engine.submit(
        CreateBucket(call.params["bucket_id"], body.type, body.client, hostname, created_us, body.name, data)
    )
    return call.json(b"{}")


@described(Operation(EmptyBody, bodies=(Body(wire.UpdateBucketBody, {"name": "windows of the desk"}),)))
async def update_bucket(call: Call) -> web.StreamResponse:
    """Changes the given fields of a bucket; its events stay."""
    body = wire.decode(wire.UPDATE_BUCKET, await call.json_body())
    is_local = body.hostname == _LOCAL
    await call.engine.submit(
        UpdateBucket(
            call.params["bucket_id"],
            body.type,
            body.client,
            call.settings.hostname if is_local else body.hostname,
            body.name,
            wire.payload_or_none(body.data),
            call.settings.device_id if is_local else None,
        )
    )
    return call.json(b"{}")


@described(
    Operation(
        EmptyBody,
        query=(Parameter("force", str, "`1`: yes, with all its events; not needed in testing mode", example="1"),),
    )
)
async def delete_bucket(call: Call) -> web.StreamResponse:
    """Deletes a bucket with all its events; needs `force=1` outside testing mode."""
    if not call.settings.testing and call.query.get("force") != "1":
        raise DeleteBucketUnauthorized("Deleting a bucket outside testing mode needs `?force=1`")
    await call.engine.submit(DeleteBucket(call.params["bucket_id"]))
    return call.json(b"{}")
