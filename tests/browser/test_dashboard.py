"""The dashboard's pages in production: charts, filters, automatic refresh and the list of sessions."""

import json
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, expect

from app.survey.commands import Begin
from app.survey.snapshot import SessionKey
from tests.browser.accessibility import assert_accessible, in_every_appearance
from tests.browser.desk import Desk, Ward
from tests.waiting import wait_for

pytestmark = pytest.mark.browser

CHARTS = ("days", "funnel", "times", "edits", "modes", "revisions", "answers-Q1", "value-total", "value-severity")


def drawn_pixels(desk: Desk, figure: str) -> int:
    """Return the number of pixels drawn on a chart's canvas."""
    canvas = desk.page.locator(f"#{figure} canvas")
    canvas.scroll_into_view_if_needed()
    expect(canvas).to_be_visible()
    count: int = canvas.evaluate(
        """(canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
            .filter((value, at) => at % 4 === 3 && value > 0).length"""
    )
    return count


def test_charts_are_drawn_when_there_are_sessions(desk: Desk) -> None:
    """Each has pixels, an accessible name, a summary and a table, without errors in the console."""
    desk.open_analytics()
    for figure in CHARTS:
        section = desk.page.locator(f"#{figure}")
        section.scroll_into_view_if_needed()
        chart = section.get_by_role("img", name=section.get_by_role("heading").inner_text())
        expect(chart).to_have_attribute("aria-describedby", f"{figure}-summary")
        assert drawn_pixels(desk, figure) > 500, figure
        assert len(section.locator(".summary").inner_text()) > 20
        assert len(desk.table(figure)) >= 1
    assert desk.problems == []


def test_printing_shows_every_chart(desk: Desk) -> None:
    """Charts far below the window are drawn too, and a report for paper is offered."""
    desk.open_analytics()
    expect(desk.page.get_by_text("flask report phq9 --output report.html")).to_be_visible()
    charts = desk.page.locator(".canvas:visible")
    assert charts.count() > desk.page.locator(".canvas[data-drawn]:visible").count()
    desk.page.pdf()
    for chart in charts.all():
        expect(chart).to_have_attribute("data-drawn", "1")
        pixels = chart.locator("canvas").evaluate(
            """(canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
                .filter((value, at) => at % 4 === 3 && value > 0).length"""
        )
        assert pixels > 500
    assert desk.problems == []


def test_tables_have_the_numbers_of_the_api(desk: Desk) -> None:
    """The tables by day, step, mode and answer have the numbers of the REST API."""
    desk.open_analytics()
    analytics = desk.get_json("/api/surveys/phq9/analytics")
    expect(desk.tile("started")).to_have_text(str(analytics["sessions"]["started"]))
    expect(desk.tile("completed")).to_have_text(str(analytics["sessions"]["completed"]))
    assert desk.table("days") == [[day["day"], str(day["started"]), str(day["completed"])] for day in analytics["days"]]
    assert [row[1:4] for row in desk.table("funnel")] == [
        [str(step["reached"]), str(step["answered"]), str(step["left_here"])] for step in analytics["steps"]
    ]
    assert [row[1:3] for row in desk.table("modes")] == [
        [str(mode["started"]), str(mode["completed"])] for mode in analytics["modes"]
    ]
    first = analytics["steps"][0]["answers"]["distribution"]
    assert [row[:2] for row in desk.table("answers-Q1")] == [
        [choice["label"], str(choice["count"])] for choice in first
    ]


