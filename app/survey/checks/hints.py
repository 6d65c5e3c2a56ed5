"""What an author may have meant."""

import re
from collections.abc import Iterator, Mapping, Sequence

from ..expressions import (
    OF_LISTS,
    Binary,
    Call,
    Index,
    InvalidExpression,
    Literal,
    Loop,
    Name,
    Node,
    Select,
    compile_expression,
    nodes,
    number_text,
)
from ..texts import computed
from ..types import STEP_TYPES, BaseStep
from .document import Document, Path
from .places import names_in

_SHOWN = 5

_LISTS: Mapping[str, tuple[str, str, str]] = {
    "steps": ("a list of steps", "a step", "{id: S1, type: info, prompt: Hello}"),
    "next": ("a list of rules", "a rule", '{when: answer == "a", go: S2}'),
    "check": ("a list of checks", "a check", '{that: answer < 10, message: "Is it right?"}'),
    "options": ("a list of options", "an option", "{value: a, label: A}"),
    "fields": ("a list of fields", "a field", "{id: name, type: text, prompt: Your name}"),
    "rows": ("a list of rows", "a row", "{id: sleep, label: Sleep}"),
    "end": ("a list of endings", "an ending", "{title: Thank you}"),
    "languages": ("a list of languages", "a language", "en, de"),
}
"""What a field has, what its items are, and an example of them."""

_OBJECTS: Mapping[str, str] = {
    "parameters": "parameters by name, such as parameters: {clinic: {type: text, from: url}}",
    "values": 'expressions by name, such as values: {total: "answers.a + answers.b"}',
    "image": 'a picture, such as {file: body.png, alt: "A body"}',
    "code": 'a code, such as {system: "http://loinc.org", code: 39107-8}',
}
_CONDITIONS = frozenset({"when", "that", "show_if"})
_BEGIN_OF_DATE = re.compile("[0-9]{4}(-|$)")
_ORDER = frozenset({"<", "<=", ">", ">="})
_BOOLEANS = {"yes": "true", "on": "true", "no": "false", "off": "false"}


def wrong_type(path: Path, place: str, kinds: Sequence[str], document: Document) -> str:
    value, written = document.at(path), document.written(path)
    if value is None and written == "":
        return f"{place}: must not be empty"
    if path == ("language",) and isinstance(value, list):
        return f"{place} must be one language, such as en; write all of them as languages: [en, de]"
    if path[-1] in _CONDITIONS and kinds == ["text"]:
        return f"{place} must be a condition in quotes, without braces"
    if path[:1] == ("values",) and kinds == ["text"]:
        return f'{place} must be an expression in quotes, such as "{written or "answers.a + answers.b"}"'
    if isinstance(value, dict) and kinds == ["text"]:
        tag = next((tag for tag, text in value.items() if not isinstance(text, str)), None)
        if tag is not None:
            problem = wrong_type((*path, tag), f"{place}.{tag}", kinds, document)
            is_empty = document.written((*path, tag)) == ""
            return f"{problem}{'; or put the text with a comma into quotes' if is_empty else ''}"
    expected = _structure(path) if {"a list", "a mapping"} & {*kinds} else None
    if expected is not None:
        quoted = f'; or write "{written}", with quotes' if value is None and path[-2:-1] == ("options",) else ""
        return f"{place} must be {expected}{quoted}"
    hint = _spelling(value, written, kinds)
    return f"{place} must be {_or(kinds)}{hint and f'; write {hint}'}"


def _structure(path: Path) -> str | None:
    *before, name = path or ("",)
    if before == ["parameters"]:
        return "a parameter, such as {type: text, from: url}"
    if name in _LISTS:
        several, _, example = _LISTS[str(name)]
        return f"{several}, such as {name}: [{example}]"
    if isinstance(name, int) and before and before[-1] in _LISTS:
        _, one, example = _LISTS[str(before[-1])]
        return f"{one}, such as {example}"
    return _OBJECTS.get(str(name))


def _spelling(value: object, written: str | None, kinds: Sequence[str]) -> str:
    if "true or false" in kinds:
        return _BOOLEANS.get(value.lower(), "") if isinstance(value, str) else ""
    return f'"{written}", with quotes' if written and "text" in kinds else ""


def _or(kinds: Sequence[str]) -> str:
    distinct = [*dict.fromkeys(kinds)]
    if "a number" in distinct and "a whole number" in distinct:
        distinct.remove("a whole number")
    return " or ".join(distinct)


