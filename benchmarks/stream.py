"""Workload `stream`: many heartbeats on one connection, as the body of one request and as messages of a WebSocket.

Each round sends the same number of heartbeats into a bucket of its own and waits until all are acknowledged as durable; then
the bucket is compared with what was sent. Lines and frames are made beforehand: the client only writes them to a socket.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from contextlib import ExitStack
from statistics import median
from typing import Final, Literal, TypedDict

from benchmarks.beats import PULSETIME_S, RUN_COUNT, STEP_MS, BeatStream, Kind, payloads
from benchmarks.generator import BUCKET_TYPES, FIRST_DAY_MS
from benchmarks.progress import say
from benchmarks.rest import Address, bucket_path, create_bucket, get
from benchmarks.servers import Awlog, CannotMeasure, Running, used
from benchmarks.settings import Settings
from benchmarks.times import iso, ms

Way = Literal["NDJSON body", "WebSocket"]
WAYS: Final[tuple[Way, ...]] = ("NDJSON body", "WebSocket")
_KINDS: Final[tuple[Kind, ...]] = ("merging", "inserting")
_TIMEOUT_S: Final = 120.0
_RECEIVE_BYTES: Final = 1 << 16


class Round(TypedDict):
    seconds: float  # from the first byte sent to the acknowledgement of the last heartbeat
    rate: float
    cpu_us: float | None  # of the server, for each heartbeat
    client_cores: float


class Case(TypedDict):
    way: Way
    kind: Kind
    heartbeats: int
    rounds: list[Round]
    rate: float  # medians
    cpu_us: float | None


def measure(awlog: Awlog, settings: Settings) -> list[Case]:
    """Raises CannotMeasure if a bucket does not hold what was acknowledged."""
    cases: list[Case] = []
    with ExitStack() as stack:
        server = awlog.start()
        stack.callback(server.stop)
        for kind in _KINDS:
            say(f"stream, {kind}")
            taken: dict[Way, list[Round]] = {way: [] for way in WAYS}
            for number in range(settings.rounds):
                for way in WAYS if number % 2 == 0 else reversed(WAYS):
                    taken[way].append(_round(server, way, kind, f"{kind}-{way}-{number}", settings))
            cases += [_case(way, kind, settings.stream_heartbeats, taken[way]) for way in WAYS]
    return cases


def _case(way: Way, kind: Kind, heartbeats: int, rounds: list[Round]) -> Case:
    cpu = [each["cpu_us"] for each in rounds if each["cpu_us"] is not None]
    return Case(
        way=way,
        kind=kind,
        heartbeats=heartbeats,
        rounds=rounds,
        rate=median(each["rate"] for each in rounds),
        cpu_us=median(cpu) if cpu else None,
    )


def _round(server: Running, way: Way, kind: Kind, bucket: str, settings: Settings) -> Round:
    create_bucket(server.address, bucket, BUCKET_TYPES["window"])
    data = payloads(settings.seed)
    count = settings.stream_heartbeats
    lines = _lines(bucket, data, kind, count)
    to_send = b"".join(map(_frame, lines)) if way == "WebSocket" else b"".join(line + b"\n" for line in lines)
    send = _send_messages if way == "WebSocket" else _send_body
    before, client_s, start_s = used(server), _own_cpu_s(), time.perf_counter()
    send(server.address, to_send, count)
    seconds = time.perf_counter() - start_s
    client_s = _own_cpu_s() - client_s
    after = used(server)
    _check(server.address, bucket, data, kind, count)
    cpu_us = after.since(before).cpu_s / count * 1e6 if before is not None and after is not None else None
    return Round(seconds=seconds, rate=count / seconds, cpu_us=cpu_us, client_cores=client_s / seconds)


def _lines(bucket: str, data: list[bytes], kind: Kind, count: int) -> list[bytes]:
    """The heartbeats of `BeatStream`, as lines of a stream."""
    start = b'{"bucket":%b,"pulsetime":%b,"event":{"timestamp":"' % (
        json.dumps(bucket).encode(),
        repr(PULSETIME_S).encode(),
    )
    run = RUN_COUNT[kind]
    return [
        b'%b%b","duration":0.0,"data":%b}}' % (start, iso(FIRST_DAY_MS + at * STEP_MS), data[at // run % len(data)])
        for at in range(count)
    ]


def _frame(line: bytes) -> bytes:
    """A text message; its mask is zero, so that it costs the client nothing."""
    assert 126 <= len(line) < 1 << 16, "a length of two bytes"
    return b"\x81\xfe" + len(line).to_bytes(2, "big") + bytes(4) + line


def _send_body(address: Address, body: bytes, count: int) -> None:
    head = (
        f"POST /api/0/heartbeats HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-ndjson\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((address.host, address.port), timeout=_TIMEOUT_S) as connection:
        connection.sendall(head.encode() + body)
        received = b""
        while b"\r\n\r\n" not in received or not received.endswith(b"}"):
            received += _received(connection)
    status, _, answer = received.partition(b"\r\n\r\n")
    if not status.startswith(b"HTTP/1.1 200 ") or json.loads(answer)["durable"] != count:
        raise CannotMeasure(f"the stream was answered by {received[:300]!r}")


def _send_messages(address: Address, frames: bytes, count: int) -> None:
    """Sends ahead in a thread, while acknowledgements are read."""
    head = (
        f"GET /api/0/stream HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "Sec-WebSocket-Protocol: awlog.v1\r\n\r\n"
    )
    with socket.create_connection((address.host, address.port), timeout=_TIMEOUT_S) as connection:
        connection.sendall(head.encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += _received(connection)
        sending = threading.Thread(target=connection.sendall, args=(frames,))
        sending.start()
        # Acknowledgements are small texts, the last of which names the last heartbeat.
        last = b'{"durable":%d,' % count
        while last not in received:
            received = received[-len(last) :] + _received(connection)
        sending.join()


def _received(connection: socket.socket) -> bytes:
    chunk = connection.recv(_RECEIVE_BYTES)
    if not chunk:
        raise CannotMeasure("the connection ended before everything was acknowledged")
    return chunk


def _check(address: Address, bucket: str, data: list[bytes], kind: Kind, count: int) -> None:
    """A wrong answer has no speed."""
    stream = BeatStream(data, kind, FIRST_DAY_MS)
    stream.acknowledged_count = count
    events = get(address, f"{bucket_path(bucket)}/events")
    wrong = stream.mismatch(sorted((ms(e["timestamp"]), round(e["duration"] * 1000)) for e in events), undecided=False)
    if wrong is not None:
        raise CannotMeasure(f"{bucket}: {wrong}")


def _own_cpu_s() -> float:
    times = os.times()
    return times.user + times.system
