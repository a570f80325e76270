"""Paths: how they are split, and where they lead. `rest-api.md` section 1."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.api import info
from awlog.api.route import Endpoint, Route
from awlog.api.routes import ROUTES, Router, path_segments
from awlog.model.errors import MethodNotAllowed, NotFound


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("/", [""]),
        ("/api", ["api"]),
        ("/api/", ["api"]),
        ("/api/0/buckets", ["api", "0", "buckets"]),
        ("/api/0/buckets/", ["api", "0", "buckets"]),
        ("/api/0/buckets//", ["api", "0", "buckets", ""]),
        ("//api/0/info", ["", "api", "0", "info"]),
        ("/api//0", ["api", "", "0"]),
        ("/api/0/buckets/a%2Fb", ["api", "0", "buckets", "a/b"]),
        ("/api/0/buckets/a%2Fb/", ["api", "0", "buckets", "a/b"]),
        ("/api/0/buckets/a%252Fb", ["api", "0", "buckets", "a%2Fb"]),
        ("/api/0/buckets/%20", ["api", "0", "buckets", " "]),
        ("/api/0/buckets/a+b", ["api", "0", "buckets", "a+b"]),
        ("/api/0/buckets/%E6%97%A5", ["api", "0", "buckets", "日"]),
        ("/api/0/buckets/日", ["api", "0", "buckets", "日"]),
        ("/api/0/buckets/100%", ["api", "0", "buckets", "100%"]),
        ("/api/0/buckets/%zz", ["api", "0", "buckets", "%zz"]),
        ("/api/0/buckets/..", ["api", "0", "buckets", ".."]),
        ("/api/0/buckets/%2e%2e", ["api", "0", "buckets", ".."]),
        ("/%61pi/0/info", ["api", "0", "info"]),
        ("/api/0/buckets/%2F/", ["api", "0", "buckets", "/"]),
    ],
)
def test_a_path_is_split_at_slashes_and_then_decoded_once(path: str, segments: list[str]) -> None:
    """So `%2F` is part of a bucket id. One slash at the end is ignored, no other."""
    assert path_segments(path) == segments


@pytest.mark.parametrize(
    "path", ["", "api/0/info", "*", "%2Fapi", "/api/0/buckets/%FF", "/%C3", "/%ED%A0%80", "/\udcff"]
)
def test_a_path_that_is_none_is_not_found(path: str) -> None:
    """It begins with a slash and is UTF-8."""
    with pytest.raises(NotFound):
        path_segments(path)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_any_texts_come_back_from_a_path_that_was_made_of_them(segments: list[str]) -> None:
    """Whatever a bucket is named: a client that encodes each segment reaches it."""
    encoded = ["".join(f"%{byte:02X}" for byte in segment.encode()) for segment in segments]
    assert path_segments("/" + "/".join(encoded)) == segments
    assert path_segments("/" + "/".join(encoded) + "/") == segments


def found(path: str, method: str = "GET") -> tuple[str, dict[str, str]]:
    """The name of the handler, and the parameters of the path."""
    params: dict[str, str] = {}
    route = Router(ROUTES).find(path_segments(f"/{path}"), params)
    return getattr(route.endpoint(method).handler, "__name__", ""), params


@pytest.mark.parametrize(
    ("method", "path", "handler", "params"),
    [
        ("GET", "0/info", "get_info", {}),
        ("GET", "0/buckets", "list_buckets", {}),
        ("GET", "0/buckets/", "list_buckets", {}),
        ("GET", "0/buckets/b", "get_bucket", {"bucket_id": "b"}),
        ("GET", "0/buckets/b/", "get_bucket", {"bucket_id": "b"}),
        ("POST", "0/buckets/b", "create_bucket", {"bucket_id": "b"}),
        ("PUT", "0/buckets/b", "update_bucket", {"bucket_id": "b"}),
        ("DELETE", "0/buckets/b", "delete_bucket", {"bucket_id": "b"}),
        ("GET", "0/buckets/b/events", "read_events", {"bucket_id": "b"}),
        ("POST", "0/buckets/b/events", "insert_events", {"bucket_id": "b"}),
        ("GET", "0/buckets/b/events/count", "count_events", {"bucket_id": "b"}),
        ("GET", "0/buckets/b/events/7", "get_event", {"bucket_id": "b", "event_id": "7"}),
        ("DELETE", "0/buckets/b/events/7", "delete_event", {"bucket_id": "b", "event_id": "7"}),
        ("POST", "0/buckets/b/heartbeat", "heartbeat", {"bucket_id": "b"}),
        ("POST", "0/buckets/b/heartbeats", "heartbeats", {"bucket_id": "b"}),
        ("POST", "0/heartbeats", "post_heartbeats", {}),
        ("GET", "0/stream", "stream", {}),
        ("GET", "0/buckets/b/export", "export_bucket", {"bucket_id": "b"}),
        ("GET", "0/buckets/b/timeline", "get_timeline", {"bucket_id": "b"}),
        ("GET", "0/timeline", "get_timelines", {}),
        ("GET", "0/status", "get_status", {}),
        ("GET", "0/sizes", "get_sizes", {}),
        ("GET", "0/export", "export_all", {}),
        ("POST", "0/import", "import_buckets", {}),
        ("GET", "0/settings", "all_settings", {}),
        ("POST", "0/settings", "without_key", {}),
        ("GET", "0/settings/k", "get_setting", {"key": "k"}),
        ("POST", "0/settings/k", "set_setting", {"key": "k"}),
        ("DELETE", "0/settings/k", "remove_setting", {"key": "k"}),
        ("GET", "0/log", "get_log", {}),
        ("GET", "0/openapi.json", "get_openapi", {}),
        ("POST", "0/admin/backup", "back_up", {}),
        ("POST", "0/admin/compact", "compact", {}),
        ("GET", "0/buckets/events", "get_bucket", {"bucket_id": "events"}),
        ("GET", "0/buckets/events/events/count", "count_events", {"bucket_id": "events"}),
        ("GET", "0/buckets/count/export", "export_bucket", {"bucket_id": "count"}),
        ("GET", "0/buckets/a%2Fevents", "get_bucket", {"bucket_id": "a/events"}),
        ("GET", "0/buckets/a%2Fevents/events/1%2F2", "get_event", {"bucket_id": "a/events", "event_id": "1/2"}),
        ("GET", "0/settings/a%2Fb", "get_setting", {"key": "a/b"}),
    ],
)
def test_each_request_of_the_contract_finds_its_handler(
    method: str, path: str, handler: str, params: dict[str, str]
) -> None:
    """Words of the API go before parameters; as a bucket id they are ordinary."""
    assert found(path, method) == (handler, params)


@pytest.mark.parametrize(
    "path",
    [
        "0",
        "1/info",
        "0/infos",
        "0/INFO",
        "0/info/x",
        "0/info//",
        "0/buckets/b/nothing",
        "0/buckets/b/events/7/x",
        "0/buckets/b/heartbeat/x",
        "0/settings/a/b",
        "0/import/x",
        "",
        "0//info",
    ],
)
def test_unknown_paths_are_not_found(path: str) -> None:
    """With a word on where to look, and no parameter left behind."""
    params: dict[str, str] = {}
    with pytest.raises(NotFound, match="/api/"):
        Router(ROUTES).find(path_segments(f"/{path}"), params)
    assert params == {}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "0/info", "GET, HEAD, OPTIONS"),
        ("DELETE", "0/buckets", "GET, HEAD, OPTIONS"),
        ("PATCH", "0/buckets/b", "DELETE, GET, HEAD, OPTIONS, POST, PUT"),
        ("GET", "0/buckets/b/heartbeat", "OPTIONS, POST"),
        ("HEAD", "0/import", "OPTIONS, POST"),
        ("POST", "0/buckets/b/events/count", "GET, HEAD, OPTIONS"),
        ("PUT", "0/buckets/b/events/7", "DELETE, GET, HEAD, OPTIONS"),
    ],
)
def test_a_known_path_with_another_method_says_which_ones_there_are(method: str, path: str, allowed: str) -> None:
    """A 405 with `Allow`."""
    with pytest.raises(MethodNotAllowed) as refused:
        found(path, method)
    assert refused.value.allowed == allowed
    assert allowed in str(refused.value)


def test_head_goes_where_get_goes() -> None:
    """On every path that has GET."""
    for route in ROUTES:
        if "GET" in route.endpoints:
            assert route.endpoint("HEAD") is route.endpoints["GET"]


def test_literals_go_before_parameters() -> None:
    """In a table that lists them in this order, as the route table does."""
    word, parameter = Endpoint(info.get_info, None), Endpoint(info.get_log, None)
    router = Router(
        [Route("a/b", {"GET": word}), Route("a/{x}", {"GET": parameter}), Route("{y}/b", {"GET": parameter})]
    )
    for path, endpoint, expected in (("a/b", word, {}), ("a/c", parameter, {"x": "c"}), ("c/b", parameter, {"y": "c"})):
        params: dict[str, str] = {}
        assert router.find(path.split("/"), params).endpoint("GET") is endpoint
        assert params == expected


def test_every_handler_says_what_it_does() -> None:
    """The page at `/api/` is made of these sentences."""
    for route in ROUTES:
        for endpoint in route.endpoints.values():
            assert (endpoint.handler.__doc__ or "").strip().partition("\n")[0].endswith(".")
