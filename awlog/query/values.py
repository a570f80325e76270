"""Values of a query: their kinds, when two are equal, how large they are, how they look as JSON. No value ever changes.

Values share structure: `a = [a, a];` sixty times is small in memory and endless on the wire. So nothing here walks a value
as a tree without counting, and nothing recurses. A list of events is an `EventList`; only where events and other values
meet in one list does an event stand alone, as an `Element`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias, Union

import msgspec
import numpy as np
from msgspec import Struct

from awlog.query.budget import ANSWER_NESTING_MAX, Budget
from awlog.query.distinct import distinct
from awlog.query.errors import QueryLimitExceeded
from awlog.query.events import EventList, no_events, render_event_list
from awlog.query.payloads import Payloads
from awlog.query.transforms import concat


class Element(Struct, frozen=True, eq=False, gc=False):
    """One event of a list, inside a list that holds other values too."""

    events: EventList
    row: int

    def alone(self) -> EventList:
        return self.events.take(slice(self.row, self.row + 1))


Value: TypeAlias = Union[bool, int, float, str, "list[Value]", "dict[str, Value]", EventList, Element, None]

# Sizes in memory, about: what `Budget.take` is told. An entry of a list or dict counts with what its text needs.
ENTRY_BYTES: Final = 64
_EVENT_BYTES: Final = 8 + 8 + 4 + 8
_EVENT_TEXT_BYTES: Final = 96  # id, timestamp and duration as JSON, without the data
_RENDERED_AT_ONCE: Final = 8192

_ENCODE: Final = msgspec.json.Encoder().encode


def kind(value: Value) -> str:
    """What error texts call it. Integers and floats are one kind, and so are lists and events."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case dict():
            return "a dict"
        case Element():
            return "an event"
    return "a list"


def description(value: Value) -> str:
    """The value in an error text: its kind, of a text also its beginning, of a list how long it is."""
    match value:
        case EventList():
            return f"{len(value)} events"
        case list():
            return f"a list of {len(value)}"
        case str():
            return f"the text {beginning(value)}"
        case bool() | int() | float():
            return str(value)[:20].lower()
    return kind(value)


def beginning(text: str) -> str:
    return repr(text) if len(text) <= 40 else repr(text[:40]) + "…"


def elements(value: list[Value] | EventList, budget: Budget) -> list[Value]:
    """The list as one of Python, its events one by one."""
    if isinstance(value, list):
        return value
    budget.take(ENTRY_BYTES * len(value))
    return [Element(value, row) for row in range(len(value))]


def as_events(value: Value) -> EventList | list[Element] | None:
    """The value as a list of events, None if it is none. An empty list is one, of which ever kind."""
    if isinstance(value, EventList):
        return value
    if isinstance(value, list):
        alone = [item for item in value if isinstance(item, Element)]
        return alone if len(alone) == len(value) else None
    return None


def joined(left: list[Value] | EventList, right: list[Value] | EventList, budget: Budget) -> list[Value] | EventList:
    """One list after the other: events if both hold nothing else, else a list."""
    budget.take(size_bytes(left) + size_bytes(right))
    if isinstance(left, list) and isinstance(right, list):
        return left + right
    events = next(part for part in (left, right) if isinstance(part, EventList))
    parts = [as_events(part) for part in (left, right)]
    if None not in parts:
        return one_list([part for part in parts if part is not None], events.payloads)
    return elements(left, budget) + elements(right, budget)


def one_list(parts: Iterable[EventList | list[Element]], payloads: Payloads) -> EventList:
    """All events of the parts, one part after the other."""
    lists: list[EventList] = []
    for part in parts:
        lists.extend([part] if isinstance(part, EventList) else [element.alone() for element in part])
    return concat(*lists) if lists else no_events(payloads)


