"""merge_events_by_keys, chunk_events_by_key and the lists' own order, length and sum."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import numpy as np
import pytest

from awlog.query.errors import QueryLimitExceeded
from awlog.query.events import EventList, Payloads, no_events
from awlog.query.transforms import (
    chunk_events_by_key,
    concat,
    limit,
    merge_events_by_keys,
    sort_by_duration,
    sort_by_timestamp,
    sum_durations_us,
)
from awlog.query.transforms.groups import summed_by_group
from tests.query.transforms.lists import made, rows

EXAMPLES = int(os.environ.get("AWLOG_TEST_EXAMPLES", "2000"))


def one_after_another(data: list[dict[str, Any]]) -> EventList:
    """Event i begins at 10 i and takes 2^i µs, so that a sum tells its parts."""
    return made(Payloads(), [(10 * i, 1 << i, one) for i, one in enumerate(data)])


def merged(data: list[dict[str, Any]], keys: list[str]) -> list[tuple[int, int, str]]:
    ours = merge_events_by_keys(one_after_another(data), keys)
    assert not ours.event_id.any(), "merged events have no id"
    return [(start, duration, json.dumps(shown, sort_keys=True)) for start, duration, shown, _ in rows(ours)]


def test_groups_come_in_order_of_first_appearance_with_the_start_of_their_first() -> None:
    """Not by value, not by duration."""
    assert merged([{"a": "z"}, {"a": "b"}, {"a": "z"}, {"a": "a"}], ["a"]) == [
        (0, 0b101, '{"a": "z"}'),
        (10, 0b10, '{"a": "b"}'),
        (30, 0b1000, '{"a": "a"}'),
    ]


def test_data_are_the_keys_of_the_first_event_and_only_these() -> None:
    assert merged([{"b": 1, "a": "x", "c": 1}, {"a": "x", "b": 1, "c": 2}], ["b", "a"]) == [
        (0, 0b11, '{"a": "x", "b": 1}'),
    ]


@pytest.mark.parametrize(
    ("first", "second", "groups"),
    [
        ({"a": 1}, {"a": True}, 1),
        ({"a": 1.0}, {"a": 1}, 1),
        ({"a": 0}, {"a": False}, 1),
        ({"a": "1"}, {"a": 1}, 2),
        ({"a": None}, {}, 2),
        ({"a": None}, {"a": 0}, 2),
        ({"a": []}, {"a": {}}, 2),
        ({"a": [1, [True]]}, {"a": [1.0, [1]]}, 1),
        ({"a": {"k": 1, "l": 2}}, {"a": {"l": 2, "k": True}}, 1),
        ({"a": [1, 2]}, {"a": [2, 1]}, 2),
        ({"a": "[1,2]"}, {"a": [1, 2]}, 2),
        ({"a": 10**20}, {"a": 1e20}, 1),
        ({"a": 10**20}, {"a": 10**20 + 1}, 2),
        ({"a": -0.0}, {"a": 0}, 1),
    ],
)
def test_which_values_are_one_group(first: dict[str, Any], second: dict[str, Any], groups: int) -> None:
    """Python's equality; absent is a value of its own, different from null. The first one's value is shown."""
    shown = merged([first, second], ["a"])
    assert len(shown) == groups
    assert shown[0][2] == json.dumps(first)


def test_absent_keys_do_not_fall_together() -> None:
    """Section 9: `{a: x}` and `{b: x}` are two groups under a and b."""
    assert len(merged([{"a": "x"}, {"b": "x"}, {"a": "x", "b": "x"}, {}], ["a", "b"])) == 4


def test_without_keys_the_list_is_unchanged() -> None:
    events = one_after_another([{"a": "x"}, {"a": "x"}])
    assert rows(merge_events_by_keys(events, [])) == rows(events)


def random_data(rng: random.Random) -> dict[str, Any]:
    values: list[Any] = ["x", "y", 1, 1.0, True, 0, False, None, [], ["x"], [1], {"k": 1}, {"k": True}]
    return {key: rng.choice(values) for key in ("a", "b", "$category") if rng.random() < 0.7}


def test_merging_by_arrays_is_what_a_loop_gives() -> None:
    for number in range(EXAMPLES // 4):
        rng = random.Random(number)
        data = [random_data(rng) for _ in range(rng.randrange(0, 40))]
        keys = rng.choice((["a"], ["b", "a"], ["$category", "a", "b"], ["a", "a"], ["nope"]))
        groups: list[list[Any]] = []
        for i, one in enumerate(data):
            key = [(one[key],) if key in one else None for key in keys]
            for group in groups:
                if group[0] == key:
                    group[2] += 1 << i
                    break
            else:
                groups.append([key, 10 * i, 1 << i, json.dumps({k: one[k] for k in sorted({*keys}) if k in one})])
        assert merged(data, keys) == [tuple(group[1:]) for group in groups], f"seed {number}"


def chunks(data: list[dict[str, Any]], key: str) -> list[tuple[int, int, Any, list[int]]]:
    """Start, duration, value shown, ids of the subevents."""
    ours = chunk_events_by_key(one_after_another(data), key)
    assert not ours.event_id.any(), "chunks have no id"
    return [
        (start, duration, shown[key], [sub["id"] for sub in shown["subevents"]])
        for start, duration, shown, _ in rows(ours)
    ]


def test_neighbours_with_equal_values_become_one_event_that_holds_them() -> None:
    """A value that comes again later opens a new run; gaps end none."""
    assert chunks([{"a": "x"}, {"a": "x", "b": 1}, {"a": "y"}, {"a": "x"}], "a") == [
        (0, 0b11, "x", [1, 2]),
        (20, 0b100, "y", [3]),
        (30, 0b1000, "x", [4]),
    ]


def test_events_without_the_key_are_left_out_and_end_no_run() -> None:
    """Section 9: aw-core stops at the first of them."""
    assert chunks([{"b": 1}, {"a": "x"}, {}, {"a": "x"}], "a") == [(10, 0b1010, "x", [2, 4])]
    assert chunks([{}], "a") == []


def test_a_chunk_shows_the_value_of_its_first_event() -> None:
    shown = chunks([{"a": True}, {"a": 1}, {"a": [1]}, {"a": [1.0]}], "a")
    assert [repr(value) for _, _, value, _ in shown] == ["True", "[1]"]


def test_subevents_are_whole_events_as_on_the_wire() -> None:
    events = made(Payloads(), [(1_500_000, 250_000, {"a": "x", "b": [1.0]}, 42), (3_000_000, 0, {"a": "x"}, 0)])
    ((_, _, data, _),) = rows(chunk_events_by_key(events, "a"))
    assert data["subevents"] == [
        {"id": 42, "timestamp": "1970-01-01T00:00:01.500000+00:00", "duration": 0.25, "data": {"a": "x", "b": [1.0]}},
        {"id": None, "timestamp": "1970-01-01T00:00:03+00:00", "duration": 0.0, "data": {"a": "x"}},
    ]


@pytest.mark.parametrize("key", ["a", "zebra", "subevents", "", "ä", 'quo"te'])
def test_chunks_are_kept_in_canonical_json(key: str) -> None:
    """Their text decides whether they are equal."""
    payloads = Payloads()
    chunk = chunk_events_by_key(made(payloads, [(0, 1, {key: "x"}), (5, 1, {key: "x"})]), key)
    (code,) = chunk.payload.tolist()
    assert payloads.add(json.loads(payloads.text(code))) == code


def test_chunks_of_chunks_stop_at_the_bound_of_memory() -> None:
    """Each round doubles the text: a limit, not a dead process."""
    events = made(Payloads(bytes_max=1 << 20), [(0, 1, {"a": "x"})])

    def chunk_again_and_again(events: EventList) -> None:
        for _ in range(40):
            events = chunk_events_by_key(concat(events, events), "a")

    with pytest.raises(QueryLimitExceeded):
        chunk_again_and_again(events)


def test_chunks_nested_beyond_measure_are_refused() -> None:
    """Not a RecursionError."""
    events = made(Payloads(), [(0, 1, {"subevents": 1, "a": 1})])

    def chunk_the_chunks(events: EventList) -> None:
        for _ in range(5000):
            events = chunk_events_by_key(events, "subevents")

    with pytest.raises(QueryLimitExceeded):
        chunk_the_chunks(events)


def test_sorts_are_stable_in_both_directions() -> None:
    """Equal starts and equal durations keep their order: ties decide which of 100 titles are shown."""
    events = made(Payloads(), [(5, 1, {}), (3, 2, {}), (5, 2, {}), (3, 1, {}), (9, 2, {})])
    assert sort_by_timestamp(events).event_id.tolist() == [2, 4, 1, 3, 5]
    assert sort_by_duration(events).event_id.tolist() == [2, 3, 5, 1, 4]


@pytest.mark.parametrize(("count", "left"), [(0, 0), (2, 2), (3, 3), (99, 3), (-1, 0), (10**30, 3), (-(10**30), 0)])
def test_limit(count: int, left: int) -> None:
    events = one_after_another([{}, {}, {}])
    assert limit(events, count).event_id.tolist() == [1, 2, 3][:left]


def test_concat_takes_lists_one_after_the_other() -> None:
    events = one_after_another([{"a": 1}, {"a": 2}])
    assert rows(concat(events, no_events(events.payloads), limit(events, 1))) == [*rows(events), rows(events)[0]]
    assert rows(concat(events)) == rows(events)


def test_sums_are_exact_beyond_floats_and_64_bits() -> None:
    long = (1 << 62) - 1
    assert sum_durations_us(made(Payloads(), [(0, long, {}), (0, long, {}), (0, 3, {})])) == 2 * long + 3
    assert sum_durations_us(no_events(Payloads())) == 0


@pytest.mark.parametrize("longest", [10, 1 << 52, 1 << 57])
def test_sums_of_groups_are_exact(longest: int) -> None:
    """Above 2^53 not in floats."""
    rng = np.random.default_rng(1)
    durations = rng.integers(longest - 9, longest, 12)
    group = rng.integers(0, 3, 12)
    expected = [sum(d for d, g in zip(durations.tolist(), group.tolist(), strict=True) if g == i) for i in range(3)]
    assert summed_by_group(durations, group, 3).tolist() == expected


def test_a_sum_longer_than_all_time_is_refused() -> None:
    """It would not fit in 64 bits once a start is added."""
    with pytest.raises(QueryLimitExceeded):
        merge_events_by_keys(made(Payloads(), [(0, 1 << 60, {"a": 1})] * 3), ["a"])
