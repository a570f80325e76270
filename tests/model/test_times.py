"""Timestamps and durations: `rest-api.md` section 2."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from awlog.model.errors import BadRequest
from awlog.model.times import (
    EPOCH,
    TIME_MAX_US,
    TIME_MIN_US,
    Micros,
    duration_from_seconds,
    format_timestamp,
    parse_query_timestamp,
    parse_timestamp,
    seconds_from_us,
    span_from_seconds,
)

DAY_US = 86_400_000_000
# Durations up to here (71 years) are told apart by a float of seconds, with room for one rounding.
EXACT_US = 1 << 51

instants = st.integers(TIME_MIN_US, TIME_MAX_US)


def us(*fields: int) -> int:
    """µs since the epoch of a UTC date and time, by datetime's own arithmetic."""
    year, month, day, hour, minute, second, microsecond = (*fields, 0, 0, 0, 0)[:7]
    moment = datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC)
    return (moment - EPOCH) // timedelta(microseconds=1)


TEN = us(2024, 5, 1, 10)


@pytest.mark.parametrize(
    ("text", "instant_us"),
    [
        ("2024-05-01T10:00:00Z", TEN),
        ("2024-05-01T10:00:00z", TEN),
        ("2024-05-01T10:00:00+02:00", us(2024, 5, 1, 8)),
        ("2024-05-01T10:00:00+0200", us(2024, 5, 1, 8)),
        ("2024-05-01T10:00:00+02", us(2024, 5, 1, 8)),
        ("2024-05-01T10:00:00-02:30", us(2024, 5, 1, 12, 30)),
        ("2024-05-01T10:00:00-0230", us(2024, 5, 1, 12, 30)),
        ("2024-05-01T10:00:00+00:00", TEN),
        ("2024-05-01T10:00:00-00:00", TEN),
        ("2024-05-01T10:00:00+23:59", us(2024, 4, 30, 10, 1)),
        ("2024-05-01T10:00:00", TEN),
        ("2024-05-01 10:00:00Z", TEN),
        ("2024-05-01 10:00:00", TEN),
        ("2024-05-01T10:00Z", TEN),
        ("2024-05-01T10:00", TEN),
        ("2024-05-01T10:00+02:00", us(2024, 5, 1, 8)),
        ("2024-05-01", us(2024, 5, 1)),
        ("2024-02-29", us(2024, 2, 29)),
        ("2024-05-01T23:59:59.999999Z", us(2024, 5, 1, 23, 59, 59, 999_999)),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("1901-01-01T00:00:00Z", us(1901, 1, 1)),
    ],
)
def test_each_form_of_a_timestamp_names_its_instant(text: str, instant_us: int) -> None:
    """No offset means UTC, a date alone is its midnight, seconds may be missing, a space may stand for the T."""
    assert parse_timestamp(text) == instant_us


