"""The fast lane answers with the bytes of the ordinary way, or leaves the request to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from typing import Any

import pytest

from awlog.api import fast_lane
from awlog.api import heartbeat as heartbeat_module
from awlog.api.fast_lane import FastLane
from awlog.model.errors import Busy, InsufficientStorage, Unavailable
from tests.api.edge import Edge, beat_body, get, heartbeat
from tests.engine.harness import Disk, WatchedEngine, create, within_patience

_ID = re.compile(rb'(?<="id":)\d+')
ORIGIN = "Origin: http://localhost:5600"
STOCK_CLIENT = (
    "User-Agent: python-requests/2.32.3",
    "Accept-Encoding: gzip, deflate",
    "Accept: */*",
    "Connection: keep-alive",
    "charset: utf-8",
)


def insertion(body: object) -> bytes:
    return heartbeat(json.dumps(body).encode()).replace(b"/heartbeat?pulsetime=10 ", b"/events ")


def events_of(answer: bytes) -> list[dict[str, Any]]:
    shown = json.loads(answer.partition(b"\r\n\r\n")[2])
    return shown if isinstance(shown, list) else [shown]


TAKEN = {
    "plain": heartbeat(),
    "as the stock client": heartbeat(None, *STOCK_CLIENT),
    "from a page of its own": heartbeat(None, ORIGIN),
    "from an extension without a grant": heartbeat(None, "Origin: chrome-extension://abc"),
    "with a charset": heartbeat(content_type="application/json; charset=utf-8"),
    "a duration and a fraction": heartbeat(beat_body(1.25, 3.5)),
    "other alphabets": heartbeat(beat_body(2, title="日本 😀", half="\ud83d")),
    "no duration, no data": heartbeat({"timestamp": "2024-05-01"}),
    "an id": heartbeat({**beat_body(), "id": None}),
    "whole seconds": heartbeat(query="pulsetime=10"),
    "a fraction of a second": heartbeat(query="pulsetime=0.5"),
    "no seconds": heartbeat(query="pulsetime=0"),
    "headers in small letters": heartbeat().replace(b"Content-Length", b"content-length").replace(b"Host", b"host"),
    "a token, until there are tokens": heartbeat(None, "Authorization: Bearer abc"),
}
LEFT_TO_AIOHTTP = {
    "no such bucket": heartbeat(bucket="other"),
    "an escape in the id": heartbeat(bucket="%62"),
    "an escape in the query": heartbeat(query="pulsetime=%31"),
    "no pulsetime": heartbeat(query="x=1"),
    "pulsetime in words": heartbeat(query="pulsetime=ten"),
    "pulsetime twice": heartbeat(query="pulsetime=1&pulsetime=2"),
    "a signed pulsetime": heartbeat(query="pulsetime=-1"),
    "an exponent": heartbeat(query="pulsetime=1e2"),
    "a fragment": heartbeat(query="pulsetime=1#x"),
    "a slash at the end": heartbeat().replace(b"/heartbeat?", b"/heartbeat/?"),
    "two slashes": heartbeat().replace(b"/buckets/", b"//buckets/"),
    "a whole URL": heartbeat().replace(b"POST /", b"POST http://localhost/"),
    "a foreign host": heartbeat(host="evil.example"),
    "a foreign host in the URL": heartbeat().replace(b"POST /", b"POST http://evil.example/"),
    "no host": heartbeat(host=None),
    "two hosts": heartbeat(None, "Host: localhost"),
    "a foreign page": heartbeat(None, "Origin: http://evil.example"),
    "an extension's page of no letters": heartbeat(None, "Origin: moz-extension://\xff\xfe"),
    "no content type": heartbeat(content_type=None),
    "a form": heartbeat(content_type="text/plain"),
    "two content types": heartbeat(None, "Content-Type: text/plain"),
    "JSON by another name": heartbeat(content_type="application/x+json"),
    "no length": heartbeat(b"", "Transfer-Encoding: identity"),
    "two lengths": heartbeat(b"{}", "Content-Length: 2", "Content-Length: 2"),
    "lengths that differ": heartbeat(b"{}", "Content-Length: 2", "Content-Length: 3"),
    "a signed length": heartbeat(b"{}", "Content-Length: +2"),
    "a length with leading zeros": heartbeat(b"{}", "Content-Length: " + "0" * 5_000 + "2"),
    "a length in other digits": heartbeat(b"{}", "Content-Length: \xb2"),
    "no body": heartbeat(b""),
    "no JSON": heartbeat(b"{"),
    "no object": heartbeat(b"[]"),
    "no timestamp": heartbeat({"data": {}}),
    "no time": heartbeat({"timestamp": "soon"}),
    "data of another kind": heartbeat({**beat_body(), "data": 1}),
    "a long body": heartbeat(beat_body(0, 0, title="x" * 40_000)),
    "a body beyond the limit": heartbeat(beat_body(0, 0, title="x" * 60_000)),
    "in chunks": heartbeat(b"2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
    "chunks and a length": heartbeat(b"2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked", "Content-Length: 2"),
    "compressed": heartbeat(None, "Content-Encoding: gzip"),
    "one last": heartbeat(None, "Connection: close"),
    "an upgrade": heartbeat(None, "Connection: upgrade", "Upgrade: websocket"),
    "an older HTTP": heartbeat().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "an older HTTP, kept": heartbeat(None, "Connection: keep-alive").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "an unknown HTTP": heartbeat().replace(b"HTTP/1.1", b"HTTP/1.2"),
    "bare line ends": heartbeat(line_end="\n"),
    "a line end before it": b"\r\n" + heartbeat(),
    "a folded header": heartbeat(None, "X: a\r\n b"),
    "a header without a colon": heartbeat(None, "X"),
    "a space before a colon": heartbeat(None, "Content-Encoding : gzip"),
    "a zero in a header": heartbeat(None, "X: a\0b"),
    "long headers": heartbeat(None, "X: " + "x" * 8_150),
    "headers that are too long": heartbeat(None, "X: " + "x" * 20_000),
    "GET": heartbeat().replace(b"POST", b"GET"),
    "post": heartbeat().replace(b"POST", b"post"),
    "OPTIONS": heartbeat(None, ORIGIN, "Access-Control-Request-Method: POST").replace(b"POST /", b"OPTIONS /"),
    "another path": get("/api/0/info"),
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600) + b"\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", TAKEN.values(), ids=TAKEN.keys())
async def test_an_answer_of_the_lane_has_the_bytes_of_the_ordinary_way(edge: Edge, request_bytes: bytes):
    """Sending a heartbeat twice changes nothing, so one store can answer both: a new event, and one that grew."""
    await edge.ask(heartbeat(beat_body(), query="pulsetime=10"), by_lane=False)
    ordinary = await edge.ask(request_bytes, by_lane=False)
    assert ordinary.startswith(b"HTTP/1.1 200 OK\r\n")
    assert await edge.ask(request_bytes, by_lane=True) == ordinary
    assert (edge.lane.answered_count, edge.lane.handed_over_count) == (1, 0)


@pytest.mark.parametrize(
    "body",
    [beat_body(), [], [beat_body()], [beat_body(n, n / 7, title="日本") for n in range(60)], [beat_body()] * 200],
    ids=["one", "none", "a list of one", "many", "more"],
)
async def test_an_insertion_is_answered_alike_by_the_lane(edge: Edge, body: object):
    """But for the ids, which each event has for itself: they count on."""
    answers = [await edge.ask(insertion(body), by_lane=by_lane) for by_lane in (False, True)]
    first, second = ([one.pop("id") for one in events_of(answer)] for answer in answers)
    assert second == [one + len(first) for one in first]
    assert _ID.sub(b"", answers[0]) == _ID.sub(b"", answers[1])
    assert (edge.lane.answered_count, edge.lane.handed_over_count) == (1, 0)


@pytest.mark.parametrize(
    "body",
    [
        {**beat_body(), "id": (1 << 32) + 1},
        [beat_body(), {**beat_body(), "id": 1}],
        [{"timestamp": "soon"}],
        {},
        "x",
        None,
    ],
    ids=["a replacement", "perhaps a replacement", "no time", "no timestamp", "a text", "null"],
)
async def test_an_insertion_that_may_replace_or_is_wrong_is_left_to_aiohttp(edge: Edge, body: object):
    """Replacing takes more than the right to append."""
    await edge.ask(insertion(beat_body()), by_lane=True)
    ordinary = await edge.ask(insertion(body), by_lane=False)
    assert _ID.sub(b"", await edge.ask(insertion(body), by_lane=True)) == _ID.sub(b"", ordinary)
    assert (edge.lane.answered_count, edge.lane.handed_over_count) == (1, 1)


@pytest.mark.parametrize("request_bytes", LEFT_TO_AIOHTTP.values(), ids=LEFT_TO_AIOHTTP.keys())
async def test_what_is_no_plain_good_heartbeat_is_left_to_aiohttp(edge: Edge, request_bytes: bytes):
    """Its answer is the ordinary one, and so is what becomes of the connection: a heartbeat behind it shows that."""
    answers = []
    for by_lane in (False, True):
        client = await edge.connect(by_lane=by_lane)
        answer = [await client.ask(request_bytes)]
        with contextlib.suppress(AssertionError, OSError):  # it ends there
            answer.append(await client.ask(heartbeat()))
        answers.append(answer)
    assert answers[0] == answers[1]
    assert edge.lane.handed_over_count == 1


@pytest.mark.parametrize("by_lane", [True, False], ids=["by lane", "by aiohttp"])
async def test_a_length_of_too_many_digits_is_the_callers_mistake(edge: Edge, by_lane: bool):
    answer = await edge.ask(heartbeat(b"{}", "Content-Length: " + "0" * 5_000 + "2"), by_lane=by_lane)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize("error", [Unavailable("later"), InsufficientStorage("full")], ids=["503", "507"])
@pytest.mark.parametrize("headers", [(), (ORIGIN,)], ids=["", "from a page"])
async def test_a_failed_commit_is_answered_as_on_the_ordinary_way(
    edge: Edge, disk: Disk, engine: WatchedEngine, error: Busy, headers: tuple[str, ...]
):
    """And not tried again: nothing of it is there, and the connection goes on."""
    answers = []
    for by_lane in (False, True):
        client = await edge.connect(by_lane=by_lane)
        disk.fail_next(error)
        answers.append(await client.ask(heartbeat(None, *headers)))
        assert await engine.events("b") == []
        assert (await client.ask(get("/api/0/info"))).startswith(b"HTTP/1.1 200")
    assert answers[0] == answers[1]
    assert answers[1].startswith(b"HTTP/1.1 50")
    assert edge.lane.answered_count == 1


async def test_a_request_may_be_cut_anywhere(edge: Edge):
    """Two packets, cut after each byte in turn, on one connection: all of them stay in the lane."""
    request = heartbeat(beat_body(7, 1, title="é"), *STOCK_CLIENT)
    ordinary = await edge.ask(request, by_lane=False)
    client = await edge.connect()
    for cut in range(1, len(request)):
        await client.send(request[:cut])
        assert await client.ask(request[cut:]) == ordinary
    assert (edge.lane.answered_count, edge.lane.handed_over_count) == (len(request) - 1, 0)


async def test_a_request_may_come_byte_by_byte(edge: Edge):
    request = heartbeat()
    client = await edge.connect()
    for at in range(len(request)):
        await client.send(request[at : at + 1])
    assert (await client.answer()).startswith(b"HTTP/1.1 200")
    assert (edge.lane.answered_count, edge.lane.handed_over_count) == (1, 0)


async def test_a_refused_request_may_be_cut_anywhere(edge: Edge):
    request = heartbeat(bucket="other")
    ordinary = await edge.ask(request, by_lane=False)
    for cut in range(1, len(request)):
        client = await edge.connect()
        await client.send(request[:cut])
        assert await client.ask(request[cut:]) == ordinary


async def test_requests_sent_without_waiting_are_answered_in_their_order(edge: Edge, engine: WatchedEngine):
    """Heartbeats, a read that shows them, a refusal, and heartbeats again, in one packet."""
    stream = [heartbeat(beat_body(second)) for second in range(30)]
    stream += [get("/api/0/buckets/b/events"), heartbeat(bucket="other"), get("/api/0/info")]
    stream += [heartbeat(beat_body(second, new=True)) for second in range(30, 59)]
    client = await edge.connect()
    await client.send(b"".join(stream))
    answers = [await client.answer() for _ in stream]
    durations = [json.loads(answer.partition(b"\r\n\r\n")[2])["duration"] for answer in answers[:30]]
    assert durations == [float(second) for second in range(30)]
    assert b'"duration":29.0' in answers[30]
    assert answers[31].startswith(b"HTTP/1.1 404")
    assert b'"hostname"' in answers[32]
    assert b'"duration":28.0' in answers[-1]
    assert edge.lane.answered_count == 30
    assert len(await engine.events("b")) == 2


async def test_a_connection_comes_back_after_what_it_asked_of_aiohttp(edge: Edge):
    """As a client begins: info, the bucket, then heartbeats; the bucket's body may come in a packet of its own."""
    client = await edge.connect()
    await client.ask(get("/api/0/info"))
    body = json.dumps({"type": "t", "client": "c", "hostname": "h"}).encode()
    create_it = heartbeat(body).replace(b"/b/heartbeat?pulsetime=10", b"/c")
    await client.send(create_it[: -len(body)])
    await client.ask(create_it[-len(body) :])
    for number in range(3):
        assert (await client.ask(heartbeat(beat_body(number), bucket="c"))).startswith(b"HTTP/1.1 200")
    assert (await client.ask(heartbeat(bucket="other"))).startswith(b"HTTP/1.1 404")
    await client.ask(heartbeat(beat_body(4), bucket="c"))
    assert (edge.lane.answered_count, edge.lane.handed_over_count) == (4, 3)
    assert edge.lane.lent == {}


