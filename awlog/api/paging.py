"""Pages of a range read: the place where one ends as a token for the next."""

from __future__ import annotations

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from typing import Final

from awlog.model.errors import BadRequest
from awlog.model.event import BucketNumber, Seq
from awlog.model.page import Page
from awlog.model.times import Micros

PAGE_EVENTS_MAX: Final = 10_000
# version, bucket number, start, end, seqs below, start and seq of the last event
_CURSOR: Final = struct.Struct(">BIqqqqq")
_VERSION: Final = 1


def cursor_of(number: BucketNumber, page: Page) -> str:
    """A token of 60 letters, digits, `-` and `_`. It tells nothing that the client did not see."""
    packed = _CURSOR.pack(
        _VERSION, number, page.start_us, page.end_us, page.seq_below, page.after_start_us, page.after_seq
    )
    return urlsafe_b64encode(packed).decode()


def page_of(cursor: str, number: BucketNumber) -> Page:
    """Raises BadRequest for what is no token of this bucket."""
    try:
        version, its_number, start_us, end_us, seq_below, after_start_us, after_seq = _CURSOR.unpack(
            urlsafe_b64decode(cursor.encode())
        )
    except (Error, ValueError, struct.error):
        raise BadRequest("`cursor` must be the `next` of an earlier page") from None
    if version != _VERSION or its_number != number:
        raise BadRequest("`cursor` must be the `next` of an earlier page of this bucket")
    return Page(Micros(start_us), Micros(end_us), Seq(seq_below), Micros(after_start_us), Seq(after_seq))
