"""Sends what is queued, in batches, for as long as it takes.

A batch is a stream of lines with the producer's id and numbers. It is dropped from the queue when the server says that it is
durable; without an answer it is sent again, and what the server has already counts once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from awlog.client.connection import Connection
from awlog.client.errors import ClientError, QueueUnusable, ServerFailed, Unreachable
from awlog.client.queue import DiskQueue

_log: Final = logging.getLogger("awlog.client")
_T = TypeVar("_T")

# Lines of a batch: about a megabyte. What is queued while one is on its way makes up the next.
_BATCH_LINES_MAX: Final = 8192
# After a failure, doubling.
_WAIT_S_MIN: Final = 0.05
_WAIT_S_MAX: Final = 5.0


class Refusal(Struct, frozen=True):
    """A queued heartbeat that the server will never take; `type` is its word for why."""

    sequence: int
    type: str
    message: str


class _RefusedLine(Struct):
    line: int
    type: str
    message: str


class _Taken(Struct):
    durable: int
    refused: list[_RefusedLine]
    refused_count: int


_TAKEN: Final = msgspec.json.Decoder(_Taken)


def log_refusal(refusal: Refusal) -> None:
    """What is done with refusals unless the program wants it otherwise."""
    _log.warning("heartbeat %d was refused: %s (%s)", refusal.sequence, refusal.message, refusal.type)


class Sender:
    """Owns the queue, the thread that alone touches it, and two tasks: one writes to it, one sends from it."""

    def __init__(self, queue: DiskQueue, connection: Connection, on_refused: Callable[[Refusal], None]) -> None:
        self._queue = queue
        self._connection = connection
        self._on_refused = on_refused
        self._thread = ThreadPoolExecutor(1, "awlog-client-queue")
        self._unwritten: list[tuple[list[bytes], asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        # The numbers of the last line queued, and of the last that the server has.
        self._last = queue.last_sequence()
        self._buckets = dict(queue.buckets())
        first, lines = queue.oldest(1)
        self._sent_through = first - 1 if lines else self._last
        self._due = asyncio.Event()
        self._progress = asyncio.Condition()
        self._stuck: ClientError | None = None
        self._sending = asyncio.create_task(self._send())

    async def close(self) -> None:
        """Stops sending; what is queued stays on the disk. Who waits in `flush` is told."""
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)
        async with self._progress:
            self._stuck = QueueUnusable("The client was disconnected; what is queued and not sent stays on the disk")
            self._progress.notify_all()
        if self._writing is not None:
            await self._writing
        await self._in_thread(self._queue.close)
        self._thread.shutdown()

    async def _in_thread(self, work: Callable[..., _T], *values: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *values)

    async def put(self, lines: list[bytes]) -> None:
        """Returns when the lines are on this machine's disk. Calls that wait together share one sync."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unwritten.append((lines, written))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await written

    async def _write(self) -> None:
        while self._unwritten:
            waiting, self._unwritten = self._unwritten, []
            try:
                self._last = await self._in_thread(self._queue.append, [line for lines, _ in waiting for line in lines])
            except ClientError as error:
                outcome: ClientError | None = error
            else:
                outcome = None
                self._due.set()
            for _, written in waiting:
                if written.done():  # whoever waited was cancelled
                    continue
                if outcome is None:
                    written.set_result(None)
                else:
                    written.set_exception(outcome)
        self._writing = None

    async def put_bucket(self, bucket_id: str, body: bytes) -> None:
        """A bucket to make before what is queued from now on is sent."""
        await self._in_thread(self._queue.add_bucket, bucket_id, body)
        self._buckets[bucket_id] = body
        self._due.set()

    async def flush(self) -> None:
        """Returns when the server has everything that was queued before the call, durable.

        Waits while the server cannot be reached. Raises RequestRefused if it refuses the stream as a whole, and
        QueueUnusable, also if the client is disconnected meanwhile.
        """
        through = self._last
        self._stuck = None
        self._due.set()
        async with self._progress:
            while self._sent_through < through or self._buckets:
                await self._progress.wait()
                if self._stuck is not None:
                    raise self._stuck

    async def _send(self) -> None:
        """For ever: batch after batch; after a failure the same one again."""
        wait_s = _WAIT_S_MIN
        while True:
            while self._sent_through >= self._last and not self._buckets:
                self._due.clear()
                await self._due.wait()
            try:
                await self._send_oldest()
                wait_s = 0.0
            except (Unreachable, ServerFailed) as error:
                _log.info("not sent, will be tried again: %s", error)
                wait_s = min(max(2 * wait_s, _WAIT_S_MIN), _WAIT_S_MAX)
            except ClientError as error:
                _log.error("what is queued cannot be sent: %s", error)
                self._stuck = error
                wait_s = _WAIT_S_MAX
            async with self._progress:
                self._progress.notify_all()
            if wait_s:
                await asyncio.sleep(wait_s)

    def _tell(self, refusal: Refusal) -> None:
        """Broad except: a mistake of the program must not keep the rest of the queue from being sent."""
        try:
            self._on_refused(refusal)
        except Exception:  # noqa: BLE001
            _log.exception("on_refused failed for heartbeat %d", refusal.sequence)

    async def _send_oldest(self) -> None:
        """One batch: acknowledged, and dropped from the queue."""
        first, lines = await self._in_thread(self._queue.oldest, _BATCH_LINES_MAX)
        for bucket_id, body in list(self._buckets.items()):
            await self._connection.request("POST", f"/buckets/{quote(bucket_id, safe='')}", body)
            if self._buckets.get(bucket_id) is body:
                await self._in_thread(self._queue.drop_bucket, bucket_id)
                del self._buckets[bucket_id]
        if not lines:
            return
        headers = {
            "Content-Type": "application/x-ndjson",
            "Awlog-Producer": self._queue.producer_id,
            "Awlog-Sequence": str(first),
        }
        answer = await self._connection.request("POST", "/heartbeats", b"\n".join(lines), headers=headers)
        try:
            taken = _TAKEN.decode(answer)
        except msgspec.DecodeError as error:
            raise ServerFailed(200, "NotAwlog", "What answers there is not awlog") from error
        if taken.durable != len(lines):
            raise ServerFailed(200, "NotAll", f"Of {len(lines)} lines the answer says that {taken.durable} are durable")
        for refused in taken.refused:
            self._tell(Refusal(first + refused.line - 1, refused.type, refused.message))
        if taken.refused_count > len(taken.refused):
            _log.warning("%d more heartbeats of this batch were refused", taken.refused_count - len(taken.refused))
        through = first + len(lines) - 1
        await self._in_thread(self._queue.drop, through)
        self._sent_through = through
