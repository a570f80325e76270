"""Milliseconds since the epoch <-> the texts on the wire."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

DAY_MS: Final = 86_400_000


def iso(at_ms: int) -> bytes:
    """`2024-05-01T10:00:00.250000+00:00`: six digits and an offset, as the stock Python client writes it. 1 µs."""
    seconds, rest_ms = divmod(at_ms, 1000)
    minutes, second = divmod(seconds, 60)
    return b"%b%02d.%03d000+00:00" % (_to_the_minute(minutes), second, rest_ms)


def ms(text: str) -> int:
    """The nearest millisecond to an ISO 8601 text. Servers may answer with any number of digits."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@lru_cache(maxsize=256)
def _to_the_minute(minutes: int) -> bytes:
    return datetime.fromtimestamp(minutes * 60, UTC).strftime("%Y-%m-%dT%H:%M:").encode()
