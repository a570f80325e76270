"""The transforms of the query language: pure functions on EventList, one module each, in inner units.

What they mean is section 6 of the query language. Argument kinds are checked by the caller; lists given together share one
table of payloads.
"""

from awlog.query.transforms.categorize import categorize, tag
from awlog.query.transforms.chunk_events_by_key import chunk_events_by_key
from awlog.query.transforms.filter_keyvals import exclude_keyvals, filter_keyvals, filter_keyvals_regex
from awlog.query.transforms.flood import flood
from awlog.query.transforms.lists import concat, limit, sort_by_duration, sort_by_timestamp, sum_durations_us
from awlog.query.transforms.merge_events_by_keys import merge_events_by_keys
from awlog.query.transforms.merge_subwatcher_fields import merge_subwatcher_fields
from awlog.query.transforms.period_intersect import filter_period_intersect
from awlog.query.transforms.period_union import period_union
from awlog.query.transforms.rules import Rule, parse_rules
from awlog.query.transforms.simplify_window_titles import simplify_window_titles
from awlog.query.transforms.split_url_events import split_url_events
from awlog.query.transforms.union_no_overlap import union_no_overlap

__all__ = [
    "Rule",
    "categorize",
    "chunk_events_by_key",
    "concat",
    "exclude_keyvals",
    "filter_keyvals",
    "filter_keyvals_regex",
    "filter_period_intersect",
    "flood",
    "limit",
    "merge_events_by_keys",
    "merge_subwatcher_fields",
    "parse_rules",
    "period_union",
    "simplify_window_titles",
    "sort_by_duration",
    "sort_by_timestamp",
    "split_url_events",
    "sum_durations_us",
    "tag",
    "union_no_overlap",
]
