"""Filters by the value under one key. Each distinct value is looked at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from awlog.query.distinct import distinct
from awlog.query.events import EventList
from awlog.query.patterns import PatternSet, compile_pattern
from awlog.query.payloads import ABSENT

if TYPE_CHECKING:
    from numpy.typing import NDArray


def filter_keyvals(events: EventList, key: str, values: Sequence[object]) -> EventList:
    """Events that have the key with a value equal, as Python compares, to one of these."""
    return events.take(_where(events, key, _one_of(values)))


def exclude_keyvals(events: EventList, key: str, values: Sequence[object]) -> EventList:
    """The complement: events without the key stay."""
    return events.take(~_where(events, key, _one_of(values)))


def filter_keyvals_regex(events: EventList, key: str, regex: str) -> EventList:
    """Events whose value is a text in which the regex is found. Raises QueryFunctionException if it is no regex."""
    patterns = PatternSet([compile_pattern(regex)])
    return events.take(_where(events, key, lambda value: isinstance(value, str) and bool(patterns.found(value))))


def _where(events: EventList, key: str, holds: Callable[[Any], bool]) -> NDArray[np.bool_]:
    """For each event: does it have the key, and does it hold for the value?"""
    used, inverse = events.in_use()
    payloads = events.payloads
    numbers, position = distinct(payloads.value_numbers(used, key))
    answers = [number != ABSENT and holds(payloads.value(number)) for number in numbers.tolist()]
    return np.array(answers, np.bool_)[position][inverse]


def _one_of(values: Sequence[object]) -> Callable[[Any], bool]:
    # Texts equal nothing but texts, so a set answers for them; the rest may be lists and dicts and is compared in turn.
    texts = {value for value in values if isinstance(value, str)}
    others = [value for value in values if not isinstance(value, str)]
    return lambda value: value in texts if isinstance(value, str) else value in others
