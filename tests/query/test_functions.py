"""The table of functions: number and kinds of arguments, buckets, and what of section 6 is no transform."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.query.errors import QueryError, QueryFunctionException, QueryInterpretException
from awlog.query.functions import FUNCTIONS
from tests.query.snapshot import Snapshot, answer, answers, stored, value

STORE = Snapshot(
    {
        "win": [
            stored(1, 0, 10, {"app": "vim", "title": "(2) a"}),
            stored(2, 12, 3, {"app": "web", "title": "b"}),
            stored(3, 20, 10, {"app": "vim"}),
        ],
        "afk": [stored(1, 0, 18, {"status": "not-afk"}), stored(2, 18, 12, {"status": "afk"})],
        "web": [stored(1, 12, 3, {"url": "https://www.example.org/x;p?q#i"})],
    }
)
WIN, AFK, WEB = (f"query_bucket('{name}')" for name in ("win", "afk", "web"))

# A call of each function that works, argument by argument: what can be left out stands at the end.
GOOD: dict[str, list[str]] = {
    "query_bucket": ["'win'"],
    "query_bucket_eventcount": ["'win'"],
    "query_bucket_names": [],
    "find_bucket": ["'w'", "'desk'"],
    "filter_keyvals": [WIN, "'app'", "['vim']"],
    "exclude_keyvals": [WIN, "'app'", "['vim']"],
    "filter_keyvals_regex": [WIN, "'app'", "'v'"],
    "filter_period_intersect": [WIN, AFK],
    "period_union": [WIN, AFK],
    "union_no_overlap": [WIN, AFK],
    "concat": [WIN, AFK, "[]"],
    "limit_events": [WIN, "2"],
    "merge_events_by_keys": [WIN, "['app']"],
    "chunk_events_by_key": [WIN, "'app'"],
    "merge_subwatcher_fields": [WIN, WEB, "['url']", "'sub_wins'"],
    "sort_by_timestamp": [WIN],
    "sort_by_duration": [WIN],
    "sum_durations": [WIN],
    "flood": [WIN, "5"],
    "split_url_events": [WEB],
    "simplify_window_titles": [WIN, "'title'"],
    "categorize": [WIN, "[[['Work'], {'regex': 'vim'}]]"],
    "tag": [WIN, "[['work', {'regex': 'vim'}]]"],
    "contains": ["[1]", "1"],
    "print": ["1", "'a'"],
    "nop": [],
}
# How many arguments each takes: at least, at most (None: any number).
COUNTS: dict[str, tuple[int, int | None]] = {
    **{name: (len(arguments), len(arguments)) for name, arguments in GOOD.items()},
    "find_bucket": (1, 2),
    "concat": (0, None),
    "merge_subwatcher_fields": (3, 4),
    "flood": (1, 2),
    "print": (0, None),
}


def call(name: str, arguments: list[str]) -> str:
    return f"{name}({', '.join(arguments)})"


def test_the_table_is_complete() -> None:
    """Section 6's functions, no more and no less, and a good call of each."""
    assert FUNCTIONS.keys() == GOOD.keys()
    for name, arguments in GOOD.items():
        value(call(name, arguments), STORE)


@pytest.mark.parametrize("name", COUNTS)
def test_a_wrong_number_of_arguments_is_an_interpret_error(name: str) -> None:
    """Checked before their kinds, so the arguments here are all wrong."""
    least, most = COUNTS[name]
    for count in range(6):
        arguments = ["print()"] * count
        right = least <= count and (most is None or count <= most)
        if right and (count == 0 or name in ("print", "contains")):
            continue
        with pytest.raises(QueryFunctionException if right else QueryInterpretException) as error:
            value(call(name, arguments), STORE)
        assert error.value.message.startswith(name)
        assert (f"found {count}" in error.value.message) is not right
    value(call(name, GOOD[name][:least]), STORE)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nop", "nop takes 0 arguments, found 1"),
        ("sum_durations", "sum_durations takes 1 argument, found 4"),
        ("flood", "flood takes 1 to 2 arguments, found 4"),
        ("filter_keyvals", "filter_keyvals takes 3 arguments, found 4"),
    ],
)
def test_the_error_says_how_many_arguments_it_takes(name: str, text: str) -> None:
    with pytest.raises(QueryInterpretException) as error:
        value(call(name, ["1"] * (1 if name == "nop" else 4)))
    assert error.value.message == text


