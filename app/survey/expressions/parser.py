"""CEL's grammar (https://github.com/cel-expr/cel-spec/blob/master/doc/langdef.md)."""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from .nodes import (
    Binary,
    Call,
    Conditional,
    Index,
    InvalidExpression,
    ListOf,
    Literal,
    Logic,
    Loop,
    MapOf,
    Name,
    Node,
    Select,
    Unary,
    check_depth,
)
from .tokens import HINTS, Token, number, string, tokens

T = TypeVar("T")

MAX_LENGTH = 2000
"""Characters of one expression."""

MAX_NESTING = 40
"""Brackets and unary operators inside each other: each takes some frames of Python's stack."""

LOOPS = frozenset({"all", "exists", "exists_one", "existsOne", "map", "filter"})

RESERVED_WORDS = frozenset(
    """as break const continue else for function if import in let loop namespace package return var void while
    true false null""".split()  # noqa: SIM905 - twenty words, not twenty quotes
)
"""Of CEL, which are no names."""

_RELATIONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
_BINARY: tuple[frozenset[str], ...] = (_RELATIONS, frozenset("+-"), frozenset("*/"))
"""Operators of one precedence each, from the loosest."""


@lru_cache(maxsize=1024)  # the checks of a file compile the same expressions as its survey, with other names
def parse(source: str) -> Node:
    if len(source) > MAX_LENGTH:
        raise InvalidExpression(f"the expression has {len(source)} characters; at most {MAX_LENGTH} are allowed")
    tree = _Parser(source).parse()
    check_depth(tree)
    return tree


class _Parser:
    """Has one function a rule of the grammar."""

    def __init__(self, source: str) -> None:
        self._tokens = list(tokens(source))
        self._position = 0
        self._nesting = 0

    def parse(self) -> Node:
        tree = self._expression()
        if self._token.kind != "end":
            raise self._unexpected()
        return tree

    @property
    def _token(self) -> Token:
        return self._tokens[self._position]

    def _next(self) -> Token:
        token = self._token
        self._position += 1
        return token

    def _takes(self, mark: str) -> bool:
        is_next = self._token.text == mark and self._token.kind in {"mark", "name"}
        self._position += is_next
        return is_next

    def _expect(self, mark: str) -> None:
        if not self._takes(mark):
            raise self._unexpected(f"expected {mark}")

    def _unexpected(self, hint: str = "") -> InvalidExpression:
        token = self._token
        if token.kind == "end":
            return InvalidExpression(f"not a CEL expression: it ends too early{hint and f': {hint}'}")
        before, text = self._tokens[self._position - 1].text.lower(), token.text.lower()
        wrong = "not" if before == "not" else "**" if before == text == "*" else text
        hint = HINTS.get(wrong, hint)
        return InvalidExpression(
            f"not a CEL expression: unexpected {token.text} at character {token.at + 1}{hint and f': {hint}'}"
        )

    def _expression(self) -> Node:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise InvalidExpression("the expression is nested too deeply")
        cases = []
        node = self._logic("||")
        while self._takes("?"):
            then = self._logic("||")
            self._expect(":")
            cases.append((node, then))
            node = self._logic("||")
        self._nesting -= 1
        return Conditional(tuple(cases), node) if cases else node

    def _logic(self, operator: str) -> Node:
        operands = [self._logic("&&") if operator == "||" else self._binary(0)]
        while self._takes(operator):
            operands.append(self._logic("&&") if operator == "||" else self._binary(0))
        return Logic(operator, tuple(operands)) if len(operands) > 1 else operands[0]

    def _binary(self, precedence: int) -> Node:
        if precedence == len(_BINARY):
            return self._unary()
        first = self._binary(precedence + 1)
        rest = []
        while self._token.kind in {"mark", "name"} and self._token.text in _BINARY[precedence]:
            rest.append((self._next().text, self._binary(precedence + 1)))
        return Binary(first, tuple(rest)) if rest else first

    def _unary(self) -> Node:
        operators = []
        while self._token.kind == "mark" and self._token.text in {"!", "-"}:
            operators.append(self._next().text)
        if len(operators) > MAX_NESTING:
            raise InvalidExpression("the expression is nested too deeply")
        node = self._member()
        for operator in reversed(operators):
            node = Unary(operator, node)
        return node

    def _member(self) -> Node:
        node = self._primary()
        while True:
            if self._takes("."):
                node = self._selection(node)
            elif self._takes("["):
                node = Index(node, self._expression())
                self._expect("]")
            else:
                return node

    def _selection(self, operand: Node) -> Node:
        token = self._token
        if token.kind != "name" or token.text in {"in", "true", "false", "null"}:
            raise self._unexpected("expected a name after the point")
        self._next()
        if not self._takes("("):
            return Select(operand, token.text)
        arguments = self._sequence(")", self._expression)
        return _loop(token.text, operand, arguments) if token.text in LOOPS else Call(token.text, operand, arguments)

    def _primary(self) -> Node:
        token = self._token
        if token.kind == "string":
            return Literal(string(self._next()))
        if token.kind in {"whole", "double"}:
            return number(self._next())
        if token.kind == "name":
            return self._name()
        if self._takes("("):
            node = self._expression()
            self._expect(")")
            return node
        if self._takes("["):
            return ListOf(self._sequence("]", self._expression))
        if self._takes("{"):
            return MapOf(self._sequence("}", self._entry))
        raise self._unexpected()

    def _name(self) -> Node:
        name = self._token.text
        if name in {"true", "false", "null"}:
            self._next()
            return Literal({"true": True, "false": False, "null": None}[name])
        if name in RESERVED_WORDS:
            raise self._unexpected("a reserved word")
        self._next()
        if not self._takes("("):
            return Name(name)
        arguments = self._sequence(")", self._expression)
        return _has(arguments) if name == "has" else Call(name, None, arguments)

    def _sequence(self, closing: str, read: Callable[[], T]) -> tuple[T, ...]:
        items: list[T] = []
        while not self._takes(closing):
            items.append(read())
            if self._takes(closing):
                break
            self._expect(",")
            if closing == ")" and self._token.text == ")":
                raise self._unexpected()
        return tuple(items)

    def _entry(self) -> tuple[Node, Node]:
        key = self._expression()
        self._expect(":")
        return key, self._expression()


def _loop(macro: str, operand: Node, arguments: tuple[Node, ...]) -> Node:
    counts = {2, 3} if macro == "map" else {2}
    if len(arguments) not in counts or not isinstance(arguments[0], Name):
        raise InvalidExpression(f"not a CEL expression: write {macro}(name, expression)")
    return Loop(macro, operand, arguments[0].name, arguments[1:])


def _has(arguments: tuple[Node, ...]) -> Node:
    if len(arguments) == 1 and isinstance(arguments[0], Select) and not arguments[0].is_test:
        return Select(arguments[0].operand, arguments[0].field, is_test=True)
    raise InvalidExpression("not a CEL expression: has() takes one field, such as has(answers.Q1)")
