"""Hypothesis profiles, and programs from outside Python that some tests use.

Hypothesis has no deadlines, because a busy machine is no bug; where `CI` is set every run draws the same examples. A test
that is marked `needs("strace")` runs where strace is; elsewhere the last lines of the run say what did not run, and how
to get it. Where `CI` is set a missing program is an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
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
    to_install = sorted(missing.keys() - _LEAVES)
    if to_install and os.environ.get("CI"):
        raise pytest.UsageError(f"the tests need {', '.join(to_install)}: install them (apt-get install ...)")
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
    config.stash[_not_run] = missing


# What a machine may not allow, also in CI, whoever installs what: told apart from programs, and never an error.
_MOUNTING = "leave to mount a tmpfs"
_LOOP_DEVICES = "leave to mount a file"
_BREAKING = "leave to break a file system"
_LEAVES = frozenset({_MOUNTING, _LOOP_DEVICES, _BREAKING})


@cache
def _is_there(need: str) -> bool:
    if need not in _LEAVES:
        return shutil.which(need) is not None
    if need == _BREAKING:
        return _is_there(_LOOP_DEVICES) and os.access("/sys/fs/ext4", os.W_OK)
    if os.name != "posix" or os.geteuid() != 0:
        return False
    with tempfile.TemporaryDirectory() as folder:
        what = ["-t", "tmpfs", "tmpfs"]
        if need == _LOOP_DEVICES:
            image = Path(folder) / "image"
            image.touch()
            os.truncate(image, 1 << 20)
            what = ["-o", "loop", str(image)]
            make = ["mkfs.ext4", "-q", str(image)]
            if shutil.which(make[0]) is None or subprocess.run(make, capture_output=True, check=False).returncode:
                return False
        at = Path(folder) / "at"
        at.mkdir()
        if subprocess.run(["mount", *what, str(at)], capture_output=True, check=False).returncode:
            return False
        subprocess.run(["umount", str(at)], check=True)
    return True


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
        how = "" if program in _LEAVES else f"; `apt-get install {program}` or the like"
        terminalreporter.write_line(f"NOT RUN: {count} tests need {program}{how}")
