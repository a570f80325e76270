"""`/export`, `/buckets/<id>/export` and `/import`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from awlog.api import wire
from awlog.api.answer_bodies import ExportBody
from awlog.api.call import LARGE_BODY_BYTES, Call, is_json, silence, too_large
from awlog.api.describe import Body, Operation, described
from awlog.api.event_bodies import IMPORT, IMPORTED_BUCKET, DescribedImportBody, new_events
from awlog.api.forms import FILE_TYPES, FORM_PARAMETERS, content_disposition, form_of, send_document
from awlog.engine.reading import ExportedBucket
from awlog.model.bucket import EMPTY_PAYLOAD, check_bucket_id
from awlog.model.commands import CreateBucket, NewEvent
from awlog.model.errors import BadRequest, UnsupportedMediaType
from awlog.model.forms import JSON
from awlog.model.times import Micros, parse_timestamp

# Of one part of a form. It has two.
_PART_HEADERS_MAX: Final = 16
_IMPORT_SETTING: Final = "max_import_bytes"

Import = list[tuple[CreateBucket, list[NewEvent]]]

_EXAMPLE: Final = {
    "buckets": {
        "notes": {
            "type": "note",
            "client": "me",
            "hostname": "desk",
            "events": [{"timestamp": "2026-01-01T12:00:00+00:00", "duration": 60, "data": {"label": "tea"}}],
        }
    }
}


@described(Operation(ExportBody, query=FORM_PARAMETERS, file_types=FILE_TYPES))
async def export_all(call: Call) -> web.StreamResponse:
    """Everything, as one document that `/import` takes."""
    return await _export(call, None, "aw-buckets-export")


@described(Operation(ExportBody, query=FORM_PARAMETERS, file_types=FILE_TYPES))
async def export_bucket(call: Call) -> web.StreamResponse:
    """One bucket with all its events, as a document that `/import` takes."""
    bucket_id = call.params["bucket_id"]
    return await _export(call, bucket_id, f"aw-bucket-export_{bucket_id}")


async def _export(call: Call, bucket_id: str | None, name: str) -> web.StreamResponse:
    form = form_of(call)
    if form is not JSON:
        return await send_document(call, form, bucket_id, name)
    filename = f"{name}.json"
    async with call.engine.reads.export(bucket_id) as buckets:
        return await call.stream(_document(buckets), {"Content-Disposition": content_disposition(filename)})


async def _document(buckets: list[ExportedBucket]) -> AsyncGenerator[bytes]:
    yield b'{"buckets":{'
    separator = b""
    for bucket in buckets:
        yield separator + bucket.head
        separator = b""
        async for chunk in bucket.events:
            yield separator
            yield chunk
            separator = b","
        yield b"]}"
        separator = b","
    yield b"}}"


@described(
    Operation(
        type(None),
        bodies=(
            Body(DescribedImportBody, _EXAMPLE),
            Body(DescribedImportBody, _EXAMPLE, "multipart/form-data"),
        ),
    )
)
async def import_buckets(call: Call) -> web.StreamResponse:
    """Takes in an export, or several as a form: all of it or nothing; events that are there already are skipped."""
    content_type = call.request.content_type
    if is_json(content_type):
        documents = [("body", await call.body(call.settings.import_bytes_max, _IMPORT_SETTING))]
    elif content_type == "multipart/form-data":
        documents = await _parts(call)
    else:
        raise UnsupportedMediaType("Send the export as `application/json` or `multipart/form-data`")
    now_us = call.engine.clock()
    buckets = await asyncio.to_thread(_decode, documents, now_us)
    call.engine.tokens.check(call.access)  # a form, and decoding, take their time
    await call.engine.import_buckets(buckets)
    return call.json(b"null")


async def _parts(call: Call) -> list[tuple[str, bytes]]:
    """The parts of a form, each a document, whatever its name."""
    bytes_max, limits = call.settings.import_bytes_max, call.settings.limits
    await call.begin_body(bytes_max, _IMPORT_SETTING)
    documents: list[tuple[str, bytes]] = []
    received_bytes = 0
    try:
        reader = MultipartReader(
            call.request.headers,
            call.request.content,
            max_field_size=limits.form_header_bytes + len(b"\r\n"),
            max_headers=_PART_HEADERS_MAX,
        )
        while (part := await asyncio.wait_for(reader.next(), limits.silence_s)) is not None:
            if not isinstance(part, BodyPartReader):
                raise BadRequest("A form inside a form is not taken")
            content = bytearray()
            while chunk := await asyncio.wait_for(part.read_chunk(1 << 18), limits.silence_s):
                received_bytes += len(chunk)
                if received_bytes > bytes_max:
                    raise too_large(bytes_max, _IMPORT_SETTING)
                if received_bytes > LARGE_BODY_BYTES:
                    await call.take_turn(bytes_max)
                content += chunk
            documents.append((f"part {len(documents) + 1}", bytes(content)))
            if len(documents) > limits.form_parts:
                raise BadRequest(
                    f"The form has more than {limits.form_parts} parts; the setting `max_form_parts` sets the limit"
                )
    except TimeoutError:
        raise silence(limits.silence_s) from None
    except LineTooLong:
        raise BadRequest(
            f"A header of a part is longer than {limits.form_header_bytes} bytes; "
            "the setting `max_form_header_bytes` sets the limit"
        ) from None
    except (ValueError, AssertionError, HttpProcessingError, web.RequestPayloadError):
        raise BadRequest("The form is malformed: its boundary, a part's headers, or its length do not fit") from None
    if not documents:
        raise BadRequest("The form holds no part to import")
    return documents


def _decode(documents: list[tuple[str, bytes]], now_us: Micros) -> Import:
    """Raises BadRequest, which says where. About 5 µs an event."""
    buckets: Import = []
    for name, raw in documents:
        for key, bucket in wire.decode(IMPORT, raw).buckets.items():
            try:
                buckets.append(_decode_bucket(key, bytes(bucket), now_us))
            except BadRequest as error:
                raise BadRequest(f"{name}, bucket {key!r}: {error}") from None
    return buckets


def _decode_bucket(key: str, raw: bytes, now_us: Micros) -> tuple[CreateBucket, list[NewEvent]]:
    body = wire.decode(IMPORTED_BUCKET, raw)
    bucket_id = key if body.id is None else body.id
    check_bucket_id(bucket_id)
    created_us = now_us if body.created is None else parse_timestamp(body.created)
    data = wire.payload_or_none(body.data) or EMPTY_PAYLOAD
    create = CreateBucket(bucket_id, body.type, body.client, body.hostname, created_us, body.name, data)
    return create, new_events(body.events or [], "events")
