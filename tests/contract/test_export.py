"""Section 10: export."""

from __future__ import annotations

from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.contract.wire import Api, at, event, exchange, q
from tests.server import Reply, Server

FIELDS = {"id", "name", "type", "client", "hostname", "created", "data", "events"}


def file_name(answer: Reply) -> str:
    """What a browser would call the file."""
    parsed = Message()
    parsed["Content-Disposition"] = answer.headers["Content-Disposition"]
    assert parsed.get_content_disposition() == "attachment"
    name = parsed.get_filename()
    assert name is not None
    return name


def test_an_exported_bucket_has_its_fields_and_its_events_without_ids(api: Api, name: str) -> None:
    """All of them, newest first with ties by arrival, uncut; neither `metadata` nor `last_updated`."""
    api.create(name, name="Window", data={"a": [1]}, created="2020-01-02T03:04:05.678901Z")
    ordered = [
        event("11:00:00", 1, {"n": 4}),
        event("10:00:00", 3600, {"n": 1}),
        event("10:00:00", 0, {"n": 2}),
        event("09:00:00", 0.5, {"n": 3}),
    ]
    api.insert(name, ordered[1], ordered[2], ordered[0], ordered[3])
    exported = api.get(f"/buckets/{name}/export")
    assert exported.keys() == {"buckets"}
    assert exported["buckets"].keys() == {name}
    value = exported["buckets"][name]
    assert value.keys() == FIELDS
    assert value["events"] == ordered
    assert value == {**{key: api.bucket(name)[key] for key in FIELDS - {"events"}}, "events": ordered}
    assert (value["name"], value["data"], value["created"]) == (
        "Window",
        {"a": [1]},
        "2020-01-02T03:04:05.678901+00:00",
    )


def test_the_export_of_all_has_every_bucket_as_exported_alone(api: Api, bucket: str, other: str) -> None:
    api.insert(bucket, event("10:00:00"))
    exported = api.get("/export")
    assert exported.keys() == {"buckets"}
    assert exported["buckets"].keys() == api.get("/buckets/").keys()
    for one in (bucket, other):
        assert exported["buckets"][one] == api.get(f"/buckets/{one}/export")["buckets"][one]
    assert exported["buckets"][other]["events"] == []


def test_a_range_or_a_limit_does_not_cut_an_export(api: Api, bucket: str) -> None:
    api.insert(bucket, event("10:00:00", 3600), event("12:00:00"))
    query = {"start": at("10:30:00"), "end": at("10:31:00"), "limit": 1}
    assert api.get(f"/buckets/{bucket}/export", **query) == api.get(f"/buckets/{bucket}/export")


def test_an_export_is_a_file_to_save(api: Api, bucket: str) -> None:
    answer = api.call("GET", "/export")
    assert answer.headers["Content-Disposition"].replace('"', "") == "attachment; filename=aw-buckets-export.json"
    assert answer.headers.get_content_type() == "application/json"
    answer = api.call("GET", f"/buckets/{bucket}/export")
    assert file_name(answer) == f"aw-bucket-export_{bucket}.json"
    assert answer.headers.get_content_type() == "application/json"


@pytest.mark.parametrize(
    "odd",
    [
        "with space",
        'with "quotes"',
        "semi;colon; filename=evil.json",
        "comma, equals=",
        "back\\slash",
        "per%cent %41",
        "apostrophe'",
        "Übung",
        "世界 \U0001f600",
        "\u0085\u2028",
        "<script>",
        "*?|:",
        "ä" * 512,
    ],
)
def test_an_odd_bucket_id_still_gives_a_valid_header(api: Api, odd: str) -> None:
    """Plain ASCII in one line, and the whole name in `filename*`."""
    api.create(odd)
    answer = exchange(api.server, "GET", f"/api/0/buckets/{q(odd)}/export")
    header = answer.headers["Content-Disposition"]
    assert all(0x20 <= ord(char) < 0x7F for char in header)
    assert header.startswith("attachment; filename=")
    _, mark, extended = header.partition("filename*=UTF-8''")
    assert mark, header
    assert unquote(extended.split(";")[0].strip(), errors="strict") == f"aw-bucket-export_{odd}.json"
    assert file_name(answer).endswith(".json")
    assert len(answer.headers.get_all("Content-Disposition", [])) == 1
    api.ok("DELETE", f"/buckets/{q(odd)}")


@pytest.mark.parametrize("odd", ["a/b", "../../x", "a\\..\\b", "/etc/passwd", "."])
def test_a_bucket_id_like_a_path_gives_a_valid_header(api: Api, odd: str) -> None:
    """S7: whatever the name is, it is one header of one line."""
    api.create(odd)
    answer = exchange(api.server, "GET", f"/api/0/buckets/{q(odd)}/export")
    assert answer.status == 200
    assert all(0x20 <= ord(char) < 0x7F for char in answer.headers["Content-Disposition"])
    assert file_name(answer).endswith(".json")
    api.ok("DELETE", f"/buckets/{q(odd)}")


def test_a_line_break_in_a_path_splits_no_header(api: Api) -> None:
    """S7: no header of the requester's making, in the refusal either."""
    answer = exchange(api.server, "GET", "/api/0/buckets/x%0d%0aSet-Cookie:%20a=b/export")
    assert answer.status == 404
    assert "Set-Cookie" not in answer.headers


def test_what_was_exported_can_be_imported_elsewhere(api: Api, bucket: str, tmp_path: Path) -> None:
    """Everything but ids: the export of the copy is equal to the first one (B5)."""
    api.ok("PUT", f"/buckets/{bucket}", {"name": "Copy me", "data": {"a": [1, {"b": None}]}})
    odd: list[dict[str, Any]] = [
        {"timestamp": "0001-01-01", "data": {"n": 10**50}},
        {"timestamp": "9999-12-31T23:59:59.999999Z", "data": {"t": "\U0001f600 \u2028"}},
        event("10:00:00.000001", 0.000001),
        event("10:00:00", 60),
        event("10:00:00", 60),
    ]
    api.insert(bucket, *odd)
    exported = api.get(f"/buckets/{bucket}/export")
    with Server(tmp_path / "data") as server:
        copy = Api(server)
        assert copy.post("/import", exported) is None
        assert copy.get("/export") == exported
        assert copy.post("/import", exported) is None
        assert copy.get("/export") == exported


def test_exporting_an_unknown_bucket_is_404(api: Api, name: str) -> None:
    api.refused("GET", f"/buckets/{name}/export", status=404, word="NoSuchBucket")
