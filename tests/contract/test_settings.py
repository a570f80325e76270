"""Section 11: settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.contract.wire import Api, exchange, q, same, strict_json
from tests.server import Server

KEY_BYTES_MAX = 127
VALUES: list[Any] = [
    False,
    True,
    0,
    1,
    -1.5,
    10**40,
    "",
    "text",
    "null",
    "ü \U0001f600 \0",
    [],
    {},
    [None],
    {"a": None},
    [0, "", False, [], {}],
    {"": {"deep": [{"x": [1, 2.5, True]}]}},
    "x" * 1_500_000,
    [{"name": f"view {n}", "elements": [{"type": "top_apps", "size": 3}] * 20} for n in range(200)],
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_any_json_value_is_stored_as_it_is(api: Api, name: str, value: Any) -> None:
    """False ones too. The answer is the value given."""
    assert same(api.post(f"/settings/{name}", value), value)
    assert same(api.get(f"/settings/{name}"), value)
    assert same(api.get("/settings")[name], value)
    assert api.ok("DELETE", f"/settings/{name}") == {}


def test_a_setting_that_is_not_set_is_null(api: Api, name: str) -> None:
    """A 200 and not a 404, which the web UI would show as an error."""
    answer = api.call("GET", f"/settings/{name}")
    assert (answer.status, answer.body.strip()) == (200, b"null")
    assert name not in api.get("/settings")


def test_null_removes_a_setting(api: Api, name: str) -> None:
    """It is not stored: the web UI would blank a default with it."""
    api.post(f"/settings/{name}", {"a": 1})
    assert api.post(f"/settings/{name}", None) is None
    assert name not in api.get("/settings")
    assert api.get(f"/settings/{name}") is None
    assert api.post(f"/settings/{name}", None) is None
    assert name not in api.get("/settings")


def test_a_setting_is_deleted_also_when_there_is_none(api: Api, name: str) -> None:
    api.post(f"/settings/{name}", 5)
    for _ in range(2):
        assert api.ok("DELETE", f"/settings/{name}") == {}
        assert api.get(f"/settings/{name}") is None
        assert name not in api.get("/settings")


def test_a_new_value_takes_the_place_of_the_old_one(api: Api, name: str) -> None:
    """As a whole, and without an effect on other keys."""
    api.post(f"/settings/{name}", {"a": 1, "b": 2})
    api.post(f"/settings/{name}-2", "other")
    api.post(f"/settings/{name}", {"c": 3})
    assert api.get(f"/settings/{name}") == {"c": 3}
    assert api.get(f"/settings/{name}-2") == "other"


@pytest.mark.parametrize("path", ["/settings", "/settings/"])
def test_a_value_without_a_key_is_refused(api: Api, path: str) -> None:
    before = api.get("/settings")
    api.refused("POST", path, {"a": 1}, word="BadRequest")
    assert api.get("/settings") == before


@pytest.mark.parametrize("key", ["k" * KEY_BYTES_MAX, "ä" * 63 + "k", "\U0001f600" * 31])
def test_a_key_has_up_to_127_bytes(api: Api, key: str) -> None:
    assert api.post(f"/settings/{q(key)}", 1) == 1
    assert api.get(f"/settings/{q(key)}") == 1
    assert api.get("/settings")[key] == 1
    assert api.ok("DELETE", f"/settings/{q(key)}") == {}
    assert key not in api.get("/settings")


@pytest.mark.parametrize("key", ["k" * (KEY_BYTES_MAX + 1), "k" * 5000, "ä" * 64, "\U0001f600" * 32])
def test_a_longer_key_is_refused_for_every_method(api: Api, key: str) -> None:
    """Counted in bytes of UTF-8, after decoding."""
    path = f"/settings/{q(key)}"
    for method, body in (("GET", ()), ("DELETE", ()), ("POST", (1,)), ("POST", (None,))):
        api.refused(method, path, *body, word="BadRequest")
    assert exchange(api.server, "HEAD", f"/api/0{path}").status == 400
    assert key not in api.get("/settings")


@pytest.mark.parametrize(
    "key",
    [
        "with space",
        "a/b",
        "/",
        "ü",
        "世界",
        "..",
        ".",
        "a%2Fb",
        "+",
        '"',
        "<b>",
        "$",
        "startOfDay",
        "classes",
        "__proto__",
    ],
)
def test_a_key_is_any_text(api: Api, name: str, key: str) -> None:
    key = f"{name}{key}" if key not in {"..", ".", "/"} else key
    assert api.post(f"/settings/{q(key)}", [key]) == [key]
    assert api.get(f"/settings/{q(key)}") == [key]
    assert api.get("/settings")[key] == [key]
    assert api.ok("DELETE", f"/settings/{q(key)}") == {}
    assert key not in api.get("/settings")


@pytest.mark.parametrize("bad", [b"", b"{", b"NaN", b"1e400", b"undefined", b'"\xff"', b"{} {}"])
def test_what_is_no_json_leaves_the_old_value(api: Api, name: str, bad: bytes) -> None:
    api.post(f"/settings/{name}", {"old": 1})
    api.refused("POST", f"/settings/{name}", bad, word="BadRequest")
    assert api.get(f"/settings/{name}") == {"old": 1}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_settings_as_a_whole_can_only_be_read(api: Api, method: str) -> None:
    api.refused(method, "/settings", {"a": 1}, status=405, word="MethodNotAllowed")


def test_settings_are_as_they_were_after_a_restart(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        api = Api(server)
        for n, value in enumerate(VALUES):
            api.post(f"/settings/key{n}", value)
        api.post("/settings/removed", None)
        before = strict_json(api.call("GET", "/settings").body)
        assert len(before) == len(VALUES)
        for end in (server.stop, server.kill):
            end()
            server.start()
            assert same(api.get("/settings"), before)
