"""The store of a running server as the target of an import: written through its socket, compared by reading its files."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from awlog.cli.local_socket import LocalServer
from awlog.model.commands import NewEvent
from awlog.model.errors import Refused
from awlog.model.event import SEQ_MAX, Seq
from awlog.model.times import format_timestamp, seconds_from_us
from awlog.sources.source import SourceBucket
from awlog.storage.environment import Environment, existing
from awlog.storage.live_view import LiveView, ViewAtOnce

_CACHE_BYTES: Final = 8 << 20
# A request: far below the server's limit, and a share of its memory that nobody misses.
_BODY_BYTES: Final = 2 << 20


class ServerGone(Refused):
    """The connection to the running server broke off."""


class _WithId(msgspec.Struct):
    id: int


_STORED: Final = msgspec.json.Decoder(list[_WithId])


class ServedStore:
    """A `Target`. Raises ServerRefused, and ServerGone when the server ends."""

    is_recording = True
    is_rehearsal = False

    def __init__(self, server: LocalServer, data_dir: Path) -> None:
        self._server = server
        self._environment = Environment(existing(data_dir), read_only=True)
        self._view = LiveView(self._environment, _CACHE_BYTES)

    def close(self) -> None:
        self._environment.close()

    def make(self, bucket: SourceBucket) -> bool:
        body: dict[str, Any] = {
            "type": bucket.type,
            "client": bucket.client,
            "hostname": bucket.hostname,
            "name": bucket.name,
            "data": msgspec.Raw(bucket.data),
        }
        if bucket.created_us is not None:
            body["created"] = format_timestamp(bucket.created_us)
        return self._post(_path(bucket.id), body)[0] == 200

    def insert(self, batches: list[tuple[str, list[NewEvent]]]) -> list[list[tuple[Seq, Seq]]]:
        return [self._insert(bucket_id, events) for bucket_id, events in batches]

    def _insert(self, bucket_id: str, events: list[NewEvent]) -> list[tuple[Seq, Seq]]:
        spans: list[tuple[Seq, Seq]] = []
        for body in _bodies(events):
            stored = _STORED.decode(self._post(f"{_path(bucket_id)}/events", msgspec.Raw(body))[1])
            spans.append((Seq(stored[0].id & SEQ_MAX), Seq(stored[-1].id & SEQ_MAX)))
        return spans

    def settings(self) -> dict[str, bytes]:
        with self.view() as view:
            assert view is not None, "a running server has a store"
            return view.settings()

    def set_setting(self, key: str, value: bytes) -> None:
        self._post(f"/api/0/settings/{quote(key, safe='')}", msgspec.Raw(value))

    def _post(self, path: str, body: Any) -> tuple[int, bytes]:
        """Status and body of a good answer. Raises ServerGone, ServerRefused."""
        try:
            with self._server.open("POST", path, body) as response:
                return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServerGone(
                "The server that owns the store went away in the middle of the import. What it answered for is stored: "
                "run the import again, now or when it is back."
            ) from error

    @contextmanager
    def view(self) -> Iterator[ViewAtOnce | None]:
        with self._view.now() as view:
            yield view


def _path(bucket_id: str) -> str:
    return f"/api/0/buckets/{quote(bucket_id, safe='')}"


def _bodies(events: list[NewEvent]) -> Iterator[bytes]:
    """The events as JSON lists, each a request's."""
    parts: list[bytes] = []
    held_bytes = 0
    for event in events:
        identity = b"" if event.wire_id is None else b'"id":%d,' % event.wire_id
        timestamp, seconds = (
            format_timestamp(event.start_us).encode(),
            repr(seconds_from_us(event.duration_us)).encode(),
        )
        parts.append(b'{%b"timestamp":"%b","duration":%b,"data":%b}' % (identity, timestamp, seconds, event.payload))
        held_bytes += len(parts[-1])
        if held_bytes > _BODY_BYTES:
            yield b"[%b]" % b",".join(parts)
            parts, held_bytes = [], 0
    if parts:
        yield b"[%b]" % b",".join(parts)
