"""Reading much: compressed answers, closed ranges that did not change, and pages."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import zstandard

from tests.contract.wire import Api, check_error, event
from tests.server import Reply

MANY = 3000  # some 300 KB of JSON


def clock(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def fill(api: Api, bucket: str, count: int = MANY, *, first: int = 0) -> None:
    api.post(
        f"/buckets/{bucket}/events", [event(clock(first + i), 1, {"title": f"title {i % 50}"}) for i in range(count)]
    )


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
