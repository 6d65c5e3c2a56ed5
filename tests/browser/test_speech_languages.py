"""What the page understands by voice in languages other than English."""

# ruff: noqa: RUF001 - digits and punctuation of other scripts are what is tested

from typing import Any

import pytest
from playwright.sync_api import Page

from app.core.languages import languages, page_texts
from tests.browser.participant import Participant, RunningServer
from tests.browser.test_speech import BOOLEAN, DATE, NUMBER, REMEDY, SCALE, SOME, TEXT, WEIGHT, interpret, options

pytestmark = pytest.mark.browser

NORMALIZE = """async ([language, phrases]) => {
  document.documentElement.lang = language;
  const { normalize } = await import("/assets/page/controls/speech.js");
  return phrases.map(normalize);
}"""

OWN_LANGUAGE: dict[str, list[tuple[dict[str, Any], str, object]]] = {
    "de": [
        ({"type": "time"}, "19 Uhr 30", {"value": "19:30"}),
        ({"type": "time"}, "7 Uhr", {"value": "07:00"}),
        ({"type": "datetime"}, "3. Mai 1980 um 7 Uhr 30", {"value": "1980-05-03T07:30"}),
        ({"type": "month"}, "Mai 1980", {"value": "1980-05"}),
        (NUMBER, "1.234", {"value": 1234}),
        (NUMBER, "1,234", {"value": 1.234}),
        (WEIGHT, "72,5 Kilogramm", {"value": 72.5}),
        (DATE, "3. Mai 1980", {"value": "1980-05-03"}),
        (DATE, "der dritte Mai 1980", {"value": "1980-05-03"}),
        (DATE, "am 3. Mai 1980", {"value": "1980-05-03"}),
        (DATE, "31. Februar 1980", None),
        (SOME, "Rest und Ice", {"value": ["a", 2]}),
        (REMEDY, "die zweite Antwort", {"value": 2}),
        (REMEDY, "Nummer 2.", {"value": 2}),
        (REMEDY, "die 2.", {"value": 2}),
        (REMEDY, "nicht die zweite", None),
        (BOOLEAN, "Ja, das stimmt.", {"value": True}),
        (BOOLEAN, "Nein", {"value": False}),
        (BOOLEAN, "yes", None),
        (SCALE, "Weiter!", {"command": "next"}),
        (SCALE, "Zurück", {"command": "back"}),
        (SCALE, "noch einmal", {"command": "repeat"}),
        (SCALE, "überspringen", {"command": "skip"}),
        (SCALE, "next", None),
        (TEXT, "next", {"value": "next"}),
    ],
    "fr": [
        ({"type": "time"}, "7 heures 30", {"value": "07:30"}),
        ({"type": "time"}, "7 heures du soir", {"value": "19:00"}),
        ({"type": "time"}, "midi", {"value": "12:00"}),
        (NUMBER, "1.234", None),
        (NUMBER, "72,5", {"value": 72.5}),
        (DATE, "le 1er mai 1980", {"value": "1980-05-01"}),
        (DATE, "3 août 1980", {"value": "1980-08-03"}),
        (SOME, "Rest et Ice", {"value": ["a", 2]}),
        (REMEDY, "la deuxième", {"value": 2}),
        (REMEDY, "la 2e réponse", {"value": 2}),
        (REMEDY, "numéro 2", {"value": 2}),
        (BOOLEAN, "Oui, c’est ça.", {"value": True}),
        (BOOLEAN, "non", {"value": False}),
        (SCALE, "Question suivante", {"command": "next"}),
        (SCALE, "précédent", {"command": "back"}),
    ],
    "es": [
        ({"type": "time"}, "7 y 30 de la tarde", {"value": "19:30"}),
        ({"type": "month"}, "mayo de 1980", {"value": "1980-05"}),
        (DATE, "3 de mayo de 1980", {"value": "1980-05-03"}),
        (DATE, "el 3 de mayo de 1980", {"value": "1980-05-03"}),
        (DATE, "el primero de mayo de 1980", {"value": "1980-05-01"}),
        (SOME, "Rest y Ice", {"value": ["a", 2]}),
        (REMEDY, "la 2.ª opción", {"value": 2}),
        (REMEDY, "el segundo", {"value": 2}),
        (BOOLEAN, "¡Sí, claro!", {"value": True}),
        (BOOLEAN, "No.", {"value": False}),
        (SCALE, "siguiente", {"command": "next"}),
        (SCALE, "otra vez", {"command": "repeat"}),
    ],
    "ar": [
        ({"type": "time"}, "٧:٣٠ مساء", {"value": "19:30"}),
        (NUMBER, "١٬٢٣٤", {"value": 1234}),
        (SCALE, "٧", {"value": 7}),
        (DATE, "٣ مايو ١٩٨٠", {"value": "1980-05-03"}),
        (SOME, "Rest وIce", {"value": ["a", 2]}),
        (options("choices", "الراحة", "الثلج"), "الراحة والثلج", {"value": ["الراحة", "الثلج"]}),
        (options("choices", "الراحة", "الثلج"), "والثلج", None),
        (REMEDY, "الخيار الثاني", {"value": 2}),
        (REMEDY, "ثاني خيار", {"value": 2}),
        (REMEDY, "رقم ٢", {"value": 2}),
        (BOOLEAN, "نَعَم", {"value": True}),
        (BOOLEAN, "لا", {"value": False}),
        (SCALE, "التالي", {"command": "next"}),
        (SCALE, "اعد السؤال", {"command": "repeat"}),
    ],
    "he": [
        (DATE, "3 במאי 1980", {"value": "1980-05-03"}),
        (options("choices", "מנוחה", "קרח"), "מנוחה וקרח", {"value": ["מנוחה", "קרח"]}),
    ],
    "ja": [
        ({"type": "time"}, "午後7時30分", {"value": "19:30"}),
        ({"type": "month"}, "1980年5月", {"value": "1980-05"}),
        (NUMBER, "７２", {"value": 72}),
        (DATE, "1980年5月3日", {"value": "1980-05-03"}),
        (DATE, "1980年13月3日", None),
        (REMEDY, "2番", {"value": 2}),
        (REMEDY, "二番目", {"value": 2}),
        (REMEDY, "選択肢2", {"value": 2}),
        (options("choices", "休息", "氷"), "休息、氷", {"value": ["休息", "氷"]}),
        (BOOLEAN, "はい、そうです。", {"value": True}),
        (BOOLEAN, "いいえ", {"value": False}),
        (SCALE, "次へ", {"command": "next"}),
        (SCALE, "もう一度", {"command": "repeat"}),
    ],
    "pl": [(NUMBER, "ten", None), (DATE, "3 May 1980", None), (DATE, "3 maja 1980", {"value": "1980-05-03"})],
    "tr": [(options("choice", "İyi", "Kötü"), "iyi", {"value": "İyi"})],
}


@pytest.fixture
def page(participant: Participant, server: RunningServer) -> Page:
    """A page that can import the survey page's modules."""
    participant.page.goto(f"{server.url}/s/phq9")
    return participant.page


@pytest.mark.parametrize("language", OWN_LANGUAGE)
def test_speech_is_understood_in_the_language_of_the_page(page: Page, language: str) -> None:
    """Words for numbers only in English: the Polish "ten" is no number."""
    cases = OWN_LANGUAGE[language]
    understood = interpret(page, [(step, speech) for step, speech, _ in cases], language)
    heard = zip(cases, understood, strict=True)
    assert [(speech, one) for (_, speech, expected), one in heard if one != expected] == []


def test_phrases_of_a_language_are_of_one_meaning(page: Page) -> None:
    """Else what a participant says would depend on the order of the commands."""
    keys = ["next", "back", "repeat", "skip", "yes", "no"]
    for language in languages():
        voice = page_texts(language)["voice"]
        found = page.evaluate(NORMALIZE, [language, [phrase for key in keys for phrase in voice[key]]])
        assert len(found) == len(set(found)), language
        assert len(voice["ordinals"]) == 20, language
