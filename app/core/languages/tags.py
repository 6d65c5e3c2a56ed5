"""Language tags (BCP 47): what they fall back to, which one is nearest, and the direction of writing."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import takewhile
from typing import Literal, NamedTuple

from babel import Locale, UnknownLocaleError
from babel.core import get_global

_SCRIPT = re.compile("[a-z]{4}")
_REGION = re.compile("[a-z]{2}|[0-9]{3}")

_FROM_RIGHT = frozenset(
    {"adlm", "arab", "aran", "armi", "hebr", "mand", "nkoo", "rohg", "samr", "syrc", "thaa", "yezi"}
)
"""Scripts that are written from right to left (ISO 15924)."""


class _LikelyTag(NamedTuple):
    """A tag in lower case, with the likely parts that it lacks (Unicode CLDR, likely subtags)."""

    language: str
    script: str
    region: str


def parents(tag: str) -> Iterator[str]:
    """Yield a tag in lower case and the tags it falls back to (RFC 4647, 3.4): de-at, de."""
    parts = tag.lower().split("-")
    for count in range(len(parts), 0, -1):
        yield "-".join(parts[:count])


def best_match(wanted: Iterable[str], offered: Iterable[str]) -> str | None:
    """Return the best offered language for a list of wanted ones.

    That is a wanted tag or what it falls back to (RFC 4647, 3.4), else the same language in the script that is likely
    meant: de-AT for de, zh-Hant for zh-TW; the one of another wish or of the likely region, if there are several.

    Args:
        wanted: the best first.
    """
    wanted, offered = tuple(wanted), tuple(offered)
    for tag in wanted:
        found = _lookup(tag, offered) or _nearest(tag, wanted, offered)
        if found is not None:
            return found
    return None


def _lookup(tag: str, offered: Iterable[str]) -> str | None:
    by_tag = {one.lower(): one for one in offered}
    return next((by_tag[parent] for parent in parents(tag) if parent in by_tag), None)


def _nearest(tag: str, wanted: Iterable[str], offered: Iterable[str]) -> str | None:
    language, script, region = _likely(tag)
    alike = [one for one in offered if _likely(one)[:2] == (language, script)]
    named = next((found for one in wanted if (found := _lookup(one, alike)) is not None), None)
    return named or max(alike, key=lambda one: _likely(one).region == region, default=None)


@lru_cache(maxsize=1000)
def _likely(tag: str) -> _LikelyTag:
    primary, *more = tag.lower().split("-")
    # Such as iw for he, or sh for sr_Latn.
    language, *implied = get_global("language_aliases").get(primary, primary).lower().split("_")
    subtags = [*takewhile(lambda subtag: len(subtag) > 1, more), *implied]  # before extensions
    language = get_global("parent_exceptions").get(language, language)  # no for nb
    script = next(filter(_SCRIPT.fullmatch, subtags), "")
    region = next(filter(_REGION.fullmatch, subtags), "")
    keys = (f"{language}_{script.title()}", f"{language}_{region.upper()}", language)
    likely = get_global("likely_subtags")
    found = next((likely[key] for key in keys if key in likely), "__").lower().split("_")
    return _LikelyTag(language, script or found[1], region or found[2])


def own_name(tag: str) -> str:
    """Return a language's name for itself, such as Deutsch; the tag if CLDR has none."""
    try:
        name = Locale.parse(tag, sep="-").get_display_name()
    except (UnknownLocaleError, ValueError):
        name = None
    return name or tag


def direction(language: str) -> Literal["ltr", "rtl"]:
    """Return the value of ``dir`` for a tag: its script's (``az-Arab``), else that of the likely one."""
    return "rtl" if _likely(language).script in _FROM_RIGHT else "ltr"
