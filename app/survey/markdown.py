"""Texts in CommonMark: paragraphs, emphasis, lists and links; all else stays as it is written."""

import re
from collections.abc import Iterator, Sequence
from typing import Self

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.token import Token

from .piping import Insertion, ValueText, inserted_texts, mark, unmark


class _Parser(MarkdownIt):
    def __init__(self, link: str) -> None:
        super().__init__("zero", {"html": False})
        self.enable(("list", "emphasis", "link", "autolink", "newline", "escape", "entity"))
        self._link = re.compile(link, re.IGNORECASE)

    def tokens(self, source: str, *, is_inline: bool) -> list[Token]:
        return self.parseInline(source) if is_inline else self.parse(source)

    def validateLink(self, url: str) -> bool:  # noqa: N802 - as the library calls it
        return self._link.match(url) is not None


_PARSER = _Parser("(https?|mailto):")
_ANY_LINK_PARSER = _Parser("")


class MarkdownText(str):
    """The plain form of a text; values are inserted after parsing, and so are never markup."""

    __slots__ = ("_html", "_marked", "_texts", "insertions", "is_inline", "source")

    source: str
    is_inline: bool
    insertions: tuple[Insertion, ...]
    _marked: str
    _texts: list[str]
    _html: str | None

    def __new__(cls, source: str, *, is_inline: bool = False, texts: list[str] | None = None) -> Self:
        marked, insertions = mark(source)
        inserted = [one.written for one in insertions] if texts is None else texts
        tokens = _PARSER.tokens(marked, is_inline=is_inline)
        plain = _inline(tokens[0]) if is_inline else "".join(_blocks(tokens)).strip()
        text = super().__new__(cls, unmark(plain, inserted))
        text.source = source
        text.is_inline = is_inline
        text.insertions = insertions if texts is None else ()
        text._marked = marked
        text._texts = inserted
        text._html = None
        return text

    @property
    def html(self) -> str:
        """With no elements but p, em, strong, ul, ol, li, br and a; safe to insert."""
        if self._html is None:
            tokens = _PARSER.tokens(self._marked, is_inline=self.is_inline)
            _set_attributes(tokens)
            html: str = _PARSER.renderer.render(tokens, _PARSER.options, {})
            self._html = unmark(html.strip(), self._texts, escapeHtml)
        return self._html

    @property
    def has_insertion_in_link(self) -> bool:
        # Targets are encoded, hosts in Punycode, so marks in them are not found: they differ if the texts do.
        return self._targets("a") != self._targets("b")

    def _targets(self, text: str) -> list[object]:
        source = unmark(self._marked, [text] * len(self._texts))
        tokens = _ANY_LINK_PARSER.tokens(source, is_inline=self.is_inline)
        children = [one for token in tokens for one in token.children or ()]
        return [one.attrs["href"] for one in children if one.type == "link_open"]

    def filled(self, value_text: ValueText) -> "MarkdownText":
        return MarkdownText(self.source, is_inline=self.is_inline, texts=inserted_texts(self.insertions, value_text))


def _set_attributes(tokens: Sequence[Token]) -> None:
    for token in tokens:
        if token.type == "link_open":
            token.attrs = {"href": token.attrs["href"], "target": "_blank", "rel": "noopener noreferrer"}
        _set_attributes(token.children or ())


def _blocks(tokens: Sequence[Token]) -> Iterator[str]:
    counts: list[int | None] = []  # of the open lists; None: bullets
    gap = "\n\n"
    for token in tokens:
        match token.type:
            case "bullet_list_open" | "ordered_list_open":
                counts.append(int(token.attrs.get("start", 1)) if token.type.startswith("ordered") else None)
                gap = "\n\n" if len(counts) == 1 else gap
            case "bullet_list_close" | "ordered_list_close":
                counts.pop()
            case "list_item_open":
                count = counts[-1]
                counts[-1] = None if count is None else count + 1
                yield f"{gap}{'•' if count is None else f'{count}.'} "
                gap = ""
            case "paragraph_open":
                yield gap
            case "inline":
                yield _inline(token)
            case "paragraph_close":
                gap = "\n" if token.hidden else "\n\n"
            case _:
                pass  # the ends of items


def _inline(token: Token) -> str:
    breaks = {"softbreak": " ", "hardbreak": "\n"}
    return "".join(breaks.get(child.type, child.content) for child in token.children or ())
