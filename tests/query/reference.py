"""The reference: aw-core 0.5.18 in this process, with the rulings of section 9 of the query language applied, by name.

Where aw-core slips in a way that can be put right from outside, it is (`RuledStorage`, copies of arguments). Where it
cannot, the program is not compared: `Differs` names the ruling.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any
from unittest.mock import patch

import msgspec
from aw_core.models import Event as AwEvent
from aw_datastore import Datastore
from aw_datastore.storages import MemoryStorage
from aw_query import query
from aw_query.exceptions import QueryException
from aw_query.functions import functions

from awlog.model.event import Event, event_id
from awlog.query.program import Period

assert version("aw-core") == "0.5.18", "the reference is this release; 0.5.17 floods in another way"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Differs(Exception):
    """The rulings say that awlog answers otherwise here; the text is the topic in section 9."""


class RuledStorage(MemoryStorage):
    """aw-core's memory storage, reading as the rulings say. (It never cuts; the storages of a live server do.)"""

    def get_events(
        self, bucket: str, limit: int, starttime: datetime | None = None, endtime: datetime | None = None
    ) -> list[AwEvent]:
        assert starttime is not None
        assert endtime is not None
        endtime -= _MILLISECOND  # "period's end": 1 ms late, whole milliseconds given
        found = []
        # "equal starts in query_bucket": arrival
        for event in sorted(self.db[bucket], key=lambda event: event.timestamp, reverse=True):
            end = event.timestamp + event.duration
            if starttime <= end and event.timestamp <= endtime:
                cut = copy.deepcopy(event)
                cut.timestamp = max(event.timestamp, starttime)
                cut.duration = min(end, endtime) - cut.timestamp
                found.append(cut)
        return found

    def get_eventcount(self, bucket: str, starttime: datetime | None = None, endtime: datetime | None = None) -> int:
        # Section 6: the length of the list that query_bucket gives. aw-core counts starts within the range only.
        assert endtime is not None
        return len(self.get_events(bucket, -1, starttime, endtime + _MILLISECOND))


def datastore(
    buckets: Mapping[str, Sequence[Event]],
    storage: Callable[..., Any] = RuledStorage,
    **options: Any,
) -> Datastore:
    """The same events under the same ids; bucket numbers from 1, whole milliseconds."""
    filled = Datastore(storage, testing=True, **options)
    for number, (bucket_id, events) in enumerate(buckets.items(), start=1):
        filled.create_bucket(bucket_id, "test", "tests", "desk")
        rows = [aw_event(number, event) for event in events]
        if isinstance(filled.storage_strategy, MemoryStorage):
            filled.storage_strategy.db[bucket_id] = rows  # with our ids, which inserting would replace
        else:
            for row in rows:
                row.id = None
            filled[bucket_id].insert(rows)
    return filled


def aw_event(number: int, event: Event) -> AwEvent:
    return AwEvent(
        id=event_id(number, event.seq),  # type: ignore[arg-type]
        timestamp=_EPOCH + timedelta(microseconds=event.start_us),
        duration=timedelta(microseconds=event.duration_us),
        data=msgspec.json.decode(event.payload),
    )


def reference_answer(text: str, period: Period, store: Datastore, *, name: str = "") -> Any:
    """What aw-core answers, as its server would put it into JSON. Raises QueryException, Differs."""
    guarded = {function: _guarded(function, functions[function]) for function in functions}
    start = _EPOCH + timedelta(microseconds=period.start_us)
    end = _EPOCH + timedelta(microseconds=period.end_us)
    with patch.dict(functions, guarded):
        try:
            return _on_the_wire(query(name, text, start, end, store))
        except (QueryException, Differs):
            raise
        except Exception as error:
            # "error status", "merge: dict or nested list as value", "value not a text, key missing, url malformed"
            raise Differs(f"500 for many slips: {type(error).__name__}") from error


def reference_error(text: str, period: Period, store: Datastore) -> str:
    """The type of the error that aw-core answers with status 400."""
    start = _EPOCH + timedelta(microseconds=period.start_us)
    end = _EPOCH + timedelta(microseconds=period.end_us)
    try:
        query("", text, start, end, store)
    except QueryException as error:
        return type(error).__name__
    raise AssertionError(f"aw-core runs {text!r}")


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(store: Datastore, namespace: dict[str, Any], *arguments: Any) -> Any:
        arguments = tuple(_copy(argument) for argument in arguments)  # "arguments changed in place"
        if guard := _GUARDS.get(name):
            guard(*arguments)
        try:
            return function(store, namespace, *arguments)
        except TypeError as error:
            # aw-core takes it for a wrong number of arguments; the programs of these tests give the right one.
            raise Differs("value not a text") from error

    return call


def _copy(argument: Any) -> Any:
    """Each event a copy of its own, also where one stands in a list twice."""
    return [copy.deepcopy(item) for item in argument] if isinstance(argument, list) else argument


def _merge(events: list[AwEvent], keys: list[str]) -> None:
    presence: dict[tuple[Any, ...], tuple[bool, ...]] = {}
    for event in events:
        values = tuple(str(event.data[key]) for key in keys if key in event.data)
        present = tuple(key in event.data for key in keys)
        if presence.setdefault(values, present) != present:
            raise Differs("merge: an absent key")


def _chunk(events: list[AwEvent], key: str) -> None:
    if key == "subevents":
        raise Differs("chunk: by the key that it makes itself")  # aw-core compares with what it has just put there
    if any(key not in event.data for event in events):
        raise Differs("chunk: stops at the first event without the key")
    if events:
        last_end = events[-1].timestamp + events[-1].duration
        if any(event.timestamp - last_end >= timedelta(seconds=5) for event in events):
            raise Differs("chunk: measures the gap from the last event of the list")


def _split_url(events: list[AwEvent]) -> None:
    if any(not isinstance(event.data.get("url", ""), str) for event in events):
        raise Differs("url split: value not a text")


_GUARDS: dict[str, Callable[..., None]] = {
    "merge_events_by_keys": _merge,
    "chunk_events_by_key": _chunk,
    "split_url_events": _split_url,
}


def _on_the_wire(value: Any) -> Any:
    if isinstance(value, AwEvent):
        return {
            "id": value.id,
            "timestamp": value.timestamp.isoformat(),
            "duration": value.duration.total_seconds(),
            "data": _on_the_wire(value.data),
        }
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, dict):
        return {key: _on_the_wire(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_on_the_wire(item) for item in value]
    return value
