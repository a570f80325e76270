"""The functions of the query language: name -> kinds of its arguments, and what it does. The one table.

The evaluator checks the number of arguments, then their kinds from left to right, and only then calls. What a kind takes
it turns into what the transforms work with: events, texts, numbers in inner units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct

from awlog.log.columns import Columns
from awlog.model.bucket import BucketMeta
from awlog.model.event import BucketNumber
from awlog.model.times import Micros, seconds_from_us, span_from_seconds
from awlog.query import transforms
from awlog.query.budget import Budget
from awlog.query.errors import QueryFunctionException
from awlog.query.events import EventList, cut_to, event_list, no_events, unit_us
from awlog.query.payloads import Payloads
from awlog.query.values import Value, as_events, beginning, equal, is_plain, one_list, size_bytes, tree_bytes


class Store(Protocol):
    """What a query reads from: one snapshot."""

    def buckets(self) -> list[BucketMeta]:
        """All buckets, oldest first."""

    def events(self, bucket_number: BucketNumber, start_us: Micros, end_us: Micros) -> Columns:
        """The events that meet [start_us, end_us], uncut, by descending start and ascending seq."""

    def count(self, bucket_number: BucketNumber, start_us: Micros, end_us: Micros) -> int:
        """How many events meet [start_us, end_us]."""


class Context(Struct, frozen=True):
    """What functions may use besides their arguments.

    buckets   by id, oldest first
    interval  the range that the variables name at this moment; raises QueryFunctionException if they name none
    """

    store: Store
    buckets: dict[str, BucketMeta]
    payloads: Payloads
    budget: Budget
    interval: Callable[[], tuple[Micros, Micros]]


# Kinds of arguments


class Kind(Struct, frozen=True):
    """`taken` turns a value into an argument, or into WRONG; `expected` is what error texts say."""

    expected: str
    taken: Callable[[Context, Value], Any]


WRONG: Final = object()


def _taken_events(context: Context, value: Value) -> Any:
    events = as_events(value)
    if events is None or isinstance(events, EventList):
        return WRONG if events is None else events
    return one_list([events], context.payloads)


def _taken_plain_list(context: Context, value: Value) -> Any:
    if as_events(value) == [] or (isinstance(value, EventList) and not len(value)):
        return []
    if not isinstance(value, list) or not is_plain(value, context.budget):
        return WRONG
    # Transforms look into it without counting, so it is counted here, written out.
    context.budget.take(tree_bytes([value], context.budget))
    return value


def _taken_texts(context: Context, value: Value) -> Any:
    texts = _taken_plain_list(context, value)
    return texts if texts is not WRONG and all(isinstance(text, str) for text in texts) else WRONG


def _of_type(*types: type) -> Callable[[Context, Value], Any]:
    return lambda _context, value: value if isinstance(value, types) else WRONG


EVENTS: Final = Kind("events", _taken_events)
TEXT: Final = Kind("a text", _of_type(str))
TEXTS: Final = Kind("a list of texts", _taken_texts)
PLAIN_LIST: Final = Kind("a list without events", _taken_plain_list)
ANY_LIST: Final = Kind("a list", _of_type(list, EventList))
CONTAINER: Final = Kind("a list or a dict", _of_type(list, EventList, dict))
NUMBER: Final = Kind("a number", _of_type(int, float))  # a boolean is one here
ANYTHING: Final = Kind("anything", _of_type(object))


class Function(Struct, frozen=True):
    """`run` gets the context and the arguments as their kinds take them.

    required  how many of `kinds` must be given; None: all
    rest      the kind of any further arguments, None if there may be none
    """

    run: Callable[..., Value]
    kinds: tuple[Kind, ...] = ()
    required: int | None = None
    rest: Kind | None = None

    def takes(self, count: int) -> bool:
        return self._count_min <= count and (self.rest is not None or count <= len(self.kinds))

    def counts(self) -> str:
        """How many arguments it takes, for error texts."""
        least, most = self._count_min, len(self.kinds)
        if self.rest is not None:
            return f"{least} or more arguments"
        return f"{least} argument{'' if least == 1 else 's'}" if least == most else f"{least} to {most} arguments"

    def kind(self, position: int) -> Kind:
        kind = self.kinds[position] if position < len(self.kinds) else self.rest
        assert kind is not None, "the number of arguments was checked"
        return kind

    @property
    def _count_min(self) -> int:
        return len(self.kinds) if self.required is None else self.required


# Buckets


def _query_bucket(context: Context, bucket_id: str) -> Value:
    number = _bucket_number(context, bucket_id)
    start_us, end_us = context.interval()
    if start_us > end_us:
        return no_events(context.payloads)
    events = event_list(context.store.events(number, start_us, end_us), number, context.payloads)
    return cut_to(events, start_us, end_us, unit_us(events))


def _query_bucket_eventcount(context: Context, bucket_id: str) -> Value:
    number = _bucket_number(context, bucket_id)
    start_us, end_us = context.interval()
    return context.store.count(number, start_us, end_us) if start_us <= end_us else 0


def _bucket_number(context: Context, bucket_id: str) -> BucketNumber:
    if bucket_id not in context.buckets:
        raise QueryFunctionException(f"There is no bucket named {beginning(bucket_id)}")
    return context.buckets[bucket_id].number


def _query_bucket_names(context: Context) -> Value:
    return list(context.buckets)


def _find_bucket(context: Context, wanted: str, hostname: str = "") -> Value:
    found = [
        bucket.id
        for bucket in context.buckets.values()
        if wanted in bucket.id and (not hostname or bucket.hostname == hostname)
    ]
    if not found:
        where = f" of host {beginning(hostname)}" if hostname else ""
        raise QueryFunctionException(f"There is no bucket{where} whose name contains {beginning(wanted)}")
    # min takes the first of equals.
    return min(found, key=lambda bucket_id: 0 if bucket_id == wanted else 1 if bucket_id.startswith(wanted) else 2)


# Lists


def _limit_events(context: Context, values: list[Value] | EventList, count: int | float) -> Value:
    count_max = max(0, int(count))
    if isinstance(values, list):
        return values[:count_max]
    # Joined with nothing, the few events get arrays of their own and do not keep those of many alive.
    return transforms.concat(transforms.limit(values, count_max), no_events(context.payloads))


def _concat(context: Context, *lists: EventList) -> Value:
    context.budget.take(sum(map(size_bytes, lists)))
    return one_list(lists, context.payloads)


def _contains(context: Context, container: list[Value] | EventList | dict[str, Value], value: Value) -> Value:
    if isinstance(container, dict):
        return isinstance(value, str) and value in container
    if isinstance(container, EventList):
        return False  # no value of a query is an event
    return any(equal(item, value, context.budget) for item in container)


# Transforms


def _transform(transform: Callable[..., EventList]) -> Callable[..., Value]:
    """One that needs nothing but its arguments."""
    return lambda _context, *arguments: transform(*arguments)


def _flood(_context: Context, events: EventList, pulsetime_s: float = 5) -> Value:
    return transforms.flood(events, span_from_seconds(pulsetime_s))


def _merge_subwatcher_fields(
    _context: Context, events: EventList, sub_events: EventList, keys: Sequence[str], conflict: str = "base_wins"
) -> Value:
    if conflict not in ("base_wins", "sub_wins"):
        raise QueryFunctionException(f"`conflict` must be 'base_wins' or 'sub_wins', found {beginning(conflict)}")
    return transforms.merge_subwatcher_fields(events, sub_events, keys, conflict == "sub_wins")


def _sum_durations(_context: Context, events: EventList) -> Value:
    return seconds_from_us(transforms.sum_durations_us(events))


def _categorize(_context: Context, events: EventList, rules: list[Value]) -> Value:
    return transforms.categorize(events, transforms.parse_rules(rules, "category"))


def _tag(_context: Context, events: EventList, rules: list[Value]) -> Value:
    return transforms.tag(events, transforms.parse_rules(rules, "tag"))


FUNCTIONS: Final[dict[str, Function]] = {
    "query_bucket": Function(_query_bucket, (TEXT,)),
    "query_bucket_eventcount": Function(_query_bucket_eventcount, (TEXT,)),
    "query_bucket_names": Function(_query_bucket_names),
    "find_bucket": Function(_find_bucket, (TEXT, TEXT), required=1),
    "filter_keyvals": Function(_transform(transforms.filter_keyvals), (EVENTS, TEXT, PLAIN_LIST)),
    "exclude_keyvals": Function(_transform(transforms.exclude_keyvals), (EVENTS, TEXT, PLAIN_LIST)),
    "filter_keyvals_regex": Function(_transform(transforms.filter_keyvals_regex), (EVENTS, TEXT, TEXT)),
    "filter_period_intersect": Function(_transform(transforms.filter_period_intersect), (EVENTS, EVENTS)),
    "period_union": Function(_transform(transforms.period_union), (EVENTS, EVENTS)),
    "union_no_overlap": Function(_transform(transforms.union_no_overlap), (EVENTS, EVENTS)),
    "concat": Function(_concat, rest=EVENTS),
    "limit_events": Function(_limit_events, (ANY_LIST, NUMBER)),
    "merge_events_by_keys": Function(_transform(transforms.merge_events_by_keys), (EVENTS, TEXTS)),
    "chunk_events_by_key": Function(_transform(transforms.chunk_events_by_key), (EVENTS, TEXT)),
    "merge_subwatcher_fields": Function(_merge_subwatcher_fields, (EVENTS, EVENTS, TEXTS, TEXT), required=3),
    "sort_by_timestamp": Function(_transform(transforms.sort_by_timestamp), (EVENTS,)),
    "sort_by_duration": Function(_transform(transforms.sort_by_duration), (EVENTS,)),
    "sum_durations": Function(_sum_durations, (EVENTS,)),
    "flood": Function(_flood, (EVENTS, NUMBER), required=1),
    "split_url_events": Function(_transform(transforms.split_url_events), (EVENTS,)),
    "simplify_window_titles": Function(_transform(transforms.simplify_window_titles), (EVENTS, TEXT)),
    "categorize": Function(_categorize, (EVENTS, PLAIN_LIST)),
    "tag": Function(_tag, (EVENTS, PLAIN_LIST)),
    "contains": Function(_contains, (CONTAINER, ANYTHING)),
    "print": Function(lambda _context, *_values: None, rest=ANYTHING),
    "nop": Function(lambda _context: 1),
}
