"""`awlog top`: rates are differences, and a running server is found by its data directory."""

from __future__ import annotations

from pathlib import Path

from awlog.cli.top import Figures, screen
from awlog.model.errors import Refused
from tests.cli.conftest import Run
from tests.contract.wire import Api, event
from tests.server import Server


def figures(merged: float, commits: float, asked: float) -> Figures:
    route = frozenset({("method", "GET"), ("route", "/api/0/info"), ("status", "200")})
    return {
        ("awlog_heartbeats_total", frozenset({("outcome", "merged")})): merged,
        ("awlog_commit_seconds_count", frozenset()): commits,
        ("awlog_commit_seconds_sum", frozenset()): commits * 0.002,
        ("awlog_requests_total", route): asked,
        ("awlog_store_bytes", frozenset()): 3 << 20,
    }


def test_rates_are_of_the_time_between_two_looks() -> None:
    text = "\n".join(screen(figures(100, 10, 5), figures(300, 20, 9), 2.0))
    assert "heartbeats   100.0 /s (100.0 merged" in text
    assert "commits      5.0 /s, 2.00 ms each" in text
    assert "3.0 MiB" in text
    (line,) = [line for line in text.splitlines() if "/api/0/info" in line]
    assert line.split()[-2:] == ["2.0", "9"]


def test_a_running_server_is_shown(tmp_path: Path, run: Run) -> None:
    """Once, for a script."""
    with Server(tmp_path / "data") as server:
        Api(server).create("b")
        Api(server).beat("b", event("10:00:00"))
        result = run("top", "--data-dir", str(server.data_dir), "--once", "--every", "0.1")
    assert result.exit_code == 0, result.output
    assert "1 buckets, 1 events" in result.output
    assert "/api/0/buckets/{bucket_id}" in result.output


def test_where_none_is_running_it_says_so(tmp_path: Path, run: Run) -> None:
    result = run("top", "--data-dir", str(tmp_path), "--once")
    assert isinstance(result.exception, Refused)
    assert str(tmp_path) in str(result.exception)
