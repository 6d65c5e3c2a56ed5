"""Resume links in production: a token is never in a URL, a log or the browser's storage."""

import re
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from app.access.tokens import ResumeTokens
from app.survey.snapshot import SessionKey
from tests.browser.accessibility import assert_accessible, in_every_appearance
from tests.browser.clinic import (
    CLOSED,
    HOUR_US,
    STORED,
    TITLE,
    Clinic,
    expect_heading,
    make_link,
    open_device_link,
    user_id_on,
)
from tests.browser.participant import Participant

pytestmark = pytest.mark.browser


def test_second_device_resumes_when_it_opens_the_link(
    first_device: Participant, second_device: Participant, clinic: Clinic
) -> None:
    """Both devices show the same session, and follow each other."""
    first_device.open("phq9")
    first_device.answer("Q1", "Several days")
    first_device.answer("Q2", "Not at all")
    first_device.expect_step("Q3")
    link = make_link(first_device)
    open_device_link(second_device, link)
    second_device.expect_step("Q3")
    assert user_id_on(second_device) == user_id_on(first_device)
    second_device.page.locator("#answers-panel summary").click()
    expect(second_device.page.locator("#answers .answer")).to_have_text(["Several days", "Not at all"])
    second_device.answer("Q3", "Several days")
    first_device.expect_step("Q4")


def test_token_is_not_exposed_when_a_link_was_opened(
    first_device: Participant, second_device: Participant, clinic: Clinic
) -> None:
    """Not in the URL, the history, storage that scripts can read, request URLs, or the server's log."""
    urls: list[str] = []
    second_device.page.on("request", lambda request: urls.append(request.url))
    first_device.open("phq9")
    token = make_link(first_device).partition("#")[2]
    second_device.page.goto(f"{clinic.url}/")
    open_device_link(second_device, f"{clinic.url}/resume#{token}")
    second_device.expect_step("Q1")
    assert second_device.page.url == f"{clinic.url}/s/phq9"
    assert token not in second_device.page.evaluate(STORED)
    assert not [url for url in urls if token in url.partition("#")[0]]
    second_device.page.go_back()
    assert second_device.page.url == f"{clinic.url}/"
    assert token not in clinic.server.log
    cookies = {cookie["name"]: cookie for cookie in second_device.page.context.cookies()}
    assert cookies["__Host-stepkeep.phq9"]["httpOnly"]
    assert cookies["__Host-stepkeep.phq9"]["value"] != token


def test_new_session_starts_only_when_it_is_requested(first_device: Participant, clinic: Clinic) -> None:
    """An expired cookie never silently starts another session; "Start again" does."""
    first_device.open("phq9")
    first_device.answer("Q1", "Several days")
    first_device.expect_step("Q2")
    earlier = user_id_on(first_device)
    cookies = first_device.page.context.cookies()
    old = ResumeTokens([clinic.secret]).issue(SessionKey("phq9", earlier), 1, HOUR_US)
    first_device.page.context.add_cookies([{**cookie, "value": old} for cookie in cookies])  # type: ignore[typeddict-item]
    response = first_device.page.goto(f"{clinic.url}/s/phq9")
    assert response is not None
    assert response.status == 401
    expect_heading(first_device.page, "You are signed out on this device")
    first_device.page.get_by_role("button", name="Start again").click()
    first_device.expect_step("Q1")
    assert user_id_on(first_device) not in {"", earlier}


def test_user_in_the_url_is_ignored_in_production(
    first_device: Participant, second_device: Participant, clinic: Clinic
) -> None:
    """`?user=` with another participant's id opens one's own session."""
    first_device.open("phq9")
    first_device.answer("Q1", "Several days")
    first_device.expect_step("Q2")
    second_device.open("phq9", user=user_id_on(first_device))
    second_device.expect_step("Q1")
    assert user_id_on(second_device) not in {"", user_id_on(first_device)}
    response = second_device.page.context.request.get(
        f"{clinic.url}/api/session/{user_id_on(first_device)}?survey=phq9"
    )
    assert response.status in {401, 403}


def test_closed_survey_opens_only_with_an_invitation(first_device: Participant, clinic: Clinic) -> None:
    """Without an invitation its title is hidden; with one it opens and is listed."""
    page = first_device.page
    page.goto(clinic.url)
    expect_heading(page, "Surveys")
    assert TITLE not in page.content()
    response = page.goto(f"{clinic.url}/s/{CLOSED}")
    assert response is not None
    assert response.status == 404
    expect_heading(page, "This survey can’t be opened here")  # noqa: RUF001 - as on the page
    expect(page.locator("main")).to_contain_text("open your personal link")
    assert TITLE not in page.content()
    bearer = {"Authorization": f"Bearer {clinic.key}"}
    created = page.context.request.post(f"{clinic.url}/api/surveys/{CLOSED}/participants", headers=bearer)
    page.goto(created.json()["link"])
    first_device.answer("Q1", "Several days")
    first_device.expect_step("Q2")
    page.goto(clinic.url)
    expect(page.get_by_role("heading", name=TITLE)).to_be_visible()


