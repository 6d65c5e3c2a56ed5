"""The dashboard's pages in a real browser, in production: charts, filters, live figures, and the walk of a session."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.clinic import small_targets
from tests.browser.desk import Desk, Ward
from tests.browser.test_access import PHONE, fits, violations
from tests.waiting import wait_for

pytestmark = pytest.mark.browser

CHARTS = ("days", "funnel", "times", "ways", "modes", "revisions", "answers-Q1")


def ink(desk: Desk, figure: str) -> int:
    """Return how many points of a chart's canvas are not empty."""
    canvas = desk.page.locator(f"#{figure} canvas")
    canvas.scroll_into_view_if_needed()
    expect(canvas).to_be_visible()
    found: int = canvas.evaluate(
        """(canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
            .filter((value, at) => at % 4 === 3 && value > 0).length"""
    )
    return found


def test_charts_are_drawn_when_there_are_sessions(desk: Desk) -> None:
    """Each has ink, a name, a sentence that says the same, and a table; the browser refuses nothing of it."""
    desk.figures()
    for figure in CHARTS:
        section = desk.page.locator(f"#{figure}")
        section.scroll_into_view_if_needed()
        chart = section.get_by_role("img", name=section.get_by_role("heading").inner_text())
        expect(chart).to_have_attribute("aria-describedby", f"{figure}-summary")
        assert ink(desk, figure) > 500, figure
        assert len(section.locator(".says").inner_text()) > 20
        assert len(desk.table(figure)) >= 1
    assert desk.problems == []


def test_tables_say_the_numbers_of_the_api(desk: Desk) -> None:
    """By day, by step and by mode: what is read aloud is what was computed."""
    desk.figures()
    told = desk.asked("/api/surveys/phq9/analytics")
    expect(desk.tile("started")).to_have_text(str(told["sessions"]["started"]))
    expect(desk.tile("completed")).to_have_text(str(told["sessions"]["completed"]))
    assert desk.table("days") == [[day["day"], str(day["started"]), str(day["completed"])] for day in told["days"]]
    assert [row[1:4] for row in desk.table("funnel")] == [
        [str(step["reached"]), str(step["answered"]), str(step["left_here"])] for step in told["steps"]
    ]
    assert [row[1:3] for row in desk.table("modes")] == [
        [str(mode["started"]), str(mode["completed"])] for mode in told["modes"]
    ]
    first = told["steps"][0]["answers"]["distribution"]
    assert [row[:2] for row in desk.table("answers-Q1")] == [[one["label"], str(one["count"])] for one in first]


def test_filters_stand_in_the_address_and_survive_a_reload(desk: Desk) -> None:
    """Chosen with the form, kept when the page is loaded again, undone by going back; downloads follow them."""
    desk.figures()
    everybody = desk.tile("started").inner_text()
    desk.page.get_by_label("Mode").select_option("audio")
    expect(desk.page).to_have_url(f"{desk.ward.url}/dashboard/surveys/phq9?mode=audio")
    audio = str(desk.asked("/api/surveys/phq9/analytics?mode=audio")["sessions"]["started"])
    assert audio != everybody
    expect(desk.tile("started")).to_have_text(audio)
    desk.page.reload()
    expect(desk.page.get_by_label("Mode")).to_have_value("audio")
    expect(desk.tile("started")).to_have_text(audio)
    expect(desk.page.get_by_role("link", name="SPSS")).to_have_attribute(
        "href", "/api/surveys/phq9/export?format=sav&mode=audio"
    )
    desk.page.go_back()
    expect(desk.page.get_by_label("Mode")).to_have_value("")
    expect(desk.tile("started")).to_have_text(everybody)


def test_filters_that_nothing_fits_leave_sentences_instead_of_charts(desk: Desk) -> None:
    """No empty axes: each chart says why it is not there."""
    desk.figures("?until=2020-01-01")
    expect(desk.tile("started")).to_have_text("0")
    expect(desk.page.locator("#days")).to_contain_text("No sessions yet")
    expect(desk.page.locator("#figures canvas")).to_have_count(0)
    expect(desk.page.locator("#figures details:visible")).to_have_count(0)


def test_new_session_is_seen_without_a_reload(context: BrowserContext, watched: Ward) -> None:
    """The page asks again by itself; while it is paused it does not, and what was opened stays open."""
    desk = Desk(context, watched, watched.key)
    desk.page.clock.install()
    desk.figures(survey="intake")
    before = desk.asked("/api/surveys/intake/analytics")["sessions"]["started"]
    expect(desk.tile("started")).to_have_text(str(before))
    begin(desk, "new-1")
    wait_for(lambda: later(desk, 10_000) == str(before + 1), lambda: "the new session was not shown")
    desk.page.locator("#days summary").click()
    desk.page.get_by_role("button", name="Pause updates").click()
    begin(desk, "new-2")
    asked: list[str] = []
    desk.page.on("request", lambda request: asked.append(request.url))
    desk.page.clock.run_for(120_000)
    assert asked == []
    desk.page.get_by_role("button", name="Pause updates").click()
    wait_for(lambda: later(desk, 10_000) == str(before + 2), lambda: "the updates did not go on")
    expect(desk.page.locator("#days details")).to_have_attribute("open", "")


