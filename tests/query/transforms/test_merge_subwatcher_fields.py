"""merge_subwatcher_fields: cuts, winners and joins."""

from __future__ import annotations

from typing import Any

import pytest

from awlog.query.events import Payloads, no_events
from awlog.query.transforms import merge_subwatcher_fields
from tests.query.transforms.lists import MS, S, made, rows


def enriched(base: list[Any], subs: list[Any], *, sub_wins: bool = False) -> list[tuple[float, float, Any, Any]]:
    """(start, end, a) and (start, end, f) in seconds -> (start, end, a, f); None: absent."""
    payloads = Payloads()

    def listed(key: str, spans: list[Any]) -> Any:
        rows_made = [(int(s * S), int((e - s) * S), {} if value is None else {key: value}) for s, e, value in spans]
        return made(payloads, rows_made)

    ours = merge_subwatcher_fields(listed("a", base), listed("f", subs), ["f", "a"], sub_wins=sub_wins)
    return [(s / S, (s + d) / S, data.get("a"), data.get("f")) for s, d, data, _ in rows(ours)]


@pytest.mark.parametrize(
    ("base", "subs", "pieces"),
    [
        ([(0, 10, "x")], [], [(0, 10, "x", None)]),
        ([], [(0, 10, "f")], []),
        ([(0, 10, "x")], [(0, 10, "f")], [(0, 10, "x", "f")]),
        ([(0, 10, "x")], [(-5, 15, "f")], [(0, 10, "x", "f")]),
        ([(0, 10, "x")], [(4, 6, "f")], [(0, 4, "x", None), (4, 6, "x", "f"), (6, 10, "x", None)]),
        # Touching is not at the same time.
        ([(0, 10, "x")], [(10, 20, "f"), (-5, 0, "g")], [(0, 10, "x", None)]),
        # The latest start wins, then the latest end, then the earlier in the list.
        ([(0, 10, "x")], [(0, 10, "f"), (5, 10, "g")], [(0, 5, "x", "f"), (5, 10, "x", "g")]),
        ([(0, 10, "x")], [(0, 10, "f"), (0, 5, "g")], [(0, 10, "x", "f")]),
        ([(0, 10, "x")], [(0, 10, "f"), (0, 10, "g")], [(0, 10, "x", "f")]),
        # Pieces that came out equal are joined.
        ([(0, 10, "x")], [(0, 5, "f"), (5, 10, "f")], [(0, 10, "x", "f")]),
        ([(0, 10, "x")], [(2, 5, None)], [(0, 10, "x", None)]),
        ([(0, 10, "x")], [(0, 5, 1), (5, 10, True)], [(0, 10, "x", 1)]),
        # But not those of two events.
        ([(0, 5, "x"), (5, 10, "x")], [(0, 10, "f")], [(0, 5, "x", "f"), (5, 10, "x", "f")]),
        # One without length gives its fields to the piece on each side.
        ([(0, 10, "x")], [(4, 4, "f")], [(0, 10, "x", "f")]),
        ([(0, 10, "x")], [(0, 10, "g"), (4, 4, "f")], [(0, 10, "x", "f")]),
        ([(0, 10, "x")], [(0, 0, "f"), (10, 10, "f")], [(0, 10, "x", None)]),
        ([(0, 10, "x")], [(4, 4, "f"), (4, 4, "g")], [(0, 10, "x", "f")]),
        # A base event without length vanishes inside one of the subwatcher, and stays at its edge.
        ([(5, 5, "x")], [(0, 10, "f")], []),
        ([(5, 5, "x")], [(5, 10, "f")], [(5, 5, "x", None)]),
        # The base keeps its order.
        ([(20, 30, "y"), (0, 10, "x")], [(0, 30, "f")], [(20, 30, "y", "f"), (0, 10, "x", "f")]),
    ],
)
def test_pieces_of_one_event(base: list[Any], subs: list[Any], pieces: list[Any]) -> None:
    assert enriched(base, subs) == pieces


@pytest.mark.parametrize(("sub_wins", "shown"), [(False, "base"), (True, "sub")])
def test_who_wins_when_both_have_a_field(sub_wins: bool, shown: str) -> None:
    payloads = Payloads()
    base, subs = made(payloads, [(0, 10, {"f": "base"})]), made(payloads, [(0, 10, {"f": "sub", "g": 1})])
    assert rows(merge_subwatcher_fields(base, subs, ["f"], sub_wins=sub_wins)) == [(0, 10, {"f": shown}, 1)]


def test_without_keys_or_subwatcher_events_the_base_is_unchanged() -> None:
    """Events without length, too."""
    payloads = Payloads()
    base, subs = made(payloads, [(5, 0, {"a": 1}), (0, 10, {})]), made(payloads, [(0, 20, {"f": 1})])
    assert rows(merge_subwatcher_fields(base, subs, [], sub_wins=False)) == rows(base)
    assert rows(merge_subwatcher_fields(base, no_events(payloads), ["f"], sub_wins=False)) == rows(base)


def test_pieces_begin_at_whole_units_and_keep_the_id() -> None:
    """The subwatcher's event ends at 1.5 ms: the next piece begins at 1 ms and is as long as what is left."""
    payloads = Payloads()
    base, subs = made(payloads, [(0, 10 * MS, {}, 9)]), made(payloads, [(0, 1500, {"f": 1})])
    assert rows(merge_subwatcher_fields(base, subs, ["f"], sub_wins=False)) == [
        (0, 1500, {"f": 1}, 9),
        (1000, 8500, {}, 9),
    ]


def test_many_pieces_of_one_event_take_time_in_proportion() -> None:
    """20,000 pieces; each against each would be 400 million steps."""
    payloads = Payloads()
    base = made(payloads, [(0, 20_000 * MS, {})])
    subs = made(payloads, [(i * MS, MS, {"f": i % 7}) for i in range(20_000)])
    assert len(merge_subwatcher_fields(base, subs, ["f"], sub_wins=False)) == 20_000