@pytest.mark.parametrize(
    "asked",
    [
        get("/api/0/info") + get("/api/0/buckets"),
        b"GET /api/0/info HTTP/1.1\nHost: localhost\n\n" + get("/api/0/info"),
        b"\r\n\r\n" + get("/api/0/info"),
        heartbeat(b"2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
    ],
    ids=["two at once", "bare line ends", "empty lines", "in chunks"],
)
async def test_a_connection_stays_with_aiohttp_where_the_end_of_a_request_is_in_doubt(edge: Edge, asked: bytes):
    """Each answer then belongs to its request all the same."""
    ordinary, lane = [await edge.connect(by_lane=by_lane) for by_lane in (False, True)]
    for client in (ordinary, lane):
        await client.send(asked + heartbeat() + get("/api/0/settings", "Connection: close"))
    received = []
    for client in (ordinary, lane):
        answers = []
        with contextlib.suppress(AssertionError):
            while True:
                answers.append(await client.answer())
        received.append(answers)
    assert received[0] == received[1]
    assert edge.lane.answered_count == 0


@pytest.mark.parametrize("by_lane", [False, True], ids=["aiohttp", "lane"])
async def test_an_answer_of_aiohttp_does_not_bring_a_connection_back_while_another_is_due(
    edge: Edge, disk: Disk, by_lane: bool
):
    """Two requests are lent, one is answered, one waits for its commit; then a heartbeat comes. Their order stays."""
    client = await edge.connect(by_lane=by_lane)
    disk.before_commit.hold()
    insert = heartbeat([beat_body(20, x=1)]).replace(b"/heartbeat?pulsetime=10", b"/events")
    await client.send(get("/api/0/info") + insert)
    assert b'"hostname"' in await client.answer()
    await disk.before_commit.reached()
    await client.send(heartbeat(beat_body(30)))
    disk.release()
    inserted, beaten = await client.answer(), await client.answer()
    assert b'{"x":1}' in inserted
    assert b'{"s":1}' in beaten
    assert edge.lane.answered_count == 0


async def test_what_is_sent_ahead_of_an_answer_is_bounded(edge: Edge, disk: Disk):
    """The first heartbeat waits for its commit: what comes behind it is not read without end, and then all is answered."""
    client = await edge.connect()
    disk.before_commit.hold()
    await client.send(heartbeat())
    await disk.before_commit.reached()
    stream = heartbeat(beat_body(0, 0, title="x" * 20_000)) * 400
    sent = 0
    for _ in range(2_000):
        with contextlib.suppress(BlockingIOError):
            sent += client.socket.send(stream[sent : sent + 65_536])
        await asyncio.sleep(0)
    assert sent < len(stream) // 2
    disk.release()
    sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(client.socket, stream[sent:]))
    for _ in range(401):
        assert (await client.answer()).startswith(b"HTTP/1.1 200")
    await within_patience(sending)
    assert edge.lane.answered_count == 401


