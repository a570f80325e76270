"""An event as JSON text, in the forms that servers of all kinds write -> a new event."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from awlog.log.many_times import durations_of, instants_of
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
_LIST: Final = msgspec.json.Decoder(list[EventBody])


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


def take_events(written: list[bytes], texts: PayloadTexts, found: Found) -> None:
    """Adds the events, and counts those that are none. 1.5 µs each where all of them are."""
    try:
        bodies = _LIST.decode(b"[%b]" % b",".join(written))
        start_us = instants_of([body.timestamp for body in bodies])
        durations_s = [body.duration for body in bodies]
        duration_us = durations_of(durations_s, start_us)
        payloads = texts.payloads([bytes(body.data) or b"null" for body in bodies])
    except (BadRequest, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        _take_one_by_one(written, texts, found)  # which says what is wrong with which
        return
    found.events += map(NewEvent, start_us.tolist(), duration_us.tolist(), payloads)
    found.negative_count += sum(seconds is not None and seconds < 0 for seconds in durations_s)


def _take_one_by_one(written: list[bytes], texts: PayloadTexts, found: Found) -> None:
    for text in written:
        try:
            take_event(decode_event(text), texts, found)
        except BadRequest as refusal:
            found.refuse(str(refusal))


def take_event(body: EventBody, texts: PayloadTexts, found: Found) -> None:
    """Adds the event. Raises BadRequest."""
    start_us = parse_timestamp(body.timestamp)
    data = bytes(body.data)
    payload = texts.payload(data) if data else EMPTY_PAYLOAD
    found.events.append(NewEvent(start_us, duration_from_seconds(body.duration, start_us), payload))
    found.negative_count += body.duration is not None and body.duration < 0
