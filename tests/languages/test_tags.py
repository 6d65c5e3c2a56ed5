"""Language tags."""

import re
from pathlib import Path

import pytest

from app.languages import direction
from app.sessions.service import open_store
from app.settings import Settings
from app.web.factory import create_app

SURVEY = """
id: {id}
title: {title}
language: {language}
steps: [{{id: S1, type: boolean, prompt: "?"}}]
"""


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        *((language, "rtl") for language in "ar he iw fa ur ps sd ug yi dv ckb ks syr nqo prs".split()),  # noqa: SIM905 - a list of codes
        *((language, "rtl") for language in ("AR", "ar-EG", "he-IL", "fa-AF", "ar-x-latn", "ar-arz")),
        *((language, "rtl") for language in ("az-Arab", "pa-Arab-PK", "ku-arab", "uz-ARAB", "ms-Arab", "ff-Adlm")),
        *(
            (language, "ltr")
            for language in ("en", "de-AT", "zh-Hant", "tr", "hi", "ku", "az", "arn", "he-Latn", "sd-Deva")
        ),
        *((language, "ltr") for language in ("en-x-arab", "de-CH-1901", "sr-Latn-RS")),
    ],
)
def test_direction_is_that_of_the_script(language: str, expected: str) -> None:
    """The tag's script counts, then the language's usual one."""
    assert direction(language) == expected


def test_pages_have_the_direction_of_the_survey(tmp_path: Path) -> None:
    """The survey's page as a whole; in the list of surveys each survey has its own."""
    surveys = tmp_path / "surveys"
    surveys.mkdir()
    for id_, title, language in (("visit", "Your visit", "en"), ("ziyara", "زيارتك", "ar")):
        (surveys / f"{id_}.yaml").write_text(SURVEY.format(id=id_, title=title, language=language), encoding="utf-8")
    store = open_store(
        Settings(database_url=f"sqlite:///{tmp_path / 'test.db'}", surveys_dir=surveys, environment="development")
    )
    client = create_app(store.settings, store).test_client()
    base = "http://127.0.0.1:8000"
    pages = {path: client.get(path, base_url=base).text for path in ("/", "/s/visit", "/s/ziyara", "/s/none")}
    store.close()
    roots = {path: re.findall(r'<html lang="([a-z]+)" dir="([a-z]+)">', text) for path, text in pages.items()}
    assert roots == {
        "/": [("en", "ltr")],
        "/s/visit": [("en", "ltr")],
        "/s/ziyara": [("ar", "rtl")],
        "/s/none": [("en", "ltr")],
    }
    assert re.findall(r'<li [^>]*lang="([a-z]+)" dir="([a-z]+)"', pages["/"]) == [("en", "ltr"), ("ar", "rtl")]
