"""YAML text as plain data: scalars of YAML 1.2's core schema, no objects, no duplicate keys."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import yaml

MAX_NODES = 1_000_000
"""Of a file, where each alias counts as all that its anchor contains."""

_TAG = "tag:yaml.org,2002:"

Level = Literal["error", "warning"]


def _integer(text: str) -> int:
    return int(text[2:], {"0o": 8, "0x": 16}[text[:2]]) if text[:2] in {"0o", "0x"} else int(text)


# https://yaml.org/spec/1.2.2/#103-core-schema: pattern, first characters, and value.
_SCALARS: dict[str, tuple[re.Pattern[str], str, Callable[[str], object]]] = {
    "null": (re.compile(r"~|null|Null|NULL|"), "~nN", lambda _text: None),
    "bool": (re.compile(r"true|True|TRUE|false|False|FALSE"), "tTfF", lambda text: text in {"true", "True", "TRUE"}),
    "int": (re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), "-+0123456789", _integer),
    "float": (
        re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
        "-+.0123456789",
        lambda text: float(text.lower().replace(".inf", "inf").replace(".nan", "nan")),
    ),
}

_NAME = re.compile(r"[A-Za-z][\w-]*|<<")

_QUOTES = 'put the text into quotes: "..."'
_OTHER_QUOTES = "the text ends before this; put all of it into quotes, of the other kind if it has some: '...'"

_DECIMAL = "a comma ends a number inside {{ }} or [ ]; write {number}"
_COMMA = f"a comma ends a text inside {{ }} or [ ]; {_QUOTES}"
_NO_QUESTION_MARK = f"`?` cannot be in a text inside {{ }} or [ ]; {_QUOTES}"

_NO_KEY = f"a text can't begin with `{{` or `[`; {_QUOTES}, or leave out the braces of a condition"
_INDENTATION = "this does not fit the lines above: align it with them, or put the text above it into quotes"
_LIST = "this is in line with the `- ` above: begin an item with `- `, or align a field with those of its item"
_ENDS_EARLY = (
    f"the `{{start}}` in line {{line}} is not closed before this: a comma or `{{end}}` is missing, or {_QUOTES}"
)

_COLON = f"a colon is not possible here; if it belongs to a text, {_QUOTES}; else align the key with those above it"
_NEVER_CLOSED = "the quotes that begin here are never closed"
_ESCAPE = r"\\\1 means nothing in double quotes; write \\\\\1, or use single quotes"

_MESSAGES = (
    (r"found character '\\t'", "a tab, which YAML does not allow here; use spaces"),
    (r"found character '(.)'", rf"a text can't begin with \1; {_QUOTES}"),
    (r"mapping values are not allowed", _COLON),
    (r"could not find expected ':'", "this line has no colon: write `key: value`"),
    (r"found unexpected end of stream", _NEVER_CLOSED),
    (r"found undefined alias '(.*)'", rf"there is no anchor &\1 above; if it is text, {_QUOTES}"),
    (r"second occurrence", "this anchor occurs twice; use another name"),
    (r"found unknown escape character '(.)'", _ESCAPE),
    (r"but found another document", "a file has one survey: remove the line `---`"),
    (r"could not determine a constructor", f"a text can't begin with `!`; {_QUOTES}"),
    (r"expected alphabetic or numeric character", f"a text can't begin with `*` or `&`; {_QUOTES}"),
    (r"a comment or a line break|chomping", f"after `|` or `>` the text begins on the next line; or {_QUOTES}"),
    (r"for merging", "`<<` needs an anchor with fields, such as *name"),
    (r"(sequence entries|mapping keys) are not allowed", f"`- ` and `? ` can't begin a text; {_QUOTES}"),
    (r"the node content, but found '<(stream|document) end>'", "the file ends before a `}` or `]`"),
    (r"expected the node content", f"a text can't begin like this; {_QUOTES}"),
    (r"but (?:got|found) '(?:\?|<scalar>)'", _OTHER_QUOTES),
)  # fmt: skip


@dataclass(eq=False)
class InvalidText(Exception):
    """A text is no YAML, JSON or plain data."""

    message: str
    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a survey file must not contain, or may with a warning."""

    message: str
    line: int
    column: int
    level: Level = "error"


