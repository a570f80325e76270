"""Reader processes: queries run in them, so that no query moves a heartbeat, and each can be ended from outside.

Started when they are first needed, at most one a core; kept, with what they have decoded, for the next query.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from awlog.engine.byte_budget import ByteBudget
from awlog.engine.feed_page import PageEnd
from awlog.engine.looking import FoundPart, Looked, LookRequest
from awlog.engine.reader_messages import (
    ENCODER,
    FRAMES,
    LENGTH_BYTES,
    Answer,
    DocumentRequest,
    Done,
    Explanation,
    Failed,
    Fed,
    Frame,
    Opened,
    Part,
    QueryRequest,
    ReaderOptions,
    ReadRequest,
    TimelineRequest,
    out_of_time,
)
from awlog.model.errors import AwlogError, BadRequest, ChangesGone, DataDamaged, NoSuchBucket, Overloaded, Unavailable
from awlog.model.feed import FeedEntry, FeedRequest
from awlog.query import errors as query_errors
from awlog.query.budget import Limits

_log: Final = structlog.get_logger(part="readers")

_LIMITS: Final = Limits()
# A shorter answer is not counted among those on their way: there are as many as connections at most.
_COUNTED_ANSWER_BYTES: Final = 1 << 20
_STREAMS_MAX: Final = 2
# The job that runs, and previews: the next one waits.
_LOOKS_MAX: Final = 2
# Documents of other forms than JSON are made in reader processes only: whoever comes when these are taken waits a while.
_DOCUMENTS_MAX: Final = 2
_DOCUMENT_WAIT_S: Final = 20.0
_KEPT_COUNT: Final = os.cpu_count() or 1
# A reader ends an overlong query by itself; one that does not get to it, in a pattern that never ends, is killed.
_GRACE_S: Final = 1.0
_FRAME_BYTES: Final = 1 << 20


class QueryLimits(Struct, frozen=True):
    """Run time of one query, the memory its values may take, how long, how deep and how often it may be, and how many
    run and wait at one time. All answers together that are on their way take no more than the values of one query may.
    """

    run_s_max: float = 30.0
    memory_bytes_max: int = _LIMITS.memory_bytes_max
    cache_bytes: int = 64 << 20
    text_bytes_max: int = _LIMITS.text_bytes_max
    nesting_max: int = _LIMITS.nesting_max
    periods_max: int = _LIMITS.periods_max
    running_max: int = os.cpu_count() or 1
    waiting_max: int = 64


class QueryAnswer(Struct, frozen=True):
    """The values of the periods, in order, as JSON joined by commas and cut into parts; the explanation if one was
    asked for. `held_bytes` are to be given back.
    """

    parts: list[bytes]
    explanation: Explanation | None
    held_bytes: int = 0


class Readers:
    """The pool. Loop only."""

    def __init__(
        self, data_dir: Path, limits: QueryLimits, reap: Callable[[], object], *, damaged: bool = False
    ) -> None:
        """`reap` frees what a killed reader held in the store; `damaged`: the store is served as far as it is whole."""
        self._options = ReaderOptions(
            str(data_dir),
            limits.cache_bytes,
            Limits(
                text_bytes_max=limits.text_bytes_max,
                nesting_max=limits.nesting_max,
                periods_max=limits.periods_max,
                memory_bytes_max=limits.memory_bytes_max,
            ),
            damaged,
        )
        self._limits = limits
        self._reap = reap
        self._turns = asyncio.Semaphore(limits.running_max)
        self._answers = ByteBudget(limits.memory_bytes_max)
        self._waiting_count = 0
        self._running_count = 0
        self._look_turns = asyncio.Semaphore(_LOOKS_MAX)
        self._stream_count = 0
        self._feed_turn = asyncio.Lock()
        self._document_turns = asyncio.Semaphore(_DOCUMENTS_MAX)
        self._idle: list[asyncio.subprocess.Process] = []
        self._all: set[asyncio.subprocess.Process] = set()
        self._outdated: set[asyncio.subprocess.Process] = set()

    async def query(
        self,
        lines: list[str],
        periods: list[str],
        *,
        name: str,
        explain: bool,
        prefixes: tuple[str, ...] = ("",),
        text_chars_max: int | None = None,
    ) -> QueryAnswer:
        """Runs a program once for each period, all on one snapshot; it sees the buckets whose ids begin so. Texts in
        its answer that are longer than `text_chars_max` are cut.

        Raises QueryError, BadRequest, DataDamaged, and Overloaded if too many queries wait. Cancel it to end it.

        Call `let_go` when the answer is on its way: long ones wait for each other, while they hold their turn.
        """
        request = QueryRequest(lines, periods, name, explain, prefixes, self._limits.run_s_max, text_chars_max)
        return await self._in_turn(request, counted_from_bytes=_COUNTED_ANSWER_BYTES)

    def let_go(self, answer: QueryAnswer) -> None:
        """The answer is not held any more."""
        if answer.held_bytes:
            self._answers.give_back(answer.held_bytes)

    async def timeline(self, request: TimelineRequest) -> list[bytes]:
        """A picture of each bucket: JSON, `{id: picture}` in parts. Raises as `query`, and NoSuchBucket."""
        return (await self._in_turn(request)).parts

    async def _in_turn(
        self, request: QueryRequest | TimelineRequest, *, counted_from_bytes: int | None = None
    ) -> QueryAnswer:
        if self._turns.locked() and self._waiting_count >= self._limits.waiting_max:
            raise Overloaded(
                f"{self._waiting_count} queries wait already; try again in a moment. "
                "The setting `max_queries_waiting` sets the limit"
            )
        self._waiting_count += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting_count -= 1
        self._running_count += 1
        try:
            answer = await self._ask(ENCODER.encode(request))
            size_bytes = sum(map(len, answer.parts))
            if counted_from_bytes is not None and size_bytes >= counted_from_bytes:
                answer = replace(answer, held_bytes=await self._answers.take(size_bytes))
            return answer
        finally:
            self._running_count -= 1
            self._turns.release()

    async def start_ahead(self) -> None:
        """Starts one reader, if there is none, before the first query has to wait for it: 0.3 s of another core."""
        if not self._all:
            with suppress(OSError):  # the first query tells
                self._idle.append(await self._start())

    async def close(self) -> None:
        """Ends all readers, and with them what they are doing."""
        for reader in list(self._all):
            await self._end(reader)

    def renew(self, *, at_once: bool = False) -> None:
        """From now on only readers that are started after this: those there are have another file open, or
        remember what was erased. `at_once`: what is being read is broken off.
        """
        self._outdated = set(self._all)
        for reader in self._all if at_once else self._idle:
            if reader.returncode is None:
                reader.kill()

    @property
    def process_count(self) -> int:
        return len(self._all)

    def query_counts(self) -> tuple[int, int]:
        """How many run, and how many wait for their turn."""
        return self._running_count, self._waiting_count

    def may_stream(self) -> bool:
        """Is there a process for one more long read? Whoever reads slowly keeps it, so there are few, beside those
        of queries.
        """
        return self._stream_count < _STREAMS_MAX

    async def stream(self, request: ReadRequest) -> AsyncGenerator[Opened | Part]:
        """A long read: `Opened`, then its parts in order, in flat memory. Raises NoSuchBucket, DataDamaged, Unavailable."""
        self._stream_count += 1
        try:
            async with self._borrowed() as borrowed:
                await _send(borrowed.process, ENCODER.encode(request))
                while not isinstance(frame := await _receive(borrowed.process), Done | Failed):
                    if isinstance(frame, Opened | Part):
                        yield frame
                borrowed.whole = True
        finally:
            self._stream_count -= 1
        if isinstance(frame, Failed):
            raise _error_of(frame)

    async def document(self, request: DocumentRequest) -> AsyncGenerator[bytes]:
        """The pieces of a document, in flat memory. Raises as `stream`, and Unavailable if too many are being made."""
        try:
            async with asyncio.timeout(_DOCUMENT_WAIT_S):
                await self._document_turns.acquire()
        except TimeoutError:
            raise Unavailable(f"{_DOCUMENTS_MAX} exports are being made already; try again in a moment") from None
        try:
            async with self._borrowed() as borrowed:
                await _send(borrowed.process, ENCODER.encode(request))
                while not isinstance(frame := await _receive(borrowed.process), Done | Failed):
                    if isinstance(frame, Answer):
                        yield frame.part
                borrowed.whole = True
        finally:
            self._document_turns.release()
        if isinstance(frame, Failed):
            raise _error_of(frame)

    async def look(self, request: LookRequest) -> AsyncGenerator[Looked | FoundPart]:
        """What an edit would make of the store. Raises BadRequest, DataDamaged, Unavailable."""
        async with self._look_turns, self._borrowed() as borrowed:
            await _send(borrowed.process, ENCODER.encode(request))
            while not isinstance(frame := await _receive(borrowed.process), Done | Failed):
                if isinstance(frame, Looked | FoundPart):
                    yield frame
            borrowed.whole = True
        if isinstance(frame, Failed):
            raise _error_of(frame)

    async def feed_page(self, request: FeedRequest) -> AsyncGenerator[list[FeedEntry] | PageEnd]:
        """A page of the change feed, one page at a time. Raises ChangesGone, DataDamaged, Unavailable.

        Whoever iterates must not wait for a client in between.
        """
        async with self._feed_turn, self._borrowed() as borrowed:
            await _send(borrowed.process, ENCODER.encode(request))
            while not isinstance(frame := await _receive(borrowed.process), Done | Failed):
                if isinstance(frame, Fed):
                    yield frame.entries
            borrowed.whole = True
        if isinstance(frame, Failed):
            raise ChangesGone(request.after) if frame.error == ChangesGone.__name__ else _error_of(frame)
        assert frame.page_end is not None, "a page has an end"
        yield frame.page_end

    async def _ask(self, request: bytes) -> QueryAnswer:
        try:
            async with self._borrowed() as borrowed, asyncio.timeout(self._limits.run_s_max + _GRACE_S):
                answer = await _exchange(borrowed.process, request)
                borrowed.whole = True
        except TimeoutError:
            raise out_of_time(self._limits.run_s_max) from None
        if isinstance(answer, Failed):
            raise _error_of(answer)
        return answer

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[_Borrowed]:
        """A reader, which is ended unless it is whole again when it is given back. Raises Unavailable if it ends itself."""
        borrowed = _Borrowed(await self._idle_one() or await self._start())
        try:
            yield borrowed
        except (asyncio.IncompleteReadError, ConnectionError):
            _log.error("a reader process ended in the middle of its work", status=borrowed.process.returncode)
            raise Unavailable("The process that worked on this request ended; see the log and try again") from None
        finally:
            if borrowed.whole and len(self._idle) < _KEPT_COUNT and borrowed.process not in self._outdated:
                self._idle.append(borrowed.process)
            else:
                await self._end(borrowed.process)

    async def _idle_one(self) -> asyncio.subprocess.Process | None:
        """The one used last, which knows most of what is asked again. Those that were ended from outside are let go."""
        while self._idle:
            reader = self._idle.pop()
            usable = reader.returncode is None and reader not in self._outdated
            if usable and reader.stdin is not None and not reader.stdin.is_closing():
                return reader
            await self._end(reader)
        return None

    async def _start(self) -> asyncio.subprocess.Process:
        reader = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "awlog.engine.reader_process",
            msgspec.json.encode(self._options).decode(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_FRAME_BYTES,
        )
        self._all.add(reader)
        return reader

    async def _end(self, reader: asyncio.subprocess.Process) -> None:
        self._all.discard(reader)
        self._outdated.discard(reader)
        if reader in self._idle:
            self._idle.remove(reader)
        if reader.returncode is None:
            reader.kill()
        await reader.wait()
        self._reap()


class _Borrowed:
    """A reader at work. `whole`: it has sent all of its answer and can take another request."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.whole = False


