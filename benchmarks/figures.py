"""Medians, quantiles and ratios: how many slices become one line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Final, TypedDict

QUANTILES: Final = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)


class Ratio(TypedDict):
    """Of `n` rounds: `median` of their ratios, and the `lowest` and `highest` of one round."""

    median: float | None
    lowest: float | None
    highest: float | None
    n: int


def quantile(ordered: Sequence[float], q: float) -> float:
    """The least value that a share of at least `q` does not exceed."""
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


def ratio(over: Sequence[float], under: Sequence[float]) -> Ratio:
    """`over` / `under`, round by round; rounds without a positive `under` are left out of `n`."""
    ratios = [a / b for a, b in zip(over, under, strict=True) if b > 0]
    if not ratios:
        return Ratio(median=None, lowest=None, highest=None, n=0)
    return Ratio(median=median(ratios), lowest=min(ratios), highest=max(ratios), n=len(ratios))
