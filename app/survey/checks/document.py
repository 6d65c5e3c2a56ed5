"""A survey file as data, with the position of each part."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from ...core import strict_json
from ...core.formats import is_language
from ...errors import InvalidJson
from .yaml_text import InvalidText, Refusal, position_of, read_yaml, start_of

Path = tuple[str | int, ...]

_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Document:
    """What a survey file contains.

    Attributes:
        renamed: the names that the file has instead of the last ones of these paths.
    """

    text: str
    data: Any
    root: yaml.Node | None = None
    refusals: tuple[Refusal, ...] = ()
    renamed: Mapping[Path, str] = field(default_factory=dict)

    def at(self, path: Path) -> Any:  # noqa: ANN401 - a part of the file
        value = self.data
        for part in path:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def items(self, path: Path) -> list[Any]:
        """Return a list; an empty one if the part is none."""
        found = self.at(path)
        return found if isinstance(found, list) else []

    def ids(self, path: Path) -> Iterator[tuple[int, str]]:
        """Yield the index and the id of each item that has one."""
        for index, item in enumerate(self.items(path)):
            if isinstance(item, dict) and isinstance(item.get("id"), str):
                yield index, item["id"]

    @property
    def languages(self) -> tuple[str, ...]:
        """The language of plain texts, then the others; nothing if one is invalid."""
        tags = [self.at(("language",)), *self.items(("languages",))]
        if not all(isinstance(tag, str) and is_language(tag) for tag in tags):
            return ()
        return tuple({tag.lower(): tag for tag in tags}.values())

    @property
    def steps(self) -> list[Any]:
        return self.items(("steps",))

    def fields(self, index: int) -> list[Any]:
        return self.items(("steps", index, "fields")) if self.at(("steps", index, "type")) == "page" else []

    def step_id(self, path: Path) -> str | None:
        step_id = self.at((*path[:2], "id")) if len(path) > 1 and path[0] == "steps" else None
        return step_id if isinstance(step_id, str) else None

    def written(self, path: Path) -> str | None:
        """Return a scalar as the file spells it, without quotes."""
        node = self.root
        for depth in range(len(path)):
            found = self._child_node(node, path[: depth + 1])
            node = None if found is None else found[1]
        return node.value if isinstance(node, yaml.ScalarNode) else None

    def position(self, path: Path, *, is_key: bool = False, offset: int | None = None) -> tuple[int, int]:
        """Return the line and column, from 1, of a part, or of what contains it."""
        node, key = self.root, None
        for depth in range(len(path)):
            found = self._child_node(node, path[: depth + 1])
            if found is None:
                return start_of(node)
            key, node = found
        if offset is not None and isinstance(node, yaml.ScalarNode):
            return self._within(node, offset)
        return start_of(key if is_key and key is not None else node)

    def _child_node(self, node: yaml.Node | None, path: Path) -> tuple[yaml.Node | None, yaml.Node] | None:
        return _child_node(node, self.renamed.get(path, path[-1]))

    def place(self, path: Path) -> str:
        """Return e.g. ``options[2].label``, from the step on if it has an id."""
        place = ""
        for part in path[2:] if self.step_id(path) is not None else path:
            place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else part
        return place

    def _within(self, node: yaml.ScalarNode, offset: int) -> tuple[int, int]:
        """Return where the text begins if its spelling hides the character."""
        start, end = node.start_mark.index, node.end_mark.index
        word, before = _WORD.match(node.value, offset), node.value[:offset]
        if word is None:
            return start_of(node)
        found = [match.start() for match in re.finditer(re.escape(word[0]), self.text[start:end])]
        if len(found) != node.value.count(word[0]):
            return start_of(node)
        return position_of(self.text, start + found[before.count(word[0])])


def read_document(text: str, file: str) -> Document:
    """Return what a file contains; raise InvalidText if it is no plain data."""
    document = _read_json(text) if file.endswith(".json") else Document(text, *read_yaml(text))
    try:
        strict_json.check(document.data, "")
    except InvalidJson as error:
        first = next(iter(document.refusals), None)  # such as .inf among the options
        if first is not None:
            raise InvalidText(first.message, first.line, first.column) from error
        raise InvalidText(error.problem, *_find(document.root, error.place)) from error
    return document


def _read_json(text: str) -> Document:
    root = _compose(text)
    try:
        return Document(text, strict_json.decode(text, ""), root)
    except InvalidJson as error:
        at = getattr(error.__cause__, "pos", None)
        position = _find(root, error.place) if at is None else position_of(text, at)
        raise InvalidText(error.problem.partition(" at character ")[0], *position) from error


def _compose(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text.replace("\t", " "), yaml.SafeLoader)  # JSON has no tabs within strings
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _find(node: yaml.Node | None, place: str) -> tuple[int, int]:
    """Return the position of a place such as ``.steps[2].next``."""
    rest = place.removeprefix("a key of ")
    while True:
        parts = _parts(node)
        word = next(filter(rest.startswith, parts), None)
        found = None if word is None else _child_node(node, parts[word])
        if word is None or found is None:
            return start_of(node)
        node, rest = found[1], rest.removeprefix(word)


def _parts(node: yaml.Node | None) -> dict[str, str | int]:
    """Return the keys, longest first, or the indexes, as a place writes them."""
    if isinstance(node, yaml.MappingNode):
        keys = sorted((str(key.value) for key, _ in node.value), key=len, reverse=True)
        return {f".{key}": key for key in keys}
    return {f"[{index}]": index for index in range(len(node.value))} if isinstance(node, yaml.SequenceNode) else {}


def _child_node(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node | None, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return None, node.value[part]
    return None
