r"""Texts with insertions: ``{{ CEL }}`` stands for the value of an expression, ``\{{`` for two braces."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from operator import is_
from typing import Any, NamedTuple, Self, TypeVar

from pydantic import BaseModel

from .expressions import Call, Expression, Index, Literal, Name, Node, Select, nodes, number_text

Model = TypeVar("Model", bound=BaseModel)

ValueText = Callable[[str], str | None]
"""Returns the text of an expression's value; None to leave the insertion as its author wrote it."""

_MARK = re.compile("\ue000([0-9]+)\ue001")
"""Stands for an insertion while a text is parsed: in a private use area, so no markup."""

_BEGIN = re.compile(r"\\?\{\{")
_WITHIN = re.compile(r"""(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<end>\}\})|(?P<open>\{)|(?P<close>\})""")


class UnclosedInsertion(ValueError):
    """A text has, at ``offset``, ``{{`` without ``}}``."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        super().__init__(
            "{{ begins an insertion, and needs }} after its expression; for two literal braces, write \\{{"
        )


class Insertion(NamedTuple):
    """One insertion; ``written`` has the braces."""

    start: int
    written: str

    @property
    def source(self) -> str:
        return self.written[2:-2].strip()

    @property
    def offset(self) -> int:
        return self.start + self.written.index(self.source, 2) if self.source else self.start


class PipedText(str):
    """A text with insertions, as it is written but for escaped braces."""

    __slots__ = ("insertions", "marked", "source")

    source: str
    marked: str
    insertions: tuple[Insertion, ...]

    def __new__(cls, source: str) -> Self:
        marked, insertions = mark(source)
        text = super().__new__(cls, unmark(marked, [one.written for one in insertions]))
        text.source = source
        text.marked = marked
        text.insertions = insertions
        return text

    def filled(self, value_text: ValueText) -> str:
        return unmark(self.marked, inserted_texts(self.insertions, value_text))


def find_insertions(source: str) -> Iterator[Insertion]:
    """Yield a text's insertions; raise UnclosedInsertion if one has no end."""
    position = 0
    while (begin := _BEGIN.search(source, position)) is not None:
        position = begin.end()
        if begin[0].startswith("\\"):
            continue
        end = _end(source, position)
        if end is None:
            raise UnclosedInsertion(begin.start())
        position = end + 2
        yield Insertion(begin.start(), source[begin.start() : position])


def mark(source: str) -> tuple[str, tuple[Insertion, ...]]:
    """Return a text with marks in place of its insertions, and these."""
    try:
        insertions = tuple(find_insertions(source))
    except UnclosedInsertion:
        insertions = ()
    marked, position = "", 0
    for number, insertion in enumerate(insertions):
        marked += f"{source[position : insertion.start]}\ue000{number}\ue001"
        position = insertion.start + len(insertion.written)
    return (marked + source[position:]).replace("\\{{", "{{"), insertions


def unmark(marked: str, texts: list[str], escape: Callable[[str], str] = str) -> str:
    return _MARK.sub(lambda found: escape(texts[int(found[1])]) if int(found[1]) < len(texts) else found[0], marked)


def inserted_texts(insertions: tuple[Insertion, ...], value_text: ValueText) -> list[str]:
    found = ((one, value_text(one.source)) for one in insertions)
    return [one.written if text is None else text for one, text in found]


def as_text(value: Any) -> str:  # noqa: ANN401 - JSON of any kind
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return number_text(value)
        case list() | tuple():
            return ", ".join(map(as_text, value))
        case Mapping():
            return ", ".join(f"{key}: {as_text(one)}" for key, one in value.items())
        case _:
            return str(value)


def insertions_of(model: BaseModel) -> Iterator[str]:
    for value in vars(model).values():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, BaseModel):
                yield from insertions_of(one)
            else:
                yield from (insertion.source for insertion in getattr(one, "insertions", ()))


def text_without_session(expression: Expression) -> str | None:
    """Return an insertion's text without a session: that for a missing value, or the names in it."""
    match expression.tree:
        case None:
            return None
        case Call(function="coalesce", arguments=(*_, Literal(value=str(text)))) if text:
            return text
        case tree:
            names = dict.fromkeys(filter(None, map(_name, nodes(tree))))
            return f"[{', '.join(names) or expression.source}]"


def _name(node: Node) -> str | None:
    match node:
        case Select(operand=Name(name="answers" | "parameters" | "values"), field=name):
            return name
        case Index(operand=Name(name="answers" | "parameters" | "values"), key=Literal(value=str(name))):
            return name
        case Name(name="today" | "now" as name):
            return name
        case _:
            return None


def fill(model: Model, value_text: ValueText) -> Model:
    changes = filled_fields(model, value_text)
    if not changes:
        return model
    copied = model.model_copy(update=changes)
    for name in [name for name in vars(copied) if isinstance(getattr(type(copied), name, None), cached_property)]:
        del vars(copied)[name]  # such as the rows of a grid as steps, with their texts
    return copied


def filled_fields(model: BaseModel, value_text: ValueText) -> dict[str, Any]:
    fields = {name: getattr(model, name) for name in type(model).model_fields}
    changes = {name: filled(value, value_text) for name, value in fields.items()}
    return {name: value for name, value in changes.items() if value is not fields[name]}


def filled(value: Any, value_text: ValueText) -> Any:  # noqa: ANN401 - of any field
    if getattr(value, "insertions", ()):
        return value.filled(value_text)
    if isinstance(value, BaseModel):
        return fill(value, value_text)
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        parts = tuple(fill(one, value_text) for one in value)
        return value if all(map(is_, parts, value)) else parts
    return value


def _end(source: str, position: int) -> int | None:
    depth = 0
    while (found := _WITHIN.search(source, position)) is not None:
        position = found.end()
        if found["open"]:
            depth += 1
        elif found["close"] or (found["end"] and depth):
            depth = max(0, depth - 1)
            position = found.start() + 1
        elif found["end"]:
            return found.start()
    return None