# A value of each kind, and which arguments take it. `[]` is a list of events and of anything else.
VALUES: dict[str, str] = {
    "null": "print()",
    "boolean": "true",
    "integer": "2",
    "float": "2.5",
    "text": "'app'",
    "empty": "[]",
    "texts": "['app']",
    "numbers": "[1]",
    "dict": "{'a': 1}",
    "events": WIN,
    "no events": "limit_events(query_bucket('win'), 0)",
    "mixed": f"({WIN} + [1])",
    "nested events": f"[{WIN}]",
}
EVENTS = {"empty", "events", "no events"}
PLAIN = {"empty", "no events", "texts", "numbers"}
TEXTS = {"empty", "no events", "texts"}
NUMBER = {"boolean", "integer", "float"}
ANY_LIST = {"empty", "texts", "numbers", "events", "no events", "mixed", "nested events"}
KINDS: dict[str, list[set[str]]] = {
    "query_bucket": [{"text"}],
    "query_bucket_eventcount": [{"text"}],
    "query_bucket_names": [],
    "find_bucket": [{"text"}, {"text"}],
    "filter_keyvals": [EVENTS, {"text"}, PLAIN],
    "exclude_keyvals": [EVENTS, {"text"}, PLAIN],
    "filter_keyvals_regex": [EVENTS, {"text"}, {"text"}],
    "filter_period_intersect": [EVENTS, EVENTS],
    "period_union": [EVENTS, EVENTS],
    "union_no_overlap": [EVENTS, EVENTS],
    "concat": [EVENTS, EVENTS, EVENTS],
    "limit_events": [ANY_LIST, NUMBER],
    "merge_events_by_keys": [EVENTS, TEXTS],
    "chunk_events_by_key": [EVENTS, {"text"}],
    "merge_subwatcher_fields": [EVENTS, EVENTS, TEXTS, {"text"}],
    "sort_by_timestamp": [EVENTS],
    "sort_by_duration": [EVENTS],
    "sum_durations": [EVENTS],
    "flood": [EVENTS, NUMBER],
    "split_url_events": [EVENTS],
    "simplify_window_titles": [EVENTS, {"text"}],
    "categorize": [EVENTS, PLAIN],
    "tag": [EVENTS, PLAIN],
    "contains": [ANY_LIST | {"dict"}, set(VALUES)],
    "print": [set(VALUES), set(VALUES)],
    "nop": [],
}
POSITIONS = [(name, position) for name, kinds in KINDS.items() for position in range(len(kinds))]


@pytest.mark.parametrize(("name", "position"), POSITIONS)
def test_each_argument_takes_its_kind_and_nothing_else(name: str, position: int) -> None:
    """The error names function, argument and place, and says what was expected and what was found."""
    for kind, text in VALUES.items():
        arguments = [*GOOD[name][:position], text, *GOOD[name][position + 1 :]]
        program = "RETURN =\n" + call(name, arguments) + ";"
        message = None
        try:
            answer(program, STORE)
        except QueryFunctionException as error:
            message, place = error.message, (error.line, error.column)
        refused = message is not None and message.startswith(f"{name}: argument {position + 1} must be ")
        assert refused is (kind not in KINDS[name][position]), (kind, message)
        if refused:
            assert place == (2, len(name) + 2 + sum(len(a) + 2 for a in arguments[:position]) + text.startswith("(")), (
                kind
            )


def test_kinds_are_checked_from_left_to_right_and_before_the_function_runs() -> None:
    """A bad pattern, rule or bucket is not looked at while a kind is wrong."""
    with pytest.raises(QueryFunctionException, match="argument 1 must be events, found 1"):
        value("filter_keyvals(1, 2, 3)")
    with pytest.raises(QueryFunctionException, match="argument 2 must be a text, found 2"):
        value("filter_keyvals([], 2, 3)")
    with pytest.raises(QueryFunctionException, match="argument 3 must be a list without events, found 3"):
        value("filter_keyvals([], 'a', 3)")
    with pytest.raises(QueryFunctionException, match="argument 4 must be a text"):
        value("merge_subwatcher_fields([], [], [], 1)")


