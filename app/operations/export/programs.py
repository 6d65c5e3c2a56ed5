"""What SPSS and Stata can hold: names, texts, labels, numbers and dates. Pure.

Sources: IBM SPSS Statistics, "Variable Names", "Value Labels"; Stata's manual, "limits" and "data types"; and the
form of .dta 118.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from .names import SPSS, STATA, Naming


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a program can hold.

    Attributes:
        text_bytes: of one text, in UTF-8.
        label_bytes: of a variable's label.
        value_label_bytes: of a value's label.
        highest: the largest number; what is beyond means "missing", or nothing.
        first_day: the earliest date.
    """

    name: str
    naming: Naming
    text_bytes: int
    label_bytes: int
    value_label_bytes: int
    highest: float
    first_day: datetime.date


PROGRAMS: Mapping[str, Program] = {
    "sav": Program(
        name="SPSS",
        naming=SPSS,
        text_bytes=32_767,
        label_bytes=255,
        value_label_bytes=120,
        highest=1.7e308,
        first_day=datetime.date(1582, 10, 15),
    ),
    "dta": Program(
        name="Stata",
        naming=STATA,
        text_bytes=2_000_000_000,
        label_bytes=80,
        value_label_bytes=32_000,
        highest=8.9e307,
        first_day=datetime.date(100, 1, 1),
    ),
}


def cut(text: str, size_bytes: int) -> str:
    """Return as much of the text as has this size in UTF-8, by whole characters."""
    if len(text) * 4 <= size_bytes:
        return text
    return text.encode()[:size_bytes].decode(errors="ignore")


def one_line(text: str) -> str:
    """Return the text with its line ends and runs of spaces as one space each."""
    return " ".join(text.split())
