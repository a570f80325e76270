"""Values, variables, operators and statements: sections 2 to 4."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.query.errors import (
    QueryError,
    QueryFunctionException,
    QueryInterpretException,
    QueryLimitExceeded,
    QueryParseException,
)
from tests.query.snapshot import DAY, Snapshot, answer, answers, stored, value

NOTES = Snapshot({"notes": [stored(1, 0, 10, {"n": 1}), stored(2, 20, 10, {"n": 1.0}), stored(3, 40, 0, {"n": True})]})
IDS = [4294967299, 4294967298, 4294967297]


def exactly(left: Any, right: Any) -> bool:
    """Equal and of one type: `1`, `1.0` and `True` differ."""
    return type(left) is type(right) and repr(left) == repr(right)


# Values


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("7", 7),
        ("1.5", 1.5),
        ("1.", 1.0),
        ("0.1", 0.1),
        ("9" * 400, int("9" * 400)),
        ('"a"', "a"),
        ("'\"\\\\\n\t\x01é\N{GRINNING FACE}'", '"\\\\\n\t\x01é\N{GRINNING FACE}'),
        ("true", True),
        ("True", True),
        ("false", False),
        ("False", False),
        ("[]", []),
        ("{}", {}),
        ('[1, "a", [1.0, {}], true]', [1, "a", [1.0, {}], True]),
        ('{"b": 1, "a": {"": []}, "b": 2}', {"b": 2, "a": {"": []}}),
        ("print(1)", None),
        ("[print(), 1]", [None, 1]),
    ],
)
def test_values_on_the_wire(expression: str, result: Any) -> None:
    """Section 2's table; a repeated key takes the last value."""
    assert exactly(value(expression), result)


def test_events_are_event_objects_on_the_wire() -> None:
    """Alone, in lists, in dicts; an empty list of events is `[]`."""
    events = value("query_bucket('notes')", NOTES)
    assert [event["id"] for event in events] == IDS
    assert events[0] == {"id": IDS[0], "timestamp": "2024-05-01T10:00:40+00:00", "duration": 0.0, "data": {"n": True}}
    assert answer("a = query_bucket('notes'); RETURN = {'x': [a, 1], 'y': a};", NOTES) == {
        "x": [events, 1],
        "y": events,
    }
    assert value("flood([])") == value("query_bucket('notes')", Snapshot({"notes": []})) == []


def test_sum_durations_gives_a_float_and_integers_stay_integers() -> None:
    assert exactly(value("sum_durations(query_bucket('notes'))", NOTES), 20.0)
    assert exactly(value("sum_durations([])"), 0.0)
    assert exactly(value("nop() + 2 * 3"), 9)


# Operators


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("1+2*3", 9),
        ("1+(2*3)", 7),
        ("2-3-4", -5),
        ("1+1==2", True),
        ("1 == 1 == true", True),
        ("7/2", 3.5),
        ("6/2", 3.0),
        ("7*2", 14),
        ("7.0-7", 0.0),
        ("1+0.5", 1.5),
        ("7%3", 1),
        ("(0-7)%3", -1),
        ("7%(0-3)", 1),
        ("(0-7)%(0-3)", -1),
        ("7.5%2", 1.5),
        ("(0-7.5)%2", -1.5),
        ("6%3", 0),
        ("'a'+'b'", "ab"),
        ("'ä'+'\N{GRINNING FACE}'+''", "ä\N{GRINNING FACE}"),
        ("[1]+[]+['a', [2]]", [1, "a", [2]]),
        ("[] + []", []),
        (f"{10**300} * {10**300}", 10**600),
        (f"{2**70 + 1} % {2**35}", 1),
        (f"{10**4000} * {10**299}", 10**4299),
        (f"{10**4300 - 2} + 1", 10**4300 - 1),
        (f"{2**1000} / {2**999}", 2.0),
    ],
)
def test_operators_run_from_left_to_right(expression: str, result: Any) -> None:
    """One rank; integers stay integers, `/` always gives a float, `%` has the sign of the left operand."""
    assert exactly(value(expression), result)


