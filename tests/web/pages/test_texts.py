"""The texts that the page's scripts show."""

import json
import re
from pathlib import Path

import pytest

from app.core.languages import languages, text
from app.settings import Settings
from tests.databases import create_sqlite
from tests.web.production import App, production_app


def test_texts_of_the_page_are_embedded_in_its_language(app: App) -> None:
    """As data, which no content of a text can end."""
    page = app.request("GET", "/s/phq9").text
    (embedded,) = re.findall(r'<script type="application/json" id="texts"[^>]*>(.*?)</script>', page)
    assert json.loads(embedded)["language"] == "en"
    assert "<" not in embedded


def test_texts_are_sent_in_their_own_script(tmp_path: Path) -> None:
    r"""Escaped as \\u0627, those of an Arabic page were twice as long."""
    (tmp_path / "visit.yaml").write_text(
        "id: visit\ntitle: V\nlanguage: ar\nsteps: [{id: S1, type: text, prompt: P}]\n"
    )
    settings = Settings(database_url=create_sqlite(tmp_path / "texts.db"), surveys_dir=tmp_path)
    with production_app(settings) as app:
        for path in ("/s/visit", "/assets/texts/0/ar.json"):
            answer = app.request("GET", path)
            assert text("ar", "script.next") in answer.text
            assert r"\u06" not in answer.text


def test_texts_of_another_language_are_kept_for_good(app: App) -> None:
    """At the address of their version; of another version they are fetched each time."""
    url = re.findall(r'data-url="(/assets/texts/[0-9a-f]{16})"', app.request("GET", "/s/phq9").text)[0]
    answer = app.request("GET", f"{url}/ar.json")
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert (answer.json["language"], answer.json["direction"]) == ("ar", "rtl")
    assert app.request("GET", "/assets/texts/0/ar.json").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("asked", "found"), [("da", "en"), ("de-CH", "de"), ("PT-br", "pt")])
def test_texts_of_an_unknown_language_are_those_of_the_nearest(app: App, asked: str, found: str) -> None:
    """At the address of that language: no tag that a client makes up is kept or repeated."""
    assert asked not in languages()
    answer = app.request("GET", f"/assets/texts/0/{asked}.json")
    assert (answer.status_code, answer.headers["Location"]) == (302, f"/assets/texts/0/{found}.json")
    assert answer.headers["Cache-Control"] == "no-store"


def test_texts_of_a_surveys_language_without_a_catalogue_are_english_in_its_direction(tmp_path: Path) -> None:
    (tmp_path / "farsi.yaml").write_text(
        "id: farsi\ntitle: F\nlanguage: fa\nsteps: [{id: S1, type: text, prompt: P}]\n"
    )
    settings = Settings(database_url=create_sqlite(tmp_path / "texts.db"), surveys_dir=tmp_path)
    with production_app(settings) as app:
        found = app.request("GET", "/assets/texts/0/fa.json").json
        assert (found["language"], found["direction"]) == ("fa", "rtl")
        assert found["texts"] == app.request("GET", "/assets/texts/0/en.json").json["texts"]


@pytest.mark.parametrize("language", ["de-" + "a-" * 2000 + "a", "a" * 36, "!", "d", "de_AT", "de%0A"])
def test_texts_of_what_is_not_a_language_do_not_exist(app: App, language: str) -> None:
    """A tag has at most 35 characters (BCP 47, 4.4.1)."""
    assert app.request("GET", f"/assets/texts/0/{language}.json").status_code == 404
