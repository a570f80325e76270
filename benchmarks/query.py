"""Workload `query`: how long the desktop query takes over a day, a month, a year, and a year in twelve periods.

first   on a server just started, which has read nothing and met no title. Its reader process is there already: a query
        that reads nothing was asked before, and how long that took is told apart (`reader_start_ms`)
again   the same request once more
new     the same request on a server that never met it, but has met all titles: it was asked for the whole history

The peer keeps nothing between queries, so its `first` is what `new` is compared with as well. A year takes it a minute or
more: it is asked in fewer rounds than awlog, in turns with it, and its rows are written straight into its file.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal, NamedTuple, TypedDict

from benchmarks import history
from benchmarks.desktop_query import BUCKETS, PATH, body, difference, send, totals
from benchmarks.figures import Ratio, ratio
from benchmarks.generator import FIRST_DAY_MS
from benchmarks.history import Store
from benchmarks.progress import say
from benchmarks.rest import Address, UnexpectedAnswer, ask, delete_bucket
from benchmarks.servers import Awlog, AwServer, CannotMeasure, Contestant, Elsewhere, Running, used
from benchmarks.settings import Range, Settings
from benchmarks.times import DAY_MS

Metric = Literal["first", "again", "new"]
METRICS: Final[tuple[Metric, ...]] = ("first", "again", "new")

_MINUTE_MS: Final = 60_000
_TIMEOUT_S: Final = 1800.0
# A peer that takes longer than this is not asked again: it takes as long again.
_AGAIN_BELOW_S: Final = 20.0
_NOTHING: Final = json.dumps(
    {"query": ["RETURN = 1;"], "timeperiods": ["2023-01-02T00:00Z/2023-01-03T00:00Z"]}
).encode()


class Sample(TypedDict):
    """One round on one server, request to last byte. CPU is that of its processes, None if it cannot be read: on a
    machine with other work to do it says more than the time.
    """

    first_ms: float
    again_ms: list[float]
    first_cpu_ms: float | None
    again_cpu_ms: list[float]


class Result(TypedDict):
    """One server, one range. The `p50` are medians over all values; `not_available` is the reason if there are none."""

    samples: list[Sample]
    new_ms: list[float]
    new_cpu_ms: list[float]
    p50_ms: dict[Metric, float | None]
    p50_cpu_ms: dict[Metric, float | None]
    not_available: str | None


class Case(TypedDict):
    range: str
    days: int
    periods: int
    servers: dict[str, Result]
    ratios: dict[Metric, Ratio]  # how many times sooner awlog answers than the peer; empty without a peer
    cpu_ratios: dict[Metric, Ratio]  # how many times less CPU it takes


class Query(TypedDict):
    events: int  # in all buckets
    titles: int
    loaded: dict[str, str]  # server -> how the events got into it
    reader_start_ms: list[float]
    cases: list[Case]
    statements: list[
        dict[str, Any]
    ]  # what awlog says (`explain=1`) of each statement of the longest range, asked first


class Taken(NamedTuple):
    """By one request."""

    ms: float
    cpu_ms: float | None


Totals = list[dict[str, float]]


def measure(awlog: Awlog, peer: Contestant | None, store: Store, settings: Settings) -> Query:
    loaded = {awlog.name: "inserted through the API"}
    reader_start_ms: list[float] = []
    with ExitStack() as stack:
        beside: Running | None = None
        unable = None
        if peer is not None:
            try:
                beside, loaded[peer.name] = loaded_peer(stack, peer, store, settings)
            except (CannotMeasure, OSError, UnexpectedAnswer) as error:
                unable = f"it cannot be loaded: {error}"
        rounds = [_Rounds(each, awlog, store, beside, settings, reader_start_ms).measure() for each in settings.ranges]
    _ask_new(awlog, store, settings, rounds)
    cases = [each.case(peer.name if peer is not None else None, unable) for each in rounds]
    return Query(
        events=store.event_count,
        titles=store.title_count,
        loaded=loaded,
        reader_start_ms=reader_start_ms,
        cases=cases,
        statements=_statements(awlog, store, settings),
    )


def periods(asked: Range, number: int, settings: Settings) -> list[tuple[int, int]]:
    """From and to, in ms: of a range that begins at a random minute of the history, another one in each round."""
    spare_minutes = (settings.history_days - asked.days) * DAY_MS // _MINUTE_MS
    chosen = random.Random(f"{settings.seed} {asked.days} {number}").randrange(spare_minutes + 1)
    first_ms = FIRST_DAY_MS + chosen * _MINUTE_MS
    bounds = [first_ms + asked.days * DAY_MS * part // asked.periods for part in range(asked.periods + 1)]
    return list(pairwise(bounds))


def whole_history(settings: Settings) -> list[tuple[int, int]]:
    return [(FIRST_DAY_MS, FIRST_DAY_MS + settings.history_days * DAY_MS)]


class _Rounds:
    """One range: every round on a fresh awlog, the first ones on the peer as well; then what came of it."""

    def __init__(
        self,
        asked: Range,
        awlog: Awlog,
        store: Store,
        peer: Running | None,
        settings: Settings,
        reader_start_ms: list[float],
    ) -> None:
        self.asked = asked
        self.requests = [body(periods(asked, number, settings)) for number in range(settings.rounds)]
        self.answers: list[Totals] = []
        self.new: list[Taken] = []
        self.wrong: str | None = None
        self._awlog = awlog
        self._store = store
        self._peer = peer
        self._peer_failed: str | None = None
        self._again_count = settings.again_count
        self._reader_start_ms = reader_start_ms
        self._ours: list[Sample] = []
        self._theirs: list[Sample] = []

    def measure(self) -> _Rounds:
        for number, request in enumerate(self.requests):
            say(f"query, {self.asked.name}, round {number + 1} of {len(self.requests)}")
            with_peer = self._peer is not None and number < self.asked.peer_rounds and not self._peer_failed
            theirs = None
            if with_peer and number % 2 == 1:
                theirs = self._ask_peer(request)
            ours = self._ask_awlog(request)
            if with_peer and number % 2 == 0:
                theirs = self._ask_peer(request)
            self.answers.append(ours)
            if theirs is not None and (found := difference(ours, theirs)):
                self.wrong = f"the servers disagree in round {number + 1}: {found}"
                say(self.wrong)
        return self

    def _ask_awlog(self, request: bytes) -> Totals:
        server = self._awlog.start_on(self._store.home)
        try:
            self._reader_start_ms.append(_timed(server, _NOTHING)[0].ms)
            sample, found = _sample(server, request, self._again_count, again_below_s=_TIMEOUT_S)
        except (OSError, UnexpectedAnswer) as error:
            raise CannotMeasure(f"{self.asked.name}: {error}") from error
        finally:
            server.stop()
        self._ours.append(sample)
        return found

    def _ask_peer(self, request: bytes) -> Totals | None:
        assert self._peer is not None
        try:
            sample, found = _sample(self._peer, request, 1, again_below_s=_AGAIN_BELOW_S)
        except (OSError, UnexpectedAnswer) as error:
            self._peer_failed = str(error)
            say(f"n/a: {error}")
            return None
        self._theirs.append(sample)
        return found

    def case(self, peer_name: str | None, unable: str | None) -> Case:
        servers = {self._awlog.name: _result(self._ours, self.new, self.wrong)}
        ratios: dict[Metric, Ratio] = {}
        cpu_ratios: dict[Metric, Ratio] = {}
        if peer_name is not None:
            servers[peer_name] = _result(self._theirs, [], self.wrong or unable or self._peer_failed)
            if servers[peer_name]["not_available"] is None:
                new_ms = [each.ms for each in self.new]
                new_cpu_ms = [each.cpu_ms or 0.0 for each in self.new]
                ratios = _ratios(_times(self._ours), _times(self._theirs), new_ms)
                cpu_ratios = _ratios(_cpu_times(self._ours), _cpu_times(self._theirs), new_cpu_ms)
        asked = self.asked
        return Case(
            range=asked.name,
            days=asked.days,
            periods=asked.periods,
            servers=servers,
            ratios=ratios,
            cpu_ratios=cpu_ratios,
        )


def _times(samples: list[Sample]) -> list[tuple[float, list[float]]]:
    return [(each["first_ms"], each["again_ms"]) for each in samples]


def _cpu_times(samples: list[Sample]) -> list[tuple[float, list[float]]]:
    return [(each["first_cpu_ms"] or 0.0, each["again_cpu_ms"]) for each in samples]


def _ratios(
    ours: list[tuple[float, list[float]]], theirs: list[tuple[float, list[float]]], new: list[float]
) -> dict[Metric, Ratio]:
    """Round by round, as many as the peer was asked in, from the first time and the times again of each."""
    ours, new = ours[: len(theirs)], new[: len(theirs)]
    peer_first = [first for first, _ in theirs]
    return {
        "first": ratio(peer_first, [first for first, _ in ours]),
        "again": ratio(
            [median(again or [first]) for first, again in theirs], [median(again or [0.0]) for _, again in ours]
        ),
        "new": ratio(peer_first, new),
    }


def loaded_peer(stack: ExitStack, peer: Contestant, store: Store, settings: Settings) -> tuple[Running, str]:
    """The peer with the history loaded, and how it was."""
    say(f"the same for {peer.name}")
    if not isinstance(peer, AwServer):
        server = peer.start()
        stack.callback(server.stop)
        history.create_buckets(server.address)
        if isinstance(peer, Elsewhere):
            stack.callback(_delete_buckets, server.address)
        history.insert(server.address, store.history)
        return server, "inserted through the API"
    home = Path(tempfile.mkdtemp(prefix="peer-", dir=settings.scratch))
    empty = peer.start_on(home)
    try:
        history.create_buckets(empty.address)
    finally:
        empty.stop()
    history.write_into(peer.database(home), store.history)
    filled = peer.start_on(home)
    stack.callback(filled.stop)
    history.check(filled.address, store.history)
    return filled, "rows written straight into its SQLite file"


def _ask_new(awlog: Awlog, store: Store, settings: Settings, rounds: Sequence[_Rounds]) -> None:
    """All requests on one server that was asked for the whole history before. Fills `new`."""
    say("query, new ranges with titles met before")
    server = awlog.start_on(store.home)
    try:
        send(server.address, body(whole_history(settings)), timeout_s=_TIMEOUT_S)
        for each in rounds:
            for number, request in enumerate(each.requests):
                taken, answer = _timed(server, request)
                each.new.append(taken)
                if found := difference(each.answers[number], totals(answer)):
                    each.wrong = f"awlog answers otherwise when it has met the titles: {found}"
                    say(each.wrong)
    except (OSError, UnexpectedAnswer) as error:
        raise CannotMeasure(str(error)) from error
    finally:
        server.stop()


def _sample(server: Running, request: bytes, again_count: int, *, again_below_s: float) -> tuple[Sample, Totals]:
    """Raises UnexpectedAnswer also if the answer is another one the second time."""
    first, answer = _timed(server, request)
    found = totals(answer)
    again = []
    if first.ms < again_below_s * 1000:
        for _ in range(again_count):
            taken, once_more = _timed(server, request)
            again.append(taken)
            if wrong := difference(found, totals(once_more)):
                raise UnexpectedAnswer(f"another answer the second time: {wrong}")
    sample = Sample(
        first_ms=first.ms,
        again_ms=[each.ms for each in again],
        first_cpu_ms=first.cpu_ms,
        again_cpu_ms=[each.cpu_ms for each in again if each.cpu_ms is not None],
    )
    return sample, found


def _timed(server: Running, request: bytes) -> tuple[Taken, bytes]:
    before = used(server)
    start_ns = time.perf_counter_ns()
    answer = send(server.address, request, timeout_s=_TIMEOUT_S)
    ms = (time.perf_counter_ns() - start_ns) / 1e6
    after = used(server)
    cpu_ms = after.since(before).cpu_s * 1000 if before is not None and after is not None else None
    return Taken(ms, cpu_ms), answer


def _result(samples: list[Sample], new: list[Taken], wrong: str | None) -> Result:
    """A wrong answer has no speed."""
    values: dict[Metric, list[float]] = {
        "first": [sample["first_ms"] for sample in samples],
        "again": [value for sample in samples for value in sample["again_ms"]],
        "new": [each.ms for each in new],
    }
    cpu_values: dict[Metric, list[float]] = {
        "first": [sample["first_cpu_ms"] for sample in samples if sample["first_cpu_ms"] is not None],
        "again": [value for sample in samples for value in sample["again_cpu_ms"]],
        "new": [each.cpu_ms for each in new if each.cpu_ms is not None],
    }
    return Result(
        samples=samples,
        new_ms=values["new"],
        new_cpu_ms=cpu_values["new"],
        p50_ms={metric: median(taken) if taken and not wrong else None for metric, taken in values.items()},
        p50_cpu_ms={metric: median(taken) if taken and not wrong else None for metric, taken in cpu_values.items()},
        not_available=wrong,
    )


def _statements(awlog: Awlog, store: Store, settings: Settings) -> list[dict[str, Any]]:
    longest = max((each for each in settings.ranges if each.periods == 1), key=lambda each: each.days)
    server = awlog.start_on(store.home)
    try:
        send(server.address, _NOTHING, timeout_s=_TIMEOUT_S)
        request = body(periods(longest, 0, settings))
        explained = json.loads(ask(server.address, "POST", f"{PATH}?explain=1", request, timeout_s=_TIMEOUT_S))
    except (OSError, UnexpectedAnswer):
        return []
    finally:
        server.stop()
    found: list[dict[str, Any]] = explained["explanation"]["statements"]
    return found


def _delete_buckets(at: Address) -> None:
    for bucket in BUCKETS.values():
        delete_bucket(at, bucket)
