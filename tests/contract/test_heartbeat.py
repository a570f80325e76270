"""Section 8: heartbeats."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.contract.wire import WATCHER, Api, at, event, same
from tests.server import Server


def moment(one: dict[str, Any]) -> tuple[str, float]:
    return one["timestamp"], one["duration"]


def test_the_example_of_section_8(api: Api, bucket: str) -> None:
    """Line by line: new, extended, gap inclusive, inside, older, sent again, still the old tail, other data."""
    ids: dict[int, int] = {}
    for clock, s, number, start, duration in [
        ("10:00:00", 1, 1, "10:00:00", 0.0),
        ("10:00:07", 1, 1, "10:00:00", 7.0),
        ("10:00:17", 1, 1, "10:00:00", 17.0),
        ("10:00:05", 1, 1, "10:00:00", 17.0),
        ("09:59:00", 1, 2, "09:59:00", 0.0),
        ("09:59:00", 1, 2, "09:59:00", 0.0),
        ("10:00:20", 1, 1, "10:00:00", 20.0),
        ("10:00:21", 2, 3, "10:00:21", 0.0),
    ]:
        answer = api.beat(bucket, event(clock, 0, {"s": s}), pulsetime=10)
        assert answer["id"] == ids.setdefault(number, answer["id"])
        assert answer == {"id": ids[number], "timestamp": at(start), "duration": duration, "data": {"s": s}}
        assert answer in api.events(bucket)
    assert len(set(ids.values())) == 3
    assert [one["id"] for one in api.events(bucket)] == [ids[3], ids[1], ids[2]]


def test_a_heartbeat_of_an_empty_bucket_is_a_new_event(api: Api, bucket: str) -> None:
    """The answer is the stored event, with its id."""
    answer = api.beat(bucket, event("10:00:00.000001", 2.5, {"app": "vim"}))
    assert answer == {"id": answer["id"], **event("10:00:00.000001", 2.5, {"app": "vim"})}
    assert api.events(bucket) == [answer]


@pytest.mark.parametrize(
    ("clock", "duration", "merged"),
    [
        ("09:59:59.999999", 0, None),
        ("10:00:00", 0, 10.0),
        ("10:00:00", 12, 12.0),
        ("10:00:03", 1, 10.0),
        ("10:00:03", 7, 10.0),
        ("10:00:03", 7.000001, 10.000001),
        ("10:00:10", 0, 10.0),
        ("10:00:12", 0, 12.0),
        ("10:00:15", 0, 15.0),
        ("10:00:15", 30, 45.0),
        ("10:00:15.000001", 0, None),
        ("10:00:15.000001", 30, None),
        ("12:00:00", 0, None),
    ],
)
def test_a_heartbeat_extends_the_tail_from_its_start_to_its_end_plus_pulsetime(
    api: Api, bucket: str, clock: str, duration: float, merged: float | None
) -> None:
    """A 10 s tail and a pulsetime of 5 s accept starts from 0 to 15 s, both inclusive; outside, a new event opens."""
    tail = api.beat(bucket, event("10:00:00", 10))
    answer = api.beat(bucket, event(clock, duration), pulsetime=5)
    if merged is None:
        assert answer["id"] != tail["id"]
        assert moment(answer) == (at(clock), float(duration))
        assert tail in api.events(bucket)
        assert api.count(bucket) == 2
    else:
        assert answer == {**tail, "duration": merged}
        assert api.events(bucket) == [answer]


@pytest.mark.parametrize(
    ("pulsetime", "merges"),
    [
        ("10", True),
        ("9.999999", False),
        ("10.0", True),
        ("1e1", True),
        ("1E+1", True),
        ("+10", True),
        ("0", False),
        ("1e3", True),
        ("0.5", False),
        ("100000000000000000000", True),
        ("1e300", True),
        ("1.7976931348623157e308", True),
        ("-1", False),
        ("-1e300", False),
        ("-0.0", False),
    ],
)
def test_a_pulsetime_is_any_finite_float(api: Api, bucket: str, pulsetime: str, merges: bool) -> None:
    """However large or small, it never overflows. Here the gap is 10 s."""
    tail = api.beat(bucket, event("10:00:00"))
    answer = api.post(f"/buckets/{bucket}/heartbeat?pulsetime={pulsetime.replace('+', '%2B')}", event("10:00:10"))
    assert answer == ({**tail, "duration": 10.0} if merges else {**event("10:00:10"), "id": answer["id"]})
    assert api.count(bucket) == (1 if merges else 2)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?pulsetime",
        "?pulsetime=",
        "?pulsetime=%20",
        "?pulsetime=abc",
        "?pulsetime=nan",
        "?pulsetime=NaN",
        "?pulsetime=inf",
        "?pulsetime=-inf",
        "?pulsetime=infinity",
        "?pulsetime=Infinity",
        "?pulsetime=1_0",
        "?pulsetime=0x10",
        "?pulsetime=10s",
        "?pulsetime=1,5",
        "?pulsetime=true",
        "?pulsetime=null",
        "?pulsetime=[1]",
        "?pulsetime=%D9%A1",
        "?Pulsetime=1",
        "?pulse=1",
    ],
)
def test_a_pulsetime_is_required_and_a_finite_number(api: Api, bucket: str, query: str) -> None:
    api.refused("POST", f"/buckets/{bucket}/heartbeat{query}", event("10:00:00"), word="BadRequest")
    assert api.events(bucket) == []


def test_a_pulsetime_that_spans_all_of_time_merges_the_year_1_with_the_year_9999(api: Api, bucket: str) -> None:
    tail = api.beat(bucket, {"timestamp": "0001-01-01", "data": {}})
    answer = api.beat(bucket, {"timestamp": "9999-12-31T23:59:59", "data": {}}, pulsetime="1e308")
    assert answer == {**tail, "duration": 315537897599.0}
    assert api.bucket(bucket)["metadata"]["end"] == "9999-12-31T23:59:59+00:00"


@pytest.mark.parametrize(
    "body", [[], [event("10:00:00")], None, 1, "x", True, {}, {"timestamp": 1}, {**event("10:00:00"), "data": []}]
)
def test_a_heartbeat_is_one_event_object(api: Api, bucket: str, body: Any) -> None:
    api.refused("POST", f"/buckets/{bucket}/heartbeat?pulsetime=1", body, word="BadRequest")
    assert api.events(bucket) == []


@pytest.mark.parametrize("kind", ["own", "stranger", "unknown", None])
def test_the_id_of_a_heartbeat_is_ignored(api: Api, bucket: str, other: str, kind: str | None) -> None:
    """It replaces nothing and names nothing. The Rust client sends null."""
    (stranger,) = api.insert(other, event("09:00:00"))
    tail = api.beat(bucket, event("10:00:00"))
    given = {"own": tail["id"], "stranger": stranger["id"], "unknown": 10**9, None: None}[kind]
    assert api.beat(bucket, {**event("10:00:05"), "id": given}) == {**tail, "duration": 5.0}
    new = api.beat(bucket, {**event("11:00:00"), "id": given})
    assert new["id"] not in (tail["id"], given)
    assert api.events(bucket) == [new, {**tail, "duration": 5.0}]
    assert api.events(other) == [stranger]


# --- equality of data


@pytest.mark.parametrize(
    ("one", "two", "equal"),
    [
        ({}, {}, True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": {"x": 1, "y": [1, {"z": None}]}}, {"a": {"y": [1, {"z": None}], "x": 1}}, True),
        ({"a": "Grüße \U0001f600"}, {"a": "Grüße \U0001f600"}, True),
        ({"a": 10**40}, {"a": 10**40}, True),
        ({"a": 0.1}, {"a": 0.1}, True),
        ({}, {"a": None}, False),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"b": 1}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 0}, {"a": False}, False),
        ({"a": [1]}, {"a": [True]}, False),
        ({"a": "1"}, {"a": 1}, False),
        ({"a": "true"}, {"a": True}, False),
        ({"a": None}, {"a": ""}, False),
        ({"a": []}, {"a": {}}, False),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": 10**40}, {"a": 10**40 + 1}, False),
        ({"a": 0.1}, {"a": 0.10000000000000002}, False),
        ({"a": "e\u0301"}, {"a": "\u00e9"}, False),
        ({"a": "x"}, {"a": "X"}, False),
        ({"a": "x"}, {"a": "x "}, False),
    ],
)
def test_data_is_compared_deeply_and_by_type(
    api: Api, bucket: str, one: dict[str, Any], two: dict[str, Any], equal: bool
) -> None:
    """The order of keys is nothing; `true` is not `1`, and `"1"` is not `1`."""
    tail = api.beat(bucket, event("10:00:00", 0, one))
    answer = api.beat(bucket, event("10:00:05", 0, two))
    assert (answer["id"] == tail["id"]) is equal
    assert answer["duration"] == (5.0 if equal else 0.0)
    assert same(answer["data"], two)
    assert api.count(bucket) == (1 if equal else 2)


def test_white_space_and_escapes_are_not_part_of_data(api: Api, bucket: str) -> None:
    """The same object written in another way continues the tail."""
    forms = [
        b'{"timestamp":"2024-05-01T10:00:00Z","data":{"a":"/","b":[1.5]}}',
        b' { "data" : { "b" : [ 1.50 ] , "\\u0061" : "\\/" } , "timestamp" : "2024-05-01T10:00:01Z" } ',
        b'{"timestamp":"2024-05-01T12:00:02+02:00","data":{"b":[15e-1],"a":"\\u002f"},"duration":0}',
    ]
    answers = [api.post(f"/buckets/{bucket}/heartbeat?pulsetime=5", form) for form in forms]
    assert [answer["duration"] for answer in answers] == [0.0, 1.0, 2.0]
    assert api.count(bucket) == 1


# --- the tail record


def test_a_heartbeat_sent_again_changes_nothing(api: Api, bucket: str) -> None:
    """C6: whether it was new, merged, older, or of other data; with any pulsetime."""
    for body, pulsetime in [
        (event("10:00:00"), 10),
        (event("10:00:05", 2), 10),
        (event("10:00:30", 2), -1),
        (event("09:00:00", 5), 10),
        (event("10:00:40", 0, {"s": 2}), 0),
        (event("10:00:40", 0, {"s": 3}), 0),
        (event("10:00:40", 0, {"s": 2}), 0),
        (event("08:00:00", 0, {"s": 2}), 1e9),
    ]:
        answer = api.beat(bucket, body, pulsetime=pulsetime)
        before = api.events(bucket), api.bucket(bucket)
        for _ in range(2):
            assert api.beat(bucket, body, pulsetime=pulsetime) == answer
            assert (api.events(bucket), api.bucket(bucket)) == before


def test_a_negative_pulsetime_merges_overlaps_only(api: Api, bucket: str) -> None:
    tail = api.beat(bucket, event("10:00:00", 10))
    assert api.beat(bucket, event("10:00:08", 10), pulsetime=-2) == {**tail, "duration": 18.0}
    apart = api.beat(bucket, event("10:00:17", 10), pulsetime=-2)
    assert moment(apart) == (at("10:00:17"), 10.0)
    assert api.count(bucket) == 2


@pytest.mark.parametrize("pulsetime", [10, 1e9])
def test_an_older_heartbeat_is_an_event_of_its_own(api: Api, bucket: str, pulsetime: float) -> None:
    """The tail stays the one to extend; nothing is changed or lost."""
    tail = api.beat(bucket, event("10:00:00", 5))
    late = api.beat(bucket, event("09:59:59", 3), pulsetime=pulsetime)
    assert moment(late) == (at("09:59:59"), 3.0)
    assert api.events(bucket) == [tail, late]
    longer = api.beat(bucket, event("10:00:07"), pulsetime=pulsetime)
    assert longer == {**tail, "duration": 7.0}
    assert api.events(bucket) == [longer, late]


@pytest.mark.parametrize(
    ("clock", "duration", "covered"),
    [
        ("09:00:00", 0, True),
        ("09:00:00", 60, True),
        ("09:00:30", 30, True),
        ("09:01:00", 0, True),
        ("09:00:59.999999", 0.000001, True),
        ("09:00:00", 60.000001, False),
        ("09:01:00.000001", 0, False),
        ("09:00:59", 2, False),
        ("08:59:59.999999", 1, False),
    ],
)
def test_an_older_heartbeat_that_an_equal_event_covers_is_answered_with_that_event(
    api: Api, bucket: str, clock: str, duration: float, covered: bool
) -> None:
    """Both edges inclusive. One that sticks out by a microsecond is an event of its own."""
    old = api.beat(bucket, event("09:00:00", 60))
    api.insert(bucket, event("09:00:00", 600, {"s": "other"}), event("10:00:00", 5, {"s": "tail"}))
    before = api.events(bucket)
    answer = api.beat(bucket, event(clock, duration), pulsetime=5)
    if covered:
        assert answer == old
        assert api.events(bucket) == before
    else:
        assert moment(answer) == (at(clock), float(duration))
        assert api.count(bucket) == len(before) + 1
        assert all(one in api.events(bucket) for one in before)


def test_a_covered_heartbeat_may_start_with_the_tail_but_not_after_it(api: Api, bucket: str) -> None:
    """Rule 3 is for heartbeats that are not younger than the tail."""
    long = api.beat(bucket, event("10:00:00", 60))
    (tail,) = api.insert(bucket, event("10:00:30", 0, {"s": 2}))
    assert api.beat(bucket, event("10:00:30", 5)) == long
    younger = api.beat(bucket, event("10:00:30.000001", 5))
    assert moment(younger) == (at("10:00:30.000001"), 5.0)
    assert api.events(bucket) == [younger, tail, long]


def test_a_heartbeat_covered_long_ago_is_found_among_many(api: Api, bucket: str) -> None:
    """However much was written since."""
    stored = api.insert(
        bucket, *(event(f"{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}", 0, {"n": n}) for n in range(9000))
    )
    again = api.beat(bucket, event("00:00:10", 0, {"n": 10}))
    assert again == stored[10]
    assert api.count(bucket) == 9000
    new = api.beat(bucket, event("00:00:10", 0, {"n": 11}))
    assert new["id"] not in {one["id"] for one in stored}
    api.ok("DELETE", f"/buckets/{bucket}")


def test_other_data_at_the_time_of_the_tail_becomes_the_tail(api: Api, bucket: str) -> None:
    """Of equal timestamps the greatest id is the tail record."""
    first = api.beat(bucket, event("10:00:00", 0, {"s": 1}))
    second = api.beat(bucket, event("10:00:00", 0, {"s": 2}))
    assert second["id"] > first["id"]
    assert api.beat(bucket, event("10:00:05", 0, {"s": 2})) == {**second, "duration": 5.0}
    third = api.beat(bucket, event("10:00:06", 0, {"s": 1}))
    assert third["id"] not in (first["id"], second["id"])
    assert api.events(bucket) == [third, first, {**second, "duration": 5.0}]


def test_the_tail_is_the_greatest_timestamp_and_not_the_last_one_sent(api: Api, bucket: str) -> None:
    (future,) = api.insert(bucket, event("23:00:00"))
    api.insert(bucket, event("10:00:00"))
    late = api.beat(bucket, event("10:00:05"))
    assert moment(late) == (at("10:00:05"), 0.0)
    assert api.beat(bucket, event("23:00:05")) == {**future, "duration": 5.0}


@pytest.mark.parametrize("year", ["0001", "1800", "1969", "2999", "9998"])
def test_the_clock_of_the_server_plays_no_part(api: Api, bucket: str, year: str) -> None:
    """Heartbeats of the past and of the future follow the same rule."""
    tail = api.beat(bucket, {"timestamp": f"{year}-05-01T10:00:00Z", "data": {}})
    longer = api.beat(bucket, {"timestamp": f"{year}-05-01T10:00:10Z", "data": {}})
    assert longer == {**tail, "duration": 10.0}
    assert api.beat(bucket, {"timestamp": f"{year}-05-01T10:00:20.000001Z", "data": {}})["id"] != tail["id"]


def test_the_tail_follows_a_posted_event(api: Api, bucket: str) -> None:
    """The next heartbeat extends it; the one before is never touched again."""
    first = api.beat(bucket, event("10:00:00"))
    (posted,) = api.insert(bucket, event("10:00:05", 1))
    assert api.beat(bucket, event("10:00:08")) == {**posted, "duration": 3.0}
    assert api.get(f"/buckets/{bucket}/events/{first['id']}") == first


def test_the_tail_follows_an_edit(api: Api, bucket: str) -> None:
    """Of its data, its duration, its timestamp."""
    tail = api.beat(bucket, event("10:00:00", 5))
    api.insert(bucket, {**event("10:00:00", 5, {"s": "edited"}), "id": tail["id"]})
    edited = api.beat(bucket, event("10:00:08", 0, {"s": "edited"}))
    assert edited == {**event("10:00:00", 8, {"s": "edited"}), "id": tail["id"]}
    api.insert(bucket, {**event("10:00:00", 1, {"s": "edited"}), "id": tail["id"]})
    apart = api.beat(bucket, event("10:00:11.000001", 0, {"s": "edited"}))
    assert apart["id"] != tail["id"]
    api.insert(bucket, {**event("09:00:00", 1, {"s": "edited"}), "id": apart["id"]})
    assert api.beat(bucket, event("10:00:04", 0, {"s": "edited"})) == {**edited, "duration": 4.0}


def test_the_tail_follows_a_deletion(api: Api, bucket: str) -> None:
    """Back to the event before it, and to none at all."""
    first = api.beat(bucket, event("10:00:00"))
    second = api.beat(bucket, event("10:00:05", 0, {"s": 2}))
    assert api.delete_event(bucket, second["id"])
    assert api.beat(bucket, event("10:00:06")) == {**first, "duration": 6.0}
    assert api.delete_event(bucket, first["id"])
    fresh = api.beat(bucket, event("10:00:07"))
    assert moment(fresh) == (at("10:00:07"), 0.0)
    assert fresh["id"] not in (first["id"], second["id"])
    assert api.events(bucket) == [fresh]


def test_the_tail_follows_an_import(api: Api, bucket: str) -> None:
    tail = api.beat(bucket, event("10:00:00"))
    api.post("/import", {"buckets": {bucket: {**WATCHER, "events": [event("11:00:00", 5), event("09:00:00", 5)]}}})
    imported = api.events(bucket)[0]
    assert api.beat(bucket, event("11:00:10")) == {**imported, "duration": 10.0}
    assert tail in api.events(bucket)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_tail_is_still_there_after_a_restart(tmp_path: Path, end: str) -> None:
    """The greatest timestamp, also if another event was written after it; also when the newest was deleted."""
    with Server(tmp_path / "data") as server:
        api = Api(server)
        api.create("b")
        tail = api.beat("b", event("10:00:00"))
        late = api.beat("b", event("09:00:00"))
        gone = api.beat("b", event("11:00:00"))
        assert api.delete_event("b", gone["id"])
        getattr(server, end)()
        server.start()
        assert api.beat("b", event("10:00:05")) == {**tail, "duration": 5.0}
        getattr(server, end)()
        server.start()
        assert api.events("b") == [{**tail, "duration": 5.0}, late]
        assert api.beat("b", event("10:00:15")) == {**tail, "duration": 15.0}
        assert api.beat("b", event("09:00:00")) == late


# --- any sequence, against the four rules taken literally


class Model:
    """Section 8 on a list of `[id, start_s, end_s, data]`, in whole seconds after 10:00:00."""

    def __init__(self) -> None:
        self.events: dict[int, tuple[int, int, int]] = {}

    def beat(self, start: int, duration: int, data: int, pulsetime: int) -> int | None:
        """The id of the event that answers, changed if need be; None for a new one."""
        if not self.events:
            return None
        tail = max(self.events, key=lambda event_id: (self.events[event_id][0], event_id))
        tail_start, tail_end, tail_data = self.events[tail]
        if data == tail_data and tail_start <= start <= tail_end + pulsetime:
            self.events[tail] = (tail_start, max(tail_end, start + duration), data)
            return tail
        if start <= tail_start:
            for event_id, (other_start, other_end, other_data) in self.events.items():
                if other_data == data and other_start <= start and other_end >= start + duration:
                    return event_id
        return None


def wire(start: int, duration: int, data: int) -> dict[str, Any]:
    stamp = datetime(2024, 5, 1, 10, tzinfo=UTC) + timedelta(seconds=start)
    return {"timestamp": stamp.isoformat(), "duration": float(duration), "data": {"s": data}}


@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_of_writes_gives_what_the_rules_say(api: Api, bucket: str, seed: int) -> None:
    """Heartbeats among inserts, edits and deletions; each heartbeat is sent twice."""
    chance, model = random.Random(seed), Model()
    for _ in range(60):
        start, duration, data = chance.randrange(-20, 40), chance.choice([0, 0, 1, 5]), chance.choice([1, 1, 2])
        what = chance.choice(["beat"] * 6 + ["insert", "edit", "delete"])
        known = sorted(model.events)
        if what == "beat":
            pulsetime = chance.choice([-1, 0, 3, 10])
            for _ in range(2):
                expected = model.beat(start, duration, data, pulsetime)
                answer = api.beat(bucket, wire(start, duration, data), pulsetime=pulsetime)
                if expected is None:
                    assert answer["id"] not in model.events
                    model.events[answer["id"]] = (start, start + duration, data)
                assert answer["data"] == {"s": data}
                start_s, end_s, _ = model.events[answer["id"]]
                assert start_s <= start
                assert end_s >= start + duration
        elif what == "insert" or not known:
            (stored,) = api.insert(bucket, wire(start, duration, data))
            model.events[stored["id"]] = (start, start + duration, data)
        elif what == "edit":
            event_id = chance.choice(known)
            api.insert(bucket, {**wire(start, duration, data), "id": event_id})
            model.events[event_id] = (start, start + duration, data)
        else:
            event_id = chance.choice(known)
            assert api.delete_event(bucket, event_id)
            del model.events[event_id]
        held = {event_id: wire(begin, end - begin, data) for event_id, (begin, end, data) in model.events.items()}
        assert {one.pop("id"): one for one in api.events(bucket)} == held
