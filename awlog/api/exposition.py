"""The figures as text for Prometheus. Loaded when it is first asked for: its library takes a while."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from awlog.api.counts import EdgeCounts
from awlog.engine.figures import EngineFigures, Histogram


class _Collected(Collector):
    """The figures of one moment, as Prometheus understands them. No label holds what was recorded."""

    def __init__(self, engine: EngineFigures, edge: EdgeCounts) -> None:
        self._engine = engine
        self._edge = edge

    def collect(self) -> Iterator[Metric]:
        engine, counts, edge = self._engine, self._engine.counts, self._edge
        beats = CounterMetricFamily(
            "awlog_heartbeats", "Heartbeats that were taken, by what became of them", labels=["outcome"]
        )
        for outcome in ("merged", "inserted", "unchanged"):
            beats.add_metric([outcome], getattr(counts, outcome))
        yield beats
        ways = CounterMetricFamily("awlog_lane_requests", "Requests that the fast lane looked at", labels=["way"])
        lane = edge.lane
        ways.add_metric(["answered"], lane.answered_count)
        ways.add_metric(["left to aiohttp"], lane.handed_over_count)
        yield ways
        yield _histogram("awlog_commit_seconds", "Time of a commit with its sync", counts.commit_s)
        yield _histogram("awlog_write_seconds", "Time from a write's arrival until it was durable", counts.waits)
        yield _histogram("awlog_commit_requests", "Requests that shared a commit", counts.batch_requests)
        yield CounterMetricFamily(
            "awlog_failed_commits", "Commits that failed and were taken back", value=counts.failed_commits
        )
        requests = CounterMetricFamily(
            "awlog_requests", "Answers beside those of the fast lane", labels=["method", "route", "status"]
        )
        for (method, route, status), count in edge.requests.items():
            requests.add_metric([method, route, str(status)], count)
        yield requests
        seconds = CounterMetricFamily("awlog_request_seconds", "Time that they took", labels=["method", "route"])
        for (method, route), total_s in edge.seconds.items():
            seconds.add_metric([method, route], total_s)
        yield seconds
        refused = CounterMetricFamily(
            "awlog_refused", "Requests that were refused, by the type of the error", labels=["type"]
        )
        for kind, count in edge.refused.items():
            refused.add_metric([kind], count)
        yield refused
        yield CounterMetricFamily(
            "awlog_body_bytes", "Bytes of bodies that came in beside the fast lane", value=edge.body_bytes
        )
        gauges: dict[str, tuple[str, float]] = {
            "awlog_connections": ("Open connections", lane.connection_count),
            "awlog_buckets": ("Buckets", engine.bucket_count),
            "awlog_events": ("Events in all buckets", engine.event_count),
            "awlog_snapshots": ("Open read transactions of the server", engine.snapshot_count),
            "awlog_reader_processes": ("Processes that run queries and long reads", engine.reader_count),
            "awlog_feed_followers": ("Followers of the change feed", engine.follower_count),
            "awlog_queries_running": ("Queries that run", engine.queries_running),
            "awlog_queries_waiting": ("Queries that wait for their turn", engine.queries_waiting),
            "awlog_store_bytes": ("Length of the store's file", engine.file_bytes),
            "awlog_disk_free_bytes": ("Room beside it", engine.free_bytes),
            "awlog_push_behind": ("Buckets with changes that the hub does not have", engine.behind.bucket_count),
            "awlog_push_unsent_seconds": ("Age of the oldest such change", engine.behind.unsent_s),
        }
        for name, (says, value) in gauges.items():
            yield GaugeMetricFamily(name, says, value=value)


def _histogram(name: str, says: str, seen: Histogram) -> HistogramMetricFamily:
    buckets: list[tuple[str, float]] = []
    below = 0
    for bound, count in zip((*map(str, seen.bounds), "+Inf"), seen.counts, strict=True):
        below += count
        buckets.append((bound, below))
    return HistogramMetricFamily(name, says, buckets=buckets, sum_value=seen.sum)


class _Process:
    """What is told of the process itself; each look reads /proc."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)


_process: Final = _Process()


def exposition(figures: EngineFigures, edge: EdgeCounts) -> bytes:
    """One look, text format 0.0.4. 3 ms."""
    registry = CollectorRegistry()
    registry.register(_Collected(figures, edge))
    return generate_latest(registry) + generate_latest(_process.registry)
