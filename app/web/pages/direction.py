"""The direction in which a language is written, for the attribute ``dir``."""

import re
from itertools import takewhile
from typing import Literal

_SCRIPT = re.compile("[a-z]{4}")

_SCRIPTS = frozenset({"adlm", "arab", "aran", "hebr", "mand", "nkoo", "rohg", "samr", "syrc", "thaa", "yezi"})
"""Scripts of living languages that are written from right to left (ISO 15924)."""

_LANGUAGES = frozenset(
    """ar fa he iw ji ks ps sd ug ur yi acm aeb afb apc apd arc arq ars ary arz ayl azb bal bgn bqi brh ckb dcc dv
    glk haz hnd hno khw lah lki lrc luz mzn nqo pbt pes pnb prs rhg sdh skr syr""".split()  # noqa: SIM905 - forty codes, not forty quotes
)
"""Languages that are written in one of these scripts unless their tag names another (Unicode CLDR, likely subtags)."""


def text_direction(language: str) -> Literal["ltr", "rtl"]:
    """Return the direction of a BCP 47 tag: its script's (``az-Arab``), else its language's."""
    primary, *subtags = language.lower().split("-")
    before_extensions = takewhile(lambda subtag: len(subtag) > 1, subtags)
    script = next((subtag for subtag in before_extensions if _SCRIPT.fullmatch(subtag)), None)
    is_right_to_left = primary in _LANGUAGES if script is None else script in _SCRIPTS
    return "rtl" if is_right_to_left else "ltr"