async def _send(reader: asyncio.subprocess.Process, request: bytes) -> None:
    assert reader.stdin is not None, "a reader is started with pipes"
    reader.stdin.write(len(request).to_bytes(LENGTH_BYTES, "little") + request)
    await reader.stdin.drain()


async def _receive(reader: asyncio.subprocess.Process) -> Frame:
    assert reader.stdout is not None, "a reader is started with pipes"
    length = int.from_bytes(await reader.stdout.readexactly(LENGTH_BYTES), "little")
    frame: Frame = FRAMES.decode(await reader.stdout.readexactly(length))
    return frame


async def _exchange(reader: asyncio.subprocess.Process, request: bytes) -> QueryAnswer | Failed:
    await _send(reader, request)
    parts: list[bytes] = []
    while True:
        match await _receive(reader):
            case Answer(part):
                parts.append(part)
            case Done(explanation):
                return QueryAnswer(parts, explanation)
            case Failed() as failed:
                return failed


def _error_of(failed: Failed) -> AwlogError:
    """The error that a reader named."""
    kind = getattr(query_errors, failed.error, None) if failed.error else None
    if kind is not None:
        error: AwlogError = kind(failed.message, failed.line, failed.column)
        return error
    if failed.error == BadRequest.__name__:
        return BadRequest(failed.message)
    if failed.error == NoSuchBucket.__name__ and failed.subject is not None:
        return NoSuchBucket(failed.subject)
    if failed.error == DataDamaged.__name__:
        return DataDamaged(failed.message.partition(" does not match")[0])
    _log.error("a query failed", error=failed.error or failed.message)
    return Unavailable("awlog made a mistake in this query; its log says more")
