"""Reading much: compressed answers, closed ranges that did not change, and pages."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.contract.wire import Api, check_error, event
from tests.server import Reply, Server

MANY = 3000  # some 300 KB of JSON


def clock(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def fill(api: Api, bucket: str, count: int = MANY, *, first: int = 0, padding: str = "") -> None:
    events = [event(clock(first + i), 1, {"title": f"title {i % 50}{padding}"}) for i in range(count)]
    api.post(f"/buckets/{bucket}/events", events)


def read(api: Api, bucket: str, headers: dict[str, str] | None = None, **query: Any) -> Reply:
    return api.call("GET", f"/buckets/{bucket}/events", headers=headers, **query)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("ZSTD;q=0.5, gzip;q=1.0", "zstd"),
        ("zstd;q=0, gzip", "gzip"),
        ("*", "zstd"),
        ("*;q=0", None),
        ("identity", None),
        ("br", None),
        ("gzip;q=0.000", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("limit", [1, 300, -1])
def test_an_answer_is_coded_as_the_client_takes_it(
    api: Api, bucket: str, accepted: str, coding: str | None, limit: int
) -> None:
    """Short ones never, whole ones and streamed ones alike; the content is the same."""
    fill(api, bucket)
    plain = read(api, bucket, {"Accept-Encoding": "identity"}, limit=limit)
    answer = read(api, bucket, {"Accept-Encoding": accepted}, limit=limit)
    assert answer.headers["Content-Encoding"] == (None if limit == 1 else coding)
    assert "Accept-Encoding" in answer.headers["Vary"]
    body = answer.body
    match answer.headers["Content-Encoding"]:
        case "gzip":
            body = gzip.decompress(body)
        case "zstd":
            body = zstandard.ZstdDecompressor().decompressobj().decompress(body)
    assert body == plain.body
    assert plain.headers["Content-Encoding"] is None
    if answer.headers["Content-Encoding"]:
        assert len(answer.body) * 4 < len(plain.body)


def test_an_export_and_a_query_are_coded_too(api: Api, bucket: str) -> None:
    fill(api, bucket)
    export = api.call("GET", f"/buckets/{bucket}/export", headers={"Accept-Encoding": "gzip"})
    assert len(json.loads(gzip.decompress(export.body))["buckets"][bucket]["events"]) == MANY
    day = "2024-05-01T00:00:00Z/2024-05-02T00:00:00Z"
    asked = {"query": [f"RETURN = query_bucket('{bucket}');"], "timeperiods": [day]}
    answer = api.call("POST", "/query/", asked, headers={"Accept-Encoding": "gzip"})
    assert len(json.loads(gzip.decompress(answer.body))[0]) == MANY


def test_a_closed_range_is_not_sent_twice(api: Api, bucket: str) -> None:
    """As long as nothing in it changes; growth at the end is no change, a late event or an edit is."""
    fill(api, bucket, 100)
    span: dict[str, Any] = {"start": "2024-05-01T00:00:10Z", "end": "2024-05-01T00:01:00Z"}
    first = read(api, bucket, **span)
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "no-cache"

    def again(**query: Any) -> Reply:
        return read(api, bucket, {"If-None-Match": f'"other", {tag}'}, **{**span, **query})

    unchanged = again()
    assert (unchanged.status, unchanged.body, unchanged.headers["ETag"]) == (304, b"", tag)
    api.post(f"/buckets/{bucket}/heartbeat", event("00:01:40", 0, {"title": "title 49"}), pulsetime=9)
    api.post(f"/buckets/{bucket}/events", event("00:02:00"))
    assert again().status == 304
    others: list[dict[str, Any]] = [{"limit": 5}, {"end": "2024-05-01T00:01:01Z"}, {"start": "2024-05-01T00:00:09Z"}]
    for other in others:
        assert again(**other).status == 200
    late = api.post(f"/buckets/{bucket}/events", event("00:00:30", 0, {"late": True}))
    changed = again()
    assert changed.status == 200
    assert len(changed.json()) == len(first.json()) + 1
    api.call("DELETE", f"/buckets/{bucket}/events/{late['id']}")
    assert again().status == 304  # as it was


def test_a_range_that_may_still_grow_has_no_tag(api: Api, bucket: str) -> None:
    fill(api, bucket, 10)
    open_ranges: list[dict[str, Any]] = [{}, {"end": "2024-05-01T00:00:09Z"}, {"limit": 1}]
    for query in open_ranges:
        assert read(api, bucket, **query).headers["ETag"] is None
    assert read(api, bucket, end="2024-05-01T00:00:08.999Z").headers["ETag"] is not None


@pytest.mark.parametrize("page_size", [1, 7, 100, 1000])
def test_pages_give_what_one_read_gives(api: Api, bucket: str, page_size: int) -> None:
    """In the same order, cut to the same range, with equal starts among them; the last one has no next."""
    fill(api, bucket, 40)
    fill(api, bucket, 40, first=20)
    fill(api, bucket, 9, first=25)
    span: dict[str, Any] = {"start": "2024-05-01T00:00:10.5Z", "end": "2024-05-01T00:00:50Z"}
    whole = read(api, bucket, **span).json()
    pages = [read(api, bucket, page_size=page_size, **span).json()]
    while pages[-1]["next"] is not None:
        pages.append(read(api, bucket, page_size=page_size, cursor=pages[-1]["next"]).json())
    assert [one for page in pages for one in page["events"]] == whole
    assert all(len(page["events"]) == page_size for page in pages[:-1])
    assert pages[-1]["events"]


def test_pages_are_stable_while_others_write(api: Api, bucket: str) -> None:
    """What was there at the first page comes once, what came after it does not come at all."""
    fill(api, bucket, 50)
    whole = read(api, bucket).json()
    page = read(api, bucket, page_size=10).json()
    seen = page["events"]
    while page["next"] is not None:
        fill(api, bucket, 3, first=10)
        fill(api, bucket, 3, first=90)
        page = read(api, bucket, page_size=10, cursor=page["next"]).json()
        seen += page["events"]
    assert seen == whole


def test_an_empty_range_is_one_empty_page(api: Api, bucket: str) -> None:
    assert read(api, bucket, page_size=5).json() == {"events": [], "next": None}


@pytest.mark.parametrize(
    "query",
    [
        {"page_size": 0},
        {"page_size": -1},
        {"page_size": 10_001},
        {"page_size": "x"},
        {"page_size": 5, "limit": 5},
        {"cursor": ""},
        {"cursor": "x"},
        {"cursor": "A" * 60},
        {"cursor": "é"},
        {"cursor": "A" * 10_000},
    ],
)
def test_what_is_no_page_is_refused(api: Api, bucket: str, query: dict[str, Any]) -> None:
    fill(api, bucket, 3)
    check_error(read(api, bucket, **query), 400, "BadRequest")


def test_a_cursor_is_good_for_its_bucket_and_range(api: Api, bucket: str, other: str) -> None:
    for each in (bucket, other):
        fill(api, each, 10)
    cursor = read(api, bucket, page_size=3).json()["next"]
    assert read(api, bucket, page_size=3, cursor=cursor).status == 200
    check_error(read(api, other, page_size=3, cursor=cursor), 400, "BadRequest")
    check_error(read(api, bucket, page_size=3, cursor=cursor, start="2024-05-01T00:00:00Z"), 400, "BadRequest")
    check_error(read(api, "no-such-bucket", page_size=3), 404, "NoSuchBucket")


VERY_MANY = 30_000  # more than is read on the server's own loop


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server with a bucket `large`, nearly all of it sealed, and a small one."""
    with Server(tmp_path_factory.mktemp("large") / "data") as server:
        api = Api(server)
        api.create("large")
        api.create("small")
        fill(api, "small", 10)
        fill(api, "large", VERY_MANY, padding="." * 500)  # more than fits into the buffers of a connection
        fill(api, "large", 500, first=1000)
        yield api


