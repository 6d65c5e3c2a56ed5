"""``flask export`` and ``flask codebook``."""

import json
from pathlib import Path

import flask
import pytest

from app.sessions.service import SessionStore
from app.survey.snapshot import SessionKey
from tests.operations.export.reading import csv_rows, save
from tests.store.test_erasures import begin, set_aside


def test_file_is_complete_and_missing_sessions_are_counted(app: flask.Flask, tmp_path: Path) -> None:
    """The audit log records the export; no partial file is left."""
    store: SessionStore = app.extensions["stepkeep"].store
    key = SessionKey("phq9", "ann")
    begin(store, key)
    set_aside(store, key)
    save(store, "phq9", "ben", {"Q1": 2})
    file = tmp_path / "phq9.csv"
    done = app.test_cli_runner().invoke(args=["export", "phq9", "--labels", "--output", str(file)])
    assert done.exit_code == 0
    assert "1 session exported" in done.stderr
    assert "1 set-aside sessions" in done.stderr
    assert [(row["user_id"], row["Q1"]) for row in csv_rows(file.read_bytes())] == [("ben", "More than half the days")]
    assert not list(tmp_path.glob("*.part"))
    log = app.test_cli_runner().invoke(args=["audit", "--json"]).stdout
    assert json.loads(log.splitlines()[0])["action"] == "survey_exported"


def test_export_and_codebook_go_to_standard_output(app: flask.Flask) -> None:
    """An error prints one line."""
    run = app.test_cli_runner()
    assert run.invoke(args=["export", "phq9"]).stdout.startswith("user_id,survey_id,")
    assert "| `Q1` |" in run.invoke(args=["codebook", "phq9"]).stdout
    assert json.loads(run.invoke(args=["codebook", "phq9", "--json"]).stdout)["format"] == "stepkeep-codebook-1"
    wrong = run.invoke(args=["export", "phq9", "--since", "yesterday"])
    assert (wrong.exit_code, "'--since': It must be a day" in wrong.stderr) == (2, True)
    misplaced = run.invoke(args=["export", "phq9", "--format", "xlsx", "--spreadsheet-safe"])
    assert (misplaced.exit_code, "spreadsheet_safe requires the format csv or long" in misplaced.stderr) == (2, True)
    assert run.invoke(args=["export", "nothing"]).exit_code != 0


@pytest.mark.parametrize("command", ["export", "codebook"])
def test_unknown_language_is_refused_with_those_of_the_survey(app: flask.Flask, command: str) -> None:
    """As other invalid options, before anything is written."""
    run = app.test_cli_runner()
    assert run.invoke(args=[command, "gad7", "--language", "de"]).exit_code == 0
    refused = run.invoke(args=[command, "gad7", "--language", "fr"])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "no texts in fr; it has de, en" in refused.stderr


def test_only_the_owner_can_read_the_file(app: flask.Flask, tmp_path: Path) -> None:
    """An existing symbolic link is not followed; a failure to write prints one line."""
    target, file = tmp_path / "target", tmp_path / "phq9.csv"
    target.write_text("mine")
    (tmp_path / "phq9.csv.part").symlink_to(target)
    run = app.test_cli_runner()
    assert run.invoke(args=["export", "phq9", "--output", str(file)]).exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert target.read_text() == "mine"
    refused = run.invoke(args=["export", "phq9", "--output", str(target / "phq9.csv")])
    assert (refused.exit_code, "can't be written" in refused.stderr) == (1, True)
