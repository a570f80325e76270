"""Section 2: `data`, which comes back equal to what came in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.wire import WATCHER, Api, at, event, q, same, strict_json

DIGITS_MAX = 4300
NESTING_MAX = 500


def nested(levels: int) -> bytes:
    """A JSON object that is `levels` deep, counting itself."""
    return b'{"a": ' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


def raw_event(data: bytes) -> bytes:
    return b'{"timestamp": "2024-05-01T10:00:00Z", "data": ' + data + b"}"


KEPT: list[Any] = [
    {},
    {"": ""},
    {"": {"": {"": None}}},
    {"a": [], "b": {}, "c": [[]], "d": [{}]},
    {"a": None, "b": True, "c": False, "d": 0, "e": 1, "f": "1", "g": "true"},
    {"mixed": [1, 1.5, "1", True, None, {"x": [2]}]},
    {"n": 2**53}, {"n": 2**53 + 1}, {"n": 2**63 - 1}, {"n": 2**63}, {"n": 2**64}, {"n": -(2**63) - 1},
    {"n": 10**100}, {"n": -(10**100)}, {"n": [2**64 + 1, {"m": 3**200}]},
    {"f": 0.1}, {"f": 1.7976931348623157e308}, {"f": 5e-324}, {"f": -1e-7}, {"f": 1e22}, {"f": 123456789.123456789},
    {"t": "tab\t line\n return\r quote\" back\\ slash/ nul\0 escape\x1b del\x7f"},
    {"t": "Grüße, 世界, \U0001f600, \u2028, \ufffe, \U0010ffff, e\u0301"},
    {"\u00e9": 1, "e\u0301": 2, "\U0001f600": 3, "a.b": 4, "$x": 5, "a\0b": 6},
    {"t": "x" * 100_000},
    {"list": list(range(5000))},
    {"wide": [[] for _ in range(5000)]},
    {"brackets": "[" * 5000 + "\\\"{" * 100},
    {"__proto__": {"id": 1}, "id": "mine", "timestamp": "mine", "duration": "mine", "data": {"data": {}}},
]  # fmt: skip


@pytest.mark.parametrize("data", KEPT, ids=lambda data: json.dumps(data)[:40])
def test_data_comes_back_as_it_came_in(api: Api, bucket: str, data: dict[str, Any]) -> None:
    """Integers of any size, floats, empty keys, nested values: by every way of writing and every way of reading."""
    stored = api.post(f"/buckets/{bucket}/events", {"timestamp": at("10:00:00"), "data": data})
    assert same(stored["data"], data)
    (listed,) = api.insert(bucket, {"timestamp": at("10:01:00"), "data": data})
    assert same(listed["data"], data)
    beat = api.beat(bucket, {"timestamp": at("10:02:00"), "data": data}, pulsetime=-1)
    assert same(beat["data"], data)
    assert same(api.get(f"/buckets/{bucket}/events/{stored['id']}")["data"], data)
    assert all(same(one["data"], data) for one in api.events(bucket))
    exported = api.get(f"/buckets/{bucket}/export")["buckets"][bucket]
    assert [same(one["data"], data) for one in exported["events"]] == [True, True, True]
    api.post("/import", {"buckets": {f"{bucket}-in": {**exported, "id": f"{bucket}-in"}}})
    assert [same(one["data"], data) for one in api.events(f"{bucket}-in")] == [True, True, True]


@pytest.mark.parametrize("data", KEPT[:12], ids=lambda data: json.dumps(data)[:40])
def test_the_data_of_a_bucket_is_kept_as_well(api: Api, name: str, data: dict[str, Any]) -> None:
    api.create(name, data=data)
    assert same(api.bucket(name)["data"], data)
    assert same(api.get(f"/buckets/{name}/export")["buckets"][name]["data"], data)


@pytest.mark.parametrize("body", [{"timestamp": at("10:00:00")}, {"timestamp": at("10:00:00"), "data": None}])
def test_no_data_is_an_empty_object(api: Api, bucket: str, body: dict[str, Any]) -> None:
    assert api.post(f"/buckets/{bucket}/events", body)["data"] == {}
    assert api.beat(bucket, body)["data"] == {}
    api.post("/import", {"buckets": {f"{bucket}-in": {**WATCHER, "events": [body]}}})
    assert [one["data"] for one in api.events(f"{bucket}-in")] == [{}]


@pytest.mark.parametrize("bad", [[], [{}], "", "{}", 0, 1.5, True, False])
def test_data_is_an_object_and_nothing_else(api: Api, bucket: str, name: str, bad: Any) -> None:
    """Of an event, a heartbeat, a bucket, an imported bucket or event."""
    body = {"timestamp": at("10:00:00"), "data": bad}
    api.refused("POST", f"/buckets/{bucket}/events", body, word="BadRequest")
    api.refused("POST", f"/buckets/{bucket}/events", [body], word="BadRequest")
    api.refused("POST", f"/buckets/{bucket}/heartbeat?pulsetime=1", body, word="BadRequest")
    api.refused("POST", f"/buckets/{name}-new", {**WATCHER, "data": bad}, word="BadRequest")
    api.refused("PUT", f"/buckets/{bucket}", {"data": bad}, word="BadRequest")
    api.refused("POST", "/import", {"buckets": {f"{name}-new": {**WATCHER, "data": bad}}}, word="BadRequest")
    api.refused("POST", "/import", {"buckets": {f"{name}-new": {**WATCHER, "events": [body]}}}, word="BadRequest")
    api.refused("GET", f"/buckets/{name}-new", status=404)
    assert api.events(bucket) == []
    assert api.bucket(bucket)["data"] == {}


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (rb'"\ud83d"', "\ufffd"),
        (rb'"\uD83D"', "\ufffd"),
        (rb'"\ude00"', "\ufffd"),
        (rb'"Title \ud83d"', "Title \ufffd"),
        (rb'"\ud83d tail"', "\ufffd tail"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'"\uD83D\uDE00"', "\U0001f600"),
        (rb'"\ud83d\u0041"', "\ufffdA"),
        (rb'"\ud83d\n"', "\ufffd\n"),
        (rb'"\ud83d\\ude00"', "\ufffd\\ude00"),
        (rb'"\\ud83d"', "\\ud83d"),
        (rb'"\\\ud83d"', "\\\ufffd"),
        (rb'"\\\\ud83d"', "\\\\ud83d"),
        (rb'"\\\"\ud83d"', '\\"\ufffd'),
    ],
)
def test_half_a_character_is_stored_as_the_replacement_character(
    api: Api, bucket: str, written: bytes, kept: str
) -> None:
    """Windows titles cut in half: a lone surrogate escape becomes U+FFFD, a whole pair and a mere look-alike stay."""
    for raw in (raw_event(b'{"t": %s}' % written), raw_event(b'{"t": [{"deep": %s}]}' % written)):
        stored = api.post(f"/buckets/{bucket}/events", raw)
        assert stored["data"]["t"] in (kept, [{"deep": kept}])
        assert api.get(f"/buckets/{bucket}/events/{stored['id']}") == stored
    keyed = api.post(f"/buckets/{bucket}/heartbeat?pulsetime=1", raw_event(b"{%s: 1}" % written))
    assert keyed["data"] == {kept: 1}
    again = api.post(f"/buckets/{bucket}/heartbeat?pulsetime=1", raw_event(b"{%s: 1}" % written))
    assert again == keyed


def test_half_a_character_is_taken_in_every_text(api: Api, name: str) -> None:
    """In the fields and the data of a bucket, in a setting, in an import."""
    fields = rb'"type": "t\ud83d", "client": "c\ude00", "hostname": "h\ud83d", "name": "n\ud83d"'
    fields += rb', "data": {"k\ud83d": "v\ud83d"}'
    api.post(f"/buckets/{name}", b"{%s}" % fields)
    expected = {
        "type": "t\ufffd",
        "client": "c\ufffd",
        "hostname": "h\ufffd",
        "name": "n\ufffd",
        "data": {"k\ufffd": "v\ufffd"},
    }
    assert {key: api.bucket(name)[key] for key in expected} == expected
    assert api.post(f"/settings/{name}", rb'{"a": ["\ud83d"]}') == {"a": ["\ufffd"]}
    assert api.get(f"/settings/{name}") == {"a": ["\ufffd"]}
    api.post("/import", b'{"buckets": {"%s-in": {%s}}}' % (name.encode(), fields))
    assert {key: api.bucket(f"{name}-in")[key] for key in expected} == expected


@pytest.mark.parametrize(
    "number", [b"1e400", b"-1e400", b"1e309", b"9" * 400 + b".5", b"NaN", b"Infinity", b"-Infinity"]
)
def test_a_number_beyond_a_double_is_refused(api: Api, bucket: str, name: str, number: bytes) -> None:
    """It could not be written again as strict JSON."""
    for data in (b'{"n": %s}' % number, b'{"n": [[%s]]}' % number):
        api.refused("POST", f"/buckets/{bucket}/events", raw_event(data), word="BadRequest")
        api.refused("POST", f"/buckets/{bucket}/events", b"[%s]" % raw_event(data), word="BadRequest")
        api.refused("POST", f"/buckets/{bucket}/heartbeat?pulsetime=1", raw_event(data), word="BadRequest")
        api.refused("PUT", f"/buckets/{bucket}", b'{"data": %s}' % data, word="BadRequest")
        api.refused("POST", f"/settings/{name}", data, word="BadRequest")
        fields = b'"type": "t", "client": "c", "hostname": "h"'
        document = b'{"buckets": {"%s": {%s, "events": [%s]}}}' % (bucket.encode(), fields, raw_event(data))
        api.refused("POST", "/import", document, word="BadRequest")
    assert api.events(bucket) == []
    assert api.get(f"/settings/{name}") is None


@pytest.mark.parametrize("number", [b"7" * DIGITS_MAX, b"-" + b"7" * (DIGITS_MAX - 1)])
def test_an_integer_has_at_most_4300_characters(api: Api, bucket: str, number: bytes) -> None:
    """A sign is one of them. So many are kept to the last one; one digit more is a 400."""
    stored = api.post(f"/buckets/{bucket}/events", raw_event(b'{"n": %s}' % number))
    assert str(stored["data"]["n"]).encode() == number
    assert api.get(f"/buckets/{bucket}/events/{stored['id']}") == stored
    for route in ("events", "heartbeat?pulsetime=1"):
        body = raw_event(b'{"n": %s7}' % number)
        api.refused("POST", f"/buckets/{bucket}/{route}", body, word="BadRequest")
    assert api.count(bucket) == 1


def test_a_document_500_levels_deep_can_be_stored_and_read(api: Api, bucket: str, name: str) -> None:
    """The event itself is one of the levels."""
    data = nested(NESTING_MAX - 1)
    stored = api.post(f"/buckets/{bucket}/events", raw_event(data))
    assert stored["data"] == json.loads(data)
    api.post(f"/buckets/{bucket}/heartbeat?pulsetime=1", raw_event(data))
    assert api.events(bucket) == [stored]
    assert api.get(f"/buckets/{bucket}/export")["buckets"][bucket]["events"][0]["data"] == stored["data"]
    assert api.post(f"/settings/{name}", nested(NESTING_MAX)) == json.loads(nested(NESTING_MAX))
    assert api.get("/settings")[name] == json.loads(nested(NESTING_MAX))


@pytest.mark.parametrize("levels", [NESTING_MAX + 1, 2000, 100_000])
def test_a_document_nested_deeper_is_refused(api: Api, bucket: str, name: str, levels: int) -> None:
    """As a refusal, not as a crash: in arrays, objects and a mix, closed or not."""
    deep = [
        nested(levels),
        b'{"a": ' * levels + b"1" + b"}" * levels,
        b'{"a": [' * (levels // 2 + 1) + b"]}" * (levels // 2 + 1),
    ]
    for data in deep:
        api.refused("POST", f"/buckets/{bucket}/events", raw_event(data), word="BadRequest")
        api.refused("POST", f"/buckets/{bucket}/events", b"[%s]" % raw_event(data), word="BadRequest")
        api.refused("POST", f"/buckets/{bucket}/heartbeat?pulsetime=1", raw_event(data), word="BadRequest")
        api.refused("PUT", f"/buckets/{bucket}", b'{"data": %s}' % data, word="BadRequest")
        api.refused("POST", f"/settings/{name}", data, word="BadRequest")
    for text in (b"[" * levels, b'{"a":' * levels, b"[" * levels + b"]" * levels):
        for route in (f"/buckets/{bucket}/events", f"/buckets/{bucket}/heartbeat?pulsetime=1", "/import"):
            api.refused("POST", route, text, word="BadRequest")
    assert api.events(bucket) == []
    assert api.bucket(bucket)["data"] == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"[",
        b'{"timestamp": "2024-05-01"',
        b'{"timestamp": "2024-05-01"}}',
        b'{"timestamp": "2024-05-01"} {}',
        b"{'timestamp': '2024-05-01'}",
        b'{"timestamp": "2024-05-01",}',
        b'{timestamp: "2024-05-01"}',
        b'{"timestamp": "2024-05-01", "data": {"a": \x00}}',
        b'{"timestamp": "2024-05-01", "data": {"a": "raw \n line"}}',
        b'{"timestamp": "2024-05-01", "data": {"a": "\\x41"}}',
        b'{"timestamp": "2024-05-01", "data": {"a": "\\u12"}}',
        b'{"timestamp": "2024-05-01", "data": {"a": "\xff"}}',
        b'{"timestamp": "2024-05-01", "data": {"a": "\xed\xa0\xbd"}}',
        b'{"timestamp": "2024-05-01", "data": {"\xc3\x28": 1}}',
        '{"timestamp": "2024-05-01"}'.encode("utf-16"),
        '{"timestamp": "2024-05-01", "data": {"a": "ä"}}'.encode("latin-1"),
        b'{"timestamp": "2024-05-01", "data": {"a": truE}}',
        b'{"timestamp": "2024-05-01", "data": {"a": undefined}}',
        b"\x00\x01\x02",
    ],
)
def test_what_is_no_json_in_utf8_is_refused(api: Api, bucket: str, body: bytes) -> None:
    """Nothing is guessed, nothing is mended, nothing is stored."""
    for route in (f"/buckets/{bucket}/events", f"/buckets/{bucket}/heartbeat?pulsetime=1"):
        api.refused("POST", route, body, word="BadRequest")
    assert api.events(bucket) == []


def test_a_byte_order_mark_does_not_break_the_answer(api: Api, bucket: str) -> None:
    """RFC 8259 leaves it open whether one is taken; if it is, the event is whole."""
    answer = api.call("POST", f"/buckets/{bucket}/events", b"\xef\xbb\xbf" + raw_event(b'{"a": 1}'))
    assert answer.status in {200, 400}
    assert [one["data"] for one in api.events(bucket)] == ([{"a": 1}] if answer.status == 200 else [])


def test_an_answer_is_strict_json_with_the_keys_of_an_event(api: Api, bucket: str) -> None:
    """`id`, `timestamp`, `duration`, `data`, and nothing besides."""
    stored = api.post(f"/buckets/{bucket}/events", event("10:00:00.250000", 12.5, {"app": "vim"}))
    assert {key: stored[key] for key in ("timestamp", "duration", "data")} == {
        "timestamp": at("10:00:00.250000"),
        "duration": 12.5,
        "data": {"app": "vim"},
    }
    assert stored.keys() == {"id", "timestamp", "duration", "data"}
    answer = api.call("GET", f"/buckets/{q(bucket)}/events/{stored['id']}")
    assert answer.headers.get_content_type() == "application/json"
    assert strict_json(answer.body) == stored
