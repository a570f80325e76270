"""The table of distinct payloads that one run of a query works with, and what is known about each.

Whatever looks into `data` does so once per payload, and what follows for a payload from the one it was made of is not
looked up again: a window with a `$category` still has the same app.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from awlog.model.event import Payload
from awlog.query.errors import QueryLimitExceeded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes = NDArray[np.uint32]
    Numbers = NDArray[np.int64]

# The texts of all payloads of one run. What chunk_events_by_key makes holds whole events and can double with every call.
PAYLOADS_BYTES_MAX: Final = 256 << 20

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_DECODER: Final = msgspec.json.Decoder(dict[str, Any])
_LIST_DECODER: Final = msgspec.json.Decoder(list[dict[str, Any]])
# Payloads decoded in one go: the calls matter, not the bytes.
_DECODED_TOGETHER: Final = 1024

# In canonical JSON a number or boolean begins after one of these; a text may look like it, which costs time only.
_BEFORE_VALUE: Final = np.isin(np.arange(256), list(b":[,"))
_BEGINS_NUMBER: Final = np.isin(np.arange(256), list(b"-0123456789tf"))
_TEXT_OR_NUMBER: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|true|false|-?[0-9][-+.0-9eE]*', re.DOTALL)

ABSENT: Final = 0
"""The number of no value at all."""
_DOLLAR: Final = ord("$")
_BACKSLASH: Final = ord("\\")
_NO_VALUE: Final = object()
_UNKNOWN: Final = -1


class Payloads:
    """Append-only; owned by one run.

    A payload has two numbers. Its *code* is exact: one per canonical JSON text, for output. Its *class* is one for all
    payloads that are equal as Python compares (`1`, `1.0` and `true` are equal), for flood. The value under a key has a
    number too, one for all values that are equal in that way, for filters and groups.
    """

    def __init__(self, bytes_max: int = PAYLOADS_BYTES_MAX) -> None:
        self.texts: list[Payload] = []  # by code; for everybody else read only
        self._codes: dict[bytes, int] = {}
        self._data: list[dict[str, Any] | None] = []  # by code, None until somebody asks
        self._origins: dict[int, tuple[int, str]] = {}  # made by adding a field that another did not have
        self._classes = _Column()
        self._classes_with_numbers: dict[bytes, int] = {}
        self._values: dict[str, _Column] = {}  # by key: the numbers of the values under it
        self._value_numbers: dict[object, int] = {_NO_VALUE: ABSENT}
        self._value_shown: list[Any] = [_NO_VALUE]  # by number: the value that came first
        self._bytes = 0
        self._bytes_max = bytes_max

    def __len__(self) -> int:
        return len(self.texts)

    def add_json(self, payload: bytes) -> int:
        """The code of a payload in canonical JSON. Raises QueryLimitExceeded when the table is full."""
        return self.add_all([payload])[0]

    def add_all(self, payloads: Iterable[bytes]) -> list[int]:
        """`add_json` of many."""
        codes = self._codes
        added = []
        for payload in payloads:
            code = codes.get(payload)
            if code is None:
                self.reserve(len(payload))
                self._bytes += len(payload)
                code = codes[payload] = len(self.texts)
                self.texts.append(Payload(payload))
                self._data.append(None)
            added.append(code)
        return added

    def add(self, data: dict[str, Any]) -> int:
        """The code of a payload made by a transform; `data` belongs to the table from now on."""
        code = self.add_json(json_text(data))
        if self._data[code] is None:
            self._data[code] = data
        return code

    def reserve(self, text_bytes: int) -> None:
        """Raises QueryLimitExceeded if texts of so many bytes have no room any more."""
        if self._bytes + text_bytes > self._bytes_max:
            raise QueryLimitExceeded(f"The data of the events made by this query exceed {self._bytes_max} bytes")

    def data(self, code: int) -> dict[str, Any]:
        """Decoded once; never to be changed by anyone."""
        data = self._data[code]
        if data is None:
            data = self._data[code] = _decoded(self.texts[code])
        return data

    def data_of(self, codes: Sequence[int]) -> list[dict[str, Any]]:
        """`data` of many codes, faster."""
        known = self._data
        missing = [code for code in codes if known[code] is None]
        for at in range(0, len(missing), _DECODED_TOGETHER):
            together = missing[at : at + _DECODED_TOGETHER]
            text = b"[" + b",".join([self.texts[code] for code in together]) + b"]"
            try:
                for code, data in zip(together, _LIST_DECODER.decode(text), strict=True):
                    known[code] = data
            except RecursionError:
                raise _too_deep() from None
        return [known[code] for code in codes]  # type: ignore[misc]  # all are there now

    def classes(self, codes: Codes) -> Numbers:
        """The class of each code: equal numbers for equal data."""
        column = self._classes
        if missing := column.missing(codes, len(self)):
            column.numbers[missing] = missing  # without numbers the canonical text decides
            for code in [missing[i] for i in _that_may_vary([self.texts[code] for code in missing])]:
                like = equality_text(self.texts[code])
                column.numbers[code] = self._classes_with_numbers.setdefault(like, code)
        return column.numbers[codes]

    def value_numbers(self, codes: Codes, key: str) -> Numbers:
        """For each code the number of the value under the key, ABSENT if there is none; equal values, equal numbers."""
        column = self._values.setdefault(key, _Column())
        if missing := column.missing(codes, len(self)):
            before = self._before(missing, (key,))
            if before != missing:
                column.numbers[missing] = self.value_numbers(np.array(before, np.uint32), key)
            else:
                column.numbers[missing] = self._numbers_of([data.get(key, _NO_VALUE) for data in self.data_of(missing)])
        return column.numbers[codes]

    def _before(self, codes: list[int], keys: Collection[str]) -> list[int]:
        """For each code the payload from which it was made by adding a field other than these, itself if it was not."""
        origins = self._origins
        return [code if (origin := origins.get(code)) is None or origin[1] in keys else origin[0] for code in codes]

    def _numbers_of(self, values: list[Any]) -> list[int]:
        numbers, shown = self._value_numbers, self._value_shown
        try:
            first = dict(zip(values, values, strict=True))
            like = values
        except TypeError:  # a list or dict
            like = [equality_text(json_text(v)) if isinstance(v, list | dict) else v for v in values]
            first = dict(zip(like, values, strict=True))
        for stand_in, value in first.items():
            if stand_in not in numbers:
                numbers[stand_in] = len(shown)
                shown.append(value)
        return [numbers[stand_in] for stand_in in like]

    def value(self, number: int) -> Any:
        """A value with this number; others equal it, but `1` may stand for `true`."""
        assert number != ABSENT, "there is no value to show"
        return self._value_shown[number]

    def with_field(self, codes: Codes, field: str, values: Sequence[Any]) -> Codes:
        """For each code the code of the same payload with `field` set to a value. Values that are one object cost once.

        The field's name must begin with a `$`.
        """
        assert field[0] == "$", "the splice below knows where the field belongs"
        prepared: dict[int, tuple[bytes, int]] = {}
        new_texts: list[bytes] = []
        numbers: list[int] = []
        spliced: list[bool] = []
        for code, value in zip(codes.tolist(), values, strict=True):
            known = prepared.get(id(value))
            if known is None:
                head = b"{" + json_text(field) + b":" + json_text(value) + b","
                known = prepared[id(value)] = (head, self._numbers_of([value])[0])
            head, number = known
            text = self.texts[code]
            # Keys are sorted. If the first begins with a letter beyond `$`, the new field comes before all others.
            before_all = text[2] > _DOLLAR and text[2] != _BACKSLASH if len(text) > 2 else False
            spliced.append(before_all)
            new_texts.append(head + text[1:] if before_all else json_text({**self.data(code), field: value}))
            numbers.append(number)
        new_codes = self.add_all(new_texts)
        origins = self._origins
        for old, new, before_all in zip(codes.tolist(), new_codes, spliced, strict=True):
            if before_all:
                origins[new] = (old, field)
        made = np.array(new_codes, np.uint32)
        self.inherit(codes, made, changed=(field,))
        column = self._values.setdefault(field, _Column())
        column.grow(len(self))
        column.numbers[made] = numbers
        return made

    def with_fields(self, codes: Codes, fields: Sequence[Mapping[str, Any] | None]) -> Codes:
        """For each code the code of the same payload with these fields set, itself where there are none to set."""
        data = self.data_of(codes.tolist())
        made = np.array(
            [
                code if new is None else self.add({**old, **new})
                for code, old, new in zip(codes.tolist(), data, fields, strict=True)
            ],
            np.uint32,
        )
        self.inherit(codes, made, changed={field for new in fields if new is not None for field in new})
        return made

    def only(self, codes: Codes, keys: Collection[str]) -> Codes:
        """For each code the code of the payload that has of its fields just those under the keys."""
        wanted = frozenset(keys)
        bare = codes.tolist()
        while (before := self._before(bare, wanted)) != bare:
            bare = before
        made = np.array(
            [
                code if wanted.issuperset(data) else self.add({key: data[key] for key in wanted if key in data})
                for code, data in zip(bare, self.data_of(bare), strict=True)
            ],
            np.uint32,
        )
        for key, column in self._values.items():
            if key in wanted:
                column.inherit(codes, made, len(self))
        return made

    def inherit(self, codes: Codes, made: Codes, changed: Collection[str]) -> None:
        """`made` are the payloads of `codes` but for the fields `changed`."""
        for key, column in self._values.items():
            if key not in changed:
                column.inherit(codes, made, len(self))


class _Column:
    """A number per payload code, _UNKNOWN until it is known."""

    def __init__(self) -> None:
        self.numbers: Numbers = np.empty(0, np.int64)

    def grow(self, length: int) -> None:
        if len(self.numbers) < length:
            grown = np.full(max(2 * len(self.numbers), length), _UNKNOWN, np.int64)
            grown[: len(self.numbers)] = self.numbers
            self.numbers = grown

    def missing(self, codes: Codes, length: int) -> list[int]:
        """The distinct codes without a number yet; afterwards there is room for all codes below `length`."""
        self.grow(length)
        missing: list[int] = np.unique(codes[self.numbers[codes] == _UNKNOWN]).tolist()
        return missing

    def inherit(self, codes: Codes, made: Codes, length: int) -> None:
        self.grow(length)
        numbers = self.numbers[codes]
        known = numbers != _UNKNOWN
        self.numbers[made[known]] = numbers[known]


def json_text(value: object) -> bytes:
    """Canonical JSON of a plain value. Raises QueryLimitExceeded if it is nested too deep."""
    try:
        return _ENCODER.encode(value)
    except RecursionError:
        raise _too_deep() from None


def _decoded(text: Payload) -> dict[str, Any]:
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise _too_deep() from None


def _too_deep() -> QueryLimitExceeded:
    return QueryLimitExceeded("The data of an event are nested too deep")


def _that_may_vary(texts: list[Payload]) -> list[int]:
    """Which of these texts have a number or boolean in them, a few more perhaps. About 5 ns a byte."""
    if not texts:
        return []
    letters = np.frombuffer(b"".join(texts), np.uint8)
    places = np.flatnonzero(_BEFORE_VALUE[letters[:-1]] & _BEGINS_NUMBER[letters[1:]])
    ends = np.cumsum([len(text) for text in texts])
    those: list[int] = np.unique(np.searchsorted(ends, places, side="right")).tolist()
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
