"""Many points in time as texts, digit by digit for all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from awlog.query.distinct import distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SECOND_US: Final = 1_000_000
_DAY_S: Final = 86_400

_TWO_DIGITS: Final = np.array([list(b"%02d" % number) for number in range(100)], np.uint8)


def timestamps_between(before: bytes, instants_us: NDArray[np.int64], after: bytes) -> list[bytes]:
    """`YYYY-MM-DDTHH:MM:SS[.ffffff]`, UTC without saying so, no fraction when it is zero, and the same text around each.

    About 0.15 µs each.
    """
    if not len(instants_us):
        return []
    seconds, micros = np.divmod(instants_us, _SECOND_US)
    days, second_of_day = np.divmod(seconds, _DAY_S)
    distinct_days, day = distinct(days)
    dates = np.datetime_as_string(distinct_days.astype("datetime64[D]"), unit="D").astype("S10")
    at = len(before)
    letters = np.empty((len(instants_us), at + 26 + len(after)), np.uint8)
    letters[:, :at] = list(before)
    letters[:, at : at + 10] = dates.view(np.uint8).reshape(-1, 10)[day]
    minutes, second = np.divmod(second_of_day, 60)
    hour, minute = np.divmod(minutes, 60)
    for place, mark in ((10, b"T"), (13, b":"), (16, b":"), (19, b".")):
        letters[:, at + place] = mark[0]
    for place, number in ((11, hour), (14, minute), (17, second)):
        letters[:, at + place : at + place + 2] = _TWO_DIGITS[number]
    for place, number in ((20, micros // 10_000), (22, micros // 100 % 100), (24, micros % 100)):
        letters[:, at + place : at + place + 2] = _TWO_DIGITS[number]
    letters[:, at + 26 :] = list(after)
    whole = micros == 0
    letters[whole, at + 19 : at + 19 + len(after)] = list(after)
    letters[whole, at + 19 + len(after) :] = 0  # numpy drops zero bytes at the end
    texts: list[bytes] = letters.reshape(-1).view(f"S{letters.shape[1]}").tolist()
    return texts
