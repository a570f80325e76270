"""Section 11: the log, and the page that describes the API."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.contract.wire import Api, Wire, event, exchange
from tests.server import Server


def test_the_log_is_a_list_of_records_newest_first(api: Api) -> None:
    records = api.get("/log")
    assert isinstance(records, list)
    assert records
    for record in records:
        assert {"timestamp", "level", "message"} <= record.keys()
        assert all(isinstance(record[key], str) for key in ("timestamp", "level", "message"))
    stamps = [datetime.fromisoformat(record["timestamp"]) for record in records]
    assert all(stamp.tzinfo is not None for stamp in stamps)
    assert stamps == sorted(stamps, reverse=True)


def test_the_log_holds_no_recorded_data_and_no_query_strings(server: Server, api: Api, bucket: str) -> None:
    """S13: whether the requests were served or refused."""
    canary = "canary-5e1f"
    api.beat(bucket, event("10:00:00", 0, {"title": canary}))
    api.refused("POST", f"/buckets/{bucket}/heartbeat?pulsetime={canary}", event("10:00:00", 0, {"title": canary}))
    api.refused("POST", f"/buckets/{bucket}/events", [{"timestamp": canary, "data": {"title": canary}}])
    api.refused("GET", f"/buckets/{bucket}/events?start={canary}")
    api.get(f"/buckets/{bucket}/events?unknown={canary}")
    api.post(f"/settings/{bucket}", {"value": canary})
    api.refused("POST", "/import", {"buckets": {"x": {"events": [{"data": {"title": canary}}]}}})
    assert exchange(server, "GET", f"/?token={canary}").status == 200
    assert exchange(server, "GET", f"/nowhere?token={canary}").status == 404
    assert canary not in api.call("GET", "/log").body.decode()
    assert canary not in server.log_text()


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /?token=%s HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"NOSUCHMETHOD /?token=%s HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /?token=%s HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization Bearer %s\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1\r\n\r\n%s",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
        b'{"timestamp": "2024-05-01", "data": {"title": "%s"}}\r\n\r\n',
    ],
)
def test_the_log_holds_nothing_of_what_is_no_http(server: Server, api: Api, name: str, raw: bytes) -> None:
    """S13: a request that the HTTP parser refuses may hold a key or recorded data as well."""
    canary = f"canary-91b7-{name}"
    with Wire(server) as wire:
        wire.send(raw % canary.encode())
        wire.finish()
    assert canary not in api.call("GET", "/log").body.decode()
    assert canary not in server.log_text()


def test_a_page_describes_the_api(server: Server) -> None:
    """For people: the web UI links to it."""
    answer = exchange(server, "GET", "/api/")
    assert answer.status == 200
    assert answer.headers.get_content_type() == "text/html"
    text = answer.body.decode()
    assert all(path in text for path in ("/api/0", "buckets", "heartbeat", "export"))
