"""What each statement of a query cost: its calls, its time, the events that went in and came out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct


class StatementCost(Struct):
    """One statement, or the condition of a branch, over all periods.

    functions   the names of the functions it called, in order, each once
    runs        how often it was run
    seconds     all runs together
    events_in   events in the arguments of its calls
    events_out  events in its value
    """

    line: int
    functions: list[str]
    runs: int = 0
    seconds: float = 0.0
    events_in: int = 0
    events_out: int = 0


class Recorder:
    """Collects the costs of one run; `clock` tells seconds from any beginning."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._costs: dict[int, StatementCost] = {}  # by offset in the text
        self._current: StatementCost | None = None

    def costs(self) -> list[StatementCost]:
        """In order of the text."""
        return [cost for _, cost in sorted(self._costs.items())]

    @contextmanager
    def statement(self, offset: int, line: int) -> Iterator[None]:
        """What happens within belongs to the statement at this offset."""
        cost = self._current = self._costs.setdefault(offset, StatementCost(line, []))
        begun_s = self._clock()
        try:
            yield
        finally:
            cost.runs += 1
            cost.seconds += self._clock() - begun_s
            self._current = None

    def called(self, function: str, events_in: int) -> None:
        assert self._current is not None, "calls are made by statements"
        self._current.events_in += events_in
        if function not in self._current.functions:
            self._current.functions.append(function)

    def gave(self, events_out: int) -> None:
        assert self._current is not None, "values are given by statements"
        self._current.events_out += events_out