def test_an_error_inside_a_function_names_it_and_its_place() -> None:
    """Bad regexes, rules and words are errors even if there are no events."""
    for expression in (
        "filter_keyvals_regex([], 'a', '(')",
        "categorize([], [['Work', {'regex': 'x'}]])",
        "categorize([], [[['Work'], {'regex': '('}]])",
        "categorize([], [1])",
        "tag([], [[['Work'], {}]])",
        "merge_subwatcher_fields([], [], [], 'both_win')",
        "find_bucket('no')",
        "query_bucket('no')",
    ):
        with pytest.raises(QueryFunctionException) as error:
            value(expression, STORE)
        assert error.value.message.startswith(expression.split("(")[0] + ": ")
        assert (error.value.line, error.value.column) == (1, 10)


# Buckets


@pytest.mark.parametrize(
    ("period", "spans"),
    [
        ("10:00:00/10:01:00", [(40, 0), (20, 10), (20, 10), (0, 30)]),
        ("10:00:05/10:00:25", [(20, 5), (20, 5), (5, 20)]),
        ("10:00:30/10:00:40", [(40, 0), (30, 0), (30, 0), (30, 0)]),
        ("10:00:40/10:00:50", [(40, 0)]),
        ("10:00:41/10:00:50", []),
        ("09:00:00/10:00:00", [(0, 0)]),
        ("09:00:00/09:59:59.999999", []),
        ("10:00:20/10:00:20", [(20, 0), (20, 0), (20, 0)]),
        ("10:00:50/10:00:10", []),
    ],
)
def test_query_bucket_gives_what_meets_the_range_cut_to_it(period: str, spans: list[tuple[int, int]]) -> None:
    """Both edges inside; newest first by stored start, equal starts in order of arrival; the count is the length."""
    store = Snapshot(
        {
            "b": [
                stored(1, 0, 30, {"n": 1}),
                stored(2, 20, 10, {"n": 2}),
                stored(3, 20, 10, {"n": 3}),
                stored(4, 40, 0, {"n": 4}),
            ]
        }
    )
    start, end = (f"2024-05-01T{text}Z" for text in period.split("/"))
    (events,) = answers("RETURN = query_bucket('b');", store, f"{start}/{end}")
    ten = 10 * 3600
    shown = [(seconds_of_day(event["timestamp"]) - ten, event["duration"]) for event in events]
    assert shown == spans
    assert [event["data"]["n"] for event in events] == sorted(
        (event["data"]["n"] for event in events), key=lambda n: {4: 0, 2: 1, 3: 2, 1: 3}[n]
    )
    assert answers("RETURN = query_bucket_eventcount('b');", store, f"{start}/{end}") == [len(spans)]


def seconds_of_day(timestamp: str) -> float:
    hours, minutes, seconds = timestamp.split("T")[1].removesuffix("+00:00").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def test_an_event_of_any_length_is_found_and_stored_order_counts_after_cutting() -> None:
    """Years before the range; cut starts are equal, but the order is that of the stored ones."""
    store = Snapshot(
        {"b": [stored(1, -9e8, 1e9, {"n": 1}), stored(2, -8e8, 1e9, {"n": 2}), stored(3, -9e8, 1e9, {"n": 3})]}
    )
    events = value("query_bucket('b')", store)
    assert [event["data"]["n"] for event in events] == [2, 1, 3]
    assert {(event["timestamp"], event["duration"]) for event in events} == {("2024-05-01T00:00:00+00:00", 86_400.0)}


@pytest.mark.parametrize(
    ("starts_s", "period_start", "first"),
    [
        ([0, 20], "10:00:05.000700", ("10:00:05", 4.0 + 1)),
        ([0.0001, 20], "10:00:05.000700", ("10:00:05.000700", 4.999_4)),
        ([0, 20.0005], "10:00:05.000700", ("10:00:05.000700", 4.999_3)),
        ([0, 20], "10:00:05.123", ("10:00:05.123000", 4.877)),
        ([0, 20], "09:59:00.000001", ("10:00:00", 10.0)),
        ([0], "10:00:10", ("10:00:10", 0.0)),
    ],
)
def test_a_start_cut_to_the_range_is_rounded_down_if_all_starts_read_are_whole_milliseconds(
    starts_s: list[float], period_start: str, first: tuple[str, float]
) -> None:
    """Section 5: watchers of today get aw-core's numbers, microsecond telemetry is not crushed. The end stays exact."""
    store = Snapshot({"b": [stored(seq, start_s, 10, {}) for seq, start_s in enumerate(starts_s, start=1)]})
    (events,) = answers("RETURN = query_bucket('b');", store, f"2024-05-01T{period_start}Z/2024-05-02")
    timestamp, duration = first
    assert events[-1]["timestamp"] == f"2024-05-01T{timestamp}+00:00"
    assert events[-1]["duration"] == pytest.approx(duration, abs=1e-9)


