"""A query as a whole: its text, its periods, its limits, and what it costs."""

from __future__ import annotations

import gc
import json
import pickle
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.model.errors import BadRequest, DataDamaged, Refused
from awlog.model.times import parse_timestamp
from awlog.query import errors
from awlog.query.budget import Limits
from awlog.query.errors import QueryError, QueryLimitExceeded, QueryParseException
from awlog.query.events import EventList
from awlog.query.explain import Recorder
from awlog.query.functions import FUNCTIONS
from awlog.query.payloads import Tables
from awlog.query.program import parse, parse_period, run
from tests.query.snapshot import DAY, Snapshot, answer, answers, stored

STORE = Snapshot({"b": [stored(seq, 10.0 * seq, 5, {"app": f"app{seq % 3}"}) for seq in range(1, 7)]})
SMALL = Limits(memory_bytes_max=100_000)


# The text


def test_the_elements_of_a_query_are_joined_with_newlines() -> None:
    """So a comment ends with its element, a token too, and a string that was cut holds the newline."""
    assert answers("RETURN = 1 # one\n;") == [1]
    program = parse(["a = 'x;", "y'; # c", "RETURN =", "a"])
    (only,) = run(program, [parse_period(DAY)], STORE)
    assert json.loads(only) == "x;\ny"
    with pytest.raises(QueryParseException) as error:
        parse(["a = 1;", "RETU", "RN = a;"])
    assert (error.value.line, error.value.column) == (3, 1)


def test_the_whole_text_is_parsed_before_anything_runs() -> None:
    """An error in the last line keeps the first from running."""
    with pytest.raises(QueryParseException):
        parse(["a = query_bucket('no');", "RETURN = "])
    program = parse([])
    with pytest.raises(QueryParseException, match="RETURN"):
        list(run(program, [parse_period(DAY)], STORE))


