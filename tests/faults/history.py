"""Is there one order of these requests that explains every answer? (Linearizability, after Wing and Gong.)

A request may take effect at any moment between its sending and its answer; an order must respect that and give, step by
step on the model, exactly the answers that were given. The search tries, from the left, each request that no other
unplaced one precedes, and never looks twice at the same set of placed requests with the same state.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.faults.model import Answer, Event, Operation, World, canonical, micros, received


@dataclass(frozen=True)
class Step:
    operation: Operation
    answer: Answer
    sent_ns: int
    answered_ns: int


class NoOrderError(AssertionError):
    """The answers cannot have come from any serial order."""


def find_order(world: World, history: list[Step]) -> list[Step]:
    """An order that explains the history from `world` on. Raises NoOrderError, with the longest part explained."""
    steps = sorted(history, key=lambda step: step.sent_ns)
    seen: set[tuple[frozenset[int], str]] = set()
    longest: list[int] = []
    reasons: dict[int, str] = {}
    # One entry for each placed request: the state before it, and which requests can still come next from there.
    placed: list[int] = []
    stack: list[tuple[World, list[int]]] = [(world, _next_ones(steps, set()))]
    while True:
        state, choices = stack[-1]
        if len(placed) == len(steps):
            return [steps[number] for number in placed]
        if not choices:
            stack.pop()
            if not stack:
                explained = [str(steps[number].operation)[:150] for number in longest]
                raise NoOrderError(f"explained: {explained[-5:]}; then: {list(reasons.values())[:6]}")
            placed.pop()
            continue
        number = choices.pop()
        after = state.copy()
        try:
            steps[number].operation.happen(after, steps[number].answer)
        except AssertionError as error:
            if len(placed) >= len(longest):
                longest, reasons = list(placed), reasons if len(placed) == len(longest) else {}
                reasons[number] = f"{str(steps[number].operation)[:200]}: {str(error)[:300]}"
            continue
        done = frozenset([*placed, number])
        key = (done, _key(after))
        if key in seen:
            continue
        seen.add(key)
        placed.append(number)
        stack.append((after, _next_ones(steps, set(done))))


def _next_ones(steps: list[Step], placed: set[int]) -> list[int]:
    """What may come next: whatever was sent before the first answer among the rest."""
    rest = [number for number in range(len(steps)) if number not in placed]
    first_answer = min((steps[number].answered_ns for number in rest), default=0)
    return [number for number in reversed(rest) if steps[number].sent_ns <= first_answer]


def _key(world: World) -> str:
    buckets = {name: [bucket.fields, sorted(bucket.events.items())] for name, bucket in world.buckets.items()}
    return canonical([buckets, world.settings])


@dataclass(frozen=True)
class Read(Operation):
    """A GET below /api/0. `expected` gives what the answer must be in a world; None: 404."""

    path: str
    expected: Callable[[World], Any] = field(compare=False, repr=False)
    seen: Callable[[Any], Any] = field(compare=False, repr=False, default=lambda value: value)

    def request(self) -> tuple[str, str, Any]:
        return "GET", self.path, ...

    def happen(self, world: World, answer: Answer | None) -> None:
        assert answer is not None, "a read is never undecided"
        expected = self.expected(world)
        if expected is None:
            assert answer.status == 404, f"{answer.status} for something that is not there"
            return
        assert answer.status == 200, answer
        found = self.seen(answer.value)
        assert found == expected, f"shows {str(found)[:300]}, not {str(expected)[:300]}"


def read_events(name: str) -> Read:
    def expected(world: World) -> list[tuple[int, Event]] | None:
        bucket = world.buckets.get(name)
        return None if bucket is None else sorted(bucket.events.items(), key=lambda item: (-item[1].start_us, item[0]))

    path = f"/buckets/{quote(name, safe='')}/events"
    return Read(path, expected, lambda value: [received(event) for event in value])


def read_count(name: str) -> Read:
    def expected(world: World) -> int | None:
        return len(world.buckets[name].events) if name in world.buckets else None

    return Read(f"/buckets/{quote(name, safe='')}/events/count", expected)


def read_list(names: list[str]) -> Read:
    """The fields and spans of those of these buckets that are there."""

    def expected(world: World) -> dict[str, Any]:
        shown = {}
        for name, bucket in world.buckets.items():
            ends = [event.end_us for event in bucket.events.values()]
            start = min((event.start_us for event in bucket.events.values()), default=None)
            shown[name] = [bucket.fields["type"], start, max(ends, default=None)]
        return shown

    def seen(value: Any) -> dict[str, Any]:
        shown = {}
        for name in names:
            if name in value:
                span = [value[name]["metadata"][end] for end in ("start", "end")]
                shown[name] = [value[name]["type"], *(None if end is None else micros(end) for end in span)]
        return shown

    return Read("/buckets/", expected, seen)


def read_export(names: list[str]) -> Read:
    def expected(world: World) -> dict[str, Counter[Event]]:
        return {name: Counter(bucket.events.values()) for name, bucket in world.buckets.items()}

    def seen(value: Any) -> dict[str, Counter[Event]]:
        found = value["buckets"]
        return {
            name: Counter(received({"id": 0, **event})[1] for event in found[name]["events"])
            for name in names
            if name in found
        }

    return Read("/export", expected, seen)


ALWAYS = "0001-01-02T00:00:00Z/9999-01-01T00:00:00Z"


def query_of(name: str, periods: int = 1) -> tuple[str, str, Any]:
    """A query for all events of a bucket, once for each period: method, path, body."""
    return (
        "POST",
        "/query/",
        {"query": [f"RETURN = query_bucket({json.dumps(name)});"], "timeperiods": [ALWAYS] * periods},
    )


@dataclass(frozen=True)
class Query(Operation):
    """All events of a bucket as a query shows them."""

    bucket: str

    def request(self) -> tuple[str, str, Any]:
        return query_of(self.bucket)

    def happen(self, world: World, answer: Answer | None) -> None:
        assert answer is not None, "a query is never undecided"
        if self.bucket not in world.buckets:
            assert answer.status == 400, answer
            return
        assert answer.status == 200, answer
        found = dict(received(event) for event in answer.value[0])
        assert found == world.buckets[self.bucket].events, f"shows {str(found)[:300]}"


def read_setting(key: str) -> Read:
    def expected(world: World) -> list[Any]:
        return [world.settings.get(key)]

    return Read(f"/settings/{quote(key, safe='')}", expected, lambda value: [value])
