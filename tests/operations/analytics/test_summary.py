"""Summaries of random surveys and sessions equal a reference implementation on each database; and edge cases."""

import base64
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import delete, update

from app.catalogue import Catalogue
from app.core import strict_json
from app.core.timestamps import format_timestamp, to_datetime
from app.errors import InvalidInput, NoSuchSurvey
from app.operations.analytics import Filters, csv_files, report_to_dict, summarize
from app.sessions.service import SessionStore
from app.settings import Settings
from app.store import history
from app.store.tables import session_history, sessions
from app.survey import commands
from app.survey.definition import Survey, parse_definition
from app.survey.snapshot import SessionKey
from app.web.rest.analytics import Analytics
from tests.conftest import examples
from tests.operations.analytics.conftest import Opened
from tests.operations.analytics.random_sessions import DAY_US, NOW, NUMBERS, STARTED_AT, survey_with, surveys, walk
from tests.operations.analytics.reference import reference_summary


def comparable(summary: dict[str, Any]) -> dict[str, Any]:
    """Return the summary without labels, shares of answers and bins, which the reference lacks."""
    steps = []
    for step in summary["steps"]:
        bars = step["answers"]["distribution"]
        numbers = step["answers"]["numbers"]
        answers = {
            **step["answers"],
            "distribution": None if bars is None else [(bar["value"], bar["count"]) for bar in bars],
            "numbers": None if numbers is None else {name: value for name, value in numbers.items() if name != "bins"},
        }
        steps.append({**step, "answers": answers})
    return {**summary, "steps": steps}


@given(data=st.data())
@examples(15)
def test_summary_equals_the_reference(opened: Opened, data: st.DataObject) -> None:
    """With two revisions, restarts, pauses, steps back, saved states and filters."""
    survey_id = f"s{next(NUMBERS)}"
    old = data.draw(surveys(survey_id))
    new = data.draw(surveys(survey_id, first=data.draw(st.integers(0, 3))))
    keys = [SessionKey(survey_id, f"user{number}") for number in range(data.draw(st.integers(0, 7)))]
    store = opened(old)
    half = data.draw(st.integers(0, len(keys)))
    for key in keys[:half]:
        walk(data, store, key)
    store = opened(new)
    for key in keys[half:]:
        walk(data, store, key)
    known = [new] if old.revision == new.revision else [new, old]
    chosen = data.draw(
        st.fixed_dictionaries(
            {},
            optional={
                "mode": st.sampled_from(["text", "audio"]),
                "status": st.sampled_from(["in_progress", "completed", "expired"]),
                "since": st.integers(0, 14).map(lambda days: STARTED_AT + days * DAY_US),
                "until": st.integers(0, 14).map(lambda days: STARTED_AT + days * DAY_US),
            },
        )
    )
    as_text = {name: format_timestamp(value) if isinstance(value, int) else value for name, value in chosen.items()}
    summary = summarize(store, survey_id, Filters(**as_text))
    Analytics.model_validate({"success": True, **summary})
    expected = reference_summary(store, keys, known, NOW, **chosen)
    assert {name: value for name, value in comparable(summary).items() if name in expected} == expected
    for step in summary["steps"]:
        bars, numbers = step["answers"]["distribution"], step["answers"]["numbers"]
        assert numbers is None or sum(bin_["count"] for bin_ in numbers["bins"]) <= step["answers"]["count"]
        assert bars is None or all(bar["share"] is None or 0 <= bar["share"] <= 1 for bar in bars)


SURVEY = survey_with("one", ["scale", "text", "boolean"])
ANN = SessionKey("one", "ann")


def answered(store: SessionStore, key: SessionKey, *answers: tuple[int, str, Any]) -> None:
    """Start at STARTED_AT and answer, each so many seconds later."""
    store.turns.submit(key, commands.Begin(at=STARTED_AT))
    for after_s, step, value in answers:
        store.turns.submit(key, commands.Answer(at=STARTED_AT + after_s * 1_000_000, step=step, value=value))


def step_summary(summary: dict[str, Any], step: str) -> dict[str, Any]:
    entry: dict[str, Any] = next(entry for entry in summary["steps"] if entry["step"] == step)
    return entry


@pytest.mark.one_database
def test_pause_does_not_count_as_time_of_a_step(opened: Opened) -> None:
    """A gap of half an hour counts; a longer one is a pause."""
    store = opened(SURVEY)
    answered(store, ANN, (1800, "S0", 1), (1800 + 1801, "S1", "x"), (3611, "S2", True))
    summary = summarize(store, "one")
    assert [step_summary(summary, step)["seconds"]["median"] for step in ("S0", "S1", "S2")] == [1800, 0, 10]
    assert (summary["duration_s"]["median"], summary["active_s"]["median"]) == (3611, 1810)
    assert summary["resumed"]["away_s"] == {"count": 1, "median": 1801, "p90": 1801}


