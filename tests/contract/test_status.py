"""`/status`, `/sizes` and the timelines: what the dashboard shows, for everybody."""

from __future__ import annotations

import pytest

from tests.contract.wire import Api, exchange

DAY = "start=2024-05-01T00:00:00Z&end=2024-05-02T00:00:00Z"


def event(clock: str, duration_s: float, **data: object) -> dict[str, object]:
    return {"timestamp": f"2024-05-01T{clock}+00:00", "duration": duration_s, "data": data}


def test_status_has_each_buckets_tail_record_and_rhythm(api: Api, bucket: str) -> None:
    """Nine in ten gaps between events are no longer than the usual silence."""
    minutes = [event(f"10:{at:02}:00", 50, app="Code", title=f"file {at}") for at in range(30)]
    stored = api.post(f"/buckets/{bucket}/events", minutes)
    status = api.get("/status")
    found = next(each for each in status["buckets"] if each["id"] == bucket)
    assert found["events"] == 30
    assert found["start"] == "2024-05-01T10:00:00+00:00"
    assert found["usual_silence"] == 10.0
    assert found["tail"] == {
        "id": stored[-1]["id"],
        "timestamp": "2024-05-01T10:29:00+00:00",
        "duration": 50.0,
        "name": "Code",
        "detail": "file 29",
    }


def test_status_follows_edits_and_deletions(api: Api, bucket: str) -> None:
    """Also where the tail record keeps its place and gets other data."""

    def shown() -> tuple[int, str | None]:
        found = next(each for each in api.get("/status")["buckets"] if each["id"] == bucket)
        return found["events"], found["tail"] and found["tail"]["name"]

    assert shown() == (0, None)
    stored = api.post(f"/buckets/{bucket}/events", event("10:00:00", 5, status="afk"))
    assert shown() == (1, "afk")
    api.post(f"/buckets/{bucket}/events", {**stored, "data": {"status": "not-afk"}})
    assert shown() == (1, "not-afk")
    api.ok("DELETE", f"/buckets/{bucket}/events/{stored['id']}")
    assert shown() == (0, None)


def test_status_tells_of_commits_and_the_disk(api: Api, bucket: str) -> None:
    """Each write that is answered counts once."""
    before = api.get("/status")
    for second in range(3):
        api.post(f"/buckets/{bucket}/heartbeat?pulsetime=1", event(f"10:00:0{second}", 0, a=1))
    after = api.get("/status")
    assert after["acknowledged"] - before["acknowledged"] == 3
    assert after["commits"]["is_writable"] is True
    assert after["commits"]["count"] > before["commits"]["count"]
    assert after["commits"]["seconds"] > 0
    assert after["commits"]["at"] <= after["now"]
    assert after["disk"]["file_bytes"] > 0
    assert after["busiest_second"] >= 1
    assert 0 < after["waits"]["p50"] <= after["waits"]["p99"]


def test_what_was_refused_is_told_with_its_reason_and_sender(api: Api, bucket: str) -> None:
    """A body that is no JSON, a bucket that is not there, a page of another origin: by program, bucket and origin."""
    name = f"{bucket}-gone"
    for _ in range(2):
        api.refused("POST", f"/buckets/{name}/heartbeat?pulsetime=1", event("10:00:00", 0), status=404)
    assert sent(api, bucket, b'{"timestamp": secret', "User-Agent: aw-watcher-x/1.2 (Linux)") == 400
    assert sent(api, bucket, b"{}", "User-Agent: Mozilla/5.0 (X11)", "Origin: https://elsewhere.example") == 403
    foreign, malformed, missing = api.get("/refusals")[:3]
    assert (missing["type"], missing["bucket"], missing["count"], missing["status"]) == ("NoSuchBucket", name, 2, 404)
    assert (malformed["type"], malformed["client"], malformed["bucket"]) == ("BadRequest", "aw-watcher-x/1.2", bucket)
    assert "secret" not in str(malformed)
    assert malformed["route"] == "/api/0/buckets/{bucket_id}/heartbeat"
    assert (foreign["type"], foreign["origin"]) == ("OriginNotAllowed", "https://elsewhere.example")
    assert foreign["last"] >= malformed["last"] >= missing["last"]


def sent(api: Api, bucket: str, body: bytes, *headers: str) -> int:
    path = f"/api/0/buckets/{bucket}/heartbeat?pulsetime=1"
    return exchange(api.server, "POST", path, "Content-Type: application/json", *headers, body=body).status


def test_files_that_are_not_there_are_no_refusals(api: Api) -> None:
    """A browser asks for icons by itself: nothing that a watcher sent."""
    before = api.get("/refusals")
    assert exchange(api.server, "GET", "/favicon.ico").status == 404
    assert api.get("/refusals") == before


