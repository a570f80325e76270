"""`python -m tools.check`: all that must hold before a change is done.

Stops at the first step that fails, and shows what that step printed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
# Rules and codecs with plain values: no server, no data directory that outlives a test.
UNIT_TESTS: Final = ("model", "log", "query", "api", "cli", "golden", "test_layers.py")
# Much of the time of a test is a server's start or the disk's sync: two files at a time take little more than one.
_SIDE_BY_SIDE: Final = ("-n", "2", "--dist", "loadfile")
# The line with which pytest says how many tests passed.
_CLOSING: Final = re.compile(r"(=+ )?\d+ passed")
_EPILOG: Final = """\
examples:
  python -m tools.check           everything, as it must be before a change is done
  python -m tools.check --fast    while editing: of the tests only the unit tests
"""


class Step(NamedTuple):
    """One program with its arguments, run by this interpreter at the root of the repository."""

    name: str
    module: str
    arguments: tuple[str, ...]


def steps(*, fast: bool, scratch: Path) -> list[Step]:
    """What is run, in its order. `scratch` is a directory that the benchmarks may fill."""
    tests = tuple(f"tests/{name}" for name in UNIT_TESTS) if fast else ("tests",)
    tiny = ("run", "--quick", "--only", "heartbeat,open loop,insert", "--seconds", "0.3", "--rounds", "1")
    where = ("--out", str(scratch / "out"), "--scratch", str(scratch / "data"))
    return [
        Step("format", "ruff", ("format", "--check", ".")),
        Step("lint", "ruff", ("check", ".")),
        Step("types", "mypy", ()),
        Step("layers", "pytest", ("tests/test_layers.py",)),
        Step("unit tests" if fast else "tests", "pytest", (*_SIDE_BY_SIDE, *tests)),
        Step("benchmarks", "benchmarks", (*tiny, *where)),
    ]


def run(step: Step) -> tuple[int, str]:
    """The exit status and all that was printed."""
    command = [sys.executable, "-m", step.module, *step.arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode(errors="replace")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.check",
        description="Format, lint, types, layers, tests, a tiny run of the benchmarks; stops at the first that fails.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--fast", action="store_true", help="of the tests only the unit tests")
    options = parser.parse_args(arguments)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="awlog-check-") as scratch:
        planned = steps(fast=options.fast, scratch=Path(scratch))
        for step in planned:
            step_began_s = time.monotonic()
            print(f"{step.name:<12}", end="", flush=True)
            status, output = run(step)
            print(f"{'ok' if status == 0 else 'FAILED':<8}{time.monotonic() - step_began_s:6.1f} s", flush=True)
            if status != 0:
                print(output)
                print(f"{step.name} failed; again: python -m {' '.join((step.module, *step.arguments))}")
                return 1
            # What did not run, and why, must not be overlooked; nor how many tests did.
            told = [line for line in output.splitlines() if line.startswith("NOT RUN") or _CLOSING.match(line)]
            print("".join(f"{line}\n" for line in told), end="", flush=True)
    print(f"all {len(planned)} steps passed in {time.monotonic() - began_s:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
