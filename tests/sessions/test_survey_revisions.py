"""Surveys by revision: which stay in memory, and which languages are parsed."""

from pathlib import Path

import pytest

from app.catalogue import Catalogue
from app.sessions.survey_revisions import SurveyRevisions
from app.settings import Settings
from app.survey import (
    Answer,
    Answered,
    AnyCommand,
    Begin,
    Restart,
    SessionKey,
    SetLanguage,
    Survey,
    parse_survey,
)
from app.writer import Committed, Rejected, RevisionNotLoaded
from tests.conftest import NewStore

VISIT = """
id: visit
title: {en: Visit, de: Besuch}
language: en
languages: [en, de]
steps:
  - {id: S1, type: number, prompt: Age, check: [{that: answer > 17, message: {en: Too young, de: Zu jung}}]}
"""


class Stored:
    """Stored revisions of a survey that is no longer offered; it counts how often each is read."""

    def __init__(self, count: int) -> None:
        surveys = [parse_survey(VISIT.replace("Age", f"Age {number}"), "visit.yaml") for number in range(count)]
        self.surveys = {survey.revision: survey for survey in surveys}
        self.read: list[str] = []

    def definition(self, survey_id: str, revision: str) -> str | None:
        self.read.append(revision)
        survey = self.surveys.get(revision) if survey_id == "visit" else None
        return None if survey is None else survey.definition

    def revisions(self, kept: int) -> SurveyRevisions:
        return SurveyRevisions(Catalogue(surveys={}, default_id="visit"), self.definition, kept)


def is_cached(revisions: SurveyRevisions, survey: Survey | str, language: str | None = None) -> bool:
    try:
        revisions.cached("visit", survey if isinstance(survey, str) else survey.revision, language)
    except RevisionNotLoaded:
        return False
    return True


def test_the_most_recently_used_revisions_are_kept() -> None:
    """A long-lived process reads the others again."""
    stored = Stored(3)
    first, second, third = stored.surveys.values()
    revisions = stored.revisions(kept=2)
    revisions.get("visit", first.revision)
    revisions.keep(second)
    assert is_cached(revisions, first)
    revisions.get("visit", third.revision)
    assert [is_cached(revisions, one) for one in (first, second, third)] == [True, False, True]
    again = revisions.get("visit", second.revision)
    assert again is not None
    assert again.definition == second.definition
    assert stored.read == [first.revision, third.revision, second.revision]


def test_revisions_that_do_not_exist_are_limited_too() -> None:
    """Damaged rows may name any."""
    revisions = Stored(0).revisions(kept=2)
    names = [f"{number:032x}" for number in range(4)]
    assert [revisions.get("visit", name) for name in names] == [None] * 4
    assert [is_cached(revisions, name) for name in names] == [False, False, True, True]


def test_turn_waits_for_the_language_outside_of_its_transaction() -> None:
    """Reading a session needs no more than the survey."""
    stored = Stored(1)
    (survey,) = stored.surveys.values()
    revisions = stored.revisions(kept=2)
    with pytest.raises(RevisionNotLoaded) as missing:
        revisions.cached("visit", survey.revision, "de")
    revisions.get("visit", survey.revision)
    assert [is_cached(revisions, survey, tag) for tag in (None, "en", "fr", "de")] == [True, True, True, False]
    revisions.load(missing.value)
    assert is_cached(revisions, survey, "de")
    assert stored.read == [survey.revision]


def test_session_of_a_stored_revision_is_refused_in_its_language(
    settings: Settings, new_store: NewStore, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By a server that was started after the survey had changed, with the durations of this server."""
    file = tmp_path_factory.mktemp("surveys") / "visit.yaml"
    file.write_text(VISIT)
    key = SessionKey("visit", "ada")
    new_store(settings, surveys_dir=file.parent).turns.submit(key, Begin(at=1, languages=("de",)))
    file.write_text(VISIT.replace("Age", "Years"))
    store = new_store(settings, surveys_dir=file.parent, expires_after="1d")
    refused = store.turns.submit(key, Answer(at=2, step="S1", value=3))
    assert isinstance(refused, Rejected)
    assert refused.rejection.message == "Zu jung"
    assert isinstance(store.turns.submit(key, Answer(at=3, step="S1", value=30)), Committed)


def test_restart_in_a_revision_without_the_session_s_language_is_in_the_survey_s_own(
    settings: Settings, new_store: NewStore, tmp_path: Path
) -> None:
    """Each answer has the language that was shown; the choice comes back with a revision that has it."""
    file = tmp_path / "visit.yaml"
    file.write_text(VISIT)
    store = new_store(settings, surveys_dir=tmp_path)
    key = SessionKey("visit", "ada")

    def do(command: AnyCommand) -> Committed:
        result = store.turns.submit(key, command)
        assert isinstance(result, Committed)
        return result

    assert do(Begin(at=1, languages=("de",))).snapshot.language == "de"
    file.write_text(VISIT.replace("de", "fr"))
    store.surveys.reload()
    restarted = do(Restart(at=2)).snapshot
    assert (restarted.language, restarted.shown_survey) == ("en", restarted.survey)
    refused = store.turns.submit(key, Answer(at=3, step="S1", value=3))
    assert isinstance(refused, Rejected)
    assert refused.rejection.message == "Too young"
    answered = do(Answer(at=3, step="S1", value=30)).event
    assert isinstance(answered, Answered)
    assert answered.language == "en"
    rejected = store.turns.submit(key, SetLanguage(at=4, language="de"))
    assert isinstance(rejected, Rejected)
    assert rejected.rejection.code == "invalid_language"
    file.write_text(VISIT)
    store.surveys.reload()
    assert do(Restart(at=5)).snapshot.language == "de"


def test_session_of_a_revision_that_only_another_process_offers_goes_on(
    settings: Settings, new_store: NewStore, tmp_path: Path
) -> None:
    """As during a rolling upgrade: its definition is read from the database, and it is not set aside."""
    for name, prompt in (("old", "Age"), ("new", "Years")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "visit.yaml").write_text(VISIT.replace("Age", prompt))
    old, new = (new_store(settings, surveys_dir=tmp_path / name) for name in ("old", "new"))
    key = SessionKey("visit", "ada")
    new.turns.submit(key, Begin(at=1, languages=("de",)))
    revision = new.catalogue.surveys["visit"].revision
    assert old.catalogue.surveys["visit"].revision != revision

    snapshot, _, existed = old.turns.join(key, subscriber=None, callback=lambda _: None, is_audio_mode=False)
    step = snapshot.draw_step(2).fields
    assert (existed, snapshot.state.survey_revision, snapshot.language) == (True, revision, "de")
    assert step is not None
    assert step["prompt"] == "Years"
    refused = old.turns.submit(key, Answer(at=2, step="S1", value=3))
    assert isinstance(refused, Rejected)
    assert refused.rejection.message == "Zu jung"
    assert isinstance(old.turns.submit(key, Answer(at=3, step="S1", value=30)), Committed)
    assert old.queries.keys_of_user("ada", 9) == [key]
