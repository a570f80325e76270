"""Tokens -> tree: the grammar of section 1, rule by rule, and where errors are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.query.errors import QueryError, QueryLimitExceeded, QueryParseException
from awlog.query.parser import parse_text
from awlog.query.syntax import (
    Assignment,
    Call,
    Chain,
    DictOf,
    Evaluation,
    Expression,
    If,
    ListOf,
    Literal,
    Statement,
    Variable,
)


def parsed(text: str, nesting_max: int = 100) -> list[Any]:
    return shown_all(parse_text(text, nesting_max=nesting_max).statements)


def expression(text: str) -> Any:
    (statement,) = parsed(text)
    assert statement[0] == "evaluate"
    return statement[1]


def shown_all(statements: tuple[Statement, ...]) -> list[Any]:
    return [shown(statement) for statement in statements]


def shown(node: Statement | Expression) -> Any:
    """The tree in few words: tuples and plain values."""
    match node:
        case Assignment():
            return (node.name, "=", shown(node.value))
        case Evaluation():
            return ("evaluate", shown(node.value))
        case If():
            branches = [(shown(branch.condition), shown_all(branch.block)) for branch in node.branches]
            return ("if", branches, shown_all(node.otherwise))
        case Literal():
            return node.value
        case Variable():
            return f"${node.name}"
        case Call():
            return (node.function, *map(shown, node.arguments))
        case ListOf():
            return [shown(item) for item in node.items]
        case DictOf():
            return {"entries": [(key, shown(item)) for key, item in node.entries]}
        case Chain():
            return ("chain", shown(node.first), *((step.operator, shown(step.operand)) for step in node.steps))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("7", 7),
        ("007", 7),
        ("1.5", 1.5),
        ("1.", 1.0),
        ('"x"', "x"),
        ("x", "$x"),
        ("true", "$true"),
        ("nop()", ("nop",)),
        ("nop( )", ("nop",)),
        ("f ( 1 ,\n'a', [ ] )", ("f", 1, "a", [])),
        ("[]", []),
        ("[ 1, [2] ]", [1, [2]]),
        ("{}", {"entries": []}),
        ('{ "a" : 1 , "a" :{} }', {"entries": [("a", 1), ("a", {"entries": []})]}),
        ("(1)", 1),
        ("((x))", "$x"),
        ("1+2*3", ("chain", 1, ("+", 2), ("*", 3))),
        ("1+(2*3)", ("chain", 1, ("+", ("chain", 2, ("*", 3))))),
        ("(1+2)*3", ("chain", ("chain", 1, ("+", 2)), ("*", 3))),
        ("a==b-1/2%c", ("chain", "$a", ("==", "$b"), ("-", 1), ("/", 2), ("%", "$c"))),
        ("f(1+1)", ("f", ("chain", 1, ("+", 1)))),
    ],
)
def test_expressions(text: str, tree: Any) -> None:
    """Operators have one rank, so a chain keeps their order; blanks may stand inside empty brackets."""
    assert expression(text) == tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", []),
        (" # nothing\n", []),
        (";;", []),
        ("a=1", [("a", "=", 1)]),
        ("a=1;b=2;", [("a", "=", 1), ("b", "=", 2)]),
        ("a=1;;b=2", [("a", "=", 1), ("b", "=", 2)]),
        ("flood=1;", [("flood", "=", 1)]),
        ("true=1;", [("true", "=", 1)]),
        ("return 1", [("RETURN", "=", 1)]),
        ("return(1);", [("RETURN", "=", 1)]),
        ("1; f();", [("evaluate", 1), ("evaluate", ("f",))]),
        ("a == b", [("evaluate", ("chain", "$a", ("==", "$b")))]),
        ("if a {}", [("if", [("$a", [])], [])]),
        ("if a {b=1}", [("if", [("$a", [("b", "=", 1)])], [])]),
        ("if a {b=1;} c=2", [("if", [("$a", [("b", "=", 1)])], []), ("c", "=", 2)]),
        (
            "if a { b=1; f() } elif c==1 {;} elif d {return 2} else { e=3 }",
            [
                (
                    "if",
                    [
                        ("$a", [("b", "=", 1), ("evaluate", ("f",))]),
                        (("chain", "$c", ("==", 1)), []),
                        ("$d", [("RETURN", "=", 2)]),
                    ],
                    [("e", "=", 3)],
                )
            ],
        ),
        ("if {} == x {}", [("if", [(("chain", {"entries": []}, ("==", "$x")), [])], [])]),
        ("if a { if b {} else { c=1 } }", [("if", [("$a", [("if", [("$b", [])], [("c", "=", 1)])])], [])]),
    ],
)
def test_statements(text: str, tree: Any) -> None:
    """The `;` may be missing before `}` and at the end; `if` needs none; an empty statement is one."""
    assert parsed(text) == tree


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("1=2", 1, 2, "Only a variable can be assigned to"),
        ("x = 1; 'a' = 2", 1, 12, "Only a variable can be assigned to"),
        ("f() = 2", 1, 5, "Only a variable can be assigned to"),
        ("a = b = 1", 1, 7, "Only a variable can be assigned to"),
        ("a =", 1, 4, "Expected an expression, found the end of the query"),
        ("a = ;", 1, 5, "Expected an expression, found ';'"),
        ("= 1", 1, 1, "Expected an expression, found '='"),
        ("a b", 1, 3, "Expected ';', found 'b'"),
        ("a 'b'", 1, 3, "Expected ';', found a text"),
        ("a = 1\nb = 2", 2, 1, "Expected ';', found 'b'"),
        ("a =\n\n  nop(;", 3, 7, "Expected an expression, found ';'"),
        ("f(1", 1, 4, "Expected ',' or ')', found the end of the query"),
        ("f(1,)", 1, 5, "Expected an expression, found ')'"),
        ("f(,)", 1, 3, "Expected an expression, found ','"),
        ("[1,]", 1, 4, "Expected an expression, found ']'"),
        ("[1 2]", 1, 4, "Expected ',' or ']', found '2'"),
        ("[1)", 1, 3, "Expected ',' or ']', found ')'"),
        ('{"a":1,}', 1, 8, "Expected a text as the key, found '}'"),
        ("{a:1}", 1, 2, "Expected a text as the key, found 'a'"),
        ("{1:1}", 1, 2, "Expected a text as the key, found '1'"),
        ('{"a"}', 1, 5, "Expected ':', found '}'"),
        ('{"a":}', 1, 6, "Expected an expression, found '}'"),
        ("()", 1, 2, "Expected an expression, found ')'"),
        ("(1", 1, 3, "Expected ')', found the end of the query"),
        ("1)", 1, 2, "Expected ';', found ')'"),
        ("f(1)) ", 1, 5, "Expected ';', found ')'"),
        ("}", 1, 1, "Expected an expression, found '}'"),
        ("-1", 1, 1, "Expected an expression, found '-'"),
        ("1+", 1, 3, "Expected an expression, found the end of the query"),
        ("1 = = 2", 1, 3, "Only a variable can be assigned to"),
        ("1e5", 1, 2, "Expected ';', found 'e5'"),
        ("if {}", 1, 6, "Expected '{', found the end of the query"),
        ("if a", 1, 5, "Expected '{', found the end of the query"),
        ("if a {", 1, 7, "Expected '}', found the end of the query"),
        ("if a { b = 1 c = 2 }", 1, 14, "Expected ';', found 'c'"),
        ("if a {} else if b {}", 1, 14, "Expected '{', found 'if'"),
        ("if a {} else {} elif b {}", 1, 17, "Expected an expression, found 'elif'"),
        ("else {}", 1, 1, "Expected an expression, found 'else'"),
        ("if = 1", 1, 4, "Expected an expression, found '='"),
        ("return", 1, 7, "Expected an expression, found the end of the query"),
        ("return = 1", 1, 8, "Expected an expression, found '='"),
        ("x = return 1", 1, 5, "Expected an expression, found 'return'"),
        ("x.y", 1, 2, "Unexpected character '.'"),
        ("a = 1; ?", 1, 8, "Unexpected character '?'"),
        ("a" * 30 + " " + "b" * 30, 1, 32, "Expected ';', found '" + "b" * 20 + "'"),
    ],
)
def test_what_leaves_the_grammar_is_an_error_with_its_place(text: str, line: int, column: int, message: str) -> None:
    """Line and column of the token that cannot stand there, from 1, and what could."""
    with pytest.raises(QueryParseException) as error:
        parse_text(text, nesting_max=100)
    assert (error.value.line, error.value.column) == (line, column)
    assert error.value.message.startswith(message)
    assert str(error.value) == f"{error.value.message} (line {line}, column {column})"


@pytest.mark.parametrize(
    "nested",
    [
        lambda levels: "(" * levels + "1" + ")" * levels,
        lambda levels: "[" * levels + "]" * levels,
        lambda levels: '{"a":' * levels + "1" + "}" * levels,
        lambda levels: "f(" * levels + ")" * levels,
        lambda levels: "if a {" * levels + "}" * levels,
        lambda levels: "1;" + "if a {}" * 500 + "[" * levels + "]" * levels,  # what is closed does not count
        lambda levels: "if a {} " + "elif a {}" * 500 + "else {" + "[" * (levels - 1) + "]" * (levels - 1) + "}",
    ],
)
def test_brackets_and_blocks_are_nested_as_deep_as_the_limit_and_no_deeper(nested: Any) -> None:
    """A counter bounds it; 100 by default."""
    parse_text(nested(100), nesting_max=100)
    with pytest.raises(QueryLimitExceeded, match="max_query_nesting") as error:
        parse_text(nested(101), nesting_max=100)
    assert error.value.line == 1


@pytest.mark.parametrize("text", ["(" * 5000, "[" * 5000, "{" * 5000, "f(" * 5000, "if a {" * 5000, '{"":' * 5000])
def test_five_thousand_brackets_are_refused(text: str) -> None:
    """Not by the depth of Python's stack."""
    with pytest.raises(QueryError):
        parse_text(text, nesting_max=100)


