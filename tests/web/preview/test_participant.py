"""How the participant of a preview gets to a step."""

from app.survey import Answer, check_survey
from app.web.preview.participant import answers_to
from tests.previews import SURVEY


def test_fewest_answers_lead_to_a_step() -> None:
    """By the way that its rules leave; none are known that lead to a step that does not exist."""
    survey, _ = check_survey(SURVEY, "visit.yaml")
    assert survey is not None
    ways = {step: answers_to(survey, step, at=1) for step in ("seen", "felt", "waited", "missing")}
    values = {
        step: None if way is None else {answer.step: answer.value for answer in way} for step, way in ways.items()
    }
    assert values == {"seen": {}, "felt": {"seen": True}, "waited": {"seen": False}, "missing": None}


PAGED = """
id: paged
title: Paged
language: en
steps:
  - id: body
    type: page
    prompt: About you
    fields:
      - {id: smokes, type: choice, prompt: Smoking, options: [never, often]}
      - {id: last, type: date, prompt: Last time, show_if: 'answers.smokes == "often"'}
    next: [{when: 'answers.smokes == "never"', go: end}]
  - {id: stop, type: info, prompt: Stop}
"""


def test_way_to_a_step_is_that_of_the_parameters() -> None:
    """They decide what is asked."""
    text = f"{SURVEY}  - {{id: ward, type: info, prompt: Ward, show_if: parameters.ward == 3}}\n"
    survey, _ = check_survey(f"{text}parameters: {{ward: {{type: number, from: url}}}}\n", "visit.yaml")
    assert survey is not None
    assert answers_to(survey, "ward", at=1, parameters={"ward": 3})
    assert answers_to(survey, "ward", at=1, parameters={"ward": 4}) is None


def test_answers_to_a_page_are_those_to_its_shown_fields() -> None:
    survey, _ = check_survey(PAGED, "paged.yaml")
    assert survey is not None
    way = answers_to(survey, "stop", at=1)
    assert way is not None
    (answer,) = way
    assert answer.value["smokes"] == "often"
    assert answers_to(survey, "end", at=1) == (Answer(at=1, step="body", value={"smokes": "never"}, confirmed=True),)
