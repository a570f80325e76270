"""The client for asyncio. Methods have the names of `aw-client` where they mean the same."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import msgspec

from awlog.client.connection import Connection
from awlog.client.errors import QueueUnusable, RequestRefused, Unreachable
from awlog.client.event import Event, decode_event, decode_events, encode_event, encode_events, encode_line
from awlog.client.queue import DiskQueue
from awlog.client.sender import Refusal, Sender, log_refusal
from awlog.client.table import table_of

if TYPE_CHECKING:
    import pyarrow as pa

PORT: Final = 5600
TESTING_PORT: Final = 5666
_START_POLL_S: Final = 0.05


class AsyncClient:
    """A program that talks to a server; to be used as a context manager.

    Every method raises Unreachable, RequestRefused or ServerFailed; those with `queued=True` raise none of them: they return
    when what they were given is on this machine's disk, at `queue_path`, from where it is sent in the background.

        async with AsyncClient("my-watcher", queue_path="my-watcher.queue") as client:
            await client.create_bucket("my-bucket", "my.type", queued=True)
            await client.heartbeat("my-bucket", event, pulsetime=5, queued=True)
            await client.flush()
    """

    def __init__(
        self,
        client_name: str = "unknown",
        *,
        testing: bool = False,
        host: str = "localhost",
        port: int | None = None,
        protocol: str = "http",
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        queue_path: str | Path | None = None,
        on_refused: Callable[[Refusal], None] = log_refusal,
        timeout_s: float = 30.0,
    ) -> None:
        """`token`: the secret, where the server demands one; `tls`: what `protocol="https"` trusts. `on_refused` is told of
        each queued heartbeat that the server will not take; by default it is logged.
        """
        self.client_name = client_name
        self.client_hostname = socket.gethostname()
        self._url = f"{protocol}://{host}:{port or (TESTING_PORT if testing else PORT)}"
        self._queue_path = None if queue_path is None else Path(queue_path)
        self._on_refused = on_refused
        self._timeout_s = timeout_s
        self._token, self._tls = token, tls
        self._connection: Connection | None = None
        self._sender: Sender | None = None

    async def connect(self) -> None:
        """Opens the queue, and sends what is in it. Raises QueueUnusable; the server need not be there."""
        queue = None if self._queue_path is None else await asyncio.to_thread(DiskQueue, self._queue_path)
        self._connection = Connection(self._url, self._timeout_s, token=self._token, tls=self._tls)
        self._sender = None if queue is None else Sender(queue, self._connection, self._on_refused)

    async def disconnect(self) -> None:
        """What is queued and not sent stays on the disk until the next `connect`; `flush` first to wait for it."""
        if self._sender is not None:
            await self._sender.close()
        if self._connection is not None:
            await self._connection.close()
        self._sender = self._connection = None

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()

    async def flush(self) -> None:
        """Returns when everything that was queued is durable at the server; waits while that is away."""
        await self._queue().flush()

    async def wait_for_start(self, timeout: float = 10) -> None:
        """Returns when the server answers. Raises Unreachable after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    try:
                        await self.get_info()
                    except Unreachable:
                        await asyncio.sleep(_START_POLL_S)
                    else:
                        return
        except TimeoutError:
            raise Unreachable(f"{self._url} did not answer within {timeout} s") from None

    async def get_info(self) -> dict[str, Any]:
        return dict(await self._open().json("GET", "/info"))

    # Buckets

    async def get_buckets(self) -> dict[str, dict[str, Any]]:
        """All buckets, by id."""
        return dict(await self._open().json("GET", "/buckets"))

    async def create_bucket(self, bucket_id: str, event_type: str, *, queued: bool = False) -> None:
        """Makes the bucket if it is not there. Queued: before anything that is queued afterwards is sent."""
        body = {"client": self.client_name, "hostname": self.client_hostname, "type": event_type}
        if queued:
            await self._queue().put_bucket(bucket_id, msgspec.json.encode(body))
        else:
            await self._open().json("POST", _bucket(bucket_id), body)

    async def delete_bucket(self, bucket_id: str, *, force: bool = False) -> None:
        """With all its events. A server that is not in testing mode asks for `force`."""
        await self._open().request("DELETE", _bucket(bucket_id), params={"force": "1"} if force else None)

    # Events

    async def heartbeat(self, bucket_id: str, event: Event, pulsetime: float, *, queued: bool = False) -> Event | None:
        """Extends the newest event if the data are equal and the gap is at most `pulsetime` seconds, else adds one.

        Gives the stored event; None if it is queued.
        """
        if queued:
            await self.heartbeats(bucket_id, [event], pulsetime)
            return None
        path, params = f"{_bucket(bucket_id)}/heartbeat", {"pulsetime": str(pulsetime)}
        return decode_event(await self._open().request("POST", path, encode_event(event), params=params))

    async def heartbeats(self, bucket_id: str, events: Iterable[Event], pulsetime: float) -> None:
        """Queues many at once: one sync of the disk for all."""
        await self._queue().put([encode_line(bucket_id, event, pulsetime) for event in events])

    async def insert_event(self, bucket_id: str, event: Event) -> Event:
        """Stores the event; one with the id of a stored event replaces that. Gives it as stored, with its id."""
        return decode_event(await self._open().request("POST", f"{_bucket(bucket_id)}/events", encode_event(event)))

    async def insert_events(self, bucket_id: str, events: list[Event]) -> list[Event]:
        """All of them or none; gives them as stored."""
        return decode_events(await self._open().request("POST", f"{_bucket(bucket_id)}/events", encode_events(events)))

    async def get_event(self, bucket_id: str, event_id: int) -> Event | None:
        """None if the bucket has no such event."""
        try:
            return decode_event(await self._open().request("GET", f"{_bucket(bucket_id)}/events/{event_id}"))
        except RequestRefused as error:
            if error.type == "NoSuchEvent":
                return None
            raise

    async def get_events(
        self, bucket_id: str, limit: int = -1, start: datetime | None = None, end: datetime | None = None
    ) -> list[Event]:
        """Those that meet [start, end], cut to it, newest first; the first `limit` of them, -1 for all."""
        params = {"limit": str(limit), **_range(start, end)}
        return decode_events(await self._open().request("GET", f"{_bucket(bucket_id)}/events", params=params))

    async def get_eventcount(self, bucket_id: str, start: datetime | None = None, end: datetime | None = None) -> int:
        path = f"{_bucket(bucket_id)}/events/count"
        return int(await self._open().json("GET", path, params=_range(start, end)))

    async def frame(self, bucket_id: str, start: datetime | None = None, end: datetime | None = None) -> pa.Table:
        """As `get_events` without a limit, as a table: see `awlog.client.frame`."""
        params = {"format": "arrow", **_range(start, end)}
        return table_of(await self._open().request("GET", f"{_bucket(bucket_id)}/events", params=params))

    async def delete_event(self, bucket_id: str, event_id: int) -> bool:
        """Was it there?"""
        return bool((await self._open().json("DELETE", f"{_bucket(bucket_id)}/events/{event_id}"))["success"])

    # Query, export, settings

    async def query(
        self, query: str, timeperiods: Sequence[tuple[datetime, datetime]], name: str | None = None, cache: bool = False
    ) -> list[Any]:
        """One result for each period."""
        periods = [f"{_with_zone(start).isoformat()}/{_with_zone(end).isoformat()}" for start, end in timeperiods]
        params = {"name": name or "", "cache": str(int(cache))}
        body = {"query": query.split("\n"), "timeperiods": periods}
        return list(await self._open().json("POST", "/query", body, params=params))

    async def export_all(self) -> dict[str, Any]:
        return dict(await self._open().json("GET", "/export"))

    async def export_bucket(self, bucket_id: str) -> dict[str, Any]:
        return dict(await self._open().json("GET", f"{_bucket(bucket_id)}/export"))

    async def import_bucket(self, bucket: dict[str, Any]) -> None:
        """One bucket of an export, with its events; events that are there already are skipped."""
        await self._open().json("POST", "/import", {"buckets": {bucket["id"]: bucket}})

    async def get_setting(self, key: str | None = None) -> Any:
        """The value, None if it is not set; without a key all of them."""
        return await self._open().json("GET", "/settings" if key is None else f"/settings/{quote(key, safe='')}")

    async def set_setting(self, key: str, value: Any) -> None:
        """Any JSON value; None removes it."""
        await self._open().json("POST", f"/settings/{quote(key, safe='')}", value)

    def _open(self) -> Connection:
        assert self._connection is not None, "a client is used inside `with`, or between connect() and disconnect()"
        return self._connection

    def _queue(self) -> Sender:
        self._open()
        if self._sender is None:
            raise QueueUnusable("This client has no queue: give it a `queue_path`")
        return self._sender


def _bucket(bucket_id: str) -> str:
    return f"/buckets/{quote(bucket_id, safe='')}"


def _range(start: datetime | None, end: datetime | None) -> dict[str, str]:
    given = {"start": start, "end": end}
    return {name: _with_zone(moment).isoformat() for name, moment in given.items() if moment is not None}


def _with_zone(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("A moment needs a time zone: datetime.now(UTC), for example")
    return moment
