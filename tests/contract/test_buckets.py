"""Section 5: buckets."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.contract.wire import STAMP, WATCHER, Api, Wire, at, encoded, event, request_bytes, strict_json
from tests.server import Server

JSON = "Content-Type: application/json"
FIELDS = {"id", "name", "type", "client", "hostname", "created", "data", "metadata"}


def test_a_new_server_holds_nothing(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        api = Api(server)
        assert api.get("/buckets/") == {}
        assert api.get("/export") == {"buckets": {}}
        assert api.get("/settings") == {}


def test_a_bucket_is_made_and_shown(api: Api, name: str) -> None:
    """Alone as in the list; an empty bucket has no `last_updated` and no edges."""
    assert (
        api.post(f"/buckets/{name}", {"type": "currentwindow", "client": "aw-watcher-window", "hostname": "desk"}) == {}
    )
    value = api.bucket(name)
    assert value.keys() == FIELDS
    assert STAMP.fullmatch(value.pop("created"))
    assert value == {
        "id": name,
        "name": None,
        "type": "currentwindow",
        "client": "aw-watcher-window",
        "hostname": "desk",
        "data": {},
        "metadata": {"start": None, "end": None},
    }
    assert api.get("/buckets/")[name] == api.bucket(name)


def test_the_optional_fields_are_kept(api: Api, name: str) -> None:
    api.create(name, name="Window", data={"$aw.sync.origin": "laptop"}, created="2020-01-02T03:04:05.678901+01:00")
    value = api.bucket(name)
    assert (value["name"], value["data"]) == ("Window", {"$aw.sync.origin": "laptop"})
    assert value["created"] == "2020-01-02T02:04:05.678901+00:00"


def test_the_required_texts_may_be_empty(api: Api, name: str) -> None:
    api.create(name, type="", client="", hostname="", name="")
    value = api.bucket(name)
    assert [value[key] for key in ("type", "client", "hostname", "name")] == ["", "", "", ""]


def test_the_path_counts_and_not_the_id_in_the_body(api: Api, name: str) -> None:
    """`events`, `metadata` and `last_updated` in the body are ignored too, whatever they are."""
    api.create(name, id=f"{name}-other", events=[event("10:00:00")], metadata={"start": 1}, last_updated="never")
    assert api.bucket(name)["id"] == name
    assert api.bucket(name)["metadata"] == {"start": None, "end": None}
    assert "last_updated" not in api.bucket(name)
    assert api.events(name) == []
    api.refused("GET", f"/buckets/{name}-other", status=404)


@pytest.mark.parametrize("key", ["type", "client", "hostname"])
@pytest.mark.parametrize("bad", ["missing", None, 1, True, [], {}])
def test_type_client_and_hostname_are_required_texts(api: Api, name: str, key: str, bad: Any) -> None:
    body = (
        {other: text for other, text in WATCHER.items() if other != key} if bad == "missing" else {**WATCHER, key: bad}
    )
    api.refused("POST", f"/buckets/{name}", body, word="BadRequest")
    api.refused("GET", f"/buckets/{name}", status=404)


@pytest.mark.parametrize(
    ("key", "bad"), [("name", 1), ("name", []), ("data", []), ("data", "x"), ("created", 0), ("created", "x")]
)
def test_the_optional_fields_are_checked(api: Api, name: str, key: str, bad: Any) -> None:
    api.refused("POST", f"/buckets/{name}", {**WATCHER, key: bad}, word="BadRequest")
    api.refused("GET", f"/buckets/{name}", status=404)


def test_making_a_bucket_twice_is_a_304_that_changes_nothing(api: Api, bucket: str) -> None:
    api.insert(bucket, event("10:00:00"))
    before = api.bucket(bucket), api.events(bucket)
    answer = api.call("POST", f"/buckets/{bucket}", {"type": "x", "client": "y", "hostname": "z", "data": {"a": 1}})
    assert (answer.status, answer.body) == (304, b"")
    assert (api.bucket(bucket), api.events(bucket)) == before


def test_a_304_leaves_no_stray_bytes_on_the_connection(server: Server, bucket: str) -> None:
    """What follows its head on a kept-alive connection is the next answer and nothing else."""
    again = request_bytes("POST", f"/api/0/buckets/{bucket}", JSON, body=encoded(WATCHER))
    with Wire(server) as wire:
        for _ in range(3):
            wire.send(again)
            assert wire.answer().status == 304
            assert wire.received == b""
            wire.send(again, request_bytes("GET", "/api/0/info"))
            assert wire.answer().status == 304
            info = wire.answer()
            assert info.status == 200
            assert strict_json(info.body)["testing"] is True


def test_two_requests_that_make_one_bucket_get_one_200(api: Api, name: str) -> None:
    """Eight at a time: the others are told that it is there."""
    barrier = threading.Barrier(8)
    statuses: list[int] = []

    def make() -> None:
        barrier.wait()
        statuses.append(api.call("POST", f"/buckets/{name}", WATCHER).status)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [304] * 7


def test_the_host_name_local_stands_for_that_of_the_server(api: Api, name: str) -> None:
    """And the device id is added to the bucket's data."""
    info = api.get("/info")
    api.create(name, hostname="!local", data={"kept": True})
    value = api.bucket(name)
    assert value["hostname"] == info["hostname"]
    assert value["data"] == {"kept": True, "device_id": info["device_id"]}
    assert api.call("POST", f"/buckets/{name}", {**WATCHER, "hostname": "!local"}).status == 304