def test_starts_before_1970_are_rounded_down_too() -> None:
    """Down is towards the past, not towards zero."""
    store = Snapshot({"b": [stored(1, -2e9, 2e9, {})]})
    (events,) = answers("RETURN = query_bucket('b');", store, "1965-01-01T00:00:00.0007Z/1965-01-02")
    assert events[0]["timestamp"] == "1965-01-01T00:00:00+00:00"
    (events,) = answers("RETURN = query_bucket('b');", store, "1964-12-31T23:59:59.9999Z/1965-01-02")
    assert events[0]["timestamp"] == "1964-12-31T23:59:59.999000+00:00"


def test_buckets_are_known_by_their_whole_names() -> None:
    store = Snapshot({"b": [], "B": [], "日本 ✓": [], "x'y": []})
    assert value("query_bucket_names()", store) == ["b", "B", "日本 ✓", "x'y"]
    assert value("query_bucket('日本 ✓')", store) == value("query_bucket('x\\'y')", store) == []
    with pytest.raises(QueryFunctionException, match=r"query_bucket: There is no bucket named ''"):
        value("query_bucket('')", store)
    with pytest.raises(QueryFunctionException, match=r"query_bucket_eventcount: There is no bucket named 'c'"):
        value("query_bucket_eventcount('c')", store)
    assert value("query_bucket_names()", Snapshot({})) == []


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ("'window'", "window"),  # equals
        ("'window_'", "window_b"),  # begins with it, the oldest of two
        ("'win'", "window_b"),
        ("'dow'", "my-window_c"),  # contains, the oldest
        ("'my-'", "my-window_c"),
        ("'afk'", "aw-afk_c"),
        ("'afk_'", "aw-afk_c"),
        ("''", "my-window_c"),  # every id begins with it
        ("'window', 'c'", "my-window_c"),
        ("'window', 'a'", "window_a"),
        ("'window', ''", "window"),
        ("'', 'a'", "window_a"),
        ("'window', 'd'", None),
        ("'nothing'", None),
        ("'Window'", None),
    ],
)
def test_find_bucket_takes_the_one_that_equals_then_begins_then_contains(arguments: str, found: str | None) -> None:
    """The oldest of each; only of the host, if one is given and not empty."""
    ids = ["my-window_c", "window_b", "aw-afk_c", "window_a", "window"]
    hosts = {"my-window_c": "c", "window_b": "b", "aw-afk_c": "c", "window_a": "a", "window": "desk"}
    store = Snapshot({bucket_id: [] for bucket_id in ids}, hosts)
    if found is None:
        with pytest.raises(QueryFunctionException, match="find_bucket: There is no bucket"):
            value(f"find_bucket({arguments})", store)
    else:
        assert value(f"find_bucket({arguments})", store) == found


# Lists and what is left


@pytest.mark.parametrize(
    ("count", "left"),
    [
        ("0", 0),
        ("2", 2),
        ("3", 3),
        ("9", 3),
        ("2.9", 2),
        ("0.5", 0),
        ("0-1", 0),
        ("0-0.5", 0),
        ("true", 1),
        ("false", 0),
        ("9" * 400, 3),
        ("0 - " + "9" * 400, 0),
    ],
)
def test_limit_events_takes_the_first_of_any_list(count: str, left: int) -> None:
    """A fraction is cut off, below 0 is 0, a boolean is taken for a number."""
    assert value(f"limit_events(['a', 2, []], {count})") == ["a", 2, []][:left]
    assert value(f"limit_events({WIN}, {count})", STORE) == value(WIN, STORE)[:left]


