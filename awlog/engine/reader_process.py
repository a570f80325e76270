"""A process that answers queries from snapshots of the store: `python -m awlog.engine.reader_process`.

It reads requests from stdin and writes frames to stdout, one request at a time; whoever started it may kill it at any
moment. It opens the store read-only, so nothing it does can harm it, and a pattern that never ends ends with the process.
"""

from __future__ import annotations

import gc
import hashlib
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, assert_never

import msgspec

from awlog.engine.answers import Answers, Watched
from awlog.engine.feed_page import PageEnd, read_page
from awlog.engine.looking import LookRequest, look_at
from awlog.engine.reader_messages import (
    ENCODER,
    LENGTH_BYTES,
    REQUESTS,
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
    Request,
    TimelineRequest,
    out_of_time,
    read_frame,
)
from awlog.formats.encoders import document
from awlog.log.columns import Columns, columns_of
from awlog.model.bucket import BucketMeta
from awlog.model.errors import AwlogError, NoSuchBucket
from awlog.model.event import BucketNumber, Event, Payload, Seq
from awlog.model.feed import FeedEntry, FeedRequest
from awlog.model.times import TIME_MAX_US, Micros
from awlog.query.brief import brief, brief_columns
from awlog.query.errors import QueryError, QueryLimitExceeded
from awlog.query.explain import Recorder
from awlog.query.label import Labels
from awlog.query.payloads import Tables
from awlog.query.program import check_period_count, parse, parse_period, run
from awlog.query.render import render_events
from awlog.query.syntax import Program
from awlog.query.timeline import Bins, picture
from awlog.storage.damaged import DamagedEnvironment
from awlog.storage.environment import Environment
from awlog.storage.live_view import LiveView

# Watchers and the server's own answers come first.
_NICENESS: Final = 10
_WARM_UP_S: Final = 0.5
# Whoever passes an answer on copies one part at a time: 0.1 ms.
_ANSWER_PART_BYTES: Final = 256 << 10
# Some 300 KiB of JSON.
_PART_EVENTS: Final = 2048
_FED_ENTRIES: Final = 256
# Of all programs that are kept, and of one: a program takes up to 100 bytes for each character of its text.
_PROGRAMS_CHARS_MAX: Final = 512 << 10
_PROGRAM_CHARS_MAX: Final = 64 << 10


def main() -> None:
    options = msgspec.json.decode(sys.argv[1], type=ReaderOptions)
    answers, sys.stdout = sys.stdout.buffer, sys.stderr  # nothing else may be written among the frames
    if os.name == "posix":
        os.nice(_NICENESS)
    _limit_memory(options.limits.memory_bytes_max + options.cache_bytes)
    reader = _Reader(options)
    reader.warm_up()
    # What was loaded stays for ever, and what queries make has no cycles: the collector need not walk over it often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    while (content := read_frame(sys.stdin.buffer)) is not None:
        for frame in reader.frames(REQUESTS.decode(content)):
            encoded = ENCODER.encode(frame)
            answers.write(len(encoded).to_bytes(LENGTH_BYTES, "little"))
            answers.write(encoded)  # by itself: it may be large
        answers.flush()


