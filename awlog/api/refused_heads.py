"""Answers to connections that are refused before any request of theirs is understood. Pure."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from awlog.api.configuration import EdgeLimits
from awlog.api.failures import body_of, status_of
from awlog.model.errors import AwlogError, HeadersTooLarge, TooManyConnections, URITooLong

_EARLIER_LINE_ENDS: Final = b"\r\n"


def refused_head(head: bytes, limits: EdgeLimits) -> bytes | None:
    """The answer to a request whose beginning is `head` if that is longer than it may be, None if it is not. O(its line)."""
    # Servers skip empty lines before a request: they count as its line.
    begin = len(head) - len(head.lstrip(_EARLIER_LINE_ENDS))
    line_end = head.find(b"\n", begin)
    line_bytes = len(head) if line_end < 0 else line_end + 1
    if line_bytes > limits.request_line_bytes:
        return _answer(
            URITooLong(
                f"The request line is longer than {limits.request_line_bytes} bytes; "
                "the setting `max_request_line_bytes` sets the limit"
            )
        )
    if len(head) - line_bytes > limits.header_bytes:
        return _answer(
            HeadersTooLarge(
                f"The headers are longer than {limits.header_bytes} bytes; the setting `max_header_bytes` sets the limit"
            )
        )
    if head.count(b"\n", begin + line_bytes) > limits.headers + 1:  # and the empty line
        return _answer(
            HeadersTooLarge(f"There are more than {limits.headers} headers; the setting `max_headers` sets the limit")
        )
    return None


def too_many_connections(count_max: int) -> bytes:
    """For an address that has as many connections as it may have."""
    return _answer(
        TooManyConnections(
            f"There are {count_max} connections from this address; "
            "the setting `max_connections_per_address` sets the limit"
        )
    )


def _answer(error: AwlogError) -> bytes:
    status, body = status_of(error), body_of(error)
    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode() + body
