"""Shared devices (STEPKEEP_KIOSK_MINUTES): cleared at the end and when nobody uses them; no answer is lost."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Locator, expect

from tests.browser.accessibility import assert_accessible, in_every_appearance
from tests.browser.clinic import Clinic, expect_heading, open_clinic, user_id_on
from tests.browser.participant import Participant

pytestmark = pytest.mark.browser

MINUTES = 5
SECRET = "Nearly every day"


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """A server for shared devices."""
    with open_clinic(tmp_path_factory.mktemp("kiosk"), STEPKEEP_KIOSK_MINUTES=str(MINUTES)) as opened:
        yield opened


@pytest.fixture
def participant(context: BrowserContext, kiosk: Clinic) -> Participant:
    """A tab whose clock the test can move."""
    participant = Participant(context, kiosk.url)
    participant.page.clock.install()
    return participant


def dialog(participant: Participant) -> Locator:
    return participant.page.locator("#kiosk")


def begin(participant: Participant) -> None:
    """Answer the first question."""
    participant.open("phq9")
    participant.answer("Q1", SECRET)
    participant.expect_step("Q2")


def wait_for(participant: Participant, minutes: float) -> None:
    """Let time pass without input."""
    participant.page.clock.fast_forward(int(minutes * 60_000))


def test_idle_device_is_cleared_after_a_countdown(participant: Participant) -> None:
    """Not before; the dialog covers the answers, and the next person starts their own survey."""
    begin(participant)
    before = user_id_on(participant)
    wait_for(participant, MINUTES - 0.5)
    expect(dialog(participant)).to_be_hidden()
    wait_for(participant, 0.6)
    expect(dialog(participant)).to_be_visible()
    expect(participant.page.locator("#kiosk-stay")).to_be_focused()
    expect(participant.page.locator("#kiosk-countdown")).to_have_text("30 s")
    wait_for(participant, 0.4)
    expect(participant.page.locator("#kiosk-countdown")).to_have_text("6 s")
    wait_for(participant, 0.2)
    expect_heading(participant.page, "This device is cleared")
    assert participant.page.context.cookies() == []
    participant.open("phq9")
    participant.expect_step("Q1")
    assert user_id_on(participant) not in {"", before}


@pytest.mark.parametrize("key", ["Enter", "Escape"])
def test_participant_can_stay(participant: Participant, key: str) -> None:
    """As often as they like; any input begins the time anew."""
    begin(participant)
    for _ in range(2):
        wait_for(participant, MINUTES + 0.1)
        expect(dialog(participant)).to_be_visible()
        participant.page.keyboard.press(key)
        expect(dialog(participant)).to_be_hidden()
    wait_for(participant, MINUTES - 0.5)
    participant.choose(SECRET)
    wait_for(participant, MINUTES - 0.5)
    expect(dialog(participant)).to_be_hidden()
    participant.next()
    participant.expect_step("Q3")


def test_device_is_cleared_at_the_end(participant: Participant) -> None:
    """With a way to stay, and then again after the idle time."""
    begin(participant)
    for number in range(2, 10):
        participant.answer(f"Q{number}", SECRET)
    participant.answer("help")
    participant.answer("Q10", "Very difficult")
    expect(dialog(participant).get_by_role("heading", name="Thank you")).to_be_visible()
    participant.page.get_by_role("button", name="Stay on this page").click()
    expect(dialog(participant)).to_be_hidden()
    expect(participant.page.get_by_role("button", name="Finish and clear this device")).to_be_visible()
    wait_for(participant, MINUTES + 0.1)
    expect(dialog(participant)).to_be_visible()
    participant.page.get_by_role("button", name="Clear this device now").click()
    expect_heading(participant.page, "This device is cleared")
    assert participant.page.context.cookies() == []


def test_device_is_not_cleared_before_unsent_answers_are_sent(participant: Participant, kiosk: Clinic) -> None:
    """It says so; when the connection is back, they are sent, and then the device is cleared."""
    begin(participant)
    user_id = user_id_on(participant)
    participant.page.context.set_offline(True)
    participant.answer_offline("Q2", SECRET)
    participant.expect_offline_step("Q3")
    wait_for(participant, MINUTES + 0.1)
    expect(dialog(participant)).to_be_visible()
    wait_for(participant, 0.6)
    expect(participant.page.locator("#kiosk-note")).to_contain_text("not sent yet")
    expect(participant.page.locator("#kiosk-countdown")).to_be_hidden()
    wait_for(participant, 10)
    expect(dialog(participant)).to_be_visible()
    participant.page.context.set_offline(False)
    expect(participant.root).to_have_attribute("data-save", "saved")
    wait_for(participant, 0.1)
    expect_heading(participant.page, "This device is cleared")
    url = f"{kiosk.url}/api/session/{user_id}?survey=phq9"
    response = participant.page.context.request.get(url, headers={"Authorization": f"Bearer {kiosk.key}"})
    assert response.json()["session"]["answers"] == {"Q1": 3, "Q2": 3}


def test_half_typed_answer_is_sent_before_the_device_is_cleared(participant: Participant, kiosk: Clinic) -> None:
    """It comes back as the session's draft."""
    begin(participant)
    user_id = user_id_on(participant)
    participant.choose("Several days")
    wait_for(participant, MINUTES + 0.1)
    wait_for(participant, 0.6)
    expect_heading(participant.page, "This device is cleared")
    url = f"{kiosk.url}/api/session/{user_id}?survey=phq9"
    response = participant.page.context.request.get(url, headers={"Authorization": f"Bearer {kiosk.key}"})
    assert response.json()["session"]["draft"] == 1


def test_page_asks_whose_survey_it_is_when_it_is_opened_again(participant: Participant) -> None:
    """Before it shows an answer; a survey without answers is not asked about, nor cleared when idle."""
    participant.open("phq9")
    participant.page.reload()
    participant.expect_step("Q1")
    expect(dialog(participant)).to_be_hidden()
    wait_for(participant, MINUTES + 1)
    expect(dialog(participant)).to_be_hidden()
    begin(participant)
    participant.page.reload()
    expect(dialog(participant).get_by_role("heading", name="Is this your survey?")).to_be_visible()
    participant.page.get_by_role("button", name="Yes, continue").click()
    participant.expect_step("Q2")
    participant.page.reload()
    participant.page.get_by_role("button", name="Clear this device now").click()
    expect_heading(participant.page, "This device is cleared")


def test_cookie_lasts_until_the_browser_is_closed(participant: Participant, clinic: Clinic) -> None:
    """Only with the setting."""
    participant.open("phq9")
    assert [cookie["expires"] for cookie in participant.page.context.cookies()] == [-1]
    own = Participant(participant.page.context, clinic.url)
    own.open("intake")
    expect(own.page.locator("#kiosk")).to_have_count(0)
    assert max(cookie["expires"] for cookie in own.page.context.cookies()) > 0


@in_every_appearance
def test_notice_is_accessible_when_axe_checks_it(
    new_context: Callable[..., BrowserContext], kiosk: Clinic, scheme: str, viewport: dict[str, int]
) -> None:
    """No axe-core violation, no horizontal scrolling, no small target."""
    participant = Participant(new_context(color_scheme=scheme, viewport=viewport, reduced_motion="reduce"), kiosk.url)

    def views() -> Iterator[str]:
        begin(participant)
        participant.page.reload()
        expect(dialog(participant)).to_be_visible()
        yield "the notice"

    assert_accessible(participant.page, views())
