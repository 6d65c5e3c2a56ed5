"""Language tags (BCP 47): what they fall back to, and the direction in which a language is written."""

import re
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Literal

from babel import Locale, UnknownLocaleError

_SCRIPT = re.compile("[a-z]{4}")

_SCRIPTS = frozenset({"adlm", "arab", "aran", "hebr", "mand", "nkoo", "rohg", "samr", "syrc", "thaa", "yezi"})
"""Scripts of living languages that are written from right to left (ISO 15924)."""

_LANGUAGES = frozenset(
    """ar fa he iw ji ks ps sd ug ur yi acm aeb afb apc apd arc arq ars ary arz ayl azb bal bgn bqi brh ckb dcc dv
    glk haz hnd hno khw lah lki lrc luz mzn nqo pbt pes pnb prs rhg sdh skr syr""".split()  # noqa: SIM905 - forty codes, not forty quotes
)
"""Languages that are written in one of these scripts unless their tag names another (Unicode CLDR, likely subtags)."""


def parents(tag: str) -> Iterator[str]:
    """Yield a tag in lower case and the tags it falls back to (RFC 4647, 3.4): de-at, de."""
    parts = tag.lower().split("-")
    for count in range(len(parts), 0, -1):
        yield "-".join(parts[:count])


def best_match(wanted: Iterable[str], offered: Iterable[str]) -> str | None:
    """Return the best offered language for a list of wanted ones (RFC 4647, 3.4).

    Args:
        wanted: the best first.
    """
    by_tag = {tag.lower(): tag for tag in offered}
    return next((by_tag[parent] for tag in wanted for parent in parents(tag) if parent in by_tag), None)


def own_name(tag: str) -> str:
    """Return a language's name for itself, such as Deutsch; the tag if CLDR has none."""
    try:
        name = Locale.parse(tag, sep="-").get_display_name()
    except (UnknownLocaleError, ValueError):
        name = None
    return name or tag


def direction(language: str) -> Literal["ltr", "rtl"]:
    """Return the value of ``dir`` for a tag: its script's (``az-Arab``), else its language's."""
    primary, *subtags = language.lower().split("-")
    before_extensions = takewhile(lambda subtag: len(subtag) > 1, subtags)
    script = next((subtag for subtag in before_extensions if _SCRIPT.fullmatch(subtag)), None)
    is_right_to_left = primary in _LANGUAGES if script is None else script in _SCRIPTS
    return "rtl" if is_right_to_left else "ltr"
