"""The parts of an expression, as a tree."""

from collections.abc import Iterator
from dataclasses import dataclass

MAX_LOOP_DEPTH = 2
"""Two loops over a list of answers, not three."""

MAX_DEPTH = 120
"""Nodes from the root to the deepest."""


class InvalidExpression(ValueError):
    """Each argument is a message for the author."""

    def __str__(self) -> str:
        return "; ".join(self.args)


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression."""

    @property
    def parts(self) -> "tuple[Node, ...]":
        return ()


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A constant; ``is_whole`` without point and exponent."""

    value: float | str | bytes | bool | None
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A variable, such as ``answers``."""

    name: str


@dataclass(frozen=True, slots=True)
class Select(Node):
    """``operand.field``, or with ``is_test`` the macro ``has(operand.field)``."""

    operand: Node
    field: str
    is_test: bool = False

    @property
    def parts(self) -> tuple[Node, ...]:
        return (self.operand,)


@dataclass(frozen=True, slots=True)
class Index(Node):
    """``operand[key]``."""

    operand: Node
    key: Node

    @property
    def parts(self) -> tuple[Node, ...]:
        return (self.operand, self.key)


@dataclass(frozen=True, slots=True)
class Call(Node):
    """``function(arguments)``, or ``target.function(arguments)``."""

    function: str
    target: Node | None
    arguments: tuple[Node, ...]

    @property
    def parts(self) -> tuple[Node, ...]:
        return self.arguments if self.target is None else (self.target, *self.arguments)


@dataclass(frozen=True, slots=True)
class Loop(Node):
    """A macro that binds a variable to each item: ``operand.all(variable, body)``."""

    macro: str
    operand: Node
    variable: str
    body: tuple[Node, ...]

    @property
    def parts(self) -> tuple[Node, ...]:
        return (self.operand, *self.body)


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """``-operand`` or ``!operand``."""

    operator: str
    operand: Node

    @property
    def parts(self) -> tuple[Node, ...]:
        return (self.operand,)


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """Operators of one precedence, applied from the left: a chain of 500 terms is one node."""

    first: Node
    rest: tuple[tuple[str, Node], ...]

    @property
    def parts(self) -> tuple[Node, ...]:
        return (self.first, *(node for _, node in self.rest))


@dataclass(frozen=True, slots=True)
class Logic(Node):
    """``&&`` or ``||`` of all operands."""

    operator: str
    operands: tuple[Node, ...]

    @property
    def parts(self) -> tuple[Node, ...]:
        return self.operands


@dataclass(frozen=True, slots=True)
class Conditional(Node):
    """``a ? b : c ? d : e`` is ((a, b), (c, d)) and e."""

    cases: tuple[tuple[Node, Node], ...]
    otherwise: Node

    @property
    def parts(self) -> tuple[Node, ...]:
        return (*(node for case in self.cases for node in case), self.otherwise)


@dataclass(frozen=True, slots=True)
class ListOf(Node):
    """``[items]``."""

    items: tuple[Node, ...]

    @property
    def parts(self) -> tuple[Node, ...]:
        return self.items


@dataclass(frozen=True, slots=True)
class MapOf(Node):
    """``{key: value}``."""

    entries: tuple[tuple[Node, Node], ...]

    @property
    def parts(self) -> tuple[Node, ...]:
        return tuple(node for entry in self.entries for node in entry)


def nodes(tree: Node) -> Iterator[Node]:
    """Yield each node before its parts."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        pending += reversed(node.parts)


def check_depth(tree: Node) -> None:
    pending = [(tree, 1, 0)]
    while pending:
        node, depth, loops = pending.pop()
        if depth > MAX_DEPTH:
            raise InvalidExpression("the expression is nested too deeply")
        if loops > MAX_LOOP_DEPTH:
            raise InvalidExpression(f"macros are nested deeper than {MAX_LOOP_DEPTH}")
        if isinstance(node, Loop):
            pending.append((node.operand, depth + 1, loops))
            pending += ((part, depth + 1, loops + 1) for part in node.body)
        else:
            pending += ((part, depth + 1, loops) for part in node.parts)