@pytest.mark.parametrize("fault", ["expired", "tampered"])
def test_link_is_rejected_when_it_is_invalid(first_device: Participant, clinic: Clinic, fault: str) -> None:
    """One page for all reasons says what to do; the token is removed from the URL too."""
    made_at = 1 if fault == "expired" else None
    link = clinic.link("p-1", made_at=made_at)
    first_device.page.goto(link if fault == "expired" else f"{link[:-1]}{'A' if link[-1] != 'A' else 'B'}x")
    expect_heading(first_device.page, "This link no longer works")
    assert first_device.page.url == f"{clinic.url}/resume"
    expect(first_device.page.get_by_role("link", name="See the surveys")).to_be_visible()
    assert first_device.page.context.cookies() == []


def test_link_is_retried_when_the_network_was_unavailable(first_device: Participant, clinic: Clinic) -> None:
    """The token is kept in memory only, until the server can be reached."""
    aborted: list[Route] = []

    def abort_post(route: Route) -> None:
        if route.request.method == "POST":
            aborted.append(route)
            route.abort("connectionfailed")
        else:
            route.continue_()

    first_device.page.route("**/resume", abort_post)
    link = clinic.link("p-1")
    first_device.page.goto(link)
    expect_heading(first_device.page, "There is no connection at the moment")
    assert first_device.page.url == f"{clinic.url}/resume"
    assert link.partition("#")[2] not in first_device.page.evaluate(STORED)
    first_device.page.unroute("**/resume")
    first_device.page.get_by_role("button", name="Try again").click()
    first_device.expect_step("Q1")
    assert user_id_on(first_device) == "p-1"
    assert len(aborted) == 1


def test_second_link_is_opened_in_the_same_tab(first_device: Participant, clinic: Clinic) -> None:
    """A second link in the same tab, which changes only the fragment, is exchanged too."""
    first_device.page.goto(clinic.link("p-1", made_at=1))
    expect_heading(first_device.page, "This link no longer works")
    first_device.page.goto(clinic.link("p-2"))
    first_device.expect_step("Q1")
    assert user_id_on(first_device) == "p-2"
    first_device.page.goto(f"{clinic.url}/resume")
    expect_heading(first_device.page, "Please open your link again")


CONNECT = """async ({ userId, token }) => {
  const { SurveyClient } = await import("/assets/client/client.js");
  const client = new SurveyClient({ origin: location.origin, surveyId: "phq9", userId, token });
  const outcome = new Promise((resolve) => {
    client.addEventListener("state", () => resolve("state"));
    client.addEventListener("stopped", ({ detail }) => resolve(`${detail.code} ${detail.reason}`));
  });
  await client.start();
  const first = await outcome;
  client.stop();
  return first;
}"""


def test_client_is_authenticated_by_its_token(context: BrowserContext, clinic: Clinic) -> None:
    """A valid token opens its own session; others get 4401 or 4403 with a text. No URL has the token."""
    page = context.new_page()
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.goto(f"{clinic.url}/healthz")
    token = clinic.link("p-1", "phq9").partition("#")[2]
    assert page.evaluate(CONNECT, {"userId": "p-1", "token": token}) == "state"
    for arguments, code in (({"token": token[:-4]}, 4401), ({}, 4401), ({"token": token, "userId": "p-2"}, 4403)):
        outcome: str = page.evaluate(CONNECT, {"userId": "p-1", **arguments})
        assert outcome.startswith(f"{code} ")
        assert "are kept on this device until then" in outcome
    assert len(sockets) == 4
    assert token not in "".join(sockets) + clinic.server.log


def every_view(participant: Participant, clinic: Clinic) -> Iterator[str]:
    """Open each page about access, and yield its name."""
    page = participant.page
    yield from views_of_an_invitation(page, clinic)
    participant.open("phq9")
    link = make_link(participant)
    yield "the panel"
    page.get_by_role("button", name="Sign out other devices").click()
    page.get_by_role("button", name="Leave this device").click()
    yield "the panel's questions"
    page.get_by_role("button", name="Yes, leave").click()
    expect_heading(page, "This device is cleared")
    yield "left"
    yield from views_of_a_device_link(participant, link)
    participant.open("phq9")
    name = "__Host-stepkeep.phq9"
    page.context.add_cookies([{"name": name, "value": "x", "url": clinic.url.replace("http", "https"), "secure": True}])
    page.goto(f"{clinic.url}/s/phq9")
    expect_heading(page, "You are signed out on this device")
    yield "ended"


