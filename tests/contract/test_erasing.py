"""What is stored can be erased: by range and filter, the last minutes, by privacy filters, and by age."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.wire import Api, at, event, q
from tests.server import Server

TEA, BANK = {"app": "web", "title": "tea"}, {"app": "web", "title": "my bank"}
PATIENCE_S = 30.0


def shown(api: Api, bucket: str) -> list[tuple[str, float]]:
    """Start and duration of each event, in that order."""
    return sorted((one["timestamp"][11:19], one["duration"]) for one in api.events(bucket))


def erased(answer: dict[str, Any]) -> tuple[int, int]:
    return answer["deleted"], answer["cut"]


def finished(api: Api, job: dict[str, Any]) -> dict[str, Any]:
    """The job when it has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while job["state"] in ("waiting", "running"):
        assert time.monotonic() < deadline, f"the job does not end: {job}"
        time.sleep(0.01)
        job = api.get(f"/jobs/{job['id']}")
    return job


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Nothing here goes through the fast lane: one server is enough."""
    with Server(tmp_path_factory.mktemp("erasing") / "data") as running:
        yield running


@pytest.fixture
def clean_settings(api: Api) -> Iterator[None]:
    yield
    for key in ("privacy_filters", "retention"):
        api.post(f"/settings/{key}", None)


def test_a_range_is_erased_and_what_sticks_out_is_cut(api: Api, bucket: str) -> None:
    """Both ends inside; an event that only touches the range stays; one around it becomes two, the first with its id."""
    api.insert(
        bucket,
        event("10:00:00", 60),
        event("10:01:00", 60),
        event("10:02:00", 0),
        event("10:05:00", 0),
        event("10:04:00", 120),
        event("10:05:00", 1),
    )
    around = api.insert(bucket, event("09:00:00", 7200, TEA))[0]
    body = {"start": at("10:01:00"), "end": at("10:05:00")}
    before = api.events(bucket)
    dry = api.post(f"/buckets/{q(bucket)}/delete", {**body, "dry_run": True})
    assert (erased(dry), dry["dry_run"], api.events(bucket)) == ((3, 2), True, before)
    assert erased(api.post(f"/buckets/{q(bucket)}/delete", body)) == (3, 2)
    assert shown(api, bucket) == [
        ("09:00:00", 3660.0),
        ("10:00:00", 60.0),
        ("10:05:00", 1.0),
        ("10:05:00", 60.0),
        ("10:05:00", 3300.0),
    ]
    ids = {one["timestamp"]: one["id"] for one in api.events(bucket)}
    assert ids[at("09:00:00")] == around["id"]
    assert erased(api.post(f"/buckets/{q(bucket)}/delete", body)) == (0, 0)


@pytest.mark.parametrize(
    ("filter_", "left"),
    [
        ({"field": "title", "pattern": "(?i)BANK"}, [TEA]),
        ({"field": "title", "equals": "tea"}, [BANK]),
        ({"field": "app", "equals": "web"}, []),
        ({"field": "app", "equals": None}, [TEA, BANK]),
    ],
)
def test_a_filter_names_what_is_erased(api: Api, bucket: str, filter_: dict[str, Any], left: list[Any]) -> None:
    """In all of time if no range is given."""
    api.insert(bucket, event("10:00:00", 1, TEA), event("10:00:01", 1, BANK))
    answer = api.post(f"/buckets/{q(bucket)}/delete", {"filter": filter_})
    assert answer["deleted"] == 2 - len(left)
    assert [one["data"] for one in reversed(api.events(bucket))] == left


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"start": None},
        {"start": "noon"},
        {"start": at("10:00:01"), "end": at("10:00:00")},
        {"filter": {"field": "a"}},
        {"filter": {"field": "", "equals": 1}},
        {"filter": {"field": "a", "equals": 1, "pattern": "x"}},
        {"filter": {"field": "a", "pattern": "("}},
        {"filter": {"field": 5, "equals": 1}},
        {"start": at("10:00:00"), "dry_run": 1},
    ],
)
def test_an_erasure_that_means_nothing_is_refused(api: Api, bucket: str, body: Any) -> None:
    """And nothing is erased: least of all by an empty body."""
    before = api.insert(bucket, event("10:00:00", 1))
    api.refused("POST", f"/buckets/{q(bucket)}/delete", body)
    assert api.events(bucket) == before


def test_an_erasure_in_a_bucket_that_is_not_there_is_a_404(api: Api, name: str) -> None:
    api.refused("POST", f"/buckets/{q(name)}/delete", {"start": at("10:00:00")}, status=404)
    api.refused("POST", "/forget", {"minutes": 1, "bucket": name}, status=404)


def seconds(count: int) -> list[dict[str, Any]]:
    """So many events, one for each second of a day in May; every other one is of a bank."""
    start = datetime(2024, 5, 1, tzinfo=UTC)
    return [
        {"timestamp": (start + timedelta(seconds=n)).isoformat(), "duration": 1, "data": BANK if n % 2 else TEA}
        for n in range(count)
    ]


def test_a_range_of_any_length_is_erased_at_once(api: Api, bucket: str) -> None:
    """Segments inside it need no look: one command drops them, and rewrites the one at the edge."""
    api.post(f"/buckets/{q(bucket)}/events", seconds(30_000))
    assert erased(api.post(f"/buckets/{q(bucket)}/delete", {"start": at("00:10:00")})) == (29_400, 0)
    assert api.count(bucket) == 600
    assert api.bucket(bucket)["metadata"]["end"] == at("00:10:00")


def test_a_large_erasure_is_a_job(api: Api, bucket: str) -> None:
    """Its progress can be asked for; afterwards everything it was to erase is gone."""
    api.post(f"/buckets/{q(bucket)}/events", seconds(30_000))
    answer = api.call("POST", f"/buckets/{q(bucket)}/delete", {"filter": {"field": "title", "pattern": "bank"}})
    assert answer.status == 202
    job = finished(api, answer.json()["job"])
    assert (job["state"], job["counts"], job["error"]) == ("done", {"deleted": 15_000, "changed": 0}, None)
    assert job["done"] == job["total"] > 0
    assert api.count(bucket) == 15_000
    assert job in api.get("/jobs")


def test_jobs_that_are_not_there_are_a_404(api: Api) -> None:
    for job in ("999999", "x", "-1", "1" * 100):
        api.refused("GET", f"/jobs/{job}", status=404)
        api.refused("DELETE", f"/jobs/{job}", status=404)


def test_the_last_minutes_are_forgotten(api: Api, bucket: str, other: str) -> None:
    """What is inside goes, with what lies in the future; the running event is cut, and the next heartbeat is a new one."""
    now = datetime.now(UTC)

    def ago(seconds: float, duration: float, data: Any = TEA) -> dict[str, Any]:
        return {"timestamp": (now - timedelta(seconds=seconds)).isoformat(), "duration": duration, "data": data}

    api.insert(bucket, ago(7200, 60), ago(300, 10), ago(-600, 10))
    running = api.beat(other, ago(3600, 3600, BANK), 60)
    dry = api.post("/forget", {"minutes": 10, "bucket": bucket, "dry_run": True})
    assert (erased(dry), api.count(bucket)) == ((2, 0), 3)
    assert erased(api.post("/forget", {"minutes": 10, "bucket": bucket})) == (2, 0)
    assert (api.count(bucket), api.events(other)) == (1, [running])
    everywhere = api.post("/forget", {"minutes": 10})
    assert everywhere["buckets"][other] == {"deleted": 0, "cut": 1}
    (cut,) = api.events(other)
    assert (cut["id"], 3000 <= cut["duration"] < 3600) == (running["id"], True)
    assert api.beat(other, ago(0, 0, BANK), 60)["id"] != running["id"]


@pytest.mark.parametrize("minutes", [0, -1, "10", None, 1e300])
def test_minutes_are_a_positive_number(api: Api, minutes: Any) -> None:
    api.refused("POST", "/forget", {"minutes": minutes})


RULES = [
    {"enabled": True, "pattern": "bank", "action": "drop", "field": "title"},
    {"enabled": True, "pattern": "te", "action": "redact", "field": "title", "replacement": "hidden"},
]


@pytest.mark.usefixtures("clean_settings")
def test_privacy_filters_are_previewed_and_applied_to_history(api: Api, bucket: str) -> None:
    """The preview says what each rule would hit, and changes nothing; the job does just that, and once is enough."""
    rules = [{**rule, "bucket_prefix": bucket} for rule in RULES]
    api.insert(bucket, *(event(f"10:00:{n:02d}", 1, BANK if n % 3 else TEA) for n in range(9)))
    before = api.events(bucket)
    preview = api.post("/privacy/preview", {"rules": rules})
    assert (preview["dropped"], preview["redacted"]) == (6, 3)
    assert preview["buckets"] == {bucket: {"dropped": 6, "redacted": 3, "rules": {"0": 6, "1": 3}}}
    assert [(hit["events"], hit["samples"]) for hit in preview["rules"]] == [(6, [BANK]), (3, [TEA])]
    assert api.events(bucket) == before
    api.post("/settings/privacy_filters", rules)
    assert api.post("/privacy/preview", {}) == preview
    job = finished(api, api.ok("POST", "/privacy/apply", {}, status=202))
    assert job["counts"] == {"deleted": 6, "changed": 3}
    hidden = {"app": "web", "title": "hidden"}
    assert api.events(bucket) == [{**one, "data": hidden} for one in before if one["data"] == TEA]
    assert finished(api, api.ok("POST", "/privacy/apply", {}, status=202))["counts"] == {"deleted": 0, "changed": 0}


@pytest.mark.usefixtures("clean_settings")
def test_without_rules_there_is_nothing_to_apply(api: Api) -> None:
    api.refused("POST", "/privacy/apply", {})
    api.refused("POST", "/privacy/preview", {"rules": [{"pattern": "x"}]})
    assert api.post("/privacy/preview", {})["buckets"] == {}


@pytest.mark.usefixtures("clean_settings")
@pytest.mark.parametrize(
    ("limit", "left"),
    [({"max_events": 3}, [7, 8, 9]), ({"min_duration_s": 6}, [6, 7, 8, 9]), ({"max_age_days": 365}, [9])],
)
def test_retention_removes_what_is_too_old_too_many_or_too_short(
    api: Api, bucket: str, limit: dict[str, Any], left: list[int]
) -> None:
    """The newest event stays in any case: it may be running. The preview is what the run does."""
    api.insert(bucket, *(event(f"10:00:{n:02d}", n) for n in range(10)))
    rules = [{"bucket_prefix": bucket, **limit}, {"bucket_prefix": bucket, "max_events": 1}]
    would = api.post("/retention/preview", {"rules": rules})
    assert would == {"would_remove": 10 - len(left), "buckets": {bucket: 10 - len(left)}}
    assert api.count(bucket) == 10
    api.post("/settings/retention", rules)
    assert api.post("/retention/preview", {}) == would
    assert finished(api, api.ok("POST", "/retention/run", {}, status=202))["state"] == "done"
    assert [one["duration"] for one in reversed(api.events(bucket))] == left
    run = api.get("/retention")["last_run"]
    assert (run["removed"], run["error"]) == ({bucket: 10 - len(left)}, None)
    assert run["seconds"] >= 0


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({}, "no limit"),
        ({"bucket_prefix": "x"}, "no limit"),
        ({"max_events": 0}, "max_events"),
        ({"max_events": 1.5}, "max_events"),
        ({"max_age_days": -1}, "max_age_days"),
        ({"max_age_days": "30"}, "max_age_days"),
        ({"bucket_prefix": 5, "max_events": 1}, "bucket_prefix"),
        ({"bucket": "x", "max_events": 1}, "bucket"),
        (5, "object"),
    ],
)
def test_a_rule_of_retention_that_means_nothing_is_named(api: Api, rule: Any, why: str) -> None:
    """By its place; nothing is stored."""
    for method, path, body in (
        ("POST", "/settings/retention", [{"max_events": 1}, rule]),
        ("POST", "/retention/preview", {"rules": [{"max_events": 1}, rule]}),
    ):
        message = api.refused(method, path, body)["message"]
        assert "retention[1]" in message
        assert why in message
    assert api.get("/settings/retention") is None