def missing_braces(path: Path, document: Document) -> str:
    value = document.at(path)
    step_type = STEP_TYPES.get(str(document.at((*path[:-1], "type"))))
    if step_type is None or path[-1] not in step_type.computable or not isinstance(value, str):
        return ""
    source = " ".join(value.replace("{{", "").replace("}}", "").strip("{} ").split())
    try:
        expression = compile_expression(source, names_in(document))
    except InvalidExpression:
        return ""
    quote = "'" if '"' in source else '"'
    is_meant = computed(value) is None and not expression.reads_only_answer
    return f"; to compute it, write {quote}{{{{ {source} }}}}{quote}" if is_meant else ""


def calculation(tree: Node, field: str | None, own: BaseStep | None, steps: Mapping[str, BaseStep]) -> str:
    for node in nodes(tree):
        for part in node.parts if not isinstance(node, Select | Index | Loop) else ():
            step = _step(part, own, steps)
            if step is not None and step.parts():
                return _parts(node, str(_shown(part)), step)
        if isinstance(node, Binary) and [operator in _ORDER for operator, _ in node.rest] == [True, True]:
            return "; write a < b && b < c instead of a < b < c"
        if isinstance(node, Binary) and node.rest[0][0] in {"+", "-"} and _is_date(node.first, own, steps):
            operator, other = node.rest[0]
            if operator == "-" and _is_date(other, own, steps):
                return f"; write days_between({_shown(other) or 'from'}, {_shown(node.first) or 'to'})"
            return f"; write {_moved(node.first, operator, other)}"
    reads = {node.name for node in nodes(tree) if isinstance(node, Name)}
    step_type = None if own is None or field is None else getattr(own, "type", None)
    if step_type == "datetime" and "today" in reads:
        return "; write now, which has the time too"
    return "; write today" if step_type == "date" and "now" in reads else ""


def _parts(node: Node, shown: str, step: BaseStep) -> str:
    answers = [f"{shown}.{one.id}" for one in step.parts()]
    if isinstance(node, Call) and node.function in OF_LISTS:
        return f"; write {node.function}([{first_of(answers)}])"
    return f"; {shown} has several answers, such as {answers[0]}"


def first_of(names: Sequence[str]) -> str:
    return ", ".join([*names[:_SHOWN], *(["..."] if len(names) > _SHOWN else [])])


def _is_date(node: Node, own: BaseStep | None, steps: Mapping[str, BaseStep]) -> bool:
    if isinstance(node, Call):
        return node.function in {"add_days", "add_months", "add_years"}
    if isinstance(node, Name) and node.name in {"today", "now"}:
        return True
    return getattr(_step(node, own, steps), "type", None) in {"date", "datetime"}


def _step(node: Node, own: BaseStep | None, steps: Mapping[str, BaseStep]) -> BaseStep | None:
    return own if node == Name("answer") else steps.get(answer_name(node) or "")


def answer_name(node: Node) -> str | None:
    match node:
        case Select(Name("answers"), name, False) | Index(Name("answers"), Literal(str() as name)):
            return name
        case _:
            return None


def misused_answers(tree: Node, own: BaseStep | None, steps: Mapping[str, BaseStep]) -> Iterator[str]:
    for node in nodes(tree):
        for date, text in _ordered(node):
            if _is_date(date, own, steps) and isinstance(text, str) and not _BEGIN_OF_DATE.match(text):
                yield f'"{text}" is no date that can be compared; write it as YYYY-MM-DD, such as "2026-01-31"'
        name = answer_name(node.parts[0]) if isinstance(node, Call) and node.parts else None
        step = None if name is None else steps.get(name)
        if not isinstance(node, Call) or step is None:
            continue
        if node.function == "label" and (step.parts() or not step.labels()):
            yield f"label(answers.{name}): an answer of this type has no label; write answers.{name}"
        if node.function == "other_text" and not getattr(step, "others", ()):
            yield f"other_text(answers.{name}) never has a value: no option of {name} has `other: true`"


def _ordered(node: Node) -> Iterator[tuple[Node, object]]:
    match node:
        case Binary(one, ((operator, other),)) if operator in _ORDER:
            for left, right in ((one, other), (other, one)):
                if isinstance(right, Literal):
                    yield left, right.value


def _moved(date: Node, operator: str, days: Node) -> str:
    start, count = _shown(date), _shown(days)
    sign = "-" if operator == "-" else ""
    return f"add_days({start}, {sign}{count})" if start and count else "add_days(date, n)"


def _shown(node: Node) -> str | None:
    if isinstance(node, Name):
        return node.name
    name = answer_name(node)
    if name is not None:
        return f"answers.{name}"
    return number_text(node.value) if isinstance(node, Literal) and isinstance(node.value, float) else None
