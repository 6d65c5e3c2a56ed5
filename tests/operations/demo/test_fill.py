"""Demo data is realistic, reproducible from its seed, and erased without a trace."""

import datetime
import random
from collections import Counter
from typing import Any

import pytest

from app.errors import InvalidInput
from app.operations.demo.fill import DemoPlan, clear_demo, count_demo, fill_demo
from app.operations.demo.simulate import arrivals, simulate
from app.operations.integrity.verify import verify_sessions
from app.sessions.service import SessionStore
from app.survey.checks import parse_survey
from app.survey.commands import Answer, Begin, Rejection
from app.survey.events import Answered
from app.survey.flow import decide
from app.survey.parameters import Given, accept_parameters
from app.survey.snapshot import SessionKey
from app.survey.state import apply
from tests.conftest import ROOT
from tests.store.contents import dump

DAY_US = 86_400 * 1_000_000
UNTIL = 1_790_000_000_000_000
PLAN = DemoPlan(sessions=60, days=30, until=UNTIL, seed=3)


def filled(store: SessionStore, plan: DemoPlan = PLAN) -> list[dict[str, Any]]:
    fill_demo(store, plan)
    return dump(store)["sessions"]


def test_fill_creates_valid_sessions(store: SessionStore) -> None:
    """Of each survey and status, each equal to its replay."""
    told: list[tuple[int, int]] = []
    turns = fill_demo(store, PLAN, progress=lambda done, total: told.append((done, total)))
    rows = dump(store)
    assert turns == len(rows["session_history"])
    assert told[-1] == (60, 60)
    assert {row["survey_id"] for row in rows["sessions"]} == set(store.catalogue.surveys)
    assert {row["status"] for row in rows["sessions"]} == {"completed", "in_progress", "expired"}
    assert all(row["user_id"].startswith("demo-3-") for row in rows["sessions"])
    assert {one.verdict for one in verify_sessions(store)} == {"same"}
    end = f"{datetime.datetime.fromtimestamp(UNTIL / 1e6, datetime.UTC):%Y-%m-%d %H:%M:%S}"
    assert all(str(row["timestamp"]) < end for row in rows["session_history"])


@pytest.mark.one_database
def test_same_seed_gives_the_same_sessions(store: SessionStore) -> None:
    """To the byte, including history and message ids; another seed gives others."""
    first = filled(store), dump(store)["session_history"]
    clear_demo(store)
    again = filled(store), dump(store)["session_history"]
    assert again[0] == first[0]
    assert [{**row, "id": 0} for row in again[1]] == [{**row, "id": 0} for row in first[1]]
    clear_demo(store)
    assert {row["answers"] for row in filled(store, DemoPlan(sessions=60, days=30, until=UNTIL, seed=4))} != {
        row["answers"] for row in first[0]
    }