def test_no_error_of_a_query_is_repeated(api: Api) -> None:
    """Its text quotes the query."""
    asked = {"query": ["RETURN = secret_name;"], "timeperiods": ["2024-05-01/2024-05-02"]}
    api.refused("POST", "/query", asked)
    assert api.get("/refusals")[0]["type"].startswith("Query")
    assert "secret_name" not in str(api.get("/refusals"))


def test_long_texts_are_cut_on_demand(api: Api, bucket: str) -> None:
    """In a list of events, in one event and in what a query answers; without `text_max` all of them is there."""
    name = "W" * 1_000_000
    stored = api.post(f"/buckets/{bucket}/events", [event("10:00:00", 60, app=name)])
    cut = {**stored[0], "data": {"app": "W" * 99 + "…"}}
    assert api.get(f"/buckets/{bucket}/events?text_max=100&limit=5&{DAY}") == [cut]
    assert api.get(f"/buckets/{bucket}/events/{stored[0]['id']}?text_max=100") == cut
    program = f'RETURN = merge_events_by_keys(query_bucket("{bucket}"), ["app"]);'
    asked = {"query": [program], "timeperiods": ["2024-05-01T00:00:00Z/2024-05-02T00:00:00Z"]}
    assert api.post("/query?text_max=100", asked)[0][0]["data"] == cut["data"]
    assert api.post("/query", asked)[0][0]["data"] == {"app": name}
    assert api.get(f"/buckets/{bucket}/events?{DAY}") == stored


@pytest.mark.parametrize("query", ["text_max=0", "text_max=x", "text_max=-1", "text_max=1000001"])
def test_a_length_of_texts_is_a_number(api: Api, bucket: str, query: str) -> None:
    stored = api.post(f"/buckets/{bucket}/events", event("10:00:00", 60, app="a"))
    api.refused("GET", f"/buckets/{bucket}/events?{query}", word="BadRequest")
    api.refused("GET", f"/buckets/{bucket}/events/{stored['id']}?{query}", word="BadRequest")
    api.refused("POST", f"/query?{query}", {"query": ["RETURN = 1;"], "timeperiods": []}, word="BadRequest")


@pytest.mark.parametrize("more", ["format=csv", "page_size=5"])
def test_texts_are_cut_in_lists_of_json_only(api: Api, bucket: str, more: str) -> None:
    api.refused("GET", f"/buckets/{bucket}/events?text_max=9&{more}", word="BadRequest")


def test_a_timeline_of_few_events_has_each_of_them(api: Api, bucket: str) -> None:
    stored = api.post(f"/buckets/{bucket}/events", [event("10:00:00", 60, app="A"), event("11:00:00", 0, app="B")])
    assert api.get(f"/buckets/{bucket}/timeline?{DAY}")["buckets"][bucket] == {
        "events": 2,
        "names": ["A", "B"],
        "bars": {
            "id": [each["id"] for each in stored],
            "offset_s": [36000.0, 39600.0],
            "duration_s": [60.0, 0.0],
            "name": [0, 1],
        },
    }


def test_the_timeline_of_all_has_bins(desk: Api, name: str) -> None:
    """Of a day in four parts: what was covered, how many events began, and which name filled most of it."""
    bucket, other = desk.create(name), desk.create(f"{name}-other")  # there are few: of many each has fewer bins
    events = [event("05:00:00", 7200, app="A"), event("08:00:00", 60, app="A"), event("09:00:00", 90, app="B")]
    desk.post(f"/buckets/{bucket}/events", events)
    answer = desk.get(f"/timeline?{DAY}&bins=4")
    assert answer["bin_count"] == 4
    assert answer["buckets"][other] == {"events": 0, "names": []}
    assert answer["buckets"][bucket] == {
        "events": 3,
        "names": ["A"],
        "bins": {"covered_s": [3600.0, 3750.0, 0.0, 0.0], "count": [1, 2, 0, 0], "name": [0, 0, -1, -1]},
    }


@pytest.mark.parametrize(
    "query",
    ["", "start=2024-05-01", f"{DAY}&bins=0", f"{DAY}&bins=2001", f"{DAY}&bins=x", "start=2024-05-02&end=2024-05-01"],
)
def test_a_timeline_needs_a_range_and_a_number_of_bins(api: Api, bucket: str, query: str) -> None:
    api.refused("GET", f"/buckets/{bucket}/timeline?{query}", word="BadRequest")
    api.refused("GET", f"/timeline?{query}", word="BadRequest")


def test_a_timeline_of_no_bucket_is_404(api: Api, name: str) -> None:
    api.refused("GET", f"/buckets/{name}/timeline?{DAY}", status=404, word="NoSuchBucket")


def test_sizes_grow_with_what_is_stored(api: Api, bucket: str) -> None:
    assert api.get("/sizes")[bucket] == 0
    api.post(f"/buckets/{bucket}/events", [event("10:00:00", 1, text="x" * 1000)])
    assert 1000 < api.get("/sizes")[bucket] < 1200
