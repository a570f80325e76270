"""Many heartbeats in one request: a list to one bucket, and a stream of lines to any."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.wire import Api, Wire, at, event, q, request_bytes, strict_json
from tests.server import Server

NDJSON = "application/x-ndjson"


def line(bucket: str, clock: str, data: dict[str, Any] | None = None, pulsetime: float = 10) -> dict[str, Any]:
    return {"bucket": bucket, "pulsetime": pulsetime, "event": event(clock, data=data)}


def ndjson(*lines: Any) -> bytes:
    return b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in lines)


def send(api: Api, *lines: Any, headers: dict[str, str] | None = None, **query: Any) -> dict[str, Any]:
    value = api.post("/heartbeats", ndjson(*lines), content_type=NDJSON, headers=headers, **query)
    assert isinstance(value, dict)
    return value


def numbered(producer: str, sequence: int) -> dict[str, str]:
    return {"Awlog-Producer": producer, "Awlog-Sequence": str(sequence)}


def counts(taken: dict[str, Any]) -> tuple[int, int, int]:
    return taken["merged"], taken["inserted"], taken["refused_count"]


# A list to one bucket


def test_a_list_comes_to_what_its_heartbeats_come_to_one_by_one(api: Api, bucket: str, other: str):
    """Section 8's own example, in one request and in eight."""
    clocks = ["10:00:00", "10:00:07", "10:00:17", "10:00:05", "09:59:00", "09:59:00", "10:00:20"]
    beats = [*(event(clock) for clock in clocks), event("10:00:21", data={"s": 2})]
    taken = api.post(f"/buckets/{bucket}/heartbeats", beats, pulsetime=10)
    for beat in beats:
        api.beat(other, beat)
    assert counts(taken) == (5, 3, 0)
    without_ids = [
        [{key: value for key, value in one.items() if key != "id"} for one in api.events(name)]
        for name in (bucket, other)
    ]
    assert without_ids[0] == without_ids[1]


def test_a_heartbeat_of_a_list_may_carry_its_own_pulsetime(api: Api, bucket: str):
    """It goes before that of the query; with neither it is refused."""
    beats = [event("10:00:00"), {**event("10:00:05"), "pulsetime": 1}, {**event("10:00:10"), "pulsetime": 5}]
    assert counts(api.post(f"/buckets/{bucket}/heartbeats", beats, pulsetime=60)) == (1, 2, 0)
    taken = api.post(f"/buckets/{bucket}/heartbeats", [event("10:00:11"), {**event("10:00:11"), "pulsetime": 5}])
    assert counts(taken) == (1, 0, 1)
    assert taken["refused"][0]["index"] == 0


@pytest.mark.parametrize(
    "bad",
    [
        5,
        None,
        "text",
        [],
        {},
        {"timestamp": 5},
        {"timestamp": "canary"},
        {"timestamp": at("10:00:00"), "data": ["canary"]},
        {"timestamp": at("10:00:00"), "duration": "canary"},
        {"timestamp": at("10:00:00"), "pulsetime": "canary"},
    ],
)
def test_a_bad_element_is_named_and_stops_no_other(api: Api, bucket: str, bad: Any):
    """By its index, with a type and a message that holds nothing of it."""
    taken = api.post(f"/buckets/{bucket}/heartbeats", [event("10:00:00"), bad, event("10:00:05")], pulsetime=10)
    assert counts(taken) == (1, 1, 1)
    (refused,) = taken["refused"]
    assert (refused["index"], refused["type"]) == (1, "BadRequest")
    assert "canary" not in refused["message"]
    assert [one["duration"] for one in api.events(bucket)] == [5.0]


@pytest.mark.parametrize("body", [b"{}", b"5", b"[", b"[1,]", b"", event("10:00:00")])
def test_what_is_no_list_is_refused_as_a_whole(api: Api, bucket: str, body: Any):
    api.refused("POST", f"/buckets/{bucket}/heartbeats", body, pulsetime=10)
    assert api.events(bucket) == []


