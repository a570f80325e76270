"""`awlog privacy`, `awlog forget` and `awlog retention`: the same beside a running server and without one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from awlog.cli.local_socket import SOCKET_FILE
from awlog.storage.environment import DATA_FILE
from tests.cli.conftest import Run
from tests.server import Server

RULES = [
    {"enabled": True, "pattern": "bank", "action": "drop", "field": "title"},
    {"enabled": True, "pattern": "tea", "action": "redact", "field": "title", "replacement": "hidden"},
]
CANARY = "zanzibar-bank"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """On 9,000 old events in segments and three of the last minutes, and with rules."""
    now = datetime.now(UTC)
    old, new = now - timedelta(days=400), now - timedelta(minutes=5)

    def rows(start: datetime, *titles: str) -> list[dict[str, Any]]:
        return [
            {"timestamp": (start + timedelta(seconds=n)).isoformat(), "duration": 1, "data": {"title": title}}
            for n, title in enumerate(titles)
        ]

    with Server(tmp_path / "data") as running:
        for bucket in ("web", "notes"):
            running.request("POST", f"/api/0/buckets/{bucket}", {"type": "t", "client": "c", "hostname": "h"})
        titles = [f"{CANARY} {n}" if n % 3 == 0 else f"tea {n}" if n % 3 == 1 else f"page {n}" for n in range(9000)]
        running.request("POST", "/api/0/buckets/web/events", rows(old, *titles))
        running.request("POST", "/api/0/buckets/notes/events", rows(new, "a", "b", "c"))
        running.request("POST", "/api/0/settings/privacy_filters", RULES)
        running.request("POST", "/api/0/settings/retention", [{"bucket_prefix": "web", "max_events": 100}])
        yield running


def test_a_running_server_erases(run: Run, server: Server) -> None:
    """Counted first, then done, then there is nothing left to do. After `awlog compact` no byte of it is in the file."""

    def done(*arguments: str) -> str:
        result = run(*arguments, "--data-dir", str(server.data_dir))
        assert result.exit_code == 0, result.output
        return result.output

    shown = done("privacy", "preview", "--samples")
    assert "rule 0 (drop, title ~ bank): 3,000 events" in shown
    assert f'{{"title":"{CANARY} ' in shown
    assert "3,000 events would be dropped, 3,000 redacted" in shown
    assert "3,000 events dropped, 3,000 redacted" in done("privacy", "apply")
    assert "0 events would be dropped, 0 redacted" in done("privacy", "preview")
    assert "3 events would be deleted, 0 would be cut" in done("forget", "--last", "1h", "--dry-run")
    shown = done("forget", "--last", "10m")
    assert "3 events deleted, 0 cut" in shown
    assert "notes  3 deleted  0 cut" in shown
    assert "5,900 events would be removed" in done("retention", "preview")
    assert "5,900 events removed" in done("retention", "run")
    done("compact")
    assert CANARY.encode() not in (server.data_dir / DATA_FILE).read_bytes()


def test_without_a_server_a_command_opens_the_store_itself(server: Server) -> None:
    """What it did is there when the server comes back, and no socket is left."""
    server.stop()
    words = [sys.executable, "-m", "awlog", "privacy", "apply", "--data-dir", str(server.data_dir)]
    result = subprocess.run(words, capture_output=True, check=False, text=True)
    assert (result.returncode, result.stdout[:41]) == (0, "3,000 events dropped, 3,000 redacted\n`awl"), result.stderr
    assert not (server.data_dir / SOCKET_FILE).exists()
    server.start()
    assert server.request("GET", "/api/0/buckets/web/events/count").json() == 6000


@pytest.mark.parametrize("period", ["10", "0m", "m", "-5m", "10y", ""])
def test_a_period_is_a_number_and_a_unit(run: Run, period: str) -> None:
    result = run("forget", "--last", period)
    assert (result.exit_code, "no period" in result.output) == (2, True)


def test_without_a_store_there_is_nothing_to_ask(run: Run, tmp_path: Path) -> None:
    """None is made."""
    result = run("privacy", "preview", "--data-dir", str(tmp_path / "none"))
    assert result.exit_code != 0
    assert not (tmp_path / "none").exists()


def test_rules_that_cannot_be_read_are_a_wrong_usage(run: Run, tmp_path: Path) -> None:
    """Named by the file."""
    rules = tmp_path / "rules.json"
    rules.write_text("[", encoding="utf-8")
    result = run("privacy", "preview", "--rules", str(rules))
    assert (result.exit_code, str(rules) in result.output.replace("\n", "")) == (2, True)
