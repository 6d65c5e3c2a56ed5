"""``flask sessions export/erase`` and ``flask erasures``: a participant's data, their erasure, and its replay."""

import json
import shutil
from pathlib import Path

import pytest
from flask.testing import FlaskCliRunner

from app.sessions.service import SessionStore
from app.survey.commands import Answer, Begin
from app.survey.snapshot import SessionKey
from tests.cli.shell import opened
from tests.conftest import SURVEYS

ANN = SessionKey("phq9", "ann")
BEN = SessionKey("phq9", "ben")


@pytest.fixture
def surveys(tmp_path: Path) -> Path:
    """Return a folder with a survey whose sessions are retained for a year."""
    folder = tmp_path / "surveys"
    folder.mkdir()
    text = (SURVEYS / "phq9.yaml").read_text()
    (folder / "phq9.yaml").write_text(text.replace("language: en", "language: en\nretention: 365d", 1))
    return folder


def answer(store: SessionStore, key: SessionKey, at: int | None = None) -> None:
    """Begin a session and give its first answer, now or at another time."""
    when = store.clock() if at is None else at
    results = store.turns.submit_many(
        [(key, Begin(at=when)), (key, Answer(at=when, message_id="m1", step="Q1", value=2))]
    )
    assert not [result for result in results if isinstance(result, Exception)]


def test_export_writes_all_data_of_the_participant(store: SessionStore, run: FlaskCliRunner, tmp_path: Path) -> None:
    """The export goes to standard output or a file, and the audit log records it with the participant."""
    answer(store, ANN)
    document = json.loads(run.invoke(args=["sessions", "export", "ann"]).output)
    assert document["sessions"][0]["answers"] == {"Q1": 2}
    file = tmp_path / "ann.json"
    done = run.invoke(args=["sessions", "export", "ann", "--survey", "phq9", "--output", str(file)])
    assert (done.exit_code, done.output) == (0, "")
    assert json.loads(file.read_text())["user_id"] == "ann"
    log = [json.loads(line) for line in run.invoke(args=["audit", "--json", "--user-id", "ann"]).output.splitlines()]
    assert [(one["action"], one["survey_id"]) for one in log] == [
        ("participant_exported", "phq9"),
        ("participant_exported", None),
    ]


def test_forget_asks_for_confirmation_and_erases_one_participant(store: SessionStore, run: FlaskCliRunner) -> None:
    """Afterwards neither their data nor their name in the audit log remains."""
    answer(store, ANN)
    answer(store, BEN)
    refused = run.invoke(args=["sessions", "erase", "ann"], input="n\n")
    assert refused.exit_code == 1
    assert store.queries.load(ANN) is not None
    done = run.invoke(args=["sessions", "erase", "ann", "--yes"])
    assert (done.exit_code, done.output) == (0, "1 session of ann erased.\n")
    assert store.queries.load(ANN) is None
    assert store.queries.load(BEN) is not None
    again = run.invoke(args=["sessions", "erase", "ann", "--yes", "--json"])
    assert json.loads(again.output) == {"user_id": "ann", "survey_id": None, "sessions": 0}
    log = run.invoke(args=["audit", "--json"])
    assert log.exit_code == 0
    assert [(one["action"], one["user_id"][:7]) for one in map(json.loads, log.output.splitlines())] == [
        ("session_erased", "erased:")
    ]


@pytest.mark.parametrize("user_id", [".", ".."])
def test_session_that_no_http_client_reaches_is_read_and_erased(
    store: SessionStore, run: FlaskCliRunner, user_id: str
) -> None:
    """Earlier releases accepted these user ids."""
    answer(store, SessionKey("phq9", user_id))
    for command in (["sessions", "show"], ["sessions", "history"], ["sessions", "export"]):
        done = run.invoke(args=[*command, user_id])
        assert done.exit_code == 0, done.output
    erased = run.invoke(args=["sessions", "erase", user_id, "--yes"])
    assert erased.output == f"1 session of {user_id} erased.\n"


def test_exported_erasures_are_replayed_on_a_restored_backup(tmp_path: Path, surveys: Path) -> None:
    """Erasures exported from the live database are applied to an older copy."""
    with opened(tmp_path, surveys) as app:
        for key in (ANN, BEN):
            answer(app.extensions["stepkeep"].store, key)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(tmp_path / "sessions.db", elsewhere / "sessions.db")
    with opened(tmp_path, surveys) as app:
        app.extensions["stepkeep"].store.erasure.erase_participant("ann", actor="operator")
        lines = app.test_cli_runner().invoke(args=["erasures", "export"]).output
    assert len(lines.splitlines()) == 1
    assert "ann" not in lines
    (elsewhere / "list.jsonl").write_text(lines)
    with opened(elsewhere, surveys) as app:
        restored = app.extensions["stepkeep"].store
        assert restored.queries.load(ANN) is not None
        done = app.test_cli_runner().invoke(args=["erasures", "apply", str(elsewhere / "list.jsonl")])
        assert (done.exit_code, done.output) == (0, "1 session erased again.\n")
        assert restored.queries.load(ANN) is None
        assert restored.queries.load(BEN) is not None
