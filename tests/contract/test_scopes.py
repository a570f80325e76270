"""S4: every route, with every method, asked with every kind of token: who is let in is written down here, line by line.

A route without a line fails, so that whoever adds one decides what it needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest

from awlog.api.routes import ROUTES
from tests.contract.test_stream import HANDSHAKE
from tests.contract.wire import WATCHER, check_error, exchange
from tests.server import Server

JSON: Final = "Content-Type: application/json"
LINES: Final = "Content-Type: application/x-ndjson"
BEAT: Final = {"timestamp": "2024-05-01T10:00:00Z", "duration": 1, "data": {}}
LINE: Final = {"bucket": "a-1", "pulsetime": 5, "event": BEAT}
QUERY: Final = {"query": ["RETURN = 1;"], "timeperiods": ["2024-05-01T00:00Z/2024-05-02T00:00Z"]}
NOWHERE: Final = "0/nowhere"

# What each kind of token may: r read, a append, w write, * admin. In capitals: also with a token for the buckets `a-…` only.
# `@` is admin, also of these buckets only. `open` needs no token at all.
EXPECTED: Final = {
    ("GET", "0/info"): "open",
    ("GET", "0/buckets"): "R*",
    ("GET", "0/buckets/{bucket_id}"): "R*",
    ("POST", "0/buckets/{bucket_id}"): "AW*",
    ("PUT", "0/buckets/{bucket_id}"): "W*",
    ("DELETE", "0/buckets/{bucket_id}"): "W*",
    ("GET", "0/buckets/{bucket_id}/events"): "R*",
    ("POST", "0/buckets/{bucket_id}/events"): "AW*",
    ("GET", "0/buckets/{bucket_id}/events/count"): "R*",
    ("GET", "0/buckets/{bucket_id}/events/{event_id}"): "R*",
    ("DELETE", "0/buckets/{bucket_id}/events/{event_id}"): "W*",
    ("POST", "0/buckets/{bucket_id}/heartbeat"): "AW*",
    ("POST", "0/buckets/{bucket_id}/heartbeats"): "AW*",
    ("GET", "0/buckets/{bucket_id}/export"): "R*",
    ("POST", "0/buckets/{bucket_id}/delete"): "W*",
    ("GET", "0/buckets/{bucket_id}/timeline"): "R*",
    ("GET", "0/changes"): "R*",
    ("GET", "0/timeline"): "R*",
    ("GET", "0/status"): "R*",
    ("GET", "0/refusals"): "R*",
    ("GET", "0/sizes"): "R*",
    ("POST", "0/heartbeats"): "AW*",
    ("GET", "0/stream"): "RAW*",
    ("POST", "0/query"): "R*",
    ("GET", "0/export"): "r*",
    ("POST", "0/import"): "aw*",
    ("GET", "0/settings"): "r*",
    ("POST", "0/settings"): "*",
    ("GET", "0/settings/{key}"): "r*",
    ("POST", "0/settings/{key}"): "*",
    ("DELETE", "0/settings/{key}"): "*",
    ("GET", "0/openapi.json"): "R*",
    ("GET", "0/tokens"): "*",
    ("POST", "0/tokens"): "*",
    ("PUT", "0/tokens"): "*",
    ("DELETE", "0/tokens/{token_id}"): "*",
    ("POST", "0/forget"): "W*",
    ("POST", "0/privacy/preview"): "R*",
    ("POST", "0/privacy/apply"): "*",
    ("GET", "0/retention"): "r*",
    ("POST", "0/retention/preview"): "r*",
    ("POST", "0/retention/run"): "*",
    ("GET", "0/jobs"): "*",
    ("GET", "0/jobs/{job_id}"): "W*",
    ("DELETE", "0/jobs/{job_id}"): "*",
    ("GET", "0/log"): "*",
    ("POST", "0/admin/backup"): "*",
    ("POST", "0/admin/compact"): "*",
    ("GET", "0/webhooks/deliveries"): "*",
    ("POST", "1/push/hello"): "W*",
    ("POST", "1/push/{bucket_id}"): "W*",
    ("GET", "1/forward"): "*",
    ("DELETE", "1/mirrored/{bucket_id}"): "*@",
}
# The bucket that is written to has another id than the one in the path: the handler asks for that.
OTHER_BUCKET: Final = ("1/push/{bucket_id}",)
# Bodies that would be carried out; others are asked with a body that means nothing, which only those who may come in learn.
BODIES: Final = {
    ("POST", "0/buckets/{bucket_id}"): (JSON, WATCHER),
    ("POST", "0/buckets/{bucket_id}/events"): (JSON, BEAT),
    ("POST", "0/buckets/{bucket_id}/heartbeat"): (JSON, BEAT),
    ("POST", "0/buckets/{bucket_id}/heartbeats"): (JSON, [BEAT]),
    ("POST", "0/heartbeats"): (LINES, LINE),
    ("POST", "0/query"): (JSON, QUERY),
    ("POST", "0/import"): (JSON, {"buckets": {}}),
}
QUERIES: Final = {
    ("POST", "0/buckets/{bucket_id}/heartbeat"): "?pulsetime=5",
    ("POST", "0/buckets/{bucket_id}/heartbeats"): "?pulsetime=5",
}
SCOPES: Final = {"r": "read", "a": "append", "w": "write", "*": "admin"}
# Secrets that let nobody in, whatever they were.
WORTHLESS: Final = ("none", "wrong", "expired", "revoked")


class Guarded(NamedTuple):
    """A server that demands tokens, and secrets by what they are for."""

    server: Server
    secrets: dict[str, str]

    def status(self, secret: str | None, method: str, path: str, *headers: str, body: bytes | None = None) -> int:
        sent = [*headers, *([] if secret is None else [f"Authorization: Bearer {secret}"])]
        answer = exchange(self.server, method, path, *sent, body=body)
        if answer.status in (401, 403) and method != "HEAD":
            check_error(answer, answer.status)
            assert secret is None or secret.encode() not in answer.body
        if answer.status == 401:
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        return answer.status


@pytest.fixture(scope="module", params=[(), ("--no-fast-lane",)], ids=["fast lane", "aiohttp alone"])
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with Server(tmp_path_factory.mktemp("scopes") / "data", *request.param) as server:
        for bucket in ("a-1", "b-1"):
            assert server.request("POST", f"/api/0/buckets/{bucket}", WATCHER).status == 200
        owner = server.request("POST", "/api/0/tokens", {"scopes": ["admin"]}).json()["secret"]

        def made(*scopes: str) -> tuple[str, str]:
            body = {"scopes": list(scopes)}
            answer = server.request("POST", "/api/0/tokens", body, headers={"Authorization": f"Bearer {owner}"}).json()
            return answer["secret"], answer["token"]["id"]

        secrets = {"owner": owner, "wrong": owner + "x"}
        for letter, scope in SCOPES.items():
            secrets[letter] = made(scope)[0]
            secrets[f"{letter} of a-"] = made(f"{scope}:a-*")[0]
            secrets[f"{letter} of x-"] = made(f"{scope}:x-*")[0]
        secrets["revoked"], token_id = made("admin")
        answer = server.request("DELETE", f"/api/0/tokens/{token_id}", headers={"Authorization": f"Bearer {owner}"})
        assert answer.status == 200
        yield Guarded(server, secrets)
        assert not any(secret in server.log_text() for secret in secrets.values())


def cases() -> list[tuple[str, str]]:
    """What there is to ask, in an order in which nothing that is needed later is deleted."""
    asked = [(method, route.path) for route in ROUTES for method in route.endpoints]
    return sorted(asked, key=lambda case: case[0] in ("DELETE", "PUT"))


def test_every_route_is_decided_here() -> None:
    """Neither one more nor one less."""
    assert {(method, path) for method, path in cases()} == EXPECTED.keys()


def ask(guarded: Guarded, secret: str | None, method: str, path: str) -> int:
    """The status of a request in bucket `a-1`."""
    target = path.format(bucket_id="a-1", event_id="4294967297", key="k", token_id="0" * 12, job_id="1")
    content_type, value = BODIES.get((method, path), (JSON, "means nothing"))
    body = None if method in ("GET", "DELETE") else json.dumps(value).encode()
    headers = HANDSHAKE if path == "0/stream" and secret is None else () if body is None else (content_type,)
    return guarded.status(secret, method, f"/api/{target}{QUERIES.get((method, path), '')}", *headers, body=body)


@pytest.mark.parametrize(("method", "path"), cases(), ids=lambda value: value)
def test_each_scope_may_what_it_says_and_nothing_else(guarded: Guarded, method: str, path: str) -> None:
    """In its own buckets, with a token for all, for these, and for others; and with none that is any good."""
    expected = EXPECTED[method, path]
    for kind in WORTHLESS:
        if kind != "expired":  # needs a clock: in tests/engine/test_access.py
            status = ask(guarded, guarded.secrets.get(kind), method, path)
            assert (status != 401) == (expected == "open"), f"{kind}: {status}"
    # Before a bucket is deleted by those who may, those are asked who may not.
    for letter in sorted(SCOPES, key=lambda letter: letter.lower() in expected.lower()):
        may = expected == "open" or letter in expected or letter.upper() in expected
        in_buckets = expected == "open" or letter.upper() in expected.replace("*", "")
        if letter == "*":
            in_buckets = expected == "open" or any(other.isupper() or other == "@" for other in expected)
        by_handler = "{bucket_id}" not in path or path in OTHER_BUCKET
        elsewhere = by_handler and in_buckets  # a handler that looks at each bucket by itself
        for kind, allowed in ((letter, may), (f"{letter} of a-", in_buckets), (f"{letter} of x-", elsewhere)):
            if expected == "open":
                allowed = True
            status = ask(guarded, guarded.secrets[kind], method, path)
            assert (status not in (401, 403)) == allowed, f"{kind}: {status}"
            assert status < 500
    if method == "DELETE" and path == "0/buckets/{bucket_id}":
        assert ask(guarded, guarded.secrets["owner"], "POST", path) == 200
    if (method, path) == ("POST", "0/tokens"):
        assert ask(guarded, guarded.secrets["owner"], "GET", path) == 200


# What leads nowhere

SPELLINGS: Final = [
    "//api/0/buckets",
    "/%61pi/0/buckets/",
    "/./api/0/buckets",
    "/x/../api/0/buckets",
    "/api/./0/buckets",
    "/api//0/buckets",
    "/api/0//buckets",
    "/api/0/buckets//",
    "/api/0/buckets/.",
    "/api/0/%62uckets",
    "/api%2F0/buckets",
    "/API/0/buckets",
    "/api/0/buckets;x",
    "/api/0/buckets?token=x",
    "/api/0/buckets%00",
    "/api/0/nowhere",
    "/api/1/buckets",
    "http://localhost/api/0/buckets",
    "HTTP://LOCALHOST/api/0/buckets",
    "/api/0/info/../buckets",
    "/api/0/info%2F..%2Fbuckets",
    "/api/0/infos",
    "/api/0/info/x",
]


@pytest.mark.parametrize("target", SPELLINGS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_no_spelling_of_a_path_gets_past_the_check(guarded: Guarded, method: str, target: str) -> None:
    """What is below `/api/` is 401, there or not; what is elsewhere is not there."""
    status = guarded.status(None, method, target)
    assert status in (401, 404, 405)
    if target.startswith(("/api/", "/%61pi/")):
        assert status == 401


@pytest.mark.parametrize("target", ["/api/0/buckets", "/api/0/tokens", "/api/0/buckets/a-1/events"])
def test_options_are_answered_without_a_token_and_tell_nothing(guarded: Guarded, target: str) -> None:
    """A browser sends no token in a preflight."""
    origin = f"http://localhost:{guarded.server.port}"
    answer = exchange(guarded.server, "OPTIONS", target)
    assert (answer.status, answer.body) == (200, b"")
    asked = (f"Origin: {origin}", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization")
    answer = exchange(guarded.server, "OPTIONS", target, *asked)
    assert answer.status in (200, 204)
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization"


def test_head_is_as_get(guarded: Guarded) -> None:
    """With a token and without."""
    assert guarded.status(guarded.secrets["r"], "HEAD", "/api/0/buckets") == 200
    assert guarded.status(guarded.secrets["a"], "HEAD", "/api/0/buckets") == 403
    assert guarded.status(None, "HEAD", "/api/0/buckets") == 401
    assert guarded.status(None, "HEAD", "/api/0/info") == 200


def test_a_refusal_tells_an_allowed_page_why(guarded: Guarded) -> None:
    """Without the CORS headers a browser would show it nothing but a failure."""
    origin = f"http://localhost:{guarded.server.port}"
    answer = exchange(guarded.server, "GET", "/api/0/buckets", f"Origin: {origin}")
    assert answer.status == 401
    assert answer.headers["Access-Control-Allow-Origin"] == origin


def test_pages_and_their_files_need_no_token(guarded: Guarded) -> None:
    """They hold no data: what they show they ask for, with the token that somebody gives them. The one at `/api/` too."""
    assert guarded.status(None, "GET", "/api/") == 200
    assert guarded.status(None, "GET", "/") == 200
    assert guarded.status(None, "GET", "/pages/") == 200