def test_long_chains_are_not_deep() -> None:
    """Operators, elifs, statements and commas do not nest."""
    parse_text("+".join("1" * 20_000), nesting_max=1)
    parse_text("if a {}" + "elif a {}" * 5_000, nesting_max=1)
    parse_text("a=1;" * 5_000, nesting_max=1)
    parse_text("[" + ",".join("1" * 20_000) + "]", nesting_max=1)


def test_numbers_have_bounds() -> None:
    """4,300 digits, leading zeros aside, for an integer; for a float what a double holds."""
    assert expression("0" * 10_000 + "7") == 7
    assert expression("9" * 4300) == int("9" * 4300)
    with pytest.raises(QueryLimitExceeded, match="4300 digits"):
        parse_text("x = " + "1" * 4301, nesting_max=100)
    assert expression("9" * 300 + ".5") == float("9" * 300)
    assert expression("1." + "3" * 10_000) == pytest.approx(4 / 3)
    with pytest.raises(QueryParseException, match="float") as error:
        parse_text("x = " + "9" * 400 + ".", nesting_max=100)
    assert (error.value.line, error.value.column) == (1, 5)


def test_a_program_tells_the_place_of_an_offset() -> None:
    """Lines and columns from 1; an offset at the end of a text too."""
    program = parse_text("a=1;\n\n b=2;\n", nesting_max=100)
    assert [program.place(statement.offset) for statement in program.statements] == [(1, 1), (3, 2)]
    assert [program.place(offset) for offset in (0, 4, 5, 6, 12)] == [(1, 1), (1, 5), (2, 1), (3, 1), (4, 1)]


PIECES = ["a", "1", "1.5", "'x'", '"y', "(", ")", "[", "]", "{", "}", ",", ":", ";", "=", "==", "+", "-", "*", "if", "elif",
          "else", "return", "nop", " ", "\n", "#", "\\", "²"]  # fmt: skip


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=40).map("".join)))
def test_any_text_is_a_program_or_an_error_with_a_place_inside_it(text: str) -> None:
    """Nothing but QueryError, whatever stands there."""
    found = None
    try:
        parse_text(text, nesting_max=20)
    except QueryError as error:
        found = error
    if found is not None:
        assert found.line is not None
        assert found.column is not None
        lines = text.split("\n")
        assert 1 <= found.line <= len(lines)
        assert 1 <= found.column <= len(lines[found.line - 1]) + 1
