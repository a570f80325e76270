"""Section 10: import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.wire import STAMP, WATCHER, Api, at, event
from tests.server import Server

BOUNDARY = "----awlog7f3a"


def document(bucket: str, *events: Any, **fields: Any) -> dict[str, Any]:
    return {"buckets": {bucket: {**WATCHER, "events": list(events), **fields}}}


def form(*parts: tuple[str, bytes]) -> bytes:
    """A multipart body of (headers of the part, contents)."""
    head = f"--{BOUNDARY}\r\n".encode()
    body = b"".join(head + headers.encode() + b"\r\n\r\n" + contents + b"\r\n" for headers, contents in parts)
    return body + f"--{BOUNDARY}--\r\n".encode()


def part(name: str = "buckets.json", file_name: str | None = "export.json", content_type: str | None = None) -> str:
    lines = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{file_name}"' if file_name else "")
    return lines + (f"\r\nContent-Type: {content_type}" if content_type else "")


def send_form(api: Api, *parts: tuple[str, bytes]) -> Any:
    return api.post("/import", form(*parts), content_type=f"multipart/form-data; boundary={BOUNDARY}")


def shown(api: Api, bucket: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in one.items() if key != "id"} for one in api.events(bucket)]


# --- a new bucket


def test_a_new_bucket_is_made_with_its_fields_and_all_its_events(api: Api, name: str) -> None:
    """Duplicates inside the file included. The answer is a bare null."""
    created = {"created": "2020-01-02T03:04:05.678901Z", "name": "Window", "data": {"a": [1]}}
    events = [event("10:00:00", 60), event("10:00:00", 60), event("11:00:00", 5)]
    answer = api.call("POST", "/import", document(name, *events, **created))
    assert (answer.status, answer.body.strip()) == (200, b"null")
    value = api.bucket(name)
    assert {key: value[key] for key in ("name", "data", *WATCHER)} == {"name": "Window", "data": {"a": [1]}, **WATCHER}
    assert value["created"] == "2020-01-02T03:04:05.678901+00:00"
    assert value["metadata"] == {"start": at("10:00:00"), "end": at("11:00:05")}
    assert shown(api, name) == [event("11:00:00", 5), event("10:00:00", 60), event("10:00:00", 60)]


@pytest.mark.parametrize("key", ["created", "name", "data", "events", "id"])
@pytest.mark.parametrize("null", [True, False])
def test_the_optional_fields_may_be_null_or_missing(api: Api, name: str, key: str, null: bool) -> None:
    full = {
        **WATCHER,
        "id": name,
        "created": "2020-01-02T03:04:05Z",
        "name": "n",
        "data": {"a": 1},
        "events": [event("10:00:00")],
    }
    made = {**full, key: None} if null else {other: value for other, value in full.items() if other != key}
    assert api.post("/import", {"buckets": {name: made}}) is None
    value = api.bucket(name)
    assert STAMP.fullmatch(value["created"])
    assert value["name"] == (None if key == "name" else "n")
    assert value["data"] == ({} if key == "data" else {"a": 1})
    assert api.count(name) == (0 if key == "events" else 1)


def test_the_id_of_the_bucket_counts_before_its_key(api: Api, name: str) -> None:
    made = document(f"{name}-key", event("10:00:00"), id=f"{name}-id")
    assert api.post("/import", made) is None
    assert api.count(f"{name}-id") == 1
    api.refused("GET", f"/buckets/{name}-key", status=404)


@pytest.mark.parametrize("body", [{"buckets": {}}, {"buckets": {}, "version": 2}])
def test_an_import_of_nothing_is_fine(api: Api, body: Any) -> None:
    before = api.get("/buckets/")
    assert api.post("/import", body) is None
    assert api.get("/buckets/") == before


def test_ids_in_events_are_ignored(api: Api, bucket: str) -> None:
    """Those of other buckets, of the bucket itself, twice the same, and what is no id at all."""
    (stranger,) = api.insert(bucket, event("09:00:00", 5, {"mine": 1}))
    name = f"{bucket}-new"
    given = [stranger["id"], 1, 1, 0, -5, 2**64, None, "5", 1.5]
    api.post("/import", document(name, *({**event(f"10:00:0{n}"), "id": one} for n, one in enumerate(given))))
    assert api.events(bucket) == [stranger]
    ids = [one["id"] for one in api.events(name)]
    assert len(set(ids)) == len(given)
    assert stranger["id"] not in ids
    assert all(type(one) is int and 1 <= one < 2**53 for one in ids)


# --- a bucket that is there


def test_the_fields_of_a_bucket_that_is_there_stay(api: Api, name: str) -> None:
    api.create(name, name="mine", data={"mine": 1})
    before = api.bucket(name)
    theirs = {"type": "x", "client": "y", "hostname": "z", "name": "w", "data": {"theirs": 1}, "created": "2001-01-01"}
    assert api.post("/import", document(name, **theirs)) is None
    assert api.bucket(name) == before


def test_an_event_that_is_there_is_skipped_and_the_others_are_added(api: Api, bucket: str) -> None:
    """Equal timestamp, duration and data: the stored event, whatever its form in the file."""
    stored = api.insert(bucket, event("10:00:00", 60, {"a": 1, "b": [True]}))
    again = {"timestamp": "2024-05-01T12:00:00+02:00", "duration": 60.0000001, "data": {"b": [True], "a": 1}, "id": 7}
    others = [
        event("10:00:00", 61, {"a": 1, "b": [True]}),
        event("10:00:00.000001", 60, {"a": 1, "b": [True]}),
        event("10:00:00", 60, {"a": 1, "b": [1]}),
        event("10:00:00", 60, {"a": 1}),
    ]
    assert api.post("/import", document(bucket, again, *others)) is None
    assert api.count(bucket) == 5
    assert stored[0] in api.events(bucket)
    assert all(other in shown(api, bucket) for other in others)


def test_importing_a_file_twice_changes_nothing_the_second_time(api: Api, bucket: str) -> None:
    """Into a bucket that was there as into a new one."""
    events = [event("10:00:00", 60), event("10:00:00", 60), event("10:00:30"), event("09:00:00", 5, {"n": 10**40})]
    name = f"{bucket}-new"
    api.insert(bucket, event("10:00:30"), event("23:00:00"))
    body = {"buckets": {target: {**WATCHER, "events": events} for target in (bucket, name)}}
    assert api.post("/import", body) is None
    assert (api.count(bucket), api.count(name)) == (5, 4)
    before = [(api.bucket(target), api.events(target)) for target in (bucket, name)]
    for _ in range(2):
        assert api.post("/import", body) is None
        assert [(api.bucket(target), api.events(target)) for target in (bucket, name)] == before


def test_duplicates_inside_the_file_are_kept_if_the_bucket_held_none_before(api: Api, bucket: str) -> None:
    """Only what was there before this import is skipped."""
    api.insert(bucket, event("09:00:00"))
    assert api.post("/import", document(bucket, *[event("10:00:00", 60)] * 3, *[event("09:00:00")] * 2)) is None
    assert shown(api, bucket) == [event("10:00:00", 60)] * 3 + [event("09:00:00")]


def test_an_edited_event_is_not_taken_for_the_imported_one(api: Api, bucket: str) -> None:
    """What counts is what the bucket holds now: after an edit or a deletion the event is added again."""
    first, second = api.insert(bucket, event("10:00:00", 60), event("11:00:00", 60))
    api.insert(bucket, {**event("10:00:00", 30), "id": first["id"]})
    api.delete_event(bucket, second["id"])
    assert api.post("/import", document(bucket, event("10:00:00", 60), event("11:00:00", 60))) is None
    assert shown(api, bucket) == [event("11:00:00", 60), event("10:00:00", 30), event("10:00:00", 60)]


# --- whole or not at all

BAD_BUCKETS: list[tuple[str, Any]] = [
    ("no object", None),
    ("no object", []),
    ("no object", "x"),
    ("type missing", {"client": "c", "hostname": "h", "events": []}),
    ("client missing", {"type": "t", "hostname": "h"}),
    ("hostname missing", {"type": "t", "client": "c"}),
    ("type null", {**WATCHER, "type": None}),
    ("type number", {**WATCHER, "type": 5}),
    ("client list", {**WATCHER, "client": []}),
    ("hostname bool", {**WATCHER, "hostname": True}),
    ("name number", {**WATCHER, "name": 5}),
    ("data list", {**WATCHER, "data": []}),
    ("created text", {**WATCHER, "created": "yesterday"}),
    ("created number", {**WATCHER, "created": 1714557600}),
    ("id number", {**WATCHER, "id": 5}),
    ("id control", {**WATCHER, "id": "a\nb"}),
    ("events object", {**WATCHER, "events": {}}),
    ("events text", {**WATCHER, "events": "x"}),
    ("event null", {**WATCHER, "events": [event("10:00:00"), None]}),
    ("event list", {**WATCHER, "events": [event("10:00:00"), []]}),
    ("event without timestamp", {**WATCHER, "events": [event("10:00:00"), {"data": {}}]}),
    ("event timestamp", {**WATCHER, "events": [event("10:00:00"), {"timestamp": "2024-02-30"}]}),
    ("event duration", {**WATCHER, "events": [event("10:00:00"), {"timestamp": at("10:00:00"), "duration": "5"}]}),
    ("event data", {**WATCHER, "events": [event("10:00:00"), {"timestamp": at("10:00:00"), "data": []}]}),
]


@pytest.mark.parametrize(("what", "bad"), BAD_BUCKETS, ids=[what for what, _ in BAD_BUCKETS])
@pytest.mark.parametrize("last", [True, False])
def test_one_bad_bucket_or_event_refuses_the_whole_import(
    api: Api, bucket: str, name: str, what: str, bad: Any, last: bool
) -> None:
    """The message says where; no bucket is made, no event is stored, whatever comes before or after the bad one."""
    good = {
        bucket: {**WATCHER, "events": [event("10:00:00")]},
        f"{name}-new": {**WATCHER, "events": [event("10:00:00")]},
    }
    buckets = {**good, f"{name}-bad": bad} if last else {f"{name}-bad": bad, **good}
    before = api.get("/buckets/")
    error = api.refused("POST", "/import", {"buckets": buckets}, word="BadRequest")
    assert f"{name}-bad" in error["message"]
    assert api.get("/buckets/") == before
    assert api.events(bucket) == []


@pytest.mark.parametrize(
    "body", [{}, [], None, "x", 5, {"bucket": {}}, {"buckets": None}, {"buckets": []}, {"buckets": "x"}, {"buckets": 5}]
)
def test_a_document_without_buckets_is_refused(api: Api, body: Any) -> None:
    api.refused("POST", "/import", body, word="BadRequest")


# --- forms


@pytest.mark.parametrize(
    "headers",
    [
        part(),
        part(content_type="application/json"),
        part(content_type="application/octet-stream"),
        part(content_type="text/plain; charset=utf-8"),
        part(file_name=None),
        part(name="anything", file_name="../../etc/passwd"),
        part(name="buckets", file_name="Übung.json"),
        "Content-Disposition: form-data; name=plain",
        "content-disposition:form-data;name=x;filename=y",
    ],
)
def test_every_part_of_a_form_is_a_document_whatever_its_name(api: Api, name: str, headers: str) -> None:
    """With or without a file name: the web UI calls it `buckets.json`."""
    contents = json.dumps(document(name, event("10:00:00", 60))).encode()
    assert send_form(api, (headers, contents)) is None
    assert shown(api, name) == [event("10:00:00", 60)]


def test_all_parts_of_a_form_are_imported(api: Api, name: str) -> None:
    documents = [json.dumps(document(f"{name}-{n}", event(f"10:0{n}:00"))).encode() for n in range(5)]
    assert send_form(api, *((part(name=f"file{n % 2}"), one) for n, one in enumerate(documents))) is None
    assert [shown(api, f"{name}-{n}") for n in range(5)] == [[event(f"10:0{n}:00")] for n in range(5)]


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"{",
        b"not json",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"buckets": {"x": {}}}',
        b'{"buckets": {"x": {"events": [{}]}}}',
    ],
)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_one_bad_part_refuses_the_whole_form(api: Api, name: str, bad: bytes, position: int) -> None:
    parts = [(part(), json.dumps(document(f"{name}-{n}", event("10:00:00"))).encode()) for n in range(2)]
    parts.insert(position, (part(), bad))
    before = api.get("/buckets/")
    body = form(*parts)
    api.refused("POST", "/import", body, content_type=f"multipart/form-data; boundary={BOUNDARY}", word="BadRequest")
    assert api.get("/buckets/") == before


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (f"multipart/form-data; boundary={BOUNDARY}", form()),
        (f"multipart/form-data; boundary={BOUNDARY}", b""),
        (f"multipart/form-data; boundary={BOUNDARY}", b'{"buckets": {}}'),
        (f"multipart/form-data; boundary={BOUNDARY}", b"--other\r\n\r\n{}\r\n--other--\r\n"),
        ("multipart/form-data", form((part(), b'{"buckets": {}}'))),
        ("multipart/form-data; boundary=", form((part(), b'{"buckets": {}}'))),
        (f"multipart/form-data; boundary={BOUNDARY}", f"--{BOUNDARY}\r\n".encode()),
        (
            f"multipart/form-data; boundary={BOUNDARY}",
            f"--{BOUNDARY}\r\nbroken header\r\n\r\n{{\r\n--{BOUNDARY}--".encode(),
        ),
    ],
)
def test_a_form_without_a_part_or_a_boundary_is_refused(api: Api, content_type: str, body: bytes) -> None:
    api.refused("POST", "/import", body, content_type=content_type, word="BadRequest")


def test_a_form_of_several_megabytes_is_taken(api: Api, name: str) -> None:
    events = [event("10:00:00", n / 1000, {"text": "x" * 400}) for n in range(6000)]
    contents = json.dumps(document(name, *events)).encode()
    assert len(contents) > 2 * 2**20
    assert send_form(api, (part(), contents)) is None
    assert api.count(name) == 6000
    assert send_form(api, (part(), contents)) is None
    assert api.count(name) == 6000
    api.ok("DELETE", f"/buckets/{name}")


# --- sources


def test_an_export_of_the_python_server_is_taken(api: Api, name: str) -> None:
    """No ids, `name` null, `last_updated` and milliseconds."""
    made: dict[str, Any] = {
        "id": name,
        "created": "2024-04-30T09:59:58.120000+00:00",
        "name": None,
        "type": "currentwindow",
        "client": "aw-watcher-window",
        "hostname": "desk",
        "data": {},
        "last_updated": "2024-05-01T10:00:12.250000+00:00",
        "events": [
            {"timestamp": "2024-05-01T10:00:00.250000+00:00", "duration": 12.0, "data": {"app": "vim", "title": "t"}},
            {"timestamp": "2024-05-01T09:00:00+00:00", "duration": 0.0, "data": {"app": "vim", "title": "u"}},
        ],
    }
    assert api.post("/import", {"buckets": {name: made}}) is None
    assert shown(api, name) == made["events"]
    assert api.bucket(name)["created"] == made["created"]


def test_an_export_of_the_rust_server_is_taken(api: Api, name: str) -> None:
    """Ids, `metadata`, `last_updated` null, `Z`, nanoseconds."""
    made: dict[str, Any] = {
        "id": name,
        "type": "afkstatus",
        "client": "aw-watcher-afk",
        "hostname": "desk",
        "created": "2024-04-30T09:59:58.120999999Z",
        "data": {},
        "metadata": {"start": "2024-05-01T10:00:00Z", "end": None},
        "events": [
            {
                "id": 1,
                "timestamp": "2024-05-01T10:00:00.123456789Z",
                "duration": 12.000000499,
                "data": {"status": "afk"},
            },
            {"id": 2, "timestamp": "2024-05-01T09:00:00Z", "duration": 0.0, "data": {"status": "not-afk"}},
        ],
        "last_updated": None,
    }
    assert api.post("/import", {"buckets": {name: made}}) is None
    assert shown(api, name) == [
        {"timestamp": at("10:00:00.123456"), "duration": 12.0, "data": {"status": "afk"}},
        {"timestamp": at("09:00:00"), "duration": 0.0, "data": {"status": "not-afk"}},
    ]
    assert api.bucket(name)["created"] == "2024-04-30T09:59:58.120999+00:00"
    assert api.post("/import", {"buckets": {name: made}}) is None
    assert api.count(name) == 2


def test_an_import_is_still_there_after_a_crash(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        api = Api(server)
        api.post("/import", document("b", *(event(f"10:00:{n:02}") for n in range(60)), name="n", data={"a": 1}))
        before = api.everything()
        server.kill()
        server.start()
        assert api.everything() == before
