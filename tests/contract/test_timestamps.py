"""Section 2: timestamps, in bodies, in query strings, and as the server writes them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.contract.wire import STAMP, WATCHER, Api, at, event, q

TEN = at("10:00:00")
# Everything the table of section 2 allows, with what the server makes of it.
FORMS = [
    ("2024-05-01T10:00:00Z", TEN),
    ("2024-05-01T10:00:00z", TEN),
    ("2024-05-01T12:00:00+02:00", TEN),
    ("2024-05-01T12:00:00+0200", TEN),
    ("2024-05-01T12:00:00+02", TEN),
    ("2024-05-01T04:30:00-05:30", TEN),
    ("2024-05-01T10:00:00-00:00", TEN),
    ("2024-04-30T20:00:00-14:00", TEN),
    ("2024-05-02T09:59:00+23:59", TEN),
    ("2024-05-01T10:00:00", TEN),
    ("2024-05-01 10:00:00Z", TEN),
    ("2024-05-01 10:00:00", TEN),
    ("2024-05-01 12:00:00.5+02:00", "2024-05-01T10:00:00.500000+00:00"),
    ("2024-05-01T10:00Z", TEN),
    ("2024-05-01T12:00+02:00", TEN),
    ("2024-05-01T10:00", TEN),
    ("2024-05-01 10:00", TEN),
    ("2024-05-01", "2024-05-01T00:00:00+00:00"),
    ("2024-02-29", "2024-02-29T00:00:00+00:00"),
    ("2024-05-01T10:00:00.5Z", "2024-05-01T10:00:00.500000+00:00"),
    ("2024-05-01T10:00:00,25Z", "2024-05-01T10:00:00.250000+00:00"),
    ("2024-05-01T10:00:00.0Z", TEN),
    ("2024-05-01T10:00:00.000001Z", "2024-05-01T10:00:00.000001+00:00"),
    ("2024-05-01T10:00:00.123456+00:00", "2024-05-01T10:00:00.123456+00:00"),
    ("2024-05-01T10:00:00.1234567Z", "2024-05-01T10:00:00.123456+00:00"),
    ("2024-05-01T10:00:00.123456999Z", "2024-05-01T10:00:00.123456+00:00"),
    ("2024-05-01T10:00:00,999999999999Z", "2024-05-01T10:00:00.999999+00:00"),
    ("2024-05-01T10:00:00.0000009Z", TEN),
    ("2024-05-01T10:00:00.12345678901234567890", "2024-05-01T10:00:00.123456+00:00"),
    ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00+00:00"),
    ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999+00:00"),
    ("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999999+00:00"),
    ("1582-10-04T12:00:00Z", "1582-10-04T12:00:00+00:00"),
    ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00"),
    ("0001-01-01T01:00:00+01:00", "0001-01-01T00:00:00+00:00"),
    ("0001-01-01", "0001-01-01T00:00:00+00:00"),
    ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999+00:00"),
    ("9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.999999+00:00"),
    ("9999-12-31T22:59:59-01:00", "9999-12-31T23:59:59+00:00"),
]
REFUSED_TEXTS = [
    "",
    " ",
    "now",
    "1714557600",
    "1714557600.5",
    "2024",
    "2024-05",
    "24-05-01",
    "2024-5-1",
    "2024-13-01",
    "2024-00-01",
    "2024-02-30",
    "2023-02-29T10:00:00Z",
    "2024-05-01T",
    "2024-05-01T10",
    "2024-05-01T1:00:00Z",
    "2024-05-01T25:00:00Z",
    "2024-05-01T10:60:00Z",
    "2024-05-01T10:00:61Z",
    "2024-05-01T10:00:00.Z",
    "2024-05-01T10:00:00.5.5Z",
    "2024-05-01T10:00:00Zulu",
    "2024-05-01T10:00:00ZZ",
    "2024-05-01T10:00:00+25:00",
    "2024-05-01T10:00:00+02:60",
    "2024-05-01T10:00:00+2",
    "2024-05-01Z10:00:00",
    "2024-05-01T10:00:00Z ",
    " 2024-05-01T10:00:00Z",
    "2024-05-01T10:00:00Z\n",
    "2024/05/01 10:00:00",
    "2024-W18-3",
    "２０２４-05-01T10:00:00Z",
    "2024-05-01T10:00:00.５Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59-01:00",
    "10000-01-01T00:00:00Z",
    "+2024-05-01T10:00:00Z",
    "-0001-01-01T00:00:00Z",
    "Wed, 01 May 2024 10:00:00 GMT",
]


@pytest.mark.parametrize(("form", "instant"), FORMS)
def test_an_event_takes_every_form_of_a_timestamp(api: Api, bucket: str, form: str, instant: str) -> None:
    """Offsets become UTC, a missing one is UTC, fractions are cut at the microsecond and never rounded."""
    (stored,) = api.insert(bucket, {"timestamp": form})
    assert stored["timestamp"] == instant
    assert STAMP.fullmatch(stored["timestamp"])
    assert api.events(bucket) == [stored]


@pytest.mark.parametrize(("form", "instant"), FORMS)
def test_a_query_string_takes_every_form_of_a_timestamp(api: Api, bucket: str, form: str, instant: str) -> None:
    """A range of one instant, written in any form, finds the event of that instant and not the one beside it."""
    aside = "2024-05-01T10:00:00.000002Z" if instant != "2024-05-01T10:00:00.000002Z" else "2024-05-02"
    stored, _ = api.insert(bucket, {"timestamp": instant}, {"timestamp": aside})
    assert api.events(bucket, start=form, end=form) == [stored]
    assert api.count(bucket, start=form, end=form) == 1


@pytest.mark.parametrize(
    ("raw", "instant"),
    [
        ("2024-05-01T12:00:00+02:00", TEN),
        ("2024-05-01T12:00:00%2002:00", TEN),
        ("2024-05-01T12:00:00.5+02:00", "2024-05-01T10:00:00.500000+00:00"),
        ("2024-05-01T10:00:00+00:00", TEN),
        ("2024-05-01T10:00:00.250000+00:00", "2024-05-01T10:00:00.250000+00:00"),
        ("2024-05-01+12:00:00+02:00", TEN),
        ("2024-05-01+10:00:00Z", TEN),
        ("2024-05-01%2010:00:00Z", TEN),
        ("2024-05-01+10:00", TEN),
        ("2024-05-01T05:00:00-05:00", TEN),
        ("2024-05-01T12:00:00%2B02:00", TEN),
        ("2024-05-01T12%3A00%3A00%2B02%3A00", TEN),
    ],
)
def test_an_unescaped_plus_in_a_query_string_is_still_an_offset(api: Api, bucket: str, raw: str, instant: str) -> None:
    """`+` arrives as a space there; a space between date and time stays one."""
    stored, _ = api.insert(bucket, {"timestamp": instant}, {"timestamp": at("23:00:00")})
    assert api.get(f"/buckets/{q(bucket)}/events?start={raw}&end={raw}") == [stored]
    assert api.get(f"/buckets/{q(bucket)}/events/count?start={raw}&end={raw}") == 1


@pytest.mark.parametrize(
    "bad", [*REFUSED_TEXTS, None, 0, 1714557600, 1714557600.5, True, False, [], {}, ["2024-05-01"], {"$date": 0}]
)
def test_what_is_no_timestamp_is_refused(api: Api, bucket: str, bad: Any) -> None:
    """Numbers, other texts, impossible dates and years outside 1 to 9999 are a 400 wherever an event is written."""
    body = {"timestamp": bad, "data": {}}
    api.refused("POST", f"/buckets/{bucket}/events", body, word="BadRequest")
    api.refused("POST", f"/buckets/{bucket}/events", [event("10:00:00"), body], word="BadRequest")
    api.refused("POST", f"/buckets/{bucket}/heartbeat?pulsetime=1", body, word="BadRequest")
    api.refused("POST", "/import", {"buckets": {bucket: {**WATCHER, "events": [body]}}}, word="BadRequest")
    assert api.events(bucket) == []


@pytest.mark.parametrize("bad", REFUSED_TEXTS)
@pytest.mark.parametrize("edge", ["start", "end"])
def test_a_bad_edge_of_a_range_is_refused(api: Api, bucket: str, edge: str, bad: str) -> None:
    """An empty one too."""
    for path in ("events", "events/count"):
        api.refused("GET", f"/buckets/{bucket}/{path}?{edge}={quote(bad, safe='')}", word="BadRequest")


@pytest.mark.parametrize("edge", ["starttime", "endtime"])
def test_the_other_names_of_the_edges_are_checked_as_well(api: Api, bucket: str, edge: str) -> None:
    """In count they are timestamps like the others."""
    api.refused("GET", f"/buckets/{bucket}/events/count?{edge}=yesterday", word="BadRequest")


@pytest.mark.parametrize("bad", ["", "yesterday", "2024-02-30", 1714557600, True, [], "9999-12-31T23:59:59-01:00"])
def test_a_bucket_is_not_made_with_a_bad_time_of_creation(api: Api, name: str, bad: Any) -> None:
    api.refused("POST", f"/buckets/{name}", {**WATCHER, "created": bad}, word="BadRequest")
    api.refused("GET", f"/buckets/{name}", status=404, word="NoSuchBucket")


@pytest.mark.parametrize(("form", "instant"), FORMS[::4])
def test_a_time_of_creation_is_a_timestamp_like_any_other(api: Api, name: str, form: str, instant: str) -> None:
    api.create(name, created=form)
    assert api.bucket(name)["created"] == instant


def test_a_timestamp_is_required(api: Api, bucket: str) -> None:
    api.refused("POST", f"/buckets/{bucket}/events", {"duration": 1, "data": {}}, word="BadRequest")
    api.refused("POST", f"/buckets/{bucket}/events", [{}], word="BadRequest")
    api.refused("POST", f"/buckets/{bucket}/heartbeat?pulsetime=1", {"data": {}}, word="BadRequest")
    assert api.events(bucket) == []


def test_metadata_is_written_as_timestamps_are(api: Api, bucket: str) -> None:
    """No fraction when it is zero, six digits otherwise, never `Z`."""
    api.insert(bucket, {"timestamp": "2024-05-01T10:00:00Z", "duration": 1.5})
    value = api.bucket(bucket)
    assert value["metadata"] == {"start": TEN, "end": "2024-05-01T10:00:01.500000+00:00"}
    assert value["last_updated"] == "2024-05-01T10:00:01.500000+00:00"
    assert STAMP.fullmatch(value["created"])
