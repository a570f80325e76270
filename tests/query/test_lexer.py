"""Text -> tokens: strings of section 1 word for word, blanks and comments, and where errors are."""

from __future__ import annotations

from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.query.errors import QueryParseException
from awlog.query.lexer import END, NAME, NUMBER, TEXT, Token, tokens


def kinds_and_texts(text: str) -> list[tuple[str, str]]:
    return [(token.kind, token.text) for token in all_tokens(text)]


def all_tokens(text: str) -> list[Token]:
    """All but the last."""
    return list(takewhile(lambda token: token.kind != END, tokens(text)))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"a\"b"', 'a"b'),
        (r"'it\'s'", "it's"),
        (r'"it\'s"', r"it\'s"),
        (r"'say \"x\"'", r"say \"x\""),
        (r'"\w+\.py"', r"\w+\.py"),
        ('"a;b # )]}"', "a;b # )]}"),
        ('""', ""),
        ("''", ""),
        ('"\'"', "'"),
        (r'"\n\u00e5\\x"', r"\n\u00e5\\x"),
        ('"two\nlines"', "two\nlines"),
        (r'"\""', '"'),
        (r'"a\\\"b"', r"a\\" + '"b'),
        ('"日本 \N{GRINNING FACE}"', "日本 \N{GRINNING FACE}"),
    ],
)
def test_a_text_is_what_stands_between_its_quotes_with_only_its_own_quote_escaped(text: str, value: str) -> None:
    """Section 1's table, and that no other escape is one: regular expressions arrive untouched."""
    assert kinds_and_texts(text) == [(TEXT, value)]


@pytest.mark.parametrize(
    ("text", "column"),
    [(r'"\\"', 1), ('"', 1), ("'", 1), ("\"a'", 1), (r'"a\"', 1), ('x = "a"; y = "b', 14)],
)
def test_a_text_that_is_not_closed_is_an_error_at_its_beginning(text: str, column: int) -> None:
    """No string can end in a backslash: the quote after it belongs to the string."""
    with pytest.raises(QueryParseException) as error:
        all_tokens(text)
    assert (error.value.line, error.value.column) == (1, column)
    assert "not closed" in error.value.message


def test_every_sign_keyword_number_and_name_is_a_token() -> None:
    """A sign and a keyword are kinds of their own; `==` is one sign, `= =` two."""
    signs = ["==", "=", "+", "-", "*", "/", "%", ";", ",", ":", "(", ")", "{", "}", "[", "]"]
    assert kinds_and_texts(" ".join(signs)) == [(sign, sign) for sign in signs]
    assert kinds_and_texts("===") == [("==", "=="), ("=", "=")]
    words = ["if", "elif", "else", "return"]
    assert kinds_and_texts(" ".join(words)) == [(word, word) for word in words]
    assert kinds_and_texts("7 007 1.5 1.") == [(NUMBER, "7"), (NUMBER, "007"), (NUMBER, "1.5"), (NUMBER, "1.")]
    assert kinds_and_texts("1e5") == [(NUMBER, "1"), (NAME, "e5")]
    assert kinds_and_texts("1a 1if") == [(NUMBER, "1"), (NAME, "a"), (NUMBER, "1"), ("if", "if")]


@pytest.mark.parametrize(
    "name", ["a", "_", "_1", "If", "iff", "returned", "RETURN", "Größe", "日本", "a²", "x٣", "events_pc1"]
)
def test_a_name_begins_with_a_letter_of_any_script_or_an_underscore(name: str) -> None:
    """And goes on with letters, digits and underscores, as in aw-core."""
    assert kinds_and_texts(name) == [(NAME, name)]


@pytest.mark.parametrize(
    ("text", "column"),
    [("²", 1), ("٣", 1), ("½", 1), ("a½", 2), ("?", 1), ("x = 1 ! 2", 7), ("1..5", 3), ("\x00", 1), ("a.b", 2), ("€", 1),
     ("\u200b", 1), ("\ufeffx", 1), ("@x", 1), ("a & b", 3), ("\\", 1), ("`", 1), ("\ud800", 1)],
)  # fmt: skip
def test_an_unknown_character_is_an_error_and_never_skipped(text: str, column: int) -> None:
    """A number has digits of ASCII only."""
    with pytest.raises(QueryParseException) as error:
        all_tokens(text)
    assert (error.value.line, error.value.column) == (1, column)
    assert str(error.value).isascii(), "an error text is safe to print anywhere"


def test_blanks_and_comments_stand_between_any_two_tokens() -> None:
    """White space of all kinds, newlines included; a comment goes up to the end of its line, and begins in no string."""
    text = "a\t#(\n = \r\n\u00a0\u3000nop( # x\n )#"
    assert [kind for kind, _ in kinds_and_texts(text)] == [NAME, "=", NAME, "(", ")"]
    assert kinds_and_texts('"#" # "') == [(TEXT, "#")]
    assert kinds_and_texts("# only a comment") == []
    assert kinds_and_texts(" \n ") == []


def test_a_token_knows_where_it_begins() -> None:
    """The offset in characters."""
    assert [(token.text, token.offset) for token in all_tokens("ä =\n 'x' ;")] == [
        ("ä", 0),
        ("=", 2),
        ("x", 5),
        (";", 9),
    ]


def test_the_end_comes_over_and_over() -> None:
    """So that the parser may look ahead."""
    found = tokens("a ")
    assert [next(found).kind for _ in range(4)] == [NAME, END, END, END]


@given(st.text(alphabet=st.sampled_from("ab1_.\"'\\#;=(){}[] \n,²é€"), max_size=40))
def test_any_text_is_tokens_or_an_error_and_no_character_is_lost(text: str) -> None:
    """Between two tokens stand only white space and comments."""
    try:
        found = [*all_tokens(text), Token(END, "", len(text))]
    except QueryParseException:
        return
    at = 0
    for token in found:
        between = text[at : token.offset]
        assert "".join(line.split("#")[0] for line in between.split("\n")).strip() == ""
        at = token.offset + len(token.text)
        if token.kind == TEXT:
            at += 2 + token.text.count(text[token.offset])  # its quotes, and a backslash before each one inside
