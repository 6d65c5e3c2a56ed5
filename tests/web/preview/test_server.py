"""The server of a preview, without a browser."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.test import Client

from app.web.preview.server import Preview, framed
from tests.previews import SURVEY, WITH_ERROR, WITH_PARAMETERS, WITH_WARNING, run_preview


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
    file.write_text(SURVEY.replace("How long did you wait?", "For how many minutes?"))
    after = preview.state()
    assert (after["answers"], after["current_step"]) == ({"seen": False}, "waited")
    assert before["user"] != after["user"]
    assert before["revision"] != after["revision"]


def test_survey_stays_when_the_file_is_wrong_or_gone(preview: Preview, file: Path) -> None:
    """The findings name the file as its author does."""
    before = preview.state()
    file.write_text(WITH_ERROR)
    wrong = preview.state()
    assert wrong["findings"][0]["level"] == "error"
    assert wrong["findings"][0]["text"].startswith("visit.yaml:")
    assert wrong["revision"] == before["revision"]
    file.unlink()
    assert preview.state() == wrong


@pytest.mark.parametrize("content", [WITH_ERROR, "id: [", "\tid: visit", "", "[]"])
def test_file_may_be_broken_at_first(file: Path, tmp_path: Path, content: str) -> None:
    """The survey is there as soon as the file is right."""
    file.write_text(content)
    folder = tmp_path / "preview"
    folder.mkdir()
    with contextlib.closing(Preview(file, folder)) as preview:
        broken = preview.state()
        assert broken["survey"] is None
        assert "error" in [finding["level"] for finding in broken["findings"]]
        file.write_text(SURVEY)
        right = preview.state()
        assert (right["survey"], right["current_step"], right["findings"]) == ("visit", "seen", [])


def test_warning_is_told_from_an_error(preview: Preview, file: Path) -> None:
    file.write_text(WITH_WARNING)
    assert preview.state()["findings"] == [
        {"level": "warning", "text": 'visit.yaml:3:8: warning: title has no text in de; write {en: "...", de: "..."}'}
    ]


def test_step_is_listed_with_the_first_paragraph_of_its_prompt(preview: Preview, file: Path) -> None:
    """What its page has as the heading; the whole text of a consent form would hide the other steps."""
    prompt = "**About** us, {{ coalesce(answers.waited, 'all') }}\\n\\nWe store:\\n\\n- answers\\n- nothing else"
    file.write_text(f'{SURVEY}  - {{id: read, type: info, prompt: "{prompt}"}}\nmarkdown: true\n')
    assert preview.state()["steps"][-1]["prompt"] == "About us, all"


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


def test_values_and_parameters_are_shown_and_parameters_set(preview: Preview, file: Path) -> None:
    """Of any source, with the answers that fit; the required ones have a sample until their author gives others."""
    file.write_text(WITH_PARAMETERS)
    begun = preview.state()
    assert [(each["name"], each["from"], each["text"]) for each in begun["parameters"]] == [
        ("clinic", "url", "1"),
        ("first_name", "invitation", ""),
        ("urgent", "api", "false"),
    ]
    assert begun["parameters"][0]["options"] == [{"text": "1", "label": "North"}, {"text": "2", "label": "South"}]
    assert begun["values"] == {"greeting": "dear guest", "minutes": None}
    preview.act("jump", "felt")
    texts = {"clinic": "2", "first_name": "Ada", "urgent": "true"}
    assert preview.act("parameters", texts) is None
    set_ = preview.state()
    assert {each["name"]: each["text"] for each in set_["parameters"]} == texts
    assert (set_["current_step"], set_["values"]["greeting"]) == ("felt", "Ada")
    assert preview.act("parameters", {**texts, "clinic": ""}) == "The parameter clinic is missing."
    assert preview.act("parameters", {**texts, "urgent": "maybe"}) == (
        "The parameter urgent is invalid. It must be yes or no (true or false)."
    )
    assert preview.state() == set_
    assert preview.act("restart", "") is None
    assert {each["name"]: each["text"] for each in preview.state()["parameters"]} == texts


def test_frame_has_the_parameters_in_its_heading(preview: Preview, file: Path) -> None:
    """Also those that its address can't have."""
    named = "{en: Your visit, de: Ihr Besuch}"
    file.write_text(WITH_PARAMETERS.replace(named, '"Welcome, {{ parameters.first_name }}"'))
    preview.state()
    preview.act("parameters", {"clinic": "1", "first_name": "Ada"})
    assert preview.state()["title"] == "Welcome, Ada"
    user = preview.state()["user"]
    assert "Welcome, Ada" in preview.app.test_client().get(f"/s/visit?user={user}").text


def test_parameter_without_a_known_sample_is_asked_for(preview: Preview, file: Path) -> None:
    """Until it is set, the page says what is missing, and its frame what participants read."""
    file.write_text(SURVEY + "parameters: {code: {type: text, from: url, pattern: '[A-Z]{3}-[0-9]{7}'}}\n")
    waiting = preview.state()
    assert (waiting["problem"], waiting["status"]) == ("The parameter code is missing.", "not begun")
    assert preview.act("jump", "felt") == "The parameter code is missing."
    assert preview.act("parameters", {"code": "ABC-1234567"}) is None
    assert (preview.state()["problem"], preview.state()["status"]) == (None, "in_progress")
    file.write_text(SURVEY + "parameters: {code: {type: text, from: url, pattern: '[A-Z]{4}-[0-9]{7}'}}\n")
    assert preview.state()["problem"] == "The parameter code is missing."


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_folder_is_removed_when_the_preview_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    """By Ctrl-C or SIGTERM; no settings of a server are taken."""
    with run_preview(tmp_path, by_command=True) as preview:
        assert preview.url.startswith("http://127.0.0.1:")
        assert len(list(preview.temporary.iterdir())) == 1
        assert preview.stop(number) == 0
        assert list(preview.temporary.iterdir()) == []
        assert not preview.server_database.exists()
