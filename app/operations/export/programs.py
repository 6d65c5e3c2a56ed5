"""Limits of SPSS and Stata. Pure.

Sources: IBM SPSS Statistics, "Variable Names", "Value Labels"; Stata User's Guide, [U] 11.3; Stata's manual,
"limits", "data types"; .dta 118. Names differ by more than case, which SPSS ignores.
"""

import datetime
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NamingRules:
    """``reserved`` matches whole names."""

    max_length: int
    reserved: re.Pattern[str]


PLAIN = NamingRules(128, re.compile(r"(?!)"))
SPSS = NamingRules(64, re.compile(r"all|and|by|eq|ge|gt|le|lt|ne|not|or|to|with", re.IGNORECASE))
STATA = NamingRules(
    32,
    re.compile(
        r"_.*|alias|byte|double|float|if|in|int|long|strL|str[0-9]+|using|with",  # Stata reserves some _names
        re.IGNORECASE,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a program can store; sizes are of UTF-8."""

    name: str
    naming: NamingRules
    text_bytes: int
    label_bytes: int
    value_label_bytes: int
    max_number: float  # greater ones mean "missing", or are invalid
    first_day: datetime.date


PROGRAMS: Mapping[str, Program] = {
    "sav": Program(
        name="SPSS",
        naming=SPSS,
        text_bytes=32_767,
        label_bytes=255,
        value_label_bytes=120,
        max_number=1.7e308,
        first_day=datetime.date(1582, 10, 15),
    ),
    "dta": Program(
        name="Stata",
        naming=STATA,
        text_bytes=2_000_000_000,
        label_bytes=80,
        value_label_bytes=32_000,
        max_number=8.9e307,
        first_day=datetime.date(100, 1, 1),
    ),
}


def valid_names(wanted: Iterable[str], rules: NamingRules) -> list[str]:
    taken: set[str] = set()
    names = []
    for wish in wanted:
        name = _free_name(wish, rules, taken)
        taken.add(name.lower())
        names.append(name)
    return names


def _free_name(wanted: str, rules: NamingRules, taken: set[str]) -> str:
    name, number = wanted[: rules.max_length], 1
    # SPSS reserves names that end with an underscore.
    while name.lower() in taken or rules.reserved.fullmatch(name) or (name != wanted and name.endswith("_")):
        number += 1
        suffix = f"_{number}"
        name = wanted[: rules.max_length - len(suffix)] + suffix
    return name


def truncate(text: str, size_bytes: int, encoding: str = "utf-8") -> str:
    if len(text) * 4 <= size_bytes:
        return text
    return text.encode(encoding)[:size_bytes].decode(encoding, "ignore")


def one_line(text: str) -> str:
    return " ".join(text.split())
