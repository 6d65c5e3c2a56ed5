"""The codebook of a survey's export: what each column means, as JSON and as Markdown. Pure.

The document (``format`` is ``stepkeep-codebook-1``; a later form gets another name)::

    {"format", "survey_id", "title", "language", "description",
     "revisions": [{"revision", "is_newest"}],                       # oldest first
     "columns": [{"name", "spss", "stata",                           # what the column is called there
                  "holds",                                           # ``columns.Kind``
                  "label", "missing",
                  "step", "type", "required", "unit", "revisions",   # null, or empty, where it is of no step
                  "shown",                                           # whether all are asked it, or only some
                  "values": [{"code", "value", "label", "revisions"}],
                  "prompts": [{"revision", "prompt"}]}],             # where revisions differ
     "notes": [...]}
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ...survey import Survey
from ...survey.types import CodedValue
from .columns import Column
from .layout import Layout
from .names import SPSS, STATA, named
from .programs import one_line

FORMAT = "stepkeep-codebook-1"

TABLE_HEAD = ("column", "SPSS", "Stata", "holds", "label", "values", "missing", "shown", "revisions")

NOTES = (
    (
        "Times are UTC. An empty cell is missing: the step was not reached, or it was passed without an "
        "answer, which `skipped` tells."
    ),
    (
        "A choice holds the option's value (csv, parquet, xlsx; its label with labels), in SPSS and Stata its "
        "code. Codes are the values themselves where all are whole numbers; else options are numbered as they "
        "came over time."
    ),
    ("A column `step_code` of a step with several choices is 1 where the option was chosen and 0 where it was not."),
    (
        "A step whose type was changed has a column for each type: the newest type's has the step's name, the "
        "others have their type behind it. An option that was removed keeps its column and code."
    ),
    (
        "`other_answers` has, as JSON, what fits no column: answers to steps of no known revision, and values "
        "that the step does not take."
    ),
    "The export is not one snapshot: each session is given as it was when it was read.",
)


def document_of(layout: Layout) -> dict[str, Any]:
    """Return the codebook."""
    definitions = layout.definitions
    newest = definitions.newest
    names = [column.name for column in layout.columns]
    called = zip(layout.columns, named(names, SPSS), named(names, STATA), strict=True)
    return {
        "format": FORMAT,
        "survey_id": newest.id,
        "title": newest.title,
        "language": newest.language,
        "description": newest.description,
        "revisions": [
            {"revision": one.revision, "is_newest": one.revision == newest.revision} for one in definitions.by_age
        ],
        "columns": [
            {"name": column.name, "spss": spss, "stata": stata, **_told(column, newest)}
            for column, spss, stata in called
        ],
        "notes": list(NOTES),
    }


def table_of(layout: Layout) -> list[Sequence[str]]:
    """Return the codebook's columns as rows of text under TABLE_HEAD."""
    return [_row(column) for column in document_of(layout)["columns"]]


def markdown_of(layout: Layout) -> str:
    """Return the codebook as a page of Markdown (GitHub's tables)."""
    document = document_of(layout)
    lines = [f"# Codebook: {_escaped(document['title'])}", "", f"Survey `{document['survey_id']}`."]
    lines += ["", "| revision | |", "| --- | --- |"]
    lines += [f"| `{one['revision']}` | {'newest' if one['is_newest'] else ''} |" for one in document["revisions"]]
    lines += ["", f"| {' | '.join(TABLE_HEAD)} |", f"|{' --- |' * len(TABLE_HEAD)}"]
    for column in document["columns"]:
        names, others = _row(column)[:3], _row(column)[3:]
        lines.append(f"| {' | '.join([*(f'`{name}`' for name in names), *map(_escaped, others)])} |")
    lines += ["", *(f"- {note}" for note in document["notes"]), ""]
    return "\n".join(lines)


def _told(column: Column, newest: Survey) -> dict[str, Any]:
    step = column.step
    prompts = {revision: one.prompt for revision, one in column.steps.items()}
    return {
        "holds": column.kind,
        "label": column.label,
        "missing": "empty; SPSS and Stata: system-missing, of a text an empty text",
        "step": None if step is None else step.id,
        "type": None if step is None else step.type,
        "required": None if step is None else step.required,
        "unit": column.unit,
        "revisions": list(column.option.revisions if column.option else column.steps),
        "shown": None if step is None else _shown(step.id, newest),
        "values": [_value(one) for one in _coded(column)],
        "prompts": [{"revision": revision, "prompt": prompt} for revision, prompt in prompts.items()]
        if len(set(prompts.values())) > 1
        else [],
    }


def _coded(column: Column) -> Sequence[CodedValue]:
    if column.kind == "boolean":
        return (CodedValue(code=0, value="false", label="no"), CodedValue(code=1, value="true", label="yes"))
    if column.option is not None:
        return (
            CodedValue(code=1, value=column.option.value, label=column.option.label, revisions=column.option.revisions),
        )
    return column.coded


def _value(one: CodedValue) -> Mapping[str, Any]:
    return {"code": one.code, "value": one.value, "label": one.label, "revisions": list(one.revisions)}


def _shown(step_id: str, newest: Survey) -> str:
    """Return after which steps, and where what holds, the newest revision comes to the step."""
    if newest.step(step_id) is None:
        return "in older revisions only"
    before = newest.steps[0].id
    if step_id == before:
        return "first"
    ways = []
    for number, step in enumerate(newest.steps):
        following = newest.steps[number + 1].id if number + 1 < len(newest.steps) else None
        rules = [(rule.when, rule.go) for rule in step.next]
        if all(when is not None for when, _ in rules):  # nothing holds: the next one in the list
            rules.append((None, following or "end"))
        earlier: list[str] = []
        for when, go in rules:
            if go == step_id:
                ways.append(_way(step.id, when, earlier))
            if when is not None:
                earlier.append(when)
    return "; ".join(ways)


def _way(step_id: str, when: str | None, earlier: Sequence[str]) -> str:
    if when is not None:
        return f"after {step_id} if {when}"
    return f"after {step_id}" + (" otherwise" if earlier else "")


def _row(column: Mapping[str, Any]) -> Sequence[str]:
    values = ", ".join(
        f"{one['code']} = {one['label']}"
        if one["value"] in {one["code"], one["label"]}
        else f"{one['code']} = {one['label']} ({one['value']})"
        for one in column["values"]
    )
    return (
        column["name"],
        column["spss"],
        column["stata"],
        column["holds"],
        column["label"],
        values,
        "" if column["required"] else "may be skipped" if column["step"] else "",
        column["shown"] or "",
        " ".join(revision[:8] for revision in column["revisions"]),
    )


def _escaped(text: str) -> str:
    """Return the text as it stands in a cell of a Markdown table."""
    flat = one_line(text).replace("\\", "\\\\")
    for mark in "|<>*_`[]":
        flat = flat.replace(mark, f"\\{mark}")
    return flat
