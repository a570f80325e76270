"""What the HTTP edge counts."""

from __future__ import annotations

from typing import Protocol

from awlog.api.refusals import Refusals


class LaneCounts(Protocol):
    """The part of the fast lane that counts."""

    answered_count: int
    handed_over_count: int

    @property
    def connection_count(self) -> int: ...


class NoLane:
    """Where no connection was ever taken."""

    answered_count = 0
    handed_over_count = 0
    connection_count = 0


class EdgeCounts:
    """Since the start; loop only. `requests` are those that the fast lane left to aiohttp, by method, route and status."""

    __slots__ = ("body_bytes", "lane", "refusals", "refused", "requests", "seconds")

    def __init__(self) -> None:
        self.lane: LaneCounts = NoLane()
        self.requests: dict[tuple[str, str, int], int] = {}
        self.seconds: dict[tuple[str, str], float] = {}
        self.refused: dict[str, int] = {}
        self.refusals = Refusals()
        self.body_bytes = 0

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """`route` is a template of the route table, never a path that was asked for. 0.3 µs."""
        key = (method, route, status)
        self.requests[key] = self.requests.get(key, 0) + 1
        self.seconds[method, route] = self.seconds.get((method, route), 0.0) + seconds

    def refuse(self, kind: str) -> None:
        """`kind`: the class of an error."""
        self.refused[kind] = self.refused.get(kind, 0) + 1
