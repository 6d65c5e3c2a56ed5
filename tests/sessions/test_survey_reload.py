"""A store takes changed survey files while it runs."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from app.catalogue import Catalogue
from app.errors import Unavailable
from app.sessions import survey_reload
from app.sessions.service import SessionStore
from app.sessions.survey_reload import SurveyReloader
from app.settings import Settings
from app.store import leases
from app.survey import Answer, Begin, SessionKey
from tests.conftest import SERVER_KINDS, NewStore, Servers, migrated_database
from tests.waiting import wait_for

VISIT = """
id: visit
title: Visit
language: en
steps:
  - {id: S1, type: text, prompt: First}
  - {id: S2, type: text, prompt: Second}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "surveys"
    folder.mkdir()
    (folder / "visit.yaml").write_text(VISIT)
    return folder / "visit.yaml"


def key(user_id: str) -> SessionKey:
    return SessionKey("visit", user_id)


def prompt_of(store: SessionStore, user_id: str) -> str:
    """Return the first prompt as a session has it."""
    snapshot = store.queries.load(key(user_id))
    assert snapshot is not None
    assert snapshot.survey is not None
    return snapshot.survey.steps[0].prompt


def prompt_in(catalogue: Catalogue) -> str:
    return catalogue.surveys["visit"].steps[0].prompt


def test_sessions_stay_with_their_revision_and_new_ones_get_the_new_one(
    settings: Settings, new_store: NewStore, file: Path
) -> None:
    """Also in a store that is opened later, from the database."""
    store = new_store(settings, surveys_dir=file.parent)
    store.turns.submit(key("ada"), Begin(at=1))
    file.write_text(VISIT.replace("First", "Changed"))
    result = store.surveys.reload()
    assert (result.added, result.changed, result.removed, result.findings) == ((), ("visit",), (), ())
    store.turns.submit(key("bob"), Begin(at=1))
    store.turns.submit(key("ada"), Answer(at=2, step="S1", value="x"))
    assert (prompt_of(store, "ada"), prompt_of(store, "bob")) == ("First", "Changed")
    again = new_store(settings, surveys_dir=file.parent)
    assert (prompt_of(again, "ada"), prompt_of(again, "bob")) == ("First", "Changed")


def test_wrong_file_leaves_its_survey_and_takes_the_others(
    settings: Settings, new_store: NewStore, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names each error."""
    store = new_store(settings, surveys_dir=file.parent)
    file.write_text(VISIT.replace("prompt", "promt", 1))
    (file.parent / "other.yaml").write_text(VISIT.replace("id: visit", "id: other"))
    with caplog.at_level(logging.INFO, "stepkeep.surveys"):
        result = store.surveys.reload()
    assert (result.added, result.changed, result.removed) == (("other",), (), ())
    assert [finding.message for finding in result.findings] == ["step S1: unknown field promt; did you mean prompt?"]
    assert store.catalogue.surveys["visit"].steps[0].prompt == "First"
    assert store.catalogue.errors == result.findings
    assert caplog.messages == ["Survey files read again: added other", f"Survey file not taken: {result.findings[0]}"]
    file.write_text(VISIT)
    (file.parent / "other.yaml").unlink()
    assert store.surveys.reload().removed == ("other",)
    assert store.catalogue.errors == ()


@pytest.mark.parametrize("is_started", [True, False])
@pytest.mark.parametrize("kind", SERVER_KINDS)
def test_reload_reaches_the_other_processes_of_the_database(
    kind: str,
    is_started: bool,
    servers: Servers,
    new_store: NewStore,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each reads its own folder; also one that has read its files but does not poll yet when the request is made."""
    monkeypatch.setattr(survey_reload, "POLL_S", 0.05)
    with migrated_database(kind, servers, file.parent) as url:
        settings = Settings(database_url=url, surveys_dir=file.parent, environment="development")
        store, other = new_store(settings), new_store(settings)
        if is_started:
            other.start_background()
        file.write_text(VISIT.replace("First", "Changed"))
        store.surveys.reload(is_everywhere=True)
        if not is_started:
            other.start_background()
        wait_for(lambda: prompt_in(other.catalogue) == "Changed", "the other process did not reload")
        other.close()
        store.close()


@pytest.mark.parametrize("error", [Unavailable("The database is unavailable."), RuntimeError("unexpected")])
def test_requested_reload_that_fails_is_logged_and_repeated(
    error: Exception,
    settings: Settings,
    new_store: NewStore,
    file: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error that is not expected does not end the thread either."""
    monkeypatch.setattr(survey_reload, "POLL_S", 0.01)
    store = new_store(settings, surveys_dir=file.parent)
    store.run_transaction(lambda connection: leases.request_reload(connection, "request"))
    failures = [error]

    def run(function: Callable[[Connection], Any]) -> Any:
        if failures:
            raise failures.pop()
        return store.run_transaction(function)

    reloader = SurveyReloader(store.settings, store.catalogue, store.queries, run, is_alone=False)
    file.write_text(VISIT.replace("First", "Changed"))
    with caplog.at_level(logging.INFO, "stepkeep.surveys"):
        reloader.start()
        wait_for(lambda: prompt_in(store.catalogue) == "Changed", "not repeated")
    reloader.close()
    record = caplog.records[0]
    assert record.levelname == ("WARNING" if isinstance(error, Unavailable) else "ERROR")
    assert str(error) in record.getMessage() + str(record.exc_info)