@pytest.mark.parametrize("mark", [".", ","])
@pytest.mark.parametrize(
    ("digits", "fraction_us"),
    [
        ("1", 100_000),
        ("12", 120_000),
        ("123", 123_000),
        ("1234", 123_400),
        ("12345", 123_450),
        ("123456", 123_456),
        ("000001", 1),
        ("1234567", 123_456),
        ("123456789", 123_456),
        ("999999999", 999_999),
        ("0000009", 0),
        ("123456" + "9" * 30, 123_456),
    ],
)
def test_a_fraction_is_kept_to_the_microsecond_and_the_rest_cut_off(mark: str, digits: str, fraction_us: int) -> None:
    """One digit or thirty, after a point or a comma; cut off, never rounded up."""
    assert parse_timestamp(f"2024-05-01T10:00:00{mark}{digits}Z") == TEN + fraction_us


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(" ", id="blank"),
        pytest.param("now", id="word"),
        pytest.param("1714557600", id="number"),
        pytest.param("1714557600.5", id="float"),
        pytest.param("2024-02-30", id="no such day"),
        pytest.param("2023-02-29", id="no leap year"),
        pytest.param("2024-13-01", id="no such month"),
        pytest.param("2024-00-10", id="month 0"),
        pytest.param("2024-05-00", id="day 0"),
        pytest.param("2024-05-01T24:00:00Z", id="hour 24"),
        pytest.param("2024-05-01T10:60:00Z", id="minute 60"),
        pytest.param("2024-05-01T10:00:60Z", id="second 60"),
        pytest.param("2024-05-01T10:00:00+24:00", id="offset of a day"),
        pytest.param("2024-05-01T10:00:00+02:60", id="offset with minute 60"),
        pytest.param("2024-05-01T10:00:00+2", id="offset of one digit"),
        pytest.param("2024-05-01T10:00:00+02:0", id="offset with half a minute field"),
        pytest.param("2024-05-01T10:00:00 +02:00", id="blank before the offset"),
        pytest.param("2024-05-01T10:00:00 02:00", id="blank for the plus, outside a query string"),
        pytest.param("2024-05-01T10:00:00.Z", id="point without digits"),
        pytest.param("2024-05-01T10:00.5Z", id="fraction of a minute"),
        pytest.param("2024-05-01T10Z", id="hour alone"),
        pytest.param("2024-05-01T", id="nothing after the T"),
        pytest.param("2024-05-01Z", id="date with an offset"),
        pytest.param("2024-05", id="month alone"),
        pytest.param("20240501T100000Z", id="basic format"),
        pytest.param("2024-W18-3", id="week date"),
        pytest.param("2024-5-1", id="one digit for the month"),
        pytest.param("02024-05-01", id="five digits for the year"),
        pytest.param("+2024-05-01", id="sign before the year"),
        pytest.param(" 2024-05-01", id="blank before"),
        pytest.param("2024-05-01 ", id="blank after"),
        pytest.param("2024-05-01T10:00:00Z\n", id="newline after"),
        pytest.param("2024-05-01\t10:00:00Z", id="tab for the T"),
        pytest.param("2024-05-01T10:00:00ZZ", id="two offsets"),
        pytest.param("2024/05/01", id="slashes"),
        pytest.param("٢٠٢٤-٠٥-٠١", id="digits that are not ASCII"),
        pytest.param("2024-05-01T10:00:00\N{MINUS SIGN}02:00", id="typographic minus"),
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    """The message says what a timestamp looks like."""
    with pytest.raises(BadRequest, match="ISO 8601"):
        parse_timestamp(text)


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    """A window title that strayed into the wrong field must not end up in a log."""
    with pytest.raises(BadRequest) as refused:
        parse_timestamp("my secret title")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "instant_us"),
    [
        ("0001-01-01", TIME_MIN_US),
        ("0001-01-01T00:00:00Z", TIME_MIN_US),
        ("0001-01-01T00:00:00-00:01", TIME_MIN_US + 60_000_000),
        ("0001-01-01T23:59:00+23:59", TIME_MIN_US),
        ("9999-12-31T23:59:59.999999Z", TIME_MAX_US),
        ("9999-12-31T23:59:59.999999999Z", TIME_MAX_US),
        ("9999-12-31T23:59:59.999999+00:01", TIME_MAX_US - 60_000_000),
        ("9999-12-31T00:00:59.999999-23:59", TIME_MAX_US),
    ],
)
def test_years_1_to_9999_in_utc_are_ordinary(text: str, instant_us: int) -> None:
    """The first and the last instant, also when an offset leads to them."""
    assert parse_timestamp(text) == instant_us


@pytest.mark.parametrize(
    "text",
    [
        "0000-12-31T23:59:59Z",
        "0001-01-01T00:00:00+00:01",
        "0001-01-01T23:58:59.999999+23:59",
        "9999-12-31T23:59:59.999999-00:01",
        "9999-12-31T00:01:00-23:59",
        "10000-01-01T00:00:00Z",
    ],
)
def test_instants_outside_years_1_to_9999_in_utc_are_refused(text: str) -> None:
    """What counts is the year in UTC, not the one that is written."""
    with pytest.raises(BadRequest):
        parse_timestamp(text)


@pytest.mark.parametrize(
    ("text", "instant_us"),
    [
        ("2024-05-01T10:00:00 02:00", us(2024, 5, 1, 8)),
        ("2024-05-01T10:00:00 0200", us(2024, 5, 1, 8)),
        ("2024-05-01T10:00:00 02", us(2024, 5, 1, 8)),
        ("2024-05-01T10:00:00.250 02:00", us(2024, 5, 1, 8, 0, 0, 250_000)),
        ("2024-05-01T10:00:00,250 02:00", us(2024, 5, 1, 8, 0, 0, 250_000)),
        ("2024-05-01T10:00 02:00", us(2024, 5, 1, 8)),
        ("2024-05-01 10:00:00 02:00", us(2024, 5, 1, 8)),
        ("2024-05-01 10:00:00", TEN),
        ("2024-05-01 10:00", TEN),
        ("2024-05-01T10:00:00+02:00", us(2024, 5, 1, 8)),
        ("2024-05-01T10:00:00-02:00", us(2024, 5, 1, 12)),
        ("2024-05-01T10:00:00Z", TEN),
        ("2024-05-01", us(2024, 5, 1)),
    ],
)
def test_in_a_query_string_a_blank_before_an_offset_is_a_plus(text: str, instant_us: int) -> None:
    """An unescaped `+` arrives as a blank; a blank for the T stays one."""
    assert parse_query_timestamp(text) == instant_us


