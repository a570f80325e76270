"""What the README and the manual print is what happens."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from awlog.cli.main import awlog
from tests.server import Server

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
MANUAL = "\n".join(page.read_text("utf-8") for page in sorted((ROOT / "awlog/docs").glob("*.md")))


def block(name: str, language: str) -> str:
    """The code block of `language` that follows the comment with this name."""
    found = re.search(rf"<!-- {name} -->.*?```{language}\n(.*?)```", README + MANUAL, re.DOTALL)
    assert found is not None, f"neither the README nor the manual has a block named {name}"
    return found.group(1)


@pytest.mark.needs("curl")
def test_the_first_heartbeat_of_the_readme_comes_back_as_printed(tmp_path: Path) -> None:
    """The commands word for word, but for the port; the last answer is the one that the README shows."""
    with Server(tmp_path / "data") as server:
        commands = block("first heartbeat", "sh").replace("localhost:5666", f"localhost:{server.port}")
        done = subprocess.run(["bash", "-euc", commands], capture_output=True, check=True)
    answers = re.findall(r"\{\}|\[.*\]$", done.stdout.decode())
    assert json.loads(answers[-1]) == json.loads(block("first heartbeat", "json"))


def test_the_client_of_the_manual_records_into_a_server(tmp_path: Path) -> None:
    """The program word for word, but for the port."""
    with Server(tmp_path / "data") as server:
        program = block("client", "python").replace("testing=True", f"port={server.port}")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=tmp_path)
    assert done.stdout == b"1 event\n"


def test_the_frame_of_the_manual_is_a_table_for_duckdb(tmp_path: Path) -> None:
    """The program word for word, but for the port."""
    with Server(tmp_path / "data") as server:
        server.request("POST", "/api/0/buckets/hello", {"client": "c", "type": "t", "hostname": "h"})
        event = {"timestamp": "2026-01-01T12:00:00Z", "duration": 1, "data": {"label": "tea"}}
        server.request("POST", "/api/0/buckets/hello/events", [event, event])
        program = block("frame", "python").replace("testing=True", f"port={server.port}")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"[('tea', 2.0)]\n"


@pytest.mark.parametrize("command", ["", "serve"])
def test_the_help_in_the_manual_is_the_help_of_the_program(command: str) -> None:
    """Whoever reads it sees today's options."""
    words = [sys.executable, "-m", "awlog", *command.split(), "--help"]
    printed = subprocess.run(words, capture_output=True, check=True, env={"COLUMNS": "80"}).stdout.decode()
    assert printed in MANUAL


def test_the_manual_names_every_command() -> None:
    """In the table at the top of its page of commands."""
    table = (ROOT / "awlog/docs/settings.md").read_text("utf-8").partition("## Settings")[0]
    assert set(re.findall(r"`awlog ([a-z]+)`", table)) == set(awlog.commands)


def test_every_dependency_has_a_line_in_the_readme() -> None:
    """What for, and why this one."""
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    required = project.split("\ndependencies = [")[1].split("]")[0]
    names = re.findall(r'^\s*"([a-z0-9-]+)', required, re.MULTILINE)
    assert len(names) > 5
    assert [name for name in names if f"\n| {name} |" not in README] == []


def test_the_pages_that_the_readme_points_to_are_there() -> None:
    """The way from README to the manual, to ARCHITECTURE.md, to the code."""
    pages = set(re.findall(r"\]\(([^)#:]+)\)", README))
    assert pages >= {"awlog/ARCHITECTURE.md", "awlog/storage/FORMAT.md", "LICENSE", "awlog/docs/care.md"}
    assert [page for page in sorted(pages) if not (ROOT / page).exists()] == []


def test_the_architecture_page_names_only_files_that_exist() -> None:
    """A newcomer follows the way of a heartbeat from file to file."""
    text = (ROOT / "awlog/ARCHITECTURE.md").read_text("utf-8")
    named = set(re.findall(r"`((?:model|log|query|storage|engine|api|client|cli)/[a-z_]+\.py)`", text))
    assert len(named) > 8
    assert [name for name in sorted(named) if not (ROOT / "awlog" / name).is_file()] == []
