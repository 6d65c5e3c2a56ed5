"""Expressions of which one engine knows a part, written out for another."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .compiler import Names
from .expression import Expression, compile_node
from .frame import Scope
from .nodes import Binary, Call, Conditional, Index, ListOf, Literal, Logic, Loop, MapOf, Name, Node, Select, Unary
from .values import EvaluationError, number_text

NO_VALUE = "(1 / 0)"

MAX_LITERAL = 1000
"""Characters of a value that is written out; a longer one stays as its expression."""

Variables = frozenset[str]
"""Of the macros around a part of an expression."""


@dataclass(frozen=True, slots=True)
class PartialExpression:
    """Source text, and the parts that read no unknown answer."""

    pieces: tuple[str | Expression, ...]

    def source(self, scope: Scope) -> str:
        return "".join(piece if isinstance(piece, str) else _value_source(piece, scope) for piece in self.pieces)


def divide(expression: Expression, names: Names, unknown: frozenset[str]) -> PartialExpression:
    """Return an expression in pieces; another engine knows the answers to ``unknown``."""
    if expression.tree is None or expression.step_ids is None:
        return PartialExpression((expression.source,))
    pieces = tuple(_Writer(names, unknown).write(expression.tree, frozenset()))
    return PartialExpression(pieces if any(isinstance(one, Expression) for one in pieces) else (expression.source,))


def _value_source(expression: Expression, scope: Scope) -> str:
    try:
        literal = _literal(expression.raw_value(scope))
    except EvaluationError:
        return NO_VALUE
    return literal if literal is not None and len(literal) <= MAX_LITERAL else expression.source


def _literal(value: Any) -> str | None:  # noqa: ANN401 - any value
    match value:
        case None | bool() | str():
            return json.dumps(value, ensure_ascii=False).replace("\\b", "\\u0008").replace("\\f", "\\u000c")
        case float():
            return number_text(value) if value >= 0 else f"({number_text(value)})"
        case list():
            items = [_literal(item) for item in value]
            return None if None in items else f"[{', '.join(map(str, items))}]"
        case _:
            return None


class _Writer:
    """Writes nodes with brackets around whatever has operators."""

    def __init__(self, names: Names, unknown: frozenset[str] | None) -> None:
        self._names = names
        self._unknown = unknown
        """None: nothing is evaluated."""

    def write(  # noqa: C901 - one case a node
        self, node: Node, variables: Variables
    ) -> Iterator[str | Expression]:
        if self._unknown is not None and not isinstance(node, Literal) and self._is_known(node, variables):
            source = "".join(map(str, _Writer(self._names, None).write(node, variables)))
            yield compile_node(node, source, self._names)
            return
        match node:
            case Literal():
                yield _constant(node)
            case Name(name):
                yield name
            case Select(operand, name, is_test):
                yield "has(" if is_test else ""
                yield from self.write(operand, variables)
                yield f".{name})" if is_test else f".{name}"
            case Index(operand, key):
                yield from self.write(operand, variables)
                yield "["
                yield from _Writer(self._names, None).write(key, variables)  # only a written number is an index
                yield "]"
            case Call(function, target, arguments):
                yield from () if target is None else (*self.write(target, variables), ".")
                yield from self._listed(f"{function}(", arguments, ")", variables)
            case Loop(macro, operand, variable, body):
                yield from self.write(operand, variables)
                yield from self._listed(f".{macro}({variable}, ", body, ")", variables | {variable})
            case ListOf(items):
                yield from self._listed("[", items, "]", variables)
            case _:
                yield "("
                yield from self._operation(node, variables)
                yield ")"

    def _operation(  # noqa: C901 - as above
        self, node: Node, variables: Variables
    ) -> Iterator[str | Expression]:
        match node:
            case Unary(operator, operand):
                yield operator
                yield from self.write(operand, variables)
            case Binary(first, rest):
                yield from self.write(first, variables)
                for operator, operand in rest:
                    yield f" {operator} "
                    yield from self.write(operand, variables)
            case Logic(operator, operands):
                yield from self._listed("", operands, "", variables, f" {operator} ")
            case Conditional(cases, otherwise):
                for when, then in cases:
                    yield from self._listed("", (when, then), " : ", variables, " ? ")
                yield from self.write(otherwise, variables)
            case MapOf(entries):
                for number, (key, value) in enumerate(entries):
                    yield from self._listed(", " if number else "{", (key, value), "", variables, ": ")
                yield "}" if entries else "{}"
            case _:  # pragma: no cover - all nodes are above, or in write()
                raise TypeError(node)

    def _listed(
        self, before: str, parts: tuple[Node, ...], after: str, variables: Variables, between: str = ", "
    ) -> Iterator[str | Expression]:
        yield before
        for number, part in enumerate(parts):
            yield between if number else ""
            yield from self.write(part, variables)
        yield after

    def _is_known(self, node: Node, variables: Variables) -> bool:
        match node:
            case Name(name):
                return name not in variables and name != "answers"
            case Select(Name("answers"), name) | Index(Name("answers"), Literal(str() as name)):
                return self._unknown is not None and name not in self._unknown
            case Loop(_, operand, variable, body):
                inner = variables - {variable}
                return self._is_known(operand, variables) and all(self._is_known(one, inner) for one in body)
            case _:
                return all(self._is_known(part, variables) for part in node.parts)


def _constant(node: Literal) -> str:
    if isinstance(node.value, bytes):
        return 'b"' + "".join(f"\\x{byte:02x}" for byte in node.value) + '"'
    text = str(_literal(node.value))
    return f"{text}.0" if type(node.value) is float and text.isdigit() and not node.is_whole else text