def test_filters_are_kept_in_the_url(desk: Desk) -> None:
    """Filters survive a reload, are undone by the Back button, and apply to downloads."""
    desk.open_analytics()
    unfiltered = desk.tile("started").inner_text()
    desk.page.get_by_label("Mode").select_option("audio")
    expect(desk.page).to_have_url(f"{desk.ward.url}/dashboard/surveys/phq9?mode=audio")
    audio = str(desk.get_json("/api/surveys/phq9/analytics?mode=audio")["sessions"]["started"])
    assert audio != unfiltered
    expect(desk.tile("started")).to_have_text(audio)
    desk.page.reload()
    expect(desk.page.get_by_label("Mode")).to_have_value("audio")
    expect(desk.tile("started")).to_have_text(audio)
    expect(desk.page.get_by_role("link", name="SPSS")).to_have_attribute(
        "href", "/api/surveys/phq9/export?format=sav&mode=audio"
    )
    csv, exact = (
        desk.page.get_by_role("link", name="CSV, a row a session"),
        "/api/surveys/phq9/export?format=csv&mode=audio",
    )
    expect(csv).to_have_attribute("href", exact.replace("csv&", "csv&spreadsheet_safe=true&"))
    desk.page.get_by_label("CSV with unchanged texts").check()
    expect(csv).to_have_attribute("href", exact)
    desk.page.go_back()
    expect(desk.page.get_by_label("Mode")).to_have_value("")
    expect(desk.tile("started")).to_have_text(unfiltered)


def test_charts_are_replaced_by_sentences_when_no_session_fits(desk: Desk) -> None:
    """Without data, a sentence replaces each chart."""
    desk.open_analytics("?until=2020-01-01")
    expect(desk.tile("started")).to_have_text("0")
    expect(desk.page.locator("#days")).to_contain_text("No sessions yet")
    expect(desk.page.locator("#figures canvas")).to_have_count(0)
    expect(desk.page.locator("#figures details:visible")).to_have_count(0)


def test_new_session_is_shown_without_a_reload(context: BrowserContext, ward: Ward) -> None:
    """The page refreshes by itself unless it is paused, and open tables stay open."""
    desk = Desk(context, ward, ward.key)
    desk.page.clock.install()
    desk.open_analytics(survey="intake")
    before = desk.get_json("/api/surveys/intake/analytics")["sessions"]["started"]
    expect(desk.tile("started")).to_have_text(str(before))
    start_session(desk, "new-1")
    wait_for(lambda: started_after(desk, 10_000) == str(before + 1), lambda: "the new session was not shown")
    desk.page.locator("#days summary").click()
    desk.page.get_by_role("button", name="Pause updates").click()
    start_session(desk, "new-2")
    requests: list[str] = []
    desk.page.on("request", lambda request: requests.append(request.url))
    desk.page.clock.run_for(120_000)
    assert requests == []
    desk.page.get_by_role("button", name="Pause updates").click()
    wait_for(lambda: started_after(desk, 10_000) == str(before + 2), lambda: "the updates did not go on")
    expect(desk.page.locator("#days details")).to_have_attribute("open", "")


def started_after(desk: Desk, passed_ms: int) -> str:
    """Let time pass for a page in use, and return its number of started sessions."""
    desk.page.keyboard.press("Shift")
    desk.page.clock.run_for(passed_ms)
    return desk.tile("started").inner_text()


def start_session(desk: Desk, user_id: str) -> None:
    """Start a session of the intake survey through the REST API."""
    response = desk.page.request.post(
        f"{desk.ward.url}/api/session/{user_id}/commands?survey=intake",
        data=json.dumps({"type": "answer", "id": user_id, "step": "S1", "value": None}),
        headers={"Authorization": f"Bearer {desk.ward.key}", "Content-Type": "application/json"},
    )
    assert response.status == 200


def test_updates_stop_when_the_page_is_abandoned(context: BrowserContext, ward: Ward) -> None:
    """An abandoned page does not keep its sign-in alive; any input resumes the updates."""
    desk = Desk(context, ward, ward.key)
    desk.page.clock.install()
    desk.open_analytics()
    updated = desk.page.get_by_test_id("updated")

    def is_paused_later() -> bool:
        desk.page.clock.run_for(10_000)
        return "paused" in updated.inner_text()

    wait_for(is_paused_later, lambda: "the updates did not stop")
    desk.page.keyboard.press("Shift")
    expect(updated).to_contain_text("Updated at")


def test_session_is_found_by_the_prefix_of_its_id(desk: Desk) -> None:
    """The search is kept in the URL, and a row links to its session."""
    desk.page.goto(f"{desk.ward.url}/dashboard/sessions?survey=phq9")
    desk.page.get_by_label("id begins with").fill("walk")
    expect(desk.page).to_have_url(f"{desk.ward.url}/dashboard/sessions?user_id_prefix=walk&survey=phq9")
    expect(desk.page.locator("#rows tr")).to_have_count(1)
    desk.page.reload()
    expect(desk.page.locator("#rows tr")).to_have_count(1)
    desk.page.get_by_role("link", name="walker").click()
    expect(desk.page.get_by_role("heading", name="One session")).to_be_visible()
    desk.page.goto(f"{desk.ward.url}/dashboard/sessions?user_id_prefix=nobody")
    expect(desk.page.locator("#results")).to_have_text("No session fits this search.")
    assert desk.problems == []


