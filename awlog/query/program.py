"""A query as a whole: text -> program, and a program run for one period after the other on one snapshot of the store."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

from msgspec import Struct

from awlog.model.errors import BadRequest
from awlog.model.times import Micros, parse_timestamp
from awlog.query.budget import Budget, Limits
from awlog.query.errors import QueryLimitExceeded
from awlog.query.evaluate import Evaluator, Variables
from awlog.query.explain import Recorder
from awlog.query.functions import Context, Store
from awlog.query.parser import parse_text
from awlog.query.payloads import Tables
from awlog.query.syntax import Program
from awlog.query.values import held_bytes, render

_LONE_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_DEFAULT: Final = Limits()


class Period(Struct, frozen=True):
    """A range with the texts it was sent as: these are the values of STARTTIME and ENDTIME."""

    start_us: Micros
    end_us: Micros
    start_text: str
    end_text: str


def parse_period(text: str) -> Period:
    """`<start>/<end>`. The end may be before the start: an empty period. Raises BadRequest."""
    start_text, slash, end_text = text.partition("/")
    if not slash:
        raise BadRequest("A period must be two timestamps with a '/' between them")
    return Period(parse_timestamp(start_text), parse_timestamp(end_text), start_text, end_text)


def check_period_count(count: int, limits: Limits) -> None:
    """Raises QueryLimitExceeded."""
    if count > limits.periods_max:
        raise QueryLimitExceeded(
            f"There are {count} periods, at most {limits.periods_max} are allowed; "
            "the setting `max_query_periods` sets the limit"
        )


def parse(lines: Sequence[str], limits: Limits = _DEFAULT) -> Program:
    """The program of a query, whose elements are joined with newlines. At 1 MiB a second or two, else milliseconds.

    Raises QueryParseException, and QueryLimitExceeded for a text that is too long or nested too deep.
    """
    text = _mended("\n".join(lines))
    if len(text) > limits.text_bytes_max or len(text.encode()) > limits.text_bytes_max:
        raise QueryLimitExceeded(
            f"The query is longer than {limits.text_bytes_max} bytes; the setting `max_query_bytes` sets the limit"
        )
    return parse_text(text, nesting_max=limits.nesting_max)


def _mended(text: str) -> str:
    """With each half of a surrogate pair replaced, as in stored data: it could not be sent back."""
    return text if text.isascii() else _LONE_SURROGATES.sub("\ufffd", text)


def run(
    program: Program,
    periods: Sequence[Period],
    store: Store,
    *,
    name: str = "",
    limits: Limits = _DEFAULT,
    check: Callable[[], None] = lambda: None,
    tables: Tables | None = None,
    recorder: Recorder | None = None,
) -> Iterator[bytes]:
    """The JSON text of each period's RETURN, in order, each computed when it is asked for.

    `check` is called at each statement and in long loops, and raises when the time is up. What is learnt about
    payloads is kept in `tables`; `recorder` is told what each statement cost. Raises QueryError, and what the store raises.
    """
    check_period_count(len(periods), limits)
    tables = tables or Tables(limits.memory_bytes_max // 2)
    return _answers(program, periods, store, _mended(name), limits, check, tables, recorder)


def _answers(
    program: Program,
    periods: Sequence[Period],
    store: Store,
    name: str,
    limits: Limits,
    check: Callable[[], None],
    tables: Tables,
    recorder: Recorder | None,
) -> Iterator[bytes]:
    buckets = {bucket.id: bucket for bucket in store.buckets()}
    for period in periods:
        budget = Budget(limits.memory_bytes_max, check)
        variables = Variables(name, period.start_text, period.end_text)
        budget.count_held = partial(_held_bytes, variables)
        context = Context(store, buckets, tables.for_next_run(), budget, variables.interval)
        try:
            answer = render(Evaluator(program, variables, context, recorder).run(), budget)
        except (MemoryError, RecursionError):  # the process may have less than the limit says
            context.payloads.is_doubtful = True
            raise budget.exceeded() from None
        yield answer


def _held_bytes(variables: Variables, budget: Budget) -> int:
    return held_bytes(variables.values(), budget)
