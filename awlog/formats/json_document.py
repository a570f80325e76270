"""An export as one JSON document: `{"buckets": {id: bucket with events}}`, which every server of its kind imports."""

from __future__ import annotations

from typing import Final

import msgspec

from awlog.log.columns import Columns
from awlog.model.bucket import BucketMeta
from awlog.model.times import format_timestamp
from awlog.query.render import render_events

_encode: Final = msgspec.json.Encoder().encode


def bucket_head(bucket: BucketMeta) -> bytes:
    """The bucket as a member of `buckets`, up to the first of its events: `"id":{...,"events":[`."""
    fields = _encode(
        {
            "id": bucket.id,
            "name": bucket.name,
            "type": bucket.type,
            "client": bucket.client,
            "hostname": bucket.hostname,
            "created": format_timestamp(bucket.created_us),
            "data": msgspec.Raw(bucket.data),
        }
    )
    return b'%b:%b,"events":[' % (_encode(bucket.id), fields[:-1])


class JsonEncoder:
    """An `Encoder`."""

    def __init__(self) -> None:
        self._between = b""
        self._in_bucket = False

    def begin(self) -> bytes:
        return b'{"buckets":{'

    def begin_bucket(self, bucket: BucketMeta) -> bytes:
        before = b"]}," if self._in_bucket else b""
        self._in_bucket, self._between = True, b""
        return before + bucket_head(bucket)

    def events(self, columns: Columns) -> bytes:
        between, self._between = self._between, b","
        return between + render_events(columns, None)

    def end(self) -> bytes:
        return b"]}}}" if self._in_bucket else b"}}"
