"""Scopes: what includes what, and how far a prefix reaches."""

from __future__ import annotations

import pytest

from awlog.model.access import FULL_ACCESS, Access, Grant, Scope, parse_grant
from awlog.model.errors import BadRequest, Forbidden


@pytest.mark.parametrize(
    ("granted", "allowed"),
    [
        (Scope.READ, {Scope.READ}),
        (Scope.APPEND, {Scope.APPEND}),
        (Scope.WRITE, {Scope.APPEND, Scope.WRITE}),
        (Scope.ADMIN, set(Scope)),
    ],
)
def test_a_scope_includes_the_ones_below_it(granted: Scope, allowed: set[Scope]) -> None:
    """Who may edit may append; only an admin may do all; reading is apart from writing."""
    access = Access("somebody", (Grant(granted),))
    assert {scope for scope in Scope if access.may(scope)} == allowed
    assert {scope for scope in Scope if access.may(scope, "any-bucket")} == allowed


def test_a_prefix_limits_a_grant_to_buckets() -> None:
    """It reaches no other bucket and not the server as a whole; byte by byte, from the beginning of the id."""
    access = Access("watcher", (Grant(Scope.APPEND, "aw-watcher-web"),))
    assert access.may(Scope.APPEND, "aw-watcher-web-firefox")
    assert access.may_somewhere(Scope.APPEND)
    assert not access.may_somewhere(Scope.READ)
    for bucket_id in ("aw-watcher-we", "AW-watcher-web", "x-aw-watcher-web", "", None):
        assert not access.may(Scope.APPEND, bucket_id)


def test_grants_add_up() -> None:
    """Each for itself: reading here and appending there."""
    access = Access("both", (Grant(Scope.READ), Grant(Scope.APPEND, "mine")))
    assert access.may(Scope.READ, "yours")
    assert access.may(Scope.APPEND, "mine-too")
    assert not access.may(Scope.APPEND, "yours")


def test_what_is_missing_is_said() -> None:
    """By the scope's name; whoever may everything is never refused."""
    with pytest.raises(Forbidden, match="`write` in this bucket"):
        Access("nobody", ()).require(Scope.WRITE, "secret-bucket")
    FULL_ACCESS.require(Scope.ADMIN)


@pytest.mark.parametrize(
    ("text", "grant"),
    [
        ("read", Grant(Scope.READ)),
        ("admin", Grant(Scope.ADMIN)),
        ("append:aw-watcher-web*", Grant(Scope.APPEND, "aw-watcher-web")),
        ("write:a:b*", Grant(Scope.WRITE, "a:b")),
        ("read:日*", Grant(Scope.READ, "日")),
    ],
)
def test_a_scope_is_written_as_it_is_read(text: str, grant: Grant) -> None:
    assert parse_grant(text) == grant
    assert str(grant) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Read",
        "reed",
        "read ",
        ":a*",
        "read:",
        "read:*",
        "read:a",
        "read:a**",
        "read:*a*",
        "read:a\n*",
        "read,write",
    ],
)
def test_what_is_no_scope_is_refused(text: str) -> None:
    """A prefix that is forgotten must not become a grant for everything."""
    with pytest.raises(BadRequest):
        parse_grant(text)
