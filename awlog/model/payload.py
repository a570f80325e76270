"""`data` on the wire -> canonical JSON bytes, in which equal data are equal bytes.

Canonical: UTF-8, keys sorted, no white space, numbers as msgspec writes them (integers of any length, floats by their
shortest text). `1`, `1.0` and `true` stay different. What is accepted here can always be read back.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from awlog.model.errors import BadRequest
from awlog.model.event import Payload

# Levels of objects and lists inside one document. Clients recurse too: Python's json gives up near 1,000.
NESTING_MAX: Final = 500
_nesting_max = NESTING_MAX

_DECODER: Final = msgspec.json.Decoder()
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
# Possessive: a long text is passed over without a place to come back to for each of its characters.
_BRACKETS_OUTSIDE_TEXTS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|([\[\]{}])', re.DOTALL)
_ESCAPES: Final = re.compile(
    rb"\\\\"  # an escaped backslash: what follows it is no escape
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"  # half of one
)


def canonical_object(raw: bytes) -> Payload:
    """The canonical form of a JSON object; the text `null` counts as `{}`. O(len(raw)), about 1 µs for a window title.

    Raises BadRequest if it is no object, malformed, nested deeper than NESTING_MAX, or holds a number beyond a double.
    """
    value = _decode(raw)
    if value is None:
        return Payload(b"{}")
    if not isinstance(value, dict):
        raise BadRequest("`data` must be a JSON object")
    return Payload(_ENCODER.encode(value))


def decoded(payload: Payload) -> dict[str, Any]:
    """The data of a payload, the caller's own. About 1 µs."""
    data: dict[str, Any] = _DECODER.decode(payload)
    return data


def encoded(data: dict[str, Any]) -> Payload:
    """What `decoded` gave, perhaps changed, as a payload again."""
    return Payload(_ENCODER.encode(data))


def encoded_value(value: object) -> bytes:
    """Any value of decoded data, in canonical form."""
    return _ENCODER.encode(value)


def with_field(payload: Payload, name: str, value: str) -> Payload:
    """The payload with one text added, or put in the place of what was there."""
    return encoded({**decoded(payload), name: value})


def canonical_value(raw: bytes) -> bytes:
    """The canonical form of any JSON value. Raises BadRequest as `canonical_object`, but for the kind of value."""
    return _ENCODER.encode(_decode(raw))


def _decode(raw: bytes) -> object:
    check_nesting(raw)
    try:
        return _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("Malformed JSON, or a number that is out of range") from None


def limit_nesting(levels_max: int) -> None:
    """For the whole process, once, at its start: from 1 to NESTING_MAX, the most that everything else can take."""
    global _nesting_max  # like the interpreter's own limit of recursion
    assert 1 <= levels_max <= NESTING_MAX, "deeper than this is never taken"
    _nesting_max = levels_max


def check_nesting(raw: bytes) -> None:
    """Raises BadRequest if the JSON text is nested deeper than the limit. Two counts for an ordinary document."""
    if raw.count(b"{") + raw.count(b"[") <= _nesting_max:
        return
    depth = 0
    for found in _BRACKETS_OUTSIDE_TEXTS.finditer(raw):
        match found.group(1):
            case b"{" | b"[":
                depth += 1
                if depth > _nesting_max:
                    raise BadRequest(
                        f"The JSON is nested deeper than {_nesting_max} levels; "
                        "the setting `max_json_nesting` sets the limit"
                    )
            case b"}" | b"]":
                depth -= 1


def mend_lone_surrogates(raw: bytes) -> bytes:
    """The JSON text with each half of a surrogate pair replaced by U+FFFD: Windows titles come cut in half."""
    return _ESCAPES.sub(lambda found: rb"\ufffd" if found.group(1) else found.group(), raw)