def test_a_list_to_no_bucket_is_refused_as_a_whole(api: Api, name: str):
    api.refused(
        "POST", f"/buckets/{name}/heartbeats", [event("10:00:00")], status=404, word="NoSuchBucket", pulsetime=1
    )
    api.refused("POST", f"/buckets/{name}/heartbeats", [], status=404, word="NoSuchBucket", pulsetime=1)


def test_an_empty_list_changes_nothing(api: Api, bucket: str):
    assert counts(api.post(f"/buckets/{bucket}/heartbeats", [])) == (0, 0, 0)


def test_a_long_list_names_a_hundred_of_its_refusals_and_counts_them_all(api: Api, bucket: str):
    taken = api.post(f"/buckets/{bucket}/heartbeats", [{}] * 250 + [event("10:00:00")] * 5000, pulsetime=1)
    assert counts(taken) == (4999, 1, 250)
    assert [refused["index"] for refused in taken["refused"]] == list(range(100))


# Lines to any bucket


def test_lines_go_each_to_its_bucket_in_their_order(api: Api, bucket: str, other: str):
    taken = send(
        api, line(bucket, "10:00:00"), line(other, "10:00:03"), line(bucket, "10:00:05"), line(other, "10:30:00")
    )
    assert taken == {"durable": 4, "merged": 1, "inserted": 3, "duplicates": 0, "refused_count": 0, "refused": []}
    assert [one["duration"] for one in api.events(bucket)] == [5.0]
    assert [one["timestamp"] for one in api.events(other)] == [at("10:30:00"), at("10:00:03")]


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (b"canary", "BadRequest"),
        (b"{", "BadRequest"),
        (b"5", "BadRequest"),
        (b"\xff\xfe canary", "BadRequest"),
        (b'{"canary": ' + b"[" * 100_000, "BadRequest"),
        ({"event": event("10:00:00"), "pulsetime": 1}, "BadRequest"),
        ({"bucket": 5, "event": event("10:00:00"), "pulsetime": 1}, "BadRequest"),
        ({"bucket": "{bucket}", "event": event("10:00:00")}, "BadRequest"),
        ({"bucket": "{bucket}", "event": event("10:00:00"), "pulsetime": "canary"}, "BadRequest"),
        ({"bucket": "{bucket}", "event": {"timestamp": "canary"}, "pulsetime": 1}, "BadRequest"),
        (
            {"bucket": "{bucket}", "event": {"timestamp": at("10:00:00"), "data": "canary"}, "pulsetime": 1},
            "BadRequest",
        ),
        (
            {"bucket": "no such bucket", "event": event("10:00:00", data={"t": "canary"}), "pulsetime": 1},
            "NoSuchBucket",
        ),
    ],
)
def test_a_bad_line_is_named_and_stops_no_other(api: Api, bucket: str, bad: Any, word: str):
    """By its number; its message holds nothing of what was recorded."""
    if isinstance(bad, dict) and bad.get("bucket") == "{bucket}":
        bad = {**bad, "bucket": bucket}
    taken = send(api, line(bucket, "10:00:00"), bad, line(bucket, "10:00:05"))
    assert counts(taken) == (1, 1, 1)
    (refused,) = taken["refused"]
    assert (refused["line"], refused["type"]) == (2, word)
    assert "canary" not in refused["message"]


def test_empty_lines_are_passed_over_and_counted(api: Api, bucket: str):
    """Also lines that end as on Windows, and a last line without an end."""
    first, last = ndjson(line(bucket, "10:00:00")), ndjson(line(bucket, "10:00:05"))
    body = b"\n" + first.replace(b"\n", b"\r\n") + b"  \n" + b"bad\n" + last
    taken = api.post("/heartbeats", body[:-1], content_type=NDJSON)
    assert (taken["durable"], counts(taken), taken["refused"][0]["line"]) == (5, (1, 1, 1), 4)