@pytest.mark.parametrize("filler", ["#", " ", "'é'; ", "a=1;", "\n"])
def test_a_text_is_as_long_as_the_limit_and_no_longer(filler: str) -> None:
    """In bytes of UTF-8, newlines between elements included."""
    end = "return 1"
    room = 1000 - len(end) - 1
    start = filler * (room // len(filler.encode()))
    start += " " * (room - len(start.encode()))
    assert parse([start, end], Limits(text_bytes_max=1000)) is not None
    for lines in ([start + " ", end], ["", start, end], ["é" * 501]):
        with pytest.raises(QueryLimitExceeded, match="1000 bytes; the setting `max_query_bytes`"):
            parse(lines, Limits(text_bytes_max=1000))


def test_a_megabyte_is_taken_and_one_byte_more_is_not() -> None:
    """The default limit. Refusing is cheap, and so is a parse error at the beginning of a long text."""
    text = "a = 1; " * ((1 << 20) // 7)
    text += " " * ((1 << 20) - len(text))
    assert len(parse([text]).statements) == (1 << 20) // 7
    with pytest.raises(QueryLimitExceeded):
        parse([text + " "])
    with pytest.raises(QueryParseException):
        parse(["²" + text[2:]])


def test_halves_of_surrogate_pairs_become_replacement_characters() -> None:
    """As in stored data: the answer can be sent."""
    assert answer("RETURN = ['\ud83d', NAME];", name="\ude00") == ["\ufffd", "\ufffd"]
    with pytest.raises(QueryParseException):
        parse(["\ud83d = 1;"])


def test_a_program_can_be_sent_to_another_process() -> None:
    """And so can its errors, with their places."""
    program = parse(["if true {RETURN = [1, {'a': nop() + 2}]} else {flood(x)}"])
    assert pickle.loads(pickle.dumps(program)) == program
    for kind in (errors.QueryParseException, errors.QueryFunctionException, errors.QueryLimitExceeded):
        error = pickle.loads(pickle.dumps(kind("what", 2, 3)))
        assert type(error) is kind
        assert (error.message, error.line, error.column, str(error)) == ("what", 2, 3, "what (line 2, column 3)")
        assert isinstance(error, Refused)
    assert str(errors.QueryError("what")) == "what"
    assert errors.QueryError("what").at(1, 2).at(3, 4).column == 2


# Periods


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        (DAY, "2024-05-01T00:00:00Z", "2024-05-02T00:00:00Z"),
        ("2024-05-01/2024-05-02", "2024-05-01T00:00:00Z", "2024-05-02T00:00:00Z"),
        (
            "2024-05-01T10:00+02:00/2024-05-01 10:00:00.123456789Z",
            "2024-05-01T08:00:00Z",
            "2024-05-01T10:00:00.123456Z",
        ),
        ("2024-05-02/2024-05-01", "2024-05-02T00:00:00Z", "2024-05-01T00:00:00Z"),
        ("0001-01-01/9999-12-31T23:59:59.999999", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_period_is_two_timestamps_and_a_slash(text: str, start: str, end: str) -> None:
    """The texts are kept as they were sent; an end before its start is an empty period."""
    period = parse_period(text)
    assert (period.start_us, period.end_us) == (parse_timestamp(start), parse_timestamp(end))
    assert f"{period.start_text}/{period.end_text}" == text


@pytest.mark.parametrize(
    "text",
    ["", "/", "2024-05-01", "2024-05-01/", "/2024-05-01", "2024-05-01/2024-05-02/2024-05-03", "2024-05-01 2024-05-02", "x/y",
     "2024-05-01//2024-05-02", "2024-02-30/2024-05-01", " 2024-05-01/2024-05-02", "1714521600/1714521601"],
)  # fmt: skip
def test_anything_else_is_no_period(text: str) -> None:
    """A BadRequest: it belongs to the envelope, not to the query."""
    with pytest.raises(BadRequest):
        parse_period(text)


def test_each_period_runs_anew_on_one_snapshot() -> None:
    """Variables do not outlive a period; the list of buckets is asked for once; answers come in order."""
    periods = [f"2024-05-01T10:00:{second:02}Z/2024-05-01T10:00:{second + 9:02}Z" for second in (10, 20, 50)]
    asked = 0

    class Counting(Snapshot):
        def buckets(self) -> Any:
            nonlocal asked
            asked += 1
            return super().buckets()

    store = Counting({"b": [stored(seq, 10.0 * seq, 5, {}) for seq in range(1, 5)]})
    text = "a = query_bucket('b'); RETURN = [STARTTIME, sum_durations(a), query_bucket_eventcount('b')];"
    starts = [period.split("/")[0] for period in periods]
    assert answers(text, store, *periods) == [[starts[0], 5.0, 1], [starts[1], 5.0, 1], [starts[2], 0.0, 0]]
    assert asked == 1
    with pytest.raises(errors.QueryInterpretException):
        answers("if STARTTIME == '2024-05-01' {x = 1} RETURN = x;", store, "2024-05-01/2024-05-02", DAY)


def test_no_periods_give_no_answers() -> None:
    """The program is parsed, but not run."""
    assert list(run(parse(["x = none();"]), [], STORE)) == []


def test_any_period_that_fails_fails_the_request() -> None:
    """The answers before it may have been given already; the caller throws them away."""
    text = "if STARTTIME == '2024-05-02' {RETURN = no} else {RETURN = 1}"
    running = run(parse([text]), [parse_period("2024-05-01/2024-05-03"), parse_period("2024-05-02/2024-05-03")], STORE)
    assert next(running) == b"1"
    with pytest.raises(errors.QueryInterpretException):
        next(running)


def test_there_are_as_many_periods_as_the_limit_and_no_more() -> None:
    """Refused before any is run."""
    program, day = parse(["return 1"]), parse_period(DAY)
    assert list(run(program, [day] * 3, STORE, limits=Limits(periods_max=3))) == [b"1"] * 3
    with pytest.raises(QueryLimitExceeded, match=r"4 periods, at most 3 .* `max_query_periods`"):
        run(program, [day] * 4, STORE, limits=Limits(periods_max=3))
    assert Limits().periods_max == 10_000


def test_periods_share_what_is_known_about_payloads_without_growing_for_ever() -> None:
    """Each period's own payloads would fill the limit many times over together."""
    store = Snapshot({"b": [stored(seq, 10.0 * seq, 5, {"title": f"{seq}" * 300}) for seq in range(1, 100)]})
    periods = [f"2024-05-01T10:{minute:02}:00Z/2024-05-01T10:{minute:02}:59Z" for minute in range(17)]
    text = "RETURN = limit_events(tag(query_bucket('b'), [['x', {'regex': '1'}]]), 1);"
    program = parse([text])
    found = list(run(program, [parse_period(period) for period in periods * 3], store, limits=SMALL))
    assert len(found) == 51
    assert found[:17] == found[17:34]


# Limits


DOUBLING: dict[str, str] = {
    "lists in lists": "a = [1, 1];" + "a = [a, a];" * 60,
    "dicts in dicts": "a = {'x': 1};" + "a = {'x': a, 'y': a};" * 60,
    "lists": "a = [1];" + "a = a + a;" * 60,
    "lists of lists": "a = [[1]];" + "a = a + a;" * 60,
    "texts": "a = 'x';" + "a = a + a;" * 60,
    "wide texts": "a = '日';" + "a = a + a;" * 60,
    "events by +": "a = query_bucket('b');" + "a = a + a;" * 60,
    "events by concat": "a = query_bucket('b');" + "a = concat(a, a);" * 60,
    "mixed lists": "a = query_bucket('b');" + "a = a + [1] + a;" * 60,
    "events in lists": "a = query_bucket('b');" + "a = [a, a];" * 60,
    "subevents": "a = query_bucket('b');" + "a = concat(a, a); a = chunk_events_by_key(a, 'app');" * 60,
    "many variables": "a0 = [1];" + "".join(f"a{n + 1} = a{n} + a{n};" for n in range(60)) + "a = 1;",
    "names of tags": "a = 'x';" + "a = a + a;" * 15 + "a = tag(query_bucket('b'), [[a, {'regex': 'app'}]]);",
    "an answer of many small parts": "a = [[]];" + "a = a + a;" * 8 + "a = [a, a, a, a, a, a];" * 2,
}


@pytest.mark.parametrize("name", DOUBLING)
def test_doubling_ends_at_the_limit(name: str) -> None:
    """Not in memory: what is made, compared and rendered is counted, however much of it is shared."""
    with pytest.raises(QueryLimitExceeded) as error:
        answer(DOUBLING[name] + "RETURN = a;", STORE, limits=SMALL)
    assert "100000 bytes" in str(error.value) or "50000 bytes" in str(error.value)


@pytest.mark.parametrize("name", ["lists in lists", "dicts in dicts", "events in lists"])
@pytest.mark.parametrize(
    "use",
    [
        "RETURN = a == b;",
        "RETURN = contains([b], a);",
        "RETURN = [1] == a;",
        "RETURN = limit_events([a], 1) == [b];",
    ],
)
def test_what_is_shared_is_compared_once(name: str, use: str) -> None:
    """Two values of 2^60 parts, each made by sixty statements, are compared in sixty steps."""
    if name == "dicts in dicts" and use.startswith("RETURN = [1]"):
        use = "RETURN = {'x': 1} == a;"
    text = DOUBLING[name] + DOUBLING[name].replace("a", "b").replace("query_bbucket", "query_bucket").replace(
        "bpp", "app"
    )
    assert answer(text + use, STORE, limits=SMALL) is not use.startswith(("RETURN = [1]", "RETURN = {"))


@pytest.mark.parametrize(
    "use",
    [
        "RETURN = a;",
        "filter_keyvals(query_bucket('b'), 'app', a);",
        "exclude_keyvals(query_bucket('b'), 'app', [a]);",
        "categorize(query_bucket('b'), [[a, a]]);",
        "tag(query_bucket('b'), a);",
        "merge_events_by_keys(query_bucket('b'), a);",
    ],
)
def test_transforms_get_no_value_that_is_larger_than_it_looks(use: str) -> None:
    """They look into values without counting."""
    with pytest.raises(QueryLimitExceeded, match="max_query_memory_bytes"):
        answer(DOUBLING["lists in lists"] + use + "RETURN = a;", STORE, limits=SMALL)


@pytest.mark.parametrize("keeping", ["limit_events(a, 1)", "limit_events(a + [1], 1)"])
def test_a_few_events_do_not_keep_many_in_memory_uncounted(keeping: str) -> None:
    """One event cut out of each of many long lists: either it holds no list, or the list counts as held."""
    text = "a = query_bucket('b');" + "a = concat(a, a);" * 6
    text += "".join(f"a = sort_by_duration(concat(a, [])); k{n} = {keeping};" for n in range(20)) + "RETURN = 1;"
    if "+" in keeping:
        with pytest.raises(QueryLimitExceeded):
            answer(text, STORE, limits=SMALL)
    else:
        assert answer(text, STORE, limits=SMALL) == 1


def test_programs_as_deep_as_the_limit_can_be_run() -> None:
    """Brackets, calls, lists and blocks: a hundred levels."""
    assert answer("RETURN = " + "(" * 100 + "1" + ")" * 100) == 1
    assert answer("RETURN = " + "limit_events(" * 50 + "[" * 50 + "]" * 50 + ", 1)" * 50) is not None
    assert answer("if true {" * 100 + "RETURN = 1" + "}" * 100) == 1
    assert answer("RETURN = 0" + " + (1" * 100 + ")" * 100) == 100


def test_what_is_no_longer_held_is_not_counted() -> None:
    """A hundred times the limit, one after the other, in one variable: that is fine."""
    assert answer("a = [1];" + "a = a + a;" * 8 + "b = a + a;" * 300 + "RETURN = 1;", limits=SMALL) == 1
    assert answer("b = query_bucket('b') + query_bucket('b');" * 300 + "RETURN = 1;", STORE, limits=SMALL) == 1


def test_nesting_of_an_answer_ends_at_500_levels() -> None:
    """As in all JSON that awlog sends and takes; deeper values can be made and compared."""
    deep = "a = [];" + "a = [a];" * 499
    assert answer(deep + "RETURN = a;") is not None
    with pytest.raises(QueryLimitExceeded, match="nested deeper than 500 levels"):
        answer(deep + "RETURN = [a];")
    with pytest.raises(QueryLimitExceeded, match="nested deeper than 500 levels"):
        answer(deep + "a = {'x': a}; RETURN = filter_keyvals([], 'a', [a]);")
    assert answer("a = [];" + "a = [a];" * 20_000 + "RETURN = a == [a];") is False


def test_subevents_of_subevents_end_too() -> None:
    """Each chunk wraps the events before it: the data grow deeper, and deeper than JSON can be."""
    with pytest.raises(QueryLimitExceeded):
        answer("a = query_bucket('b');" + "a = chunk_events_by_key(a, 'app');" * 2000 + "RETURN = a;", STORE)


def test_time_is_checked_at_every_statement_and_in_long_loops() -> None:
    """What `check` raises ends the query; an error of ours gets the place of the statement."""
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 5:
            raise QueryLimitExceeded("The query ran for too long")

    with pytest.raises(QueryLimitExceeded, match="too long") as error:
        answer("a = 1;\n" * 20 + "RETURN = 1;", check=check)
    assert (error.value.line, error.value.column) == (6, 1)

    for loop in (
        "RETURN = a;",
        "RETURN = a == b;",
        "RETURN = " + "+".join("1" * 10_000) + ";",
        "f = filter_keyvals([], '', a);",
    ):
        calls = -10_000
        text = "a = [1, 2, 3];" + "a = a + a;" * 12 + "b = [1, 2, 3];" + "b = b + b;" * 12
        answer(text + "RETURN = 1;", check=check)
        without = calls
        calls = -10_000
        answer(text + loop + "RETURN = 1;" * (loop[0] == "f"), check=check)
        assert calls > without + 1, loop


def test_other_errors_of_the_store_pass_through() -> None:
    """Damage is not the query's fault."""

    class Broken(Snapshot):
        def events(self, *_: Any) -> Any:
            raise DataDamaged("a segment of bucket 'b'")

    with pytest.raises(DataDamaged):
        answer("RETURN = query_bucket('b');", Broken({"b": []}))


# Explanations


def test_a_recorder_is_told_what_each_statement_cost() -> None:
    """Line, functions, runs, seconds by the clock it was given, events in and out; over all periods."""
    ticks = iter(range(1000))
    recorder = Recorder(lambda: next(ticks))
    text = """a = flood(query_bucket('b'));
        if 1 == 1 {
            RETURN = sum_durations(concat(a, limit_events(a, 2)));
        } elif query_bucket_eventcount('b') == 0 { b = 1; }
        nop();"""
    periods = [parse_period(DAY), parse_period("2024-05-01T10:00:00Z/2024-05-01T10:00:33Z")]
    list(run(parse(text.split("\n")), periods, STORE, recorder=recorder))
    shown = [
        (cost.line, cost.functions, cost.runs, cost.seconds, cost.events_in, cost.events_out)
        for cost in recorder.costs()
    ]
    assert shown == [
        (1, ["query_bucket", "flood"], 2, 2, 6 + 3, 6 + 3),
        (2, [], 2, 2, 0, 0),
        (3, ["limit_events", "concat", "sum_durations"], 2, 2, (6 + 6 + 2 + 8) + (3 + 3 + 2 + 5), 0),
        (5, ["nop"], 2, 2, 0, 0),
    ]


def test_a_recorder_keeps_what_it_has_when_a_query_fails() -> None:
    """The statement that failed is among it."""
    recorder = Recorder(lambda: 0.0)
    with pytest.raises(QueryError):
        list(run(parse(["a = 1;", "b = flood(c);"]), [parse_period(DAY)], STORE, recorder=recorder))
    assert [(cost.line, cost.runs) for cost in recorder.costs()] == [(1, 1), (2, 1)]


def test_answers_are_the_same_with_what_earlier_queries_learnt() -> None:
    """The table of payloads outlives the query; a small one is made anew each time."""
    text = "RETURN = categorize(query_bucket('b'), [[['A'], {'regex': 'app1'}], [['B', 'C'], {'regex': 'pp2'}]]);"
    program, periods = parse([text]), [parse_period(DAY)]
    plain = list(run(program, periods, STORE))
    for tables in (Tables(), Tables(size_bytes_max=1)):
        for _ in range(3):
            assert list(run(program, periods, STORE, tables=tables)) == plain


# Garbage


PIECES = [
    *sorted(FUNCTIONS),
    *["a", "b", "RETURN", "STARTTIME", "TIMEINTERVAL", "NAME", "true", "if", "elif", "else", "return"],
    *["'b'", "'app'", "['app']", "'('", "[[['x'], {'regex': 'a'}]]", "1", "0", "2.5", "query_bucket('b')"],
    *["(", ")", "[", "]", "{", "}", "[]", "{}", ",", ":", ";", "=", "==", "+", "-", "*", "/", "%"],
    *[" ", "\n", "# x\n", "\\", "²", '"'],
]


def is_an_answer_or_a_query_error(text: str) -> None:
    with suppress(QueryError):
        answer(text, STORE, limits=SMALL)


@given(st.text())
def test_any_text_gives_an_answer_or_a_query_error(text: str) -> None:
    """There is no input for a 500."""
    is_an_answer_or_a_query_error(text)
    is_an_answer_or_a_query_error(f"RETURN = {text};")


@given(st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join))
def test_any_pieces_give_an_answer_or_a_query_error(text: str) -> None:
    """Nearly programs."""
    is_an_answer_or_a_query_error(text)


@pytest.mark.parametrize(
    "ends",
    ["RETURN = [a, a + a];", "if 1 {}", "b = nope;", "b = 1 / 0;", "flood(1);", "a = [a, a];" * 60 + "RETURN = a;"],
)
def test_the_events_of_a_run_are_let_go_when_it_ends(ends: str) -> None:
    """However it ends, and without the collector: between two of its walks hundreds of queries may come."""
    gc.collect()
    gc.disable()
    try:
        with suppress(QueryError):
            answers(f"a = flood(query_bucket('b')); {ends}", STORE)
        assert not [thing for thing in gc.get_objects() if isinstance(thing, EventList)]
    finally:
        gc.enable()


GOOD_PROGRAM = """events = flood(query_bucket("b"), 5); # a
if query_bucket_eventcount('b') == 6 { events = filter_keyvals(events, "app", ["app1", 'app2']); }
elif true { return [1, 2.5] } else { x = {"a": [events], "b": "c\\"d"}; }
events = categorize(events, [[["A", "B"], {"type": "regex", "regex": "app\\d"}]]);
RETURN = {"all": limit_events(events, 2), "sum": sum_durations(events) + 1 * (2 - 3) / 4 % 5};
"""


@pytest.mark.parametrize("seed", range(20))
def test_a_spoilt_program_gives_an_answer_or_a_query_error(seed: int) -> None:
    """Some characters taken out, doubled, swapped or replaced."""
    random = Random(seed)
    for _ in range(25):
        text = list(GOOD_PROGRAM)
        for _ in range(random.choice([1, 1, 2, 5])):
            at = random.randrange(len(text))
            change: Callable[[], Any] = random.choice(
                [
                    lambda at=at, text=text: text.pop(at),
                    lambda at=at, text=text: text.insert(at, random.choice("()[]{}'\"\\;,=1a ²\x00")),
                    lambda at=at, text=text: text.insert(at, text[random.randrange(len(text))]),
                    lambda at=at, text=text: text.__delitem__(slice(at, at + random.randrange(40))),
                ]
            )
            change()
        is_an_answer_or_a_query_error("".join(text))


def test_the_program_that_is_spoilt_is_good() -> None:
    assert answer(GOOD_PROGRAM, STORE).keys() == {"all", "sum"}