def test_the_host_name_local_can_be_put_later(api: Api, name: str) -> None:
    info = api.get("/info")
    api.create(name, data={"kept": True})
    api.ok("PUT", f"/buckets/{name}", {"hostname": "!local"})
    value = api.bucket(name)
    assert value["hostname"] == info["hostname"]
    assert value["data"]["device_id"] == info["device_id"]


# --- PUT


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("type", "new"),
        ("client", "new"),
        ("hostname", "new"),
        ("name", "new"),
        ("data", {"new": 1}),
        ("data", {}),
        ("name", ""),
    ],
)
def test_a_put_changes_the_fields_that_are_given(api: Api, name: str, key: str, value: Any) -> None:
    """And no others; `data` as a whole. Events and the time of creation stay."""
    api.create(name, name="old", data={"old": [1], "older": 2})
    api.insert(name, event("10:00:00", 5))
    before, events = api.bucket(name), api.events(name)
    assert api.ok("PUT", f"/buckets/{name}", {key: value}) == {}
    assert api.bucket(name) == {**before, key: value}
    assert api.events(name) == events


def test_a_put_of_nothing_changes_nothing(api: Api, name: str) -> None:
    """Nor does a null, nor do the fields that no PUT can change."""
    api.create(name, name="old", data={"old": 1})
    before = api.bucket(name)
    for body in (
        {},
        dict.fromkeys(("type", "client", "hostname", "name", "data")),
        {"id": "x", "created": at("10:00:00")},
    ):
        assert api.ok("PUT", f"/buckets/{name}", body) == {}
        assert api.bucket(name) == before


@pytest.mark.parametrize(
    ("key", "bad"), [("type", 1), ("client", True), ("hostname", []), ("name", {}), ("data", []), ("data", "x")]
)
def test_a_put_with_one_bad_field_changes_none(api: Api, bucket: str, key: str, bad: Any) -> None:
    before = api.bucket(bucket)
    api.refused("PUT", f"/buckets/{bucket}", {"type": "new", "client": "new", key: bad}, word="BadRequest")
    assert api.bucket(bucket) == before


# --- DELETE


@pytest.mark.parametrize("query", ["", "?force=1"])
def test_in_testing_mode_a_bucket_is_deleted_without_more_ado(api: Api, bucket: str, query: str) -> None:
    (stored,) = api.insert(bucket, event("10:00:00"))
    assert api.ok("DELETE", f"/buckets/{bucket}{query}") == {}
    assert bucket not in api.get("/buckets/")
    api.refused("DELETE", f"/buckets/{bucket}", status=404, word="NoSuchBucket")
    api.refused("GET", f"/buckets/{bucket}/events/{stored['id']}", status=404, word="NoSuchBucket")


@pytest.mark.parametrize("query", ["", "?force=0", "?force=", "?force=no", "?Force=1", "?x=force=1"])
def test_outside_testing_mode_a_delete_has_to_be_forced(desk: Api, name: str, query: str) -> None:
    desk.create(name)
    desk.insert(name, event("10:00:00"))
    before = desk.bucket(name)
    desk.refused("DELETE", f"/buckets/{name}{query}", status=401, word="DeleteBucketUnauthorized")
    assert (desk.bucket(name), desk.count(name)) == (before, 1)
    assert desk.ok("DELETE", f"/buckets/{name}?force=1") == {}
    desk.refused("DELETE", f"/buckets/{name}?force=1", status=404, word="NoSuchBucket")


def test_a_bucket_made_anew_shows_nothing_of_the_old_one(api: Api, name: str) -> None:
    """No event, no edge, no field, no tail record."""
    api.create(name, name="old", data={"old": 1}, created="2020-01-01")
    old = api.beat(name, event("10:00:00", 60))
    api.ok("DELETE", f"/buckets/{name}")
    api.create(name, type="new")
    value = api.bucket(name)
    assert (value["name"], value["data"], value["type"]) == (None, {}, "new")
    assert value["metadata"] == {"start": None, "end": None}
    assert not value["created"].startswith("2020")
    assert api.events(name) == []
    new = api.beat(name, event("10:00:30"))
    assert new["duration"] == 0.0
    assert new["id"] != old["id"]


