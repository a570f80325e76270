"""Workload `insert`: events in batches of 1, 100 and 10,000, on one kept connection, into one bucket for each size.

Bodies are made beforehand, as many as a slice may need; the answers are read and not looked into. Afterwards the bucket's
count is compared with what was acknowledged.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from typing import Final, TypedDict
from uuid import uuid4

from benchmarks.figures import Ratio, ratio
from benchmarks.generator import BUCKET_TYPES, FIRST_DAY_MS, Event, body, window_events
from benchmarks.progress import say
from benchmarks.rest import bucket_path, create_bucket, delete_bucket, get
from benchmarks.servers import CannotMeasure, Contestant, Elsewhere, Running, used
from benchmarks.settings import Settings

BATCHES: Final = (1, 100, 10_000)
_TIMEOUT_S: Final = 120.0
# Different bodies of one size: they are sent in turn, and moved on in time, so that no event is older than the last.
_DISTINCT_EVENTS: Final = 20_000


class Round(TypedDict):
    events: int
    seconds: float
    rate: float
    cpu_us: float | None  # of the server, for each event


class Result(TypedDict):
    rounds: list[Round]
    rate: float | None  # medians; None if there are no figures, for the reason in `not_available`
    cpu_us: float | None
    not_available: str | None


class Case(TypedDict):
    batch: int
    servers: dict[str, Result]
    ratio: Ratio | None  # how many times more events a second the first server takes than the second


class _Side:
    """One server, its connection, and its bucket."""

    def __init__(self, name: str, server: Running, batch: int, events: list[Event]) -> None:
        self.name = name
        self.server = server
        self.sent_events = 0
        self.rounds: list[Round] = []
        self.bucket = f"awlog-benchmark-{uuid4().hex[:8]}"
        self._batch = batch
        self._events = events
        self._shift_ms = 0
        self._at = 0
        self._connection = http.client.HTTPConnection(server.address.host, server.address.port, timeout=_TIMEOUT_S)
        create_bucket(server.address, self.bucket, BUCKET_TYPES["window"])

    def run(self, seconds: float) -> Round:
        before = used(self.server)
        first, taken_s = self.sent_events, 0.0
        while taken_s < seconds:
            sent = self._next()
            start_s = time.perf_counter()
            self._post(sent)
            taken_s += time.perf_counter() - start_s
            self.sent_events += self._batch
        after = used(self.server)
        events = self.sent_events - first
        cpu_us = after.since(before).cpu_s / events * 1e6 if before is not None and after is not None else None
        return Round(events=events, seconds=taken_s, rate=events / taken_s, cpu_us=cpu_us)

    def check(self) -> str | None:
        stored = get(self.server.address, f"{bucket_path(self.bucket)}/events/count")
        return None if stored == self.sent_events else f"stored {stored} events, acknowledged {self.sent_events}"

    def _next(self) -> bytes:
        """The next batch: later than the last one. Not timed."""
        if self._at + self._batch > len(self._events):
            self._at = 0
            last = self._events[-1]
            self._shift_ms += last.start_ms + last.duration_ms + 1 - self._events[0].start_ms
        chosen = self._events[self._at : self._at + self._batch]
        self._at += self._batch
        return body(event._replace(start_ms=event.start_ms + self._shift_ms) for event in chosen)

    def _post(self, sent: bytes) -> None:
        path = f"{bucket_path(self.bucket)}/events"
        self._connection.request("POST", path, sent, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise CannotMeasure(f"an insert was answered by {response.status} {answer[:200]!r}")


def measure(contestants: Sequence[Contestant], settings: Settings) -> list[Case]:
    events = list(window_events(_DISTINCT_EVENTS, settings.seed))
    assert events[0].start_ms >= FIRST_DAY_MS, "the generator begins there"
    return [_case(contestants, batch, events, settings) for batch in BATCHES]


def _case(contestants: Sequence[Contestant], batch: int, events: list[Event], settings: Settings) -> Case:
    say(f"insert, batches of {batch:,}")
    results: dict[str, Result] = {}
    with ExitStack() as stack:
        sides = []
        for contestant in contestants:
            try:
                sides.append(_side(stack, contestant, batch, events))
            except CannotMeasure as reason:
                results[contestant.name] = Result(rounds=[], rate=None, cpu_us=None, not_available=str(reason))
        for side in sides:
            side.run(settings.warm_up_s)
        for number in range(settings.rounds):
            for side in sides if number % 2 == 0 else reversed(sides):
                side.rounds.append(side.run(settings.slice_s))
        for side in sides:
            results[side.name] = _result(side)
    return Case(batch=batch, servers=results, ratio=_ratio(contestants, results))


def _side(stack: ExitStack, contestant: Contestant, batch: int, events: list[Event]) -> _Side:
    server = contestant.start()
    stack.callback(server.stop)
    side = _Side(contestant.name, server, batch, events)
    if isinstance(contestant, Elsewhere):
        stack.callback(delete_bucket, server.address, side.bucket)
    return side


def _result(side: _Side) -> Result:
    """A wrong answer has no speed."""
    wrong = side.check()
    if wrong is not None:
        return Result(rounds=side.rounds, rate=None, cpu_us=None, not_available=wrong)
    cpu = [each["cpu_us"] for each in side.rounds if each["cpu_us"] is not None]
    rate = median(each["rate"] for each in side.rounds)
    return Result(rounds=side.rounds, rate=rate, cpu_us=median(cpu) if cpu else None, not_available=None)


def _ratio(contestants: Sequence[Contestant], results: dict[str, Result]) -> Ratio | None:
    if len(contestants) < 2:
        return None
    first, second = (results[contestant.name] for contestant in contestants[:2])
    if first["rate"] is None or second["rate"] is None:
        return None
    return ratio([each["rate"] for each in first["rounds"]], [each["rate"] for each in second["rounds"]])
