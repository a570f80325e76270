"""Events as lines of JSON, each as it is on the wire, the bucket's id in front where there are several."""

from __future__ import annotations

import msgspec

from awlog.log.columns import Columns
from awlog.model.bucket import BucketMeta
from awlog.query.render import render_events


class NdjsonEncoder:
    """An `Encoder`."""

    def __init__(self, with_ids: bool, with_buckets: bool) -> None:
        self._with_ids = with_ids
        self._with_buckets = with_buckets
        self._bucket: BucketMeta | None = None

    def begin(self) -> bytes:
        return b""

    def begin_bucket(self, bucket: BucketMeta) -> bytes:
        self._bucket = bucket
        return b""

    def events(self, columns: Columns) -> bytes:
        assert self._bucket is not None, "events belong to a bucket"
        if not len(columns):
            return b""
        first = b'"bucket":%b,' % msgspec.json.encode(self._bucket.id) if self._with_buckets else b""
        number = self._bucket.number if self._with_ids else None
        return render_events(columns, number, between=b"\n", first=first) + b"\n"

    def end(self) -> bytes:
        return b""
