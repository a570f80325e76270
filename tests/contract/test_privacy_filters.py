"""Section 11: privacy filters, on every way in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.wire import Api, at, event, q
from tests.server import Server

SECRET, PLAIN = {"title": "my bank"}, {"title": "my tea"}
HIDDEN = {"title": "hidden"}


def rule(bucket: str, **fields: Any) -> dict[str, Any]:
    return {"enabled": True, "pattern": "bank", "action": "drop", "field": "title", "bucket_prefix": bucket, **fields}


@pytest.fixture
def dropping(api: Api, bucket: str) -> Iterator[str]:
    """A bucket in which titles with `bank` are dropped."""
    rules = [rule(bucket)]
    assert api.post("/settings/privacy_filters", rules) == rules
    yield bucket
    api.post("/settings/privacy_filters", None)


@pytest.fixture
def redacting(api: Api, bucket: str) -> Iterator[str]:
    """A bucket in which they become `hidden`."""
    api.post("/settings/privacy_filters", [rule(bucket, action="redact", replacement="hidden")])
    yield bucket
    api.post("/settings/privacy_filters", [])


def test_a_dropped_event_is_missing_from_the_answer(api: Api, dropping: str) -> None:
    """Of a list; one object alone is answered with null. The others are stored as ever."""
    path = f"/buckets/{q(dropping)}/events"
    stored = api.post(path, [event("10:00:00", 1, SECRET), event("10:01:00", 1, PLAIN), event("10:02:00", 1, SECRET)])
    assert [one["data"] for one in stored] == [PLAIN]
    assert api.post(path, [event("10:03:00", 1, SECRET)]) == []
    assert api.post(path, event("10:03:00", 1, SECRET)) is None
    assert api.events(dropping) == stored


def test_a_dropped_event_with_an_id_leaves_the_stored_one(api: Api, bucket: str) -> None:
    """Stored events are not touched, not by new rules either."""
    stored = api.insert(bucket, event("10:00:00", 1, SECRET))
    api.post("/settings/privacy_filters", [rule(bucket)])
    path = f"/buckets/{q(bucket)}/events"
    assert api.post(path, {**event("11:00:00", 5, SECRET), "id": stored[0]["id"]}) is None
    api.post("/settings/privacy_filters", [])
    assert api.events(bucket) == stored


def test_a_dropped_heartbeat_is_answered_with_the_tail_record(api: Api, dropping: str) -> None:
    """In an empty bucket as it was sent, without an id. Nothing grows by it."""
    sent = event("10:00:00", 2.5, SECRET)
    assert api.beat(dropping, sent) == {"timestamp": at("10:00:00"), "duration": 2.5, "data": SECRET}
    assert api.events(dropping) == []
    tail = api.beat(dropping, event("10:00:00", 1, PLAIN))
    assert api.beat(dropping, event("10:00:02", 60, SECRET)) == tail
    assert api.events(dropping) == [tail]


def test_a_redacted_heartbeat_merges_by_what_is_left(api: Api, redacting: str) -> None:
    """Two secret titles are one event; a third that is none is another."""
    api.beat(redacting, event("10:00:00", 0, SECRET))
    merged = api.beat(redacting, event("10:00:05", 0, {"title": "other bank"}))
    assert (merged["data"], merged["duration"]) == (HIDDEN, 5.0)
    api.beat(redacting, event("10:00:07", 0, PLAIN))
    assert [one["data"] for one in api.events(redacting)] == [PLAIN, HIDDEN]


def test_lists_of_heartbeats_pass_the_filters(api: Api, dropping: str) -> None:
    """Dropped ones are counted apart from refused ones."""
    beats = [event("10:00:00", 1, SECRET), event("10:00:00", 1, PLAIN), event("10:00:02", 9, SECRET)]
    taken = api.post(f"/buckets/{q(dropping)}/heartbeats", beats, pulsetime=10)
    counts = (taken["durable"], taken["inserted"], taken["merged"], taken["dropped"], taken["refused_count"])
    assert counts == (3, 1, 0, 2, 0)
    assert [(one["data"], one["duration"]) for one in api.events(dropping)] == [(PLAIN, 1.0)]


def test_streams_pass_the_filters(api: Api, redacting: str) -> None:
    lines = [
        {"bucket": redacting, "pulsetime": 10, "event": event(clock, 0, SECRET)} for clock in ("10:00:00", "10:00:03")
    ]
    body = b"\n".join(json.dumps(line).encode() for line in lines)
    api.ok("POST", "/heartbeats", body, content_type="application/x-ndjson")
    assert [(one["data"], one["duration"]) for one in api.events(redacting)] == [(HIDDEN, 3.0)]


def test_imports_pass_the_filters(api: Api, name: str) -> None:
    """Also of a bucket that is not there yet, and again: what is left is recognized, nothing comes twice."""
    api.post(
        "/settings/privacy_filters", [rule(name), rule(name, pattern="tea", action="redact", replacement="hidden")]
    )
    events = [event("10:00:00", 1, SECRET), event("10:01:00", 1, PLAIN)]
    document = {"buckets": {name: {"id": name, "type": "t", "client": "c", "hostname": "h", "events": events}}}
    for _ in range(2):
        api.post("/import", document)
        assert [one["data"] for one in api.events(name)] == [HIDDEN]
    api.post("/settings/privacy_filters", [])


def test_a_long_list_passes_the_filters(api: Api, redacting: str) -> None:
    """Long enough to be laid out in segments beforehand, off the loop."""
    events = [
        {"timestamp": f"2024-05-01T10:00:00.{n:06d}Z", "duration": 0, "data": SECRET if n % 2 else PLAIN}
        for n in range(9000)
    ]
    stored = api.post(f"/buckets/{q(redacting)}/events", events)
    assert [one["data"] for one in stored[:3]] == [PLAIN, HIDDEN, PLAIN]
    assert sum(one["data"] == HIDDEN for one in api.events(redacting)) == 4500


@pytest.mark.parametrize("bad", [{"pattern": "("}, {"action": "hide"}, {"replacement": ""}, {"pattern": "(?=x)"}])
def test_a_bad_rule_is_refused_and_the_old_ones_stay(api: Api, dropping: str, bad: dict[str, Any]) -> None:
    """It is named by its place, and by the field that is wrong."""
    rules = api.get("/settings/privacy_filters")
    error = api.refused("POST", "/settings/privacy_filters", [rule("x"), rule("y", **bad)], word="BadRequest")
    assert "privacy_filters[1]" in error["message"]
    assert next(iter(bad)) in error["message"]
    assert api.get("/settings/privacy_filters") == rules
    assert api.post(f"/buckets/{q(dropping)}/events", event("10:00:00", 0, SECRET)) is None


@pytest.mark.parametrize("off", [[], None])
def test_filters_are_turned_off(api: Api, dropping: str, off: Any) -> None:
    """By an empty list, by null, and by deleting the setting."""
    api.post("/settings/privacy_filters", off)
    assert api.post(f"/buckets/{q(dropping)}/events", event("10:00:00", 0, SECRET))["data"] == SECRET
    api.post("/settings/privacy_filters", [rule(dropping)])
    api.ok("DELETE", "/settings/privacy_filters")
    assert api.beat(dropping, event("11:00:00", 0, SECRET))["data"] == SECRET


def test_a_missing_bucket_is_told_before_the_filters(api: Api, name: str) -> None:
    """A drop does not look like a success in a bucket that is not there."""
    api.post("/settings/privacy_filters", [rule(name)])
    api.refused("POST", f"/buckets/{q(name)}/heartbeat", event("10:00:00", 0, SECRET), status=404, pulsetime=1)
    api.refused("POST", f"/buckets/{q(name)}/events", event("10:00:00", 0, SECRET), status=404)
    api.post("/settings/privacy_filters", [])


def test_filters_hold_after_a_crash(tmp_path: Path) -> None:
    """From the first request of the next start."""
    with Server(tmp_path / "data") as server:
        api = Api(server)
        api.create("b")
        api.post("/settings/privacy_filters", [rule("b", action="redact", replacement="hidden")])
        server.kill()
        server.start()
        assert Api(server).beat("b", event("10:00:00", 0, SECRET))["data"] == HIDDEN
