"""Which canonical JSON texts stand for values that are equal as Python compares: `1`, `1.0` and `true` are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from awlog.query.distinct import distinct

# In canonical JSON a number or boolean begins after one of these; a text may look like it, which costs time only.
_BEFORE_VALUE: Final = np.isin(np.arange(256), list(b":[,"))
_BEGINS_NUMBER: Final = np.isin(np.arange(256), list(b"-0123456789tf"))
_TEXT_OR_NUMBER: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|true|false|-?[0-9][-+.0-9eE]*', re.DOTALL)


def may_vary(texts: Sequence[bytes]) -> list[int]:
    """Which of these texts have a number or boolean in them, a few more perhaps. About 5 ns a byte."""
    if not texts:
        return []
    letters = np.frombuffer(b"".join(texts), np.uint8)
    places = np.flatnonzero(_BEFORE_VALUE[letters[:-1]] & _BEGINS_NUMBER[letters[1:]])
    ends = np.cumsum([len(text) for text in texts])
    those: list[int] = distinct(np.searchsorted(ends, places, side="right"))[0].tolist()
    return those


def equality_text(canonical: bytes) -> bytes:
    """The same text for all JSON values that are equal as Python compares: numbers and booleans in one spelling.

    Works on the text because nested data may be deeper than Python likes to recurse.
    """
    return _TEXT_OR_NUMBER.sub(_plain_number, canonical)


def _plain_number(found: re.Match[bytes]) -> bytes:
    text = found.group()
    if text[:1] == b'"':
        return text
    if text == b"true":
        return b"1"
    if text == b"false":
        return b"0"
    if not (b"." in text or b"e" in text or b"E" in text):
        return text  # not converted: an integer may have more digits than Python takes
    number = float(text)
    return b"%d" % int(number) if number.is_integer() else repr(number).encode()
