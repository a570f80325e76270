"""Which columns the `data` of some events make: one for each key, typed if all its values are of one type.

Lossless: a key that an event lacks is empty there, and what fits no type (lists, objects, null, texts among numbers) is
kept as JSON text. One thing is not told apart: whole numbers among fractions become fractions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Struct

from awlog.log.columns import Columns
from awlog.model.event import Payload

Kind = Literal["text", "integer", "real", "boolean", "json"]

# More keys than these make no table that somebody could read: `data` is one column of JSON text then.
FIELDS_MAX: Final = 256
_EXACT_MAX: Final = 1 << 53
_INT64_MAX: Final = (1 << 63) - 1
_DECODER: Final = msgspec.json.Decoder(dict[str, Any])
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
# What is known of the integers of a key: whether each is a fraction's neighbour without loss.
_LARGE: Final = "large integer"


class Field(Struct, frozen=True):
    """A column of `data`; the empty key stands for all of `data`, as JSON text."""

    key: str | None
    kind: Kind

    @property
    def name(self) -> str:
        return "data" if self.key is None else f"data.{self.key}"


WHOLE: Final = (Field(None, "json"),)


class LayoutFinder:
    """Looks at payloads, each distinct one of a chunk once: about 1 µs."""

    def __init__(self) -> None:
        self._kinds: dict[str, set[str]] = {}

    def observe(self, columns: Columns) -> None:
        if len(self._kinds) > FIELDS_MAX:
            return
        for code in np.unique(columns.payload_code).tolist():
            for key, value in decoded(columns.payloads[code]).items():
                kinds = self._kinds.get(key)
                if kinds is None:
                    kinds = self._kinds[key] = set()
                kinds.add(_kind(value))

    def fields(self) -> tuple[Field, ...]:
        """In the order of their keys."""
        if len(self._kinds) > FIELDS_MAX:
            return WHOLE
        return tuple(Field(key, _common(kinds)) for key, kinds in sorted(self._kinds.items()))


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if abs(value) <= _EXACT_MAX else _LARGE if abs(value) <= _INT64_MAX else "json"
    return "real" if isinstance(value, float) else "json"


def _common(kinds: set[str]) -> Kind:
    if kinds <= {"integer", _LARGE}:
        return "integer"
    if kinds <= {"integer", "real"}:
        return "real"
    if len(kinds) == 1:
        only: Kind = "text" if "text" in kinds else "boolean" if "boolean" in kinds else "json"
        return only
    return "json"


def decoded(payload: Payload) -> dict[str, Any]:
    return _DECODER.decode(payload)


def values(field: Field, data: Iterable[dict[str, Any]], payloads: Iterable[Payload]) -> list[Any]:
    """The column's value for each payload, None where the key is missing."""
    key = field.key
    if key is None:
        return [payload.decode() for payload in payloads]
    if field.kind == "json":
        return [_ENCODER.encode(each[key]).decode() if key in each else None for each in data]
    return [each.get(key) for each in data]
