"""Links to go on with another device, in production: nobody's token is ever in an address, a log or a storage."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Route, expect

from app.access.tokens import ResumeTokens
from app.survey.snapshot import SessionKey
from tests.browser.clinic import (
    CLOSED,
    HOUR_US,
    STORED,
    TITLE,
    Clinic,
    make_link,
    says,
    small_targets,
    user_of,
)
from tests.browser.participant import Participant
from tests.browser.test_access import PHONE, fits, violations

pytestmark = pytest.mark.browser


def test_second_device_goes_on_when_it_opens_the_link(one: Participant, other: Participant, clinic: Clinic) -> None:
    """The same person, the same answers; and what is answered there is seen here."""
    one.open("phq9")
    one.answer("Q1", "Several days")
    one.answer("Q2", "Not at all")
    one.is_at("Q3")
    other.page.goto(make_link(one))
    other.is_at("Q3")
    assert user_of(other) == user_of(one)
    other.page.locator("#answers-panel summary").click()
    expect(other.page.locator("#answers .answer")).to_have_text(["Several days", "Not at all"])
    other.answer("Q3", "Several days")
    one.is_at("Q4")


def test_token_is_nowhere_when_a_link_was_opened(one: Participant, other: Participant, clinic: Clinic) -> None:
    """Not in the address, the history, a storage that scripts read, what was asked for, or the server's log."""
    asked: list[str] = []
    other.page.on("request", lambda request: asked.append(request.url))
    one.open("phq9")
    token = make_link(one).partition("#")[2]
    other.page.goto(f"{clinic.url}/")
    other.page.goto(f"{clinic.url}/resume#{token}")
    other.is_at("Q1")
    assert other.page.url == f"{clinic.url}/s/phq9"
    assert token not in other.page.evaluate(STORED)
    assert not [address for address in asked if token in address.partition("#")[0]]
    other.page.go_back()
    assert other.page.url == f"{clinic.url}/"
    assert token not in clinic.server.log
    cookies = {cookie["name"]: cookie for cookie in other.page.context.cookies()}
    assert cookies["__Host-stepkeep.phq9"]["httpOnly"]
    assert cookies["__Host-stepkeep.phq9"]["value"] != token


def test_new_person_begins_only_when_he_says_so(one: Participant, clinic: Clinic) -> None:
    """A cookie that holds no more is never silently somebody new; "Begin anew" is."""
    one.open("phq9")
    one.answer("Q1", "Several days")
    one.is_at("Q2")
    earlier = user_of(one)
    cookies = one.page.context.cookies()
    old = ResumeTokens([clinic.secret]).issue(SessionKey("phq9", earlier), 1, HOUR_US)
    one.page.context.add_cookies([{**cookie, "value": old} for cookie in cookies])  # type: ignore[typeddict-item]
    response = one.page.goto(f"{clinic.url}/s/phq9")
    assert response is not None
    assert response.status == 401
    says(one.page, "This visit has ended on this device")
    one.page.get_by_role("button", name="Begin anew").click()
    one.is_at("Q1")
    assert user_of(one) not in {"", earlier}


def test_address_names_nobody_when_it_has_a_user(one: Participant, other: Participant, clinic: Clinic) -> None:
    """`?user=` of another participant shows one's own session, and leaves the other's as it was."""
    one.open("phq9")
    one.answer("Q1", "Several days")
    one.is_at("Q2")
    other.open("phq9", user=user_of(one))
    other.is_at("Q1")
    assert user_of(other) not in {"", user_of(one)}
    answer = other.page.context.request.get(f"{clinic.url}/api/session/{user_of(one)}?survey=phq9")
    assert answer.status in {401, 403}


def test_closed_survey_opens_when_an_invitation_does(one: Participant, clinic: Clinic) -> None:
    """Without one its title is told to nobody; with one it opens, and is in this browser's list."""
    page = one.page
    page.goto(clinic.url)
    says(page, "Surveys")
    assert TITLE not in page.content()
    refused = page.goto(f"{clinic.url}/s/{CLOSED}")
    assert refused is not None
    assert refused.status == 401
    says(page, "Please open your personal link")
    assert TITLE not in page.content()
    bearer = {"Authorization": f"Bearer {clinic.key}"}
    made = page.context.request.post(f"{clinic.url}/api/surveys/{CLOSED}/participants", headers=bearer)
    page.goto(made.json()["link"])
    one.answer("Q1", "Several days")
    one.is_at("Q2")
    page.goto(clinic.url)
    expect(page.get_by_role("heading", name=TITLE)).to_be_visible()


@pytest.mark.parametrize("fault", ["expired", "tampered"])
def test_link_is_refused_kindly_when_it_does_not_hold(one: Participant, clinic: Clinic, fault: str) -> None:
    """One page for all reasons, which says what to do; the token is out of the address all the same."""
    made_at = 1 if fault == "expired" else None
    link = clinic.link("p-1", made_at=made_at)
    one.page.goto(link if fault == "expired" else f"{link[:-1]}{'A' if link[-1] != 'A' else 'B'}x")
    says(one.page, "This link does not hold any more")
    assert one.page.url == f"{clinic.url}/resume"
    expect(one.page.get_by_role("link", name="See the surveys")).to_be_visible()
    assert one.page.context.cookies() == []


