"""Points in time and spans: ISO 8601 and seconds on the wire, int64 microseconds inside.

Everything here is pure. A range is `[start_us, end_us]` with both ends inside.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final, NewType

from awlog.model.errors import BadRequest

Micros = NewType("Micros", int)

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH: Final = datetime(1970, 1, 1)
_ONE_US: Final = timedelta(microseconds=1)

# The instants that can be shown: years 1 to 9999, UTC.
TIME_MIN_US: Final = Micros((datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // _ONE_US)
TIME_MAX_US: Final = Micros((datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - EPOCH) // _ONE_US)
_SECONDS_MAX: Final = (TIME_MAX_US - TIME_MIN_US) / 1e6

# What stands between the numbers in the form that Python writes, by the length of the text: without and with a fraction.
_MARKS: Final = {25: "--T::+", 32: "--T::."}

# Durations that a float of µs holds exactly, and starts from which they all end in time.
SHORT_S: Final = 1_000_000_000
EARLY_US: Final = TIME_MAX_US - SHORT_S * 1_000_000

_TIMESTAMP: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?"
    r"(?:[Zz]|([+-])(\d\d)(?::?(\d\d))?)?)?",
    re.ASCII,
)

_SPACE_FOR_PLUS: Final = re.compile(r"(:\d\d(?:[.,]\d+)?) (\d\d(?::?\d\d)?)$", re.ASCII)


def parse_timestamp(text: str) -> Micros:
    """The instant that an ISO 8601 / RFC 3339 text names, in µs since the epoch. 0.7 µs as clients write it, else 3 µs.

    No offset means UTC, a date alone its midnight; digits beyond the microsecond are cut off.
    Raises BadRequest for any other text, an impossible date, and instants outside years 1 to 9999 UTC.
    """
    if _is_usual(text):
        try:
            span = datetime.fromisoformat(text) - EPOCH
        except ValueError:
            raise BadRequest(_bad_timestamp(text)) from None
        return Micros(span // _ONE_US)
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        raise BadRequest(_bad_timestamp(text))
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = found.groups()
    try:
        local = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    except ValueError:
        raise BadRequest(_bad_timestamp(text)) from None
    span = local - _NAIVE_EPOCH
    instant_us = (span.days * 86_400 + span.seconds) * 1_000_000
    if fraction is not None:
        instant_us += int(fraction[:6].ljust(6, "0"))
    if sign is not None:
        hours, minutes = int(offset_hours), int(offset_minutes or 0)
        if hours > 23 or minutes > 59:
            raise BadRequest(_bad_timestamp(text))
        offset_us = (hours * 60 + minutes) * 60_000_000
        instant_us += offset_us if sign == "-" else -offset_us
        if not TIME_MIN_US <= instant_us <= TIME_MAX_US:
            raise BadRequest(_bad_timestamp(text))
    return Micros(instant_us)


def _is_usual(text: str) -> bool:
    """Is it `2024-05-01T10:00:00+00:00`, or that with six digits of a second, if there are digits in between?

    So Python's clients write it. Then `fromisoformat`, which takes other forms than we do, takes this one only.
    """
    return _MARKS.get(len(text)) == text[4:20:3] and text[-6:] == "+00:00"


def parse_query_timestamp(text: str) -> Micros:
    """As `parse_timestamp`, for a value from a query string: there an unescaped `+` has become a space."""
    return parse_timestamp(_SPACE_FOR_PLUS.sub(r"\1+\2", text))


def _bad_timestamp(text: str) -> str:
    shape = f"a text of {len(text)} characters"
    return f"Not a timestamp: {shape}; write ISO 8601 within years 1 to 9999, like 2024-05-01T10:00:00.25+00:00"


def format_timestamp(instant_us: int) -> str:
    """`YYYY-MM-DDTHH:MM:SS[.ffffff]+00:00`: no fraction when it is zero. About 0.6 µs."""
    return (EPOCH + timedelta(microseconds=instant_us)).isoformat()


def duration_from_seconds(seconds: float | None, start_us: int) -> Micros:
    """A JSON number of seconds as µs, rounded to the nearest; below zero and None give 0.

    Raises BadRequest if the event would end after year 9999.
    """
    if seconds is None or seconds <= 0:
        return Micros(0)
    if seconds < SHORT_S and start_us < EARLY_US:
        return Micros(round(seconds * 1_000_000))
    if seconds > _SECONDS_MAX:
        raise BadRequest("The duration is too long: the event must end within year 9999")
    whole = int(seconds)
    # The product of all of it would be rounded once more: from 71 years on it would be another microsecond.
    duration_us = whole * 1_000_000 + round((seconds - whole) * 1_000_000)
    longest_us = TIME_MAX_US - start_us
    if duration_us > longest_us:
        # The float nearest to the longest duration may lie beyond it: what was written must be readable.
        if seconds > seconds_from_us(longest_us):
            raise BadRequest("The duration is too long: the event must end within year 9999")
        duration_us = longest_us
    return Micros(duration_us)


def span_from_seconds(seconds: float) -> Micros:
    """A finite number of seconds of either sign as µs, held within the length of all time that can be shown."""
    return Micros(round(max(-_SECONDS_MAX, min(seconds, _SECONDS_MAX)) * 1_000_000))


def seconds_from_us(duration_us: int) -> float:
    """µs as the nearest float of seconds; always a float, so that JSON shows `0.0` and never `0`."""
    return duration_us / 1_000_000
