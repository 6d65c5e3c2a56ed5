"""Expressions of survey files, in CEL (docs/surveys.md, "Conditions")."""

from .compiler import FUNCTIONS, Names
from .expression import Expression, compile_expression, without_value
from .frame import MAX_STEPS, Scope, StepBudget
from .nodes import Binary, Call, Index, InvalidExpression, ListOf, Literal, Loop, Name, Node, Select, Unary, nodes
from .parser import MAX_LENGTH
from .values import EvaluationError, number_text

__all__ = [
    "FUNCTIONS",
    "MAX_LENGTH",
    "MAX_STEPS",
    "Binary",
    "Call",
    "EvaluationError",
    "Expression",
    "Index",
    "InvalidExpression",
    "ListOf",
    "Literal",
    "Loop",
    "Name",
    "Names",
    "Node",
    "Scope",
    "Select",
    "StepBudget",
    "Unary",
    "compile_expression",
    "nodes",
    "number_text",
    "without_value",
]