def test_clear_erases_demo_data_only(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """No similar user ids; it can be run again."""
    monkeypatch.setattr("app.operations.demo.fill.ERASE_BATCH", 7)
    people = [
        SessionKey("phq9", user) for user in ("ann", "demo", "demo-ann", "demo-1-2", "demonstrator", "Demo-3-0000001")
    ]
    store.turns.submit_many([(key, Begin(at=UNTIL)) for key in people])
    before = dump(store)
    fill_demo(store, PLAN, is_shared=True)
    assert count_demo(store) == 60
    told: list[tuple[int, int]] = []
    assert clear_demo(store, progress=lambda done, total: told.append((done, total))) == 60
    assert told[-1] == (60, 60)
    after = dump(store)
    for table in ("sessions", "session_history", "erasures", "audit_log"):
        assert after[table] == before[table]
    assert clear_demo(store) == 0


@pytest.mark.one_database
def test_fill_is_refused_when_there_are_participants(store: SessionStore) -> None:
    """Nothing is created."""
    store.turns.submit(SessionKey("phq9", "ann"), Begin(at=UNTIL))
    with pytest.raises(InvalidInput, match=r"sessions of participants.*--yes"):
        fill_demo(store, PLAN)
    assert count_demo(store) == 0


@pytest.mark.one_database
def test_fill_is_refused_for_an_existing_seed_or_an_unknown_survey(store: SessionStore) -> None:
    """A second seed is accepted."""
    fill_demo(store, PLAN)
    with pytest.raises(InvalidInput, match=r"seed 3 already.*demo clear"):
        fill_demo(store, PLAN)
    with pytest.raises(InvalidInput, match=r"no survey 'nope'.*phq9"):
        fill_demo(store, DemoPlan(sessions=1, days=1, until=UNTIL, surveys=("nope",), seed=9))
    fill_demo(store, DemoPlan(sessions=5, days=1, until=UNTIL, surveys=("phq9",), seed=31))
    assert count_demo(store) == 65


def test_arrivals_are_ordered_and_follow_daily_and_weekly_patterns() -> None:
    """With growth over the period."""
    found = list(arrivals(20_000, 56, UNTIL, 1))
    assert len(found) == 20_000
    assert found == sorted(found)
    assert found[0] >= UNTIL - 56 * DAY_US
    assert found[-1] < UNTIL
    moments = [datetime.datetime.fromtimestamp(at / 1e6, datetime.UTC) for at in found]
    hours, days = Counter(one.hour for one in moments), Counter(one.weekday() for one in moments)
    assert hours[10] > 4 * hours[3]
    assert days[1] > 1.4 * days[5]
    half = UNTIL - 28 * DAY_US
    assert sum(at >= half for at in found) > 1.4 * sum(at < half for at in found)


@pytest.mark.one_database
def test_answers_of_one_participant_correlate(store: SessionStore) -> None:
    """As the items of PHQ-9 do."""
    survey = store.catalogue.surveys["phq9"]
    pairs = []
    for number in range(400):
        commands = simulate(survey, UNTIL - 20 * DAY_US, UNTIL, random.Random(number))
        answers = {one.step: one.value for one in commands if hasattr(one, "value")}
        if {"Q1", "Q2"} <= answers.keys():
            pairs.append((answers["Q1"], answers["Q2"]))
    mean = [sum(pair[place] for pair in pairs) / len(pairs) for place in (0, 1)]
    covariance = sum((one - mean[0]) * (other - mean[1]) for one, other in pairs)
    spread = [sum((pair[place] - mean[place]) ** 2 for pair in pairs) for place in (0, 1)]
    assert covariance / (spread[0] * spread[1]) ** 0.5 > 0.3


def test_simulation_ends_when_a_survey_has_a_cycle() -> None:
    """Or a pattern that no generated answer matches."""
    text = """
id: odd
title: Odd
language: en
steps:
  - {id: A, type: text, prompt: "Code?", pattern: "[!]{7}", required: false}
  - {id: B, type: boolean, prompt: "Again?", next: [{when: answer == true, go: A}, {go: end}]}
"""
    survey = parse_survey(text, "odd.yaml")
    for number in range(50):
        assert 1 <= len(simulate(survey, UNTIL - DAY_US, UNTIL, random.Random(number))) <= 400


def test_simulated_participants_answer_steps_of_every_type() -> None:
    """With values that the steps accept, other texts included."""
    text = (ROOT / "tests/survey/every_field.yaml").read_text()
    survey = parse_survey(text, "every_field.yaml")
    answered: dict[str, list[Any]] = {}
    for number in range(60):
        for command in simulate(survey, UNTIL - DAY_US, UNTIL, random.Random(number)):
            if isinstance(command, Answer) and command.value is not None:
                answered.setdefault(command.step, []).append(command.value)
    assert answered.keys() == {step.id for step in survey.steps if step.takes_answer}
    assert {"value": "b", "text": ""} in answered["c4"]
    assert len(set(answered["n1"])) > 5
    assert all(survey.steps_by_id[step].accepts(value) for step, values in answered.items() for value in values)


CHECKED = """
id: checked
title: Checked
language: en
languages: [en, de]
steps:
  - {id: sort, type: choice, prompt: Sort, options: [x, {value: y, show_if: false}, {value: z, other: true}]}
  - {id: since, type: date, prompt: Since, min: 2020-01-01, max: "{{ today }}"}
  - id: until
    type: date
    prompt: Until
    min: "{{ answers.since }}"
    check: [{that: answer >= answers.since, message: It is before.}]
  - {id: low, type: number, prompt: Low, min: 300, max: 310, integer: true}
  - {id: high, type: number, prompt: High, min: "{{ answers.low }}", check: [{that: answer > answers.low, message: Too low.}]}
  - {id: odd, type: scale, prompt: Odd, min: 0, max: 10, check: [{that: "mod(answer, 2) == 1", message: "Really?", level: warning}]}
  - {id: none, type: choices, prompt: None, options: [a, {value: b, exclusive: true}]}
  - {id: cold, type: number, prompt: Cold, max: -40}
  - {id: narrow, type: number, prompt: Narrow, min: 0.21, max: 0.24}
  - {id: hidden, type: text, prompt: Hidden, pattern: "[!]{7}", show_if: answers.sort == "y"}
  - {id: empty, type: choice, prompt: Empty, options: [{value: a, show_if: 'answers.sort == "y"'}]}
  - {id: code, type: text, prompt: Code, pattern: "[a-z]{1,8}"}
"""


def test_simulated_participants_pass_the_checks_of_a_survey() -> None:
    """And what its expressions hide or compute: only a few leave, and some confirm a warning."""
    survey = parse_survey(CHECKED, "checked.yaml")
    answers: dict[str, list[Any]] = {}
    completed = confirmed = 0
    for number in range(100):
        state = None
        for command in simulate(survey, UNTIL - DAY_US, UNTIL, random.Random(number)):
            event = decide(survey, state, command)
            assert not isinstance(event, Rejection)
            state = apply(state, event)
            if isinstance(event, Answered):
                answers.setdefault(event.step, []).append(event.answer)
                confirmed += event.confirmed
        completed += state is not None and state.status == "completed"
    assert completed > 30
    assert confirmed > 10
    assert answers.keys() == survey.steps_by_id.keys() - {"hidden"}
    assert set(map(str, answers["none"])) == {"['a']", "['b']"}
    assert {"", "text"} == {"text" if one["text"] else "" for one in answers["sort"] if isinstance(one, dict)}


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
      - {id: last, type: date, prompt: Last time, max: "{{ today }}", show_if: 'answers.smokes == "often"'}
      - {id: note, type: text, prompt: Note, required: false, max_length: 50}
    check: [{that: 'answers.smokes == "never" || answered(answers.last)', message: "When?"}]
  - id: days
    type: grid
    prompt: "How often?"
    rows: [{id: sleep, label: Sleep}, {id: energy, label: Energy}]
    options: [{value: 0, label: Never}, {value: 1, label: Often}]
  - {id: helped, type: grid, prompt: p, multiple: true, required: false, rows: [{id: pain, label: P}], options: [a, b]}
"""


def test_simulated_participants_answer_the_fields_that_a_page_shows() -> None:
    """And the rows of grids."""
    survey = parse_survey(PAGED, "paged.yaml")
    pages, grids = [], []
    for number in range(60):
        for command in simulate(survey, UNTIL - DAY_US, UNTIL, random.Random(number)):
            if isinstance(command, Answer) and command.value is not None:
                (pages if command.step == "body" else grids).append(command.value)
    assert len(pages) > 40
    assert all(("last" in page) == (page["smokes"] == "often") for page in pages)
    assert {page["smokes"] for page in pages} == {"never", "often"}
    assert {"sleep": 0, "energy": 0} in grids
    assert any(isinstance(grid.get("pain"), list) for grid in grids)


def test_simulated_participants_have_parameters() -> None:
    """Which the survey accepts; an optional one is missing at times."""
    survey = parse_survey(
        """
        {id: known, title: T, language: en, parameters: {
          clinic: {type: choice, from: url, options: [north, south]},
          visit: {type: number, from: api, integer: true, min: 1, max: 9, required: false}},
         steps: [{id: a, type: text, prompt: p}]}
        """,
        "known.yaml",
    )
    begun = [simulate(survey, UNTIL - DAY_US, UNTIL, random.Random(seed))[0] for seed in range(50)]
    found = [command.parameters for command in begun if isinstance(command, Begin)]
    assert {one["clinic"] for one in found} == {"north", "south"}
    assert {None, 1} < {one["visit"] for one in found} <= {None, *range(1, 10)}
    assert all(accept_parameters(survey.parameters, Given(api=one)) == one for one in found)


def test_simulated_participants_have_the_languages_of_the_survey() -> None:
    """Most have its own."""
    survey = parse_survey(CHECKED, "checked.yaml")
    begins = [simulate(survey, UNTIL - DAY_US, UNTIL, random.Random(number))[0] for number in range(50)]
    languages = Counter(one.languages for one in begins if isinstance(one, Begin))
    assert languages[("en",)] > languages[("de",)] > 0
