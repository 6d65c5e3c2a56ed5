"""Words, numbers, texts and marks of CEL."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from .nodes import InvalidExpression, Literal

_TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*)
    |(?P<string>[bB]?(?:\"{3}(?:\\[\s\S]|[^\\])*?\"{3}|'{3}(?:\\[\s\S]|[^\\])*?'{3}
        |"(?:\\.|[^"\\\r\n])*"|'(?:\\.|[^'\\\r\n])*'))
    |(?P<raw>[bB]?[rR](?:\"{3}[\s\S]*?\"{3}|'{3}[\s\S]*?'{3}|"[^"\r\n]*"|'[^'\r\n]*'))
    |(?P<double>[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
    |(?P<whole>(?:0x[0-9a-fA-F]+|[0-9]+)[uU]?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>==|!=|<=|>=|&&|\|\||[-+*/<>!?:.,()\[\]{}])""",
    re.VERBOSE,
)

_ESCAPE = re.compile(
    r"""\\(?:(?P<letter>[abfnrtv"'`?\\])|(?P<octal>[0-3][0-7]{2})
    |[xX](?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8})|(?P<wrong>[\s\S]))""",
    re.VERBOSE,
)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}

HINTS = {
    "=": "write == to compare",
    "is": "write == to compare",
    ">": "write != for unequal",
    "≠": "write !=",
    "≤": "write <=",
    "≥": "write >=",
    "?": "write coalesce(a, b) for another value where there is none",
    "%": "there is no %; write mod(a, b)",
    "^": "there is no power; write x * x",
    "**": "there is no power; write x * x",
    "&": "write && for and",
    "|": "write || for or",
    "and": "write &&",
    "or": "write ||",
    "not": "write !",
    "if": "write condition ? a : b",
    "else": "leave out `when`; a rule without it always applies",
    **dict.fromkeys("“”„«»\u2018\u2019\u201a", "write straight quotes"),
}
"""By a word or mark that is not CEL's."""


class Token(NamedTuple):
    """A word or mark of an expression; ``end`` after the last one."""

    kind: str
    text: str
    at: int


def tokens(source: str) -> Iterator[Token]:
    at = 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            hint = HINTS.get(source[at], "" if source[at].isprintable() else "an invisible character; remove it")
            if source[at] in "\"'":
                hint = "a text that does not end"
            raise InvalidExpression(
                f"not a CEL expression: unexpected {source[at]} at character {at + 1}{hint and f': {hint}'}"
            )
        kind = str(match.lastgroup)
        if kind != "skip":
            yield Token("string" if kind == "raw" else kind, match.group(), at)
        at = match.end()
    yield Token("end", "", at)


def number(token: Token) -> Literal:
    text = token.text.rstrip("uU") if token.kind == "whole" else token.text
    try:
        value = float(int(text, 16)) if text.startswith("0x") else float(text)
    except OverflowError:
        value = float("inf")
    if value == float("inf"):
        raise InvalidExpression(f"the number at character {token.at + 1} is too large")
    return Literal(value, is_whole=token.kind == "whole")


def string(token: Token) -> str | bytes:
    text = token.text.lstrip("bBrR")
    letters = token.text.removesuffix(text).lower()
    width = 3 if text[:3] in {'"""', "'''"} else 1
    text = text[width:-width]
    is_bytes = "b" in letters
    if "r" in letters:
        return text.encode() if is_bytes else text
    if not is_bytes:
        return _ESCAPE.sub(lambda match: _unescaped(match, token), text)
    pieces = []
    at = 0
    for match in _ESCAPE.finditer(text):
        pieces += [text[at : match.start()].encode(), _unescaped(match, token).encode("latin-1", "replace")]
        at = match.end()
    return b"".join((*pieces, text[at:].encode()))


def _unescaped(match: re.Match[str], token: Token) -> str:
    letter, octal = match["letter"], match["octal"]
    if letter is not None:
        return _LETTERS.get(letter, letter)
    if octal is not None:
        return chr(int(octal, 8))
    code = match["x"] or match["u"] or match["U"]
    if code is None or int(code, 16) > 0x10FFFF or 0xD800 <= int(code, 16) <= 0xDFFF:  # noqa: PLR2004 - Unicode's
        raise InvalidExpression(
            f"not a CEL expression: {match.group()} is not an escape sequence in the text at character {token.at + 1}"
        )
    return chr(int(code, 16))
