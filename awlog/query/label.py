"""What an event is called in a line: its *name*, by which a picture groups events, and a *detail* that says more.

Watchers agree on no key, so the usual ones are tried in order: a window has an app and a title, a tab a url and a title, an
absence a status. What has none of them is called by its first text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from awlog.model.event import Payload

_NAME_KEYS: Final = ("app", "status", "label", "project", "language", "name", "type", "title")
_DETAIL_KEYS: Final = ("title", "file", "url", "description")
TEXT_CHARS_MAX: Final = 160
# A longer payload is not looked into: that would take a millisecond, and nobody reads it in a line.
_PAYLOAD_BYTES_MAX: Final = 64 << 10
_DECODER: Final = msgspec.json.Decoder(dict[str, Any])
_NAMELESS: Final = "(no data)"


class Label(Struct, frozen=True):
    """`detail` is empty when there is nothing more to say."""

    name: str
    detail: str


def label_of(payload: Payload) -> Label:
    """About 2 µs for a window's payload; nothing that is stored makes it fail."""
    if len(payload) > _PAYLOAD_BYTES_MAX:
        return Label(f"({len(payload):,} bytes of data)", "")
    try:
        data = _DECODER.decode(payload)
    except RecursionError:
        return Label("(nested data)", "")
    name = _first_text(data, _NAME_KEYS[:3]) or _host(data.get("url")) or _first_text(data, (*_NAME_KEYS, *data))
    if not name:
        return Label(_short(payload.decode()) if data else _NAMELESS, "")
    detail = _first_text(data, _DETAIL_KEYS)
    return Label(_short(name), _short(detail) if detail != name else "")


class Labels:
    """The names of a growing list of payloads, each looked up once. Owned by whoever owns the list."""

    def __init__(self) -> None:
        self._payloads: Sequence[Payload] = ()
        self._numbers: dict[str, int] = {}
        self._number_of_code = np.empty(0, np.int32)
        self.names: list[str] = []

    def numbers(self, payloads: Sequence[Payload], codes: NDArray[np.uint32]) -> NDArray[np.int32]:
        """For each code the number of its payload's name in `names`. O(codes), and 2 µs for each payload that is new."""
        if payloads is not self._payloads:
            self._payloads, self._numbers, self.names = payloads, {}, []
            self._number_of_code = np.empty(0, np.int32)
        if len(self._number_of_code) < len(payloads):
            unknown = np.full(len(payloads) - len(self._number_of_code), -1, np.int32)
            self._number_of_code = np.concatenate([self._number_of_code, unknown])
        numbers = self._number_of_code[codes]
        missing = np.unique(codes[numbers < 0]).tolist()
        if missing:
            for code in missing:
                self._number_of_code[code] = self._number(label_of(payloads[code]).name)
            numbers = self._number_of_code[codes]
        return numbers

    def _number(self, name: str) -> int:
        number = self._numbers.setdefault(name, len(self.names))
        if number == len(self.names):
            self.names.append(name)
        return number


def _first_text(data: dict[str, Any], keys: Sequence[str]) -> str:
    for key in keys:
        value = data.get(key)
        if isinstance(value, str) and value.strip():
            return value
    return ""


def _host(url: object) -> str:
    if not isinstance(url, str):
        return ""
    try:
        parts = urlsplit(url[:2048])
    except ValueError:
        return ""
    return parts.netloc.rpartition("@")[2].removeprefix("www.") or parts.scheme


def _short(text: str) -> str:
    return text if len(text) <= TEXT_CHARS_MAX else text[: TEXT_CHARS_MAX - 1] + "…"
