"""The JSON Schema of survey files accepts what the parser accepts, and refuses what a schema can."""

from pathlib import Path

import jsonschema
import pytest

from app.errors import SurveyFileError
from app.survey.checks import parse_survey
from app.survey.checks.document import read_document
from app.survey.definition import survey_json_schema
from tests.conftest import ROOT, SURVEYS

SCHEMA = survey_json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
FILES = [*sorted(SURVEYS.glob("*.yaml")), ROOT / "tests/survey/every_field.yaml"]
HEAD = "id: a\ntitle: t\nlanguage: en\n"
STEP = HEAD + "steps: [{id: S1, prompt: p, "

WRONG = {
    "missing title": "id: a\nlanguage: en\nsteps: [{id: S1, type: info, prompt: p}]",
    "survey id": "id: A\ntitle: t\nlanguage: en\nsteps: [{id: S1, type: info, prompt: p}]",
    "title that is a number": "id: a\ntitle: 3\nlanguage: en\nsteps: [{id: S1, type: info, prompt: p}]",
    "language": "id: a\ntitle: t\nlanguage: de_DE\nsteps: [{id: S1, type: info, prompt: p}]",
    "duration": HEAD + "expires_after: 3 days\nsteps: [{id: S1, type: info, prompt: p}]",
    "access": HEAD + "access: secret\nsteps: [{id: S1, type: info, prompt: p}]",
    "unknown field": HEAD + "color: red\nsteps: [{id: S1, type: info, prompt: p}]",
    "no steps": HEAD + "steps: []",
    "steps that are no list": HEAD + "steps: {id: S1, type: info, prompt: p}",
    "unknown type": STEP + "type: group}]",
    "missing type": STEP + "required: true}]",
    "unknown field of a step": STEP + "type: info, colour: red}]",
    "field of another type": STEP + "type: boolean, unit: kg}]",
    "page that is required": STEP + "type: page, required: true, fields: [{id: a, type: info, prompt: p}]}]",
    "page without fields": STEP + "type: page, fields: []}]",
    "page in a page": STEP + "type: page, fields: [{id: a, type: page, prompt: p, fields: []}]}]",
    "grid without rows": STEP + "type: grid, options: [a]}]",
    "row without label": STEP + "type: grid, rows: [{id: r}], options: [a]}]",
    "placeholder where nothing is typed": STEP + "type: boolean, placeholder: p}]",
    "empty placeholder": STEP + "type: text, placeholder: ''}]",
    "step id": HEAD + "steps: [{id: 1st, type: info, prompt: p}]",
    "step called end": HEAD + "steps: [{id: end, type: info, prompt: p}]",
    "empty prompt": HEAD + "steps: [{id: S1, type: info, prompt: ''}]",
    "required that is text": STEP + "type: text, required: 'no'}]",
    "rule without go": STEP + "type: text, next: [{when: answer == 1}]}]",
    "rule that is text": STEP + "type: text, next: [end]}]",
    "condition that is a number": STEP + "type: text, next: [{when: 1, go: end}]}]",
    "choice without options": STEP + "type: choice}]",
    "empty options": STEP + "type: choice, options: []}]",
    "too many options": STEP + f"type: choice, options: {list(range(1001))}}}]",
    "options that are booleans": STEP + "type: choice, options: [true, false]}]",
    "equal options": STEP + "type: choice, options: [a, a]}]",
    "empty option": STEP + "type: choices, options: ['']}]",
    "option without value": STEP + "type: choice, options: [{label: a}]}]",
    "negative min_choices": STEP + "type: choices, options: [a, b], min_choices: -1}]",
    "max_length": STEP + "type: text, max_length: 0}]",
    "scale without ends": STEP + "type: scale, min: 1}]",
    "scale with a fraction": STEP + "type: scale, min: 0, max: 1.5}]",
    "bound that is text": STEP + "type: number, min: '1'}]",
    "name of a parameter": HEAD + "parameters: {1a: {type: text, from: url}}\nsteps: [{id: S1, type: info, prompt: p}]",
    "parameter called lang": HEAD
    + "parameters: {lang: {type: text, from: url}}\nsteps: [{id: S1, type: info, prompt: p}]",
    "value called in": HEAD + "values: {in: 1 + 1}\nsteps: [{id: S1, type: info, prompt: p}]",
    "value that is a number": HEAD + "values: {a: 1}\nsteps: [{id: S1, type: info, prompt: p}]",
    "parameter without a source": HEAD + "parameters: {a: {type: text}}\nsteps: [{id: S1, type: info, prompt: p}]",
    "bound that is no date": STEP + "type: date, min: 1.1.1900}]",
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_right_file_is_accepted_by_the_schema_and_the_parser(file: Path) -> None:
    """Bare options, a bare `true` as a condition and merged mappings included."""
    assert [error.message for error in VALIDATOR.iter_errors(read_document(file.read_text(), file.name).data)] == []
    assert parse_survey(file.read_text(), file.name).steps


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_wrong_file_is_refused_by_the_schema_and_the_parser(text: str) -> None:
    """An editor shows the mistake before the server does."""
    assert not VALIDATOR.is_valid(read_document(text, "wrong.yaml").data)
    with pytest.raises(SurveyFileError):
        parse_survey(text, "wrong.yaml")


@pytest.mark.parametrize(
    "field",
    [
        'type: date, max: "{{ today }}"',
        'type: number, min: "{{ 1 + 1 }}"',
        'type: choices, options: [a, b], max_choices: "{{ 1 }}"',
        'type: date, default: "{{ today }}"',
    ],
)
def test_computed_field_is_accepted_by_the_schema_and_the_parser(field: str) -> None:
    """Beside the values that the field takes otherwise; an expression inside a text is none."""
    text = f"{STEP}{field}}}]"
    assert VALIDATOR.is_valid(read_document(text, "computed.yaml").data)
    assert parse_survey(text, "computed.yaml").steps[0].computed
    if "default" not in field:
        assert not VALIDATOR.is_valid(read_document(text.replace('"{{', '"x {{'), "wrong.yaml").data)


def test_every_field_and_model_has_a_description() -> None:
    """Editors show them while the author types."""
    models = {"Survey": SCHEMA, **SCHEMA["$defs"]}
    assert [name for name, model in models.items() if not model.get("description")] == []
    assert [
        f"{name}.{field}"
        for name, model in models.items()
        for field, schema in model["properties"].items()
        if not schema.get("description")
    ] == []


def test_lists_are_bounded_as_lists() -> None:
    """`maxLength` has no effect on an array."""
    for model in (SCHEMA, *SCHEMA["$defs"].values()):
        for schema in model["properties"].values():
            if schema.get("type") == "array":
                assert not {"minLength", "maxLength"} & schema.keys()
    assert SCHEMA["properties"]["steps"]["maxItems"] == 10_000
