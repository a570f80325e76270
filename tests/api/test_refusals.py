"""The list of what was refused is short and names nothing that is too long, whatever is sent."""

from __future__ import annotations

from awlog.api.refusals import Refusals
from awlog.model.access import FULL_ACCESS, Access, Grant, Scope
from awlog.model.errors import AwlogError, BadRequest, Unauthorized
from awlog.model.times import Micros


def note(
    refusals: Refusals,
    at_us: int = 0,
    *,
    text: str = "why",
    error: AwlogError | None = None,
    bucket_id: str | None = None,
    **headers: str,
) -> None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    refusals.note(
        error or BadRequest(text),
        status=400,
        now_us=Micros(at_us),
        method="GET",
        route="/",
        headers=named,
        bucket_id=bucket_id,
    )


def test_it_keeps_the_newest_kinds() -> None:
    refusals = Refusals()
    for at in range(80):
        note(refusals, at, Origin=f"https://{at}.example")
    note(refusals, 99, Origin="https://40.example")
    found = refusals.newest_first(FULL_ACCESS)
    assert len(found) == 50
    assert [(each.origin, each.count) for each in found[:2]] == [("https://40.example", 2), ("https://79.example", 1)]


def test_whoever_is_refused_under_many_names_pushes_out_no_other() -> None:
    """Of the type that has most the oldest goes; strangers without a token do not hide a broken watcher."""
    refusals = Refusals()
    note(refusals, 0, User_Agent="aw-watcher-broken/0.1", bucket_id="b")
    for at in range(1000):
        note(refusals, at, error=Unauthorized("who?"), User_Agent=f"stranger/{at}")
    found = refusals.newest_first(FULL_ACCESS)
    assert len(found) == 50
    assert [each.client for each in found[-2:]] == ["stranger/951", "aw-watcher-broken/0.1"]


def test_long_and_broken_names_are_cut() -> None:
    """A program is its product word alone: what stands behind it may be anything."""
    refusals = Refusals()
    for agent in ("W" * 10_000, "curl/8.1 secret", "<script>", "", "ü"):
        note(refusals, User_Agent=agent, text="\ud800" + "x" * 10_000, bucket_id="b" * 1024)
    found = refusals.newest_first(FULL_ACCESS)
    assert [each.client for each in found] == [None, "curl/8.1", "W" * 40]
    assert {len(each.message or "") for each in found} == {len(each.bucket or "") for each in found} == {200}


def test_it_tells_of_buckets_to_those_who_may_read_them() -> None:
    refusals = Refusals()
    for bucket_id in ("a-1", "b-1", None):
        note(refusals, bucket_id=bucket_id)
    for grant, expected in (
        (Grant(Scope.READ, "a-"), ["a-1"]),
        (Grant(Scope.READ), [None, "b-1", "a-1"]),
        (Grant(Scope.APPEND), []),
    ):
        assert [each.bucket for each in refusals.newest_first(Access("who", (grant,)))] == expected
