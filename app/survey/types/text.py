"""Text, email and phone: what the participant types."""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import re2
from pydantic import Field, field_validator

from .columns import AnswerColumn, AnswerColumns, newest, one_column
from .step import BaseStep, InvalidAnswer, Placeholder, SampleRequest

_PATTERN_OPTIONS = re2.Options()
_PATTERN_OPTIONS.log_errors = False  # else also written to stderr

PHRASES = (
    "since last week", "mostly in the evening", "when I climb stairs", "it comes and goes", "better after a rest",
    "worse in the morning", "on the left side", "I sleep badly", "my sister had the same", "after a long day at work",
    "nothing helped so far", "it began slowly", "I am worried about it", "only when I sit for long", "not at all today",
    "the old tablets were better", "I can come on any day but Friday", "please call in the afternoon",
)  # fmt: skip
_FOR_PATTERNS = (
    "demo@example.org", "+49 30 1234567", "0301234567", "12345", "1234", "AB12 3CD", "A1", "2026-01-15", "Demo",
    "demo", "DEMO", "demo demo", "123", "1",
)  # fmt: skip

_EMAIL_LENGTH = 254  # RFC 5321, 4.5.3.1.3, without the angle brackets

_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_EMAIL = re.compile(rf"(?![^@]{{65}})[\w!#$%&'*+/=?^`{{|}}~-]+(?:\.[\w!#$%&'*+/=?^`{{|}}~-]+)*@(?:{_LABEL}\.)+{_LABEL}")
"""HTML's, with letters of any script, and with a dot in the domain."""

_PHONE = re.compile(r"\+[0-9]{6,15}")
_NOT_STORED = re.compile(r"[\s.()\[\]\u2010-\u2015-]")  # spaces, dots, dashes and brackets


class TypedStep(BaseStep):
    """A step whose answer the participant types."""

    is_typed = True
    value_types = frozenset({str})

    def is_empty(self, value: object) -> bool:
        return value is None or value == ""

    @classmethod
    def columns(cls, revisions: Mapping[str, Self]) -> AnswerColumns:
        return one_column(AnswerColumn(kind="text", label=newest(revisions).prompt), str)


class TextStep(TypedStep):
    """Text that the participant types."""

    type: Literal["text"]
    max_length: Annotated[
        int, Field(ge=1, le=60_000, description="Most characters (Unicode code points); up to 120 a single line")
    ] = 10_000
    pattern: Annotated[
        str | None, Field(max_length=2000, description="Regular expression (RE2) that the whole answer must match")
    ] = None
    placeholder: Placeholder = None

    statistics = frozenset({"lengths"})
    answering_s = 7.0

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            _compile(pattern)
        return pattern

    @cached_property
    def fullmatch(self) -> Any:  # noqa: ANN401 - re2 has no types
        return None if self.pattern is None else _compile(self.pattern).fullmatch

    def check_answer(self, value: object) -> str:
        if not isinstance(value, str):
            raise InvalidAnswer("refusals.must_be_text")
        if len(value) > self.max_length:
            raise InvalidAnswer("refusals.too_long", length=len(value), count=self.max_length)
        if self.fullmatch is not None and self.fullmatch(value) is None:
            raise InvalidAnswer("refusals.wrong_format")
        return value

    def accepts_draft(self, value: object) -> bool:
        return len(value) <= self.max_length if isinstance(value, str) else super().accepts_draft(value)

    def sample(self, request: SampleRequest) -> object:
        if self.pattern is not None:
            return next((text for text in _FOR_PATTERNS if self.accepts(text)), None)
        count = 1 + min(int(request.random.lognormvariate(0.5, 0.7)), 8)
        return ", ".join(request.random.sample(PHRASES, count))[: self.max_length].rstrip()


class ContactStep(TypedStep):
    """A step whose answer is one address."""

    placeholder: Placeholder = None

    statistics = frozenset()
    answering_s = 9.0

    def has_form(self, value: object) -> bool:
        return self.accepts(value)


class EmailStep(ContactStep):
    """An email address."""

    type: Literal["email"]

    def check_answer(self, value: object) -> str:
        address = value.strip() if isinstance(value, str) else ""
        if len(address) > _EMAIL_LENGTH or not _EMAIL.fullmatch(address):
            raise InvalidAnswer("refusals.must_be_email")
        return address

    def sample(self, request: SampleRequest) -> object:
        return f"demo{int(request.random.random() * 10_000)}@example.org"


class PhoneStep(ContactStep):
    """A phone number with its country code, stored as + and digits."""

    type: Literal["phone"]

    def check_answer(self, value: object) -> str:
        number = _NOT_STORED.sub("", value) if isinstance(value, str) else ""
        if not _PHONE.fullmatch(number):
            raise InvalidAnswer("refusals.must_be_phone")
        return number

    def sample(self, request: SampleRequest) -> object:
        """Return one of the numbers that are reserved for fiction."""
        return f"+1202555{100 + int(request.random.random() * 100):04}"


def _compile(pattern: str) -> Any:  # noqa: ANN401 - re2 has no types
    try:
        return re2.compile(pattern, _PATTERN_OPTIONS)
    except (re2.error, re.error) as error:
        reason = error.args[0] if error.args else error
        text = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"not an RE2 pattern (linear time; no look-around, no back-references): {text}") from error
