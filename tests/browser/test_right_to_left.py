"""A survey in Arabic: the page runs from right to left, and takes the digits that people type."""

# ruff: noqa: RUF001 - Arabic digits are what is tested

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, expect

from tests.browser.accessibility import PHONE, assert_accessible
from tests.browser.participant import Participant
from tests.conftest import Server

pytestmark = pytest.mark.browser

SURVEY = """
id: ziyara
title: قبل زيارتك
language: ar
steps:
  - {id: pain, type: scale, prompt: ما شدة الألم؟, min: 1, max: 7, min_label: لا ألم, max_label: الأسوأ}
  - {id: weight, type: number, prompt: كم وزنك؟, unit: كغ, min: 1, max: 400}
  - {id: problem, type: text, prompt: ما المشكلة؟}
"""


@pytest.fixture
def arabic_server(tmp_path: Path) -> Iterator[Server]:
    """A server with this survey."""
    surveys = tmp_path / "surveys"
    surveys.mkdir()
    (surveys / "ziyara.yaml").write_text(SURVEY, encoding="utf-8")
    server = Server(tmp_path, surveys)
    server.start()
    yield server
    server.stop()


def left(element: Locator) -> float:
    """Return the distance of an element from the left edge of the window."""
    box = element.bounding_box()
    assert box is not None
    return box["x"]


def test_page_in_arabic_runs_from_right_to_left(
    arabic_server: Server, new_context: Callable[..., BrowserContext]
) -> None:
    """Beginnings are on the right: the first point of a scale, the way back, and what is typed."""
    participant = Participant(new_context(viewport=PHONE), arabic_server.url)
    page = participant.page
    views = []

    def walk() -> Iterator[str]:
        participant.open("ziyara")
        participant.expect_step("pain")
        points = page.locator("#step label.choice")
        assert left(points.first) > left(points.nth(1)) > left(points.nth(2))
        assert left(page.get_by_text("1: لا ألم")) > left(page.get_by_text("7: الأسوأ"))
        yield "scale"
        participant.answer("pain", "7")
        participant.expect_step("weight")
        assert left(page.locator("#back")) > left(page.locator("#position")) > left(page.locator("#save"))
        expect(page.locator("#back svg")).to_have_css("transform", "matrix(-1, 0, 0, 1, 0, 0)")
        participant.type("٧٢٫٥")
        expect(participant.field()).to_have_css("text-align", "right")
        yield "number"
        participant.next()
        participant.expect_step("problem")
        expect(participant.field()).to_have_css("direction", "rtl")
        expect(participant.field()).to_have_css("unicode-bidi", "plaintext")
        page.locator("#answers-panel summary").click()
        expect(page.locator("#answers dt").first).to_have_css("unicode-bidi", "plaintext")  # prompts in other languages
        yield "answers"
        views.append("all")

    assert_accessible(page, walk())
    assert views == ["all"]
    assert participant.answered("ziyara") == [("pain", 7), ("weight", 72.5)]
