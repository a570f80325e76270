"""split_url_events: the parts of a web address as fields of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from awlog.query.events import EventList

if TYPE_CHECKING:
    from awlog.query.payloads import Codes


def split_url_events(events: EventList) -> EventList:
    """Sets `$protocol`, `$domain`, `$path`, `$params`, `$options`, `$identifier` where `url` is a text that can be split."""
    used, inverse = events.in_use()
    payloads = events.payloads

    def make(codes: Codes) -> Codes:
        return payloads.with_fields(codes, [_parts(data.get("url")) for data in payloads.data_of(codes.tolist())])

    return events.with_payload(payloads.derived(("split_url_events",), used, make)[inverse])


def _parts(url: object) -> dict[str, Any] | None:
    if not isinstance(url, str):
        return None
    try:
        parsed = urlparse(url)
    except ValueError:
        return None
    return {
        "$protocol": parsed.scheme,
        "$domain": parsed.netloc.removeprefix("www.") if parsed.netloc else parsed.scheme,
        "$path": parsed.path,
        "$params": parsed.params,
        "$options": parsed.query,
        "$identifier": parsed.fragment,
    }
