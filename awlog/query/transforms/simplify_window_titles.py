"""simplify_window_titles: titles without counters that change all the time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from awlog.query.events import EventList

if TYPE_CHECKING:
    from awlog.query.payloads import Codes

# All linear: none can try one character twice.
_COUNT: Final = re.compile(r"^\([0-9]+\)\s*")
_FRAMES: Final = re.compile(r"FPS:\s+[0-9.]+")
_UNSAVED: Final = re.compile(r"^[●*]\s*")


def simplify_window_titles(events: EventList, key: str) -> EventList:
    """Texts under the key without a leading `(2) `; titles with an `app` also without frame rates and a leading dot."""
    used, inverse = events.in_use()
    payloads = events.payloads

    def make(codes: Codes) -> Codes:
        return payloads.with_fields(codes, [_simplified(data, key) for data in payloads.data_of(codes.tolist())])

    return events.with_payload(payloads.derived(("simplify_window_titles", key), used, make)[inverse])


def _simplified(data: dict[str, Any], key: str) -> dict[str, Any] | None:
    """What changes in the data."""
    text = data.get(key)
    if not isinstance(text, str):
        return None
    simple = _COUNT.sub("", text)
    if key == "title" and "app" in data:
        simple = _UNSAVED.sub("", _FRAMES.sub("FPS: ...", simple))
    return {key: simple} if simple != text else None
