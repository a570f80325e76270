"""Section 2: what names an event and what names a bucket."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.wire import WATCHER, Api, at, event, exchange, q, strict_json
from tests.server import Server

ID_BYTES_MAX = 1024
CONTROL = [*range(0x20), 0x7F]
ODD_IDS = [
    "events",
    "count",
    "export",
    "heartbeat",
    "import",
    "buckets",
    "0",
    "-1",
    "null",
    " ",
    " leading and trailing ",
    "a/b",
    "/",
    "a/events",
    "a%2Fb",
    "%",
    "100%",
    "%zz",
    "a+b c",
    "a?b=c&d",
    "a#b",
    ";,:@=&$!*()'",
    '"quoted"',
    "back\\slash",
    "<script>alert(1)</script>",
    "..",
    ".",
    "../../etc/passwd",
    "{bucket}",
    "Übung",
    "世界",
    "\U0001f600",
    "\u0085",
    "\u202e",
    "\ufffd",
    "\U0010ffff",
    "x" * ID_BYTES_MAX,
    "ä" * (ID_BYTES_MAX // 2),
    "\U0001f600" * (ID_BYTES_MAX // 4),
]


@pytest.mark.parametrize("odd", ODD_IDS, ids=lambda odd: ascii(odd)[:30])
def test_a_bucket_id_is_any_text_of_up_to_1024_bytes(api: Api, odd: str) -> None:
    """Through every route of a bucket, with `%2F` for the slash: percent-decoded once, after splitting at `/`."""
    path = f"/buckets/{q(odd)}"
    assert api.post(path, WATCHER) == {}
    assert api.bucket(odd)["id"] == odd
    assert api.get("/buckets/")[odd] == api.bucket(odd)
    assert api.call("POST", path, WATCHER).status == 304
    assert api.ok("PUT", path, {"type": "changed"}) == {}
    (stored,) = api.insert(odd, event("10:00:00"))
    assert api.events(odd) == [stored]
    assert api.count(odd) == 1
    assert api.get(f"{path}/events/{stored['id']}") == stored
    assert api.beat(odd, event("10:00:05"))["id"] == stored["id"]
    exported = api.get(f"{path}/export")
    assert exported["buckets"][odd]["type"] == "changed"
    assert api.delete_event(odd, stored["id"])
    assert api.ok("DELETE", path) == {}
    api.post("/import", exported)
    assert api.count(odd) == 1
    assert api.ok("DELETE", path) == {}
    assert odd not in api.get("/buckets/")


@pytest.mark.parametrize(
    "bad",
    [*(f"a{chr(code)}b" for code in CONTROL), "\n", "x" * (ID_BYTES_MAX + 1), "ä" * (ID_BYTES_MAX // 2) + "x"],
    ids=lambda bad: ascii(bad)[:30],
)
def test_control_characters_and_longer_ids_are_refused(api: Api, bad: str) -> None:
    """A 400 when the bucket is to be made, a 404 everywhere else."""
    path = f"/buckets/{q(bad)}"
    api.refused("POST", path, WATCHER, word="BadRequest")
    api.refused("GET", path, status=404)
    api.refused("PUT", path, {"type": "x"}, status=404)
    api.refused("DELETE", path, status=404)
    api.refused("GET", f"{path}/events", status=404)
    api.refused("GET", f"{path}/events/count", status=404)
    api.refused("GET", f"{path}/export", status=404)
    api.refused("POST", f"{path}/events", [event("10:00:00")], status=404)
    api.refused("POST", f"{path}/heartbeat?pulsetime=1", event("10:00:00"), status=404)
    api.refused("POST", "/import", {"buckets": {bad: WATCHER}}, word="BadRequest")
    api.refused("POST", "/import", {"buckets": {"key": {**WATCHER, "id": bad}}}, word="BadRequest")
    assert bad not in api.get("/buckets/")


def test_an_imported_bucket_needs_an_id_as_well(api: Api) -> None:
    api.refused("POST", "/import", {"buckets": {"": WATCHER}}, word="BadRequest")
    api.refused("POST", "/import", {"buckets": {"key": {**WATCHER, "id": ""}}}, word="BadRequest")
    api.refused("POST", "/import", {"buckets": {"key": {**WATCHER, "id": 5}}}, word="BadRequest")
    assert "" not in api.get("/buckets/")


@pytest.mark.parametrize("path", ["%FF", "a%C3", "%ED%A0%BD", "%C0%AF"])
def test_bytes_that_are_no_utf8_name_no_bucket(api: Api, path: str) -> None:
    """Nor do they become another bucket's name by way of a replacement character."""
    before = api.get("/buckets/").keys()
    assert api.call("POST", f"/buckets/{path}", WATCHER).status in {400, 404}
    assert api.get("/buckets/").keys() == before
    api.refused("GET", f"/buckets/{path}", status=404)
    api.refused("POST", f"/buckets/{path}/events", [event("10:00:00")], status=404)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("Case-A", "case-a"),
        ("n\u00e9", "ne\u0301"),
        ("\u212b", "\u00c5"),
        ("tail", "tail "),
        ("a/b", "a%2Fb"),
        ("plus+", "plus "),
    ],
)
def test_bucket_ids_are_compared_byte_by_byte(api: Api, name: str, one: str, two: str) -> None:
    """Case counts, and no two spellings are taken for one another."""
    one, two = api.create(f"{name}{one}"), api.create(f"{name}{two}")
    api.insert(one, event("10:00:00"))
    assert (api.count(one), api.count(two)) == (1, 0)
    assert {one, two} <= api.get("/buckets/").keys()