@pytest.mark.one_database
def test_restart_begins_a_new_run(opened: Opened) -> None:
    """The previous run is not counted, but its pauses are."""
    store = opened(SURVEY)
    answered(store, ANN, (5, "S0", 1), (4000, "S1", "x"))
    store.turns.submit(ANN, commands.Restart(at=STARTED_AT + 4100 * 1_000_000))
    store.turns.submit(ANN, commands.Answer(at=STARTED_AT + 4107 * 1_000_000, step="S0", value=4))
    summary = summarize(store, "one")
    assert step_summary(summary, "S0")["seconds"] == {"count": 1, "median": 7, "p90": 7}
    assert step_summary(summary, "S0")["edits"] == 0
    assert step_summary(summary, "S1")["answered"] == 0
    assert summary["resumed"]["returns"] == 1


@pytest.mark.one_database
def test_survey_without_sessions_has_an_empty_summary(opened: Opened) -> None:
    """Counts are 0, and ratios null."""
    summary = summarize(opened(SURVEY), "one")
    Analytics.model_validate({"success": True, **summary})
    assert summary["sessions"]["completion_rate"] is None
    assert summary["duration_s"] == {"count": 0, "median": None, "p90": None}
    assert [step["drop_off"] for step in summary["steps"]] == [None, None, None]
    assert (summary["days"], summary["revisions"]) == ([], [])


@pytest.mark.one_database
def test_sessions_without_a_history_are_counted(opened: Opened) -> None:
    """Rows of other programs may lack events; their step and answers are counted."""
    store = opened(SURVEY)
    answered(store, ANN, (5, "S0", 1))
    store.run_transaction(lambda connection: connection.execute(delete(session_history)))
    summary = summarize(store, "one")
    assert summary["sessions"]["started"] == 1
    assert (step_summary(summary, "S0")["reached"], step_summary(summary, "S0")["answers"]["count"]) == (1, 1)
    assert step_summary(summary, "S0")["seconds"]["count"] == 0


def test_set_aside_sessions_are_not_counted(opened: Opened) -> None:
    """Neither their rows nor their events."""
    store = opened(SURVEY)
    answered(store, ANN, (5, "S0", 1))
    before = summarize(store, "one")
    answered(store, SessionKey("one", "ben"), (5, "S0", 3))
    store.run_transaction(lambda connection: history.set_aside(connection, SessionKey("one", "ben"), NOW))
    assert summarize(store, "one") == before


def test_incomplete_rows_are_counted_as_far_as_possible(opened: Opened) -> None:
    """Without times, with unknown actions, version 0, and unreadable routes and answers."""
    store = opened(SURVEY)
    answered(store, ANN, (5, "S0", 1), (9, "S1", "x"))
    answered(store, SessionKey("one", "ben"), (5, "S0", 3))

    def spoil(connection: Any) -> None:
        row = session_history.insert().values(user_id="ann", survey_id="one", version=0, action="clicked", step=None)
        connection.execute(row)
        is_second = (session_history.c.user_id == "ann", session_history.c.version == 2)
        connection.execute(update(session_history).where(*is_second).values(timestamp=None))
        broken = {"answers": "{", "step_history": "[1, {", "created_at": None}
        connection.execute(update(sessions).where(sessions.c.user_id == "ben").values(broken))

    store.run_transaction(spoil)
    summary = summarize(store, "one")
    assert (summary["sessions"]["started"], summary["unread"]) == (2, 1)
    assert summary["days"] == [{"day": str(to_datetime(STARTED_AT).date()), "started": 1, "completed": 0}]
    assert step_summary(summary, "S0")["answered"] == 2
    assert step_summary(summary, "S0")["seconds"] == {
        "count": 2,
        "median": 2.5,
        "p90": 4.5,
    }  # 0 for ann, whose event has no time
    assert step_summary(summary, "S1")["seconds"]["median"] == 9
    assert step_summary(summary, "S0")["answers"]["count"] == 1


def test_first_event_without_a_time_makes_no_gap(opened: Opened) -> None:
    """The run has no duration, and the time to its second event is not counted."""
    store = opened(SURVEY)
    answered(store, ANN, (5, "S0", 1), (9, "S1", "x"), (10, "S2", True))
    first = (session_history.c.user_id == "ann", session_history.c.version == 1)
    store.run_transaction(
        lambda connection: connection.execute(update(session_history).where(*first).values(timestamp=None))
    )
    summary = summarize(store, "one")
    assert summary["duration_s"]["count"] == 0
    assert step_summary(summary, "S0")["seconds"]["median"] == 0
    assert step_summary(summary, "S1")["seconds"]["median"] == 4


