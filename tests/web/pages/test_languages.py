"""The language of the participant's pages: the survey's texts and the server's own."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.core.languages import text
from app.sessions.service import open_store
from app.settings import Settings
from app.web.factory import create_app
from tests.databases import create_sqlite

SURVEY = """
id: visit
title: {en: Your visit, sv: Ditt besök, ar: زيارتك}
description: {en: Two questions, sv: Två frågor}
language: en
languages: [en, sv, ar]
steps: [{id: S1, type: boolean, prompt: {en: Well, sv: Bra, ar: بخير}}]
"""

SWEDISH = {"page": {"skip": "Hoppa över"}, "pages": {"index": {"heading": "Enkäter"}}}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    """The application in development, with a survey in three languages and an operator's Swedish texts."""
    for folder in ("surveys", "texts"):
        (tmp_path / folder).mkdir()
    (tmp_path / "surveys" / "visit.yaml").write_text(SURVEY, encoding="utf-8")
    (tmp_path / "texts" / "sv.json").write_text(json.dumps(SWEDISH), encoding="utf-8")
    settings = Settings(
        database_url=create_sqlite(tmp_path / "test.db"),
        surveys_dir=tmp_path / "surveys",
        languages_dir=tmp_path / "texts",
        environment="development",
    )
    store = open_store(settings)
    yield create_app(settings, store).test_client()
    store.close()


def get(client: FlaskClient, path: str, accepted: str = "") -> TestResponse:
    headers = {"Accept-Language": accepted} if accepted else {}
    return client.get(path, base_url="http://127.0.0.1:8000", headers=headers)


def root(answer: TestResponse) -> tuple[str, str]:
    ((language, direction),) = re.findall(r'<html lang="([^"]+)" dir="([a-z]+)">', answer.text)
    return language, direction


@pytest.mark.parametrize(
    ("path", "accepted", "language"),
    [
        ("/s/visit", "", "en"),
        ("/s/visit", "sv-FI, en;q=0.8", "sv"),  # the parent of the best tag comes before the next tag
        ("/s/visit", "en;q=0.3, sv;q=0.7", "sv"),
        ("/s/visit", "fr, pt-BR;q=0.9", "en"),  # the survey has neither
        ("/s/visit", "sv;q=0, ar;q=0.1", "ar"),
        ("/s/visit", "fr, sv;q=0", "en"),  # not acceptable (RFC 9110, 12.4.2)
        ("/s/visit?lang=ar", "sv", "ar"),
        ("/s/visit?lang=fr", "sv", "sv"),
        ("/s/visit?lang=%3Cb%3E", "!!", "en"),
        ("/", "sv-SE", "sv"),
        ("/left?lang=sv", "en", "sv"),
        ("/resume", "xx", "en"),
        ("/s/none", "sv", "sv"),
    ],
)
def test_the_language_of_a_page_is_the_best_that_is_offered(
    client: FlaskClient, path: str, accepted: str, language: str
) -> None:
    """`?lang=`, else Accept-Language by quality and nearness, else the survey's own language, or English."""
    answer = get(client, path, accepted)
    assert root(answer)[0] == language
    assert answer.headers["Content-Language"] == language
    assert "Accept-Language" in answer.headers["Vary"]


def test_the_survey_and_the_page_have_the_same_language(client: FlaskClient) -> None:
    """The server's own texts are English where its language file lacks them."""
    answer = get(client, "/s/visit", "sv")
    assert "Ditt besök" in answer.text
    assert "Två frågor" in answer.text
    assert "Hoppa över" in answer.text
    assert text("sv", "page.done.heading") == text("en", "page.done.heading")
    assert text("en", "page.done.heading") in answer.text


def test_a_page_runs_from_right_to_left_in_such_a_language(client: FlaskClient) -> None:
    """The direction follows the language that is shown."""
    assert root(get(client, "/s/visit?lang=ar")) == ("ar", "rtl")
    assert "زيارتك" in get(client, "/s/visit?lang=ar").text


def test_the_list_names_the_languages_of_a_survey(client: FlaskClient) -> None:
    """Each by its own name, and the survey in the reader's language."""
    listed = get(client, "/", "sv").text
    assert "Ditt besök" in listed
    assert re.findall(r'<bdi lang="([a-z]+)">([^<]+)</bdi>', listed) == [
        ("en", "English"),
        ("sv", "svenska"),
        ("ar", "العربية"),
    ]


def test_rest_has_a_survey_in_a_language(client: FlaskClient) -> None:
    """`lang` alone chooses, since browsers send Accept-Language with every request of a script."""
    path = "/api/surveys/visit"
    shown = [get(client, path + query, "sv").json["survey"] for query in ("", "?lang=sv-FI", "?lang=fr")]
    assert [survey["title"] for survey in shown] == ["Your visit", "Ditt besök", "Your visit"]
    assert [survey["steps"][0]["prompt"] for survey in shown] == ["Well", "Bra", "Well"]
    assert shown[1]["languages"] == ["en", "sv", "ar"]
    assert get(client, "/api/surveys?lang=ar").json["surveys"][0]["title"] == "زيارتك"
    assert get(client, f"{path}?lang=%21").status_code == 422


@pytest.mark.parametrize(
    ("query", "detail"),
    [("", "The answer must be yes or no"), ("?survey=visit&lang=ar", text("ar", "refusals.must_be_boolean"))],
)
def test_rest_refuses_a_command_in_the_language_of_the_session(client: FlaskClient, query: str, detail: str) -> None:
    """`lang` or Accept-Language chose it when the session began."""
    command = {"type": "answer", "id": "a1", "step": "S1", "value": 3}
    path = f"/api/session/u{len(query)}/commands{query}"
    answer = client.post(path, json=command, base_url="http://127.0.0.1:8000")
    assert answer.status_code == 409
    assert answer.json["code"] == "invalid_answer"
    assert answer.json["detail"].startswith(detail)