def test_two_heartbeats_on_a_line_or_one_on_two_are_bad_lines(api: Api, bucket: str):
    """A line is a heartbeat: its number would mean nothing else."""
    one, two, three = (json.dumps(line(bucket, clock)).encode() for clock in ("10:00:00", "10:00:01", "10:00:02"))
    taken = send(api, one + b" " + two, three[:20], three[20:], one)
    assert [refused["line"] for refused in taken["refused"]] == [1, 2, 3]
    assert counts(taken) == (0, 1, 3)


def test_an_empty_stream_changes_nothing(api: Api):
    assert counts(api.post("/heartbeats", b"", content_type=NDJSON)) == (0, 0, 0)


def test_half_surrogates_are_mended_as_everywhere(api: Api, bucket: str):
    send(
        api,
        b'{"bucket":"%b","pulsetime":1,"event":{"timestamp":"2024-05-01","data":{"t":"\\ud83d"}}}' % bucket.encode(),
    )
    assert api.events(bucket)[0]["data"] == {"t": "\ufffd"}


def test_a_stream_is_longer_than_any_body_may_be(tmp_path):
    """Its length has no limit; that of a line has, and the line that is too long stops no other."""
    with Server(tmp_path / "data", "--max-body-bytes", "1000") as server:
        api = Api(server)
        api.create("b")
        long = line("b", "10:00:01", {"t": "x" * 1000})
        lines = [line("b", f"10:{at // 60:02}:{at % 60:02}") for at in range(1000)]
        taken = send(api, *lines[:500], long, *lines[500:])
        assert counts(taken) == (999, 1, 1)
        (refused,) = taken["refused"]
        assert (refused["line"], refused["type"]) == (501, "PayloadTooLarge")
        assert "max_body_bytes" in refused["message"]
        assert len(api.events("b")) == 1


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", None])
def test_lines_must_say_what_they_are(api: Api, content_type: str | None):
    api.refused("POST", "/heartbeats", b"", status=415, word="UnsupportedMediaType", content_type=content_type)


