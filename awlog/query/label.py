"""What an event is called in a line: its *name*, by which a picture groups events, and a *detail* that says more.

Watchers agree on no key, so the usual ones are tried in order: a window has an app and a title, a tab a url and a title, an
absence a status. What has none of them is called by its first text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from awlog.log.columns import NO_CHANGES, Columns
from awlog.model.event import Payload

_NAME_KEYS: Final = ("app", "status", "label", "project", "language", "name", "type", "title")
_DETAIL_KEYS: Final = ("title", "file", "url", "description")
TEXT_CHARS_MAX: Final = 160
# A longer payload is not looked into: that would take a millisecond, and nobody reads it in a line.
_PAYLOAD_BYTES_MAX: Final = 64 << 10
_DECODER: Final = msgspec.json.Decoder(dict[str, Any])
_NAMELESS: Final = "(no data)"
# In canonical JSON keys are sorted, and few come before this one.
_APP: Final = b'{"app":"'
_BEHIND_COMMA: Final = b"-"
assert _BEHIND_COMMA[0] == b","[0] + 1, "all that begins with a comma is less"
# 10 MB of them: more than anybody has programs.
_NAMES_MAX: Final = 100_000
# Payloads without an app whose names are remembered: tabs come back. 10 MB of usual ones.
_LOOKED_UP_MAX: Final = 1 << 15
_LOOKED_UP_BYTES_MAX: Final = 1024


class Label(Struct, frozen=True):
    """`detail` is empty when there is nothing more to say."""

    name: str
    detail: str


def label_of(payload: Payload) -> Label:
    """About 2 µs for a window's payload; nothing that is stored makes it fail."""
    if len(payload) > _PAYLOAD_BYTES_MAX:
        app = _head_of_app(payload)[len(_APP) : -1].decode()
        return Label(_short(app) if app else f"({len(payload):,} bytes of data)", "")
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
    """The names of payloads: a growing list, and their places in it. What is decoded for pictures holds names only."""

    def __init__(self, on_renewed: Callable[[], None] = lambda: None) -> None:
        """`on_renewed` is called when nothing will ask for places in the last list any more."""
        self._on_renewed = on_renewed
        self._begin()

    def _begin(self) -> None:
        self.names: list[Payload] = []
        self._numbers: dict[str, int] = {}
        self._looked_up: dict[Payload, int] = {}

    def for_next_run(self) -> None:
        if len(self.names) > _NAMES_MAX:
            self._begin()
            self._on_renewed()

    def called(self, columns: Columns) -> Columns:
        """The same events with their names, UTF-8, for payloads, which must be sorted, as a segment's are: then those of
        one app stand together. 3 µs for each app of a segment; for each payload without one that was not seen lately.
        """
        numbers = self._numbers_of(columns.payloads)
        code = numbers[columns.payload_code]
        return Columns(columns.seq, columns.start_us, columns.duration_us, code, self.names, NO_CHANGES)

    def _numbers_of(self, payloads: list[Payload]) -> NDArray[np.uint32]:
        numbers = np.empty(len(payloads), np.uint32)
        at = 0
        while at < len(payloads):
            head = _head_of_app(payloads[at])
            if head:
                end = bisect_left(payloads, head + _BEHIND_COMMA, at)
                assert payloads[end - 1].startswith(head), "the payloads are sorted"
                numbers[at:end] = self._number(label_of(payloads[at]).name)
                at = end
            else:
                numbers[at] = self._number_of(payloads[at])
                at += 1
        return numbers

    def _number_of(self, payload: Payload) -> int:
        number = self._looked_up.get(payload)
        if number is None:
            number = self._number(label_of(payload).name)
            if len(payload) <= _LOOKED_UP_BYTES_MAX:
                if len(self._looked_up) >= _LOOKED_UP_MAX:
                    self._looked_up.clear()
                self._looked_up[payload] = number
        return number

    def _number(self, name: str) -> int:
        number = self._numbers.setdefault(name, len(self.names))
        if number == len(self.names):
            self.names.append(Payload(name.encode()))
        return number


def _head_of_app(payload: Payload) -> bytes:
    """How a payload with an app and more begins, before the comma: all that begin so have one name. Else nothing."""
    if not payload.startswith(_APP):
        return b""
    end = payload.find(b'"', len(_APP))
    app = payload[len(_APP) : end]
    is_plain = payload[end + 1 : end + 2] == b"," and b"\\" not in app and app.decode().strip()
    return payload[: end + 1] if is_plain else b""


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
