"""The floor: the least that a durable heartbeat can cost here, in this language, with these libraries. A measure, no server.

A bare uvloop protocol cuts the request by hand and trusts it: whatever comes is taken for what the load client sends. It
decodes, merges and group-commits rows of the same size into LMDB as awlog does, and answers after the sync. No access
rules, no limits, no history, no reads but those that the load client checks the work with; what is inserted is kept in
memory too, for that. Started as `python -m benchmarks.floor PORT DIRECTORY`.
"""

from __future__ import annotations

import asyncio
import json
import queue
import signal
import struct
import sys
import threading
from datetime import UTC, datetime
from typing import Any, Final, cast
from zlib import crc32

import lmdb
import msgspec
import uvloop

_MAP_BYTES: Final = 4 << 30
_TAIL: Final = struct.Struct("<IQIIQqq")  # as awlog's row: check sum, next seq, revision, and the record with its own
_RECORD: Final = struct.Struct("<IQqq")
_BUCKET_KEY: Final = struct.Struct(">I")
_SEQ_KEY: Final = struct.Struct(">IQ")
_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"


class _Heartbeat(msgspec.Struct, gc=False):
    timestamp: str
    data: msgspec.Raw
    duration: float = 0.0


_DECODER: Final = msgspec.json.Decoder(_Heartbeat)


class _Bucket:
    """`events`: those before the tail record, as (start, duration) in µs."""

    __slots__ = ("answer", "data", "duration_us", "events", "number", "seq", "start_us")

    def __init__(self, number: int) -> None:
        self.number = number
        self.seq = 0
        self.start_us = self.duration_us = 0
        self.data = b""
        self.answer = b""
        self.events: list[tuple[int, int]] = []

    def row(self) -> bytes:
        record = _RECORD.pack(0, self.seq, self.start_us, self.duration_us) + self.data
        row = _TAIL.pack(0, self.seq + 1, 1, crc32(record), self.seq, self.start_us, self.duration_us) + self.data
        return crc32(row).to_bytes(4, "little") + row[4:]


class _Store:
    """Buckets in memory, and the thread that commits what changed."""

    def __init__(self, directory: str) -> None:
        self.buckets: dict[bytes, _Bucket] = {}
        self._environment = lmdb.open(directory, map_size=_MAP_BYTES, max_dbs=16)
        self._tails = self._environment.open_db(b"tails")
        self._log = self._environment.open_db(b"log")
        self._loop = asyncio.get_running_loop()
        self._changed: dict[bytes, bytes] = {}
        self._records: list[tuple[bytes, bytes]] = []
        self._waiting: list[tuple[_Connection, bytes]] = []
        self._committing: list[tuple[_Connection, bytes]] | None = None
        self._begin_scheduled = False
        self._jobs: queue.SimpleQueue[tuple[dict[bytes, bytes], list[tuple[bytes, bytes]]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, daemon=True).start()

    def take(self, bucket: _Bucket, beat: _Heartbeat, pulsetime_us: int, connection: _Connection) -> None:
        """Merges it or begins a new event; the connection is answered when that is durable."""
        data = bytes(beat.data)
        start_us = round(datetime.fromisoformat(beat.timestamp).timestamp() * 1_000_000)
        end_us = start_us + round(beat.duration * 1_000_000)
        tail_end_us = bucket.start_us + bucket.duration_us
        if bucket.seq and data == bucket.data and bucket.start_us <= start_us <= tail_end_us + pulsetime_us:
            bucket.duration_us = max(bucket.duration_us, end_us - bucket.start_us)
        else:
            if bucket.seq:
                record = _RECORD.pack(0, bucket.seq, bucket.start_us, bucket.duration_us) + bucket.data
                record = crc32(record).to_bytes(4, "little") + record[4:]
                self._records.append((_SEQ_KEY.pack(bucket.number, bucket.seq), record))
                bucket.events.append((bucket.start_us, bucket.duration_us))
            bucket.seq += 1
            bucket.start_us, bucket.duration_us, bucket.data = start_us, end_us - start_us, data
            wire_id = bucket.number << 32 | bucket.seq
            bucket.answer = b'{"id":%d,"timestamp":"%b","duration":' % (wire_id, beat.timestamp.encode())
        self._changed[_BUCKET_KEY.pack(bucket.number)] = bucket.row()
        body = b'%b%b,"data":%b}' % (bucket.answer, repr(bucket.duration_us / 1e6).encode(), data)
        self._waiting.append((connection, _ANSWER % (len(body), body)))
        if self._committing is None and not self._begin_scheduled:
            self._begin_scheduled = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._begin_scheduled = False
        if self._committing is None and self._waiting:
            self._committing, self._waiting = self._waiting, []
            job = self._changed, self._records
            self._changed, self._records = {}, []
            self._jobs.put(job)

    def _run(self) -> None:
        """The thread."""
        while True:
            rows, records = self._jobs.get()
            with self._environment.begin(write=True) as txn:
                for key, value in rows.items():
                    txn.put(key, value, db=self._tails)
                for key, value in records:
                    txn.put(key, value, db=self._log)
            self._loop.call_soon_threadsafe(self._durable)

    def _durable(self) -> None:
        done, self._committing = self._committing, None
        assert done is not None
        self._begin()
        for connection, answer in done:
            connection.transport.write(answer)


class _Connection(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, store: _Store) -> None:
        self._store = store
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        head_end = received.find(b"\r\n\r\n") + 4
        if head_end == 3:
            self._received = received
            return
        length_at = received.find(b"Content-Length: ", 0, head_end)
        length = int(received[length_at + 16 : received.find(b"\r\n", length_at)]) if length_at > 0 else 0
        if len(received) < head_end + length:
            self._received = received
            return
        self._received = b""
        target = received[: received.find(b" HTTP")]
        mark = target.find(b"/heartbeat?pulsetime=")
        if mark < 0:
            self._answer(target)
            return
        bucket = self._store.buckets[target[20:mark]]  # after "POST /api/0/buckets/"
        pulsetime_us = round(float(target[mark + 21 :]) * 1_000_000)
        self._store.take(bucket, _DECODER.decode(received[head_end:]), pulsetime_us, self)

    def _answer(self, target: bytes) -> None:
        """What the load client asks before and after."""
        buckets = self._store.buckets
        method, _, path = target.partition(b" ")
        name = path.partition(b"?")[0].removeprefix(b"/api/0/buckets/").partition(b"/")[0]
        value: Any = {}
        if method == b"POST":
            buckets.setdefault(name, _Bucket(len(buckets) + 1))
        elif name in buckets:
            bucket = buckets[name]
            spans = [*bucket.events, (bucket.start_us, bucket.duration_us)] if bucket.seq else []
            value = len(spans)
            if b"/count" not in path:
                value = [{"timestamp": _iso(start_us), "duration": length_us / 1e6} for start_us, length_us in spans]
        body = json.dumps(value).encode()
        self.transport.write(_ANSWER % (len(body), body))


def _iso(at_us: int) -> str:
    return (
        f"{datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime('%Y-%m-%dT%H:%M:%S')}.{at_us % 1_000_000:06}+00:00"
    )


async def _serve(port: int, directory: str) -> None:
    loop = asyncio.get_running_loop()
    store = _Store(directory)
    server = await loop.create_server(lambda: _Connection(store), "127.0.0.1", port, backlog=4096)
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1]), sys.argv[2]))
