"""Workload `crowd`: does a heartbeat wait for connections that do nothing, or hardly anything?

Heartbeats on 16 connections, alone and beside a crowd, in alternation: 2,000 connections that say nothing, and 200 whose
headers come letter by letter. The crowd is a process of its own (`python -m benchmarks.crowd HOST PORT`), which says on its
standard output when all are connected, and goes when its standard input ends.
"""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, Literal, TypedDict

from benchmarks import processes, slices
from benchmarks.figures import Ratio, ratio
from benchmarks.generator import FIRST_DAY_MS
from benchmarks.load import OpenOrder
from benchmarks.load_process import LoadProcess
from benchmarks.progress import say
from benchmarks.rest import Address
from benchmarks.servers import Awlog, CannotMeasure, Running
from benchmarks.settings import Settings
from benchmarks.slices import Measured, Side, Summary

State = Literal["alone", "crowded"]
STATES: Final[tuple[State, ...]] = ("alone", "crowded")
CONNECTIONS: Final = 16
IDLE: Final = 2_000
TRICKLING: Final = 200

_LETTER_S: Final = 0.2
_READY: Final = b"connected\n"
# A tail is what must show: more rounds than where medians are compared.
_ROUNDS_FACTOR: Final = 2


class Crowd(TypedDict):
    idle: int
    trickling: int
    slices: dict[State, list[Measured]]
    summaries: dict[State, Summary]
    crowded_over_alone: dict[str, Ratio]
    memory_mib: dict[State, float]  # of the server, the most of each


def measure(awlog: Awlog, settings: Settings) -> Crowd:
    """Raises CannotMeasure if a bucket does not hold what was acknowledged."""
    say(f"crowd: heartbeats from {CONNECTIONS} connections, alone and beside {IDLE + TRICKLING} that do nothing")
    taken: dict[State, list[Measured]] = {"alone": [], "crowded": []}
    memory_mib: dict[State, float] = dict.fromkeys(STATES, 0.0)
    with ExitStack() as stack:
        server = awlog.start()
        stack.callback(server.stop)
        buckets = [f"awlog-benchmark-{number}" for number in range(CONNECTIONS)]
        at = server.address
        order = OpenOrder(
            host=at.host, port=at.port, buckets=buckets, kind="merging", first_ms=FIRST_DAY_MS, seed=settings.seed
        )
        load = stack.enter_context(LoadProcess(order))
        side = Side(awlog.name, server, load)
        load.run(settings.warm_up_s)
        for number in range(_ROUNDS_FACTOR * settings.rounds):
            for state in STATES if number % 2 == 0 else reversed(STATES):
                with _around(at) if state == "crowded" else ExitStack():
                    taken[state].append(slices.measure(side, settings.slice_s))
                    memory_mib[state] = max(memory_mib[state], _memory_mib(server))
        _, wrong = load.check()
        if wrong:
            raise CannotMeasure(wrong[0])
    return Crowd(
        idle=IDLE,
        trickling=TRICKLING,
        slices=taken,
        summaries={state: slices.summary(taken[state]) for state in STATES},
        crowded_over_alone={
            "p50": _over(taken, "0.5"),
            "p99": _over(taken, "0.99"),
            "rate": ratio([each["rate"] for each in taken["crowded"]], [each["rate"] for each in taken["alone"]]),
        },
        memory_mib=memory_mib,
    )


@contextmanager
def _around(at: Address) -> Iterator[None]:
    words = [sys.executable, "-m", "benchmarks.crowd", at.host, str(at.port)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as crowd:
        assert crowd.stdin is not None, "made with pipes"
        assert crowd.stdout is not None, "made with pipes"
        if crowd.stdout.readline() != _READY:
            raise CannotMeasure("the crowd could not connect; `ulimit -n` must allow 2,300 files")
        yield
        crowd.stdin.close()


def _memory_mib(server: Running) -> float:
    assert server.pid is not None, "started here"
    return processes.memory(server.pid).anonymous


def _over(taken: dict[State, list[Measured]], q: str) -> Ratio:
    return ratio(
        [each["latency_ms"][q] for each in taken["crowded"]], [each["latency_ms"][q] for each in taken["alone"]]
    )


def main() -> None:
    """The crowd itself."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    address = sys.argv[1], int(sys.argv[2])
    kept = [socket.create_connection(address) for _ in range(IDLE)]
    trickling = [socket.create_connection(address) for _ in range(TRICKLING)]
    sys.stdout.buffer.write(_READY)
    sys.stdout.flush()
    while not select.select([sys.stdin], [], [], _LETTER_S)[0]:
        for at, one in enumerate(trickling):
            try:
                one.send(b"x")
            except OSError:  # its time for headers is over
                one.close()
                with contextlib.suppress(OSError):
                    trickling[at] = socket.create_connection(address)
    for one in (*kept, *trickling):
        one.close()


if __name__ == "__main__":
    main()
