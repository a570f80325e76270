"""Workload `isolation`: does a heartbeat wait for somebody's long query?

Heartbeats on some connections, each into a bucket of its own, in the store that holds the history. Calm slices and busy
ones in alternation; in a busy one a client asks for the whole history without pause, over and over. No two queries are
alike: the range moves by a minute each time, and every second query has a rule that was never asked before, so that all
titles must be searched again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, Literal, TypedDict

from benchmarks import slices
from benchmarks.desktop_query import body, send
from benchmarks.figures import Ratio, ratio
from benchmarks.generator import FIRST_DAY_MS
from benchmarks.history import Store
from benchmarks.load import OpenOrder
from benchmarks.load_process import LoadProcess
from benchmarks.progress import say
from benchmarks.query import whole_history
from benchmarks.rest import Address, UnexpectedAnswer
from benchmarks.servers import Awlog, CannotMeasure
from benchmarks.settings import Settings
from benchmarks.slices import Measured, Side, Summary
from benchmarks.times import DAY_MS

State = Literal["calm", "busy"]
Metric = Literal["p50", "p99", "rate"]
STATES: Final[tuple[State, ...]] = ("calm", "busy")
CONNECTIONS: Final = 16

_MINUTE_MS: Final = 60_000
_QUERY_TIMEOUT_S: Final = 120.0
# A tail is what must show: more rounds than where medians are compared.
_ROUNDS_FACTOR: Final = 2


class Isolation(TypedDict):
    connections: int
    events: int
    slices: dict[State, list[Measured]]
    summaries: dict[State, Summary]
    busy_over_calm: dict[Metric, Ratio]
    query_ms: list[float]  # all that were answered, the last of each slice after it
    query_errors: list[str]


def measure(awlog: Awlog, store: Store, settings: Settings) -> Isolation:
    """Raises CannotMeasure if a bucket does not hold what was acknowledged. Adds some thousand events to `store`."""
    say(f"isolation: heartbeats from {CONNECTIONS} connections, calm and during queries")
    taken: dict[State, list[Measured]] = {"calm": [], "busy": []}
    with ExitStack() as stack:
        server = awlog.start_on(store.home)
        stack.callback(server.stop)
        load = stack.enter_context(
            LoadProcess(
                OpenOrder(
                    host=server.address.host,
                    port=server.address.port,
                    buckets=[f"awlog-benchmark-{number}" for number in range(CONNECTIONS)],
                    kind="merging",
                    first_ms=FIRST_DAY_MS + (settings.history_days + 1) * DAY_MS,
                    seed=settings.seed,
                )
            )
        )
        side = Side(awlog.name, server, load)
        analyst = _Analyst(server.address, settings)
        analyst.ask()  # the reader process is there, as it is for the second query of a day
        load.run(settings.warm_up_s)
        for number in range(_ROUNDS_FACTOR * settings.rounds):
            for state in STATES if number % 2 == 0 else reversed(STATES):
                with analyst.at_work() if state == "busy" else ExitStack():
                    taken[state].append(slices.measure(side, settings.slice_s))
        _, wrong = load.check()
        if wrong:
            raise CannotMeasure(wrong[0])
    return Isolation(
        connections=CONNECTIONS,
        events=store.event_count,
        slices=taken,
        summaries={state: slices.summary(taken[state]) for state in STATES},
        busy_over_calm={
            "p50": _over(taken, "0.5"),
            "p99": _over(taken, "0.99"),
            "rate": ratio([each["rate"] for each in taken["busy"]], [each["rate"] for each in taken["calm"]]),
        },
        query_ms=analyst.query_ms,
        query_errors=analyst.errors,
    )


class _Analyst:
    """Asks one query after another, in a thread of its own: waiting for answers costs the others nothing."""

    def __init__(self, at: Address, settings: Settings) -> None:
        self.query_ms: list[float] = []
        self.errors: list[str] = []
        self._at = at
        self._settings = settings
        self._asked_count = 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Until the block ends; the query under way then is waited for."""
        done = threading.Event()
        thread = threading.Thread(target=self._ask_until, args=(done,))
        thread.start()
        try:
            time.sleep(0.05)  # the first query has arrived
            yield
        finally:
            done.set()
            thread.join()

    def ask(self) -> None:
        number = self._asked_count
        self._asked_count += 1
        ((start_ms, end_ms),) = whole_history(self._settings)
        variant = number if number % 2 else 0
        request = body([(start_ms + number * _MINUTE_MS, end_ms)], variant)
        start_ns = time.perf_counter_ns()
        try:
            send(self._at, request, timeout_s=_QUERY_TIMEOUT_S)
        except (OSError, UnexpectedAnswer) as error:
            self.errors.append(str(error))
            time.sleep(0.01)  # errors that come at once must not become a load of their own
        else:
            self.query_ms.append((time.perf_counter_ns() - start_ns) / 1e6)

    def _ask_until(self, done: threading.Event) -> None:
        while not done.is_set():
            self.ask()


def _over(taken: dict[State, list[Measured]], q: str) -> Ratio:
    return ratio([each["latency_ms"][q] for each in taken["busy"]], [each["latency_ms"][q] for each in taken["calm"]])
