"""Hypothesis profiles, and programs from outside Python that some tests use.

Hypothesis has no deadlines, because a busy machine is no bug; where `CI` is set every run draws the same examples. A test
that is marked `needs("strace")` runs where strace is; elsewhere the last lines of the run say what did not run, and how
to get it. Where `CI` is set a missing program is an error.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("here", _patient)
settings.register_profile("ci", _patient, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")

_not_run = pytest.StashKey[Counter[str]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    missing: Counter[str] = Counter()
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        programs = {program for mark in item.iter_markers("needs") for program in mark.args}
        absent = sorted(program for program in programs if not _is_there(program))
        (left_out if absent else kept).append(item)
        missing.update(absent)
    if missing and os.environ.get("CI"):
        raise pytest.UsageError(f"the tests need {', '.join(sorted(missing))}: install them (apt-get install ...)")
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
    config.stash[_not_run] = missing


def _is_there(program: str) -> bool:
    """`root` is no program, but what mounting a file system needs."""
    return os.geteuid() == 0 if program == "root" else shutil.which(program) is not None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a worker process: tells the one that began it what did not run."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        missing = session.config.stash.get(_not_run, None) or Counter()
        output["not_run"] = dict(missing)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker has ended. All collect the same tests."""
    node.config.stash[_not_run] = Counter(getattr(node, "workeroutput", {}).get("not_run", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for program, count in sorted(config.stash.get(_not_run, Counter()).items()):
        terminalreporter.write_line(f"NOT RUN: {count} tests need {program}; `apt-get install {program}` or the like")