def test_acknowledgements_come_by_chunk_if_asked_for(api: Api, bucket: str):
    """Lines of JSON: up to which line all are durable, and the counts since the last one; at the end those of all."""
    lines = [line(bucket, f"1{n // 3600}:{n // 60 % 60:02}:{n % 60:02}", {"n": n // 20}) for n in range(3000)]
    lines[1234] = {}
    answer = api.call("POST", "/heartbeats?acks=chunk", ndjson(*lines), content_type=NDJSON)
    assert (answer.status, answer.headers.get_content_type()) == (200, NDJSON)
    *acks, last = [strict_json(text) for text in answer.body.splitlines()]
    assert len(acks) > 1
    assert [ack["durable"] for ack in acks] == sorted({ack["durable"] for ack in acks})
    assert acks[-1]["durable"] == last["durable"] == 3000
    assert last["done"] is True
    for key in ("merged", "inserted", "refused_count"):
        assert sum(ack[key] for ack in acks) == last[key]
    assert counts(last) == (2849, 150, 1)
    assert [refused["line"] for ack in acks for refused in ack["refused"]] == [1235]


@pytest.mark.parametrize("acks", ["", "chunks", "END"])
def test_there_are_two_ways_to_acknowledge(api: Api, acks: str):
    api.refused("POST", "/heartbeats", b"", content_type=NDJSON, acks=acks)


def test_an_acknowledgement_by_chunk_comes_while_the_stream_goes_on(api: Api, bucket: str, server: Server):
    """The client waits for it before it sends more."""
    with Wire(server) as wire:
        wire.send(
            request_bytes(
                "POST", "/api/0/heartbeats?acks=chunk", f"Content-Type: {NDJSON}", "Transfer-Encoding: chunked"
            )
        )
        for number, clock in enumerate(("10:00:00", "10:00:05", "10:01:00"), start=1):
            text = ndjson(line(bucket, clock))
            wire.send(b"%x\r\n%b\r\n" % (len(text), text))
            assert b'{"durable":%d,' % number in wire.until(b"]}\n")
            assert len(api.events(bucket)) == (1 if number < 3 else 2), "what is acknowledged is there"
        wire.send(b"0\r\n\r\n")
        assert b'"done":true' in wire.until(b"]}\n")


def test_what_came_in_whole_lines_before_a_stream_was_cut_is_taken(api: Api, bucket: str, server: Server):
    """The rest of the last line is not."""
    text = ndjson(line(bucket, "10:00:00"), line(bucket, "10:30:00"))
    with Wire(server) as wire:
        wire.send(request_bytes("POST", "/api/0/heartbeats", f"Content-Type: {NDJSON}", f"Content-Length: {len(text)}"))
        wire.send(text[:-10])
        while not api.events(bucket):  # a line is taken as it comes, without waiting for the rest
            pass
        assert wire.finish() == b""
    assert [one["timestamp"] for one in api.events(bucket)] == [at("10:00:00")]


# Producers


def test_what_a_producer_sends_again_counts_once(api: Api, bucket: str, name: str):
    """The answer says how much of it was known, and how far its stream is durable."""
    lines = [line(bucket, f"10:{minute:02}:00") for minute in range(6)]
    first = send(api, *lines[:4], headers=numbered(name, 1))
    again = send(api, *lines[2:], headers=numbered(name, 3))
    assert (first["inserted"], first["duplicates"], first["sequence"]) == (4, 0, 4)
    assert (again["inserted"], again["duplicates"], again["sequence"]) == (2, 2, 6)
    assert len(api.events(bucket)) == 6


def test_a_line_is_known_by_its_number_and_not_by_what_it_says(api: Api, bucket: str, name: str):
    """A deleted event is not stored again by a resent line; without a producer it would be."""
    send(api, line(bucket, "10:00:00"), headers=numbered(name, 1))
    api.delete_event(bucket, api.events(bucket)[0]["id"])
    assert send(api, line(bucket, "10:00:00"), headers=numbered(name, 1))["duplicates"] == 1
    assert api.events(bucket) == []
    send(api, line(bucket, "10:00:00"))
    assert len(api.events(bucket)) == 1


def test_a_producer_goes_on_after_the_server_was_killed(tmp_path):
    """Its number is as durable as its heartbeats."""
    server = Server(tmp_path / "data").start()
    Api(server).create("b")
    send(Api(server), line("b", "10:00:00"), line("b", "10:30:00"), headers=numbered("phone", 1))
    server.kill()
    with server.start():
        again = send(Api(server), line("b", "10:30:00"), line("b", "10:45:00"), headers=numbered("phone", 2))
        assert (again["duplicates"], again["inserted"], again["sequence"]) == (1, 1, 3)


@pytest.mark.parametrize(
    "headers",
    [
        {"Awlog-Producer": "p"},
        {"Awlog-Sequence": "1"},
        {"Awlog-Producer": "", "Awlog-Sequence": "1"},
        {"Awlog-Producer": "x" * 129, "Awlog-Sequence": "1"},
        {"Awlog-Producer": "a\tb", "Awlog-Sequence": "1"},
        *({"Awlog-Producer": "p", "Awlog-Sequence": text} for text in ("", "0", "-1", "1.5", "x", "٣", "9" * 99)),
        {"Awlog-Producer": "p", "Awlog-Sequence": str(1 << 53)},
    ],
)
def test_a_producer_has_a_name_and_numbers_from_one_on(api: Api, bucket: str, headers: dict[str, str]):
    sent = {key: value.encode().decode("latin-1") for key, value in headers.items()}
    api.refused("POST", "/heartbeats", ndjson(line(bucket, "10:00:00")), content_type=NDJSON, headers=sent)
    assert api.events(bucket) == []


def test_names_are_data(api: Api):
    """A bucket's name in a refusal breaks no line of the answer."""
    name = 'quo"te\nline'
    taken = send(api, line(name, "10:00:00"))
    assert taken["refused"][0]["type"] == "NoSuchBucket"
    assert q(name)