class _Reader:
    """What one process keeps from query to query: its view of the store, what it learnt about payloads, and answers."""

    def __init__(self, options: ReaderOptions) -> None:
        self._limits = options.limits
        half_bytes = options.limits.memory_bytes_max // 2
        self._tables = Tables(half_bytes, half_bytes, on_renewed=self._forget_decoded)
        where = Path(options.data_dir)
        environment = DamagedEnvironment(where) if options.damaged else Environment(where, read_only=True)
        self._view = LiveView(environment, options.cache_bytes, lambda columns: self._tables.current.taken(columns))
        self._answers = Answers()
        self._labels = Labels(on_renewed=self._forget_decoded)
        self._programs: OrderedDict[tuple[str, ...], Program] = OrderedDict()
        self._programs_chars = 0

    def _forget_decoded(self) -> None:
        self._view.forget_decoded()

    def warm_up(self) -> None:
        """What the first query would wait for otherwise: code that is loaded when first used, heads read from the store."""
        _run_once()
        until_s = time.monotonic() + _WARM_UP_S
        with suppress(AwlogError), self._view.now() as store:
            for bucket in store.buckets():
                store.stamp(bucket.number, TIME_MAX_US)
                if time.monotonic() > until_s:
                    break

    def frames(self, request: Request) -> Iterator[Frame]:
        """The answers of all periods, or the parts of a read, and then how it ended.

        Broad except: the process lives on, and says what failed.
        """
        try:
            match request:
                case QueryRequest():
                    yield from self._answered(request)
                case ReadRequest():
                    yield from self._read(request)
                case TimelineRequest():
                    yield from self._pictures(request)
                case DocumentRequest():
                    yield from self._document(request)
                case LookRequest():
                    with self._view.now() as store:
                        yield from look_at(store, request)
                    yield Done(None)
                case FeedRequest():
                    yield from self._feed(request)
                case _:
                    assert_never(request)
        except QueryError as error:
            yield Failed(type(error).__name__, error.message, error.line, error.column)
        except NoSuchBucket as error:
            yield Failed(type(error).__name__, str(error), subject=error.bucket_id)
        except AwlogError as error:
            yield Failed(type(error).__name__, str(error))
        except MemoryError:
            yield Failed(
                QueryLimitExceeded.__name__,
                f"The query needs more than {self._limits.memory_bytes_max} bytes; "
                "the setting `max_query_memory_bytes` sets the limit",
            )
        except Exception as error:  # noqa: BLE001
            yield Failed("", type(error).__name__)

    def _answered(self, request: QueryRequest) -> Iterator[Frame]:
        began_s = time.monotonic()

        def check() -> None:
            if time.monotonic() - began_s > request.run_s_max:
                raise out_of_time(request.run_s_max)

        program = self._parsed(tuple(request.lines))
        check_period_count(len(request.periods), self._limits)
        periods = [parse_period(text) for text in request.periods]
        recorder = Recorder(time.monotonic) if request.explain else None
        with self._view.now() as store:
            watched = Watched(store, request.prefixes)
            questions = _questions(request)
            # Who wants to know what a query does wants it done.
            known = [None if request.explain else self._answers.get(question, store) for question in questions]
            computed = run(
                program,
                [period for period, answer in zip(periods, known, strict=True) if answer is None],
                watched,
                name=request.name,
                limits=self._limits,
                check=check,
                tables=self._tables,
                recorder=recorder,
            )
            answers_bytes = 0
            first = True
            for question, answer in zip(questions, known, strict=True):
                check()
                if answer is None:
                    watched.begin()
                    answer = next(computed)
                    self._answers.put(question, answer, watched)
                if request.text_chars_max is not None:
                    answer = brief(answer, request.text_chars_max)
                answers_bytes += len(answer)
                if answers_bytes > self._limits.memory_bytes_max:
                    raise QueryLimitExceeded(
                        f"The answers of all periods together exceed {self._limits.memory_bytes_max} bytes; "
                        "the setting `max_query_memory_bytes` sets the limit"
                    )
                text = answer if first else b"," + answer
                first = False
                for at in range(0, len(text), _ANSWER_PART_BYTES):
                    yield Answer(text[at : at + _ANSWER_PART_BYTES])
            loaded_count = store.loaded_count
        if recorder is None:
            yield Done(None)
        else:
            yield Done(Explanation(recorder.costs(), loaded_count, round(time.monotonic() - began_s, 6)))

    def _read(self, request: ReadRequest) -> Iterator[Frame]:
        """Flat memory: one part at a time, and nothing is kept."""
        with self._view.now() as store:
            chosen = _chosen(store.buckets(), request.bucket_id)
            yield Opened(chosen)
            for bucket in chosen:
                number = bucket.number
                for columns in store.chunks(number, request.start_us, request.end_us, request.count_max):
                    for at in range(0, len(columns), _PART_EVENTS):
                        part = columns.take(slice(at, at + _PART_EVENTS)).clipped(request.start_us, request.end_us)
                        if request.text_chars_max is not None:
                            part = brief_columns(part, request.text_chars_max)
                        yield Part(number, render_events(part, number if request.with_ids else None))
        yield Done(None)

    def _pictures(self, request: TimelineRequest) -> Iterator[Frame]:
        self._labels.for_next_run()
        bins = Bins(request.start_us, request.end_us, request.bin_count)
        with self._view.now() as store:
            by_id = {bucket.id: bucket.number for bucket in store.buckets()}
            opening = b"{"
            for bucket_id in by_id if request.bucket_ids is None else request.bucket_ids:
                number = by_id.get(bucket_id)
                if number is None:
                    raise NoSuchBucket(bucket_id)
                parts = store.parts(number, request.start_us, request.end_us, self._labels.called)
                drawn = picture(parts, number, bins, events_max=request.events_max)
                yield Answer(b"%b%b:%b" % (opening, msgspec.json.encode(bucket_id), msgspec.json.encode(drawn)))
                opening = b","
        yield Answer(b"{}" if opening == b"{" else b"}")
        yield Done(None)

    def _document(self, request: DocumentRequest) -> Iterator[Frame]:
        """As `_read`: flat memory."""
        with self._view.now() as store:
            chosen = _chosen(store.buckets(), request.bucket_id)
            for piece in document(store, chosen, request.wanted):
                for at in range(0, len(piece), _ANSWER_PART_BYTES):
                    yield Answer(piece[at : at + _ANSWER_PART_BYTES])
        yield Done(None)

    def _feed(self, request: FeedRequest) -> Iterator[Frame]:
        """In parts that whoever reads them decodes within a fraction of a millisecond."""
        entries: list[FeedEntry] = []
        with self._view.now() as store:
            for each in read_page(store, request):
                if isinstance(each, PageEnd):
                    yield Fed(entries)
                    yield Done(None, each)
                    return
                entries.append(each)
                if len(entries) >= _FED_ENTRIES:
                    yield Fed(entries)
                    entries = []

    def _parsed(self, lines: tuple[str, ...]) -> Program:
        """Programs come again and again; the last few are kept."""
        program = self._programs.get(lines)
        if program is not None:
            self._programs.move_to_end(lines)
            return program
        program = parse(lines, self._limits)
        chars = _char_count(lines)
        if chars <= _PROGRAM_CHARS_MAX:
            self._programs[lines] = program
            self._programs_chars += chars
            while self._programs_chars > _PROGRAMS_CHARS_MAX:
                self._programs_chars -= _char_count(self._programs.popitem(last=False)[0])
        return program