@pytest.mark.parametrize(
    ("expression", "message", "column"),
    [
        ("1 + 'a'", "'+' does not take a number and a text", 12),
        ("'a' + 1", "'+' does not take a text and a number", 14),
        ("1 + true", "'+' does not take a number and a boolean", 12),
        ("true + true", "'+' does not take a boolean and a boolean", 15),
        ("true * 2", "'*' does not take a boolean and a number", 15),
        ("[] + 'a'", "'+' does not take a list and a text", 13),
        ("flood([]) + 1", "'+' does not take a list and a number", 20),
        ("{} + {}", "'+' does not take a dict and a dict", 13),
        ("print() + print()", "'+' does not take null and null", 18),
        ("'a' - 'a'", "'-' does not take a text and a text", 14),
        ("[1] * 3", "'*' does not take a list and a number", 14),
        ("'a' % 'b'", "'%' does not take a text and a text", 14),
        ("1 / 0", "'/' by zero", 12),
        ("1 / 0.0", "'/' by zero", 12),
        ("1.5 / 0", "'/' by zero", 14),
        ("1 % 0", "'%' by zero", 12),
        ("1.5 % 0", "'%' by zero", 14),
        ("1 + 1 / (1 - 1)", "'/' by zero", 16),
        (f"{'9' * 300}. * {'9' * 300}", "The result of '*' is beyond what a float can hold", 312),
        (f"{'9' * 400} / 3", "The result of '/' is beyond what a float can hold", 411),
        (f"{'9' * 400} + 0.5", "The result of '+' is beyond what a float can hold", 411),
        (f"{'9' * 400} % 0.5", "The result of '%' is beyond what a float can hold", 411),
        ("1 == 'a'", "'==' does not compare a number with a text", 12),
        ("1 == true", "'==' does not compare a number with a boolean", 12),
        ("print() == false", "'==' does not compare null with a boolean", 18),
        ("[] == {}", "'==' does not compare a list with a dict", 13),
        ("'true' == true", "'==' does not compare a text with a boolean", 17),
    ],
)
def test_other_operands_are_an_error_at_the_operator(expression: str, message: str, column: int) -> None:
    """A boolean is not a number here; nothing is converted."""
    with pytest.raises(QueryInterpretException) as error:
        value(expression)
    assert error.value.message == message
    assert (error.value.line, error.value.column) == (1, column)


