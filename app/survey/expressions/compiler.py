"""The compiler from trees of nodes to Python functions."""

from dataclasses import dataclass, field
from difflib import get_close_matches

from . import evaluation
from .evaluation import VARIABLES_OF_SCOPE
from .frame import VARIABLES, Evaluate
from .functions import OF_LISTS, STANDARD, SURVEY, matching
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
    nodes,
)
from .values import TypeValue

TYPE_NAMES = frozenset({"int", "uint", "double", "string", "bytes", "bool", "list", "map", "null_type"})

UNEVALUATED = frozenset({"coalesce", "answered", "label", "other_text"})
"""Functions that see more of their arguments than the values."""

FUNCTIONS = frozenset({*STANDARD, *SURVEY, *UNEVALUATED})

_OTHER_NAMES = {
    "min": "minimum", "max": "maximum", "len": "size", "length": "size",
    "avg": "mean", "average": "mean", "str": "string",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What an expression may name; ``today`` and ``now`` always."""

    answers: frozenset[str]
    answer: bool = False
    parameters: frozenset[str] = frozenset()
    values: frozenset[str] = frozenset()
    texts: bool = False

    @property
    def variables(self) -> frozenset[str]:
        optional = {"answer": self.answer, "parameters": self.parameters, "values": self.values}
        return frozenset({"answers", "today", "now", *(name for name, exists in optional.items() if exists)})


@dataclass(slots=True)
class Reads:
    """What an expression reads; None for all members of a map."""

    variables: set[str] = field(default_factory=set)
    members: dict[str, set[str] | None] = field(default_factory=dict)

    def of(self, mapping: str) -> frozenset[str] | None:
        names = self.members.get(mapping, set())
        return None if names is None else frozenset(names)


def compile_tree(tree: Node, names: Names) -> tuple[Evaluate, Reads]:
    compiler = _Compiler(names)
    evaluate = compiler.compile(tree, ())
    if compiler.problems:
        raise InvalidExpression(*compiler.problems)
    return evaluate, compiler.reads


def count_steps(tree: Node) -> int:
    """Count the steps that do not depend on data."""
    calls = [node.function for node in nodes(tree) if isinstance(node, Call)]
    own = [function.steps for name in calls if (function := STANDARD.get(name) or SURVEY.get(name))]
    return sum(1 for _ in nodes(tree)) + sum(own)


class _Compiler:
    """Compiles nodes inside ``bound``, the variables of loops."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._variables = names.variables
        self._members = {"answers": names.answers, "parameters": names.parameters, "values": names.values}
        self.reads = Reads()
        self.problems: dict[str, None] = {}

    def compile(self, node: Node, bound: tuple[str, ...]) -> Evaluate:
        """Add to ``problems`` if a node is wrong."""
        try:
            return self._compile(node, bound)
        except InvalidExpression as error:
            self.problems |= dict.fromkeys(error.args)
            if isinstance(node, Call):
                self._all(node.parts, bound)  # which may be wrong too
            return lambda _frame: None

    def _compile(self, node: Node, bound: tuple[str, ...]) -> Evaluate:  # noqa: C901, PLR0912 - one case a node
        match node:
            case Literal(value):
                return lambda _frame: value
            case Name(name):
                return self._name(name, bound)
            case Select(operand, name, is_test):
                return self._select(operand, name, bound, is_test=is_test)
            case Index(operand, key):
                return self._index(operand, key, bound)
            case Call() if node.function in UNEVALUATED and node.target is None:
                return self._unevaluated(node, bound)
            case Call():
                return self._call(node, bound)
            case Loop():
                return self._loop(node, bound)
            case Unary("-", operand):
                return evaluation.negated(self.compile(operand, bound))
            case Unary(_, operand):
                return evaluation.inverted(self.compile(operand, bound))
            case Binary(first, (("==" | "!=" as operator, Literal(constant)),)):
                return evaluation.compared(self.compile(first, bound), constant, is_equal=operator == "==")
            case Binary(first, rest):
                left = self.compile(first, bound)
                return evaluation.chained(left, [(operator, self.compile(one, bound)) for operator, one in rest])
            case Logic(operator, operands):
                return evaluation.logic(self._all(operands, bound), decisive=operator == "||")
            case Conditional(cases, otherwise):
                compiled = [(self.compile(when, bound), self.compile(then, bound)) for when, then in cases]
                return evaluation.conditional(compiled, self.compile(otherwise, bound))
            case ListOf(items):
                return evaluation.list_of(self._all(items, bound))
            case MapOf(entries):
                return evaluation.map_of([(self.compile(key, bound), self.compile(one, bound)) for key, one in entries])
            case _:  # pragma: no cover - all nodes are above
                raise TypeError(node)

    def _all(self, nodes: tuple[Node, ...], bound: tuple[str, ...]) -> list[Evaluate]:
        return [self.compile(node, bound) for node in nodes]

    def _name(self, name: str, bound: tuple[str, ...]) -> Evaluate:
        if name in bound:
            slot = VARIABLES + len(bound) - 1 - bound[::-1].index(name)
            return lambda frame: frame[slot]
        if name in self._variables:
            self.reads.variables.add(name)
            if name in self._members:
                self.reads.members[name] = None
            return VARIABLES_OF_SCOPE[name]
        if name in TYPE_NAMES:
            value = TypeValue(name)
            return lambda _frame: value
        raise InvalidExpression(f"{name!r} does not exist; there are {_listed(self._variables)}")

    def _select(self, operand: Node, name: str, bound: tuple[str, ...], *, is_test: bool) -> Evaluate:
        mapping = self._mapping(operand, bound)
        if mapping is not None:
            self._read(mapping, name)
            return (lambda _frame: True) if is_test else evaluation.member(mapping, name)
        compiled = self.compile(operand, bound)
        return evaluation.has_field(compiled, name) if is_test else evaluation.selected(compiled, name)

    def _index(self, operand: Node, key: Node, bound: tuple[str, ...]) -> Evaluate:
        mapping = self._mapping(operand, bound)
        match key:
            case Literal(str() as name) if mapping is not None:
                self._read(mapping, name)
                return evaluation.member(mapping, name)
            case Literal(float() as number, is_whole=True):
                return evaluation.indexed(self.compile(operand, bound), number)
            case _:
                return evaluation.looked_up(self.compile(operand, bound), self.compile(key, bound))

    def _mapping(self, node: Node, bound: tuple[str, ...]) -> str | None:
        if isinstance(node, Name) and node.name in self._members and node.name not in bound:
            return node.name if node.name in self._variables else None
        return None

    def _read(self, mapping: str, name: str) -> None:
        known = self._members[mapping]
        if name not in known:
            noun = {"answers": "step", "parameters": "parameter", "values": "value"}[mapping]
            raise InvalidExpression(f"{mapping}.{name} names a {noun} that is not in the survey")
        self.reads.variables.add(mapping)
        names = self.reads.members.setdefault(mapping, set())
        if names is not None:
            names.add(name)

    def _call(self, node: Call, bound: tuple[str, ...]) -> Evaluate:
        name = node.function
        function = STANDARD.get(name) or SURVEY.get(name)
        if function is None and name not in FUNCTIONS:
            nearest = [_OTHER_NAMES[name]] if name in _OTHER_NAMES else get_close_matches(name, FUNCTIONS, 1, 0.7)
            hint = f"; did you mean {nearest[0]}()?" if nearest else ""
            if name in self._variables:
                hint = f"; write {name}, without brackets"
            raise InvalidExpression(f"there is no function {name!r}{hint}")
        if function is None or (node.target is not None and not function.is_method):
            raise InvalidExpression(f"write {name}(x) instead of x.{name}()")
        if node.target is None and not function.is_global:
            raise InvalidExpression(f"write x.{name}() instead of {name}(x)")
        if len(node.parts) not in function.counts:
            counts = [count - (node.target is not None) for count in function.counts]
            if name in OF_LISTS:
                raise InvalidExpression(f"{name}() takes a list; write {name}([a, b])")
            noun = "value" if counts == [1] else "values"
            raise InvalidExpression(f"{name}() takes {' or '.join(map(str, counts))} {noun}")
        if name == "matches":
            text, pattern = node.parts
            return self._matches(text, pattern, bound)
        return evaluation.called(function.call, self._all(node.parts, bound), reads_all=function.reads_all)

    def _matches(self, text: Node, pattern: Node, bound: tuple[str, ...]) -> Evaluate:
        if isinstance(pattern, Literal) and isinstance(pattern.value, str):
            return evaluation.called(matching(pattern.value), [self.compile(text, bound)], reads_all=True)
        raise InvalidExpression('the pattern of matches() must be a text in quotes, such as x.matches("^[0-9]+$")')

    def _unevaluated(self, node: Call, bound: tuple[str, ...]) -> Evaluate:
        name, arguments = node.function, node.arguments
        match name:
            case "coalesce":
                if not arguments:
                    raise InvalidExpression("coalesce() takes at least one value")
                return evaluation.coalesced(self._all(arguments, bound))
            case "answered":
                if len(arguments) != 1:
                    raise InvalidExpression("answered() takes 1 value")
                return evaluation.answered(self.compile(arguments[0], bound))
            case "label" if not self._names.texts:
                raise InvalidExpression("label() is for texts only; compare values instead")
        match arguments:
            case (Select(operand, step, is_test=False) | Index(operand, Literal(str() as step)),) if (
                self._mapping(operand, bound) == "answers"
            ):
                self._read("answers", step)
                return evaluation.label(step) if name == "label" else evaluation.other_text(step)
        example = f"{name}(answers.Q1)"
        raise InvalidExpression(
            f"{name}() takes the answer to a step, such as {example}, but no row of a grid, parameter or value"
        )

    def _loop(self, node: Loop, bound: tuple[str, ...]) -> Evaluate:
        if node.variable in {"answer", "answers"}:
            raise InvalidExpression("a macro's variable cannot be called answer or answers")
        operand = self.compile(node.operand, bound)
        body = self._all(node.body, (*bound, node.variable))
        steps = sum(map(count_steps, node.body))
        return evaluation.loop(node.macro, evaluation.passes(operand, VARIABLES + len(bound), steps), body)


def _listed(names: frozenset[str]) -> str:
    *others, last = [f"`{name}`" for name in sorted(names)]
    return f"{', '.join(others)} and {last}"
