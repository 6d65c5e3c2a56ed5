"""``flask surveys preview``: a survey file in the browser while its author writes it."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.accessibility import DESK, PHONE, assert_accessible, in_every_appearance
from tests.previews import SURVEY, WITH_ERROR, WITH_PARAMETERS, WITH_WARNING, RunningPreview, run_preview
from tests.waiting import START_S, wait_for


@pytest.fixture
def preview(tmp_path: Path) -> Iterator[RunningPreview]:
    with run_preview(tmp_path) as running:
        yield running


@pytest.fixture
def page(preview: RunningPreview, context: BrowserContext) -> Page:
    """Return the author's page."""
    page = context.new_page()
    page.goto(preview.url)
    return page


def test_state_is_shown_beside_the_page_as_it_changes(page: Page) -> None:
    """Answers, route, version, drafts; the page is the participants' own."""
    survey = page.frame_locator("#survey")
    expect(survey.get_by_role("heading", name="Did you see a doctor?")).to_be_visible()
    survey.get_by_text("Yes", exact=True).click()
    survey.get_by_role("button", name="Next").click()
    expect(survey.get_by_role("heading", name="How do you feel?")).to_be_visible()
    expect(page.locator("#answers")).to_have_text('{\n  "seen": true\n}')
    expect(page.locator("#route")).to_have_text("seen → felt")
    survey.get_by_role("textbox").fill("Well")
    expect(page.locator("#drafts")).to_have_text('{\n  "felt": "Well"\n}')
    page.get_by_role("button", name="Restart").click()
    expect(page.locator("#answers")).to_have_text("{}")
    expect(survey.get_by_role("heading", name="Did you see a doctor?")).to_be_visible()


def test_author_jumps_to_any_step_and_switches_the_language(page: Page) -> None:
    """The steps before it are answered so that the route leads there."""
    survey = page.frame_locator("#survey")
    expect(survey.get_by_role("heading", name="Did you see a doctor?")).to_be_visible()
    page.get_by_role("button", name="waited: How long did you wait?").click()
    expect(survey.get_by_role("heading", name="How long did you wait?")).to_be_visible()
    expect(page.locator("#answers")).to_have_text('{\n  "seen": false\n}')
    page.get_by_label("Language").select_option("de")
    expect(survey.get_by_role("heading", name="Wie lange haben Sie gewartet?")).to_be_visible()
    page.get_by_role("button", name="seen: Waren Sie beim Arzt?").click()
    expect(survey.get_by_role("heading", name="Waren Sie beim Arzt?")).to_be_visible()


def test_author_sets_parameters_and_sees_values(page: Page, preview: RunningPreview) -> None:
    """Values as the answers change; a wrong parameter changes nothing."""
    preview.file.write_text(WITH_PARAMETERS)
    values = page.locator("#values")
    expect(values).to_have_text('{\n  "greeting": "dear guest",\n  "minutes": null\n}')
    page.get_by_role("textbox", name="first_name").fill("Ada")
    page.get_by_role("textbox", name="first_name").press("Enter")
    expect(values).to_contain_text('"greeting": "Ada"')
    page.get_by_label("clinic").select_option("South")
    page.get_by_role("button", name="waited: How long did you wait?").click()
    survey = page.frame_locator("#survey")
    survey.get_by_role("textbox").fill("20")
    survey.get_by_role("button", name="Next").click()
    expect(values).to_contain_text('"minutes": 20')
    page.get_by_label("clinic").select_option("")
    expect(page.get_by_role("alert")).to_have_text("The parameter clinic is missing.")
    expect(values).to_contain_text('"minutes": 20')


def test_changed_file_is_shown_at_once_and_a_broken_one_with_its_findings(page: Page, preview: RunningPreview) -> None:
    """The answers that still fit stay; while the file is broken, the survey stays as it was."""
    survey = page.frame_locator("#survey")
    page.get_by_role("button", name="waited: How long did you wait?").click()
    expect(survey.get_by_role("heading", name="How long did you wait?")).to_be_visible()
    preview.file.write_text(SURVEY.replace("How long did you wait?", "For how many minutes?"))
    expect(survey.get_by_role("heading", name="For how many minutes?")).to_be_visible()
    expect(page.locator("#answers")).to_have_text('{\n  "seen": false\n}')
    preview.file.write_text(WITH_ERROR)
    expect(page.locator("#findings")).to_contain_text("step waited: unknown field promt; did you mean prompt?")
    expect(survey.get_by_role("heading", name="For how many minutes?")).to_be_visible()
    preview.file.write_text(SURVEY)
    expect(page.locator("#findings")).to_be_hidden()
    expect(survey.get_by_role("heading", name="How long did you wait?")).to_be_visible()


