"""What one period of a query may use: memory, counted as values are made, and time, asked for as work goes on.

Values share structure and variables are overwritten, so what was made is more than what is alive. Most runs stay below
the limit with all they ever make; only when that sum meets the limit is counted what the variables still hold, and what
the current statement made is taken as alive. So the count never says less than there is, and counting is rare.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from awlog.query.errors import QueryLimitExceeded

_MIB: Final = 1 << 20

# As many as Python turns into text without complaint: 1.8 KB, and a product of two takes some microseconds.
INTEGER_DIGITS_MAX: Final = 4300
INTEGER_MAX: Final = 10**INTEGER_DIGITS_MAX - 1

# Levels of lists and dicts in an answer: what the rest of the API takes inside one document (`log/payload.py`).
ANSWER_NESTING_MAX: Final = 500

_STEPS_PER_CHECK: Final = 4096  # under a millisecond of work


class Limits(Struct, frozen=True):
    """The limits of a query that are counted here. Run time is the caller's: `check` raises when it is over."""

    text_bytes_max: int = 1 * _MIB
    nesting_max: int = 100
    periods_max: int = 10_000
    memory_bytes_max: int = 512 * _MIB


class Budget:
    """Counts memory and steps of one run. `count_held` tells how many bytes the variables hold.

    Whatever counts gets the budget as an argument, so that none holds the other: what a run used goes when it ends.
    """

    def __init__(self, memory_bytes_max: int, check: Callable[[], None]) -> None:
        self.check = check
        self.count_held: Callable[[Budget], int] = lambda _budget: 0
        self.memory_bytes_max = memory_bytes_max
        self._used_bytes = 0
        self._statement_bytes = 0
        self._steps = 0

    def begin_statement(self) -> None:
        self._statement_bytes = 0
        self.check()

    def take(self, size_bytes: int) -> None:
        """Something of this size was made, or is about to be. Raises QueryLimitExceeded."""
        self._statement_bytes += size_bytes
        self._used_bytes += size_bytes
        if self._used_bytes > self.memory_bytes_max:
            self._used_bytes = self.count_held(self) + self._statement_bytes
            if self._used_bytes > self.memory_bytes_max:
                raise self.exceeded()

    def step(self, count: int = 1) -> None:
        """So many small things were done; now and then the time is checked."""
        self._steps += count
        if self._steps >= _STEPS_PER_CHECK:
            self._steps = 0
            self.check()

    def exceeded(self) -> QueryLimitExceeded:
        return QueryLimitExceeded(
            f"The values of the query need more than {self.memory_bytes_max} bytes; "
            "the setting `max_query_memory_bytes` sets the limit"
        )