def later(desk: Desk, passed_ms: int) -> str:
    """Let time pass in the page, with somebody there, and return how many sessions it then says were started."""
    desk.page.keyboard.press("Shift")
    desk.page.clock.run_for(passed_ms)
    return desk.tile("started").inner_text()


def begin(desk: Desk, user_id: str) -> None:
    """Begin a session of the intake, as a participant of elsewhere does."""
    answer = desk.page.request.post(
        f"{desk.ward.url}/api/session/{user_id}/commands?survey=intake",
        data=json.dumps({"type": "answer", "id": user_id, "step": "S1", "value": None}),
        headers={"Authorization": f"Bearer {desk.ward.key}", "Content-Type": "application/json"},
    )
    assert answer.status == 200


def test_updates_rest_when_nobody_was_there_for_long(context: BrowserContext, watched: Ward) -> None:
    """A page that is left open does not keep its sign-in open for ever; a touch wakes it."""
    desk = Desk(context, watched, watched.key)
    desk.page.clock.install()
    desk.figures()
    updated = desk.page.get_by_test_id("updated")

    def rests_later() -> bool:
        desk.page.clock.run_for(10_000)
        return "rest" in updated.inner_text()

    wait_for(rests_later, lambda: "the page went on asking")
    desk.page.keyboard.press("Shift")
    expect(updated).to_contain_text("Updated at")


def test_session_is_found_by_the_beginning_of_its_id(desk: Desk) -> None:
    """Typed, with the search in the address; its row leads to its walk."""
    desk.page.goto(f"{desk.ward.url}/dashboard/sessions?survey=phq9")
    desk.page.get_by_label("id begins with").fill("walk")
    expect(desk.page).to_have_url(f"{desk.ward.url}/dashboard/sessions?user_id_prefix=walk&survey=phq9")
    expect(desk.page.locator("#rows tr")).to_have_count(1)
    desk.page.reload()
    expect(desk.page.locator("#rows tr")).to_have_count(1)
    desk.page.get_by_role("link", name="walker").click()
    expect(desk.page.get_by_role("heading", name="One session")).to_be_visible()
    desk.page.goto(f"{desk.ward.url}/dashboard/sessions?user_id_prefix=nobody")
    expect(desk.page.locator("#found")).to_have_text("No session fits this search.")
    assert desk.problems == []


def test_figures_are_reached_with_a_keyboard_alone(desk: Desk) -> None:
    """Tab leads to each filter, each table and each download, and Enter opens a table."""
    desk.figures()
    reached: list[str] = []
    for _ in range(60):
        desk.page.keyboard.press("Tab")
        reached.append(
            str(desk.page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        )
        if reached[-1] == "Codebook":
            break
    for wanted in ("pause", "since", "until", "mode", "status", "revision", "The numbers as a table", "Codebook"):
        assert wanted in reached
    desk.page.locator("#days summary").focus()
    desk.page.keyboard.press("Enter")
    expect(desk.page.locator("#days table")).to_be_visible()


def test_key_that_was_revoked_is_told_so(context: BrowserContext, watched: Ward) -> None:
    """What is shown stays, with a sentence that says what to do; no more is asked."""
    desk = Desk(context, watched, watched.reading_key)
    desk.figures()
    expect(desk.page.get_by_role("heading", name="Download")).to_have_count(0)
    desk.page.route(
        "**/api/**", lambda route: route.fulfill(status=401, content_type="application/problem+json", body="{}")
    )
    desk.page.get_by_label("Status").select_option("completed")
    expect(desk.page.get_by_role("alert")).to_contain_text("sign-in has ended")


def every_view(desk: Desk) -> Iterator[str]:
    """Go through the pages behind the sign-in, and give the name of each when it is seen."""
    page = desk.page
    yield "overview"
    desk.figures()
    for summary in page.locator("#figures summary:visible").all():
        summary.click()
    yield "figures, with their tables"
    desk.figures("?until=2020-01-01")
    yield "no figures"
    page.goto(f"{desk.ward.url}/dashboard/sessions")
    expect(page.locator("#rows tr").first).to_be_visible()
    yield "sessions"
    desk.session("walker")
    yield "a session"
    page.goto(f"{desk.ward.url}/dashboard/sessions/phq9/nobody")
    yield "nothing"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 800}, PHONE], ids=["desk", "phone"])
def test_pages_are_accessible_when_axe_looks_at_them(
    new_context: Callable[..., BrowserContext], watched: Ward, scheme: Any, viewport: Any
) -> None:
    """No view has a violation that axe-core knows, in light and dark; none scrolls to the side; no target is small."""
    desk = Desk(new_context(color_scheme=scheme, viewport=viewport, reduced_motion="reduce"), watched, watched.key)
    found: dict[str, list[str]] = {}
    for name in every_view(desk):
        found[name] = violations(desk.page) + small_targets(desk.page)
        if not fits(desk.page):
            found[name].append("scrolls to the side")
    assert {name: problems for name, problems in found.items() if problems} == {}
