"""The rules of privacy filters: what they take, what they leave."""

from __future__ import annotations

import json
from typing import Any

import pytest

from awlog.log.filters import Filters, check_filters, filters_of
from awlog.model.errors import BadRequest
from awlog.model.event import Payload
from awlog.model.rules import PATTERN_BYTES_MAX, RULES_MAX


def rule(**fields: Any) -> dict[str, Any]:
    return {"enabled": True, "pattern": "bank", "action": "drop", "field": "title", **fields}


def text(*rules: Any) -> bytes:
    return json.dumps(rules).encode()


def kept(data: Any, *rules: dict[str, Any], bucket: str = "b") -> Any:
    left = Filters(text(*rules)).kept(bucket, Payload(json.dumps(data, separators=(",", ":")).encode()))
    return None if left is None else json.loads(left)


REDACT = {"action": "redact", "replacement": "hidden"}


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        ({"title": "my bank"}, {}),
        ({"title": "MY BANK"}, {"pattern": "(?i)bank"}),
        ({"title": "bank"}, {"bucket_prefix": ""}),
        ({"title": "bank"}, {"bucket_prefix": "b"}),
        ({"title": "bank"}, {"bucket_prefix": None, "replacement": None}),
        ({"a": {"b": {"c": "bank"}}}, {"field": "a.b.c"}),
        ({"": {"": "bank"}}, {"field": "."}),
        ({"title": "Ünlü bank"}, {"pattern": r"\pL\s\bbank$"}),
        ({"title": ""}, {"pattern": ""}),
    ],
)
def test_a_rule_drops_what_it_finds(data: Any, fields: dict[str, Any]) -> None:
    """The pattern is searched anywhere in the one text that the path names."""
    assert kept(data, rule(**fields)) is None


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        ({"title": "my bank"}, {"enabled": False}),
        ({"title": "my bank"}, {"bucket_prefix": "c"}),
        ({"title": "my bank"}, {"bucket_prefix": "bb"}),
        ({"title": "my bank"}, {"pattern": "^bank"}),
        ({"title": "my BANK"}, {}),
        ({"app": "bank"}, {}),
        ({}, {}),
        ({"title": 5}, {"pattern": "5"}),
        ({"title": None}, {"pattern": ""}),
        ({"title": ["bank"]}, {}),
        ({"title": {"bank": "bank"}}, {}),
        ({"a": ["bank"]}, {"field": "a.0"}),
        ({"a": "bank"}, {"field": "a.b"}),
        ({"a.b": "bank"}, {"field": "a.b"}),
    ],
)
def test_a_rule_that_does_not_apply_leaves_all(data: Any, fields: dict[str, Any]) -> None:
    """Switched off, another bucket, not found, no text, or no object on the way: the same payload."""
    assert kept(data, rule(**fields)) == data


def test_redact_puts_the_replacement_in_place_of_the_field_only() -> None:
    data = {"app": "web", "page": {"title": "my bank", "n": 10**30}}
    assert kept(data, rule(field="page.title", **REDACT)) == {"app": "web", "page": {"title": "hidden", "n": 10**30}}


def test_rules_run_in_order_on_what_the_ones_before_left() -> None:
    """A later rule sees the replacement; drop ends it."""
    assert kept({"title": "bank"}, rule(**REDACT), rule(pattern="bank")) == {"title": "hidden"}
    assert kept({"title": "bank"}, rule(**REDACT), rule(pattern="hidden")) is None
    judged = Filters(text(rule(**REDACT), rule(pattern="x"), rule(pattern="hid"), rule(pattern=""))).judged
    assert judged("b", Payload(b'{"title":"bank"}')).hits == (0, 2)


