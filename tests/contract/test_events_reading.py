"""Section 7: reading and counting events."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.wire import Api, at, event

# The example of section 7.
A, B, C = event("10:00:00", 60, {"n": "A"}), event("10:01:00", 0, {"n": "B"}), event("10:02:00", 30, {"n": "C"})


def shown(events: list[dict[str, Any]]) -> list[tuple[str, str, float]]:
    return [(one["data"]["n"], one["timestamp"], one["duration"]) for one in events]


@pytest.fixture
def abc(api: Api, bucket: str) -> str:
    api.insert(bucket, A, B, C)
    return bucket


def test_without_a_range_all_events_come_newest_first(api: Api, abc: str) -> None:
    assert shown(api.events(abc)) == [
        ("C", at("10:02:00"), 30.0),
        ("B", at("10:01:00"), 0.0),
        ("A", at("10:00:00"), 60.0),
    ]
    assert api.count(abc) == 3


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("10:00:30", "10:02:00", [("C", "10:02:00", 0), ("B", "10:01:00", 0), ("A", "10:00:30", 30)]),
        ("10:00:00", "10:02:30", [("C", "10:02:00", 30), ("B", "10:01:00", 0), ("A", "10:00:00", 60)]),
        ("10:01:00", "10:01:00", [("B", "10:01:00", 0), ("A", "10:01:00", 0)]),
        ("10:00:59.999999", "10:00:59.999999", [("A", "10:00:59.999999", 0)]),
        ("10:01:00.000001", "10:01:59.999999", []),
        ("10:01:00.000001", "10:02:00", [("C", "10:02:00", 0)]),
        ("10:01:00", "10:01:59.999999", [("B", "10:01:00", 0), ("A", "10:01:00", 0)]),
        ("09:00:00", "09:59:59.999999", []),
        ("09:00:00", "10:00:00", [("A", "10:00:00", 0)]),
        ("09:00:00", "10:00:00.000001", [("A", "10:00:00", 0.000001)]),
        ("10:02:30", "23:00:00", [("C", "10:02:30", 0)]),
        ("10:02:30.000001", "23:00:00", []),
        ("10:02:10", "10:02:20.5", [("C", "10:02:10", 10.5)]),
        ("10:00:59.999999", "10:01:00", [("B", "10:01:00", 0), ("A", "10:00:59.999999", 0.000001)]),
        (None, "10:01:00", [("B", "10:01:00", 0), ("A", "10:00:00", 60)]),
        ("10:01:00", None, [("C", "10:02:00", 30), ("B", "10:01:00", 0), ("A", "10:01:00", 0)]),
        ("10:02:00", "10:01:00", []),
        ("10:00:30", "10:00:29.999999", []),
    ],
)
def test_a_range_has_both_its_ends_and_cuts_what_sticks_out(
    api: Api, abc: str, start: str | None, end: str | None, expected: list[tuple[str, str, float]]
) -> None:
    """Exact to the microsecond: what only touches the range counts, with a duration of 0. Count agrees."""
    query = {key: at(clock) for key, clock in (("start", start), ("end", end)) if clock}
    assert shown(api.events(abc, **query)) == [(n, at(clock), float(duration)) for n, clock, duration in expected]
    assert api.count(abc, **query) == len(expected)
    assert api.count(abc, **{f"{key}time": value for key, value in query.items()}) == len(expected)


def test_cutting_changes_the_answer_and_not_the_event(api: Api, abc: str) -> None:
    """Id and data stay; by its id it is never cut."""
    (cut,) = api.events(abc, start=at("10:00:10"), end=at("10:00:20"))
    stored = api.get(f"/buckets/{abc}/events/{cut['id']}")
    assert {key: stored[key] for key in ("timestamp", "duration", "data")} == A
    assert cut == {**stored, "timestamp": at("10:00:10"), "duration": 10.0}
    assert api.get(f"/buckets/{abc}/events/{cut['id']}?start={at('10:00:10')}&end={at('10:00:20')}") == stored


def test_an_event_of_any_length_is_found_anywhere_inside(api: Api, bucket: str) -> None:
    """A day, a decade, all of time: though it began long before the range, and many short ones came since."""
    api.insert(bucket, {"timestamp": "0001-01-01", "duration": 315537897599, "data": {"n": "time"}})
    api.insert(bucket, {"timestamp": "2015-01-01", "duration": 10 * 365 * 86400, "data": {"n": "decade"}})
    api.insert(bucket, {"timestamp": "2024-04-29", "duration": 3 * 86400, "data": {"n": "days"}})
    api.insert(
        bucket, *(event(f"0{hour}:{minute:02}:00", 1, {"n": "short"}) for hour in range(10) for minute in range(60))
    )
    found = api.events(bucket, start=at("10:00:00"), end=at("10:00:10"))
    assert shown(found) == [(n, at("10:00:00"), 10.0) for n in ("days", "decade", "time")]
    assert api.count(bucket, start="2024-04-30", end="2024-04-30") == 3
    assert api.count(bucket, start="0500-01-01", end="0500-01-02") == 1
    assert api.count(bucket, start="9999-12-31", end="9999-12-31") == 1


def test_equal_timestamps_come_in_order_of_arrival(api: Api, bucket: str) -> None:
    """Ascending id among equals, while all else is newest first. The Python client's own test wants it."""
    api.insert(bucket, *(event("10:00:00", 0, {"n": f"tie{n}"}) for n in range(3)), event("09:00:00", 0, {"n": "old"}))
    api.insert(bucket, event("11:00:00", 0, {"n": "new"}), event("10:00:00", 5, {"n": "tie3"}))
    order = [name for name, _, _ in shown(api.events(bucket))]
    assert order == ["new", "tie0", "tie1", "tie2", "tie3", "old"]
    assert [name for name, _, _ in shown(api.events(bucket, limit=3))] == order[:3]
    assert [name for name, _, _ in shown(api.events(bucket, end=at("10:00:00"), limit=2))] == ["tie0", "tie1"]
    assert [one["data"]["n"] for one in api.get(f"/buckets/{bucket}/export")["buckets"][bucket]["events"]] == order


