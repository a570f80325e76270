"""The table of distinct payloads that queries work with, and what is known about each.

Whatever looks into `data` does so once per payload, and keeps what it found for the next query: the value under a key, the
category that some rules give. Payloads made by adding a field to another stay a note about that until somebody wants their
text, and what follows for a payload from the one it was made of is not looked up again: a window with a `$category` still
has the same app.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from awlog.log.columns import NO_CHANGES, Columns
from awlog.model.event import Payload
from awlog.query.code_columns import UNKNOWN, CodeColumn, KeptColumns
from awlog.query.equality import equality_text, may_vary
from awlog.query.errors import QueryLimitExceeded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes = NDArray[np.uint32]
    Numbers = NDArray[np.int64]

# The texts that one run adds. What chunk_events_by_key makes holds whole events and can double with every call.
PAYLOADS_BYTES_MAX: Final = 256 << 20

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_DECODER: Final = msgspec.json.Decoder(dict[str, Any])
_LIST_DECODER: Final = msgspec.json.Decoder(list[dict[str, Any]])
# Payloads decoded in one go: the calls matter, not the bytes.
_DECODED_TOGETHER: Final = 1024

ABSENT: Final = 0
"""The number of no value at all."""
_DOLLAR: Final = ord("$")
_BACKSLASH: Final = ord("\\")
_NO_VALUE: Final = object()
_NOT_WRITTEN_OUT: Final = Payload(b"")

# What is kept by key and by question, those used longest ago are forgotten: 8 bytes for each payload and each of them.
_VALUE_COLUMNS_MAX: Final = 32
_DERIVED_COLUMNS_MAX: Final = 16
# In memory, about: a payload's text, its places in a list and a dict; a value's places and its number.
_PAYLOAD_BYTES: Final = 300
_VALUE_BYTES: Final = 100
# What a note about a made payload counts for in the limit of a run, and their texts when they are written out.
_NOTE_BYTES: Final = 64


class Payloads:
    """Append-only; owned by one process, used by one run at a time.

    A payload has two numbers. Its *code* stands for one canonical JSON text (two codes may have the same text if both were
    made by adding a field). Its *class* is one for all payloads that are equal as Python compares (`1`, `1.0` and `true`
    are equal), for flood. The value under a key has a number too, one for all values that are equal in that way, for
    filters and groups.
    """

    def __init__(self, bytes_max: int = PAYLOADS_BYTES_MAX) -> None:
        self._texts: list[Payload] = []  # by code
        self._codes: dict[bytes, int] = {}
        self._data: dict[int, dict[str, Any]] = {}  # decoded by this run
        self._classes = CodeColumn()
        self._classes_by_text: dict[bytes, int] = {}
        self._values = KeptColumns[str](_VALUE_COLUMNS_MAX)  # by key: the numbers of the values under it
        self._derived = KeptColumns[Hashable](_DERIVED_COLUMNS_MAX)  # by question: the codes of what was made
        self._value_numbers: dict[object, int] = {_NO_VALUE: ABSENT}
        self._value_shown: list[Any] = [_NO_VALUE]  # by number: the value that came first
        # Of payloads made by adding a field: of which, which field, the number of its value.
        self._origin = CodeColumn()
        self._field = CodeColumn()
        self._field_value = CodeColumn()
        self._fields: list[str] = []
        self._heads: dict[tuple[int, int], bytes] = {}  # by field and value: how their texts begin
        self._bytes = 0
        self._learnt_bytes = 0  # values, and texts for comparing and writing
        self._run_bytes = 0
        self._bytes_max = bytes_max
        self.is_doubtful = False
        """Something may be half done, or there is no memory left: not for another run."""

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def size_bytes(self) -> int:
        """In memory, about."""
        per_payload = _PAYLOAD_BYTES + 8 * (4 + len(self._values) + len(self._derived))
        return self._bytes + self._learnt_bytes + per_payload * len(self._texts)

    def begin_run(self) -> Payloads:
        """The limit counts anew."""
        self._run_bytes = 0
        self._data.clear()
        return self

    def add_json(self, payload: bytes) -> int:
        """The code of a payload in canonical JSON. Raises QueryLimitExceeded when this run has added too much."""
        return self.add_all([payload])[0]

    def add_all(self, payloads: Iterable[bytes]) -> list[int]:
        """`add_json` of many. 0.1 µs for each that is known."""
        codes, texts = self._codes, self._texts
        added = []
        for payload in payloads:
            code = codes.get(payload)
            if code is None:
                self.reserve(len(payload))
                self._count(len(payload))
                code = len(texts)
                texts.append(Payload(payload))  # before its code is known: memory may run out in between
                codes[payload] = code
            added.append(code)
        return added

    def add(self, data: dict[str, Any]) -> int:
        """The code of a payload made by a transform; `data` belongs to the table from now on."""
        code = self.add_json(json_text(data))
        self._data.setdefault(code, data)
        return code

    def taken(self, columns: Columns) -> Columns:
        """The same events with the codes of this table. What was taken is not looked at again."""
        if columns.payloads is self._texts:
            return columns
        if len(columns) < len(columns.payloads):
            columns = columns.compacted()  # not all that a few events are among
        codes = np.array(self.add_all(columns.payloads), np.uint32)
        code = codes[columns.payload_code]
        return Columns(columns.seq, columns.start_us, columns.duration_us, code, self._texts, NO_CHANGES)

    def reserve(self, text_bytes: int) -> None:
        """Raises QueryLimitExceeded if texts of so many bytes have no room any more."""
        if self._run_bytes + text_bytes > self._bytes_max:
            raise QueryLimitExceeded(
                f"The data of the events of this query exceed {self._bytes_max} bytes, half of what the setting "
                "`max_query_memory_bytes` allows"
            )

    def _count(self, size_bytes: int) -> None:
        self._bytes += size_bytes
        self._run_bytes += size_bytes

    def text(self, code: int) -> Payload:
        """Canonical JSON."""
        return self._texts[code] or self._write_out(code)

    def texts_of(self, codes: Iterable[int]) -> list[Payload]:
        """`text` of many codes, faster."""
        texts = self._texts
        return [texts[code] or self._write_out(code) for code in codes]

    def _write_out(self, code: int) -> Payload:
        origin, field = int(self._origin.numbers[code]), int(self._field.numbers[code])
        base, number = self.text(origin), int(self._field_value.numbers[code])
        # Keys are sorted. If the first begins with a letter beyond `$`, the new field comes before all others.
        if len(base) > 2 and base[2] > _DOLLAR and base[2] != _BACKSLASH:
            head = self._heads.get((field, number))
            if head is None:
                name, value = json_text(self._fields[field]), json_text(self._value_shown[number])
                head = self._heads[field, number] = b"{" + name + b":" + value + b","
                self._learnt_bytes += len(head)
            text = head + base[1:]
        else:
            text = json_text({**self.data(origin), self._fields[field]: self._value_shown[number]})
        self.reserve(len(text))
        self._count(len(text))
        written = self._texts[code] = Payload(text)
        self._codes.setdefault(written, code)
        return written

    def data(self, code: int) -> dict[str, Any]:
        """Decoded once in a run; never to be changed by anyone."""
        data = self._data.get(code)
        if data is None:
            data = self._data[code] = _decoded(self.text(code))
        return data

    def data_of(self, codes: Sequence[int]) -> list[dict[str, Any]]:
        """`data` of many codes, faster."""
        known = self._data
        missing = [code for code in codes if code not in known]
        for at in range(0, len(missing), _DECODED_TOGETHER):
            together = missing[at : at + _DECODED_TOGETHER]
            text = b"[" + b",".join(self.texts_of(together)) + b"]"
            try:
                known.update(zip(together, _LIST_DECODER.decode(text), strict=True))
            except RecursionError:
                raise _too_deep() from None
        return [known[code] for code in codes]

    def classes(self, codes: Codes) -> Numbers:
        """The class of each code: equal numbers for equal data."""
        column = self._classes
        missing = column.missing(codes, len(self))
        if len(missing):
            made = self._is_made(missing)
            numbers = missing.astype(np.int64)  # without numbers the canonical text decides
            listed: list[int] = missing.tolist()
            texts = self.texts_of(listed)
            for place in {*may_vary(texts), *np.flatnonzero(made).tolist()}:
                like = equality_text(texts[place])
                # A made payload may have the text of one that is stored, which has its own code for a class.
                first = self._codes[texts[place]] if like == texts[place] else listed[place]
                if like not in self._classes_by_text:
                    self._classes_by_text[like] = first
                    self._learnt_bytes += _VALUE_BYTES + len(like)
                numbers[place] = self._classes_by_text[like]
            column.numbers[missing] = numbers  # all at once: a text that is too large leaves none half known
        return column.numbers[codes]

    def value_numbers(self, codes: Codes, key: str) -> Numbers:
        """For each code the number of the value under the key, ABSENT if there is none; equal values, equal numbers."""
        column = self._values.column(key)
        missing = column.missing(codes, len(self))
        if len(missing):
            bare = self._without_other_fields(missing, (key,))
            of_others = bare != missing
            if of_others.any():
                column.numbers[missing[of_others]] = self.value_numbers(bare[of_others], key)
                missing = missing[~of_others]
            added = self._is_made(missing)  # the field that was added is the one asked for
            column.numbers[missing[added]] = self._field_value.numbers[missing[added]]
            missing = missing[~added]
            column.numbers[missing] = self._numbers_of(
                [data.get(key, _NO_VALUE) for data in self.data_of(missing.tolist())]
            )
        return column.numbers[codes]

    def _is_made(self, codes: Codes) -> NDArray[np.bool_]:
        """Was it made by adding a field?"""
        self._origin.grow(len(self))
        made: NDArray[np.bool_] = self._origin.numbers[codes] != UNKNOWN
        return made

    def _without_other_fields(self, codes: Codes, keys: Collection[str]) -> Codes:
        """For each code the payload from which it was made by adding a field other than these, itself if it was not."""
        others = np.array([field not in keys for field in self._fields] + [False], np.bool_)
        while True:
            self._field.grow(len(self))
            strip = self._is_made(codes) & others[self._field.numbers[codes]]
            if not strip.any():
                return codes
            codes = np.where(strip, self._origin.numbers[codes], codes).astype(np.uint32)

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
                number = len(shown)
                shown.append(value)
                numbers[stand_in] = number
                self._learnt_bytes += _VALUE_BYTES + _size_bytes(value)
                if stand_in is not value:
                    self._learnt_bytes += sys.getsizeof(stand_in)
        return [numbers[stand_in] for stand_in in like]

    def value(self, number: int) -> Any:
        """A value with this number; others equal it, but `1` may stand for `true`."""
        assert number != ABSENT, "there is no value to show"
        return self._value_shown[number]

    def derived(self, question: Hashable, codes: Codes, make: Callable[[Codes], Codes]) -> Codes:
        """For each code the code of what `make` made of it, which is asked for codes it was not asked for before.

        The question must hold all that decides what is made.
        """
        column = self._derived.column(question)
        missing = column.missing(codes, len(self))
        if len(missing):
            column.numbers[missing] = make(missing)
        return column.numbers[codes].astype(np.uint32)

    def with_field(self, codes: Codes, field: str, values: Sequence[str | list[str]]) -> Codes:
        """For each code a code of the same payload with `field` set to a value. Values that are one object cost once.

        0.1 µs each: no text is written.
        """
        known: dict[int, int] = {}
        for value in values:
            if id(value) not in known:
                known[id(value)] = self._numbers_of([value])[0]
        self.reserve(_NOTE_BYTES * len(codes))
        self._count(_NOTE_BYTES * len(codes))
        if field not in self._fields:
            self._fields.append(field)
        number = self._fields.index(field)
        self._field.grow(len(self))
        # What had this field added gets another instead.
        again = self._is_made(codes) & (self._field.numbers[codes] == number)
        made = np.arange(len(self), len(self) + len(codes), dtype=np.uint32)
        self._texts.extend([_NOT_WRITTEN_OUT] * len(codes))
        for column in (self._origin, self._field, self._field_value):
            column.grow(len(self))
        self._origin.numbers[made] = np.where(again, self._origin.numbers[codes], codes)
        self._field.numbers[made] = number
        self._field_value.numbers[made] = [known[id(value)] for value in values]
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
        changed = {field for new in fields if new is not None for field in new}
        self._inherit(codes, made, [key for key in self._values.questions() if key not in changed])
        return made

    def only(self, codes: Codes, keys: Collection[str]) -> Codes:
        """For each code the code of the payload that has of its fields just those under the keys."""
        wanted = frozenset(keys)

        def make(missing: Codes) -> Codes:
            bare: list[int] = self._without_other_fields(missing, wanted).tolist()
            made = np.array(
                [
                    code if wanted.issuperset(data) else self.add({key: data[key] for key in wanted if key in data})
                    for code, data in zip(bare, self.data_of(bare), strict=True)
                ],
                np.uint32,
            )
            self._inherit(missing, made, [key for key in self._values.questions() if key in wanted])
            return made

        return self.derived(("only", wanted), codes, make)

    def _inherit(self, codes: Codes, made: Codes, keys: Iterable[str]) -> None:
        """Under these keys `made` have the values of `codes`."""
        for key in keys:
            self._values.column(key).inherit(codes, made, len(self))


class Tables:
    """The table of payloads, which lives on from run to run until it has grown large."""

    def __init__(
        self, run_bytes_max: int = PAYLOADS_BYTES_MAX, size_bytes_max: int = PAYLOADS_BYTES_MAX, *,
        on_renewed: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """`on_renewed` is called when nothing will ask for codes of the last table any more."""
        self._run_bytes_max = run_bytes_max
        self._size_bytes_max = size_bytes_max
        self._on_renewed = on_renewed
        self.current = Payloads(run_bytes_max)

    def for_next_run(self) -> Payloads:
        if self.current.is_doubtful or self.current.size_bytes > self._size_bytes_max:
            self.current = Payloads(self._run_bytes_max)
            self._on_renewed()
        return self.current.begin_run()


def _size_bytes(value: object) -> int:
    """In memory, with all that is in it."""
    size_bytes = 0
    waiting = [value]
    while waiting:
        part = waiting.pop()
        size_bytes += sys.getsizeof(part)
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting += part
            waiting += part.values()
    return size_bytes


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
