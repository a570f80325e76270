"""Event lists and their table of payloads."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from awlog.log.columns import columns_of
from awlog.model.event import BucketNumber, event_id
from awlog.model.payload import canonical_object
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, format_timestamp
from awlog.query.equality import equality_text
from awlog.query.errors import QueryLimitExceeded
from awlog.query.events import EventList, Payloads, cut_to, event_list, no_events, render_event_list, unit_us
from awlog.query.payloads import ABSENT, json_text
from awlog.query.timestamps import timestamps_between
from tests.log.events import VIM, WEB, event
from tests.query.transforms.lists import MS, made, rows

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "1", "true", '":1', "[1,2", '\\":t', "x"])
    | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab1"), inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(st.sampled_from(["a", "b", "", "$c"]), json_values, max_size=3)


def test_stored_events_keep_their_order_and_ids() -> None:
    payloads = Payloads()
    events = event_list(columns_of([event(3, 20, 5, WEB), event(1, 10, 0, VIM)]), BucketNumber(2), payloads)
    assert rows(events) == [
        (20, 5, {"app": "web"}, event_id(BucketNumber(2), event(3).seq)),
        (10, 0, {"app": "vim"}, event_id(BucketNumber(2), event(1).seq)),
    ]


def test_only_payloads_in_use_are_taken_over() -> None:
    """A small query over a bucket with a million titles must not look at all of them."""
    columns = columns_of([event(i, i, 0, b'{"a":%d}' % i) for i in range(1, 100)]).take(slice(4, 6))
    payloads = Payloads()
    events = event_list(columns, BucketNumber(1), payloads)
    assert len(payloads) == 2
    assert [data for _, _, data, _ in rows(events)] == [{"a": 5}, {"a": 6}]


@given(objects)
def test_a_payload_has_one_code_however_it_came(data: dict[str, Any]) -> None:
    payloads = Payloads()
    code = payloads.add(data)
    assert payloads.add_json(canonical_object(json.dumps(data).encode())) == code
    assert payloads.data(code) == data
    assert len(payloads) == 1


@given(st.lists(objects, min_size=2, max_size=6))
@example([{"a": 1}, {"a": 1.0}, {"a": True}])
@example([{"a": 0}, {"a": -0.0}, {"a": False}, {"a": None}])
@example([{"a": 10**20}, {"a": 1e20}, {"a": 10**20 + 1}])
@example([{"a": 1e300}, {"a": int(1e300)}, {"a": "1e300"}])
@example([{"a": 0.1}, {"a": 1e-1}, {"a": 5e-324}, {"a": 0}])
def test_classes_and_value_numbers_are_equal_exactly_where_python_says_so(listed: list[dict[str, Any]]) -> None:
    payloads = Payloads()
    codes = np.array([payloads.add(data) for data in listed], np.uint32)
    classes = payloads.classes(codes).tolist()
    numbers = payloads.value_numbers(codes, "a").tolist()
    for i, one in enumerate(listed):
        assert (numbers[i] == ABSENT) == ("a" not in one)
        if "a" in one:
            assert payloads.value(numbers[i]) == one["a"]
        for j, other in enumerate(listed):
            assert (classes[i] == classes[j]) == (one == other), (one, other)
            if "a" in one and "a" in other:
                assert (numbers[i] == numbers[j]) == (one["a"] == other["a"]), (one, other)


@given(json_values, json_values)
def test_values_have_one_equality_text_exactly_if_they_are_equal(one: Any, other: Any) -> None:
    # Outside of lists and dicts a text and its JSON are told apart by their kind.
    assert (equality_text(json_text([one])) == equality_text(json_text([other]))) == ([one] == [other])


def test_a_full_table_is_a_limit_of_the_query() -> None:
    payloads = Payloads(bytes_max=100)
    for i in range(10):
        payloads.add({"a": i})
    assert payloads.add({"a": 0}) == 0
    with pytest.raises(QueryLimitExceeded):
        payloads.add({"a": "x" * 40})


def test_data_as_deep_as_the_log_takes_them_can_be_worked_with() -> None:
    """500 levels, compared, decoded and shown."""
    deep: Any = 1
    for i in range(499):
        deep = [deep] if i % 2 else {"k": deep}
    payloads = Payloads()
    code = payloads.add_json(canonical_object(json.dumps({"a": deep}).encode()))
    assert payloads.data(code) == {"a": deep}
    assert payloads.value_numbers(np.array([code], np.uint32), "a").tolist() == [1]


@pytest.mark.parametrize(("starts", "unit"), [([], MS), ([0, -MS, 5 * MS], MS), ([0, 1], 1), ([-1], 1)])
def test_the_unit_of_a_list(starts: list[int], unit: int) -> None:
    """1 ms if all starts are whole milliseconds; the finer of two lists counts."""
    payloads = Payloads()
    events = made(payloads, [(start, 3, {}) for start in starts])
    assert unit_us(events) == unit
    assert unit_us(events, no_events(payloads)) == unit
    assert unit_us(events, made(payloads, [(1, 0, {})])) == 1


@pytest.mark.parametrize(
    ("unit", "cut"), [(1, [(1500, 2500), (1600, 100), (3900, 100)]), (MS, [(1000, 3000), (1600, 100), (3900, 100)])]
)
def test_cutting_rounds_down_what_it_moves_and_nothing_else(unit: int, cut: list[tuple[int, int]]) -> None:
    events = made(Payloads(), [(0, 9000, {}), (1600, 100, {}), (3900, 500, {})])
    assert [(s, d) for s, d, _, _ in rows(cut_to(events, 1500, 4000, unit))] == cut


@given(
    st.lists(st.tuples(st.integers(TIME_MIN_US, TIME_MAX_US), st.integers(0, 10**12), objects, st.integers(0, 2**53)))
)
def test_what_is_rendered_is_parsed_as_exactly_the_events(listed: list[Any]) -> None:
    """Events without an id show null."""
    events = made(Payloads(), listed)
    assert json.loads(render_event_list(events)) == [
        {"id": i or None, "timestamp": format_timestamp(start), "duration": duration / 1e6, "data": data}
        for start, duration, data, i in listed
    ]


def test_numbers_come_back_with_their_type() -> None:
    events = made(Payloads(), [(0, 1_000_000, {"a": 1}), (1, 0, {"a": 1.0}), (2, 0, {"a": True})])
    rendered = render_event_list(events)
    assert [repr(one["data"]["a"]) for one in json.loads(rendered)] == ["1", "1.0", "True"]
    assert b'"duration":1.0,' in rendered


@given(st.lists(st.integers(TIME_MIN_US, TIME_MAX_US) | st.integers(-5, 5).map(lambda second: second * 10**6)))
@example([TIME_MIN_US, TIME_MAX_US, 0, -1])
def test_many_times_are_written_as_one_is(instants: list[int]) -> None:
    texts = timestamps_between(b"<", np.array(instants, np.int64), b"+00:00>")
    assert [text.decode()[1:-1] for text in texts] == [format_timestamp(instant) for instant in instants]


def test_a_small_list_does_not_walk_a_large_table() -> None:
    """Both ways of finding the payloads in use agree."""
    payloads = Payloads()
    events = made(payloads, [(0, 0, {"a": i % 3}) for i in range(10)])

    def used(one: EventList) -> tuple[list[int], list[int]]:
        codes, inverse = one.in_use()
        assert codes[inverse].tolist() == one.payload.tolist()
        return codes.tolist(), inverse.tolist()

    before = used(events)
    for i in range(1000):
        payloads.add({"b": i})
    assert used(events) == before