def test_a_verdict_that_is_remembered_is_the_same() -> None:
    """The second time it is looked up, by bucket; forgetting changes no verdict."""
    filters = Filters(text(rule(bucket_prefix="web"), rule(pattern="tea", **REDACT)))
    for _ in range(2):
        for _ in range(2):
            assert filters.kept("web-1", Payload(b'{"title":"bank"}')) is None
            untouched = Payload(b'{"title":"bank"}')
            assert filters.kept("desk", untouched) is untouched
            assert filters.kept("desk", Payload(b'{"title":"tea"}')) == b'{"title":"hidden"}'
        filters.forget()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"pattern": "("}, "pattern"),
        ({"pattern": "a(?=b)"}, "look-around"),
        ({"pattern": r"(a)\1"}, "back-references"),
        ({"pattern": "(a{1000}){1000}"}, "pattern"),
        ({"pattern": r"\bübel"}, r"\\b"),
        ({"pattern": 5}, "pattern"),
        ({"pattern": None}, "pattern"),
        ({"enabled": 1}, "enabled"),
        ({"enabled": "true"}, "enabled"),
        ({"enabled": False, "pattern": "("}, "pattern"),
        ({"action": "hide"}, "action"),
        ({"action": "redact"}, "replacement"),
        ({"action": "redact", "replacement": ""}, "replacement"),
        ({"replacement": ""}, "replacement"),
        ({"replacement": 5}, "replacement"),
        ({"field": ""}, "field"),
        ({"field": ["a"]}, "field"),
        ({"bucket_prefix": 5}, "bucket_prefix"),
    ],
)
def test_a_rule_that_means_nothing_is_named(wrong: dict[str, Any], why: str) -> None:
    """By its place, with the field and the reason; whether it is switched on or not."""
    with pytest.raises(BadRequest, match=rf"privacy_filters\[1\].*{why}"):
        filters_of(text(rule(), rule(**wrong)))


@pytest.mark.parametrize("missing", ["enabled", "pattern", "action", "field"])
def test_what_a_rule_needs_must_be_there(missing: str) -> None:
    fields = rule()
    del fields[missing]
    with pytest.raises(BadRequest, match=rf"privacy_filters\[0\].*{missing}"):
        filters_of(text(fields))


@pytest.mark.parametrize("value", [b"{}", b"5", b'"drop"', b"true", text(rule())[1:-1]])
def test_the_setting_is_a_list(value: bytes) -> None:
    with pytest.raises(BadRequest, match="list"):
        filters_of(value)


def test_elements_are_objects() -> None:
    with pytest.raises(BadRequest, match=r"privacy_filters\[0\]"):
        filters_of(b"[5]")


def test_the_refusal_of_a_pattern_does_not_quote_it() -> None:
    """It says what somebody hides, and refusals are listed for all who may read."""
    for pattern in ("salary(", "[salary", "(?<salary", r"salary\q", "salary**", "(?P<sal ary>x)", "x{2000}salary"):
        with pytest.raises(BadRequest, match="`pattern` is no regular expression") as refusal:
            check_filters(text(rule(pattern=pattern)))
        assert "sal" not in str(refusal.value)


def test_new_rules_are_not_too_many_and_their_patterns_not_too_long() -> None:
    """By limits that have settings; what is stored is obeyed whatever they are now."""
    longest, longer = text(rule(pattern="x" * PATTERN_BYTES_MAX)), text(rule(pattern="x" * (PATTERN_BYTES_MAX + 1)))
    most, more = text(*[rule()] * RULES_MAX), text(*[rule()] * (RULES_MAX + 1))
    check_filters(longest)
    check_filters(most)
    for too_much, setting in ((longer, "max_pattern_bytes"), (more, "max_rules")):
        with pytest.raises(BadRequest, match=f"`{setting}`"):
            check_filters(too_much)
        assert filters_of(too_much) is not None


@pytest.mark.parametrize("value", [None, b"[]", text(rule(enabled=False))])
def test_without_a_rule_that_is_on_nothing_is_filtered(value: bytes | None) -> None:
    """Then a heartbeat does not even ask."""
    assert filters_of(value) is None


def test_the_largest_text_and_the_worst_pattern_take_linear_time() -> None:
    """An engine that goes back would not end before the universe does."""
    title = "a" * 30_000
    assert kept({"title": title}, rule(pattern="(a|aa)+$|(x+x+)+y")) is None
    assert kept({"title": f"{title}!"}, rule(pattern="^(a|aa)+$")) == {"title": f"{title}!"}