async def test_a_client_that_does_not_read_is_not_read_either(edge: Edge):
    """It can send no more than some buffers hold; when it reads, everything is answered in order."""
    client = await edge.connect()
    stream = heartbeat(beat_body(0, 0, title="x" * 20_000)) * 400
    sent = 0
    for _ in range(2_000):
        with contextlib.suppress(BlockingIOError):
            sent += client.socket.send(stream[sent : sent + 65_536])
        await asyncio.sleep(0)
    assert sent < len(stream) // 2
    sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(client.socket, stream[sent:]))
    for _ in range(400):
        assert (await client.answer()).startswith(b"HTTP/1.1 200")
    await within_patience(sending)
    assert edge.lane.answered_count == 400


async def test_a_client_that_does_not_read_is_given_up(edge: Edge):
    """After sixty sweeps of a second without progress; the one beside it, which only says nothing, is kept."""
    client, idle = await edge.connect(), await edge.connect()
    stream = heartbeat(beat_body(0, 0, title="x" * 20_000)) * 400
    sent = blocked = 0
    while blocked < 50:  # nothing has gone for as long as several commits take: neither end reads
        try:
            sent += client.socket.send(stream[sent : sent + 65_536])
            blocked = 0
        except BlockingIOError:
            blocked += 1
            await asyncio.sleep(0.02)
    sweep(edge.lane, 63)
    assert (await idle.ask(heartbeat())).startswith(b"HTTP/1.1 200")
    with pytest.raises(ConnectionError):
        await within_patience(asyncio.get_running_loop().sock_sendall(client.socket, stream[sent:]))


