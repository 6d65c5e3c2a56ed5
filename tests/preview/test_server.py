"""The server of a preview, without a browser."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.test import Client

from app.preview.server import Preview, framed
from tests.conftest import ROOT
from tests.waiting import START_S

SURVEY = """
id: visit
title: Visit
language: en
steps:
  - {id: seen, type: boolean, prompt: "Seen?", next: [{when: answer == false, go: waited}]}
  - {id: felt, type: text, prompt: "Felt?", next: [{go: end}]}
  - {id: waited, type: number, prompt: "Waited?"}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "visit.yaml"
    file.write_text(SURVEY)
    return file


@pytest.fixture
def preview(file: Path, tmp_path: Path) -> Iterator[Preview]:
    folder = tmp_path / "preview"
    folder.mkdir()
    preview = Preview(file, folder)
    yield preview
    preview.close()


def test_answers_that_fit_stay_when_the_file_changes(preview: Preview, file: Path) -> None:
    """In a session of another participant, with the new revision."""
    before = preview.state()
    assert preview.act("jump", "waited") is None
    file.write_text(SURVEY.replace("Waited?", "For how long?"))
    after = preview.state()
    assert (after["answers"], after["current_step"]) == ({"seen": False}, "waited")
    assert before["user"] != after["user"]
    assert before["revision"] != after["revision"]


def test_survey_stays_when_the_file_is_wrong_or_gone(preview: Preview, file: Path) -> None:
    """The findings name the file as its author does."""
    before = preview.state()
    file.write_text(SURVEY.replace("type: number, prompt", "type: number, promt"))
    wrong = preview.state()
    assert wrong["findings"][0].startswith("visit.yaml:")
    assert wrong["revision"] == before["revision"]
    file.unlink()
    assert preview.state() == wrong


def test_action_that_is_not_possible_says_why(preview: Preview, file: Path) -> None:
    """There may be no survey, or no way to the step."""
    assert preview.act("jump", "felt") == "The file has no survey yet."
    preview.state()
    assert preview.act("jump", "missing") == "No answers are known that lead to missing."


def test_only_files_of_the_page_are_served_and_it_may_frame_the_survey(preview: Preview) -> None:
    """No other site may, and none can send an action."""
    client = Client(framed(preview.app))
    assert client.get("/preview").status_code == 200
    assert client.get("/preview/preview.js").content_type.startswith("text/javascript")
    assert client.get("/preview/server.py").status_code == 404
    page = client.get("/survey")
    assert "frame-ancestors 'self'" in page.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in page.headers
    assert client.post("/preview/act", data={"action": "restart", "value": ""}).status_code == 415
    assert client.post("/preview/act", json=[]).status_code == 422


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_folder_is_removed_when_the_preview_is_stopped(file: Path, tmp_path: Path, number: signal.Signals) -> None:
    """By Ctrl-C or SIGTERM; no settings of a server are taken."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(temporary),
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'server.db'}",
        "SECRET_KEY": "short",
    }
    command = [sys.executable, "-m", "flask", "surveys", "preview", str(file)]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "http://127.0.0.1:" in process.stdout.readline()
        assert len(list(temporary.iterdir())) == 1
        process.send_signal(number)
        assert process.wait(START_S) == 0
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "server.db").exists()