@pytest.mark.parametrize("text", ["", "abc", "2024-05-01T10:00:00  02:00", "2024-05-01 02:00 02:00 02:00"])
def test_a_query_string_is_no_more_forgiving_than_that(text: str) -> None:
    """Two blanks, or one too many, are refused."""
    with pytest.raises(BadRequest):
        parse_query_timestamp(text)


@given(instants)
def test_timestamps_are_written_as_datetime_writes_them(instant_us: int) -> None:
    """`datetime.isoformat()` for UTC, from year 1 to 9999: no fraction when it is zero, six digits otherwise."""
    moment = EPOCH + timedelta(microseconds=instant_us)
    assert format_timestamp(instant_us) == moment.isoformat()


@pytest.mark.parametrize(
    ("instant_us", "text"),
    [
        (TEN, "2024-05-01T10:00:00+00:00"),
        (TEN + 250_000, "2024-05-01T10:00:00.250000+00:00"),
        (TEN + 1, "2024-05-01T10:00:00.000001+00:00"),
        (0, "1970-01-01T00:00:00+00:00"),
        (-1, "1969-12-31T23:59:59.999999+00:00"),
        (TIME_MIN_US, "0001-01-01T00:00:00+00:00"),
        (TIME_MAX_US, "9999-12-31T23:59:59.999999+00:00"),
    ],
)
def test_a_written_timestamp_has_six_digits_of_fraction_or_none(instant_us: int, text: str) -> None:
    """Never `Z`, never three digits."""
    assert format_timestamp(instant_us) == text


@given(instants)
def test_what_is_written_is_read_as_the_same_instant(instant_us: int) -> None:
    """For bodies and for query strings."""
    text = format_timestamp(instant_us)
    assert parse_timestamp(text) == instant_us
    assert parse_query_timestamp(text.replace("+", " ")) == instant_us


@given(
    moment=st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)),
    offset_minutes=st.integers(-1439, 1439),
    separator=st.sampled_from("T "),
    mark=st.sampled_from(".,"),
    colon=st.sampled_from([":", ""]),
)
def test_all_forms_mean_what_datetime_makes_of_them(
    moment: datetime, offset_minutes: int, separator: str, mark: str, colon: str
) -> None:
    """Any mixture of the separators, the fraction's mark and the offset's form."""
    local = moment.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    sign, (hours, minutes) = "-" if offset_minutes < 0 else "+", divmod(abs(offset_minutes), 60)
    text = f"{moment.isoformat(separator, 'microseconds').replace('.', mark)}{sign}{hours:02}{colon}{minutes:02}"
    assert parse_timestamp(text) == (local - EPOCH) // timedelta(microseconds=1)


@given(
    st.sampled_from(["2024-05-01T10:00:00+00:00", "2024-05-01T10:00:00.123456+00:00", "2023-02-29T10:00:00+00:00"]),
    st.lists(st.tuples(st.integers(0, 31), st.sampled_from(list("0123456789-+:.,TWZ t\u0663"))), max_size=4),
)
@example("2024-05-01T10:00:00+00:00", [(5, "W"), (8, "-")])
@example("2024-05-01T10:00:00.123456+00:00", [(19, ":")])
@example("2024-05-01T10:00:00+00:00", [(11, "2"), (12, "4")])
def test_the_form_that_python_writes_means_the_same_as_its_shorter_spelling(text: str, edits: list[tuple[int, str]]):
    """That form is read on a way of its own; with `Z` the same text goes the long way."""
    chars = list(text)
    for place, char in edits:
        if place < len(chars) - 6:
            chars[place] = char
    edited = "".join(chars)
    shorter = edited.removesuffix("+00:00") + "Z"
    try:
        instant_us = parse_timestamp(shorter)
    except BadRequest:
        with pytest.raises(BadRequest):
            parse_timestamp(edited)
    else:
        assert parse_timestamp(edited) == instant_us


