"""A JSON document of any length, read piece by piece: whoever reads says where to look inside and what to pass over.

What is long in an export is its lists of events, so the reader walks through objects and lists, and gives each value as the
bytes it is written with; a typed decoder makes something of those. Memory holds a piece of the text and one value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec

from awlog.sources.source import SourceUnreadable

_PIECE_BYTES: Final = 1 << 20
VALUE_BYTES_MAX: Final = 64 << 20

_SPACE: Final = re.compile(rb"[ \t\r\n]*")
# Possessive: a long text is passed over without a place to come back to for each of its characters. A quotation mark that
# begins no whole text begins one whose end has not been read yet.
_STRUCTURE: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}"]', re.DOTALL)
_TEXT: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_SCALAR: Final = re.compile(rb'[^ \t\r\n,\]}"{\[]+')
_QUOTE, _COMMA, _COLON = b'",:'
_OPENING: Final = frozenset(b"[{")
_CLOSING: Final = frozenset(b"]}")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class JsonReader:
    """Stands before a value. Raises SourceUnreadable where the text is no JSON, or ends."""

    def __init__(self, file: BinaryIO, *, piece_bytes: int = _PIECE_BYTES) -> None:
        self._file = file
        self._piece_bytes = piece_bytes
        self._piece = file.read(max(piece_bytes, len(_BYTE_ORDER_MARK))).removeprefix(_BYTE_ORDER_MARK)
        self._at = 0
        self._ended = False
        self.passed_bytes = 0

    def members(self) -> Iterator[str]:
        """The keys of the object here. The reader stands before a key's value when the key is given, and whoever takes the
        next must have read it or passed over it.
        """
        self._expect(b"{")
        while self._next() != ord("}"):
            key = self._key()
            self._expect(b":")
            yield key
            self._comma_before(b"}")
        self._expect(b"}")

    def elements(self) -> Iterator[bytes]:
        """Each element of the list here, as it is written. About 2 µs and 0.2 µs a text or bracket in it."""
        self._expect(b"[")
        while self._next() != ord("]"):
            yield self.value()
            self._comma_before(b"]")
        self._expect(b"]")

    def is_list(self) -> bool:
        return self._next() == ord("[")

    def is_object(self) -> bool:
        return self._next() == ord("{")

    def value(self) -> bytes:
        """The value here, as it is written."""
        self._next()
        while (end := self._end()) is None:
            self._read_on()
        value = self._piece[self._at : end]
        self._at = end
        return value

    def skip(self) -> None:
        """Passes over the value here; a list of any length."""
        if self.is_list():
            for _ in self.elements():
                pass
        else:
            self.value()

    def expect_end(self) -> None:
        if not self._is_at_end():
            raise SourceUnreadable("it goes on behind its end")

    def _end(self) -> int | None:
        """Where the value here ends; None if that has not been read yet."""
        piece, at = self._piece, self._at
        first = piece[at]
        if first == _QUOTE:
            text = _TEXT.match(piece, at)
            return text.end() if text else None
        if first not in _OPENING:
            scalar = _SCALAR.match(piece, at)
            if scalar is None:
                raise self._no_json()
            return scalar.end() if scalar.end() < len(piece) or self._ended else None
        depth = 0
        for found in _STRUCTURE.finditer(piece, at):
            mark = piece[found.start()]
            if mark in _OPENING:
                depth += 1
            elif mark in _CLOSING:
                depth -= 1
                if not depth:
                    return found.end()
            elif found.end() - found.start() == 1:
                return None
        return None

    def _key(self) -> str:
        try:
            return msgspec.json.decode(self.value(), type=str)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise self._no_json() from None

    def _comma_before(self, closing: bytes) -> None:
        """A comma with a value behind it, or the closing bracket, which is left."""
        if self._next() == _COMMA:
            self._at += 1
            if self._next() == closing[0]:
                raise self._no_json()
        elif self._next() != closing[0]:
            raise self._no_json()

    def _expect(self, mark: bytes) -> None:
        if self._next() != mark[0]:
            raise self._no_json()
        self._at += 1

    def _next(self) -> int:
        """The next byte that is no space."""
        if self._is_at_end():
            raise SourceUnreadable("it ends in the middle")
        return self._piece[self._at]

    def _is_at_end(self) -> bool:
        while True:
            space = _SPACE.match(self._piece, self._at)
            assert space is not None, "nothing is a space too"
            self._at = space.end()
            if self._at < len(self._piece):
                return False
            if self._ended:
                return True
            self._read_on()

    def _read_on(self) -> None:
        left_bytes = len(self._piece) - self._at
        if self._ended:
            raise SourceUnreadable("it ends in the middle")
        if left_bytes > VALUE_BYTES_MAX:
            raise SourceUnreadable(f"a value in it is longer than {VALUE_BYTES_MAX} bytes")
        self.passed_bytes += self._at
        # As much again as there is: a long value is looked at a few times, not once for each piece.
        more = self._file.read(max(self._piece_bytes, left_bytes))
        self._piece, self._at = self._piece[self._at :] + more, 0
        self._ended = not more

    def _no_json(self) -> SourceUnreadable:
        return SourceUnreadable(f"it is no JSON of the form that is expected, at byte {self.passed_bytes + self._at}")
