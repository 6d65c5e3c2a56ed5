"""Language tags."""

import re
from pathlib import Path

import pytest

from app.core.languages import best_match, direction
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
        *((language, "rtl") for language in "ar he iw fa ur ps sd ug yi dv ckb ks syr nqo prs arc".split()),  # noqa: SIM905 - a list of codes
        *((language, "rtl") for language in ("AR", "ar-EG", "he-IL", "fa-AF", "ar-x-latn", "ar-arz")),
        *((language, "rtl") for language in ("az-Arab", "az-IR", "pa-PK", "ku-arab", "uz-ARAB", "ms-Arab", "ff-Adlm")),
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


@pytest.mark.parametrize(
    ("wanted", "offered", "expected"),
    [
        ("de-AT", "en de", "de"),
        ("de-at", "de-AT de", "de-AT"),
        ("zh-TW", "en zh", "zh"),
        ("de", "en de-AT", "de-AT"),
        ("de-CH", "en de-AT", "de-AT"),
        ("zh-CN", "zh-Hant zh-Hans", "zh-Hans"),
        ("zh", "zh-Hant zh-Hans", "zh-Hans"),
        ("zh-TW", "zh-Hans zh-Hant", "zh-Hant"),
        ("zh-HK", "zh-Hans zh-TW", "zh-TW"),
        ("zh-Hant", "zh-CN zh-TW", "zh-TW"),
        ("zh-Hant-CN", "zh-Hans", None),
        ("pt", "pt-PT pt-BR", "pt-BR"),
        ("pt-AO", "pt-PT pt-BR", "pt-PT"),
        ("en-GB", "en-US en-AU", "en-US"),
        ("sr-Latn", "sr", "sr"),
        ("sr", "sr-Latn en", None),
        ("sr-ME", "sr-Cyrl sr-Latn", "sr-Latn"),
        ("az-IR", "az-Latn", None),
        ("nb", "en no", "no"),
        ("no", "en nb", "nb"),
        ("iw", "en he", "he"),
        ("de", "en", None),
        ("de fr", "fr", "fr"),
        ("pt fr", "fr pt-BR", "pt-BR"),
        ("en-US en-GB", "en-AU en-GB", "en-GB"),
        ("de-x-private", "de-AT", "de-AT"),
        ("tlh", "en", None),
        ("tlh-AT", "tlh-DE", "tlh-DE"),
    ],
)
def test_best_match_is_the_nearest_that_is_offered(wanted: str, offered: str, expected: str | None) -> None:
    """A tag or its parents (RFC 4647's lookup), else the same language in the script that the wish likely means."""
    assert best_match(wanted.split(), offered.split()) == expected


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
