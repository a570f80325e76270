"""Clients that misbehave, each in a process of its own: `python -m tests.faults.attacks NAME PORT SECONDS`.

An attack goes on for its seconds and ends with status 0, whatever the server does to it.
"""

from __future__ import annotations

import contextlib
import gzip
import random
import resource
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

_HEAD: Final = b"POST /api/0/buckets/attacked/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_GET: Final = b"GET /api/0/buckets/attacked/events HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Attack:
    """Connections to one port, until a time; what the server refuses is the point, not a failure."""

    def __init__(self, port: int, seconds: float) -> None:
        self.port = port
        self.end_s = time.monotonic() + seconds
        self.random = random.Random(1)

    def going(self) -> bool:
        return time.monotonic() < self.end_s

    def connect(self, count: int) -> list[socket.socket]:
        """As many as the server takes."""
        made = []
        for _ in range(count):
            with contextlib.suppress(OSError):
                made.append(socket.create_connection(("127.0.0.1", self.port), timeout=2))
        return made

    def each(self, sockets: list[socket.socket], send: Callable[[socket.socket], object], pause_s: float) -> None:
        """Sends on all of them again and again; one that the server has closed is opened anew."""
        while self.going():
            for at, one in enumerate(sockets):
                try:
                    send(one)
                except OSError:
                    one.close()
                    sockets[at : at + 1] = self.connect(1) or [one]
            time.sleep(pause_s)

    def again(self) -> Iterator[socket.socket]:
        """One new connection after the other."""
        while self.going():
            for one in self.connect(1):
                with contextlib.suppress(OSError), one:
                    yield one


def idle(attack: Attack) -> None:
    """Two thousand connections that say nothing."""
    attack.connect(2_000)
    while attack.going():
        time.sleep(0.1)


def trickled_headers(attack: Attack) -> None:
    """Two hundred whose headers come letter by letter."""
    attack.each(attack.connect(200), lambda one: one.send(b"x"), 0.2)


def trickled_bodies(attack: Attack) -> None:
    """Two hundred whose bodies, of a megabyte each, come letter by letter."""
    sockets = attack.connect(200)
    for one in sockets:
        one.send(_HEAD + b"Content-Length: 1000000\r\n\r\n[")
    attack.each(sockets, lambda one: one.send(b" "), 0.2)


def never_reading(attack: Attack) -> None:
    """A hundred that ask for all there is, again and again, and read nothing."""
    sockets = attack.connect(100)
    for one in sockets:
        one.setblocking(False)
    attack.each(sockets, lambda one: one.send(_GET * 20), 0.1)


def random_bytes(attack: Attack) -> None:
    for one in attack.again():
        one.sendall(attack.random.randbytes(attack.random.randrange(1, 5_000)))


def tls(attack: Attack) -> None:
    """The first message of TLS, on the port that speaks none."""
    for one in attack.again():
        one.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + attack.random.randbytes(500))
        one.recv(1_000)


def half_requests(attack: Attack) -> None:
    """Dropped anywhere: in the line, in the headers, in the body."""
    whole = _HEAD + b'Content-Length: 62\r\n\r\n[{"timestamp": "2024-05-01T10:00:00Z", "data": {"label": "x"}}]'
    for one in attack.again():
        one.sendall(whole[: attack.random.randrange(len(whole))])


def resets(attack: Attack) -> None:
    """Broken off hard, in the middle of long answers."""
    for one in attack.again():
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.sendall(_GET)
        one.recv(1)


def pipelines(attack: Attack) -> None:
    """Thousands of requests in one breath, on connections that read little of what they asked for."""
    beat = b'{"timestamp":"2024-05-01T10:00:00Z","data":{}}'
    line = b"POST /api/0/buckets/attacked/heartbeat?pulsetime=1 HTTP/1.1\r\nHost: localhost\r\n"
    beats = line + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(beat), beat)
    infos = b"GET /api/0/info HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for one in attack.again():
        one.settimeout(0.2)
        one.sendall((infos * 500 + beats * 500) * 4)
        one.recv(1_000)


def bombs(attack: Attack) -> None:
    """Compressed bodies, 100,000 levels of JSON, forms that never begin, lengths that no memory holds."""
    squeezed = gzip.compress(b" " * 20_000_000)
    deep = b"[" * 100_000
    bodies = [
        _HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(squeezed), squeezed),
        _HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(deep), deep),
        _HEAD + b"Content-Length: 60000000\r\n\r\n" + b" " * 2_000_000,
        _HEAD + b"Content-Length: 9999999999999999999\r\n\r\n",
        _HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b" " * 0x10000 + b"\r\n",
        b"POST /api/0/import HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b"\r\n" * 0x8000 + b"\r\n",
    ]
    kept = []
    for one in attack.again():
        one.settimeout(0.3)
        one.sendall(attack.random.choice(bodies))
        kept.append(one.dup())
        del kept[:-50]


ATTACKS: Final = {
    attack.__name__: attack
    for attack in (
        idle,
        trickled_headers,
        trickled_bodies,
        never_reading,
        random_bytes,
        tls,
        half_requests,
        resets,
        pipelines,
        bombs,
    )
}


def main() -> None:
    name, port, seconds = sys.argv[1:]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ATTACKS[name](Attack(int(port), float(seconds)))


if __name__ == "__main__":
    main()
