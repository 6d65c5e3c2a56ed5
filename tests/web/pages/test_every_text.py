"""No page of a participant has a text of its own that is not in the language file (tests/core/languages/pseudo.py)."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.languages import use_directory
from app.errors import DatabaseUnavailable
from app.settings import Settings
from app.web.authentication import Authenticator
from tests.conftest import ROOT
from tests.core.languages.pseudo import PSEUDO, english_texts, write_pseudo_catalogue
from tests.databases import create_sqlite
from tests.web.production import App, production_app

SURVEY = f"""
id: greek
title: Επίσκεψη
language: {PSEUDO}
steps: [{{id: S1, type: boolean, prompt: Καλά}}]
"""

SCRIPTS = ROOT / "app" / "web" / "static" / "page"
COMMENT = re.compile(r"/\*.*?\*/|(?<!:)//[^\n]*", re.DOTALL)
LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`')
SENTENCE = re.compile(r"\b[A-Z][a-z]+|[a-z]+ [a-z]+ [a-z]+")
NO_TEXTS = re.compile(
    r"stepkeep: .*"  # the browser's console
    r"|Content-Type|Authorization|Bearer \$\{token\}|SpeechSynthesisUtterance"
    r"|(zero|seventeen|_ _ twenty) .*"  # words for numbers, in English only
    r"|\$\{(year|String\(hours\)).*"
    r"|True|False|.*BigInt.*"  # CEL's words, numbers
    r"|Enter|Escape|Tab|ArrowUp|ArrowDown"  # keys
)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """The application in production with a survey in Greek letters, for shared devices and in frames."""
    for folder in ("surveys", "languages"):
        (tmp_path / folder).mkdir()
    (tmp_path / "surveys" / "greek.yaml").write_text(SURVEY, encoding="utf-8")
    write_pseudo_catalogue(tmp_path / "languages")
    settings = Settings(
        database_url=create_sqlite(tmp_path / "test.db"),
        surveys_dir=tmp_path / "surveys",
        languages_dir=tmp_path / "languages",
        kiosk_minutes=5,
        frame_ancestors="https://clinic.example",
    )
    with production_app(settings) as app:
        yield app
    use_directory(None)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/s/greek", 200),
        ("/s/nothing", 404),
        ("/resume", 200),
        ("/left", 200),
        ("/embed/greek", 200),
        ("/embed/greek/page", 200),
    ],
)
def test_page_has_no_text_outside_the_catalogue(app: App, path: str, status: int) -> None:
    answer = app.request("GET", path, headers={"Accept-Language": PSEUDO})
    assert (answer.status_code, english_texts(answer.text)) == (status, [])


def test_page_of_an_expired_link_has_no_text_outside_the_catalogue(app: App) -> None:
    headers = {"Accept-Language": PSEUDO, "Cookie": "__Host-stepkeep.greek=invalid"}
    answer = app.request("GET", "/s/greek", headers=headers)
    assert (answer.status_code, english_texts(answer.text)) == (401, [])


def test_refusal_of_another_sites_form_has_no_text_outside_the_catalogue(app: App) -> None:
    answer = app.request("POST", "/s/greek/anew", headers={"Accept-Language": PSEUDO, "Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, english_texts(answer.text)) == (403, [])


def test_page_of_an_outage_has_no_text_outside_the_catalogue(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A participant with a link is not shown JSON."""

    def fail(*_: object) -> None:
        raise DatabaseUnavailable("test")

    monkeypatch.setattr(Authenticator, "current_participant", fail)
    answer = app.request("GET", "/s/greek", headers={"Accept-Language": PSEUDO})
    assert (answer.status_code, answer.mimetype, answer.headers["Retry-After"]) == (503, "text/html", "5")
    assert english_texts(answer.text) == []


def test_scripts_of_the_page_have_no_texts() -> None:
    """They show those of the language file."""
    found = []
    for script in sorted(SCRIPTS.glob("**/*.js")):
        literals = LITERAL.findall(COMMENT.sub("", script.read_text(encoding="utf-8")))
        texts = [text for pair in literals for text in pair if SENTENCE.search(text)]
        found += [(script.name, text) for text in texts if not NO_TEXTS.fullmatch(text)]
    assert found == []


def test_english_on_a_page_is_found() -> None:
    """In texts and attributes, but not in scripts, addresses and names."""
    page = '<p id="a">Stepkeep <script>one()</script><a href="/s/visit" aria-label="Edit">Ω</a> or Ελλ</p>'
    assert english_texts(page) == ["Edit", "or Ελλ"]
