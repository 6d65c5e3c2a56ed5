"""The kit for integrators' tests: temporary stores, and participants who walk through a survey."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.database import Database, get_database
from app.errors import InvalidInput, NoSuchSurvey
from app.sessions import SessionStore
from app.settings import Settings
from app.testing import Walk, create_sqlite, walk
from tests.conftest import ROOT, SURVEYS, NewStore

CIRCLE = """
id: codes
title: Codes
language: en
steps:
  - {id: code, type: text, prompt: "Your code", pattern: "[A-Z]{3}-[0-9]{4}"}
  - {id: again, type: boolean, prompt: "Once more?", next: [{when: "answer == true", go: code}, {go: end}]}
"""


@pytest.fixture
def stepkeep_surveys() -> Path:
    """The shipped surveys, wherever pytest runs."""
    return SURVEYS


@pytest.mark.parametrize("survey", ["phq9", "intake"])
@pytest.mark.parametrize("seed", range(5))
def test_walk_completes_each_shipped_survey_within_its_rules(stepkeep_walk: Walk, survey: str, seed: int) -> None:
    """Whatever the random answers are."""
    session = stepkeep_walk(survey, seed=seed)
    assert (session.state.status, session.state.current_step) == ("completed", "end")


def test_walk_is_the_same_for_the_same_seed(stepkeep_walk: Walk) -> None:
    """Of a new participant each time."""
    first, second, other = (stepkeep_walk("phq9", seed=seed) for seed in (1, 1, 2))
    assert first.state.answers == second.state.answers != other.state.answers
    assert first.key != second.key


def test_walk_gives_the_named_answers_and_stops_before_a_step(stepkeep_walk: Walk) -> None:
    """A later walk of the same participant continues there."""
    begun = stepkeep_walk("phq9", user_id="ann", answers={"Q2": 3}, until="Q4")
    assert (begun.state.current_step, list(begun.state.answers), begun.state.answers["Q2"]) == (
        "Q4",
        ["Q1", "Q2", "Q3"],
        3,
    )
    ended = stepkeep_walk("phq9", user_id="ann", answers={"Q4": 2})
    assert ended.state.status == "completed"
    assert (ended.state.answers["Q2"], ended.state.answers["Q4"]) == (3, 2)


PAGED = """
id: paged
title: Paged
language: en
steps:
  - id: body
    type: page
    prompt: About you
    fields:
      - {id: smokes, type: boolean, prompt: "Do you smoke?"}
      - {id: last, type: date, prompt: Last time, show_if: answers.smokes}
  - {id: days, type: grid, prompt: p, rows: [{id: a, label: A}], options: [1, 2]}
"""


@pytest.mark.parametrize("seed", range(5))
def test_walk_answers_the_shown_fields_of_a_page(new_store: NewStore, tmp_path: Path, seed: int) -> None:
    """And the rows of a grid."""
    (tmp_path / "paged.yaml").write_text(PAGED)
    store = new_store(Settings(database_url=create_sqlite(tmp_path / "test.db"), surveys_dir=tmp_path))
    session = walk(store, "paged", seed=seed)
    body = session.state.answers["body"]
    assert (session.state.status, "last" in body) == ("completed", body["smokes"])


def test_walk_fails_when_the_survey_rejects_an_answer(stepkeep_walk: Walk) -> None:
    """With step, value and reason."""
    with pytest.raises(AssertionError, match=r"step Q3 rejects 17: invalid_answer: The answer must be one of"):
        stepkeep_walk("phq9", answers={"Q3": 17})


def test_walk_fails_when_its_goal_is_not_on_the_route(stepkeep_walk: Walk) -> None:
    """Q10 follows only an answer above 0."""
    with pytest.raises(AssertionError, match=r"the walk ended at 'end', not at 'Q10'"):
        stepkeep_walk("phq9", answers={f"Q{number}": 0 for number in range(1, 10)}, until="Q10")


def test_walk_refuses_steps_and_surveys_that_do_not_exist(stepkeep_walk: Walk) -> None:
    """A misspelt step would otherwise get a random answer."""
    for steps in ({"answers": {"q1": 2}}, {"until": "q1"}):
        with pytest.raises(InvalidInput, match="phq9 has no step q1"):
            stepkeep_walk("phq9", **steps)
    with pytest.raises(NoSuchSurvey):
        stepkeep_walk("phq8")


def test_walk_in_a_circle_ends(tmp_path: Path, new_store: NewStore) -> None:
    """These answers lead to the first step again."""
    (tmp_path / "codes.yaml").write_text(CIRCLE)
    store = new_store(Settings(database_url=create_sqlite(tmp_path / "test.db"), surveys_dir=tmp_path))
    with pytest.raises(AssertionError, match="the walk ended at"):
        walk(store, answers={"code": "ABC-1234", "again": True})


def test_python_api_is_the_one_of_the_program_under_test(
    stepkeep_database: Database, stepkeep_store: SessionStore
) -> None:
    """And of this test alone."""
    assert get_database() is stepkeep_database
    assert stepkeep_database.store is stepkeep_store
    assert stepkeep_database.list_sessions() == []


def test_store_does_not_read_the_developers_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Nor the folder of secrets: a test's erasures must not be added to a real journal."""
    journal = tmp_path / "real.erasures"
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/stepkeep_answers_keys").write_text("invalid")
    for name, value in (
        ("STEPKEEP_ERASURES_FILE", str(journal)),
        ("STEPKEEP_SCHEMA", "clinic"),
        ("REDIS_URL", "redis://127.0.0.1:1/0"),
        ("STEPKEEP_SECRETS_DIR", str(tmp_path / "secrets")),
    ):
        monkeypatch.setenv(name, value)
    store: SessionStore = request.getfixturevalue("stepkeep_store")
    session = walk(store, "phq9")
    assert store.erasure.delete(session.key)
    assert not journal.exists()
    assert request.getfixturevalue("stepkeep_settings").redis_url is None


def test_module_says_what_it_needs_without_pytest() -> None:
    """Nothing else of the library needs it."""
    program = "import sys; sys.modules['pytest'] = None; import app, app.client, app.web\nimport app.testing"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1]
        == "ImportError: app.testing needs pytest, which is not installed: pip install pytest"
    )