def test_link_is_tried_again_when_the_network_was_away(one: Participant, clinic: Clinic) -> None:
    """The token stays in the page's memory, and nowhere else, until the server can be asked."""
    refused: list[Route] = []

    def lose(route: Route) -> None:
        if route.request.method == "POST":
            refused.append(route)
            route.abort("connectionfailed")
        else:
            route.continue_()

    one.page.route("**/resume", lose)
    link = clinic.link("p-1")
    one.page.goto(link)
    says(one.page, "There is no connection just now")
    assert one.page.url == f"{clinic.url}/resume"
    assert link.partition("#")[2] not in one.page.evaluate(STORED)
    one.page.unroute("**/resume")
    one.page.get_by_role("button", name="Try again").click()
    one.is_at("Q1")
    assert user_of(one) == "p-1"
    assert len(refused) == 1


def test_next_link_counts_when_it_is_opened_over_the_first(one: Participant, clinic: Clinic) -> None:
    """A link in the same tab changes only what is behind the #: it is taken, and out of the address again."""
    one.page.goto(clinic.link("p-1", made_at=1))
    says(one.page, "This link does not hold any more")
    one.page.goto(clinic.link("p-2"))
    one.is_at("Q1")
    assert user_of(one) == "p-2"
    one.page.goto(f"{clinic.url}/resume")
    says(one.page, "Please open your link again")


CONNECT = """async ({ userId, token }) => {
  const { SurveyClient } = await import("/assets/client/client.js");
  const client = new SurveyClient({ origin: location.origin, surveyId: "phq9", userId, token });
  const told = new Promise((resolve) => {
    client.addEventListener("state", () => resolve("state"));
    client.addEventListener("stopped", ({ detail }) => resolve(`${detail.code} ${detail.reason}`));
  });
  await client.start();
  const first = await told;
  client.stop();
  return first;
}"""


def test_client_is_let_in_when_it_is_given_a_token(context: BrowserContext, clinic: Clinic) -> None:
    """Without a cookie: its own session with a good token, else 4401 or 4403 in kind words; no address has the token."""
    page = context.new_page()
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.goto(f"{clinic.url}/healthz")
    token = clinic.link("p-1", "phq9").partition("#")[2]
    assert page.evaluate(CONNECT, {"userId": "p-1", "token": token}) == "state"
    for arguments, code in (({"token": token[:-4]}, 4401), ({}, 4401), ({"token": token, "userId": "p-2"}, 4403)):
        told: str = page.evaluate(CONNECT, {"userId": "p-1", **arguments})
        assert told.startswith(f"{code} ")
        assert "stay here until then" in told
    assert len(sockets) == 4
    assert token not in "".join(sockets) + clinic.server.log


def every_view(participant: Participant, clinic: Clinic) -> Iterator[str]:
    """Go through the pages of access control, and give the name of each when it is seen."""
    page = participant.page
    page.goto(f"{clinic.url}/s/{CLOSED}")
    yield "invitation"
    page.goto(clinic.link("p-1", made_at=1))
    says(page, "This link does not hold any more")
    yield "a link that holds no more"
    page.goto(f"{clinic.url}/resume")
    says(page, "Please open your link again")
    yield "no link"
    page.route("**/resume", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    page.goto(clinic.link("p-1"))
    says(page, "There is no connection just now")
    yield "no connection"
    page.unroute("**/resume")
    participant.open("phq9")
    make_link(participant)
    yield "the panel"
    page.get_by_role("button", name="Sign out other devices").click()
    page.get_by_role("button", name="Leave this device").click()
    yield "the panel's questions"
    page.get_by_role("button", name="Yes, leave").click()
    says(page, "You have left on this device")
    yield "left"
    participant.open("phq9")
    name = "__Host-stepkeep.phq9"
    page.context.add_cookies([{"name": name, "value": "x", "url": clinic.url.replace("http", "https"), "secure": True}])
    page.goto(f"{clinic.url}/s/phq9")
    says(page, "This visit has ended on this device")
    yield "ended"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [{"width": 1200, "height": 800}, PHONE], ids=["desk", "phone"])
def test_pages_of_access_are_accessible_when_axe_looks_at_them(
    new_context: Callable[..., BrowserContext], clinic: Clinic, scheme: Any, viewport: Any
) -> None:
    """No view has a violation that axe-core knows, in light and dark; none scrolls to the side; no target is small."""
    participant = Participant(new_context(color_scheme=scheme, viewport=viewport, reduced_motion="reduce"), clinic.url)
    found: dict[str, list[str]] = {}
    for name in every_view(participant, clinic):
        found[name] = violations(participant.page) + small_targets(participant.page)
        if not fits(participant.page):
            found[name].append("scrolls to the side")
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_link_of_another_participant_asks_before_it_takes_over_a_visit(
    one: Participant, other: Participant, clinic: Clinic
) -> None:
    """A link that a stranger sent does not silently put the stranger's session in the place of one's own."""
    one.open("phq9")
    other.open("phq9")
    other.answer("Q1", "Several days")
    before, link = user_of(other), make_link(one)
    other.page.goto(link)
    expect(other.page.get_by_role("heading", name="Somebody is under way in this browser")).to_be_visible()
    other.page.goto(f"{clinic.url}/s/phq9")
    other.is_at("Q2")
    assert user_of(other) == before
    other.page.goto(link)
    other.page.get_by_role("button", name="Go on with the link").click()
    other.is_at("Q1")
    assert user_of(other) == user_of(one)