def test_numbers_beyond_the_limit_are_refused() -> None:
    """Squaring sixty times ends; so does doubling a float."""
    with pytest.raises(QueryLimitExceeded, match="'\\*' has more than 4300 digits"):
        answer("a = 7;" + "a = a * a;" * 60 + "RETURN = a;")
    with pytest.raises(QueryLimitExceeded):
        value(f"{10**4300 - 1} + 1")
    with pytest.raises(QueryLimitExceeded):
        value(f"0 - {10**4300 - 1} - 1")
    with pytest.raises(QueryInterpretException, match="beyond what a float can hold"):
        answer("a = 7.5;" + "a = a * a;" * 60 + "RETURN = a;")


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("1", "1", True),
        ("1", "1.0", True),
        ("1", "2", False),
        (f"{2**53}", f"{2**53 + 1}.", True),
        (f"{2**53 + 1}", f"{2**53}.", False),
        ("'a'", '"a"', True),
        ("'a'", "'A'", False),
        ("true", "True", True),
        ("true", "false", False),
        ("print()", "print(1)", True),
        ("[]", "[]", True),
        ("[1, [2.0]]", "[1.0, [2]]", True),
        ("[1]", "[true]", False),
        ("[0]", "[false]", False),
        ("[1]", "['1']", False),
        ("[print()]", "[false]", False),
        ("[1]", "[1, 1]", False),
        ("[[]]", "[{}]", False),
        ("{'a': 1, 'b': [2]}", "{'b': [2.0], 'a': 1}", True),
        ("{'a': 1}", "{'a': true}", False),
        ("{'a': 1}", "{'b': 1}", False),
        ("{'a': 1}", "{'a': 1, 'b': 1}", False),
        ("query_bucket('notes')", "query_bucket('notes')", True),
        ("query_bucket('notes')", "sort_by_timestamp(query_bucket('notes'))", False),
        ("query_bucket('notes')", "limit_events(query_bucket('notes'), 2)", False),
        ("limit_events(query_bucket('notes'), 0)", "[]", True),
        ("[]", "limit_events(query_bucket('notes'), 0)", True),
        ("query_bucket('notes')", "[1, 2, 3]", False),
        ("[query_bucket('notes')]", "[query_bucket('notes')]", True),
        ("[1] + query_bucket('notes')", "[1] + query_bucket('notes')", True),
        ("[1] + query_bucket('notes')", "[1] + sort_by_timestamp(query_bucket('notes'))", False),
        ("limit_events(query_bucket('notes') + [1], 3)", "query_bucket('notes')", True),
        ("query_bucket('notes') + [1]", "query_bucket('notes') + [true]", False),
    ],
)
def test_equality_is_deep_and_of_one_kind(left: str, right: str, same: bool) -> None:
    """Integer and float are one kind, events and list too; inside, different kinds are just unequal."""
    assert value(f"({left}) == ({right})", NOTES) is same
    assert value(f"({right}) == ({left})", NOTES) is same


def test_events_are_equal_if_time_and_data_are() -> None:
    """Ids do not count; `1` and `1.0` in the data are equal, `true` is not."""
    store = Snapshot(
        {
            "a": [stored(1, 0, 5, {"n": 1, "m": [1]})],
            "b": [stored(7, 0, 5, {"m": [1.0], "n": 1.0})],
            "c": [stored(1, 0, 5, {"n": True, "m": [1]})],
            "d": [stored(1, 0, 6, {"n": 1, "m": [1]})],
        }
    )
    assert [value(f"query_bucket('a') == query_bucket('{other}')", store) for other in "abcd"] == [
        True,
        True,
        False,
        False,
    ]


# Lists


def test_events_joined_with_events_are_events_and_with_other_values_a_list() -> None:
    """What is joined with an empty list is what it was."""
    events = value("query_bucket('notes')", NOTES)
    assert value("query_bucket('notes') + query_bucket('notes')", NOTES) == events + events
    assert value("[] + query_bucket('notes') + []", NOTES) == events
    assert value("flood([] + sort_by_timestamp(query_bucket('notes')))", NOTES) != []
    assert value("[1] + query_bucket('notes')", NOTES) == [1, *events]
    assert value("query_bucket('notes') + ['a']", NOTES) == [*events, "a"]
    assert value("[query_bucket('notes')] + query_bucket('notes')", NOTES) == [events, *events]


def test_a_list_that_holds_nothing_but_events_is_events_wherever_they_came_from() -> None:
    """Cut out of a mixed list, they can be used like any others."""
    cut = "limit_events(query_bucket('notes') + ['x'], 3)"
    assert value(f"sum_durations({cut})", NOTES) == 20.0
    assert value(f"sort_by_timestamp({cut})", NOTES) == value("sort_by_timestamp(query_bucket('notes'))", NOTES)
    assert value(f"{cut} + query_bucket('notes')", NOTES) == value(
        "query_bucket('notes') + query_bucket('notes')", NOTES
    )
    with pytest.raises(QueryFunctionException, match="argument 1 must be events, found a list of 4"):
        value("sum_durations(query_bucket('notes') + ['x'])", NOTES)


