"""Filters by the value under a key."""

from __future__ import annotations

from typing import Any

import pytest

from awlog.query.errors import QueryFunctionException
from awlog.query.events import EventList, Payloads, no_events
from awlog.query.transforms import exclude_keyvals, filter_keyvals, filter_keyvals_regex
from tests.query.transforms.lists import made, rows

STORED: list[Any] = [
    "x",
    "y",
    1,
    1.0,
    True,
    0,
    False,
    None,
    [],
    ["Work"],
    ["Work", "Code"],
    {"k": [1]},
    [True],
    "1",
    "",
]


def stored() -> EventList:
    """One event for each value, then one without the key."""
    return made(Payloads(), [(i, 1, {"a": value}) for i, value in enumerate(STORED)] + [(99, 1, {"b": "x"})])


def values(events: EventList) -> list[Any]:
    return [repr(data.get("a", "absent")) for _, _, data, _ in rows(events)]


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ([], []),
        (["x"], ["x"]),
        (["y", "x", "nope"], ["x", "y"]),
        ([1], [1, 1.0, True]),
        ([True], [1, 1.0, True]),
        ([0.0], [0, False]),
        (["1"], ["1"]),
        ([["Work"], ["Work", "Code"]], [["Work"], ["Work", "Code"]]),
        (["Work"], []),
        ([[]], [[]]),
        ([{"k": [True]}], [{"k": [1]}]),
        ([[1]], [[True]]),
        ([None], [None]),
        ([""], [""]),
    ],
)
def test_equal_values_are_kept_and_the_others_excluded(wanted: list[Any], kept: list[Any]) -> None:
    """Equal as Python compares, lists and dicts too; an event without the key is excluded from nothing."""
    events = stored()
    assert values(filter_keyvals(events, "a", wanted)) == [repr(value) for value in kept]
    left = values(exclude_keyvals(events, "a", wanted))
    assert sorted([*left, *(repr(value) for value in kept)]) == sorted(values(events))
    assert left[-1] == repr("absent")


def test_filters_keep_order_ids_and_repetitions() -> None:
    payloads = Payloads()
    events = made(payloads, [(5, 1, {"a": "x"}, 9), (3, 2, {"a": "y"}, 8), (5, 1, {"a": "x"}, 9)])
    assert rows(filter_keyvals(events, "a", ["x"])) == [(5, 1, {"a": "x"}, 9), (5, 1, {"a": "x"}, 9)]


@pytest.mark.parametrize(
    ("regex", "kept"),
    [("", ["x", "y", "1", ""]), ("x|y", ["x", "y"]), ("^$", [""]), (r"\d", ["1"]), ("(?!x)y", ["y"]), ("nope", [])],
)
def test_a_regex_is_searched_in_texts_only(regex: str, kept: list[str]) -> None:
    """Numbers, lists and missing keys are skipped; the empty regex keeps every text."""
    assert values(filter_keyvals_regex(stored(), "a", regex)) == [repr(value) for value in kept]


def test_a_bad_regex_is_an_error_even_without_events() -> None:
    with pytest.raises(QueryFunctionException, match="regular expression"):
        filter_keyvals_regex(no_events(Payloads()), "a", "(")