def test_deleting_one_bucket_leaves_the_others(api: Api, bucket: str, other: str) -> None:
    api.insert(bucket, event("10:00:00"))
    api.insert(other, event("10:00:00", 5))
    before = api.bucket(other), api.events(other)
    api.ok("DELETE", f"/buckets/{bucket}")
    assert (api.bucket(other), api.events(other)) == before


# --- metadata


def edges(api: Api, bucket: str) -> tuple[str | None, str | None]:
    """Start and end of what the bucket holds, after a look that all the places that say so agree."""
    value = api.bucket(bucket)
    assert value == api.get("/buckets/")[bucket]
    assert value["metadata"].keys() == {"start", "end"}
    if value["metadata"]["end"] is None:
        assert "last_updated" not in value
    else:
        assert value["last_updated"] == value["metadata"]["end"]
    return value["metadata"]["start"], value["metadata"]["end"]


def test_metadata_is_the_least_start_and_the_greatest_end(api: Api, bucket: str) -> None:
    """Which need not be that of the newest event: here it is a long one from before."""
    assert edges(api, bucket) == (None, None)
    api.insert(bucket, event("10:00:00", 3600))
    assert edges(api, bucket) == (at("10:00:00"), at("11:00:00"))
    api.insert(bucket, event("10:30:00", 5))
    assert edges(api, bucket) == (at("10:00:00"), at("11:00:00"))
    api.insert(bucket, event("09:00:00.000001"))
    assert edges(api, bucket) == (at("09:00:00.000001"), at("11:00:00"))
    api.beat(bucket, event("12:00:00"))
    api.beat(bucket, event("12:00:07.5"))
    assert edges(api, bucket) == (at("09:00:00.000001"), at("12:00:07.500000"))


def test_metadata_moves_back_when_events_go(api: Api, bucket: str) -> None:
    """It tells of the events the bucket holds now, down to none."""
    first, long, last = api.insert(bucket, event("09:00:00", 1), event("10:00:00", 3600), event("10:30:00", 5))
    api.delete_event(bucket, long["id"])
    assert edges(api, bucket) == (at("09:00:00"), at("10:30:05"))
    api.delete_event(bucket, first["id"])
    assert edges(api, bucket) == (at("10:30:00"), at("10:30:05"))
    api.delete_event(bucket, last["id"])
    assert edges(api, bucket) == (None, None)
    api.insert(bucket, event("08:00:00", 1))
    assert edges(api, bucket) == (at("08:00:00"), at("08:00:01"))


def test_metadata_moves_when_an_event_is_replaced(api: Api, bucket: str) -> None:
    first, last = api.insert(bucket, event("09:00:00", 1), event("10:00:00", 3600))
    api.insert(bucket, {**event("10:00:00", 60), "id": last["id"]})
    assert edges(api, bucket) == (at("09:00:00"), at("10:01:00"))
    api.insert(bucket, {**event("09:30:00"), "id": first["id"]})
    assert edges(api, bucket) == (at("09:30:00"), at("10:01:00"))


def test_metadata_reaches_from_the_year_1_to_the_year_9999(api: Api, bucket: str) -> None:
    api.insert(bucket, {"timestamp": "0001-01-01"}, {"timestamp": "9999-12-31T23:59:59.999999Z"})
    assert edges(api, bucket) == ("0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00")


def test_buckets_are_as_they_were_after_a_restart(tmp_path: Path) -> None:
    """With their fields, edges and events, once after a clean stop and once after SIGKILL."""
    with Server(tmp_path / "data") as server:
        api = Api(server)
        api.create("one", name="One", data={"a": [1]}, created="2020-01-01T00:00:00.000001Z")
        api.insert("one", event("10:00:00", 3600), event("10:30:00", 5))
        api.create("two", hostname="!local")
        before = api.everything()
        for end in (server.stop, server.kill):
            end()
            server.start()
            assert api.everything() == before


def test_local_and_data_given_at_the_same_time_are_both_kept(api: Api, bucket: str) -> None:
    """C3: two PUTs of two clients have an order, and neither takes back what the other one acknowledged."""
    for number in range(40):
        puts = [{"data": {"n": number}}, {"hostname": "!local"}]
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(lambda body: api.ok("PUT", f"/buckets/{bucket}", body), puts)) == [{}, {}]
        assert api.get(f"/buckets/{bucket}")["data"]["n"] == number
