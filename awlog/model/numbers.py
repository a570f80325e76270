"""A decimal number as a text, in a query or a table. Python's `float` takes `1_0`, `nan` and digits of other scripts too."""

from __future__ import annotations

import re
from typing import Final

_DECIMAL: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)


def decimal(text: str) -> float | None:
    """The number, infinite if it is beyond a double; None if the text is none."""
    return float(text) if _DECIMAL.fullmatch(text) else None
