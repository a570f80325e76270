"""Rules, categorize and tag."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from awlog.query.errors import QueryFunctionException
from awlog.query.events import EventList, Payloads, no_events
from awlog.query.payloads import json_text
from awlog.query.transforms import categorize, merge_events_by_keys, parse_rules, tag
from tests.query.transforms.lists import made, rows


def category(data: dict[str, Any], rules: list[Any]) -> list[str]:
    events = categorize(made(Payloads(), [(0, 1, data)]), parse_rules(rules, "category"))
    ((_, _, shown, _),) = rows(events)
    assert {key: value for key, value in shown.items() if key != "$category"} == {
        key: value for key, value in data.items() if key != "$category"
    }
    found: list[str] = shown["$category"]
    return found


def regex(pattern: str, **more: Any) -> dict[str, Any]:
    return {"type": "regex", "regex": pattern, **more}


@pytest.mark.parametrize(
    ("rules", "wins"),
    [
        ([], ["Uncategorized"]),
        ([[["A"], regex("nope")]], ["Uncategorized"]),
        ([[["A"], regex("vim")]], ["A"]),
        # The deeper category wins, of equal depths the last.
        ([[["A", "B"], regex("vim")], [["C"], regex("vim")]], ["A", "B"]),
        ([[["A"], regex("vim")], [["B"], regex("main")]], ["B"]),
        # A priority stands in for 10 x depth; `priority` before `weight`.
        ([[["A"], regex("vim", priority=11)], [["B"], regex("vim")]], ["A"]),
        ([[["A"], regex("vim", priority=10)], [["B"], regex("vim")]], ["B"]),
        ([[["A"], regex("vim", priority=20)], [["B", "C"], regex("vim")]], ["B", "C"]),
        ([[["A"], regex("vim", priority=-(10**30))]], ["A"]),
        ([[["A"], regex("vim", weight=99)], [["B"], regex("vim", priority=50, weight=100)]], ["A"]),
        # No category never wins.
        ([[[], regex("vim", priority=99)], [["A"], regex("vim")]], ["A"]),
        ([[[], regex("vim")]], ["Uncategorized"]),
        # These never match.
        ([[["A"], {}]], ["Uncategorized"]),
        ([[["A"], regex("")]], ["Uncategorized"]),
        ([[["A"], {"type": "none", "regex": "vim"}]], ["Uncategorized"]),
        ([[["A"], {"type": "none", "regex": "("}]], ["Uncategorized"]),
        # The regex decides, whatever the type.
        ([[["A"], {"regex": "vim"}]], ["A"]),
        ([[["A"], {"type": "other", "regex": "vim"}]], ["A"]),
        # Case.
        ([[["A"], regex("VIM")]], ["Uncategorized"]),
        ([[["A"], regex("VIM", ignore_case=True)]], ["A"]),
        ([[["A"], regex("VIM", ignore_case=False)]], ["Uncategorized"]),
        ([[["A"], regex("(?i)VIM")]], ["A"]),
        # Keys.
        ([[["A"], regex("vim", select_keys=["title"])]], ["Uncategorized"]),
        ([[["A"], regex("vim", select_keys=["title", "app", "nope"])]], ["A"]),
        ([[["A"], regex("vim", select_keys=[])]], ["A"]),
        # One rule by key, one by all, found in different texts.
        ([[["A"], regex("main", select_keys=["app"])], [["B"], regex("py")]], ["B"]),
    ],
)
def test_which_category_wins(rules: list[Any], wins: list[str]) -> None:
    assert category({"app": "vim", "title": "main.py – å"}, rules) == wins


def test_only_texts_at_the_top_are_looked_at() -> None:
    """Numbers, lists and nested texts never; an older category only if it is a text."""
    rules = [[["A"], regex("1|x")]]
    assert category({"a": 1, "b": ["x"], "c": {"d": "x"}, "$category": ["x"]}, rules) == ["Uncategorized"]
    assert category({"$category": "x"}, rules) == ["A"]


@pytest.mark.parametrize(
    "data", [{}, {"!": "x"}, {"": "x"}, {"\n": "x"}, {"\\": "x"}, {'"': "x"}, {"$domain": "x"}, {"ä": "x"}]
)
def test_any_other_keys_are_kept_and_the_text_stays_canonical(data: dict[str, Any]) -> None:
    """The new field is spliced into the text where that is safe."""
    payloads = Payloads()
    events = categorize(made(payloads, [(0, 1, data)]), parse_rules([[["A"], regex("x")]], "category"))
    (code,) = events.payload.tolist()
    expected = {**data, "$category": ["A"] if data else ["Uncategorized"]}
    assert payloads.data(code) == expected
    assert payloads.text(code) == json_text(expected)


def test_an_older_category_is_replaced() -> None:
    """And two payloads may become one."""
    payloads = Payloads()
    events = made(payloads, [(0, 1, {"a": "x", "$category": ["old"]}), (1, 1, {"a": "x"})])
    ours = categorize(events, parse_rules([[["A"], regex("x")]], "category"))
    assert len(set(payloads.classes(ours.payload).tolist())) == 1
    assert [data for _, _, data, _ in rows(ours)] == [{"a": "x", "$category": ["A"]}] * 2
    assert [data for _, _, data, _ in rows(events)] == [{"a": "x", "$category": ["old"]}, {"a": "x"}]


def test_categories_twice_and_merges_see_the_last() -> None:
    """What is known about a payload is carried over to the one made of it, but not what changed."""
    payloads = Payloads()
    events = made(payloads, [(0, 1, {"app": "x"}), (1, 2, {"app": "y"}), (3, 4, {"app": "x"})])
    once = categorize(events, parse_rules([[["A"], regex("x|y")]], "category"))
    assert [data for _, _, data, _ in rows(merge_events_by_keys(once, ["$category"]))] == [{"$category": ["A"]}]
    twice = categorize(once, parse_rules([[["B"], regex("x")]], "category"))
    assert [(d, data) for _, d, data, _ in rows(merge_events_by_keys(twice, ["$category"]))] == [
        (5, {"$category": ["B"]}),
        (2, {"$category": ["Uncategorized"]}),
    ]
    assert [(d, data) for _, d, data, _ in rows(merge_events_by_keys(twice, ["app"]))] == [
        (5, {"app": "x"}),
        (2, {"app": "y"}),
    ]


def tags(events: EventList, rules: list[Any]) -> list[Any]:
    return [data["$tags"] for _, _, data, _ in rows(tag(events, parse_rules(rules, "tag")))]


def test_tags_are_all_that_match_in_the_order_of_the_rules() -> None:
    """Repetitions included."""
    events = made(Payloads(), [(0, 1, {"app": "vim"}), (1, 1, {"app": "x"})])
    rules = [["b", regex("vim")], ["a", regex("v")], ["c", regex("nope")], ["b", regex("m$")], ["", regex("vim")]]
    assert tags(events, rules) == [["b", "a", "b", ""], []]


def test_answers_that_are_kept_are_those_of_the_same_rules() -> None:
    """Each small change of a rule is another question."""
    events = made(Payloads(), [(0, 1, {"app": "vim", "title": "VIM"})])
    for _ in range(2):
        assert tags(events, [["a", regex("vim")]]) == [["a"]]
        assert tags(events, [["b", regex("vim")]]) == [["b"]]
        assert tags(events, [["a", regex("vim", select_keys=["title"])]]) == [[]]
        assert tags(events, [["a", regex("vim$", select_keys=["title"], ignore_case=True)]]) == [["a"]]
        assert tags(events, [["a", regex("VIM$", select_keys=["app"])]]) == [[]]
        assert tags(events, [["a", regex("VIM$", select_keys=["app"], ignore_case=True)]]) == [["a"]]
        rules = parse_rules([[["a"], regex("vim")]], "category")
        assert rows(categorize(events, rules))[0][2]["$category"] == ["a"]
        rules = parse_rules([[["a"], regex("vim")], [["b"], regex("vim", priority=9)]], "category")
        assert rows(categorize(events, rules))[0][2]["$category"] == ["a"]


def test_what_was_asked_longest_ago_is_forgotten_and_asked_again() -> None:
    """Many questions about one table: each answer stays right, and the table does not keep a column for each."""
    payloads = Payloads()
    events = made(payloads, [(0, 1, {"app": f"x{number}"}) for number in range(50)])
    for _ in range(2):
        for number in range(50):
            found = tag(events, parse_rules([["a", regex(f"x{number}$")]], "tag"))
            assert [place for place, row in enumerate(rows(found)) if row[2]["$tags"]] == [number]
            assert merge_events_by_keys(events, [f"key {number}"]).payload.tolist()
    assert len(payloads._derived) < 50
    assert len(payloads._values) < 50


def test_what_is_learnt_about_a_made_payload_is_that_of_its_text() -> None:
    """Written out, decoded, compared: as a stored payload of the same text, whichever came first."""
    for stored_first in (True, False):
        payloads = Payloads()
        data = {"app": "x", "n": 1.0, "$category": ["A"]}
        if stored_first:
            stored = payloads.add_json(json_text(data))
        events = made(payloads, [(0, 1, {"app": "x", "n": 1}), (1, 1, {"app": "y"})])
        rules = parse_rules([[["A"], regex("x|y")]], "category")
        one, other = categorize(events, rules).payload.tolist()
        again, _ = categorize(events, [*rules, *parse_rules([[["B"], regex("z")]], "category")]).payload.tolist()
        if not stored_first:
            payloads.classes(np.array([one], np.uint32))
            stored = payloads.add_json(json_text(data))
        assert payloads.data(one) == {"app": "x", "n": 1, "$category": ["A"]}
        classes = payloads.classes(np.array([stored, one, again, other], np.uint32)).tolist()
        assert classes[0] == classes[1] == classes[2] != classes[3]
        for key in ("app", "$category", "n"):
            numbers = payloads.value_numbers(np.array([stored, one, again], np.uint32), key).tolist()
            assert len(set(numbers)) == 1


MALFORMED: list[Any] = [
    "text",
    {},
    ["text"],
    [[["A"]]],
    [[["A"], {}, {}]],
    [["A", {}]],
    [[[1], {}]],
    [[None, {}]],
    [[["A"], "vim"]],
    [[["A"], {"regex": 1}]],
    [[["A"], {"regex": "("}]],
    [[["A"], {"regex": "x{99999999999}"}]],
    [[["A"], {"regex": "x", "select_keys": "app"}]],
    [[["A"], {"regex": "x", "select_keys": [1]}]],
    [[["A"], {"regex": "x", "priority": 1.0}]],
    [[["A"], {"regex": "x", "priority": True}]],
    [[["A"], {"regex": "x", "weight": "1"}]],
]


@pytest.mark.parametrize("rules", MALFORMED, ids=repr)
def test_a_malformed_rule_is_an_error(rules: Any) -> None:
    """Even if there are no events: it is found while the rules are read."""
    with pytest.raises(QueryFunctionException):
        categorize(no_events(Payloads()), parse_rules(rules, "category"))


@pytest.mark.parametrize("rules", [[[["A"], {}]], [[1, {}]], [["A"]], "A"], ids=repr)
def test_a_tag_is_one_text(rules: Any) -> None:
    with pytest.raises(QueryFunctionException):
        parse_rules(rules, "tag")


def test_an_error_names_the_rule() -> None:
    with pytest.raises(QueryFunctionException, match="Rule 2"):
        parse_rules([[["A"], {}], [["B"], regex("(")]], "category")
