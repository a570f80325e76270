"""The load client: N connections in a closed or an open loop, in a process of its own: its CPU is not the server's.

Driven through its standard input by `load_process`: one JSON order per line, one JSON answer per line.

open     create the buckets                                               -> {}
run      beats for so many seconds; what is unanswered then is waited for -> a Slice
check    read every bucket, compare with what was acknowledged            -> {"checked": events, "wrong": texts}

HTTP is cut by hand and the loop is a bare epoll: a heartbeat costs this process about 10 µs, less than any server. A
connection sends its next heartbeat when the last is answered, and connects again when the server closed it, as some do
after each answer. A latency begins before that connect and ends with the last byte of the answer. Heartbeats may be
sent twice (after a lost connection): that changes nothing in the bucket.

In the open loop heartbeats become due at a fixed rate, whether or not the server keeps up, and a latency begins when one
was due: one that finds all connections busy waits, and its wait counts. So a server that stalls is not asked less.
"""

from __future__ import annotations

import gc
import json
import re
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypedDict, cast

from benchmarks.beats import BeatStream, Kind, SharedBeatStream, SharedClock, Stream, payloads
from benchmarks.figures import QUANTILES, quantile
from benchmarks.generator import BUCKET_TYPES
from benchmarks.rest import Address, bucket_path, create_bucket, get
from benchmarks.times import iso, ms

# How long the unanswered are waited for after a slice. Longer than any server here needed for one answer under load.
DRAIN_S: Final = 10.0
_COARSE_S: Final = 0.1
_RECEIVE_BYTES: Final = 65_536
_HEADS_MAX: Final = 4_096
_CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


class OpenOrder(TypedDict):
    host: str
    port: int
    buckets: list[str]  # one for each connection, the same ones if they share it
    kind: Kind
    first_ms: int
    seed: int


class Slice(TypedDict):
    """What one slice measured on the client's side. Latencies in ms."""

    seconds: float  # from the first heartbeat sent to the last one answered or given up: somewhat more than asked for
    answered: int
    late: int  # of these, after the time asked for: sent before, waited for
    unanswered: int  # in the percentiles with their age
    refused: int  # answers that were not 200; the heartbeat is sent again
    connects: int
    latency_ms: dict[str, float]  # quantile -> ms
    client_cores: float  # CPU of this process / time: near 1 the client is what was measured


class LostAnswer(Exception):
    """The connection ended before an answer was complete."""


class _Sockets:
    """Which connections have something to read."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._by_fd: dict[int, _Connection] = {}

    def add(self, connected: socket.socket, connection: _Connection) -> None:
        self._by_fd[connected.fileno()] = connection
        self._poll.register(connected, select.EPOLLIN)

    def remove(self, connected: socket.socket) -> None:
        self._poll.unregister(connected)
        del self._by_fd[connected.fileno()]

    def readable(self, timeout_s: float) -> list[_Connection]:
        if 0 < timeout_s < _COARSE_S:  # epoll counts whole milliseconds
            select.select([self._poll], [], [], timeout_s)
            timeout_s = 0
        return [self._by_fd[fd] for fd, _ in self._poll.poll(timeout_s)]


class _Connection:
    """One socket, its bucket, and at most one request under way."""

    def __init__(self, sockets: _Sockets, address: Address, bucket: str, stream: Stream, *, stock: bool) -> None:
        """`stock`: a connection for each heartbeat, headers and body in two packets."""
        self.sockets = sockets
        self.address = address
        self.bucket = bucket
        self.stream = stream
        self.stock = stock
        self.socket: socket.socket | None = None
        self.sent_ns = 0
        self.busy = False
        self.undecided = False
        self.connect_count = 0
        self._received = b""
        self._request_start = (
            f"POST {bucket_path(bucket)}/heartbeat?pulsetime={stream.pulsetime_s} HTTP/1.1\r\n"
            f"Host: {address}\r\nUser-Agent: awlog-benchmarks\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n"
            "Connection: keep-alive\r\nContent-Type: application/json\r\ncharset: utf-8\r\nContent-Length: "
        ).encode()

    def send(self) -> None:
        """Sends the stream's next heartbeat. Raises OSError if the server takes no connection."""
        self.sent_ns = time.perf_counter_ns()
        self.undecided = True
        self.write()

    def resend(self) -> None:
        """The same once more, on a new connection; its latency goes on."""
        self.close()
        self.write()

    def receive(self) -> int | None:
        """The status if the answer is complete, else None. Raises LostAnswer, on which `resend` is due."""
        assert self.socket is not None
        try:
            chunk = self.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return None
        except ConnectionError as error:
            raise LostAnswer from error
        if not chunk:
            if not self.busy:  # an idle connection that the server gave up
                self.close()
                return None
            raise LostAnswer
        self._received = received = self._received + chunk if self._received else chunk
        head_bytes = received.find(b"\r\n\r\n") + 4
        if head_bytes == 3:
            return None
        length, close = _head(received[:head_bytes])
        if len(received) < head_bytes + length:
            return None
        self._received = b""
        status = int(received[9:12])
        self.busy = False
        if close or self.stock:
            self.close()
        return status

    def close(self) -> None:
        self._received = b""
        if self.socket is not None:
            self.sockets.remove(self.socket)
            self.socket.close()
            self.socket = None

    def acknowledge(self) -> None:
        self.stream.acknowledge()
        self.undecided = False

    def write(self) -> None:
        """The heartbeat that is due, connecting first if there is no connection."""
        self.busy = True
        body = self.stream.next_body()
        head = self._request_start + b"%d\r\n\r\n" % len(body)
        if self.socket is not None:
            try:
                self.socket.send(head + body)  # far smaller than the socket's buffer: taken whole
                return
            except ConnectionError:
                self.close()
        connected = socket.create_connection((self.address.host, self.address.port), timeout=DRAIN_S)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setblocking(False)
        self.socket = connected
        self.connect_count += 1
        self.sockets.add(connected, self)
        if self.stock:
            connected.send(head)
            connected.send(body)
        else:
            connected.send(head + body)


