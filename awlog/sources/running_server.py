"""A server that is running, by its URL: any that speaks the ActivityWatch API. Each bucket is read as its export comes."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec

from awlog.model.errors import BadRequest
from awlog.model.times import parse_timestamp
from awlog.sources.json_export import bucket_keys, read_events
from awlog.sources.json_stream import JsonReader
from awlog.sources.source import PayloadTexts, SourceBucket, SourceUnreadable, Step, bucket_data

# A server may gather all of a large bucket before it sends the first byte.
_SILENCE_S: Final = 600.0


class RunningServer:
    """A `Source`. Events are counted beforehand, so that progress can be told."""

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SourceUnreadable(f"{url} is no URL of a server: http://localhost:5600, for example")
        self._connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port = parts.hostname, parts.port
        self._base = parts.path.rstrip("/").removesuffix("/api/0") + "/api/0"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.title = f"the server at {parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        listed = self._json("/buckets/")
        if not isinstance(listed, dict):
            raise self._unreadable("it does not list its buckets")
        self._buckets = {bucket_id: self._described(bucket_id, fields) for bucket_id, fields in listed.items()}
        counts = [self._json(f"/buckets/{quote(bucket_id, safe='')}/events/count") for bucket_id in self._buckets]
        self.size = sum(count for count in counts if isinstance(count, int))

    def buckets(self) -> list[SourceBucket]:
        return list(self._buckets.values())

    def bucket(self, bucket_id: str) -> SourceBucket:
        return self._buckets[bucket_id]

    def settings(self) -> dict[str, bytes]:
        """None if the server is too old to give them with their values."""
        values = self._json("/settings", or_none=True)
        return {key: msgspec.json.encode(value) for key, value in values.items()} if isinstance(values, dict) else {}

    def steps(self) -> Iterator[Step]:
        texts = PayloadTexts()
        for bucket_id in self._buckets:
            connection, response = self._get(f"/buckets/{quote(bucket_id, safe='')}/export")
            with closing(connection):
                try:
                    reader = JsonReader(response)
                    for _ in bucket_keys(reader):
                        for found in read_events(reader, texts):
                            yield Step({bucket_id: found}, len(found.events) + found.refused.total())
                    reader.expect_end()
                except (OSError, http.client.HTTPException, SourceUnreadable) as error:
                    raise self._unreadable(f"the export of the bucket {bucket_id!r}: {error}") from None

    def close(self) -> None:
        """Each answer has had a connection of its own."""

    def _described(self, bucket_id: str, fields: Any) -> SourceBucket:
        try:
            return SourceBucket(
                bucket_id,
                str(fields["type"]),
                str(fields["client"]),
                str(fields["hostname"]),
                parse_timestamp(fields["created"]) if fields.get("created") else None,
                fields.get("name"),
                bucket_data(json.dumps(fields.get("data") or {}).encode()),
            )
        except (KeyError, TypeError, AttributeError, BadRequest):
            raise self._unreadable(f"it does not describe the bucket {bucket_id!r}") from None

    def _json(self, path: str, *, or_none: bool = False) -> Any:
        connection, response = self._get(path, or_none=or_none)
        with closing(connection):
            try:
                return msgspec.json.decode(response.read()) if response.status == 200 else None
            except (OSError, http.client.HTTPException, msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise self._unreadable(f"{path}: {error}") from None

    def _get(self, path: str, *, or_none: bool = False) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """An open answer on a connection of its own. Raises SourceUnreadable unless it is good, or `or_none`."""
        connection = self._connect(self._host, self._port, timeout=_SILENCE_S)
        try:
            connection.request("GET", f"{self._base}{path}", headers=self._headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreadable(error or type(error).__name__) from None
        if response.status == 401 and not or_none:
            connection.close()
            raise self._unreadable("it wants a key: give it as AWLOG_IMPORT_TOKEN in the environment")
        if response.status != 200 and not or_none:
            connection.close()
            raise self._unreadable(f"it answers {response.status} to {path}")
        return connection, response

    def _unreadable(self, reason: object) -> SourceUnreadable:
        return SourceUnreadable(f"{self.title} cannot be read: {reason}")