@pytest.mark.parametrize(
    ("seconds", "duration_us"),
    [
        (None, 0),
        (0, 0),
        (0.0, 0),
        (-0.0, 0),
        (-5, 0),
        (-0.5, 0),
        (-1e-9, 0),
        (-1e300, 0),
        (-(10**400), 0),
        (1, 1_000_000),
        (12.5, 12_500_000),
        (1e-06, 1),
        (4e-07, 0),
        (6e-07, 1),
        (0.1234564, 123_456),
        (0.1234566, 123_457),
        (0.1 + 0.2, 300_000),
        (1e3, 1_000_000_000),
        (31_536_000, 365 * DAY_US),
    ],
)
def test_seconds_become_the_nearest_microseconds(seconds: float | None, duration_us: int) -> None:
    """A missing duration and a negative one are 0."""
    assert duration_from_seconds(seconds, TEN) == duration_us


def test_an_event_may_end_at_the_last_instant_but_not_later() -> None:
    """The limit is the event's end, so it depends on its start."""
    assert duration_from_seconds(1, TIME_MAX_US - 1_000_000) == 1_000_000
    assert duration_from_seconds(0, TIME_MAX_US) == 0
    with pytest.raises(BadRequest, match="9999"):
        duration_from_seconds(1, TIME_MAX_US - 999_999)
    with pytest.raises(BadRequest, match="9999"):
        duration_from_seconds(1e-6, TIME_MAX_US)


@pytest.mark.parametrize("seconds", [1e12, 1e300, float("inf"), 10**12, 10**400])
def test_a_duration_longer_than_all_time_is_refused(seconds: float) -> None:
    """However large the number is: a float, an infinity, an integer beyond every float."""
    with pytest.raises(BadRequest, match="9999"):
        duration_from_seconds(seconds, TIME_MIN_US)


@given(st.integers(0, EXACT_US))
def test_a_written_duration_is_read_as_the_same_microseconds(duration_us: int) -> None:
    """What an export says, an import understands, for every duration up to 71 years."""
    seconds = seconds_from_us(duration_us)
    assert isinstance(seconds, float)
    assert duration_from_seconds(seconds, 0) == duration_us


@given(start_us=instants, share=st.floats(0, 1))
@example(start_us=TIME_MIN_US, share=1.0)
@example(start_us=0, share=1.0)
@example(start_us=10_335_736_801, share=1.0)
def test_every_duration_that_can_be_stored_is_read_as_it_was_written(start_us: int, share: float) -> None:
    """Up to the last instant: the float nearest to the longest duration is not too long, and it is written alike again."""
    longest_us = TIME_MAX_US - start_us
    duration_us = min(round(longest_us * share), longest_us)
    written = seconds_from_us(duration_us)
    read_us = duration_from_seconds(written, start_us)
    assert read_us <= longest_us
    assert seconds_from_us(read_us) == written


@pytest.mark.parametrize(
    ("duration_us", "text"), [(0, "0.0"), (12_500_000, "12.5"), (1, "1e-06"), (60_000_000, "60.0"), (250_000, "0.25")]
)
def test_durations_are_written_as_floats(duration_us: int, text: str) -> None:
    """`0.0`, never `0`."""
    assert repr(seconds_from_us(duration_us)) == text


@pytest.mark.parametrize(
    ("seconds", "span_us"), [(0.0, 0), (10, 10_000_000), (0.5, 500_000), (1e3, 1_000_000_000), (-5, -5_000_000)]
)
def test_a_span_keeps_its_sign(seconds: float, span_us: int) -> None:
    """A pulsetime may be negative."""
    assert span_from_seconds(seconds) == span_us


@pytest.mark.parametrize("seconds", [1e15, 1e300, 1.7976931348623157e308])
def test_a_span_however_large_reaches_over_all_time_and_never_overflows(seconds: float) -> None:
    """From the first instant to the last, and a sum with any instant still fits 64 bits."""
    span_us = span_from_seconds(seconds)
    assert TIME_MIN_US + span_us >= TIME_MAX_US
    assert TIME_MAX_US + span_us < 1 << 63
    assert span_from_seconds(-seconds) == Micros(-span_us)


@given(st.datetimes(timezones=st.just(UTC)), st.integers(0, 31), st.sampled_from("0129+-:.,TtZz W_\u0663\uff11é"))
def test_the_form_that_clients_write_is_read_as_any_other(moment: datetime, place: int, char: str) -> None:
    """It has a way of its own. With a character exchanged it means what it means with another offset, or nothing."""
    usual = moment.isoformat(timespec="microseconds")
    assert parse_timestamp(usual) == (moment - EPOCH) // timedelta(microseconds=1)
    spoilt = usual[:place] + char + usual[place + 1 :]
    assert parsed_or_none(spoilt) == parsed_or_none(
        spoilt.removesuffix("+00:00") + "Z" if spoilt.endswith("+00:00") else spoilt
    )


def parsed_or_none(text: str) -> int | None:
    try:
        return parse_timestamp(text)
    except BadRequest:
        return None
