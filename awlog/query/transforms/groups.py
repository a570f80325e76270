"""The sums of groups of events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from awlog.query.errors import QueryLimitExceeded

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A start of a stored event plus such a duration is far from the edge of int64. 73,000 years.
_DURATION_MAX_US: Final = 1 << 61
# Integers up to here are exact in the float64 that bincount adds in. 285 years.
_EXACT_MAX: Final = 1 << 53


def summed_by_group(duration_us: NDArray[np.int64], group: NDArray[np.intp], group_count: int) -> NDArray[np.int64]:
    """int64[group_count], exact. Raises QueryLimitExceeded if a sum is longer than all time that can be shown."""
    highest = int(duration_us.max(initial=0)) * len(duration_us)
    if highest < _EXACT_MAX:
        return np.bincount(group, weights=duration_us, minlength=group_count).astype(np.int64)
    if highest > _DURATION_MAX_US and sum(duration_us.tolist()) > _DURATION_MAX_US:
        raise QueryLimitExceeded("The durations of the events of one group add up to more than can be shown")
    sums = np.zeros(group_count, np.int64)
    np.add.at(sums, group, duration_us)
    return sums