def test_file_that_is_broken_at_first_is_shown_once_it_is_right(context: BrowserContext, tmp_path: Path) -> None:
    """Until then the findings have the whole page."""
    with run_preview(tmp_path, WITH_ERROR) as preview:
        page = context.new_page()
        page.goto(preview.url)
        expect(page.get_by_role("heading", name="visit.yaml has no survey yet")).to_be_visible()
        expect(page.get_by_role("status")).to_contain_text("step waited: unknown field promt; did you mean prompt?")
        expect(page.get_by_role("button")).to_have_count(0)
        preview.file.write_text(SURVEY)
        survey = page.frame_locator("#survey")
        expect(survey.get_by_role("heading", name="Did you see a doctor?")).to_be_visible()
        expect(page.locator("#findings")).to_be_hidden()


def test_warnings_do_not_look_like_errors(page: Page, preview: RunningPreview) -> None:
    """Nor do they touch what follows."""
    findings = page.locator("#findings")
    colors = {}
    for level, content in (("warning", WITH_WARNING), ("error", WITH_ERROR)):
        preview.file.write_text(content)
        expect(findings.locator("summary")).to_contain_text(f"1 {level}")
        colors[level] = findings.evaluate("(box) => getComputedStyle(box).borderInlineStartColor")
        gap = "(box) => document.querySelector('.controls').getBoundingClientRect().top - box.getBoundingClientRect().bottom"
        assert findings.evaluate(gap) >= 8
    assert colors["warning"] != colors["error"]


def test_page_has_most_of_a_phone_s_screen(page: Page, preview: RunningPreview) -> None:
    """What is about it is closed below, until its author opens it or the file is broken."""
    page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    preview.file.write_text(WITH_WARNING)
    expect(page.get_by_text("1 warning", exact=True)).to_be_visible()
    survey = page.locator("#survey")
    assert survey.evaluate("(frame) => frame.offsetHeight / innerHeight") > 0.8
    assert survey.evaluate("(frame) => frame.offsetWidth") == PHONE["width"]
    expect(page.get_by_label("Language")).to_be_hidden()
    page.get_by_text("Steps and state").click()
    page.get_by_role("button", name="waited: How long did you wait?").click()
    expect(page.frame_locator("#survey").get_by_role("heading", name="How long did you wait?")).to_be_visible()
    preview.file.write_text(WITH_ERROR)
    expect(page.get_by_text("step waited: unknown field promt")).to_be_in_viewport()
    page.set_viewport_size({"width": DESK["width"], "height": DESK["height"]})
    expect(page.get_by_label("Language")).to_be_visible()


@in_every_appearance
def test_preview_is_accessible(
    preview: RunningPreview, new_context: Callable[..., BrowserContext], scheme: Any, viewport: Any
) -> None:
    """Whatever is open, also with errors and warnings."""
    page = new_context(color_scheme=scheme, viewport=viewport).new_page()

    def views() -> Iterator[str]:
        page.goto(preview.url)
        expect(page.frame_locator("#survey").get_by_role("heading", name="Did you see a doctor?")).to_be_visible()
        yield "survey"
        preview.file.write_text(WITH_PARAMETERS)
        expect(page.locator("#values")).to_contain_text("dear guest")
        page.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
        yield "parameters and values"
        for content, shown in ((WITH_WARNING, "1 warning"), (WITH_ERROR, "1 error")):
            preview.file.write_text(content)
            expect(page.locator("#findings summary")).to_contain_text(shown)
            page.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
            yield shown

    assert_accessible(page, views(), display_depends_on_size=True)


def test_preview_is_on_loopback_only_and_keeps_nothing(tmp_path: Path) -> None:
    """It takes no settings of a server, and removes its folder."""
    with run_preview(tmp_path, by_command=True) as preview:
        assert httpx.get(f"{preview.url}/state").json()["survey"] == "visit"
        address = urlsplit(preview.url)
        assert address.hostname == "127.0.0.1"
        assert address.port is not None
        with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.2", address.port), START_S):
            pass
        assert httpx.get(f"{preview.url}/state", headers={"Host": "survey.example.org"}).status_code == 403
        assert len(list(preview.temporary.iterdir())) == 1
        preview.stop()
        wait_for(lambda: not list(preview.temporary.iterdir()), "the folder was not removed")
        assert not preview.server_database.exists()
