"""Email and phone: addresses of a participant."""

import re
from collections.abc import Mapping
from typing import Literal, Self

from .columns import AnswerColumn, AnswerColumns, one_column
from .step import BaseStep, InvalidAnswer, Placeholder, SampleRequest, newest

_EMAIL_LENGTH = 254
"""RFC 5321, 4.5.3.1.3, without the angle brackets."""

_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_EMAIL = re.compile(rf"(?![^@]{{65}})[\w!#$%&'*+/=?^`{{|}}~-]+(?:\.[\w!#$%&'*+/=?^`{{|}}~-]+)*@(?:{_LABEL}\.)+{_LABEL}")
"""HTML's, with letters of any script, and with a dot in the domain."""

_PHONE = re.compile(r"\+[0-9]{6,15}")
_NOT_STORED = re.compile(r"[\s.()\[\]\u2010-\u2015-]")
"""Spaces, dots, dashes and brackets."""


class ContactStep(BaseStep):
    """A step whose answer is one address."""

    placeholder: Placeholder = None

    is_typed = True
    value_types = frozenset({str})
    statistics = frozenset()
    answering_s = 9.0

    def has_form(self, value: object) -> bool:
        return self.accepts(value)

    def is_empty(self, value: object) -> bool:
        return value is None or value == ""

    @classmethod
    def columns(cls, revisions: Mapping[str, Self]) -> AnswerColumns:
        return one_column(AnswerColumn(kind="text", label=newest(revisions).prompt), str)


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
