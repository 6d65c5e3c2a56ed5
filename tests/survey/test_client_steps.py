"""What clients get of each step: every field, or its absence means the default that docs/protocol.md names."""

import re

import pytest

from app.survey import parse_survey
from app.survey.types import STEP_TYPES
from app.survey.types.choice import Option
from tests.conftest import ROOT

RULES = {"next", "show_if", "check", "code"}
NEEDED = {
    "scale": "min: 0, max: 3,",
    "page": "fields: [{id: f, type: info, prompt: p}],",
    "grid": "rows: [{id: r, label: R}], options: [a, b],",
} | dict.fromkeys(("choice", "choices", "ranking"), "options: [a, b],")


def absent_fields() -> dict[str, set[str]]:
    """Return the fields that docs/protocol.md says are absent at their default: of steps, and of options."""
    text = " ".join((ROOT / "docs" / "protocol.md").read_text(encoding="utf-8").split())
    found = re.search(r"Of a step, (.*?) are absent .*? Of an option, (.*?) are absent", text)
    assert found is not None
    return {
        name: set(re.findall(r"`(\w+)`", part)) for name, part in zip(("step", "option"), found.groups(), strict=True)
    }


@pytest.mark.parametrize("step_type", STEP_TYPES)
def test_step_has_its_defaults(step_type: str) -> None:
    """Fields that came later are absent, so that messages of surveys without them stay as they were."""
    step = f"{{id: S1, type: {step_type}, {NEEDED.get(step_type, '')} prompt: p}}"
    survey = parse_survey(f"id: s\ntitle: S\nlanguage: en\nsteps:\n  - {step}\n", "s.yaml")
    sent = survey.client_steps["S1"]
    absent = absent_fields()
    absent_here = absent["step"] | ({"required"} if step_type == "page" else set())  # its fields have it
    assert STEP_TYPES[step_type].model_fields.keys() - sent.keys() - RULES <= absent_here
    assert absent["step"].isdisjoint(sent)
    for option in sent.get("options", ()):
        assert Option.model_fields.keys() - option.keys() - RULES == absent["option"]


def test_documented_fields_exist() -> None:
    """Each is of some step type."""
    fields = {name for step_type in STEP_TYPES.values() for name in step_type.model_fields}
    assert absent_fields()["step"] <= fields
