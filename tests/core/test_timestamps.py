"""Instants have one text at every interface, and survive each conversion to the microsecond."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.timestamps import (
    format_datetime,
    format_minute,
    format_timestamp,
    from_datetime,
    parse_timestamp,
    to_database_text,
    to_datetime,
)
from app.errors import InvalidInput

AT = 1_790_000_000_123_456
LAST = "9999-12-31T00:00:00.000000Z"

instants = st.integers(0, 2**53)


@given(instants)
def test_instant_survives_every_form(at: int) -> None:
    """As text, as a datetime, and as databases write it, with and without microseconds."""
    assert parse_timestamp(format_timestamp(at), "at") == at
    assert from_datetime(to_datetime(at)) == at
    assert from_datetime(to_database_text(at)) == at
    assert from_datetime(to_database_text(at)[:-7]) == at - at % 1_000_000
    assert format_datetime(to_datetime(at)) == format_timestamp(at)
    assert to_database_text(at) == to_datetime(at).isoformat(" ", "microseconds")


def test_texts_of_an_instant() -> None:
    """RFC 3339 in UTC with Z and six digits, also for whole seconds; to the minute on pages."""
    assert format_timestamp(AT) == "2026-09-21T14:13:20.123456Z"
    assert format_timestamp(0) == "1970-01-01T00:00:00.000000Z"
    assert format_timestamp(None) is None
    assert format_minute(AT) == "2026-09-21 14:13 UTC"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-09-21T14:13:20.123456Z", "2026-09-21T14:13:20.123456Z"),
        ("2026-09-21T14:13:20", "2026-09-21T14:13:20.000000Z"),
        ("2026-09-21T16:13:20+02:00", "2026-09-21T14:13:20.000000Z"),
        ("2026-09-21T16:13:20 02:00", "2026-09-21T14:13:20.000000Z"),  # a plus that a query did not escape
        ("2026-09-21", "2026-09-21T00:00:00.000000Z"),
        ("0001-01-01", "1970-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59Z", LAST),
    ],
)
def test_parsed_text_is_an_instant(text: str, instant: str) -> None:
    """UTC where there is no offset; bounded by what columns hold."""
    assert format_timestamp(parse_timestamp(text, "since")) == instant


def test_day_ends_where_the_next_one_begins() -> None:
    """Only a day has an end; a time is what it is."""
    end = parse_timestamp("2026-11-02", "until", ends_day=True)
    assert end == parse_timestamp("2026-11-03T01:00:00+01:00", "until", ends_day=True)
    assert format_timestamp(parse_timestamp("9999-12-31", "until", ends_day=True)) == LAST


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-09-21T25:00", "12345", "0001-01-01T00:00+23:00"])
def test_other_text_is_invalid_input(text: str) -> None:
    """The message names the parameter."""
    with pytest.raises(InvalidInput, match="since must be a day such as"):
        parse_timestamp(text, "since")


def test_time_of_an_old_row_with_an_offset_is_refused_not_shifted() -> None:
    """Columns hold naive UTC."""
    aware = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).isoformat()
    with pytest.raises(TypeError):
        from_datetime(aware)