def test_a_path_is_decoded_once(api: Api, name: str) -> None:
    """`%252F` is the text `%2F`, not a slash."""
    assert api.post(f"/buckets/{name}%252Fx", WATCHER) == {}
    assert api.bucket(f"{name}%2Fx")["id"] == f"{name}%2Fx"
    api.refused("GET", f"/buckets/{name}%2Fx", status=404, word="NoSuchBucket")


def test_an_id_in_raw_bytes_is_refused_or_read_as_utf8(server: Server, api: Api, name: str) -> None:
    """A path that was never percent-encoded: whatever the HTTP server makes of it, nothing breaks."""
    target = f"/api/0/buckets/{name}-ä".encode()
    answer = exchange(server, "GET", target)
    assert 400 <= answer.status < 500
    assert api.get("/info")["testing"] is True


def test_event_ids_are_whole_numbers_from_1_to_2_to_the_53(api: Api, bucket: str) -> None:
    stored = api.insert(bucket, *(event("10:00:00") for _ in range(50)))
    stored.append(api.beat(bucket, event("11:00:00")))
    ids = [one["id"] for one in stored]
    assert all(type(one) is int and 1 <= one < 2**53 for one in ids)
    assert len(set(ids)) == len(ids)


def test_event_ids_are_unique_in_the_whole_server(api: Api, bucket: str, other: str) -> None:
    """By whatever way the events came in."""
    ids = [one["id"] for one in api.insert(bucket, event("10:00:00"), event("10:00:01"))]
    ids += [one["id"] for one in api.insert(other, event("10:00:00"), event("10:00:01"))]
    ids += [api.beat(here, event("12:00:00"))["id"] for here in (bucket, other)]
    made = {
        f"{bucket}-{n}": {**WATCHER, "events": [event("10:00:00"), {**event("10:00:00"), "id": ids[n]}]}
        for n in range(2)
    }
    api.post("/import", {"buckets": made})
    ids += [one["id"] for new in made for one in api.events(new)]
    assert len(set(ids)) == len(ids) == 10


def test_the_id_of_a_deleted_event_is_never_given_again(api: Api, bucket: str) -> None:
    """Neither after the newest event is deleted nor after all are."""
    seen: set[int] = set()
    for _ in range(5):
        ids = {one["id"] for one in api.insert(bucket, event("10:00:00"), event("10:00:01"), event("10:00:02"))}
        assert not ids & seen
        seen |= ids
        assert all(api.delete_event(bucket, one) for one in ids)
    assert api.events(bucket) == []


def test_the_ids_of_a_deleted_bucket_are_never_given_again(api: Api, bucket: str) -> None:
    """Not even to a bucket of the same name, and they name nothing in it."""
    (old,) = api.insert(bucket, event("10:00:00"))
    api.ok("DELETE", f"/buckets/{bucket}")
    api.create(bucket)
    api.refused("GET", f"/buckets/{bucket}/events/{old['id']}", status=404, word="NoSuchEvent")
    new = api.insert(bucket, {**event("10:00:00"), "id": old["id"]}, event("10:00:00"))
    assert old["id"] not in [one["id"] for one in new]


def test_ids_are_not_given_again_after_a_restart(tmp_path: Path) -> None:
    """The last event and the last bucket were deleted before the server stopped, once in order and once by SIGKILL."""
    with Server(tmp_path / "data") as server:
        api = Api(server)
        seen: set[int] = set()
        for end in (server.stop, server.kill, server.stop):
            for bucket in ("kept", "deleted"):
                if bucket not in api.get("/buckets/"):
                    api.create(bucket)
                ids = {one["id"] for one in api.insert(bucket, event("10:00:00"), event("10:00:00"))}
                assert not ids & seen
                seen |= ids
                assert all(api.delete_event(bucket, one) for one in ids)
            api.ok("DELETE", "/buckets/deleted")
            end()
            server.start()
        assert strict_json(server.request("GET", "/api/0/buckets/kept/events").body) == []


def test_an_event_written_by_its_id_is_shown_under_that_id(api: Api, bucket: str) -> None:
    stored = api.post(f"/buckets/{bucket}/events", {"timestamp": at("10:00:00")})
    assert api.get(f"/buckets/{bucket}/events/{stored['id']}")["id"] == stored["id"]