@pytest.mark.one_database
def test_unreadable_answers_are_counted_when_the_key_is_missing(settings: Settings) -> None:
    """Times and steps need no key."""
    key = base64.b64encode(bytes(range(32))).decode()
    catalogue = Catalogue(surveys={"one": SURVEY}, default_id="one")
    encrypted = SessionStore(settings.model_copy(update={"answers_keys": SecretStr(key)}), catalogue, lambda: NOW)
    encrypted.initialise()
    answered(encrypted, ANN, (5, "S0", 1))
    with_key = summarize(encrypted, "one")
    encrypted.close()
    without = SessionStore(settings, catalogue, lambda: NOW)
    summary = summarize(without, "one")
    without.close()
    assert (with_key["unread"], step_summary(with_key, "S0")["answers"]["count"]) == (0, 1)
    assert (summary["unread"], step_summary(summary, "S0")["answers"]["count"]) == (1, 0)
    assert step_summary(summary, "S0")["seconds"] == step_summary(with_key, "S0")["seconds"]


def test_summary_does_not_depend_on_the_size_of_parts(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is reported after each part."""
    store = opened(SURVEY)
    for number in range(23):
        answered(
            store,
            SessionKey("one", f"user{number}"),
            (number, "S0", number % 5),
            (2 * number, "S1", "x" * (number % 20)),
        )
    whole = summarize(store, "one")
    monkeypatch.setattr("app.operations.analytics.collect.SESSIONS_A_PART", 5)
    monkeypatch.setattr("app.operations.analytics.collect.EVENTS_A_CHUNK", 7)
    monkeypatch.setattr("app.store.statistics.SESSIONS_A_ROW", 2)
    reported: list[tuple[int, int]] = []
    assert summarize(store, "one", progress=lambda done, total: reported.append((done, total))) == whole
    assert reported == [(5, 23), (10, 23), (15, 23), (20, 23), (23, 23)]


@pytest.mark.one_database
def test_removed_survey_is_known_by_its_sessions(opened: Opened) -> None:
    """Its steps come from the stored revision; unknown surveys are refused."""
    store = opened(SURVEY)
    answered(store, ANN, (5, "S0", 1))
    store = opened(survey_with("two", ["info"]))
    summary = summarize(store, "one")
    assert (summary["title"], [step["step"] for step in summary["steps"]]) == ("t", ["S0", "S1", "S2"])
    assert [revision["is_current"] for revision in summary["revisions"]] == [False]
    with pytest.raises(NoSuchSurvey):
        summarize(store, "three")
    with pytest.raises(InvalidInput):
        summarize(store, "no survey id")


@pytest.mark.one_database
def test_invalid_answers_are_counted_without_their_text(opened: Opened) -> None:
    """A saved state may contain any value; it is counted as `other`."""
    store = opened(SURVEY)
    saved = {"current_step": "S1", "answers": {"S0": "my name is Ann"}, "step_history": ("S0",)}
    store.turns.submit(ANN, commands.Save(at=STARTED_AT, is_audio_mode=False, session_data=None, **saved))
    summary = summarize(store, "one")
    assert "Ann" not in strict_json.encode(summary)
    assert step_summary(summary, "S0")["answers"]["distribution"][-1] == {
        "value": None,
        "label": "other",
        "count": 1,
        "share": 1,
    }


@pytest.mark.one_database
@pytest.mark.parametrize("given", [(1e300,), (1e308, -1e308), (1.7e308, 1.7e308, 1e308), (1e300, 1, 0.5)], ids=str)
def test_largest_numbers_are_summarized(opened: Opened, given: tuple[float, ...]) -> None:
    """Their sum, their difference and a whole number of their size are beyond what JSON has."""
    store = opened(survey_with("one", ["number"]))
    for number, value in enumerate(given):
        answered(store, SessionKey("one", f"user{number}"), (1, "S0", value))
    summary = summarize(store, "one")
    strict_json.check(summary)
    numbers = step_summary(summary, "S0")["answers"]["numbers"]
    assert (numbers["min"], numbers["max"]) == (min(given), max(given))
    assert numbers["mean"] == pytest.approx(sum(value / len(given) for value in given))
    assert numbers["median"] == statistics.median(value / 2 for value in given) * 2
    assert sum(one["count"] for one in numbers["bins"]) == len(given)


@pytest.mark.one_database
def test_ranking_counts_first_places_and_the_mean_rank(opened: Opened) -> None:
    """An option that was ranked by nobody has none."""
    store = opened(survey_with("one", ["ranking"]))
    for number, ranking in enumerate((["a", 2, "c"], [2, "a", "c"], [2, "c", "a"])):
        answered(store, SessionKey("one", f"user{number}"), (5, "S0", ranking))
    bars = step_summary(summarize(store, "one"), "S0")["answers"]["distribution"]
    assert [(bar["value"], bar["count"], bar["mean_rank"]) for bar in bars] == [
        ("a", 1, 2), (2, 2, 1.333333), ("c", 0, 2.666667),
    ]  # fmt: skip


@pytest.mark.one_database
def test_answers_of_an_older_revision_follow_the_newest(opened: Opened) -> None:
    """A scale that was longer has its old points after the current ones."""
    store = opened(SURVEY)
    answered(store, ANN, (5, "S0", 4))
    shorter = survey_with("one", ["scale", "text"])
    first = shorter.steps[0].model_copy(update={"max": 2, "max_label": None})
    store = opened(parse_definition(strict_json.encode(replaced(shorter, first)), "one"))
    bars = step_summary(summarize(store, "one"), "S0")["answers"]["distribution"]
    assert [bar["value"] for bar in bars] == [0, 1, 2, 3, 4]
    assert bars[4]["label"] == "4 (most)"
    assert bars[4]["count"] == 1


def replaced(survey: Survey, first: Any) -> dict[str, Any]:
    shown: dict[str, Any] = survey.model_dump(mode="json", exclude={"access", "retention"})
    shown["steps"][0] = first.model_dump(mode="json")
    return shown


def test_sessions_are_counted_by_language_if_there_are_several(opened: Opened) -> None:
    """Those of an older revision count in its own; a session that changed its language counts in the later one."""
    plain = survey_with("tongues", ["text"])
    store = opened(plain)
    at = STARTED_AT
    store.turns.submit(SessionKey("tongues", "old"), commands.Begin(at=at))
    assert summarize(store, "tongues")["languages"] == []
    document = strict_json.decode(plain.definition)
    store = opened(parse_definition(strict_json.encode({**document, "language": "de", "languages": ["de", "fr"]}), "t"))
    for user, language in (("ann", "fr"), ("ben", "de"), ("cid", "de")):
        store.turns.submit(SessionKey("tongues", user), commands.Begin(at=at, languages=(language,)))
    store.turns.submit(SessionKey("tongues", "ben"), commands.SetLanguage(at=at, language="fr"))
    store.turns.submit(SessionKey("tongues", "ann"), commands.Answer(at=at, step="S0", value="x"))
    assert summarize(store, "tongues")["languages"] == [
        {"language": "de", "started": 1, "completed": 0, "completion_rate": 0},
        {"language": "fr", "started": 2, "completed": 1, "completion_rate": 0.5},
        {"language": "en", "started": 1, "completed": 0, "completion_rate": 0},
    ]
    Analytics.model_validate({"success": True, **summarize(store, "tongues")})


@pytest.mark.one_database
def test_language_is_unknown_without_its_key(settings: Settings) -> None:
    """As its answers are; the session is still counted."""
    text = strict_json.decode(survey_with("tongues", ["text"]).definition) | {"languages": ["en", "fr"]}
    survey = parse_definition(strict_json.encode(text), "tongues")
    encrypted = settings.model_copy(update={"answers_keys": SecretStr(base64.b64encode(bytes(range(32))).decode())})
    for with_keys in (encrypted, settings):
        catalogue = Catalogue(surveys={survey.id: survey}, default_id=survey.id)
        store = SessionStore(with_keys, catalogue, lambda: NOW)
        if with_keys is encrypted:
            store.initialise()
            store.turns.submit(SessionKey("tongues", "ann"), commands.Begin(at=STARTED_AT, languages=("fr",)))
        languages = [(one["language"], one["started"]) for one in summarize(store, "tongues")["languages"]]
        store.close()
        assert languages == ([("en", 0), ("fr", 1)] if with_keys is encrypted else [("en", 0), ("fr", 0), (None, 1)])


@pytest.mark.one_database
def test_contacts_are_counted_and_never_listed(opened: Opened) -> None:
    """Neither in REST nor in a report nor in its CSV files; nor are other texts."""
    store = opened(survey_with("reach", ["email", "phone", "choice", "choices", "text"]))
    answers = [
        "ann@example.org",
        "+12025550100",
        {"value": 3, "text": "in secret"},
        [{"value": "c", "text": "secretly"}],
    ]
    key = SessionKey("reach", "ann")
    store.turns.submit(key, commands.Begin(at=STARTED_AT))
    for number, answer in enumerate([*answers, "secret words"]):
        store.turns.submit(key, commands.Answer(at=STARTED_AT, step=f"S{number}", value=answer))
    summary = summarize(store, "reach")
    assert [step["answers"]["count"] for step in summary["steps"]] == [1] * 5
    shown = f"{summary} {report_to_dict(summary)} {csv_files(summary)}"
    assert not [secret for secret in ("ann@", "2025550100", "secret") if secret in shown]