def test_sessions_are_listed_by_their_last_change(desk: Desk) -> None:
    """The order is kept in the URL, and the count says whether there are more."""
    desk.page.goto(f"{desk.ward.url}/dashboard/sessions?survey=phq9&user_id_prefix=p-")
    expect(desk.page.locator("#results")).to_have_text("12 sessions in all.")
    expect(desk.page.locator("#rows a").first).to_have_text("p-00")
    desk.page.get_by_label("Order").select_option("Last change")
    expect(desk.page.locator("#rows a").first).to_have_text("p-11")
    expect(desk.page.locator("#rows a").last).to_have_text("p-00")
    desk.page.reload()
    expect(desk.page.locator("#rows a").first).to_have_text("p-11")


def test_figures_are_reachable_by_keyboard(desk: Desk) -> None:
    """Tab reaches every filter, table and download, and Enter opens a table."""
    desk.open_analytics()
    reached: list[str] = []
    for _ in range(60):
        desk.page.keyboard.press("Tab")
        reached.append(
            str(desk.page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        )
        if reached[-1] == "Codebook":
            break
    for target in ("pause", "since", "until", "mode", "status", "revision", "The numbers as a table", "Codebook"):
        assert target in reached
    desk.page.locator("#days summary").focus()
    desk.page.keyboard.press("Enter")
    expect(desk.page.locator("#days table")).to_be_visible()


def test_page_says_so_when_the_key_is_revoked(context: BrowserContext, ward: Ward) -> None:
    """The page keeps its data, and says what to do."""
    desk = Desk(context, ward, ward.reading_key)
    desk.open_analytics()
    expect(desk.page.get_by_role("heading", name="Download")).to_have_count(0)
    desk.page.route(
        "**/api/**", lambda route: route.fulfill(status=401, content_type="application/problem+json", body="{}")
    )
    desk.page.get_by_label("Status").select_option("completed")
    expect(desk.page.get_by_role("alert")).to_contain_text("sign-in has ended")


def every_view(desk: Desk) -> Iterator[str]:
    """Open each page behind the sign-in, and yield its name."""
    page = desk.page
    yield "overview"
    desk.open_analytics()
    for summary in page.locator("#figures summary:visible").all():
        summary.click()
    yield "analytics with tables"
    desk.open_analytics("?until=2020-01-01")
    yield "analytics without sessions"
    page.goto(f"{desk.ward.url}/dashboard/sessions")
    expect(page.locator("#rows tr").first).to_be_visible()
    yield "sessions"
    desk.open_session("walker")
    yield "a session"
    page.goto(f"{desk.ward.url}/dashboard/sessions/phq9/nobody")
    yield "not found"


@in_every_appearance
def test_pages_are_accessible_when_axe_checks_them(
    new_context: Callable[..., BrowserContext], ward: Ward, scheme: str, viewport: dict[str, int]
) -> None:
    """No view has an axe-core violation, scrolls horizontally or has a small target."""
    context = new_context(color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    desk = Desk(context, ward, ward.key)
    assert_accessible(desk.page, every_view(desk), display_depends_on_size=True)


def test_languages_are_compared_if_a_survey_has_several(desk: Desk) -> None:
    """Others have no such chart."""
    store = desk.ward.open()
    at = time.time_ns() // 1000
    commands = [(SessionKey("audit", tag), Begin(at=at, languages=(tag,))) for tag in ("en", "de")]
    store.turns.submit_many(commands)
    store.close()
    desk.open_analytics(survey="audit")
    assert desk.table("languages") == [["English", "1", "0", "0%"], ["German", "1", "0", "0%"]]
    desk.open_analytics()
    expect(desk.page.locator("#languages")).to_have_count(0)
    assert desk.problems == []
