"""`/stream`: heartbeats over a WebSocket, acknowledged when they are durable."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.contract.test_many_heartbeats import line
from tests.contract.wire import Api, Wire, check_error, event, request_bytes, strict_json
from tests.server import Server

PROTOCOL = "awlog.v1"
HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    f"Sec-WebSocket-Protocol: {PROTOCOL}",
)
PATIENCE_S = 20.0


class Socket:
    """One connection; `counted` adds up what was acknowledged."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.counted = {"durable": 0, "merged": 0, "inserted": 0, "duplicates": 0, "refused_count": 0}
        self.refused: list[dict[str, Any]] = []

    async def send(self, *lines: Any) -> None:
        """All of them in one message."""
        await self.socket.send_str("\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines))

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            message = await self.socket.receive()
        assert message.type is aiohttp.WSMsgType.TEXT, f"{message}"
        value = strict_json(message.data.encode())
        assert isinstance(value, dict)
        return value

    async def acknowledged(self, count: int) -> dict[str, Any]:
        """The acknowledgement after which all lines up to `count` are durable."""
        while True:
            ack = await self.receive()
            assert ack["durable"] > self.counted["durable"], "each acknowledges more"
            for key in self.counted:
                self.counted[key] = ack[key] if key == "durable" else self.counted[key] + ack[key]
            self.refused += ack["refused"]
            assert ack["durable"] <= count, "nothing is acknowledged before it is sent"
            if ack["durable"] == count:
                return ack

    async def close_code(self) -> int | None:
        """Once the server has closed."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.socket.closed:
                await self.socket.receive()
        return self.socket.close_code


@asynccontextmanager
async def connected(server: Server, **options: Any) -> AsyncIterator[Socket]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{server.url}/api/0/stream", protocols=[PROTOCOL], **options) as socket,
    ):
        yield Socket(socket)


async def test_each_message_is_a_heartbeat_and_acknowledged_when_durable(api: Api, bucket: str, server: Server):
    async with connected(server) as socket:
        assert socket.socket.protocol == PROTOCOL
        for number, clock in enumerate(("10:00:00", "10:00:05", "10:30:00"), start=1):
            await socket.send(line(bucket, clock))
            await socket.acknowledged(number)
            assert len(api.events(bucket)) == (1 if number < 3 else 2)
    assert (socket.counted["merged"], socket.counted["inserted"]) == (1, 2)


async def test_a_message_may_hold_several_lines(api: Api, bucket: str, server: Server):
    async with connected(server) as socket:
        await socket.send(line(bucket, "10:00:00"), line(bucket, "10:00:05"))
        await socket.send(line(bucket, "10:00:10"), line(bucket, "10:00:15"), "")
        await socket.acknowledged(4)
    assert [one["duration"] for one in api.events(bucket)] == [15.0]


async def test_a_client_need_not_wait_for_acknowledgements(api: Api, bucket: str, server: Server):
    """They are cumulative: fewer than messages."""
    async with connected(server) as socket:
        sending = asyncio.gather(
            *(
                socket.send(line(bucket, f"1{n // 3600}:{n // 60 % 60:02}:{n % 60:02}", {"n": n // 10}))
                for n in range(5000)
            )
        )
        await socket.acknowledged(5000)
        await sending
    assert (socket.counted["merged"], socket.counted["inserted"]) == (4500, 500)
    assert len(api.events(bucket)) == 500


async def test_a_bad_line_is_named_and_stops_no_other(api: Api, bucket: str, server: Server):
    async with connected(server) as socket:
        await socket.send(line(bucket, "10:00:00"))
        await socket.send("canary")
        await socket.send("")
        await socket.send(line("no such bucket", "10:00:00", {"t": "canary"}), line(bucket, "10:00:05"))
        await socket.acknowledged(5)
    assert [(refused["line"], refused["type"]) for refused in socket.refused] == [
        (2, "BadRequest"),
        (4, "NoSuchBucket"),
    ]
    assert "canary" not in json.dumps(socket.refused)
    assert (socket.counted["merged"], socket.counted["inserted"], socket.counted["refused_count"]) == (1, 1, 2)


async def test_a_producer_is_told_where_its_stream_is_and_sends_on_from_there(
    api: Api, bucket: str, name: str, server: Server
):
    """Without a number of its own, the next line has the next one; with one, what is known counts as a duplicate."""
    async with connected(server) as socket:
        await socket.send({"producer": name})
        assert await socket.receive() == {"hello": PROTOCOL, "sequence": 0}
        await socket.send(line(bucket, "10:00:00"), line(bucket, "10:30:00"))
        assert (await socket.acknowledged(2))["sequence"] == 2
    async with connected(server) as socket:
        await socket.send({"producer": name, "sequence": 2})
        assert await socket.receive() == {"hello": PROTOCOL, "sequence": 2}
        await socket.send(line(bucket, "10:30:00"), line(bucket, "10:45:00"))
        assert (await socket.acknowledged(2))["sequence"] == 3
        assert (socket.counted["duplicates"], socket.counted["inserted"]) == (1, 1)
    async with connected(server) as socket:
        await socket.send({"producer": name})
        assert (await socket.receive())["sequence"] == 3
        await socket.send(line(bucket, "10:50:00"))
        await socket.acknowledged(1)
    assert len(api.events(bucket)) == 4


@pytest.mark.parametrize("hello", [{"producer": ""}, {"producer": "a\nb"}, {"producer": "p", "sequence": 0}])
async def test_a_hello_that_means_nothing_ends_the_conversation(server: Server, hello: dict[str, Any]):
    async with connected(server) as socket:
        await socket.send(hello)
        assert (await socket.receive())["type"] == "BadRequest"
        assert await socket.close_code() == 1008


async def test_only_texts_are_taken(server: Server):
    async with connected(server) as socket:
        await socket.socket.send_bytes(b"{}")
        assert await socket.close_code() == 1003


async def test_a_message_has_a_limit(tmp_path):
    """That of bodies; what was sent before is taken."""
    with Server(tmp_path / "data", "--max-body-bytes", "1000") as server:
        api = Api(server)
        api.create("b")
        async with connected(server) as socket:
            await socket.send(line("b", "10:00:00"))
            await socket.acknowledged(1)
            await socket.send("x" * 2000)
            assert await socket.close_code() == 1009
        assert len(api.events("b")) == 1


async def test_what_was_sent_before_a_close_is_acknowledged(api: Api, bucket: str, server: Server):
    """All of it, before the server closes too."""
    async with connected(server, autoclose=False) as socket:
        for second in range(60):
            await socket.send(line(bucket, f"10:00:{second:02}"))
        await socket.socket._writer.close(1000)
        await socket.acknowledged(60)


async def test_a_stop_of_the_server_says_goodbye_and_does_not_lie(tmp_path):
    """What was acknowledged is there after the next start, and the code says that the server goes away."""
    server = Server(tmp_path / "data").start()
    Api(server).create("b")
    async with connected(server) as socket:
        sending = asyncio.create_task(_send_until_closed(socket))
        await socket.receive()
        stopping = asyncio.create_task(asyncio.to_thread(server.stop))
        acknowledged = 0
        async with asyncio.timeout(PATIENCE_S):
            async for message in socket.socket:
                acknowledged = json.loads(message.data)["durable"]
        assert socket.socket.close_code == 1001
        assert await stopping == 0
        sending.cancel()
    with server.start():
        assert len(Api(server).events("b")) >= acknowledged > 0


async def _send_until_closed(socket: Socket) -> None:
    for number in range(1_000_000):
        try:
            await socket.send(line("b", f"10:{number // 60 % 60:02}:{number % 60:02}.{number:06}", {"n": number}))
        except ConnectionError:
            return


async def test_a_stop_ends_a_long_body_too(tmp_path):
    """With a 503, that says how far it came."""
    server = Server(tmp_path / "data").start()
    api = Api(server)
    api.create("b")
    with Wire(server) as wire:
        headers = ("Content-Type: application/x-ndjson", "Content-Length: 1000000")
        wire.send(
            request_bytes("POST", "/api/0/heartbeats", *headers), json.dumps(line("b", "10:00:00")).encode() + b"\n"
        )
        while not api.events("b"):
            await asyncio.sleep(0.01)
        stopping = asyncio.create_task(asyncio.to_thread(server.stop))
        answer = await asyncio.to_thread(wire.answer)
        assert answer.status == 503
        assert "Lines up to 1 " in answer.json()["message"]
        assert await stopping == 0


async def test_a_client_that_reads_nothing_is_not_read_from_for_ever(api: Api, bucket: str, server: Server):
    """Each of its lines is refused and each refusal waits to be told: the server stops reading, and serves others."""
    lines = (b"x" * 199 + b"\n") * 320
    message = b"\x81\xff" + len(lines).to_bytes(8, "big") + bytes(4) + lines
    stalled = sent_bytes = 0
    with Wire(server) as wire:
        wire.send(request_bytes("GET", "/api/0/stream", *HANDSHAKE))
        wire.until(b"\r\n\r\n")
        wire.socket.setblocking(False)
        left = message
        while stalled < 100:
            try:
                sent = wire.socket.send(left)
            except BlockingIOError:
                stalled += 1
                await asyncio.sleep(0.01)
            else:
                stalled = 0
                sent_bytes += sent
                left = left[sent:] or message
                assert sent_bytes < 256 << 20, "it is read from for ever"
        assert api.beat(bucket, event("10:00:00"))


# Who may connect


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1"])
def test_a_foreign_page_may_not_connect(server: Server, origin: str):
    """A browser asks nobody before it opens a WebSocket: the server has to refuse."""
    with Wire(server) as wire:
        host = f"127.0.0.1:{server.port}"
        wire.send(request_bytes("GET", "/api/0/stream", *HANDSHAKE, f"Origin: {origin}", host=host))
        check_refused(wire, 403, "OriginNotAllowed")


@pytest.mark.parametrize("origin", ["http://127.0.0.1:{port}", "moz-extension://some-id", None])
def test_own_pages_extensions_and_programs_may_connect(server: Server, origin: str | None):
    with Wire(server) as wire:
        extra = [] if origin is None else [f"Origin: {origin.format(port=server.port)}"]
        wire.send(request_bytes("GET", "/api/0/stream", *HANDSHAKE, *extra, host=f"127.0.0.1:{server.port}"))
        assert wire.until(b"\r\n").startswith(b"HTTP/1.1 101 ")


def test_another_host_is_refused(server: Server):
    with Wire(server) as wire:
        wire.send(request_bytes("GET", "/api/0/stream", *HANDSHAKE, host="evil.example"))
        check_refused(wire, 400, "HostNotAllowed")


@pytest.mark.parametrize("left_out", range(4))
def test_what_is_no_handshake_is_refused(server: Server, left_out: int):
    """As a plain request, with the error body of all requests."""
    headers = [header for at, header in enumerate(HANDSHAKE) if at != left_out]
    with Wire(server) as wire:
        wire.send(request_bytes("GET", "/api/0/stream", *headers))
        check_refused(wire, 400, "BadRequest")


@pytest.mark.parametrize(("offered", "status"), [("other", 400), ("other, awlog.v1", 101), (None, 101)])
def test_a_client_may_offer_any_protocols_if_ours_is_among_them(server: Server, offered: str | None, status: int):
    """Or none."""
    with Wire(server) as wire:
        extra = [] if offered is None else [f"Sec-WebSocket-Protocol: {offered}"]
        wire.send(request_bytes("GET", "/api/0/stream", *HANDSHAKE[:-1], *extra))
        assert wire.until(b"\r\n").startswith(b"HTTP/1.1 %d " % status)


def check_refused(wire: Wire, status: int, word: str) -> None:
    check_error(wire.answer(), status, word)
