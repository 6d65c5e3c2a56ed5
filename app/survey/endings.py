"""What a participant sees when the survey is completed."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from pydantic import Field, field_validator

from ..core.formats import is_loopback
from .markdown import MarkdownText
from .piping import PipedText, ValueText, fill, mark, unmark
from .texts import InLanguage, OneLine
from .types.step import Condition, Flag, StrictModel, is_absent


class Ending(StrictModel):
    """What the participant sees at the end."""

    when: Annotated[Condition, Field(description="CEL expression; without it the entry always applies")] = None
    title: Annotated[
        str | None, Field(min_length=1, max_length=1000, description="Heading", exclude_if=is_absent), OneLine
    ] = None
    text: Annotated[
        str | None, Field(min_length=1, max_length=10_000, description="Below it", exclude_if=is_absent), InLanguage
    ] = None
    redirect: Annotated[
        str | None,
        Field(
            max_length=2000,
            description="https address of a page to continue on, shown as a button",
            exclude_if=is_absent,
        ),
    ] = None
    summary: Annotated[Flag, Field(description="`true` shows what was answered")] = False

    @field_validator("redirect")
    @classmethod
    def _is_address(cls, address: str | None) -> str | None:
        marked, insertions = mark(address or "")
        if address is not None and not _is_safe(unmark(marked, ["x"] * len(insertions))):
            raise ValueError("must be an https address without spaces, such as https://clinic.example/done")
        return address


def inserts_in_query(address: str) -> bool:
    marked, insertions = mark(address)
    before, _, rest = marked.partition("?")
    query, _, fragment = rest.partition("#")
    names = [pair.partition("=")[0] for pair in query.split("&")]
    outside = "".join((before, *names, fragment))
    return unmark(outside, ["x"] * len(insertions)) == outside


def _is_safe(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    is_plain = address.isprintable() and frozenset(' \\"<>').isdisjoint(address) and parts.username is None
    is_secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    return is_plain and is_secure and bool(parts.hostname)


def ending_dict(ending: Ending, value_text: ValueText) -> Mapping[str, Any]:
    """Return ``ending`` of docs/protocol.md."""
    filled = fill(ending, value_text)
    return {
        "title": filled.title,
        "text": filled.text,
        "html": filled.text.html if isinstance(filled.text, MarkdownText) else None,
        "redirect": None if ending.redirect is None else _address(ending.redirect, value_text),
        "summary": ending.summary,
    }


def _address(redirect: str, value_text: ValueText) -> str:
    if not inserts_in_query(redirect):  # of another release
        return redirect

    def encoded(source: str) -> str | None:
        text = value_text(source)
        return None if text is None else quote(text, safe="")

    return PipedText(redirect).filled(encoded)