class _Loader(yaml.SafeLoader):
    """YAML's safe subset; PyYAML's own scalars are those of YAML 1.1, where ``no`` is false and ``1:30`` is 90."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.refusals: list[Refusal] = []
        self._flattened: set[int] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        # PyYAML calls this again for each merge; merged keys would then look like duplicates.
        if id(node) in self._flattened:
            return
        self._flattened.add(id(node))
        self._check_keys(node)
        self._check_options(node)
        super().flatten_mapping(node)
        node.value = list({_key(key): (key, value) for key, value in node.value}.values())

    def fetch_key(self) -> None:
        if self.flow_level:  # YAML 1.2 has `?a` as a text there; PyYAML would read the key `a`
            raise yaml.MarkedYAMLError(problem=_NO_QUESTION_MARK, problem_mark=self.get_mark())
        super().fetch_key()

    def refuse(self, message: str, node: yaml.Node, level: Level = "error") -> None:
        self.refusals.append(Refusal(message, *start_of(node), level))

    def _check_keys(self, node: yaml.MappingNode) -> None:
        seen: set[object] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem=_NO_KEY, problem_mark=key.start_mark)
            if key.tag != f"{_TAG}merge" and _key(key) in seen:
                self.refuse(f"the key {key.value!r} occurs twice", key)
            seen.add(_key(key))
        rests = set()
        for (_, before), (key, value) in pairwise(node.value if node.flow_style else ()):
            if _is_rest(key, value):
                rests.add(key)
                is_decimal = before.tag == key.tag == f"{_TAG}int"
                self.refuse(_DECIMAL.format(number=f"{before.value}.{key.value}") if is_decimal else _COMMA, key)
        node.value = [pair for pair in node.value if pair[0] not in rests]

    def _check_options(self, node: yaml.MappingNode) -> None:
        """Refuse ``1.10`` and ``012``, which would silently change."""
        for key, value in node.value:
            items = value.value if key.value == "options" and isinstance(value, yaml.SequenceNode) else [value]
            for item in items if key.value in {"options", "value"} else ():
                if item.tag not in {f"{_TAG}int", f"{_TAG}float"}:
                    continue
                number = self.scalar(item)
                whole = int(number) if isinstance(number, float) and number.is_integer() else number
                if str(whole) != item.value:
                    # An earlier release took 1.0 as it is.
                    level: Level = "error" if str(number) != item.value else "warning"
                    written = f'write "{item.value}" or {whole}'
                    self.refuse(f"the option {item.value} is the number {whole} in YAML; {written}", item, level)

    def scalar(self, node: yaml.ScalarNode) -> object:
        name = node.tag.removeprefix(_TAG)
        pattern, _, convert = _SCALARS[name]
        if pattern.fullmatch(node.value) is None:
            self.refuse(f"{node.value!r} is not a valid {name} in YAML 1.2", node)
            return None
        return convert(node.value)


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver(f"{_TAG}merge", re.compile(r"<<$"), ["<"])
for _name, (_pattern, _first, _) in _SCALARS.items():
    _Loader.add_implicit_resolver(
        _TAG + _name, re.compile(f"({_pattern.pattern})$"), [*_first, *([""] if _name == "null" else [])]
    )
    _Loader.add_constructor(_TAG + _name, _Loader.scalar)


def read_yaml(text: str) -> tuple[Any, yaml.Node | None, tuple[Refusal, ...]]:
    """Return the data, its node and what is refused in it; raise InvalidText if it is not YAML."""
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            _check_size(node)
        data = None if node is None else loader.construct_document(node)
        return data, node, tuple(loader.refusals)
    except yaml.reader.ReaderError as error:
        raise InvalidText("a character that YAML does not allow", *position_of(text, error.position)) from error
    except yaml.MarkedYAMLError as error:
        message, mark = _explained(error)
        raise InvalidText(message, *((mark.line + 1, mark.column + 1) if mark else ())) from error
    except RecursionError as error:
        raise InvalidText("nested too deep") from error
    except (TypeError, ValueError) as error:
        raise InvalidText("only texts, numbers, lists, and fields with values are allowed") from error
    finally:
        if loader is not None:
            loader.dispose()


def _explained(error: yaml.MarkedYAMLError) -> tuple[str, yaml.Mark | None]:
    problem = str(error.problem or error.context)
    if problem in {_NO_KEY, _NO_QUESTION_MARK}:
        return problem, error.problem_mark
    if "end of stream" in problem and "quoted" in str(error.context):
        return _NEVER_CLOSED, error.context_mark
    if "block collection" in str(error.context) and _column(error.problem_mark) == _column(error.context_mark):
        return _LIST, error.problem_mark
    brackets = {"while parsing a flow mapping": "{}", "while parsing a flow sequence": "[]"}.get(str(error.context))
    if brackets is not None and error.context_mark is not None and not re.search(r"got '(\?|<scalar>)'", problem):
        line = error.context_mark.line + 1
        return _ENDS_EARLY.format(start=brackets[0], end=brackets[1], line=line), error.problem_mark
    for pattern, message in _MESSAGES:
        found = re.search(pattern, problem)
        if found is not None:
            return found.expand(message), error.problem_mark
    return _INDENTATION, error.problem_mark


def _column(mark: yaml.Mark | None) -> int | None:
    return None if mark is None else mark.column


def _check_size(root: yaml.Node) -> None:
    """Raise InvalidText for a document that would be too large with its aliases replaced."""
    sizes: dict[int, int] = {}
    pending = [(root, False)]
    while pending:
        node, is_last = pending.pop()
        if is_last:
            sizes[id(node)] = 1 + sum(sizes[id(part)] for part in _parts(node))
            if sizes[id(node)] > MAX_NODES:
                problem = f"more than {MAX_NODES} values, where each alias counts as all that it stands for"
                raise InvalidText(problem, *start_of(node))
        elif id(node) not in sizes:
            sizes[id(node)] = 1  # until its parts are known; an alias may be within its own anchor
            pending.append((node, True))
            pending += ((part, False) for part in _parts(node) if id(part) not in sizes)


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def start_of(node: yaml.Node | None) -> tuple[int, int]:
    """Return the line and column, from 1."""
    return (1, 1) if node is None else (node.start_mark.line + 1, node.start_mark.column + 1)


def position_of(text: str, index: int) -> tuple[int, int]:
    """Return the line and column, from 1."""
    before = text[:index]
    return before.count("\n") + 1, index - before.rfind("\n")


def _is_rest(key: yaml.Node, value: yaml.Node) -> bool:
    """Return whether a key without a value cannot be a field."""
    is_empty = value.start_mark.index == value.end_mark.index
    return is_empty and isinstance(key, yaml.ScalarNode) and key.style is None and not _NAME.fullmatch(key.value)


def _key(node: yaml.Node) -> object:
    return node.value if isinstance(node, yaml.ScalarNode) else id(node)
