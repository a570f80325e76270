"""The page of promises: every one of them is named, and every test that it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "awlog/docs/promises.md").read_text("utf-8")
# The numbers of each group. L and F are one promise each, with a table of limits and of disks behind them.
GROUPS = {"D": 8, "C": 7, "O": 7, "S": 13, "R": 6, "B": 5, "U": 5}
ROWS = re.findall(r"^\| ([A-Z][0-9]*) \| (.+?) \| (.+) \|$", PAGE, re.MULTILINE)


@cache
def _tests_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {each.name for each in found if each.name.startswith("test_")}


def test_every_promise_has_its_row():
    """In order, each once."""
    expected = [f"{group}{number}" for group, count in GROUPS.items() for number in range(1, count + 1)]
    named = [number for number, _, _ in ROWS]
    assert sorted(named) == sorted([*expected, "L", "F"])


def test_every_promise_is_proved_by_tests_that_are_there():
    """A test that is renamed or goes takes its promise along, unless the page is told."""
    for number, _, proof in ROWS:
        named = re.findall(r"\]\(\.\./\.\./(tests/[^)#]+)#(test_[a-z0-9_]+)\)", proof)
        assert named, f"{number} is proved by nothing"
        for file, name in named:
            assert name in _tests_in(file), f"{number}: {file} has no {name}"
