"""Events as programs handle them, and as they are on the wire."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType, field


class Event(Struct, frozen=True):
    """What happened from `timestamp` on, which has a time zone, for `duration`; `id` is the server's, if it has one."""

    timestamp: datetime
    duration: timedelta = timedelta()
    data: dict[str, Any] = field(default_factory=dict)
    id: int | None = None

    def __post_init__(self) -> None:
        if self.timestamp.tzinfo is None:
            raise ValueError("A timestamp needs a time zone: datetime.now(UTC), for example")


class _EventBody(Struct):
    timestamp: datetime
    duration: float
    data: dict[str, Any]
    id: int | UnsetType = UNSET


class _Line(Struct):
    bucket: str
    pulsetime: float
    event: _EventBody


_EVENT: Final = msgspec.json.Decoder(_EventBody)
_EVENTS: Final = msgspec.json.Decoder(list[_EventBody])


def encode_event(event: Event) -> bytes:
    """As the body of a request."""
    return msgspec.json.encode(_body(event))


def encode_events(events: list[Event]) -> bytes:
    return msgspec.json.encode([_body(event) for event in events])


def encode_line(bucket_id: str, event: Event, pulsetime_s: float) -> bytes:
    """A heartbeat as a line of a stream, without its end."""
    return msgspec.json.encode(_Line(bucket_id, pulsetime_s, _body(event)))


def decode_event(raw: bytes) -> Event:
    return _event(_EVENT.decode(raw))


def decode_events(raw: bytes) -> list[Event]:
    return [_event(body) for body in _EVENTS.decode(raw)]


def _body(event: Event) -> _EventBody:
    event_id = UNSET if event.id is None else event.id
    return _EventBody(event.timestamp, event.duration.total_seconds(), event.data, event_id)


def _event(body: _EventBody) -> Event:
    event_id = None if isinstance(body.id, UnsetType) else body.id
    return Event(body.timestamp, timedelta(seconds=body.duration), body.data, event_id)