def views_of_an_invitation(page: Page, clinic: Clinic) -> Iterator[str]:
    """Open a survey without an invitation, and invitations that can't be used."""
    page.goto(f"{clinic.url}/s/{CLOSED}")
    yield "invitation"
    page.goto(clinic.link("p-1", made_at=1))
    expect_heading(page, "This link no longer works")
    yield "an expired link"
    page.goto(f"{clinic.url}/resume")
    expect_heading(page, "Please open your link again")
    yield "no link"
    page.route("**/resume", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    page.goto(clinic.link("p-1"))
    expect_heading(page, "There is no connection at the moment")
    yield "no connection"
    page.unroute("**/resume")


def views_of_a_device_link(participant: Participant, link: str) -> Iterator[str]:
    """Open a link from another device twice."""
    participant.page.goto(link)
    expect_heading(participant.page, "Was that you?")
    yield "a link from another device"
    participant.page.get_by_role("button", name="Yes, continue").click()
    participant.expect_step("Q1")
    participant.page.context.clear_cookies()
    participant.page.goto(link)
    expect_heading(participant.page, "This link was already used")
    yield "a used link"


@in_every_appearance
def test_access_pages_are_accessible_when_axe_checks_them(
    new_context: Callable[..., BrowserContext], clinic: Clinic, scheme: str, viewport: dict[str, int]
) -> None:
    """No view has an axe-core violation, scrolls horizontally or has a small target."""
    context = new_context(color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    participant = Participant(context, clinic.url)
    assert_accessible(participant.page, every_view(participant, clinic))


def test_link_of_another_participant_asks_before_it_replaces_a_session(
    first_device: Participant, second_device: Participant, clinic: Clinic
) -> None:
    """A stranger's link does not silently replace one's own session by the stranger's; their invitation neither."""
    first_device.open("phq9")
    second_device.open("phq9")
    second_device.answer("Q1", "Several days")
    before, link = user_id_on(second_device), make_link(first_device)
    second_device.page.goto(link)
    expect_heading(second_device.page, "Was that you?")
    expect(second_device.page.locator("#question-other")).to_be_visible()
    second_device.page.get_by_role("link", name="No, continue my own").click()
    second_device.expect_step("Q2")
    assert user_id_on(second_device) == before
    open_device_link(second_device, link)
    second_device.expect_step("Q1")
    assert user_id_on(second_device) == user_id_on(first_device)
    second_device.page.goto(clinic.link("p-1", "phq9"))
    expect_heading(second_device.page, "This browser has another session")
    second_device.page.get_by_role("button", name="Continue with the link").click()
    second_device.expect_step("Q1")
    assert user_id_on(second_device) == "p-1"


def test_link_of_someone_else_is_asked_about(
    first_device: Participant, second_device: Participant, clinic: Clinic
) -> None:
    """The question says when the session began; nothing is exchanged before the answer, and one can begin one's own."""
    first_device.open("phq9")
    first_device.answer("Q1", "Several days")
    first_device.expect_step("Q2")
    link = make_link(first_device)
    second_device.page.goto(link)
    expect_heading(second_device.page, "Was that you?")
    year = time.strftime("%Y")
    expect(second_device.page.locator("#started-at")).to_contain_text(re.compile(rf"{year} at \d+:\d\d [AP]M"))
    assert second_device.page.context.cookies() == []
    second_device.page.get_by_role("link", name="No, begin my own").click()
    second_device.expect_step("Q1")
    assert user_id_on(second_device) != user_id_on(first_device)
    second_device.page.reload()
    second_device.expect_step("Q1")


def test_used_link_says_what_to_do(
    first_device: Participant, second_device: Participant, clinic: Clinic, new_context: Callable[..., BrowserContext]
) -> None:
    """A reload asks for the link again; on the device that used it, it opens the survey; on a third one it is refused."""
    first_device.open("phq9")
    link = make_link(first_device)
    second_device.page.goto(link)
    expect_heading(second_device.page, "Was that you?")
    second_device.page.reload()
    expect_heading(second_device.page, "Please open your link again")
    open_device_link(second_device, link)
    second_device.expect_step("Q1")
    second_device.page.goto(link)
    second_device.expect_step("Q1")
    third = Participant(new_context(), clinic.url)
    third.page.goto(link)
    expect_heading(third.page, "This link was already used")
    expect(third.page.locator("#used")).to_contain_text("create a new link")
    assert third.page.context.cookies() == []


def test_link_is_opened_when_the_response_to_its_exchange_was_lost(
    first_device: Participant, second_device: Participant, clinic: Clinic
) -> None:
    """Trying again is the same exchange: the link is not taken for one that someone else used."""
    first_device.open("phq9")
    link = make_link(first_device)
    lost: list[Route] = []

    def lose_response(route: Route) -> None:
        if route.request.method == "POST" and '"confirm":true' in (route.request.post_data or "") and not lost:
            lost.append(route)
            assert route.fetch().status == 200
            second_device.page.context.clear_cookies()  # the fetch stored them
            route.abort("connectionreset")
        else:
            route.continue_()

    second_device.page.route("**/resume", lose_response)
    open_device_link(second_device, link)
    expect_heading(second_device.page, "There is no connection at the moment")
    second_device.page.get_by_role("button", name="Try again").click()
    second_device.expect_step("Q1")
    assert len(lost) == 1