async def test_a_request_that_is_slow_to_arrive_is_left_to_aiohttp(edge: Edge):
    """With what has come of it: headers, or a body that is not whole."""
    request = heartbeat()
    for cut in (10, 60, len(request) - 5):
        client = await edge.connect()
        await client.send(request[:cut])
        sweep(edge.lane, 3)
        assert (await client.ask(request[cut:])).startswith(b"HTTP/1.1 200")
    assert (edge.lane.answered_count, edge.lane.handed_over_count) == (0, 3)


async def test_an_idle_connection_is_closed_after_an_hour(edge: Edge):
    client = await edge.connect()
    await client.ask(heartbeat())
    sweep(edge.lane, 3_600)
    await client.ask(heartbeat())
    sweep(edge.lane, 3_602)
    assert await client.ends()


async def test_a_client_that_goes_away_takes_nothing_back(edge: Edge, disk: Disk, engine: WatchedEngine):
    """Its heartbeat is kept, those of others are answered, and nothing is left in progress."""
    disk.before_commit.hold()
    gone, stays = await edge.connect(), await edge.connect()
    await gone.send(heartbeat())
    await stays.send(heartbeat(beat_body(30, x=1)))
    await disk.before_commit.reached()
    gone.socket.close()
    disk.release()
    assert (await stays.answer()).startswith(b"HTTP/1.1 200")
    assert len(await engine.events("b")) == 2
    await within_patience(edge.in_progress.finish(20))


