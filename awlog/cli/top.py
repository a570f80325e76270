"""`awlog top`: what a running server does at this moment, again and again, from its own figures."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import click

from awlog.cli.local_socket import LocalServer, running_server
from awlog.cli.options import data_dir_options, default_data_dir
from awlog.model.errors import Refused

Labels = frozenset[tuple[str, str]]
Figures = Mapping[tuple[str, Labels], float]
_ROUTES_SHOWN: Final = 8
_MIB: Final = 1 << 20


@click.command()
@data_dir_options
@click.option("--every", "interval_s", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Seconds.")
@click.option("--once", is_flag=True, help="Print one look at an interval, and end.")
def top(*, testing: bool, config: Path, data_dir: Path | None, interval_s: float, once: bool) -> None:  # noqa: ARG001
    """Show what a running server does, as it does it. Ctrl-C ends it.

    Example: awlog top --every 5
    """
    folder = data_dir or default_data_dir(testing=testing)
    server = running_server(folder)
    if server is None:
        raise Refused(f"No server is running on {folder}")
    with server:
        before, before_s = _figures(server), time.monotonic()
        while True:
            time.sleep(interval_s)
            now, now_s = _figures(server), time.monotonic()
            text = "\n".join(screen(before, now, now_s - before_s))
            if once:
                click.echo(text)
                return
            click.clear()
            click.echo(f"awlog on {folder}, each {interval_s:g} s\n\n{text}")
            before, before_s = now, now_s


def _figures(server: LocalServer) -> Figures:
    from prometheus_client.parser import text_string_to_metric_families  # only now: it takes a while

    text = server.open("GET", "/metrics").read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def screen(before: Figures, now: Figures, seconds: float) -> Iterator[str]:
    """The lines of one look: rates since `before`, `seconds` ago, and what is now. Pure."""

    def value(name: str, **labels: str) -> float:
        return now.get((name, frozenset(labels.items())), 0.0)

    def per_s(name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return (now.get(key, 0.0) - before.get(key, 0.0)) / seconds

    outcomes = {each: per_s("awlog_heartbeats_total", outcome=each) for each in ("merged", "inserted", "unchanged")}
    commits = per_s("awlog_commit_seconds_count")
    commit_ms = per_s("awlog_commit_seconds_sum") / commits * 1000 if commits else 0.0
    shared = per_s("awlog_commit_requests_sum") / commits if commits else 0.0
    split = ", ".join(f"{rate:,.1f} {outcome}" for outcome, rate in outcomes.items())
    lane = per_s("awlog_lane_requests_total", way="answered")
    cpu = per_s("process_cpu_seconds_total") * 100
    yield f"heartbeats   {sum(outcomes.values()):,.1f} /s ({split}); {lane:,.1f} /s answered by the fast lane"
    yield f"commits      {commits:,.1f} /s, {commit_ms:.2f} ms each, {shared:.1f} requests in each"
    yield (
        f"now          {value('awlog_connections'):,.0f} connections, "
        f"{value('awlog_queries_running'):.0f} queries running, {value('awlog_queries_waiting'):.0f} waiting, "
        f"{value('awlog_feed_followers'):.0f} followers"
    )
    yield (
        f"holds        {value('awlog_buckets'):,.0f} buckets, {value('awlog_events'):,.0f} events, "
        f"{value('awlog_store_bytes') / _MIB:,.1f} MiB; {value('awlog_disk_free_bytes') / _MIB:,.0f} MiB free"
    )
    yield f"process      {cpu:.0f} % of a core, {value('process_resident_memory_bytes') / _MIB:,.0f} MiB"
    yield ""
    yield from _table("answers beside the fast lane", "awlog_requests_total", before, now, seconds)
    yield from _table("refused", "awlog_refused_total", before, now, seconds)


def _table(title: str, name: str, before: Figures, now: Figures, seconds: float) -> Iterator[str]:
    """Those of the highest rate first, then of the highest count."""
    rows = [
        ((count - before.get(key, 0.0)) / seconds, count, " ".join(text for _, text in sorted(key[1])))
        for key, count in now.items()
        if key[0] == name
    ]
    if rows:
        yield f"{title:<40} {'/s':>10} {'in all':>12}"
        for rate, count, labels in sorted(rows, key=lambda row: (-row[0], -row[1], row[2]))[:_ROUTES_SHOWN]:
            yield f"  {labels:<38} {rate:>10,.1f} {count:>12,.0f}"