def test_a_value_never_changes() -> None:
    """Whatever other variables hold it: transforms, `+` and assignments make new values."""
    program = """
        a = query_bucket('notes'); b = a; l = [1]; m = l; d = {'a': l}; e = d;
        c = categorize(a, [[['X'], {'regex': 'x'}]]); t = tag(a, []); u = period_union(a, a);
        a = sort_by_timestamp(a); l = l + [2]; d = 1;
        RETURN = [b == query_bucket('notes'), m, e];
    """
    assert answer(program, NOTES) == [True, [1], {"a": [1]}]


# Variables


def test_variables_at_the_start() -> None:
    """The texts of the period as they were sent."""
    period = "2024-05-01T10:00:00+02:00/2024-05-02"
    text = "RETURN = [NAME, STARTTIME, ENDTIME, TIMEINTERVAL, true, True, false, False];"
    (given,) = answers(text, None, period, name="my query")
    assert given == ["my query", "2024-05-01T10:00:00+02:00", "2024-05-02", period, True, True, False, False]
    assert answer("RETURN = NAME;") == ""


def test_all_names_can_be_assigned_and_functions_have_names_of_their_own() -> None:
    """A variable called flood hides no function."""
    assert answer("true = 0; NAME = [1]; flood = 3; RETURN = [true, NAME, flood, flood([]), True];") == [
        0,
        [1],
        3,
        [],
        True,
    ]
    assert answer("RETURN = 1; RETURN = [RETURN, 2];") == [1, 2]


@pytest.mark.parametrize(
    ("program", "message", "column"),
    [
        ("RETURN = a;", "There is no variable 'a'", 10),
        ("RETURN = [1, {'x': b}];", "There is no variable 'b'", 20),
        ("RETURN = flood;", "There is no variable 'flood'; it is a function and needs brackets", 10),
        ("RETURN = none();", "There is no function 'none'", 10),
        ("RETURN = none(undefined);", "There is no function 'none'", 10),
        ("a = 1; RETURN = a();", "There is no function 'a'", 17),
        ("RETURN = " + "x" * 50 + ";", f"There is no variable '{'x' * 40}…'", 10),
        ("a = b; b = 1; RETURN = a;", "There is no variable 'b'", 5),
    ],
)
def test_unknown_names_are_an_error_where_they_stand(program: str, message: str, column: int) -> None:
    with pytest.raises(QueryInterpretException) as error:
        answer(program)
    assert (error.value.message, error.value.line, error.value.column) == (message, 1, column)


