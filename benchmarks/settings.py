"""How long and how large one run is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.beats import Kind
from benchmarks.generator import SEED


@dataclass(frozen=True)
class Range:
    """What one query asks for: so many days in equal `periods`. `peer_rounds`: how often it is asked of the peer, too."""

    name: str
    days: int
    periods: int
    peer_rounds: int


@dataclass(frozen=True)
class Settings:
    rounds: int
    slice_s: float
    warm_up_s: float
    cases: tuple[tuple[Kind, tuple[int, ...]], ...]  # of heartbeat: what is sent, on how many connections
    arrivals_per_s: tuple[int, ...]  # of the open loop
    stream_heartbeats: int  # of one round on one connection
    bucket_events: int  # of the large bucket in growth and footprint
    transfer_events: int  # moved in and out
    reads: int  # timed answers for each latency of footprint
    document_events: int  # in one import, and in its export
    starts: int
    history_days: int  # of the person in query and isolation: somewhat more than the longest range, which can be moved
    ranges: tuple[Range, ...]
    again_count: int  # how often the same query is repeated
    seed: int
    scratch: Path  # where servers keep their data: on the disk that is to be measured


# Ten million events are twenty-five years of one person, or what a team's server holds after a few. 16 and 64 connections
# are more watchers than one person has, and what a server for a team meets.
FULL: Final = Settings(
    rounds=5,
    slice_s=2.0,  # the slowest case so far has latencies of 1.5 s
    warm_up_s=0.5,
    cases=(
        ("merging", (1, 16, 64, 256)),
        ("inserting", (1, 16, 64)),
        ("stock client", (16,)),
        ("one bucket", (64,)),
    ),
    arrivals_per_s=(50, 100, 200, 500, 1_000, 2_000, 5_000),
    stream_heartbeats=200_000,
    bucket_events=10_000_000,
    transfer_events=1_000_000,
    reads=500,
    document_events=50_000,
    starts=5,
    history_days=367,
    # The peer needs a minute or more for a year.
    ranges=(Range("day", 1, 1, 5), Range("month", 30, 1, 3), Range("year", 365, 1, 1), Range("12 months", 365, 12, 1)),
    again_count=5,
    seed=SEED,
    scratch=Path(),
)
QUICK: Final = Settings(
    rounds=3,
    slice_s=0.5,
    warm_up_s=0.1,
    cases=(("merging", (1, 16, 64)), ("stock client", (16,)), ("one bucket", (16,))),
    arrivals_per_s=(100, 1_000),
    stream_heartbeats=20_000,
    bucket_events=100_000,
    transfer_events=50_000,
    reads=100,
    document_events=5_000,
    starts=3,
    history_days=31,
    ranges=(Range("day", 1, 1, 3), Range("month", 30, 1, 1)),
    again_count=3,
    seed=SEED,
    scratch=Path(),
)
