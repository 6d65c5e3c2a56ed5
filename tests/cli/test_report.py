"""``flask report``: a self-contained page, CSV files, and JSON."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import flask
import pytest
from flask.testing import FlaskCliRunner

from app.sessions.service import SessionStore
from app.survey.commands import Answer, Back, Begin, Save
from app.survey.snapshot import SessionKey
from app.web.rest.analytics import Analytics

ANN, BEN = SessionKey("intake", "ann-of-ward-7"), SessionKey("intake", "ben")
WORDS = "my knee hurts & it is a secret"


@pytest.fixture
def store(store: SessionStore) -> SessionStore:
    """Return a store with a session of five answers, and a shorter one in audio mode."""
    at = store.clock()
    answers = {"S1": None, "S2": "1980-02-29", "S3": "A new problem", "S4": WORDS, "S5": 7}
    turns = [Answer(at=at + n * 1_000_000, step=step, value=value) for n, (step, value) in enumerate(answers.items())]
    results = store.turns.submit_many(
        [(ANN, Begin(at=at)), *((ANN, turn) for turn in turns), (ANN, Back(at=at + 9_000_000))]
    )
    results += store.turns.submit_many(
        [(BEN, Begin(at=at, is_audio_mode=True)), (BEN, Answer(at=at, step="S1", value=None))]
    )
    assert not [result for result in results if isinstance(result, Exception)]
    return store


class Page(HTMLParser):
    """Parses a page: its tags, and the URLs that it would load."""

    VOID = frozenset({"meta", "br", "rect", "line"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [str(value) for name, value in attrs if name in {"src", "href", "srcset", "data", "xlink:href"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_self_contained_and_anonymous(run: FlaskCliRunner, tmp_path: Path) -> None:
    """No scripts, URLs, user ids or free texts; each chart has its table."""
    file = tmp_path / "report.html"
    done = run.invoke(args=["report", "intake", "--output", str(file)])
    assert done.exit_code == 0, done.output
    text = file.read_text()
    page = Page(text)
    assert (page.open, page.loads) == ([], [])
    assert "script" not in page.tags
    assert not re.search(r"url\(|@import", text)
    assert page.tags.count("svg") >= 5
    assert page.tags.count("table") >= page.tags.count("svg")
    assert all(word not in text for word in ("ann-of-ward-7", "ben", "secret", "knee"))
    assert "Before your visit" in text
    assert "What is the problem, in your own words?" in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_csv_files_have_the_values_of_rest(run: FlaskCliRunner, tmp_path: Path) -> None:
    """A missing folder is created; each file has a header."""
    folder = tmp_path / "created" / "report"
    done = run.invoke(args=["report", "intake", "--csv", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    Analytics.model_validate(summary)
    assert summary["sessions"]["started"] == 2
    assert sorted(path.name for path in folder.iterdir()) == [
        "answers.csv",
        "bins.csv",
        "days.csv",
        "languages.csv",
        "modes.csv",
        "revisions.csv",
        "sessions.csv",
        "steps.csv",
    ]
    with (folder / "steps.csv").open(newline="", encoding="utf-8") as lines:
        steps = {row["step"]: row for row in csv.DictReader(lines)}
    assert (steps["S1"]["reached"], steps["S1"]["answered"]) == ("2", "2")
    assert (steps["S5"]["backs"], steps["S5"]["left_here"]) == ("1", "1")
    assert steps["S4"]["length_max"] == str(len(WORDS))
    assert steps["S4"]["number_min"] == ""


def test_filters_select_sessions(run: FlaskCliRunner) -> None:
    """By mode and time; an invalid time is refused."""
    args = ["report", "intake", "--json"]
    assert json.loads(run.invoke(args=[*args, "--mode", "audio"]).stdout)["sessions"]["started"] == 1
    assert json.loads(run.invoke(args=[*args, "--until", "2001-01-01"]).stdout)["sessions"]["started"] == 0
    refused = run.invoke(args=[*args, "--since", "yesterday"])
    assert refused.exit_code == 2
    assert "since must be a day" in refused.stderr


def test_report_is_refused_when_it_can_not_be_written(run: FlaskCliRunner, tmp_path: Path) -> None:
    """Without an output, for an unknown survey, or into a file that is no folder."""
    assert run.invoke(args=["report", "intake"]).exit_code == 2
    gone = run.invoke(args=["report", "nosuch", "--json"])
    assert gone.exit_code != 0
    assert "nosuch" in gone.stderr
    (tmp_path / "file").write_text("")
    refused = run.invoke(args=["report", "intake", "--output", str(tmp_path / "file" / "report.html")])
    assert refused.exit_code == 1
    assert "can't be written" in refused.stderr


def test_report_is_recorded_in_the_audit_log(run: FlaskCliRunner) -> None:
    """As reading answers is."""
    run.invoke(args=["report", "intake", "--json"])
    log = [json.loads(line) for line in run.invoke(args=["audit", "--json"]).output.splitlines()]
    assert [(entry["action"], entry["survey_id"]) for entry in log] == [("analytics_read", "intake")]


def test_formulas_and_markup_are_escaped(app: flask.Flask, tmp_path: Path) -> None:
    """In names of steps, which clients that save a state choose."""
    store: SessionStore = app.extensions["stepkeep"].store
    step = '=HYPERLINK("http://x")<b>'
    save = Save(
        at=store.clock(), current_step=step, answers={}, step_history=(), is_audio_mode=False, session_data=None
    )
    store.turns.submit(BEN, save)
    file = tmp_path / "report.html"
    run = app.test_cli_runner()
    done = run.invoke(args=["report", "intake", "--csv", str(tmp_path / "report"), "--output", str(file)])
    assert done.exit_code == 0, done.output
    assert "'=HYPERLINK" in (tmp_path / "report" / "steps.csv").read_text()
    assert "<b>HYPERLINK" not in file.read_text()
    assert "&lt;b&gt;" in file.read_text()
    assert Page(file.read_text()).open == []
