"""One line on standard error for each step, so that a run of minutes does not look dead."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
