"""What the server counts: whole numbers that are added to where something happens, and are looked at when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import accumulate
from typing import Final

from msgspec import Struct

from awlog.engine.forwarder import Behind
from awlog.model.facts import EventAppended, Fact, TailExtended

# Seconds of a commit: a sync takes 0.1 ms on a good disk, and a second on one that is in trouble.
_COMMIT_BOUNDS_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
# Seconds until a write is durable, close enough together for a quantile.
_WAIT_BOUNDS_S: Final = (
    *(0.0001, 0.0002, 0.0003, 0.0004, 0.0005, 0.0007, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.007),
    *(0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 5.0),
)
_RECENT_MINUTES: Final = 5
_BATCH_BOUNDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class Histogram:
    """How many values were at most each of `bounds`, how many beyond, and their sum. `observe` takes 0.3 µs."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Waits(Histogram):
    """Seconds that writes waited until they were durable, since the start, and besides in each of the last minutes."""

    __slots__ = ("_minutes",)

    def __init__(self) -> None:
        super().__init__(_WAIT_BOUNDS_S)
        self._minutes: dict[int, list[int]] = {}

    def observe_all(self, wait_s: float, count: int, now_s: float) -> None:
        """`count` writes of one commit, none of which waited longer. 1 µs."""
        place = bisect_left(self.bounds, wait_s)
        self.counts[place] += count
        self.sum += wait_s * count
        minute = int(now_s // 60)
        counts = self._minutes.get(minute)
        if counts is None:
            self._minutes = {at: kept for at, kept in self._minutes.items() if minute - at < _RECENT_MINUTES}
            counts = self._minutes[minute] = [0] * len(self.counts)
        counts[place] += count

    def recent_quantile_s(self, share: float, now_s: float) -> float | None:
        """No more than this was waited by so many of those of the last five minutes; None if there were none."""
        minute = int(now_s // 60)
        recent = [kept for at, kept in self._minutes.items() if minute - at < _RECENT_MINUTES]
        sums = list(accumulate(map(sum, zip(*recent, strict=True))))
        if not sums or not sums[-1]:
            return None
        place = bisect_left(sums, share * sums[-1])
        return self.bounds[min(place, len(self.bounds) - 1)]


class Busiest:
    """How many there were in the second that had most."""

    __slots__ = ("_count", "_second", "most")

    def __init__(self) -> None:
        self.most = 0
        self._second = 0
        self._count = 0

    def add(self, count: int, now_s: float) -> None:
        second = int(now_s)
        if second != self._second:
            self._second, self._count = second, 0
        self._count += count
        self.most = max(self.most, self._count)


class Counts:
    """Since the start of the server. Loop only."""

    __slots__ = (
        "batch_requests",
        "busiest",
        "commit_s",
        "failed_commits",
        "inserted",
        "merged",
        "streamed",
        "unchanged",
        "waits",
    )

    def __init__(self) -> None:
        self.merged = 0
        self.inserted = 0
        self.unchanged = 0
        self.streamed = 0
        """Heartbeats of streams: they are answered many at once."""
        self.failed_commits = 0
        self.commit_s = Histogram(_COMMIT_BOUNDS_S)
        self.batch_requests = Histogram(_BATCH_BOUNDS)
        self.waits = Waits()
        self.busiest = Busiest()

    def heartbeat(self, facts: list[Fact]) -> None:
        """What became of one. 0.06 µs."""
        if not facts:
            self.unchanged += 1
        elif type(facts[0]) is TailExtended:
            self.merged += 1
        elif type(facts[0]) is EventAppended:
            self.inserted += 1


class EngineFigures(Struct, frozen=True):
    """One look at everything that can be counted. Numbers only: no bucket is named."""

    counts: Counts
    bucket_count: int
    event_count: int
    snapshot_count: int
    reader_count: int
    follower_count: int
    queries_running: int
    queries_waiting: int
    file_bytes: int
    free_bytes: int
    behind: Behind


Check = Callable[[], str | None]


class Readiness:
    """Why the server may not be able to do its work: checks by name, each of which gives a reason or None.

    Those that only warn are of what somebody should look at while the server does its work.
    """

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._warning: set[str] = set()

    def add(self, name: str, check: Check, *, only_warns: bool = False) -> None:
        """`check` is asked on the loop, and answers at once; its reason holds no recorded data."""
        assert name not in self._checks, "each check has a name of its own"
        self._checks[name] = check
        if only_warns:
            self._warning.add(name)

    def only_warns(self, name: str) -> bool:
        return name in self._warning

    def reasons(self) -> dict[str, str | None]:
        """By name; all of them None if it is ready."""
        return {name: check() for name, check in self._checks.items()}
