"""What an expression can be for all answers together.

Parts that read the same answer are taken for independent: a result that is not possible may be taken for possible,
never the other way.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from . import evaluation
from .frame import MAX_STEPS, StepBudget
from .functions import STANDARD, SURVEY, matching
from .nodes import Binary, Call, Conditional, Index, ListOf, Literal, Logic, Loop, MapOf, Name, Node, Select, Unary
from .possible import ANY, NOW, TODAY, TYPED, Possible, applied, can_be, constant, list_of, literal_list, union
from .values import OPERATORS, EvaluationError, item_at, type_name

_UNARY = {"-": evaluation.negated(lambda frame: frame), "!": evaluation.inverted(lambda frame: frame)}

Members = Callable[[str, str], Possible]

_Bound = Mapping[str, Possible]
_Outcome = Possible | EvaluationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Inferred:
    """What an expression can be, and the two sides of its comparisons."""

    outcome: _Outcome
    comparisons: tuple[tuple[Possible, Possible], ...]


def infer(tree: Node, member: Members, own: Possible, budget: StepBudget | None = None) -> Inferred:
    """Return what is known of an expression; once the budget is used up, a part can be anything."""
    inference = _Inference(member, StepBudget(MAX_STEPS) if budget is None else budget)
    outcome = inference.attempt(tree, {"answer": own, "today": (TODAY,), "now": (NOW,)})
    return Inferred(outcome=outcome, comparisons=tuple(inference.comparisons))


@dataclass(frozen=True, slots=True)
class _Inference:
    """Visits all parts, also those after one that fails, for their comparisons."""

    member: Members
    budget: StepBudget
    comparisons: list[tuple[Possible, Possible]] = field(default_factory=list)
    _applied: dict[tuple[object, ...], tuple[Sequence[Possible], Possible]] = field(default_factory=dict)

    def attempt(self, node: Node, bound: _Bound) -> _Outcome:
        try:
            return self._of(node, bound)
        except EvaluationError as error:
            return error

    def _attempts(self, nodes: Iterable[Node], bound: _Bound) -> list[_Outcome]:
        return [self.attempt(node, bound) for node in nodes]

    def _all(self, nodes: Iterable[Node], bound: _Bound) -> list[Possible]:
        return [_value(outcome) for outcome in self._attempts(nodes, bound)]

    def _of(self, node: Node, bound: _Bound) -> Possible:  # noqa: C901, PLR0912 - one case a node
        match node:
            case Literal(value):
                return (constant(value),)
            case Name(name):
                return _some(bound.get(name, (ANY,)))
            case Select(Name("answers" | "parameters" | "values" as mapping), name) | Index(
                Name("answers" | "parameters" | "values" as mapping), Literal(str() as name)
            ) if mapping not in bound:
                is_test = isinstance(node, Select) and node.is_test
                return (TYPED[bool],) if is_test else self.member(mapping, name)
            case Select(operand, name, False) | Index(operand, Literal(str() as name)) if fields := _fields(
                self.attempt(operand, bound)
            ):
                if name not in fields:
                    raise EvaluationError(f"there is no part {name}; the parts are {', '.join(fields)}")
                return fields[name]
            case Select(operand, name, is_test):
                read = evaluation.has_field if is_test else evaluation.selected
                return self._apply(read(lambda frame: frame, name), self._all([operand], bound))
            case Index(operand, Literal(float(), is_whole=True)):
                return _some(_items(self._all([operand], bound)[0], "there is no such key"))
            case Index(operand, key) if fields := _fields(self.attempt(operand, bound)):
                self.attempt(key, bound)
                return union(itertools.chain.from_iterable(fields.values()))
            case Index():
                return self._apply(item_at, self._all(node.parts, bound))
            case Call():
                return self._call(node, bound)
            case Loop():
                return self._loop(node, bound)
            case Unary(operator, operand):
                return self._apply(_UNARY[operator], self._all([operand], bound))
            case Binary():
                return self._binary(node, bound)
            case Logic(operator, operands):
                return _decided(self._attempts(operands, bound), decisive=operator == "||")
            case Conditional():
                return _chosen(self._attempts(node.parts, bound))
            case ListOf(items):
                return (literal_list(self._all(items, bound)),)
            case MapOf():
                self._attempts(node.parts, bound)
                return (ANY,)
            case _:  # pragma: no cover - all nodes are above
                raise TypeError(node)

    def _apply(self, function: Callable[..., object], arguments: Sequence[Possible]) -> Possible:
        """Apply a function once to the same samples."""
        key = (function, *(tuple((id(one.samples), one.is_exact, one.is_any) for one in part) for part in arguments))
        if key not in self._applied:
            self._applied[key] = (arguments, applied(function, arguments, self.budget))  # with them: ids are used again
        return self._applied[key][1]

    def _call(self, node: Call, bound: _Bound) -> Possible:
        function = STANDARD.get(node.function) or SURVEY.get(node.function)
        outcomes = self._attempts(node.parts, bound)
        match node.function, node.parts:
            case "coalesce", _:
                return _first_value(outcomes)
            case "answered", _:
                return (TYPED[bool],)
            case "matches", (_, Literal(str() as pattern)):
                return self._apply(matching(pattern), [_value(outcomes[0])])
            case _:
                values = [*map(_value, outcomes)]
                return (ANY,) if function is None else self._apply(function.call, values)

    def _binary(self, node: Binary, bound: _Bound) -> Possible:
        left, *others = self._all(node.parts, bound)
        for (operator, _), right in zip(node.rest, others, strict=True):
            is_search = operator == "in" and any(one.items is not None for one in right)
            if operator in {"==", "!="}:
                self.comparisons.extend(_compared(left, right))
            elif is_search:
                self.comparisons.extend(_searched(left, right))
            never_fails = is_search or operator in {"==", "!="}
            left = (TYPED[bool],) if never_fails else self._apply(OPERATORS[operator], [left, right])
        return left

    def _loop(self, node: Loop, bound: _Bound) -> Possible:
        (collection,) = self._all([node.operand], bound)
        keys = tuple(map(constant, _fields(collection)))
        items = keys or _items(collection, f"a {_type_name(collection)} is not a list")
        may_be_empty = any(one.is_any or [] in one.samples for one in collection)
        named = tuple(one if one.source is None else replace(one, name=node.variable) for one in items)
        body = self._attempts(node.body, {**bound, node.variable: named})
        condition, result = body[0], body[-1]
        if node.macro == "map" and len(node.body) == 1:
            if isinstance(result, EvaluationError):
                return (list_of((), may_be_empty=True),) if may_be_empty else _value(result)
            return (list_of(result, may_be_empty=may_be_empty),)
        if not may_be_empty:
            _boolean(_value(condition))
        if node.macro == "map":
            return (list_of(() if isinstance(result, EvaluationError) else result, may_be_empty=True),)
        return (list_of(items, may_be_empty=True),) if node.macro == "filter" else (TYPED[bool],)


def _fields(outcome: _Outcome) -> Mapping[str, Possible]:
    if isinstance(outcome, EvaluationError) or len(outcome) > 1:
        return {}
    return outcome[0].fields or {}


def _value(outcome: _Outcome) -> Possible:
    if isinstance(outcome, EvaluationError):
        raise outcome
    return outcome


def _some(items: Possible) -> Possible:
    if items:
        return items
    raise EvaluationError("the list is empty")


def _boolean_outcome(outcome: _Outcome) -> _Outcome:
    try:
        return _boolean(_value(outcome))
    except EvaluationError as error:
        return error


def _boolean(possible: Possible) -> Possible:
    if can_be(possible, True) or can_be(possible, False):
        return possible
    raise EvaluationError(f"a {_type_name(possible)} is not true or false")


def _type_name(possible: Possible) -> str:
    return next((type_name(sample) for one in possible for sample in one.samples), "list")


def _items(possible: Possible, problem: str) -> Possible:
    lists = [one for one in possible if one.items is not None or one.is_any]
    if not lists:
        raise EvaluationError(problem)
    return union(item for one in lists for item in ((ANY,) if one.items is None else one.items))


def _decided(outcomes: list[_Outcome], *, decisive: bool) -> Possible:
    operands = [one for one in outcomes if not isinstance(one, EvaluationError)]
    results = [constant(decisive)] if any(can_be(one, decisive) for one in operands) else []
    if len(operands) == len(outcomes) and all(can_be(one, not decisive) for one in operands):
        results.append(constant(not decisive))
    if not results:
        for outcome in outcomes:
            _boolean(_value(outcome))
    return tuple(results)


def _chosen(outcomes: list[_Outcome]) -> Possible:
    *cases, otherwise = outcomes
    reached: list[_Outcome] = []
    for when, then in zip(cases[::2], cases[1::2], strict=True):
        condition = _boolean_outcome(when)
        if isinstance(condition, EvaluationError):
            reached.append(condition)
            break
        reached += [then] if can_be(condition, True) else []
        if not can_be(condition, False):
            break
    else:
        reached.append(otherwise)
    found = [one for one in reached if not isinstance(one, EvaluationError)]
    return union(itertools.chain.from_iterable(found)) if found else _value(reached[0])


def _first_value(outcomes: list[_Outcome]) -> Possible:
    found = union(one for outcome in outcomes if not isinstance(outcome, EvaluationError) for one in outcome)
    return tuple(one for one in found if tuple(one.samples) != (None,)) or (constant(None),)


def _compared(left: Possible, right: Possible) -> list[tuple[Possible, Possible]]:
    for one, other in ((left, right), (right, left)):
        if len(other) == 1 and other[0].parts is not None and all(part.items is not None for part in one):
            return [(_items(one, ""), part) for part in other[0].parts]
    return [(left, right)]


def _searched(left: Possible, right: Possible) -> list[tuple[Possible, Possible]]:
    parts = [part for one in right for part in one.parts or ()]
    constants = [part for part in parts if all(one.is_exact and one.source is None for one in part)]
    return [*((left, part) for part in constants), (left, _items(right, ""))]
