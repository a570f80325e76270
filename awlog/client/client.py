"""The client for programs without asyncio: the same one, on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from awlog.client.async_client import AsyncClient
from awlog.client.event import Event
from awlog.client.sender import Refusal, log_refusal

if TYPE_CHECKING:
    import pyarrow as pa

_T = TypeVar("_T")


class Client:
    """As `AsyncClient`, method for method, but that each waits for its answer. Any thread may call it.

    with Client("my-watcher", queue_path="my-watcher.queue") as client:
        client.heartbeat("my-bucket", event, pulsetime=5, queued=True)
        client.flush()
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
        """`on_refused` is called in the client's own thread."""
        self._client = AsyncClient(
            client_name,
            testing=testing,
            host=host,
            port=port,
            protocol=protocol,
            token=token,
            tls=tls,
            queue_path=queue_path,
            on_refused=on_refused,
            timeout_s=timeout_s,
        )
        self.client_name, self.client_hostname = self._client.client_name, self._client.client_hostname
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        if self._loop is None:
            work.close()
            raise AssertionError("a client is used inside `with`, or between connect() and disconnect()")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def connect(self) -> None:
        """Raises QueueUnusable."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="awlog-client", daemon=True)
        self._thread.start()
        try:
            self._run(self._client.connect())
        except BaseException:
            self._end()
            raise

    def disconnect(self) -> None:
        """What is queued and not sent stays on the disk."""
        try:
            self._run(self._client.disconnect())
        finally:
            self._end()

    def _end(self) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disconnect()

    def flush(self) -> None:
        self._run(self._client.flush())

    def wait_for_start(self, timeout: float = 10) -> None:
        self._run(self._client.wait_for_start(timeout))

    def get_info(self) -> dict[str, Any]:
        return self._run(self._client.get_info())

    # Buckets

    def get_buckets(self) -> dict[str, dict[str, Any]]:
        return self._run(self._client.get_buckets())

    def create_bucket(self, bucket_id: str, event_type: str, *, queued: bool = False) -> None:
        self._run(self._client.create_bucket(bucket_id, event_type, queued=queued))

    def delete_bucket(self, bucket_id: str, *, force: bool = False) -> None:
        self._run(self._client.delete_bucket(bucket_id, force=force))

    # Events

    def heartbeat(self, bucket_id: str, event: Event, pulsetime: float, *, queued: bool = False) -> Event | None:
        return self._run(self._client.heartbeat(bucket_id, event, pulsetime, queued=queued))

    def heartbeats(self, bucket_id: str, events: Iterable[Event], pulsetime: float) -> None:
        self._run(self._client.heartbeats(bucket_id, events, pulsetime))

    def insert_event(self, bucket_id: str, event: Event) -> Event:
        return self._run(self._client.insert_event(bucket_id, event))

    def insert_events(self, bucket_id: str, events: list[Event]) -> list[Event]:
        return self._run(self._client.insert_events(bucket_id, events))

    def get_event(self, bucket_id: str, event_id: int) -> Event | None:
        return self._run(self._client.get_event(bucket_id, event_id))

    def get_events(
        self, bucket_id: str, limit: int = -1, start: datetime | None = None, end: datetime | None = None
    ) -> list[Event]:
        return self._run(self._client.get_events(bucket_id, limit, start, end))

    def get_eventcount(self, bucket_id: str, start: datetime | None = None, end: datetime | None = None) -> int:
        return self._run(self._client.get_eventcount(bucket_id, start, end))

    def frame(self, bucket_id: str, start: datetime | None = None, end: datetime | None = None) -> pa.Table:
        return self._run(self._client.frame(bucket_id, start, end))

    def delete_event(self, bucket_id: str, event_id: int) -> bool:
        return self._run(self._client.delete_event(bucket_id, event_id))

    # Query, export, settings

    def query(
        self, query: str, timeperiods: Sequence[tuple[datetime, datetime]], name: str | None = None, cache: bool = False
    ) -> list[Any]:
        return self._run(self._client.query(query, timeperiods, name, cache))

    def export_all(self) -> dict[str, Any]:
        return self._run(self._client.export_all())

    def export_bucket(self, bucket_id: str) -> dict[str, Any]:
        return self._run(self._client.export_bucket(bucket_id))

    def import_bucket(self, bucket: dict[str, Any]) -> None:
        self._run(self._client.import_bucket(bucket))

    def get_setting(self, key: str | None = None) -> Any:
        return self._run(self._client.get_setting(key))

    def set_setting(self, key: str, value: Any) -> None:
        self._run(self._client.set_setting(key, value))