def _chosen(buckets: list[BucketMeta], bucket_id: str | None) -> list[BucketMeta]:
    """The one of that name, or all. Raises NoSuchBucket."""
    chosen = [bucket for bucket in buckets if bucket_id is None or bucket.id == bucket_id]
    if bucket_id is not None and not chosen:
        raise NoSuchBucket(bucket_id)
    return chosen


def _char_count(lines: Sequence[str]) -> int:
    """With something for each line, so that many empty ones count."""
    return sum(map(len, lines)) + 100 * len(lines)


def _questions(request: QueryRequest) -> list[bytes]:
    """For each period a digest of all that is asked: of one length, however long the texts are."""
    program = hashlib.sha256(msgspec.msgpack.encode((request.lines, request.name, request.prefixes)))
    questions = []
    for text in request.periods:
        question = program.copy()
        question.update(text.encode())
        questions.append(question.digest())
    return questions


def _run_once() -> None:
    """A program like those of people, on an empty store of its own."""
    text = """events = flood(query_bucket("a"));
        events = filter_period_intersect(events, filter_keyvals(events, "status", ["not-afk"]));
        events = categorize(events, [[["A"], {"type": "regex", "regex": "\\\\bx|\\\\d+$"}]]);
        RETURN = [sort_by_duration(merge_events_by_keys(events, ["app", "$category"])), sum_durations(events)];"""
    for _ in run(parse(text.split("\n")), [parse_period("2024-01-01T00:00Z/2024-01-02T00:00Z")], _OneEvent()):
        pass


class _OneEvent:
    """A store with one event, in a bucket `a`."""

    def buckets(self) -> list[BucketMeta]:
        return [BucketMeta(BucketNumber(1), "a", "", "", "", Micros(0))]

    def events(self, _number: BucketNumber, start_us: Micros, _end_us: Micros) -> Columns:
        payload = Payload(b'{"app":"x","status":"not-afk","title":"\xe2\x80\x94 1"}')
        return columns_of([Event(Seq(seq), Micros(start_us + seq), Micros(1), payload) for seq in range(1, 100)])

    def count(self, _number: BucketNumber, _start_us: Micros, _end_us: Micros) -> int:
        return 1


def _limit_memory(bytes_max: int) -> None:
    """A bound for what Python cannot count; the map of the store does not fall under it."""
    if os.name == "posix":
        import resource

        held = 256 << 20  # the interpreter, its libraries, and room for what a query holds twice for a moment
        resource.setrlimit(resource.RLIMIT_DATA, (2 * bytes_max + held, 2 * bytes_max + held))


if __name__ == "__main__":
    main()
