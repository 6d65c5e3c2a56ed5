"""Branching conditions: CEL (https://cel.dev) expressions on ``answer`` and ``answers``.

Compiled once, when the survey is loaded; everything that can be known then is checked then, because
the engine itself finds an undefined name only when it evaluates. Imported by ``definition``.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cel

MAX_LENGTH = 2000
"""Characters of one expression (SURVEY_FORMAT.md)."""

MAX_MACRO_DEPTH = 2
"""Macros inside one another (SURVEY_FORMAT.md): two loops over a list of answers, not three."""

FUNCTIONS = frozenset(
    """size contains startsWith endsWith matches int uint double string bytes timestamp duration type dyn
    getFullYear getMonth getDate getDayOfMonth getDayOfWeek getDayOfYear getHours getMinutes getSeconds
    getMilliseconds""".split()  # noqa: SIM905 - twenty names, not twenty quotes
)
"""The functions that common-expression-language 0.10 has, found by calling each."""

TYPE_NAMES = frozenset({"int", "uint", "double", "string", "bytes", "bool", "list", "map", "null_type"})

_MACROS = frozenset({"all", "exists", "exists_one", "existsOne", "map", "filter"})

_TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*)
    |(?P<string>[rRbB]{0,2}(?:\"{3}(?:\\.|[\s\S])*?\"{3}|'{3}(?:\\.|[\s\S])*?'{3}
        |"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>\d[\w.]*)
    |(?P<mark>.)""",
    re.VERBOSE,
)


class ConditionError(ValueError):
    """An expression that can't be a condition; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One compiled condition.

    Attributes:
        source: the expression as written.
        step_ids: the steps whose answers it reads by name; None if it reads ``answers`` as a whole.
        reads_answer: whether it reads ``answer``.
    """

    source: str
    step_ids: frozenset[str] | None
    reads_answer: bool
    _execute: Callable[[dict[str, Any]], object]

    def holds(self, answer: object, answers: Mapping[str, Any], all_ids: Sequence[str]) -> bool:
        """Return whether the condition is true for these answers.

        Only the answers that the expression names are handed over: a map of 1,000 costs the engine
        2 ms an evaluation, a map of one 2 µs.

        Raises:
            ConditionFailed: it can't be evaluated on these answers (null + 1), or is not true or false.
        """
        names = all_ids if self.step_ids is None else self.step_ids
        bound = {name: answers.get(name) for name in names}
        try:
            result = self._execute({"answer": answer, "answers": bound})
        except (TypeError, LookupError, RuntimeError, ArithmeticError, ValueError) as error:
            raise ConditionFailed(type(error).__name__) from error
        if not isinstance(result, bool):
            raise ConditionFailed(f"the result is a {type(result).__name__}, not true or false")
        return result


class ConditionFailed(Exception):
    """A condition that could not be evaluated on the answers it met."""


def compile_condition(source: str, step_ids: frozenset[str]) -> Condition:
    """Return the compiled condition.

    Raises:
        ConditionError: too long, nested too deep, not CEL, or naming what doesn't exist.
    """
    if len(source) > MAX_LENGTH:
        raise ConditionError(f"the expression has {len(source)} characters, at most {MAX_LENGTH} are allowed")
    try:
        program = cel.compile(source)
    except ValueError as error:
        raise ConditionError(f"not a CEL expression: {_first_line(error)}") from error
    tokens = list(_tokens(source))
    bound = _bound_names(tokens)
    _check_names(program.variables(), program.functions(), bound)
    named = _named_answers(tokens)
    for step_id in sorted(named or ()):
        if step_id not in step_ids:
            raise ConditionError(f"answers.{step_id} names a step that is not in the survey")
    return Condition(
        source=source,
        step_ids=named,
        reads_answer="answer" in program.variables(),
        _execute=program.execute,
    )


def _first_line(error: ValueError) -> str:
    lines = str(error).splitlines()
    return next((line.split("Syntax error: ")[-1] for line in lines if "Syntax error" in line), lines[0])


def _tokens(source: str) -> Iterator[str]:
    for match in _TOKEN.finditer(source):
        if match.lastgroup != "skip":
            yield match.group()


def _bound_names(tokens: list[str]) -> frozenset[str]:
    """Return the variables that macros bind.

    Raises:
        ConditionError: macros nested deeper than allowed, or a macro's variable hides ours.
    """
    bound: set[str] = set()
    open_macros: list[bool] = []
    for index, word in enumerate(tokens):
        if word == "(":
            is_macro = index > 1 and tokens[index - 2] == "." and tokens[index - 1] in _MACROS
            open_macros.append(is_macro)
            if is_macro:
                bound.update(tokens[index + 1 : index + 2])
        elif word == ")" and open_macros:
            open_macros.pop()
        if sum(open_macros) > MAX_MACRO_DEPTH:
            raise ConditionError(f"macros are nested deeper than {MAX_MACRO_DEPTH}")
    if bound & {"answer", "answers"}:
        raise ConditionError("a macro's variable may not be called answer or answers")
    return frozenset(bound)


def _check_names(variables: list[str], functions: list[str], bound: frozenset[str]) -> None:
    for name in variables:
        if name not in bound and name not in TYPE_NAMES and name not in {"answer", "answers"}:
            raise ConditionError(f"{name!r} does not exist; there are `answer` and `answers`")
    for name in functions:
        if name[0].isalpha() and name not in FUNCTIONS:
            raise ConditionError(f"there is no function {name!r}")


def _named_answers(tokens: list[str]) -> frozenset[str] | None:
    """Return the ids in ``answers.ID`` and ``answers["ID"]``; None if ``answers`` is used otherwise."""
    named: set[str] = set()
    for index, word in enumerate(tokens):
        if word != "answers" or (index and tokens[index - 1] == "."):
            continue
        rest = tokens[index + 1 : index + 4]
        if len(rest) > 1 and rest[0] == "." and not (rest[1] in _MACROS and rest[2:] == ["("]):
            named.add(rest[1])
        elif rest[:1] == ["["] and rest[2:] == ["]"] and _is_plain_string(rest[1]):
            named.add(rest[1][1:-1])
        else:
            return None
    return frozenset(named)


def _is_plain_string(token: str) -> bool:
    return token[0] in "\"'" and "\\" not in token and token[:3] not in {'"""', "'''"}
