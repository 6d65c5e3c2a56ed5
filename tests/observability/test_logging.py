"""The log formatter: one line an event, as text or JSON, with keys and tokens redacted."""

import json
import logging
import re
from typing import get_args

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from app.access.tokens import ResumeTokens, new_key
from app.observability.logging import LineFormatter, LogFormat, resolve_log_format
from app.survey.snapshot import SessionKey
from tests.web.production import random_secret

LINE = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) (?P<level>[A-Z]+) \[(?P<pid>\d+)\] (?P<name>[\w.]+): (?P<what>.+)"
)
MARKER = "ANSWER-MARKER-7f3a"


def format_line(
    message: str, *arguments: object, form: LogFormat = "text", error: BaseException | None = None, **extra: object
) -> str:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("stepkeep.test", logging.ERROR, "x.py", 1, message, arguments, exc_info)
    record.__dict__.update(extra)
    return LineFormatter(form).format(record)


@given(st.text(), st.text())
def test_any_text_is_one_printable_line(message: str, argument: str) -> None:
    line = format_line("%s", message, user_id=argument, error=ValueError(argument))
    assert line.isprintable()
    assert LINE.fullmatch(line)


@given(st.text(), st.text())
@example("\x7f\x85\u2028\ud800", "\x7f")
def test_any_text_round_trips_through_a_json_line(message: str, argument: str) -> None:
    """In printable ASCII."""
    line = format_line("%s", message, form="json", user_id=argument, error=ValueError(argument))
    assert line.isascii()
    assert line.isprintable()
    entry = json.loads(line)
    assert (entry["event"], entry["user_id"]) == (message, argument)
    assert entry["error"] == "ValueError at no call site"


@given(st.text(max_size=20), st.text(max_size=20), st.sampled_from(get_args(LogFormat)))
def test_keys_and_tokens_are_redacted(before: str, after: str, form: LogFormat) -> None:
    """In both formats; the key's id stays."""
    key = new_key()
    token = ResumeTokens([random_secret()]).issue(SessionKey("phq9", "ada"), 1, 10**15)
    line = format_line("%s %s %s %s", before, key.text, token, after, form=form, user_id=token)
    assert key.text[-43:] not in line
    assert token.rpartition(".")[2] not in line
    assert f"stepkeep_{key.key_id}{'…' if form == 'text' else json.dumps('…')[1:-1]}" in line


def test_context_ids_are_in_each_line() -> None:
    """Other context variables are not: they could contain anything."""
    with structlog.contextvars.bound_contextvars(request_id="0af7651916cd43dd", answer=MARKER, level="none"):
        assert format_line("said").endswith(": said request_id='0af7651916cd43dd'")
        assert json.loads(format_line("said", form="json"))["request_id"] == "0af7651916cd43dd"
        assert MARKER not in format_line("said", form="json")


@pytest.mark.parametrize(
    ("chosen", "environment", "form"),
    [
        ("auto", "production", "json"),
        ("auto", "development", "text"),
        ("text", "production", "text"),
        ("json", "development", "json"),
    ],
)
def test_log_format_follows_the_setting(chosen: str, environment: str, form: str) -> None:
    """`auto` is JSON in production, and text in development."""
    assert resolve_log_format(chosen, environment) == form