_heads: dict[bytes, tuple[int, bool]] = {}


def _head(head: bytes) -> tuple[int, bool]:
    """Length of the body, and whether the connection closes after it. Few distinct heads come in: remembered."""
    known = _heads.get(head)
    if known is None:
        found = _CONTENT_LENGTH.search(head)
        if found is None:
            raise ValueError(f"an answer without Content-Length: {head!r}")
        if len(_heads) >= _HEADS_MAX:
            _heads.clear()
        known = _heads[head] = int(found[1]), _CLOSE.search(head) is not None
    return known


class _Begun(NamedTuple):
    """Where the clocks stood when a slice began."""

    start_ns: int
    cpu_s: float
    connects: int


class Load:
    """The connections to one server, from `open` to the end of the process."""

    def __init__(self, order: OpenOrder) -> None:
        self.address = Address(order["host"], order["port"])
        self.first_ms = order["first_ms"]
        self.sockets = _Sockets()
        data = payloads(order["seed"])
        kind, shared = order["kind"], SharedClock(data[0], order["first_ms"])
        self.connections = []
        for bucket in dict.fromkeys(order["buckets"]):
            create_bucket(self.address, bucket, BUCKET_TYPES["window"])
        for bucket in order["buckets"]:
            stream = SharedBeatStream(shared) if kind == "one bucket" else BeatStream(data, kind, order["first_ms"])
            self.connections.append(
                _Connection(self.sockets, self.address, bucket, stream, stock=kind == "stock client")
            )

    def run(self, seconds: float) -> Slice:
        late = refused = 0
        latencies_ns: list[int] = []
        begun = self._begin()
        stop_ns = begun.start_ns + int(seconds * 1e9)
        give_up_ns = stop_ns + int(DRAIN_S * 1e9)
        for connection in self.connections:
            connection.send()
        busy = len(self.connections)
        while busy and time.perf_counter_ns() < give_up_ns:
            for connection in self.sockets.readable(0.1):
                try:
                    status = connection.receive()
                except LostAnswer:
                    connection.resend()
                    continue
                if status is None:
                    continue
                if status != 200:  # the same again: its latency goes on until it is taken
                    refused += 1
                    connection.write()
                    continue
                now_ns = time.perf_counter_ns()
                latencies_ns.append(now_ns - connection.sent_ns)
                connection.acknowledge()
                if now_ns < stop_ns:
                    connection.send()
                else:
                    late += 1
                    busy -= 1
        return self._slice(begun, latencies_ns, late=late, refused=refused)

    def run_open(self, seconds: float, per_s: float) -> Slice:
        """`late` are those that were due when all connections were busy."""
        late = refused = 0
        latencies_ns: list[int] = []
        begun = self._begin()
        step_ns, count = 1e9 / per_s, int(seconds * per_s)
        give_up_ns = begun.start_ns + int((seconds + DRAIN_S) * 1e9)
        idle = deque(self.connections)
        sent = 0
        while (now_ns := time.perf_counter_ns()) < give_up_ns:
            while sent < count and idle and (due_ns := begun.start_ns + int(sent * step_ns)) <= now_ns:
                connection = idle.popleft()
                connection.send()
                connection.sent_ns = due_ns
                sent += 1
            if sent == count and len(idle) == len(self.connections):
                break
            if sent < count and not idle and begun.start_ns + int(sent * step_ns) <= now_ns:
                late += 1
            pause_s = (begun.start_ns + int(sent * step_ns) - now_ns) / 1e9 if idle and sent < count else 0.1
            for connection in self.sockets.readable(max(0.0, pause_s)):
                try:
                    status = connection.receive()
                except LostAnswer:
                    connection.resend()
                    continue
                if status is None:
                    continue
                if status != 200:
                    refused += 1
                    connection.write()
                    continue
                latencies_ns.append(time.perf_counter_ns() - connection.sent_ns)
                connection.acknowledge()
                idle.append(connection)
        unsent = [begun.start_ns + int(number * step_ns) for number in range(sent, count)]
        return self._slice(begun, latencies_ns, late=late, refused=refused, unsent_due_ns=unsent)

    def _begin(self) -> _Begun:
        return _Begun(time.perf_counter_ns(), time.process_time(), self._connects())

    def _slice(
        self, begun: _Begun, latencies_ns: list[int], *, late: int, refused: int, unsent_due_ns: Sequence[int] = ()
    ) -> Slice:
        """Ends a slice: what is unanswered counts with its age."""
        end_ns = time.perf_counter_ns()
        elapsed_s = (end_ns - begun.start_ns) / 1e9
        answered = len(latencies_ns)
        for connection in self.connections:
            if connection.busy:
                latencies_ns.append(end_ns - connection.sent_ns)
                connection.busy = False
                connection.close()
        latencies_ns += [end_ns - due_ns for due_ns in unsent_due_ns]
        latencies_ns.sort()
        return Slice(
            seconds=elapsed_s,
            answered=answered,
            late=late,
            unanswered=len(latencies_ns) - answered,
            refused=refused,
            connects=self._connects() - begun.connects,
            latency_ms={str(q): quantile(latencies_ns, q) / 1e6 for q in QUANTILES},
            client_cores=(time.process_time() - begun.cpu_s) / elapsed_s,
        )

    def _connects(self) -> int:
        return sum(connection.connect_count for connection in self.connections)

    def check(self) -> dict[str, Any]:
        checked = 0
        wrong = []
        start = iso(self.first_ms).decode().replace("+", "%2B")
        for connection in {each.bucket: each for each in self.connections}.values():
            path = f"{bucket_path(connection.bucket)}/events"
            events = get(self.address, f"{path}?start={start}&limit=-1")
            stored = sorted((ms(event["timestamp"]), round(event["duration"] * 1000)) for event in events)
            counted = get(self.address, f"{path}/count?start={start}")
            problem = connection.stream.mismatch(stored, undecided=connection.undecided)
            if problem is None and counted != len(stored):
                problem = f"counted {counted} events, listed {len(stored)}"
            if problem is not None:
                wrong.append(problem)
            checked += len(stored)
        return {"checked": checked, "wrong": wrong}


def main() -> None:
    gc.disable()  # a collection in the middle of a slice would be measured as the server's latency
    load: Load | None = None
    for line in sys.stdin:
        order = json.loads(line)
        match order.pop("do"):
            case "open":
                load = Load(cast(OpenOrder, order))
                answer: object = {}
            case "run":
                assert load is not None
                seconds, per_s = order["seconds"], order["per_s"]
                answer = load.run(seconds) if per_s is None else load.run_open(seconds, per_s)
            case "check":
                assert load is not None
                answer = load.check()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