def test_the_order_is_that_of_the_stored_timestamps_and_not_of_the_cut_ones(api: Api, bucket: str) -> None:
    """Cut to one start they are still newest first; the limit takes from that order before anything is cut."""
    api.insert(bucket, *(event(f"10:0{n}:00", 3600, {"n": str(n)}) for n in (2, 0, 3, 1)))
    query = {"start": at("10:30:00"), "end": at("10:40:00")}
    assert shown(api.events(bucket, **query)) == [(n, at("10:30:00"), 600.0) for n in "3210"]
    assert [name for name, _, _ in shown(api.events(bucket, **query, limit=2))] == ["3", "2"]


def test_a_replaced_event_takes_its_new_place(api: Api, abc: str) -> None:
    *_, oldest = api.events(abc)
    api.insert(abc, {**event("10:01:30", 1, {"n": "A"}), "id": oldest["id"]})
    assert [name for name, _, _ in shown(api.events(abc))] == ["C", "A", "B"]
    assert api.count(abc, end=at("10:00:59")) == 0


@pytest.mark.parametrize(
    ("limit", "count"),
    [
        ("0", 0),
        ("1", 1),
        ("2", 2),
        ("3", 3),
        ("4", 3),
        ("-1", 3),
        ("-2", 3),
        ("-0", 0),
        ("007", 3),
        (str(10**25), 3),
        (str(-(10**25)), 3),
        (str(2**63), 3),
    ],
)
def test_a_limit_is_any_integer(api: Api, abc: str, limit: str, count: int) -> None:
    """Negative means all, and so does anything larger than what is there. The web UI sends -1 with every read."""
    assert api.events(abc, limit=limit) == api.events(abc)[:count]
    assert api.events(abc, limit=limit, start=at("09:00:00"), end=at("11:00:00")) == api.events(abc)[:count]


@pytest.mark.parametrize(
    "limit", ["", "abc", "1.5", "1.0", "1e3", "0x1", "1_0", "true", "null", "NaN", "١", "--1", "1;2"]
)
def test_a_limit_that_is_no_integer_is_refused(api: Api, abc: str, limit: str) -> None:
    api.refused("GET", f"/buckets/{abc}/events", limit=limit, word="BadRequest")


def test_count_has_no_limit(api: Api, abc: str) -> None:
    """A bare integer, also when it is 0."""
    assert api.count(abc, limit=1) == 3
    assert api.count(abc, start=at("20:00:00")) == 0
    assert api.call("GET", f"/buckets/{abc}/events/count").body.strip() == b"3"


