"""`python -m benchmarks steps`: what each stop of a heartbeat, and of a long insertion, costs inside the server.

The functions that the server runs, one after the other in this process, on a heartbeat that merges: the table of
ARCHITECTURE.md. The commit is measured on a real store, as CPU of the thread that does it. System calls are counted by
strace on a real server, if strace is installed.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from awlog.api.configuration import ApiSettings
from awlog.api.event_bodies import decode_events, new_events
from awlog.api.guard import Guard
from awlog.api.heartbeat import read_heartbeat
from awlog.api.recognise import HeaderBlocks, Lines
from awlog.engine.access import Admission
from awlog.engine.bulk import shown
from awlog.engine.clock import system_clock
from awlog.log.apply import apply
from awlog.log.columns import Columns
from awlog.log.decide import decide
from awlog.log.decision import Appended
from awlog.log.sealing import seal_new
from awlog.log.segment_index import SegmentEntry
from awlog.log.state import State
from awlog.log.write_set import TailRow, WriteSet
from awlog.model.access import FULL_ACCESS
from awlog.model.bucket import BucketMeta
from awlog.model.commands import InsertEvents, SendHeartbeat
from awlog.model.event import BucketNumber, Event, Payload, Seq
from awlog.model.times import Micros
from awlog.query.render import AnswerStarts
from awlog.storage.environment import Environment, create_if_new, prepare_directory
from awlog.storage.writer import Writer
from benchmarks.generator import FIRST_DAY_MS, SEED, body, window_events
from benchmarks.load import OpenOrder
from benchmarks.load_process import LoadProcess
from benchmarks.servers import OwnProcess, data_dir, free_address

_REPEATS: Final = 20_000
_BEST_OF: Final = 5
_COMMITS: Final = 200
_INSERTED: Final = 10_000
_BATCHES: Final = (1, 16, 64)
_NUMBER: Final = BucketNumber(1)
_BODY: Final = (
    b'{"id": null, "timestamp": "2024-05-01T10:00:00.250000+00:00", "duration": 0.0, '
    b'"data": {"app":"Firefox","title":"A page - Mozilla Firefox"}}'
)
_REQUEST: Final = (
    b"POST /api/0/buckets/b/heartbeat?pulsetime=5.0 HTTP/1.1\r\nHost: 127.0.0.1:5600\r\nUser-Agent: requests/2.32\r\n"
    b"Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\nContent-Type: application/json\r\n"
    b"charset: utf-8\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)
_CALLS_SHOWN: Final = 8
_STRACE_ROW: Final = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", re.MULTILINE)


def measure(scratch: Path) -> Iterator[str]:
    """Lines of text. About ten seconds."""
    yield "µs of CPU a heartbeat, least of five; one that merges into the tail record of its bucket"
    for name, took_us in asyncio.run(_steps()):
        yield f"  {name:<44}{took_us:8.2f}"
    yield f"µs of CPU an event, least of five; an insertion of {_INSERTED:,}"
    for name, took_us in _insertion():
        yield f"  {name:<44}{took_us:8.2f}"
    yield "µs of CPU in the committing thread; each row is the tail record of another bucket"
    for rows, took_us in _commits(scratch):
        yield f"  {f'a commit of {rows} rows':<44}{took_us:8.1f}  {took_us / rows:8.2f} a row"
    if shutil.which("strace") is None:
        yield "system calls: n/a, strace is not installed"
        return
    yield "system calls a heartbeat, of all threads"
    for connections in _BATCHES:
        yield f"  {connections} connections: {_system_calls(scratch, connections)}"


async def _steps() -> list[tuple[str, float]]:
    loop = asyncio.get_running_loop()
    settings = ApiSettings(host="127.0.0.1", port=5600, testing=False, hostname="", device_id="", version="")
    lines, blocks = (
        Lines(),
        HeaderBlocks(Guard(settings), _Open(), body_bytes_max=1 << 20, headers_max=128, now_s=loop.time),
    )
    state, writes = State(), WriteSet()
    state.add_bucket(BucketMeta(_NUMBER, "b", "t", "c", "h", Micros(0)))
    beat = read_heartbeat(_BODY, "b", Micros(5_000_000))
    sent = 0

    def recognise() -> None:
        line_end = _REQUEST.find(b"\r\n")
        head_end = _REQUEST.find(b"\r\n\r\n", line_end) + 4
        line = _REQUEST[:line_end]
        assert lines.find(line) is not None
        assert blocks.find(line, _REQUEST[line_end:head_end]) is not None

    def judge() -> None:
        blocks.forget_all()
        recognise()

    def next_beat() -> SendHeartbeat:
        nonlocal sent
        sent += 1
        return SendHeartbeat("b", Micros(beat.start_us + sent), beat.duration_us, beat.payload, beat.pulsetime_us)

    def take() -> None:
        for fact in decide(state, next_beat(), _no_history).facts:
            apply(state, fact, writes, _no_history)

    take()
    starts, durable = AnswerStarts(), State()
    tail = state.bucket("b").tail
    assert tail is not None
    durable.add_bucket(state.bucket("b").meta)
    steps: list[tuple[str, Callable[[], object]]] = [
        ("recognise: request line, known header block", recognise),
        ("judge a header block that is not known", judge),
        ("read the body: JSON, time, payload", lambda: read_heartbeat(_BODY, "b", beat.pulsetime_us)),
        ("decide and apply", take),
        ("durable state absorbs the commit", lambda: durable.absorb(writes)),
        ("render the answer", lambda: starts.render(_NUMBER, tail)),
    ]
    return [(name, _least_us(step)) for name, step in steps]


class _Open:
    """An engine without tokens."""

    clock = staticmethod(system_clock)

    def admit(self, _authorization: Sequence[str]) -> Admission:
        return Admission(FULL_ACCESS)


def _insertion() -> Iterator[tuple[str, float]]:
    raw = body(window_events(_INSERTED, SEED))
    bodies = decode_events(raw)
    assert isinstance(bodies, list)
    events = new_events(bodies, "events")
    records, runs = seal_new(events)
    state = State()
    state.add_bucket(BucketMeta(_NUMBER, "b", "t", "c", "h", Micros(0)))
    insertion = InsertEvents("b", events, (records, runs))
    answer = decide(state, insertion, _no_history).answer
    assert isinstance(answer, Appended)
    steps: list[tuple[str, Callable[[], object]]] = [
        ("decode the JSON", lambda: decode_events(raw)),
        ("times, durations, payloads", lambda: new_events(bodies, "events")),
        ("lay out in segments", lambda: seal_new(events)),
        ("decide", lambda: decide(state, insertion, _no_history)),
        ("show what is stored", lambda: shown(answer)),
    ]
    for name, step in steps:
        yield name, _least_us(step, _BEST_OF) / _INSERTED


def _no_history(_number: BucketNumber, _entry: SegmentEntry) -> Columns:
    raise AssertionError("a heartbeat in order asks for no history")


def _least_us(step: Callable[[], object], repeats: int = _REPEATS) -> float:
    taken = []
    for _ in range(_BEST_OF):
        start_ns = time.thread_time_ns()
        for _ in range(repeats // _BEST_OF):
            step()
        taken.append((time.thread_time_ns() - start_ns) / (repeats // _BEST_OF) / 1000)
    return min(taken)


def _commits(scratch: Path) -> Iterator[tuple[int, float]]:
    home = Path(tempfile.mkdtemp(prefix="steps-", dir=scratch))
    prepare_directory(home)
    create_if_new(home)
    environment = Environment(home)
    try:
        writer = Writer(environment)
        for rows in _BATCHES:
            tail = Event(Seq(1), Micros(0), Micros(0), Payload(_BODY[-60:]))
            writes = WriteSet(tails={BucketNumber(n): TailRow(Seq(2), 1, tail) for n in range(1, rows + 1)})
            start_ns = time.thread_time_ns()
            for _ in range(_COMMITS):
                writer.commit(writes)
            yield rows, (time.thread_time_ns() - start_ns) / _COMMITS / 1000
    finally:
        environment.close()
        shutil.rmtree(home)


def _system_calls(scratch: Path, connections: int) -> str:
    """Counted by strace from the first heartbeat to the last: the answers' rate means nothing meanwhile."""
    home = Path(tempfile.mkdtemp(prefix="steps-", dir=scratch))
    address = free_address()
    command = [sys.executable, "-m", "awlog", "serve", "--data-dir", str(data_dir(home))]
    server = OwnProcess([*command, "--host", address.host, "--port", str(address.port)], address, home)
    buckets = [f"steps-{number}" for number in range(connections)]
    order = OpenOrder(
        host=address.host, port=address.port, buckets=buckets, kind="merging", first_ms=FIRST_DAY_MS, seed=1
    )
    try:
        with LoadProcess(order) as load:
            load.run(0.2)
            counting = ["strace", "-f", "-c", "-p", str(server.pid)]
            with subprocess.Popen(counting, stderr=subprocess.PIPE, text=True) as strace:
                assert strace.stderr is not None
                strace.stderr.readline()  # it says that it is attached
                answered = load.run(1.0)["answered"]
                strace.send_signal(signal.SIGINT)
                counted = strace.stderr.read()
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)
    calls = [(int(found[1]) / answered, found[2]) for found in _STRACE_ROW.finditer(counted) if found[2] != "total"]
    return ", ".join(f"{name} {each:.2f}" for each, name in sorted(calls, reverse=True)[:_CALLS_SHOWN])
