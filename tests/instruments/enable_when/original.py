"""The rules of `enableWhen-test.R4.json`: one `enableWhen` of each operator and type, and an `enableWhenExpression`.

In FHIR no operator but `exists` holds without an answer, `!=` neither; of several answers one is enough.
"""

import operator
from collections.abc import Callable
from typing import Any

from tests.instruments.oracle import Given, Item, Original, Rule

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}

ENABLE_WHEN: dict[str, tuple[str, list[tuple[str, Any]]]] = {
    "Q1-exists": ("Q1", [("exists", True)]),
    "Q1-not-exists": ("Q1", [("exists", False)]),
    "Q1-true": ("Q1", [("=", True)]),
    "Q1-false": ("Q1", [("=", False)]),
    "Q1-not-true": ("Q1", [("!=", True)]),
    "Q2-exists": ("Q2", [("exists", True)]),
    "Q2-not-exists": ("Q2", [("exists", False)]),
    "Q2-equal": ("Q2", [("=", 5.6)]),
    "Q2-ge": ("Q2", [(">=", 4.8)]),
    "Q3-exists": ("Q3", [("exists", True)]),
    "Q3-not-exists": ("Q3", [("exists", False)]),
    "Q3-equal": ("Q3", [("=", 5)]),
    "Q3-ge": ("Q3", [(">=", 4)]),
    "Q4-exists": ("Q4", [("exists", True)]),
    "Q4-not-exists": ("Q4", [("exists", False)]),
    "Q4-equal": ("Q4", [("=", "2020-05-01")]),
    "Q4-ge": ("Q4", [(">=", "2020-05-01")]),
    "Q5-exists": ("Q5", [("exists", True)]),
    "Q5-not-exists": ("Q5", [("exists", False)]),
    "Q6-exists": ("Q6", [("exists", True)]),
    "Q6-not-exists": ("Q6", [("exists", False)]),
    "Q7-exists": ("Q7", [("exists", True)]),
    "Q7-not-exists": ("Q7", [("exists", False)]),
    "Q7-equals": ("Q7", [("=", "test")]),
    "Q7-notequals": ("Q7", [("!=", "test")]),
    "Q7-gt": ("Q7", [(">", "tes")]),
    "Q7-ge": ("Q7", [(">=", "test")]),
    "Q7-ge2": ("Q7", [(">=", "tes")]),
    "Q7-lt": ("Q7", [(">", "testing")]),
    "Q7-le": ("Q7", [("<", "test")]),
    "Q7-le2": ("Q7", [("<=", "testing")]),
    "Q8-exists": ("Q8", [("exists", True)]),
    "Q8-not-exists": ("Q8", [("exists", False)]),
    "Q8-eq-B": ("Q8", [("=", "B")]),
    "Q8-eq-B-and-C": ("Q8", [("=", "B"), ("=", "C")]),
    "Q9-exists": ("Q9", [("exists", True)]),
    "Q9-not-exists": ("Q9", [("exists", False)]),
    "Q9-eq-B": ("Q9", [("=", "B")]),
    "Q9-noteq-B": ("Q9", [("!=", "B")]),
    "Q9a-exists": ("Q9a", [("exists", True)]),
    "Q9a-not-exists": ("Q9a", [("exists", False)]),
    "Q9a-eq-B": ("Q9a", [("=", "B")]),
    "Q9a-noteq-B": ("Q9a", [("!=", "B")]),
    "Q9b-exists": ("Q9b", [("exists", True)]),
    "Q9b-not-exists": ("Q9b", [("exists", False)]),
    "Q9b-eq-B": ("Q9b", [("=", 34)]),
    "Q9b-noteq-B": ("Q9b", [("!=", 34)]),
    "Q9c-exists": ("Q9c", [("exists", True)]),
    "Q9c-not-exists": ("Q9c", [("exists", False)]),
    "Q9c-eq-B": ("Q9c", [("=", "2022-09")]),
    "Q9c-noteq-B": ("Q9c", [("!=", "2022-09")]),
    "Q9d-exists": ("Q9d", [("exists", True)]),
    "Q9d-not-exists": ("Q9d", [("exists", False)]),
    "Q9d-eq-B": ("Q9d", [("=", "13:30:00")]),
    "Q9d-noteq-B": ("Q9d", [("!=", "13:30:00")]),
}
"""Question, operators and values, which must all hold."""

QUESTIONS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "Q1": ("g1", (None, True, False)),
    "Q2": ("g2", (None, 5.6, 4.8, 4.7, 6)),
    "Q3": ("g3", (None, 5, 4, 3)),
    "Q4": ("g4", (None, "2020-05-01", "2020-04-30", "2021-01-01")),
    "Q5": ("g5", (None, "2020-05-01T12:30")),
    "Q6": ("g6", (None, "00:00", "23:59")),
    "Q7": ("g7", (None, "test", "tes", "testing", "tess", "testings", "Test")),
    "Q8": ("g8", (None, ["A"], ["B"], ["C"], ["B", "C"], ["A", "B", "C"])),
    "Q9": ("g9", (None, "A", "B", "C")),
    "Q9a": ("g9a", (None, "A", "B", "C")),
    "Q9b": ("g9b", (None, 12, 34, 56)),
    "Q9c": ("g9c", (None, "2022", "2022-09", "2022-09-20")),
    "Q9d": ("g9d", (None, "10:30:00", "13:30:00", "23:59:59")),
    "Q10": ("g10", (None, "chick", "chicken")),
    "Q10b": ("g10", (None, "en")),
}
"""The page and answers of each."""

OPTIONS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("Q8", "Q9", "Q9a"), ("A", "B", "C")),
    "Q9b": (12, 34, 56),
    "Q9c": ("2022", "2022-09", "2022-09-20"),
    "Q9d": ("10:30:00", "13:30:00", "23:59:59"),
}


def enabled(question: str, conditions: list[tuple[str, Any]]) -> Rule:
    def holds(given: Given) -> bool:
        answer = given[question]
        answers = answer if isinstance(answer, list) else [] if answer is None else [answer]
        return all(
            bool(answers) == value if name == "exists" else any(OPERATORS[name](one, value) for one in answers)
            for name, value in conditions
        )

    return holds


def chicken(given: Given) -> bool:
    """`Q10 & Q10b = 'chicken'`: an empty one is an empty text."""
    return (given["Q10"] or "") + (given["Q10b"] or "") == "chicken"


def conditional(link: str, page: str, shown: Rule) -> Item:
    return Item(id=link, at=f"{page}.{link.replace('-', '_')}", answers=("text",), required=False, shown=shown)


def items() -> list[Item]:
    asked: list[Item] = []
    for question, (page, answers) in QUESTIONS.items():
        asked.append(
            Item(id=question, at=f"{page}.{question}", answers=answers, required=False, options=OPTIONS.get(question))
        )
        asked += [
            conditional(link, page, enabled(question, conditions))
            for link, (read, conditions) in ENABLE_WHEN.items()
            if read == question
        ]
    return [*asked, conditional("Q10-ewe", "g10", chicken)]


ORIGINAL = Original(items=items())
