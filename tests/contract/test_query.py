"""`POST /query`: section 9 of the REST contract, and limits that hold whatever is asked. The language has its own tests."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.wire import Api, at, check_error, event
from tests.server import Server

MAY_DAY = "2024-05-01T00:00:00+00:00/2024-05-02T00:00:00+00:00"


def ask(api: Api, *lines: str, periods: list[str] | None = None, **query: str) -> Any:
    return api.post(
        "/query/", {"query": list(lines), "timeperiods": [MAY_DAY] if periods is None else periods}, **query
    )


def refused(api: Api, word: str, *lines: str) -> str:
    """The message of a 400 with this `type`."""
    answer = api.call("POST", "/query/", {"query": list(lines), "timeperiods": [MAY_DAY]})
    return str(check_error(answer, 400, word)["message"])


def test_the_example_of_the_contract(api: Api, bucket: str) -> None:
    """A sum over one period is a list with one number."""
    api.post(f"/buckets/{bucket}/events", [event("10:00:00", 60), event("10:05:00")])
    assert ask(api, f"es = query_bucket('{bucket}');", "RETURN = sum_durations(es);") == [60.0]


def test_each_period_has_its_result_in_order(api: Api, bucket: str) -> None:
    """An end before its start is an empty period; no period gives no result."""
    api.post(f"/buckets/{bucket}/events", [event("10:00:00", 60), event("11:00:00", 5)])
    lines = (f"RETURN = sum_durations(query_bucket('{bucket}'));",)
    hour, noon = f"{at('10:00:00')}/{at('10:30:00')}", f"{at('10:59:00')}/{at('12:00:00')}"
    assert ask(api, *lines, periods=[noon, hour, f"{at('12:00:00')}/{at('10:00:00')}"]) == [5.0, 60.0, 0.0]
    assert ask(api, *lines, periods=[]) == []


def test_events_in_results_look_as_range_reads_do(api: Api, bucket: str) -> None:
    """Cut to the period, newest first, ids kept."""
    api.post(f"/buckets/{bucket}/events", [event("10:00:00", 60), event("10:01:00"), event("10:02:00", 30)])
    span = {"start": at("10:00:30"), "end": at("10:02:00")}
    read = api.get(f"/buckets/{bucket}/events", **span)
    assert ask(api, f"RETURN = query_bucket('{bucket}');", periods=[f"{span['start']}/{span['end']}"]) == [read]
    assert [e["duration"] for e in read] == [0.0, 0.0, 30.0]


@pytest.mark.parametrize("change", ["heartbeat", "insert", "replace", "delete", "delete the newest"])
def test_a_query_sees_every_write_that_was_acknowledged_before(api: Api, bucket: str, change: str) -> None:
    """C1: also from a process that answered a query before the write."""
    stored = api.post(f"/buckets/{bucket}/events", [event("10:00:00", 60), event("10:05:00", 5)])
    program = f"RETURN = query_bucket('{bucket}');"
    for _ in range(4):  # every reader process has seen the bucket
        assert ask(api, program)[0] == api.get(f"/buckets/{bucket}/events")
    match change:
        case "heartbeat":
            api.post(f"/buckets/{bucket}/heartbeat", event("10:05:09"), pulsetime=60)
        case "insert":
            api.post(f"/buckets/{bucket}/events", [event("09:00:00", 1), event("12:00:00", 1)])
        case "replace":
            api.post(f"/buckets/{bucket}/events", [{**event("10:00:01", 2, {"new": 1}), "id": stored[0]["id"]}])
        case "delete":
            api.ok("DELETE", f"/buckets/{bucket}/events/{stored[0]['id']}")
        case "delete the newest":
            api.ok("DELETE", f"/buckets/{bucket}/events/{stored[1]['id']}")
    for _ in range(4):
        assert ask(api, program)[0] == api.get(f"/buckets/{bucket}/events")


@pytest.mark.parametrize(
    "body",
    [
        {"query": "RETURN = 1;", "timeperiods": [MAY_DAY]},
        {"query": [1], "timeperiods": [MAY_DAY]},
        {"query": ["RETURN = 1;"], "timeperiods": MAY_DAY},
        {"query": ["RETURN = 1;"], "timeperiods": ["2024-05-01"]},
        {"query": ["RETURN = 1;"], "timeperiods": ["2024-05-01/x"]},
        {"query": ["RETURN = 1;"], "timeperiods": ["2024-05-01/2024-05-02/2024-05-03"]},
        {"query": ["RETURN = 1;"]},
        {"timeperiods": [MAY_DAY]},
        [],
    ],
)
def test_a_malformed_request_is_a_400(api: Api, body: object) -> None:
    """Both are lists of texts; a period is two timestamps and one slash."""
    check_error(api.call("POST", "/query/", body), 400, "BadRequest")


@pytest.mark.parametrize(
    ("word", "line", "says"),
    [
        ("QueryParseException", "RETURN = (1;", "line 1, column 12"),
        ("QueryParseException", "x = 1;", "RETURN"),
        ("QueryInterpretException", "RETURN = unknown;", "unknown"),
        ("QueryInterpretException", "RETURN = flood();", "flood"),
        ("QueryFunctionException", "RETURN = query_bucket('there-is-none');", "there-is-none"),
        ("QueryFunctionException", "RETURN = flood(1);", "flood"),
    ],
)
def test_errors_name_their_type_and_what_was_expected_where(api: Api, word: str, line: str, says: str) -> None:
    """Status 400, whatever is wrong with a query."""
    assert says in refused(api, word, line)


@pytest.mark.parametrize(
    "lines",
    [
        ["a = [1];", *["a = [a, a];"] * 60, "RETURN = a;"],
        ["RETURN = " + "[" * 10_000 + "]" * 10_000 + ";"],
        ["# " + "x" * (1 << 20), "RETURN = 1;"],
    ],
    ids=["a list doubled sixty times", "10,000 brackets", "more than a megabyte of text"],
)
def test_what_would_exhaust_the_server_is_refused(api: Api, lines: list[str]) -> None:
    """Each limit is a 400, and the next query is answered."""
    assert refused(api, "QueryLimitExceeded", *lines)
    assert ask(api, "RETURN = 1;") == [1]


def test_a_period_of_all_time_is_ordinary(api: Api, bucket: str) -> None:
    """Eight thousand years and more."""
    api.post(f"/buckets/{bucket}/events", [event("10:00:00", 60)])
    years = "0001-01-01T00:00:00Z/9999-12-31T23:59:59Z"
    assert ask(api, f"RETURN = sum_durations(query_bucket('{bucket}'));", periods=[years]) == [60.0]


def test_name_is_a_variable_and_cache_is_nothing(api: Api) -> None:
    """Both are accepted."""
    assert ask(api, "RETURN = NAME;", name="my query", cache="1") == ["my query"]


def test_explain_tells_what_each_statement_did(api: Api, bucket: str) -> None:
    """With `explain=1` the results come beside the plan."""
    api.post(f"/buckets/{bucket}/events", [event("10:00:00", 60)])
    answer = ask(api, f"es = flood(query_bucket('{bucket}'));", "RETURN = sum_durations(es);", explain="1")
    assert answer["results"] == [60.0]
    statements = answer["explanation"]["statements"]
    assert [statement["functions"] for statement in statements] == [["query_bucket", "flood"], ["sum_durations"]]
    assert statements[0]["events_out"] == 1


@pytest.fixture
def hurried(tmp_path: Path) -> Iterator[Server]:
    """A server whose queries may run for two seconds; in it a title that a bad pattern never gets over."""
    with Server(tmp_path / "data", "--max-query-s", "2") as server:
        api = Api(server)
        api.create("hostile")
        api.post("/buckets/hostile/events", [event("10:00:00", 1, {"title": "a" * 60 + "!"})])
        yield server


# A look-ahead has no linear twin: this one runs in Python's `re`, and does not come back.
ENDLESS = "RETURN = filter_keyvals_regex(query_bucket('hostile'), 'title', '^(?=a)(a+)+$');"


def test_a_pattern_that_never_ends_is_ended_and_moves_no_heartbeat(hurried: Server) -> None:
    """The process that runs it is killed; watchers beat on, and the next query is answered."""
    api = Api(hurried)
    api.create("beats")
    beats: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        watcher = Api(hurried)
        while not ended.is_set():
            watcher.post("/buckets/beats/heartbeat", event("10:00:00", len(beats)), pulsetime=60)
            beats.append(1)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        message = refused(api, "QueryLimitExceeded", ENDLESS)
    finally:
        ended.set()
        watching.join()
    assert "max_query_s" in message
    assert len(beats) > 100
    assert ask(api, "RETURN = 1;") == [1]


def test_limits_of_a_request_hold_when_its_answers_are_known(tmp_path: Path) -> None:
    """The number of periods, and the length of all answers together."""
    with Server(tmp_path / "data", "--max-query-periods", "3", "--max-query-memory-bytes", "100000") as server:
        api = Api(server)
        program = "RETURN = '" + "x" * 20_000 + "';"
        for count, word in [(3, None), (4, "max_query_periods"), (3, None)]:
            answer = api.call("POST", "/query/", {"query": [program], "timeperiods": [MAY_DAY] * count})
            assert (
                answer.status == 200
                if word is None
                else word in check_error(answer, 400, "QueryLimitExceeded")["message"]
            )
        long = "RETURN = '" + "x" * 40_000 + "';"
        for _ in range(2):
            assert len(ask(api, long, periods=[MAY_DAY] * 2)) == 2
            answer = api.call("POST", "/query/", {"query": [long], "timeperiods": [MAY_DAY] * 3})
            assert "max_query_memory_bytes" in check_error(answer, 400, "QueryLimitExceeded")["message"]


def test_a_linear_pattern_over_a_hostile_title_is_answered(hurried: Server) -> None:
    """`^(a+)+$` means the same in a linear engine, and runs there."""
    program = "RETURN = filter_keyvals_regex(query_bucket('hostile'), 'title', '^(a+)+$');"
    assert ask(Api(hurried), program) == [[]]


def test_a_client_that_goes_away_ends_its_query(tmp_path: Path) -> None:
    """O6: as many endless queries as there are readers, all left alone; the next one has its turn at once."""
    with Server(tmp_path / "data", "--max-query-s", "600") as server:
        api = Api(server)
        api.create("hostile")
        api.post("/buckets/hostile/events", [event("10:00:00", 1, {"title": "a" * 60 + "!"})])
        body = json.dumps({"query": [ENDLESS], "timeperiods": [MAY_DAY]})
        for _ in range(8):
            left = http.client.HTTPConnection(server.host, server.port)
            left.request("POST", "/api/0/query/", body, {"Content-Type": "application/json"})
            time.sleep(0.05)  # the server has read it
            left.close()
        assert ask(api, "RETURN = 1;") == [1]
