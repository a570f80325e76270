"""Text -> tokens, each with its offset. White space and comments are left out, nothing else is.

A text token ends at the first quote of its own kind that does not stand directly after a backslash; a backslash before a
quote of its kind is the only escape there is. Clients put regular expressions in here and count on that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Final

from msgspec import Struct

from awlog.query.errors import QueryParseException
from awlog.query.syntax import line_starts, place

NUMBER: Final = "a number"
TEXT: Final = "a text"
NAME: Final = "a name"
END: Final = "the end of the query"
KEYWORDS: Final = frozenset({"if", "elif", "else", "return"})


class Token(Struct, frozen=True, gc=False):
    """`kind` is one of the words above, in error texts too; a sign and a keyword are kinds of their own: `==`, `if`.

    `text` is the value of a TEXT, and what stands in the query for all others.
    """

    kind: str
    text: str
    offset: int


_TOKEN: Final = re.compile(
    r"(?:\s+|\#[^\n]*)*+"
    r"(?: (?P<word>[^\W\d]\w*) | (?P<number>[0-9]+(?:\.[0-9]*)?) | (?P<sign>==|[-+*/%=;,:(){}\[\]]) | (?P<quote>[\"']) )?",
    re.VERBOSE,
)


def tokens(text: str) -> Iterator[Token]:
    """All tokens of the text, the last of kind END, over and over. O(len(text)), about 1 µs a token.

    Raises QueryParseException at a text that is not closed and at a character that begins no token.
    """
    at = 0
    while True:
        found = _TOKEN.match(text, at)
        assert found is not None, "nothing at all is a match too"
        kind = found.lastgroup
        if kind is None:
            if found.end() < len(text):
                raise _unexpected(text, found.end())
            break
        token_text, start, at = found[kind], found.start(kind), found.end()
        match kind:
            case "sign":
                yield Token(token_text, token_text, start)
            case "word":
                name = _name(token_text)
                if not name:
                    raise _unexpected(text, start)
                at = start + len(name)
                yield Token(name if name in KEYWORDS else NAME, name, start)
            case "number":
                yield Token(NUMBER, token_text, start)
            case _:
                end = _closing(text, start)
                yield Token(TEXT, text[at:end].replace("\\" + token_text, token_text), start)
                at = end + 1
    while True:
        yield Token(END, "", len(text))


def _name(word: str) -> str:
    """The name that begins these word characters: some of them, such as ½, are neither letters nor digits."""
    if word.isascii():
        return word
    if not (word[0].isalpha() or word[0] == "_"):
        return ""
    return "".join(takewhile(lambda char: char.isalpha() or char.isdigit() or char == "_", word))


def _closing(text: str, start: int) -> int:
    """The offset of the quote that closes the one at `start`."""
    quote = text[start]
    end = text.find(quote, start + 1)
    while end != -1 and text[end - 1] == "\\":
        end = text.find(quote, end + 1)
    if end == -1:
        raise QueryParseException(
            f"The text that begins here is not closed by {quote}", *place(line_starts(text), start)
        )
    return end


def _unexpected(text: str, at: int) -> QueryParseException:
    return QueryParseException(f"Unexpected character {text[at]!a}", *place(line_starts(text), at))