def test_concat_takes_any_number_of_lists_also_none() -> None:
    events = value(WIN, STORE)
    assert value("concat()") == value("concat([])") == []
    assert value("sum_durations(concat())") == 0.0
    assert value(f"concat({WIN})", STORE) == events
    assert value(f"concat({WIN}, [], {AFK}, {WIN})", STORE) == [*events, *value(AFK, STORE), *events]


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        ("[1, 'a'], 1.0", True),
        ("[1, 'a'], 'a'", True),
        ("[1, 'a'], true", False),
        ("[1, 'a'], print()", False),
        ("[], 1", False),
        ("[[1], {'a': [2]}], {'a': [2.0]}", True),
        ("[[1]], [true]", False),
        ("{'a': 1}, 'a'", True),
        ("{'a': 1}, 'b'", False),
        ("{'1': 1}, 1", False),
        ("{'a': 1}, []", False),
        ("query_bucket('win'), query_bucket('win')", False),
        ("[query_bucket('win')], query_bucket('win')", True),
        ("query_bucket_names(), 'afk'", True),
    ],
)
def test_contains(arguments: str, result: bool) -> None:
    """The value in the list, as `==` but other kinds are just not equal; the key in the dict."""
    assert value(f"contains({arguments})", STORE) is result


@pytest.mark.parametrize("pulsetime", ["1.999", "1.9999999", "2", "2.0", "2.5", "3"])
def test_flood_takes_a_pulsetime_in_seconds(pulsetime: str) -> None:
    """Integer, float or boolean; the gap between the first two events is 2 s, and a gap of exactly that is closed."""
    durations = [
        event["duration"] for event in value(f"flood(limit_events(sort_by_timestamp({WIN}), 2), {pulsetime})", STORE)
    ]
    assert durations == ([10.0, 3.0] if float(pulsetime) < 1.9999995 else [11.0, 4.0])


@pytest.mark.parametrize(
    ("pulsetime", "closed"), [("true", False), ("false", False), ("0-5", False), ("9" * 400, True)]
)
def test_flood_takes_any_number(pulsetime: str, closed: bool) -> None:
    """However large or small; the default is 5 s."""
    two = f"limit_events(sort_by_timestamp({WIN}), 2)"
    expected = value(f"flood({two})", STORE) if closed else value(two, STORE)
    assert value(f"flood({two}, {pulsetime})", STORE) == expected


def test_print_and_nop() -> None:
    """print gives null, whatever it is given, and shows nothing."""
    assert value("[print(), print(1, 'a', query_bucket('win'), {}), nop()]", STORE) == [None, None, 1]


def test_conflicts_of_merge_subwatcher_fields() -> None:
    """base_wins if nothing is said."""
    store = Snapshot({"a": [stored(1, 0, 9, {"k": "base"})], "b": [stored(1, 0, 9, {"k": "sub", "j": 1})]})
    call_it = "merge_subwatcher_fields(query_bucket('a'), query_bucket('b'), ['k', 'j']"
    assert value(f"{call_it})", store)[0]["data"] == {"k": "base", "j": 1}
    assert value(f"{call_it}, 'base_wins')", store)[0]["data"] == {"k": "base", "j": 1}
    assert value(f"{call_it}, 'sub_wins')", store)[0]["data"] == {"k": "sub", "j": 1}


# Every value anywhere


ANY_VALUE = st.recursive(
    st.sampled_from([*VALUES.values(), "'win'", "'['", "0", "''", "9999999", "1.5", "false"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(inner, max_size=2).map(
            lambda items: "{" + ", ".join(f"'regex{i}': {x}" for i, x in enumerate(items)) + "}"
        ),
        st.tuples(st.sampled_from(sorted(FUNCTIONS)), st.lists(inner, max_size=4)).map(lambda c: call(c[0], c[1])),
        st.tuples(inner, st.sampled_from(["+", "==", "*"]), inner).map(" ".join),
    ),
    max_leaves=12,
)


@given(ANY_VALUE)
def test_any_call_gives_a_value_or_a_query_error(expression: str) -> None:
    """Nothing else comes out, and the value is strict JSON."""
    found: Any = None
    try:
        value(expression, STORE)
    except QueryError as error:
        found = error
    if found is not None:
        assert found.line == 1