def in_pages(api: Api, bucket: str, **span: Any) -> list[dict[str, Any]]:
    """The range, read on the server's loop."""
    page = read(api, bucket, page_size=10_000, **span).json()
    events: list[dict[str, Any]] = page["events"]
    while page["next"] is not None:
        page = read(api, bucket, page_size=10_000, cursor=page["next"]).json()
        events += page["events"]
    return events


def reader_pids(server: Server) -> list[int]:
    """The processes that the server started to read."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    return [int(pid) for pid in children]


def test_a_long_read_gives_what_short_ones_give(large: Api) -> None:
    """Another process reads it."""
    span: dict[str, Any] = {"start": "2024-05-01T00:00:05.5Z", "end": "2024-05-01T08:00:00Z"}
    events = read(large, "large", **span).json()
    assert len(events) > 20_000
    assert events == in_pages(large, "large", **span)
    assert reader_pids(large.server)
    assert events[:100] == read(large, "large", limit=100, **span).json()


def test_a_long_export_gives_all_buckets_as_of_one_moment(large: Api) -> None:
    exported = large.get("/export")["buckets"]
    assert list(exported) == ["large", "small"]
    for name, bucket in exported.items():
        stored = [{key: one[key] for key in ("timestamp", "duration", "data")} for one in in_pages(large, name)]
        assert bucket["events"] == stored
    assert large.get("/buckets/large/export")["buckets"]["large"] == exported["large"]


def test_a_long_read_sees_what_was_acknowledged_before(large: Api) -> None:
    for number in range(5):
        beat = large.post("/buckets/large/heartbeat", event(clock(72_000 + number), 0, {"n": number}), pulsetime=0)
        assert read(large, "large").json()[:1] == [beat]


def test_more_long_reads_than_processes_are_all_answered(large: Api) -> None:
    """Clients that do not read hold the processes; others are served without one."""
    idle = []
    for _ in range(4):
        connection = http.client.HTTPConnection(large.server.host, large.server.port, timeout=30)
        connection.request("GET", "/api/0/buckets/large/events")
        idle.append((connection, connection.getresponse()))
    assert len(read(large, "large").json()) > VERY_MANY
    for connection, response in idle:
        assert len(json.loads(response.read())) > VERY_MANY
        connection.close()


def test_a_reader_that_is_killed_breaks_its_answer_off_and_no_other(large: Api) -> None:
    """Nobody takes a part for the whole; the next read starts another process."""
    connection = http.client.HTTPConnection(large.server.host, large.server.port, timeout=30)
    connection.request("GET", "/api/0/buckets/large/events")
    response = connection.getresponse()
    for pid in reader_pids(large.server):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        while response.read(1 << 16):
            time.sleep(0.001)
    connection.close()
    assert len(read(large, "large").json()) > VERY_MANY


def test_a_reader_that_was_killed_while_it_waited_is_replaced(large: Api) -> None:
    """By a system short of memory, say; the next query does not notice."""
    asked = {"query": ["RETURN = 1;"], "timeperiods": []}
    assert large.post("/query/", asked) == []
    killed = reader_pids(large.server)
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    while any(Path(f"/proc/{pid}").exists() for pid in killed):  # until its pipes are closed and its parent knows
        time.sleep(0.01)
    large.get("/info")
    assert large.post("/query/", asked) == []