@pytest.mark.parametrize(
    ("assignments", "names", "range_read"),
    [
        ("", [*DAY.split("/"), DAY], ("00:00:00", "24:00:00")),
        (
            "STARTTIME = '2024-05-01T10:00:30Z';",
            ["2024-05-01T10:00:30Z", DAY.split("/")[1], "2024-05-01T10:00:30Z/2024-05-02T00:00:00+00:00"],
            ("10:00:30", "24:00:00"),
        ),
        (
            "ENDTIME = '2024-05-01T10:00:30Z';",
            [DAY.split("/")[0], "2024-05-01T10:00:30Z", "2024-05-01T00:00:00+00:00/2024-05-01T10:00:30Z"],
            ("00:00:00", "10:00:30"),
        ),
        (
            "TIMEINTERVAL = '2024-05-01/2024-05-02';",
            ["2024-05-01", "2024-05-02", "2024-05-01/2024-05-02"],
            ("00:00:00", "24:00:00"),
        ),
        (
            "TIMEINTERVAL = 'x'; TIMEINTERVAL = '2024-05-01T08:00Z/2024-05-01T12:00+02:00'; ENDTIME = '2024-05-01 12:00';",
            ["2024-05-01T08:00Z", "2024-05-01 12:00", "2024-05-01T08:00Z/2024-05-01 12:00"],
            ("08:00:00", "12:00:00"),
        ),
        (
            "STARTTIME = '2024-05-01T01:00:00Z'; TIMEINTERVAL = '2024-05-01T02:00:00Z/2024-05-01T03:00:00Z';",
            ["2024-05-01T02:00:00Z", "2024-05-01T03:00:00Z", "2024-05-01T02:00:00Z/2024-05-01T03:00:00Z"],
            ("02:00:00", "03:00:00"),
        ),
    ],
)  # fmt: skip
def test_the_last_assignment_moves_the_range_and_the_other_names_follow(
    assignments: str, names: list[str], range_read: tuple[str, str]
) -> None:
    """Of every later query_bucket and eventcount; what was read before stays."""
    store = Snapshot({"notes": []})
    program = (
        f"query_bucket('notes'); {assignments} RETURN = [STARTTIME, ENDTIME, TIMEINTERVAL]; query_bucket('notes');"
    )
    assert answer(program, store) == names
    midnight_us = 1_714_521_600_000_000
    (_, first_us, _), (_, start_us, end_us) = store.reads
    assert first_us == midnight_us
    in_day = [round((at_us - midnight_us) / 1_000_000) for at_us in (start_us, end_us)]
    assert [f"{s // 3600:02}:{s % 3600 // 60:02}:{s % 60:02}" for s in in_day] == list(range_read)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("STARTTIME = 'tomorrow';", "STARTTIME must be a time, found the text 'tomorrow'"),
        ("STARTTIME = '';", "STARTTIME must be a time, found the text ''"),
        ("STARTTIME = 5;", "STARTTIME must be a time, found 5"),
        ("ENDTIME = true;", "ENDTIME must be a time, found true"),
        ("ENDTIME = '2024-13-01';", "ENDTIME must be a time, found the text '2024-13-01'"),
        ("ENDTIME = [1, 2];", "ENDTIME must be a time, found a list of 2"),
        ("STARTTIME = print();", "STARTTIME must be a time, found null"),
        ("TIMEINTERVAL = 'x/y';", "STARTTIME must be a time, found the text 'x'"),
        ("TIMEINTERVAL = '2024-05-01/';", "ENDTIME must be a time, found the text ''"),
        ("TIMEINTERVAL = '2024-05-01';", "TIMEINTERVAL must be a text of two times with one '/' between them"),
        ("TIMEINTERVAL = '2024-05-01/2024-05-02/2024-05-03';", "TIMEINTERVAL must be a text of two times"),
        ("TIMEINTERVAL = 7;", "TIMEINTERVAL must be a text of two times with one '/' between them"),
        ("STARTTIME = '" + "x" * 99 + "';", f"STARTTIME must be a time, found the text '{'x' * 40}'…"),
    ],
)
@pytest.mark.parametrize("function", ["query_bucket", "query_bucket_eventcount"])
def test_a_value_that_is_no_time_is_an_error_only_when_a_bucket_is_read(
    assignment: str, message: str, function: str
) -> None:
    """The error names the variable."""
    store = Snapshot({"notes": []})
    assert answer(f"{assignment} RETURN = 1;", store) == 1
    with pytest.raises(QueryFunctionException) as error:
        answer(f"{assignment}\nRETURN = {function}('notes');", store)
    assert error.value.message.startswith(f"{function}: {message}")
    assert (error.value.line, error.value.column) == (2, 10)


def test_an_end_before_its_start_is_an_empty_range() -> None:
    """Not an error: no events, and nothing is read."""
    store = Snapshot({"notes": [stored(1, 0, 10, {})]})
    program = "STARTTIME = '2025-01-01'; RETURN = [query_bucket('notes'), query_bucket_eventcount('notes')];"
    assert answer(program, store) == [[], 0]
    assert store.reads == []


# Statements


