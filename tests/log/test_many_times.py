"""Many times at once against the exact parsers, one by one."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awlog.log.many_times import durations_of, instants_of
from awlog.model.errors import BadRequest
from awlog.model.times import TIME_MAX_US, TIME_MIN_US, duration_from_seconds, format_timestamp, parse_timestamp

instants = st.integers(TIME_MIN_US, TIME_MAX_US)
usual = instants.map(format_timestamp) | st.datetimes().map(lambda one: one.replace(tzinfo=UTC).isoformat())
odd = st.sampled_from(
    ["2024-05-01", "2024-05-01T10:00:00Z", "2024-05-01T10:00:00.25+02:00", "2024-05-01 10:00:00.250000+00:00"]
)
# One letter of a usual text replaced: digits that are out of range, other marks, letters that are not ASCII.
spoiled = st.builds(
    lambda text, at, letter: text[: at % len(text)] + letter + text[at % len(text) + 1 :],
    usual,
    st.integers(0, 40),
    st.sampled_from("0123456789:-+.TZ \0/;\N{ARABIC-INDIC DIGIT ONE}\N{LATIN SMALL LETTER E WITH ACUTE}"),
)
seconds = (
    st.none()
    | st.integers(-10, 1 << 70)
    | st.floats(-1, 1e12, allow_nan=False)
    | st.floats(0, 1e4, allow_nan=False).map(lambda one: round(one, 7))
)


def one_by_one(texts: list[str]) -> list[int] | None:
    """None if the exact parser refuses one of them."""
    try:
        return [parse_timestamp(text) for text in texts]
    except BadRequest:
        return None


@given(st.lists(usual | odd | spoiled, max_size=12))
def test_many_texts_are_what_each_is_alone(texts: list[str]) -> None:
    """Whatever forms they have and however they are mixed; if one is refused alone, so are all."""
    expected = one_by_one(texts)
    if expected is None:
        with pytest.raises(BadRequest):
            instants_of(texts)
    else:
        assert instants_of(texts).tolist() == expected


def test_each_day_of_four_hundred_years_is_found() -> None:
    """The calendar repeats after that, leap years and all."""
    first = datetime(1999, 12, 1, 23, 59, 59, 999_999, tzinfo=UTC).timestamp()
    texts = [datetime.fromtimestamp(first + 86_400 * day, UTC).isoformat() for day in range(146_097)]
    assert instants_of(texts).tolist() == one_by_one(texts)


@pytest.mark.parametrize(
    "text",
    [
        "2023-02-29T00:00:00+00:00",
        "2100-02-29T00:00:00+00:00",
        "2024-04-31T00:00:00.000000+00:00",
        "2024-00-10T00:00:00+00:00",
        "2024-13-10T00:00:00+00:00",
        "2024-05-00T00:00:00+00:00",
        "0000-05-01T00:00:00+00:00",
        "2024-05-01T24:00:00+00:00",
        "2024-05-01T10:60:00+00:00",
        "2024-05-01T10:00:60+00:00",
    ],
)
def test_a_time_that_is_not_there_is_refused_among_good_ones(text: str) -> None:
    """As by the exact parser."""
    assert one_by_one([text]) is None
    with pytest.raises(BadRequest, match="ISO 8601"):
        instants_of(["2024-05-01T10:00:00+00:00", text, "2024-05-01T10:00:00.250000+00:00"])


@given(st.lists(st.tuples(instants, seconds), max_size=8))
def test_many_durations_are_what_each_is_alone(pairs: list[tuple[int, float | None]]) -> None:
    """Rounded alike, cut at zero alike, and refused alike when one would end after year 9999."""
    starts = np.array([start_us for start_us, _ in pairs], np.int64)
    given_s = [each for _, each in pairs]
    try:
        expected = [duration_from_seconds(each, start_us) for start_us, each in pairs]
    except BadRequest:
        with pytest.raises(BadRequest):
            durations_of(given_s, starts)
    else:
        assert durations_of(given_s, starts).tolist() == expected


def test_an_integer_beyond_a_double_is_a_duration_that_is_too_long() -> None:
    """Refused, not a failure inside."""
    with pytest.raises(BadRequest, match="9999"):
        durations_of([1.0, 10**400], np.zeros(2, np.int64))
