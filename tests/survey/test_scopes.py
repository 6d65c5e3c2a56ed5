"""Time in expressions: that of the walk's start for the route, that of the command for all else."""

from dataclasses import replace

import pytest

from app.survey.commands import Answer, Begin, Rejection, Restart
from app.survey.events import Restarted
from app.survey.flow import decide
from app.survey.scopes import local_time
from app.survey.state import SessionState, apply
from tests.survey.test_flow import at
from tests.survey.test_walk import survey

DAY = 24 * 3600 * 1_000_000
NEW_YEAR = 20_454 * DAY  # 2026-01-01T00:00Z


@pytest.mark.parametrize(
    ("at", "timezone", "text"),
    [
        (0, None, "1970-01-01T00:00"),
        (NEW_YEAR - 1, None, "2025-12-31T23:59"),
        (NEW_YEAR, "Europe/Berlin", "2026-01-01T01:00"),
        (NEW_YEAR, "America/New_York", "2025-12-31T19:00"),
        (NEW_YEAR, "Europe/Atlantis", "2026-01-01T00:00"),
        (NEW_YEAR, "../Berlin", "2026-01-01T00:00"),
    ],
)
def test_local_time_is_that_of_the_survey_s_time_zone(at: int, timezone: str | None, text: str) -> None:
    """To the minute; UTC where a stored survey has a zone that this machine does not know."""
    assert local_time(at, timezone) == text


TIMED = survey(
    """
  - {id: first, type: boolean, next: [{when: today >= "2026-01-01", go: late}]}
  - {id: early, type: info}
  - {id: late, type: date, max: "{{ today }}", show_if: today >= "2026-01-01"}
  - {id: last, type: info}
""",
    head="end: [{when: today >= '2026-01-01', title: New}, {title: Old}]\ntimezone: UTC",
).model_copy(update={"expires_after": None, "expires_after_us": None})


def started(when: int) -> SessionState:
    return replace(at("first"), started_at=when, updated_at=when)


@pytest.mark.parametrize(("began", "to"), [(NEW_YEAR - DAY, "early"), (NEW_YEAR, "late")])
def test_route_depends_on_when_the_walk_began(began: int, to: str) -> None:
    """Not on when the participant answers: a session never moves by itself."""
    command = Answer(at=NEW_YEAR + 1, step="first", value=True)
    event = decide(TIMED, started(began), command)
    assert not isinstance(event, Rejection)
    assert apply(started(began), event).current_step == to


def test_bounds_and_endings_depend_on_the_time_of_the_command() -> None:
    """A date of today is accepted whenever today is."""
    state = replace(started(NEW_YEAR), current_step="late", answers={"first": True}, step_history=("first",))
    tomorrow = Answer(at=NEW_YEAR, step="late", value="2026-01-02")
    refused = decide(TIMED, state, tomorrow)
    assert isinstance(refused, Rejection)
    assert refused.code == "invalid_answer"
    assert not isinstance(decide(TIMED, state, replace(tomorrow, at=NEW_YEAR + DAY)), Rejection)
    old = replace(
        started(NEW_YEAR - DAY),
        current_step="last",
        answers={"first": True, "early": None},
        step_history=("first", "early"),
    )
    ended = decide(TIMED, old, Answer(at=NEW_YEAR + DAY, step="last", value=None))
    assert not isinstance(ended, Rejection)
    assert apply(old, ended).ending == 1


def test_new_walk_records_its_start_only_where_a_condition_reads_it() -> None:
    """Other surveys' sessions stay as they were."""
    plain = survey("  - {id: a, type: info, next: [{when: answers.a == null, go: end}]}\n")
    done = at("end", {"first": True})
    timed, other = (decide(one, done, Restart(at=NEW_YEAR)) for one in (TIMED, plain))
    assert isinstance(timed, Restarted)
    assert isinstance(other, Restarted)
    assert (timed.walk_started_at, other.walk_started_at) == (NEW_YEAR, None)
    after = apply(done, timed)
    assert (after.started_at, after.walk_started_at) == (0, NEW_YEAR)
    assert not isinstance(decide(TIMED, None, Begin(at=NEW_YEAR)), Rejection)
