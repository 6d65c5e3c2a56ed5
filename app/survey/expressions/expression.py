"""Compiled expressions: CEL (https://cel.dev) with numbers of one kind and more functions."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from .compiler import Names, compile_tree, count_steps
from .frame import MAX_STEPS, STEPS, Evaluate, Frame, OutOfSteps, Scope, StepBudget, new_frame, spend, weight
from .nodes import Conditional, Logic, Node
from .parser import parse
from .values import EvaluationError, to_json, type_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """One compiled expression, without ``tree`` if it does not compile, or ``step_ids`` if it reads all answers."""

    source: str
    tree: Node | None = None
    step_ids: frozenset[str] | None = frozenset()
    reads_answer: bool = False
    reads_time: bool = False
    parameter_names: frozenset[str] = frozenset()
    value_names: frozenset[str] = frozenset()
    _evaluate: Evaluate
    _steps: int = 0

    @property
    def reads_only_answer(self) -> bool:
        return self.reads_only(frozenset())

    def reads_only(self, step_ids: Collection[str]) -> bool:
        """Return whether only these answers, and ``answer``, decide the value."""
        others = (self.reads_time, self.parameter_names, self.value_names)
        return self.step_ids is not None and self.step_ids <= set(step_ids) and not any(others)

    def holds(self, scope: Scope, budget: StepBudget | None = None) -> bool:
        """Return whether a condition is true; raise EvaluationError if it has no boolean value."""
        result = self._result(scope, budget, self._evaluate)
        if type(result) is not bool:
            raise EvaluationError(f"the result is a {type_name(result)}, not true or false")
        return result

    def value(self, scope: Scope, budget: StepBudget | None = None) -> Any:  # noqa: ANN401 - JSON of any kind
        """Return the value as JSON has it; raise EvaluationError if there is none."""
        return self._result(scope, budget, self._json)

    def raw_value(self, scope: Scope) -> Any:  # noqa: ANN401 - any value
        """Return the value of any type; raise EvaluationError if there is none."""
        return self._result(scope, None, self._evaluate)

    def _json(self, frame: Frame) -> Any:  # noqa: ANN401 - JSON of any kind
        value = self._evaluate(frame)
        spend(frame, weight(frame, value))
        return to_json(value)

    def _result(self, scope: Scope, budget: StepBudget | None, evaluate: Evaluate) -> Any:  # noqa: ANN401 - any value
        frame = new_frame(scope, MAX_STEPS - self._steps)
        try:
            return evaluate(frame)
        except OutOfSteps:
            raise EvaluationError(f"it takes more than {MAX_STEPS} steps") from None
        except (MemoryError, RecursionError):
            raise EvaluationError("it takes too much memory") from None
        finally:
            if budget is not None:
                budget.left -= MAX_STEPS - frame[STEPS]


def without_value(source: str) -> Expression:
    """Return what stands for an expression that does not compile: stored surveys load after any upgrade."""

    def evaluate(_frame: Frame) -> object:
        raise EvaluationError("the expression does not compile")

    return Expression(source=source, _evaluate=evaluate)


def compile_expression(source: str, names: Names) -> Expression:
    """Compile an expression; raise InvalidExpression if it is too long, too deep, not CEL, or has an unknown name."""
    return compile_node(parse(source), source, names)


def branches(expression: Expression, names: Names) -> tuple[Expression, ...]:
    """Return the parts of which an evaluation may skip some, or the expression itself."""
    trees = [] if expression.tree is None else [*_branches(expression.tree)]
    return tuple(compile_node(tree, expression.source, names) for tree in trees) if len(trees) > 1 else (expression,)


def _branches(tree: Node) -> Iterator[Node]:
    if isinstance(tree, Logic | Conditional):
        for part in tree.parts:
            yield from _branches(part)
    else:
        yield tree


def compile_node(tree: Node, source: str, names: Names) -> Expression:
    evaluate, reads = compile_tree(tree, names)
    return Expression(
        source=source,
        tree=tree,
        step_ids=reads.of("answers"),
        reads_answer="answer" in reads.variables,
        reads_time=not reads.variables.isdisjoint({"today", "now"}),
        parameter_names=names.parameters if (read := reads.of("parameters")) is None else read,
        value_names=names.values if (read := reads.of("values")) is None else read,
        _evaluate=evaluate,
        _steps=count_steps(tree),
    )
