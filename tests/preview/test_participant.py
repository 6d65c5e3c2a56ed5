"""How the participant of a preview gets to a step."""

from app.preview.participant import answers_to
from app.survey import check_survey
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
