"""Expressions of survey files, in CEL (docs/surveys.md, "Conditions")."""

from .compiler import FUNCTIONS, Names
from .expression import Expression, branches, compile_expression, without_value
from .frame import SCOPE, Frame, Scope, StepBudget
from .functions import OF_LISTS
from .inference import infer
from .nodes import Binary, Call, Index, InvalidExpression, Literal, Loop, Name, Node, Select, nodes
from .parser import MAX_LENGTH, RESERVED_WORDS
from .partial import PartialExpression, divide
from .possible import ANY, SAMPLES, Alternative, Possible, constant, list_of, map_of, types
from .values import EvaluationError, number_text, type_name, whole_number

__all__ = [
    "ANY",
    "FUNCTIONS",
    "MAX_LENGTH",
    "OF_LISTS",
    "RESERVED_WORDS",
    "SAMPLES",
    "SCOPE",
    "Alternative",
    "Binary",
    "Call",
    "EvaluationError",
    "Expression",
    "Frame",
    "Index",
    "InvalidExpression",
    "Literal",
    "Loop",
    "Name",
    "Names",
    "Node",
    "PartialExpression",
    "Possible",
    "Scope",
    "Select",
    "StepBudget",
    "branches",
    "compile_expression",
    "constant",
    "divide",
    "infer",
    "list_of",
    "map_of",
    "nodes",
    "number_text",
    "type_name",
    "types",
    "whole_number",
    "without_value",
]
