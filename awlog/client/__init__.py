"""A client for awlog, and for every server that speaks the ActivityWatch API: `Client`, and `AsyncClient` for asyncio.

    with Client("my-watcher", queue_path="my-watcher.queue") as client:
        client.create_bucket("my-bucket", "my.type", queued=True)
        client.heartbeat("my-bucket", Event(datetime.now(UTC), data={"label": "tea"}), pulsetime=5, queued=True)
        client.flush()

What is queued is on this machine's disk when the call returns, and at the server, once, when it can be reached: through
restarts, crashes and outages of both. Only awlog takes queued heartbeats; the rest works with any such server.
"""

from __future__ import annotations

from awlog.client.async_client import AsyncClient
from awlog.client.client import Client
from awlog.client.errors import ClientError, QueueUnusable, RequestRefused, ServerFailed, Unreachable
from awlog.client.event import Event
from awlog.client.frames import frame
from awlog.client.sender import Refusal

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Event",
    "QueueUnusable",
    "Refusal",
    "RequestRefused",
    "ServerFailed",
    "Unreachable",
    "frame",
]
