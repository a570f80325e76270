"""Rules that the server obeys, as they stand in its settings. What they mean is in `log/`."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from awlog.model.errors import BadRequest

# A payload that was never seen costs each filter about 2 µs.
RULES_MAX: Final = 500
PATTERN_BYTES_MAX: Final = 4096
_rules_max, _pattern_bytes_max = RULES_MAX, PATTERN_BYTES_MAX


def limit_rules(count_max: int, pattern_bytes_max: int) -> None:
    """For the whole process, once, at its start. Rules that are stored are obeyed whatever the limits are now."""
    global _rules_max, _pattern_bytes_max
    _rules_max, _pattern_bytes_max = count_max, pattern_bytes_max


def check_rule_count(setting: str, count: int) -> None:
    """For new rules. Raises BadRequest."""
    if count > _rules_max:
        raise BadRequest(
            f"`{setting}` has {count} rules, more than {_rules_max}; the setting `max_rules` sets the limit"
        )


def check_pattern_length(pattern: str) -> None:
    """For a new pattern, before it is compiled. Raises BadRequest."""
    if len(pattern.encode(errors="surrogatepass")) > _pattern_bytes_max:
        raise BadRequest(
            f"`pattern` is longer than {_pattern_bytes_max} bytes; the setting `max_pattern_bytes` sets the limit"
        )


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
