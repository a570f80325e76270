"""`/metrics`, `/healthz`, `/readyz`, request ids and the access log: what is told to those who watch the server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.wire import WATCHER, Api, Wire, at, event, exchange, request_bytes
from tests.server import Server

JSON = "Content-Type: application/json"


@pytest.fixture(params=[(), ("--no-fast-lane",)], ids=["fast lane", "aiohttp alone"])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server that nobody else counts in."""
    with Server(tmp_path / "data", *request.param) as server:
        yield server


def samples(server: Server) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All figures, by name and labels, as Prometheus reads them."""
    reply = server.request("GET", "/metrics")
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
    }


def value(found: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_the_figures_are_what_happened(own: Server) -> None:
    """Heartbeats by outcome, commits, buckets and events, answers by route, refusals by type."""
    api = Api(own)
    api.create("b")
    for clock in ("10:00:00", "10:00:05", "10:00:05", "11:00:00"):
        api.beat("b", event(clock))
    api.insert("b", event("12:00:00"), event("12:00:01"))
    api.refused("GET", "/buckets/nothing", status=404)
    api.refused("POST", "/buckets/b/heartbeat?pulsetime=x", event("10:00:00"))
    api.post("/query", {"query": ["RETURN = 1;"], "timeperiods": []})
    found = samples(own)
    assert value(found, "awlog_heartbeats_total", outcome="inserted") == 2
    assert value(found, "awlog_heartbeats_total", outcome="merged") == 1
    assert value(found, "awlog_heartbeats_total", outcome="unchanged") == 1
    assert value(found, "awlog_commit_seconds_count") == 5
    assert value(found, "awlog_commit_requests_sum") == 5
    assert value(found, "awlog_commit_seconds_sum") > 0
    assert value(found, "awlog_write_seconds_count") == 5
    assert value(found, "awlog_write_seconds_sum") >= value(found, "awlog_commit_seconds_sum")
    assert value(found, "awlog_buckets") == 1
    assert value(found, "awlog_events") == 4
    assert value(found, "awlog_connections") >= 1
    assert value(found, "awlog_reader_processes") >= 1
    assert value(found, "awlog_failed_commits_total") == 0
    assert value(found, "awlog_store_bytes") == (own.data_dir / "data.mdb").stat().st_size
    assert value(found, "awlog_disk_free_bytes") > 0
    assert value(found, "awlog_refused_total", type="NoSuchBucket") == 1
    assert value(found, "awlog_refused_total", type="BadRequest") == 1
    assert value(found, "awlog_requests_total", method="POST", route="/api/0/query", status="200") == 1
    lane = value(found, "awlog_lane_requests_total", way="answered")
    assert lane == (0 if "--no-fast-lane" in own.args else 5)
    assert value(found, "process_resident_memory_bytes") > 1 << 20


def test_no_figure_names_what_was_recorded_or_asked_for(own: Server) -> None:
    """Labels come from tables of the program: a client cannot make a new one, whatever it sends."""
    api = Api(own)
    api.create("canarybucket")
    api.insert("canarybucket", {"timestamp": at("10:00:00"), "data": {"canarykey": "canaryvalue"}})
    before = set(samples(own))
    for number in range(20):
        exchange(own, f"CANARY{number}", f"/canary{number}?canary", f"X-Canary: canary{number}")
        exchange(own, "GET", f"/api/0/canary{number}")
        exchange(own, "GET", f"/api/0/buckets/canary{number}/events?canary={number}")
    text = own.request("GET", "/metrics").body.decode()
    assert "canary" not in text.lower()
    assert len(set(samples(own)) - before) < 12


def test_health_and_readiness_are_open_and_metrics_need_a_token_that_reads(tmp_path: Path) -> None:
    """Where tokens are in use: whoever may append, and read nothing, does not see them."""
    with Server(tmp_path / "data") as server:
        made = {"name": "reads", "scopes": ["read"]}, {"name": "appends", "scopes": ["append"]}
        admin = server.request("POST", "/api/0/tokens", {"name": "admin", "scopes": ["admin"]}).json()["secret"]
        headers = {"Authorization": f"Bearer {admin}"}
        reads, appends = (
            server.request("POST", "/api/0/tokens", body, headers=headers).json()["secret"] for body in made
        )
        for path in ("/healthz", "/readyz"):
            assert server.request("GET", path).status == 200
        assert server.request("GET", "/metrics").status == 401
        assert server.request("GET", "/metrics", headers={"Authorization": f"Bearer {appends}"}).status == 403
        assert server.request("GET", "/metrics", headers={"Authorization": f"Bearer {reads}"}).status == 200


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
def test_they_can_be_asked_and_nothing_else(server: Server, path: str) -> None:
    assert exchange(server, "HEAD", path).status == 200
    refused = exchange(server, "POST", path, JSON, body=b"{}")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert exchange(server, "GET", path, host="evil.example").status == 400
    assert exchange(server, "GET", f"{path}/x").status == 404


def test_a_ready_server_says_what_it_looked_at(server: Server) -> None:
    assert server.request("GET", "/healthz").json() == {"alive": True}
    ready = server.request("GET", "/readyz").json()
    assert ready["ready"] is True
    assert ready["checks"].keys() >= {"store", "disk"}
    assert set(ready["checks"].values()) == {"ok"}


@pytest.mark.parametrize("path", ["/api/0/info", "/api/0/nothing", "/", "/metrics", "/api/0/buckets/{}/events"])
def test_a_request_id_comes_back(server: Server, bucket: str, path: str) -> None:
    """On answers and refusals, pages too; a client finds its request in the server's log."""
    assert exchange(server, "GET", path.format(bucket), "X-Request-Id: a-1.B_2").headers["X-Request-Id"] == "a-1.B_2"


