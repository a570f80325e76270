"""Buckets: a named log of events with a few texts about where they come from."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from awlog.model.errors import BadRequest
from awlog.model.event import UNNUMBERED, BucketNumber, Change, Payload
from awlog.model.times import Micros

BUCKET_ID_BYTES_MAX: Final = 1024
EMPTY_PAYLOAD: Final = Payload(b"{}")


class Origin(Struct, frozen=True, array_like=True):
    """Where a mirrored bucket comes from, and how far it was pushed: all changes of its device up to `change`, as counted
    in `epoch`.
    """

    device_id: str
    bucket_id: str
    epoch: int
    change: int


class BucketMeta(Struct, frozen=True):
    """What a bucket is, apart from its events. `number` is given once and never reused, `id` may come again."""

    number: BucketNumber
    id: str
    type: str
    client: str
    hostname: str
    created_us: Micros
    name: str | None = None
    data: Payload = EMPTY_PAYLOAD
    change: Change = UNNUMBERED
    origin: Origin | None = None


def is_valid_bucket_id(text: str) -> bool:
    """Any non-empty text of at most 1,024 bytes of UTF-8 without control characters."""
    if not text or any(char < " " or char == "\x7f" for char in text):
        return False
    try:
        return len(text.encode()) <= BUCKET_ID_BYTES_MAX
    except UnicodeEncodeError:  # a lone surrogate
        return False


def check_bucket_id(text: str) -> None:
    """Raises BadRequest if no bucket may have this id."""
    if not is_valid_bucket_id(text):
        raise BadRequest(
            f"A bucket id is a text of 1 to {BUCKET_ID_BYTES_MAX} bytes of UTF-8 without control characters"
        )
