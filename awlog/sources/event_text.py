"""An event as JSON text, in the forms that servers of all kinds write -> a new event."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from awlog.model.bucket import EMPTY_PAYLOAD
from awlog.model.commands import NewEvent
from awlog.model.errors import BadRequest
from awlog.model.payload import mend_lone_surrogates
from awlog.model.times import duration_from_seconds, parse_timestamp
from awlog.sources.source import Found, PayloadTexts

_NONE: Final = Raw()


class EventBody(Struct, gc=False):
    """What is read of an event; its id means nothing elsewhere. `bucket`: where lines of many buckets name it."""

    timestamp: str
    duration: float | None = None
    data: Raw = _NONE
    bucket: str | None = None


_DECODER: Final = msgspec.json.Decoder(EventBody)


def decode_event(text: bytes) -> EventBody:
    """Raises BadRequest. 0.5 µs; half surrogate pairs become U+FFFD."""
    try:
        return _DECODER.decode(text)
    except msgspec.ValidationError as error:
        raise BadRequest(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return _DECODER.decode(mend_lone_surrogates(text))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadRequest("Malformed JSON, or a number that is out of range") from None


def take_event(body: EventBody, texts: PayloadTexts, found: Found) -> None:
    """Adds the event. Raises BadRequest."""
    start_us = parse_timestamp(body.timestamp)
    data = bytes(body.data)
    payload = texts.payload(data) if data else EMPTY_PAYLOAD
    found.events.append(NewEvent(start_us, duration_from_seconds(body.duration, start_us), payload))
    found.negative_count += body.duration is not None and body.duration < 0