@pytest.mark.parametrize("by_lane", [False, True], ids=["aiohttp", "lane"])
async def test_a_stop_answers_what_has_begun_and_what_still_comes(edge: Edge, disk: Disk, by_lane: bool):
    """One waits for its commit, one for its body, one comes after the signal: each is the last of its connection."""
    disk.before_commit.hold()
    committing, arriving, later, half = [await edge.connect(by_lane=by_lane) for _ in range(4)]
    request = heartbeat()
    await committing.send(request)
    await arriving.send(request[:-5])
    await half.send(request[:30])
    await disk.before_commit.reached()
    stopping = asyncio.create_task(edge.in_progress.finish(20))
    await asyncio.sleep(0)
    await arriving.send(request[-5:])
    await later.send(heartbeat(beat_body(1)))
    assert not stopping.done()
    disk.release()
    answers = [await client.answer() for client in (committing, arriving, later)]
    await within_patience(stopping)
    for client, answer in zip((committing, arriving, later), answers, strict=True):
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"\r\nConnection: close\r\n\r\n" in answer
        assert await client.ends()
    assert edge.lane.answered_count == 3 * by_lane


async def test_the_answer_before_a_close_has_the_bytes_of_the_ordinary_way(edge: Edge):
    lane, ordinary = await edge.connect(), await edge.connect(by_lane=False)
    edge.in_progress.stopping = True
    assert await lane.ask(heartbeat(None, ORIGIN)) == await ordinary.ask(heartbeat(None, ORIGIN))


