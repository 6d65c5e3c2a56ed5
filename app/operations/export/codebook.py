"""The codebook of an export (schema: ``web/rest/export.py``). Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ...core import strict_json
from ...survey import Survey
from ...survey.types import Code, CodedValue, FieldStep, GridStep, Row, Step
from .layout import Column, Layout
from .programs import SPSS, STATA, one_line, valid_names

FORMAT = "stepkeep-codebook-1"  # of the JSON: a change needs another one

TABLE_HEADER = ("column", "SPSS", "Stata", "kind", "label", "values", "missing", "condition", "code", "revisions")

NOTES = (
    (
        "Times are UTC. An empty cell is a missing value: the step was not reached, or was passed without an answer "
        "and is listed in `skipped`."
    ),
    (
        "A choice contains the value of the option (csv, parquet, xlsx; or its label, with labels), in SPSS and Stata "
        "its code. Codes are the values if all are whole numbers; otherwise options are numbered in the order in which "
        "they appeared."
    ),
    (
        "A column `step_code` of a step with several choices is 1 if the option was chosen and 0 if it was not. What "
        "participants wrote beside an option is in `step_other`, or `step_code_other`."
    ),
    (
        "A parameter was known before the first question. A computed value is the result of its expression, as it was "
        "recorded when the session was completed; of other sessions, as it is at the time of the export."
    ),
    "A column `step_code` of a ranking is the option's rank, 1 for the first.",
    (
        "A field of a page has a column as a step has. A grid has a column `step_row` for each row, or, with several "
        "choices a row, a column `step_row_code` for each row and option."
    ),
    (
        "A `time_of_day`, `datetime` or `month` is that of the participant, not UTC. Formats with types have the first "
        "day of a month."
    ),
    (
        "A step whose type changed has a column for each type: that of the newest type has the step's name, others "
        "have the type as a suffix. A removed option keeps its column and code."
    ),
    (
        "`other_answers` contains, as JSON, what fits no column: answers to steps of no known revision, and values "
        "that the step does not accept."
    ),
    "The export is not one snapshot: each session is exported as it was when it was read.",
)


def codebook_to_dict(layout: Layout) -> dict[str, Any]:
    """Return the JSON."""
    newest = layout.surveys[0]
    names = [column.name for column in layout.columns]
    columns = zip(layout.columns, valid_names(names, SPSS), valid_names(names, STATA), strict=True)
    return {
        "format": FORMAT,
        "survey_id": newest.id,
        "title": newest.title,
        "language": newest.shown_language,
        "description": newest.description,
        "revisions": [
            {"revision": survey.revision, "is_newest": survey.revision == newest.revision}
            for survey in reversed(layout.surveys)
        ],
        "columns": [
            {"name": column.name, "spss": spss, "stata": stata, **_column_to_dict(column, layout)}
            for column, spss, stata in columns
        ],
        "notes": list(NOTES),
    }


def codebook_rows(layout: Layout) -> list[Sequence[str]]:
    return [_row(column) for column in codebook_to_dict(layout)["columns"]]


def codebook_to_markdown(layout: Layout) -> str:
    """Return the Markdown."""
    document = codebook_to_dict(layout)
    lines = [f"# Codebook: {_escape(document['title'])}", "", f"Survey `{document['survey_id']}`."]
    lines += ["", "| revision | |", "| --- | --- |"]
    lines += [
        f"| `{revision['revision']}` | {'newest' if revision['is_newest'] else ''} |"
        for revision in document["revisions"]
    ]
    lines += ["", f"| {' | '.join(TABLE_HEADER)} |", f"|{' --- |' * len(TABLE_HEADER)}"]
    for column in document["columns"]:
        names, others = _row(column)[:3], _row(column)[3:]
        lines.append(f"| {' | '.join([*(f'`{name}`' for name in names), *map(_escape, others)])} |")
    lines += ["", *(f"- {note}" for note in document["notes"]), ""]
    return "\n".join(lines)


def _column_to_dict(column: Column, layout: Layout) -> dict[str, Any]:
    step, newest, parameter = column.step, layout.surveys[0], layout.parameter(column)
    prompts = {revision: asked.prompt for revision, asked in column.steps.items()}
    options = getattr(next(iter(column.steps.values()), None), "options", ())
    concepts = {option.value: option.code for option in options}
    return {
        "kind": column.kind,
        "label": column.label,
        "missing": "empty; in SPSS and Stata system-missing, or an empty text",
        "step": None if step is None else step.id,
        "type": None if step is None else step.type,
        "required": None if step is None else step.required,
        "unit": column.unit,
        "parameter": column.parameter,
        "from": None if parameter is None else parameter.source,
        "default": None if parameter is None else parameter.stored_default,
        "value": column.value,
        "expressions": [
            {"revision": revision, "expression": expression} for revision, expression in column.expressions.items()
        ],
        "revisions": [
            revision
            for revision in (column.option.revisions if column.option else column.revisions)
            if column.row is None or _row_of(column.steps[revision], column.row) is not None
        ],
        "condition": None if step is None else _condition(step.id, newest),
        "concept": None if step is None else _code(_concept(step, column.row)),
        "values": [
            asdict(coded) | {"revisions": list(coded.revisions), "concept": _code(concepts.get(coded.value))}
            for coded in _coded(column, layout)
        ],
        "prompts": [{"revision": revision, "prompt": prompt} for revision, prompt in prompts.items()]
        if len(set(prompts.values())) > 1
        else [],
    }


def _code(code: Code | None) -> dict[str, str] | None:
    return None if code is None else code.model_dump()


def _row_of(step: Step | FieldStep, row_id: str) -> Row | None:
    return next((row for row in step.rows if row.id == row_id), None) if isinstance(step, GridStep) else None


def _concept(step: Step | FieldStep, row_id: str | None) -> Code | None:
    row = None if row_id is None else _row_of(step, row_id)
    return step.code if row is None else row.code


def _coded(column: Column, layout: Layout) -> Sequence[CodedValue]:
    if column.kind == "boolean":
        return layout.no_and_yes
    if column.kind == "chosen" and column.option is not None:
        option = column.option
        return (CodedValue(code=1, value=option.value, label=option.label, revisions=option.revisions),)
    return column.coded


def _condition(step_id: str, newest: Survey) -> str:
    asked = newest.questions.get(step_id)
    if asked is None:
        return "in older revisions only"
    page = newest.conditions.owners.get(step_id)
    if page is not None:
        return f"on page {page} ({_condition_of_step(page, newest)}){_shown_if(asked)}"
    return _condition_of_step(step_id, newest)


def _condition_of_step(step_id: str, newest: Survey) -> str:
    ways = ["first"] if step_id == newest.steps[0].id else []
    for number, step in enumerate(newest.steps):
        following = newest.steps[number + 1].id if number + 1 < len(newest.steps) else None
        rules = [(rule.when, rule.go) for rule in step.next]
        if all(when is not None for when, _ in rules):  # no rule applies: the next step of the file
            rules.append((None, following or "end"))
        has_condition = False
        for when, go in rules:
            if go == step_id:
                condition = f" if {when}" if when is not None else " otherwise" if has_condition else ""
                ways.append(f"after {step.id}{condition}")
            has_condition = has_condition or when is not None
    return "; ".join(ways) + _shown_if(newest.steps_by_id[step_id])


def _shown_if(step: Step | FieldStep) -> str:
    return f"; shown if {step.show_if}" if step.show_if else ""


def _row(column: Mapping[str, Any]) -> Sequence[str]:
    values = ", ".join(
        f"{coded['code']} = {coded['label']}"
        if coded["value"] in {coded["code"], coded["label"]}
        else f"{coded['code']} = {coded['label']} ({coded['value']})"
        for coded in column["values"]
    )
    expressions = dict.fromkeys(one["expression"] for one in column["expressions"])  # each once
    return (
        column["name"],
        column["spss"],
        column["stata"],
        column["kind"],
        column["label"],
        values,
        "" if column["required"] else "may be skipped" if column["step"] else "",
        column["condition"] or _origin(column) or " or, in older revisions, ".join(expressions),
        "{system} {code}".format_map(column["concept"]) if column["concept"] else "",
        " ".join(revision[:8] for revision in column["revisions"]),
    )


def _origin(column: Mapping[str, Any]) -> str:
    default = "" if column["default"] is None else f"; default {strict_json.encode(column['default'])}"
    return f"from {column['from']}{default}" if column["parameter"] else ""


def _escape(text: str) -> str:
    flat = one_line(text).replace("\\", "\\\\")
    for mark in "|<>*_`[]":
        flat = flat.replace(mark, f"\\{mark}")
    return flat
