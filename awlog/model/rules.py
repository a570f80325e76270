"""Rules that the server obeys, as they stand in its settings. What they mean is in `log/`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

_Positive = Annotated[int, Meta(ge=1, le=1 << 53)]
_PositiveNumber = Annotated[float, Meta(gt=0, le=1e9)]


class FilterRule(Struct, frozen=True):
    """A privacy filter. `field` is a path into `data`, its parts between dots."""

    enabled: bool
    pattern: str
    action: Literal["drop", "redact"]
    field: str
    bucket_prefix: str | None = None
    replacement: str | None = None


class RetentionRule(Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept in buckets whose id begins with `bucket_prefix`. Of the limits that are given each holds."""

    bucket_prefix: str = ""
    max_age_days: _PositiveNumber | None = None
    max_events: _Positive | None = None
    max_bytes: _Positive | None = None
    min_duration_s: _PositiveNumber | None = None