@pytest.mark.parametrize("name", ["read_heartbeat", "send"])
async def test_a_mistake_of_ours_is_answered_as_on_the_ordinary_way(
    edge: Edge, engine: WatchedEngine, monkeypatch: pytest.MonkeyPatch, name: str
):
    """A 500 that shows nothing of the inside, and the server goes on."""

    def fail(*_arguments: object) -> None:
        raise AssertionError("our mistake")

    with monkeypatch.context() as patch:
        if name == "send":
            patch.setattr(engine, "send", fail)
        else:
            for module in (fast_lane, heartbeat_module):
                patch.setattr(module, "read_heartbeat", fail)
        ordinary, by_lane = [await edge.ask(heartbeat(), by_lane=by_lane) for by_lane in (False, True)]
    assert ordinary == by_lane
    assert by_lane.startswith(b"HTTP/1.1 500")
    assert b"our mistake" not in by_lane
    assert (await edge.ask(heartbeat(), by_lane=True)).startswith(b"HTTP/1.1 200")


async def test_of_a_connection_that_is_lent_only_the_headers_are_kept(edge: Edge):
    """A body may be long and slow: two thousand of them must cost little."""
    body = json.dumps([beat_body(0, 0, title="x" * 40_000)]).encode()
    request = heartbeat(body).replace(b"/heartbeat?pulsetime=10", b"/events")
    client = await edge.connect()
    await client.send(request[:-5])
    (connection,) = edge.lane.lent.values()
    assert len(connection._lent_head) == len(request) - len(body)
    assert (await client.ask(request[-5:])).startswith(b"HTTP/1.1 200")
    assert (await client.ask(heartbeat(beat_body(1)))).startswith(b"HTTP/1.1 200")
    assert edge.lane.answered_count == 1


async def test_a_bucket_that_is_deleted_or_made_meanwhile_is_seen(edge: Edge, engine: WatchedEngine):
    """The lane remembers request lines, not buckets."""
    client = await edge.connect()
    assert (await client.ask(heartbeat(bucket="c"))).startswith(b"HTTP/1.1 404")
    await engine.submit(create("c"))
    assert (await client.ask(heartbeat(bucket="c"))).startswith(b"HTTP/1.1 200")


def sweep(lane: FastLane, count: int) -> None:
    """As if so many seconds had passed."""
    for _ in range(count):
        lane.connections.sweep()
