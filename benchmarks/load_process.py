"""The owner of one load client process: orders in, answers out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Final, cast

from benchmarks.load import OpenOrder, Slice

_ROOT: Final = Path(__file__).parents[1]


class LoadProcess:
    """`python -m benchmarks.load`, opened on one server. Use it in a `with`."""

    def __init__(self, order: OpenOrder) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self._order("open", **order)
        except BaseException:
            self.close()
            raise

    def run(self, seconds: float, per_s: float | None = None) -> Slice:
        """`per_s`: how many heartbeats become due in a second; None sends the next when the last is answered."""
        return cast(Slice, self._order("run", seconds=seconds, per_s=per_s))

    def check(self) -> tuple[int, list[str]]:
        """Events compared, and what was wrong with them."""
        answer = self._order("check")
        return answer["checked"], answer["wrong"]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> LoadProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _order(self, do: str, **order: object) -> dict[str, Any]:
        """Raises RuntimeError if the client ended; its own words are on standard error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **order}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load client ended during {do!r}")
        return cast(dict[str, Any], json.loads(line))
