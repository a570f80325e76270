"""Who may erase, and who may see what would be erased: tokens against the routes that change many events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.server import Reply, Server

RULE = {"enabled": True, "pattern": "bank", "action": "drop", "field": "title"}
FILTER = {"field": "title", "pattern": "^my b"}
SCOPES = ["admin", "read:web*", "write:web*", "append:web*"]
# What each of the scopes above may do: everything, then what is limited to the buckets of the web.
CASES: list[tuple[str, str, Any, tuple[bool, bool, bool, bool]]] = [
    ("POST", "buckets/web-1/delete", {"start": "2030-01-01T00:00:00Z"}, (True, False, True, False)),
    ("POST", "buckets/notes/delete", {"start": "2030-01-01T00:00:00Z"}, (True, False, False, False)),
    ("POST", "buckets/notes/delete", {"start": "2030-01-01T00:00:00Z", "dry_run": True}, (True, False, False, False)),
    ("POST", "forget", {"minutes": 1, "bucket": "web-1"}, (True, False, True, False)),
    ("POST", "forget", {"minutes": 1, "bucket": "notes"}, (True, False, False, False)),
    ("POST", "forget", {"minutes": 1}, (True, False, False, False)),
    ("POST", "forget", {"minutes": 1, "dry_run": True}, (True, False, False, False)),
    ("POST", "privacy/preview", {"rules": [RULE]}, (True, True, False, False)),
    ("POST", "privacy/apply", {}, (True, False, False, False)),
    ("GET", "retention", None, (True, False, False, False)),
    ("POST", "retention/preview", {}, (True, False, False, False)),
    ("POST", "retention/run", {}, (True, False, False, False)),
    ("GET", "jobs", None, (True, False, False, False)),
    ("GET", "jobs/1", None, (True, False, True, False)),
    ("DELETE", "jobs/1", None, (True, False, False, False)),
]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Asks with the token of a scope; the server holds one secret in each of two buckets, and a rule."""
    with Server(tmp_path_factory.mktemp("access") / "data") as server:
        for bucket in ("web-1", "notes"):
            server.request("POST", f"/api/0/buckets/{bucket}", {"type": "t", "client": "c", "hostname": "h"})
            sent = {"timestamp": "2024-05-01T10:00:00Z", "duration": 1, "data": {"title": "my bank"}}
            server.request("POST", f"/api/0/buckets/{bucket}/events", [sent])
        server.request("POST", "/api/0/settings/privacy_filters", [{**RULE, "pattern": "nothing"}])
        secrets: dict[str, str] = {}
        for scope in SCOPES:
            sent = {"name": scope, "scopes": [scope]}
            headers = {"Authorization": f"Bearer {secrets['admin']}"} if secrets else None
            made = server.request("POST", "/api/0/tokens", sent, headers=headers)
            assert made.status == 200, made.body
            secrets[scope] = made.json()["secret"]

        sent = {"scopes": ["read:web*", "write:web*"]}
        made = server.request("POST", "/api/0/tokens", sent, headers={"Authorization": f"Bearer {secrets['admin']}"})
        secrets["read+write"] = made.json()["secret"]

        def ask(scope: str, method: str, path: str, body: Any) -> Reply:
            return server.request(method, f"/api/0/{path}", body, headers={"Authorization": f"Bearer {secrets[scope]}"})

        yield ask


@pytest.mark.parametrize(("method", "path", "body", "may"), CASES)
def test_only_who_may_edit_erases(
    asked: Any, method: str, path: str, body: Any, may: tuple[bool, bool, bool, bool]
) -> None:
    """A token that is limited to some buckets reaches no other by naming it, or by naming none."""
    for scope, allowed in zip(SCOPES, may, strict=True):
        answer = asked(scope, method, path, body)
        assert (answer.status != 403) is allowed, f"{scope}: {answer.status} {answer.body[:200]!r}"
        assert answer.status < 500


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_a_filter_finds_is_told_only_to_who_may_read(asked: Any, dry_run: bool) -> None:
    """A count is an answer to a question about the data. A range of time is none, and needs `write` alone."""
    body = {"filter": FILTER, "end": "2020-01-01T00:00:00Z", "dry_run": dry_run}
    refused = asked("write:web*", "POST", "buckets/web-1/delete", body)
    assert (refused.status, refused.json()["type"]) == (403, "Forbidden")
    assert "`read` in this bucket" in refused.json()["message"]
    assert asked("read:web*", "POST", "buckets/web-1/delete", body).status == 403
    assert asked("read+write", "POST", "buckets/web-1/delete", body).status == 200
    assert asked("read+write", "POST", "buckets/notes/delete", body).status == 403


def test_a_refusal_does_not_ask_for_more_than_is_needed(asked: Any) -> None:
    """A scope that is limited to some buckets is enough to ask for those."""
    assert "whole server" not in asked("append:web*", "GET", "changes", None).json()["message"]
    assert "whole server" in asked("append:web*", "GET", "settings", None).json()["message"]


def test_a_preview_shows_buckets_that_may_be_read_and_data_to_admins_only(asked: Any) -> None:
    everything = asked("admin", "POST", "privacy/preview", {"rules": [RULE]}).json()
    assert set(everything["buckets"]) == {"web-1", "notes"}
    assert everything["rules"][0]["samples"] == [{"title": "my bank"}]
    limited = asked("read:web*", "POST", "privacy/preview", {"rules": [RULE]}).json()
    assert set(limited["buckets"]) == {"web-1"}
    assert (limited["dropped"], limited["rules"][0]["samples"]) == (1, None)