@pytest.mark.parametrize(
    ("program", "result"),
    [
        ("return 1;", 1),
        ("return 1; return 2; a = 3;", 2),
        ("return 1; RETURN = RETURN + 1;", 2),
        ("1; 'a'; nop(); RETURN = 1;", 1),
        ("if true {RETURN = 1}", 1),
        ("RETURN = 0; if false {RETURN = 1}", 0),
        ("if 1 == 2 {RETURN = 1} elif 1 == 1 {RETURN = 2} elif true {RETURN = 3} else {RETURN = 4}", 2),
        ("if false {RETURN = 1} elif false {RETURN = 2} else {RETURN = 3}", 3),
        ("if true {a = 1} RETURN = a", 1),
        ("a = 1; if true {a = 2; if true {a = a + 1}} return a", 3),
        ("if true {return 1} else {return query_bucket('no')}", 1),
        ("if false {x = none(1, 2, y)} elif true {return 1} elif none() {}", 1),
    ],
)
def test_statements(program: str, result: Any) -> None:
    """`return` does not end the program; branches have no variables of their own; one not taken is not run."""
    assert answer(program) == result


@pytest.mark.parametrize("condition", ["1", "0", "'true'", "[]", "{}", "print()", "flood([])", "'' + ''"])
def test_a_condition_must_be_a_boolean(condition: str) -> None:
    """Anything else is an error where the condition begins."""
    for program, column in ((f"if {condition} {{return 1}}", 4), (f"if false {{}} elif {condition} {{}}", 18)):
        with pytest.raises(QueryInterpretException, match="A condition must be a boolean") as error:
            answer(program)
        assert (error.value.line, error.value.column) == (1, column)


@pytest.mark.parametrize("program", ["", ";", "a = 1;", "if false {return 1}", "return_ = 1;", "Return = 1;"])
def test_no_return_at_the_end_is_a_parse_error(program: str) -> None:
    """As in aw-core."""
    with pytest.raises(QueryParseException, match="RETURN"):
        answer(program)


def test_an_error_has_the_place_of_the_innermost_expression() -> None:
    """Lines of a query that is sent as a list of texts are counted like those of one text."""
    cases = {
        "RETURN = flood(\n  filter_keyvals([],\n    'a', 7));": (3, 10),
        "a = 1;\nif true {\n  b = [1,\n   c];\n}": (4, 4),
        "RETURN = nop() +\n nop(1);": (2, 2),
        "RETURN = {'a': [\n1 - 'x']};": (2, 3),
        "RETURN = limit_events([],\n\n flood(query_bucket('no')));": (3, 8),
    }
    for program, place in cases.items():
        with pytest.raises(QueryError) as error:
            answer(program)
        assert (error.value.line, error.value.column) == place, program


def test_an_error_shows_at_most_the_beginning_of_a_value() -> None:
    """And of lists, dicts and events nothing but what they are: recorded data stays out of error texts."""
    secret = Snapshot({"notes": [stored(1, 0, 1, {"title": "secret"})]})
    for argument in ("query_bucket('notes')", "[query_bucket('notes')]", "{'a': query_bucket('notes')}"):
        with pytest.raises(QueryError) as error:
            value(f"split_url_events(1 + {argument})", secret)
        assert "secret" not in str(error.value)
        with pytest.raises(QueryError) as error:
            value(f"find_bucket({argument})", secret)
        assert "secret" not in str(error.value)
    with pytest.raises(QueryFunctionException) as function_error:
        value(f"query_bucket('{'y' * 1000}')")
    assert len(str(function_error.value)) < 150


numbers = st.one_of(st.integers(0, 10**6), st.floats(0, 1e6).map(lambda number: round(number, 3)))


@given(st.lists(st.tuples(st.sampled_from("+-*"), numbers), min_size=1, max_size=8), numbers)
def test_chains_of_numbers_are_what_python_makes_of_them_with_brackets(
    steps: list[tuple[str, float]], first: float
) -> None:
    """From left to right, bracket by bracket."""
    text, brackets = f"{first:.3f}" if isinstance(first, float) else str(first), str(first)
    for sign, number in steps:
        text += f" {sign} " + (f"{number:.3f}" if isinstance(number, float) else str(number))
        brackets = f"({brackets} {sign} {number})"
    assert value(text) == eval(brackets)
