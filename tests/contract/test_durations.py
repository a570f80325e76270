"""Section 2: durations, in seconds."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.contract.wire import WATCHER, Api, at, event

NINES = "9" * 400
ACCEPTED = [
    (b"0", 0.0),
    (b"0.0", 0.0),
    (b"-0.0", 0.0),
    (b"60", 60.0),
    (b"12.5", 12.5),
    (b"1e1", 10.0),
    (b"1E+1", 10.0),
    (b"null", 0.0),
    (b"1e-06", 1e-06),
    (b"0.000001", 1e-06),
    (b"0.0000004", 0.0),
    (b"0.0000006", 1e-06),
    (b"0.30000000000000004", 0.3),
    (b"1.9999999", 2.0),
    (b"1e-400", 0.0),
    (b"86400.000001", 86400.000001),
    (b"100000000.000001", 100000000.000001),
    (b"8e9", 8e9),
    (b"-1", 0.0),
    (b"-0.000001", 0.0),
    (b"-1e300", 0.0),
]
REFUSED = [
    b'""',
    b'"60"',
    b'"PT1M"',
    b"true",
    b"false",
    b"[]",
    b"[1]",
    b"{}",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e400",
    b"1e308",
    b"1e20",
    b"1e12",
    NINES.encode(),
    b"0x10",
    b"1_0",
    b"01",
    b"+1",
    b".5",
    b"1.",
]


def raw_event(duration: bytes, timestamp: str = "2024-05-01T10:00:00Z") -> bytes:
    return b'{"timestamp": "' + timestamp.encode() + b'", "duration": ' + duration + b', "data": {}}'


@pytest.mark.parametrize(("written", "seconds"), ACCEPTED)
def test_a_duration_is_a_number_of_seconds_kept_to_the_microsecond(
    api: Api, bucket: str, written: bytes, seconds: float
) -> None:
    """Integers and floats alike; none or null is 0; a negative one is stored as 0."""
    for raw in (raw_event(written), b"[" + raw_event(written) + b"]"):
        stored = api.post(f"/buckets/{bucket}/events", raw)
        (stored,) = stored if isinstance(stored, list) else [stored]
        assert stored["duration"] == seconds
        assert api.get(f"/buckets/{bucket}/events/{stored['id']}") == stored


@pytest.mark.parametrize(("written", "seconds"), ACCEPTED)
def test_a_heartbeat_and_an_import_take_the_same_durations(
    api: Api, name: str, bucket: str, written: bytes, seconds: float
) -> None:
    assert api.post(f"/buckets/{bucket}/heartbeat?pulsetime=0", raw_event(written))["duration"] == seconds
    fields = b'"type": "t", "client": "c", "hostname": "h"'
    api.post("/import", b'{"buckets": {"%s-in": {%s, "events": [%s]}}}' % (name.encode(), fields, raw_event(written)))
    assert [one["duration"] for one in api.events(f"{name}-in")] == [seconds]


@pytest.mark.parametrize("written", REFUSED)
def test_what_is_no_duration_is_refused(api: Api, name: str, bucket: str, written: bytes) -> None:
    """Texts, booleans, what overflows, and what would end after the year 9999."""
    api.refused("POST", f"/buckets/{bucket}/events", raw_event(written), word="BadRequest")
    api.refused("POST", f"/buckets/{bucket}/heartbeat?pulsetime=1", raw_event(written), word="BadRequest")
    fields = b'"type": "t", "client": "c", "hostname": "h"'
    document = b'{"buckets": {"%s-in": {%s, "events": [%s]}}}' % (name.encode(), fields, raw_event(written))
    api.refused("POST", "/import", document, word="BadRequest")
    assert api.events(bucket) == []
    api.refused("GET", f"/buckets/{name}-in", status=404)


@pytest.mark.parametrize(
    ("duration", "written"), [(0, "0.0"), (60, "60.0"), (12.5, "12.5"), (-3, "0.0"), (None, "0.0")]
)
def test_a_duration_is_always_written_as_a_float(api: Api, bucket: str, duration: Any, written: str) -> None:
    """`0.0` and never `0`, wherever an event is shown."""
    stored = api.post(f"/buckets/{bucket}/events", {"timestamp": at("10:00:00"), "duration": duration})
    api.beat(bucket, {"timestamp": at("10:00:00"), "duration": duration}, pulsetime=0)
    for path in (f"events/{stored['id']}", "events", "export"):
        text = api.call("GET", f"/buckets/{bucket}/{path}").body.decode()
        assert set(re.findall(r'"duration":\s*([^,}\s]+)', text)) == {written}


def test_a_missing_duration_is_zero(api: Api, bucket: str) -> None:
    (stored,) = api.insert(bucket, {"timestamp": at("10:00:00")})
    assert (stored["duration"], type(stored["duration"])) == (0.0, float)


@pytest.mark.parametrize(
    ("timestamp", "duration", "accepted"),
    [
        ("9999-12-31T23:59:59Z", 0.999999, True),
        ("9999-12-31T23:59:59Z", 1, False),
        ("9999-12-31T23:59:59.999999Z", 0, True),
        ("9999-12-31T23:59:59.999999Z", 0.000001, False),
        ("0001-01-01T00:00:00Z", 315537897599, True),
        ("0001-01-01T00:00:00Z", 315537897601, False),
        ("9999-12-31T23:59:59.999999Z", -5, True),
    ],
)
def test_an_event_ends_by_the_last_microsecond_of_the_year_9999(
    api: Api, bucket: str, timestamp: str, duration: float, accepted: bool
) -> None:
    """Up to it all is well, one microsecond more is a 400."""
    body = {"timestamp": timestamp, "duration": duration}
    if accepted:
        stored = api.post(f"/buckets/{bucket}/events", body)
        assert api.events(bucket) == [stored]
        assert stored["duration"] == max(duration, 0)
        assert api.bucket(bucket)["metadata"]["end"].startswith("9999-12-31T23:59:59")
    else:
        api.refused("POST", f"/buckets/{bucket}/events", body, word="BadRequest")
        assert api.events(bucket) == []


def test_one_bad_duration_leaves_nothing_of_its_list(api: Api, bucket: str) -> None:
    api.refused("POST", f"/buckets/{bucket}/events", [event("10:00:00"), event("10:01:00", duration=1e20)])
    document = {"buckets": {bucket: {**WATCHER, "events": [event("10:00:00"), event("10:01:00", duration=1e20)]}}}
    api.refused("POST", "/import", document)
    assert api.events(bucket) == []