def is_plain(value: Value, budget: Budget) -> bool:
    """Does it hold no events anywhere? O(distinct parts)."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        part = waiting.pop()
        budget.step()
        if isinstance(part, EventList | Element):
            return False
        if isinstance(part, list | dict) and id(part) not in seen:
            seen.add(id(part))
            waiting.extend(part if isinstance(part, list) else part.values())
    return True


def size_bytes(value: Value) -> int:
    """What this value itself occupies, without the values in it."""
    match value:
        case EventList():
            return ENTRY_BYTES + _EVENT_BYTES * len(value)
        case list() | dict():
            return ENTRY_BYTES * (1 + len(value))
    return sys.getsizeof(value)


# Numbers and booleans are small, and counted with the entry that holds them.
_WORTH_COUNTING: Final = frozenset({str, list, dict, EventList, Element})


def held_bytes(values: Iterable[Value], budget: Budget) -> int:
    """What the values occupy together, with all that is in them, each part once."""
    total = 0
    seen: set[int] = set()
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        total += size_bytes(value)
        if isinstance(value, Element):
            waiting.append(value.events)  # held as a whole by each of its events
        if isinstance(value, list | dict):
            budget.step(len(value))
            parts = value if isinstance(value, list) else value.values()
            if not _WORTH_COUNTING.isdisjoint(map(type, parts)):
                waiting.extend([part for part in parts if type(part) in _WORTH_COUNTING])
    return total


# Equality


def equal(left: Value, right: Value, budget: Budget) -> bool:
    """Deep. Integers and floats are one kind, lists and events too; values of different kinds are unequal.

    A pair of containers that was met before is not looked at again: either it is equal, or the answer is no anyway.
    """
    waiting: list[tuple[Value, Value]] = [(left, right)]
    met: set[tuple[int, int]] = set()
    while waiting:
        a, b = waiting.pop()
        budget.step()
        if a is b:
            continue
        if kind(a) != kind(b):
            return False
        if isinstance(a, list | dict | EventList | Element):
            if not isinstance(a, Element):  # these are made in passing: their ids may come again
                pair = (id(a), id(b))
                if pair in met:
                    continue
                budget.take(ENTRY_BYTES)
                met.add(pair)
            parts = _parts_to_compare(a, b, budget)
            if parts is None:
                return False
            waiting.extend(parts)
        elif a != b:
            return False
    return True


def _parts_to_compare(a: Value, b: Value, budget: Budget) -> list[tuple[Value, Value]] | None:
    """What else must be equal if these two containers of one kind shall be; None if they are not."""
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return None
        budget.take(ENTRY_BYTES * len(a))
        return [(value, b[key]) for key, value in a.items()]
    if isinstance(a, Element) and isinstance(b, Element):
        return _data_to_compare(a.alone(), b.alone())
    assert isinstance(a, list | EventList), "the kinds are equal"
    assert isinstance(b, list | EventList), "the kinds are equal"
    if len(a) != len(b):
        return None
    if isinstance(a, EventList) and isinstance(b, EventList):
        return _data_to_compare(a, b)
    budget.take(ENTRY_BYTES * len(a))
    return list(zip(elements(a, budget), elements(b, budget), strict=True))


def _data_to_compare(a: EventList, b: EventList) -> list[tuple[Value, Value]] | None:
    """Two events are equal if start, duration and data are; ids do not count."""
    assert a.payloads is b.payloads, "the lists of one run share their payloads"
    if not (np.array_equal(a.start_us, b.start_us) and np.array_equal(a.duration_us, b.duration_us)):
        return None
    differ = a.payload != b.payload
    pairs = distinct(a.payload[differ].astype(np.uint64) << np.uint64(32) | b.payload[differ])[0].tolist()
    data = a.payloads.data
    return [(data(pair >> 32), data(pair & 0xFFFFFFFF)) for pair in pairs]


# Size when walked as a tree


def tree_bytes(values: Iterable[Value], budget: Budget) -> int:
    """What the values need when they are written out as JSON, about, with what is shared as often as it occurs.

    O(distinct parts), however large the tree. Raises QueryLimitExceeded if it is larger or deeper than limits allow.
    """
    sizes: dict[int, tuple[int, int]] = {}  # by id, of the values that are done: bytes, levels
    roots = list(values)
    waiting = [(value, False) for value in roots]
    while waiting:
        value, parts_are_done = waiting.pop()
        if id(value) in sizes:
            continue
        budget.step()
        if not isinstance(value, list | dict):
            sizes[id(value)] = (_text_bytes(value), 0)
            continue
        parts = list(value.values()) if isinstance(value, dict) else value
        if not parts_are_done:
            waiting.append((value, True))
            waiting.extend((part, False) for part in parts)
            continue
        size = sum(sizes[id(part)][0] for part in parts) + ENTRY_BYTES * len(parts)
        levels = 1 + max((sizes[id(part)][1] for part in parts), default=0)
        if isinstance(value, dict):
            size += sum(map(len, value))
        if levels > ANSWER_NESTING_MAX:
            raise QueryLimitExceeded(f"A list or dict is nested deeper than {ANSWER_NESTING_MAX} levels")
        if size > budget.memory_bytes_max:
            raise budget.exceeded()
        sizes[id(value)] = (size, levels)
    return sum(sizes[id(value)][0] for value in roots)


def _text_bytes(value: Value) -> int:
    match value:
        case str():
            return len(value)
        case EventList():
            codes, inverse = value.in_use()
            lengths = np.fromiter(map(len, value.payloads.texts_of(codes.tolist())), np.int64, len(codes))
            return int(lengths[inverse].sum()) + _EVENT_TEXT_BYTES * len(value)
        case Element():
            return len(value.events.payloads.text(int(value.events.payload[value.row]))) + _EVENT_TEXT_BYTES
    return 0


# JSON


def render(value: Value, budget: Budget) -> bytes:
    """The value as strict JSON. O(length of the text).

    Raises QueryLimitExceeded if it is too large or nested too deep.
    """
    budget.take(tree_bytes([value], budget))
    texts: list[bytes] = []
    events: dict[int, bytes] = {}  # the text of each list of events, however often it occurs
    waiting: list[Value | bytes] = [value]
    while waiting:
        budget.step()
        part = waiting.pop()
        match part:
            case bytes():
                texts.append(part)
            case list():
                texts.append(b"[")
                waiting.append(b"]")
                for row in range(len(part) - 1, -1, -1):
                    waiting += (part[row], b",") if row else (part[row],)
            case dict():
                texts.append(b"{")
                waiting.append(b"}")
                for row, (key, item) in reversed(list(enumerate(part.items()))):
                    waiting += (item, (b"," if row else b"") + _ENCODE(key) + b":")
            case EventList():
                if id(part) not in events:
                    events[id(part)] = b"[" + b",".join(_event_texts(part, budget)) + b"]"
                texts.append(events[id(part)])
            case Element():
                texts.append(render_event_list(part.alone())[1:-1])
            case int() if not isinstance(part, bool):
                texts.append(b"%d" % part)  # of any length
            case _:
                texts.append(_ENCODE(part))
    return b"".join(texts)


def _event_texts(events: EventList, budget: Budget) -> Iterator[bytes]:
    """Without brackets, part by part: what rendering needs beyond the text is several times as much."""
    for first in range(0, len(events), _RENDERED_AT_ONCE):
        budget.check()
        yield render_event_list(events.take(slice(first, first + _RENDERED_AT_ONCE)))[1:-1]
