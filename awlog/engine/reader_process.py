"""A process that answers queries from snapshots of the store: `python -m awlog.engine.reader_process`.

It reads requests from stdin and writes frames to stdout, one request at a time; whoever started it may kill it at any
moment. It opens the store read-only, so nothing it does can harm it, and a pattern that never ends ends with the process.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
from msgspec import Struct

from awlog.model.errors import AwlogError
from awlog.query.budget import Limits
from awlog.query.errors import QueryError, QueryLimitExceeded
from awlog.query.explain import Recorder, StatementCost
from awlog.query.payloads import Tables
from awlog.query.program import parse, parse_period, run
from awlog.storage.environment import Environment
from awlog.storage.live_view import LiveView

LENGTH_BYTES: Final = 8


class ReaderOptions(Struct, frozen=True):
    """What a reader process is started with, as JSON on its command line."""

    data_dir: str
    cache_bytes: int
    memory_bytes_max: int


class QueryRequest(Struct, frozen=True):
    """One query, as it came in."""

    lines: list[str]
    periods: list[str]
    name: str
    explain: bool
    run_s_max: float


class Explanation(Struct, frozen=True):
    """What a query did. Seconds of the whole: parsing, reading, computing, writing."""

    statements: list[StatementCost]
    segments_read: int
    seconds: float


class Answer(Struct, frozen=True, tag="answer"):
    """The value of one period, as JSON."""

    value: bytes


class Done(Struct, frozen=True, tag="done"):
    explanation: Explanation | None


class Failed(Struct, frozen=True, tag="failed"):
    """An error, by the name of its class; `line` and `column` only for errors of the query's text."""

    error: str
    message: str
    line: int | None = None
    column: int | None = None


Frame = Answer | Done | Failed
ENCODER: Final = msgspec.msgpack.Encoder()
FRAMES: Final = msgspec.msgpack.Decoder(Frame)
REQUESTS: Final = msgspec.msgpack.Decoder(QueryRequest)


def main() -> None:
    options = msgspec.json.decode(sys.argv[1], type=ReaderOptions)
    answers, sys.stdout = sys.stdout.buffer, sys.stderr  # nothing else may be written among the frames
    _limit_memory(options.memory_bytes_max + options.cache_bytes)
    environment = Environment(Path(options.data_dir), read_only=True)
    limits = Limits(memory_bytes_max=options.memory_bytes_max)
    half_bytes = options.memory_bytes_max // 2
    tables = Tables(half_bytes, half_bytes, on_renewed=lambda: view.forget_decoded())
    view = LiveView(environment, options.cache_bytes, lambda columns: tables.current.taken(columns))
    while (content := read_frame(sys.stdin.buffer)) is not None:
        for frame in _frames(REQUESTS.decode(content), view, limits, tables):
            encoded = ENCODER.encode(frame)
            answers.write(len(encoded).to_bytes(LENGTH_BYTES, "little") + encoded)
        answers.flush()


def read_frame(source: BinaryIO) -> bytes | None:
    """The next frame's content, None at the end."""
    length = source.read(LENGTH_BYTES)
    return source.read(int.from_bytes(length, "little")) if len(length) == LENGTH_BYTES else None


def _frames(request: QueryRequest, view: LiveView, limits: Limits, tables: Tables) -> Iterator[Frame]:
    """The answers of all periods, and then how it ended. Broad except: the process lives on, and says what failed."""
    try:
        yield from _answers(request, view, limits, tables)
    except QueryError as error:
        yield Failed(type(error).__name__, error.message, error.line, error.column)
    except AwlogError as error:
        yield Failed(type(error).__name__, str(error))
    except MemoryError:
        yield Failed(
            QueryLimitExceeded.__name__,
            f"The query needs more than {limits.memory_bytes_max} bytes; "
            "the setting `max_query_memory_bytes` sets the limit",
        )
    except Exception as error:  # noqa: BLE001
        yield Failed("", type(error).__name__)


def _answers(request: QueryRequest, view: LiveView, limits: Limits, tables: Tables) -> Iterator[Frame]:
    began_s = time.monotonic()

    def check() -> None:
        if time.monotonic() - began_s > request.run_s_max:
            raise out_of_time(request.run_s_max)

    program = parse(request.lines, limits)
    periods = [parse_period(text) for text in request.periods]
    recorder = Recorder(time.monotonic) if request.explain else None
    with view.now() as store:
        for value in run(
            program, periods, store, name=request.name, limits=limits, check=check, tables=tables, recorder=recorder
        ):
            yield Answer(value)
        loaded_count = store.loaded_count
    if recorder is None:
        yield Done(None)
    else:
        yield Done(Explanation(recorder.costs(), loaded_count, round(time.monotonic() - began_s, 6)))


def out_of_time(run_s_max: float) -> QueryLimitExceeded:
    return QueryLimitExceeded(f"The query ran for more than {run_s_max:g} s; the setting `max_query_s` sets the limit")


def _limit_memory(bytes_max: int) -> None:
    """A bound for what Python cannot count; the map of the store does not fall under it."""
    if os.name == "posix":
        import resource

        held = 256 << 20  # the interpreter, its libraries, and room for what a query holds twice for a moment
        resource.setrlimit(resource.RLIMIT_DATA, (2 * bytes_max + held, 2 * bytes_max + held))


if __name__ == "__main__":
    main()
