"""Demo data: sessions as people leave them, the same again from the same seed, and gone again without a trace."""

import datetime
import random
from collections import Counter
from typing import Any

import pytest

from app.errors import InvalidInput
from app.operations.demo.arrivals import arrivals
from app.operations.demo.fill import Plan, clear, count, fill
from app.operations.demo.simulate import walk
from app.operations.integrity.verify import verify_sessions
from app.sessions.service import SessionStore
from app.survey.commands import Begin
from app.survey.definition import parse_survey
from app.survey.snapshot import SessionKey
from tests.store.contents import dump

DAY_US = 86_400 * 1_000_000
UNTIL = 1_790_000_000_000_000
PLAN = Plan(sessions=60, days=30, until=UNTIL, seed=3)


def filled(store: SessionStore, plan: Plan = PLAN) -> list[dict[str, Any]]:
    fill(store, plan)
    return dump(store)["sessions"]


def test_sessions_are_such_as_the_flow_makes(store: SessionStore) -> None:
    """As many as were asked for, of each survey, in every status, each the fold of its history."""
    told: list[tuple[int, int]] = []
    done = fill(store, PLAN, progress=lambda done, total: told.append((done, total)))
    rows = dump(store)
    assert (done.sessions, done.turns) == (60, len(rows["session_history"]))
    assert told[-1] == (60, 60)
    assert {row["survey_id"] for row in rows["sessions"]} == set(store.catalogue.surveys)
    assert {row["status"] for row in rows["sessions"]} == {"completed", "in_progress", "expired"}
    assert all(row["user_id"].startswith("demo-3-") for row in rows["sessions"])
    assert {one.verdict for one in verify_sessions(store)} == {"same"}
    end = f"{datetime.datetime.fromtimestamp(UNTIL / 1e6, datetime.UTC):%Y-%m-%d %H:%M:%S}"
    assert all(str(row["timestamp"]) < end for row in rows["session_history"])


def test_same_seed_gives_the_same_and_another_gives_others(store: SessionStore) -> None:
    """To the byte, history and message ids too."""
    first = filled(store), dump(store)["session_history"]
    clear(store)
    again = filled(store), dump(store)["session_history"]
    assert again[0] == first[0]
    assert [{**row, "id": 0} for row in again[1]] == [{**row, "id": 0} for row in first[1]]
    clear(store)
    assert {row["answers"] for row in filled(store, Plan(sessions=60, days=30, until=UNTIL, seed=4))} != {
        row["answers"] for row in first[0]
    }


def test_clear_erases_demo_data_and_nobody_else(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a person nor one whose id only looks a little like it; and it can be done again."""
    monkeypatch.setattr("app.operations.demo.fill.ERASED_TOGETHER", 7)
    people = [
        SessionKey("phq9", user) for user in ("ann", "demo", "demo-ann", "demo-1-2", "demonstrator", "Demo-3-0000001")
    ]
    store.turns.submit_many([(key, Begin(at=UNTIL)) for key in people])
    before = dump(store)
    fill(store, PLAN, is_shared=True)
    assert count(store) == 60
    told: list[tuple[int, int]] = []
    assert clear(store, progress=lambda done, total: told.append((done, total))) == 60
    assert told[-1] == (60, 60)
    after = dump(store)
    for table in ("sessions", "session_history", "erasures", "audit_log"):
        assert after[table] == before[table]
    assert clear(store) == 0


def test_database_with_people_is_refused_unless_it_is_wanted(store: SessionStore) -> None:
    """And nothing is made."""
    store.turns.submit(SessionKey("phq9", "ann"), Begin(at=UNTIL))
    with pytest.raises(InvalidInput, match=r"sessions of people.*--yes"):
        fill(store, PLAN)
    assert count(store) == 0


def test_seed_that_is_there_and_survey_that_is_not_are_refused(store: SessionStore) -> None:
    """Each with what to do; a second seed is taken."""
    fill(store, PLAN)
    with pytest.raises(InvalidInput, match=r"seed 3 already.*demo clear"):
        fill(store, PLAN)
    with pytest.raises(InvalidInput, match=r"no survey 'nope'.*phq9"):
        fill(store, Plan(sessions=1, days=1, until=UNTIL, surveys=("nope",), seed=9))
    fill(store, Plan(sessions=5, days=1, until=UNTIL, surveys=("phq9",), seed=31))
    assert count(store) == 65


def test_arrivals_are_ordered_complete_and_have_a_rhythm() -> None:
    """All before the end, fewer at night and on weekends, more at the end than at the beginning."""
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


def test_answers_of_one_participant_agree_with_each_other(store: SessionStore) -> None:
    """As the items of PHQ-9 do: the correlation of two of them is clearly above none."""
    survey = store.catalogue.surveys["phq9"]
    pairs = []
    for number in range(400):
        commands = walk(survey, UNTIL - 20 * DAY_US, UNTIL, random.Random(number))
        answers = {one.step: one.value for one in commands if hasattr(one, "value")}
        if {"Q1", "Q2"} <= answers.keys():
            pairs.append((answers["Q1"], answers["Q2"]))
    mean = [sum(pair[place] for pair in pairs) / len(pairs) for place in (0, 1)]
    covariance = sum((one - mean[0]) * (other - mean[1]) for one, other in pairs)
    spread = [sum((pair[place] - mean[place]) ** 2 for pair in pairs) for place in (0, 1)]
    assert covariance / (spread[0] * spread[1]) ** 0.5 > 0.3


def test_survey_with_a_circle_or_an_odd_pattern_ends() -> None:
    """A walk has a last command, whatever the survey is like."""
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
        assert 1 <= len(walk(survey, UNTIL - DAY_US, UNTIL, random.Random(number))) <= 400