def test_a_heartbeat_with_a_request_id_gets_it_back(server: Server, bucket: str) -> None:
    """Each its own, on one connection."""
    with Wire(server) as wire:
        for number in range(3):
            body = json.dumps(event(f"10:00:0{number}")).encode()
            line = f"/api/0/buckets/{bucket}/heartbeat?pulsetime=9"
            wire.send(request_bytes("POST", line, JSON, f"X-Request-Id: {number}", body=body))
            assert wire.answer().headers["X-Request-Id"] == str(number)


@pytest.mark.parametrize("sent", ["", " ", "a b", "x" * 129, "ü", 'a"b', "a\tb", "{}"])
def test_what_is_no_request_id_is_not_repeated(server: Server, sent: str) -> None:
    assert "X-Request-Id" not in exchange(server, "GET", "/api/0/info", f"X-Request-Id: {sent}").headers


def test_the_access_log_tells_routes_and_not_what_was_asked_for(tmp_path: Path) -> None:
    """One line for each request, heartbeats too; and none of them where people look for trouble."""
    with Server(tmp_path / "data", "--access-log") as server:
        api = Api(server)
        api.call("POST", "/buckets/canary", WATCHER, headers={"X-Request-Id": "mine"})
        api.beat("canary", event("10:00:00", data={"canary": "canary"}))
        api.call("GET", "/buckets/canary/events?start=2024-05-01&canary=1")
        api.call("GET", "/canary")
        kept = api.get("/log")
        server.stop()
        said = [json.loads(line) for line in server.log_text().splitlines() if '"part": "access"' in line]
    routes = [(line["method"], line["route"], line["status"]) for line in said]
    assert ("POST", "/api/0/buckets/{bucket_id}", 200) in routes
    assert ("POST", "/api/0/buckets/{bucket_id}/heartbeat", 200) in routes
    assert ("GET", "/api/0/buckets/{bucket_id}/events", 200) in routes
    assert ("GET", "none", 404) in routes
    assert {line["request_id"] for line in said} >= {"mine"}
    assert len({line["request_id"] for line in said}) == len(said)
    assert "canary" not in server.log_text()
    assert not [record for record in kept if record.get("part") == "access"]
    assert not re.search(r'"part": "access"', json.dumps(kept))