def test_starttime_and_endtime_mean_nothing_to_events(api: Api, abc: str) -> None:
    """They are other names in count alone."""
    assert len(api.events(abc, starttime=at("10:02:00"), endtime=at("10:02:00"))) == 3
    assert len(api.events(abc, starttime="never")) == 3


@pytest.mark.parametrize("event_id", ["1", "0", "-1", str(2**53), str(10**30), "abc", "1.5"])
def test_an_unknown_event_is_404(api: Api, abc: str, event_id: str) -> None:
    api.refused("GET", f"/buckets/{abc}/events/{event_id}", status=404, word="NoSuchEvent")


def test_an_event_is_not_found_through_another_bucket(api: Api, abc: str, other: str) -> None:
    stored = api.events(abc)[0]
    assert api.get(f"/buckets/{abc}/events/{stored['id']}") == stored
    api.refused("GET", f"/buckets/{other}/events/{stored['id']}", status=404, word="NoSuchEvent")


def test_an_empty_bucket_reads_as_empty(api: Api, bucket: str) -> None:
    assert api.events(bucket) == api.events(bucket, start="2024-01-01", end="2025-01-01", limit=5) == []
    assert api.count(bucket) == 0


# --- many events, against a model that takes the rules literally


def micros(stamp: str) -> int:
    return (datetime.fromisoformat(stamp) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def span(one: dict[str, Any]) -> tuple[int, int]:
    start_us = micros(one["timestamp"])
    return start_us, start_us + round(one["duration"] * 1e6)


Held = tuple[int, int, int, dict[str, Any]]  # id, start and end in microseconds, data


def held(one: dict[str, Any]) -> Held:
    return (one["id"], *span(one), one["data"])


def expected_range(stored: list[Held], start_us: int, end_us: int) -> list[Held]:
    """Section 7 in three lines."""
    found = [one for one in stored if one[2] >= start_us and one[1] <= end_us]
    found.sort(key=lambda one: (-one[1], one[0]))
    return [(number, max(begin, start_us), min(end, end_us), data) for number, begin, end, data in found]


def test_ten_thousand_events_read_as_the_rules_say(api: Api, bucket: str) -> None:
    """In no order of time, with ties, long ones and equal data; then some deleted and some replaced."""
    chance = random.Random(7)
    base = datetime(2024, 5, 1, tzinfo=UTC)

    def stamp() -> str:
        return (base + timedelta(microseconds=chance.choice([1, 10**6]) * chance.randrange(10**5))).isoformat()

    def made() -> dict[str, Any]:
        duration = chance.choice([0, 0.5, 1, chance.randrange(10**6) / 1e6, chance.randrange(10**5)])
        return {"timestamp": stamp(), "duration": duration, "data": {"n": chance.randrange(30)}}

    stored: dict[int, Held] = {}
    for size in (6000, 1, 3999):
        stored.update((one["id"], held(one)) for one in api.insert(bucket, *(made() for _ in range(size))))
    edits = [{**made(), "id": event_id} for event_id in chance.sample(sorted(stored), 50)]
    for round_number in range(2):
        assert api.count(bucket) == len(stored)
        assert len(api.events(bucket)) == len(stored)
        for _ in range(10):
            start, end = sorted((stamp(), stamp()))
            limit = chance.choice([-1, 0, 1, 10, 100, 1000])
            found = api.events(bucket, start=start, end=end, limit=limit)
            wanted = expected_range(list(stored.values()), micros(start), micros(end))
            assert [held(one) for one in found] == (wanted if limit < 0 else wanted[:limit])
            assert api.count(bucket, start=start, end=end) == len(wanted)
        if round_number == 0:
            stored.update((one["id"], held(one)) for one in api.insert(bucket, *edits))
            for event_id in chance.sample(sorted(stored), 50):
                assert api.delete_event(bucket, event_id)
                del stored[event_id]
    metadata = api.bucket(bucket)["metadata"]
    assert micros(metadata["start"]) == min(start_us for _, start_us, _, _ in stored.values())
    assert micros(metadata["end"]) == max(end_us for _, _, end_us, _ in stored.values())
    api.ok("DELETE", f"/buckets/{bucket}")
