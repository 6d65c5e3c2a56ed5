"""examples/flask in a browser: a user signs in at the clinic, answers, and the admin sees it on the dashboard."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.examples.clinic import PASSWORD, ClinicServer

pytestmark = pytest.mark.browser


@pytest.fixture
def clinic(tmp_path: Path) -> Iterator[ClinicServer]:
    server = ClinicServer(tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def sign_in(page: Page, user: str) -> None:
    """Fill in the clinic's form."""
    page.locator("[name=user]").fill(user)
    page.locator("[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_user_answers_and_the_admin_sees_the_session(
    new_context: Callable[..., BrowserContext], clinic: ClinicServer
) -> None:
    """The survey leads to the clinic's login and back; another device continues; nothing is wrong in the console."""
    page, errors = new_context().new_page(), []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(f"{clinic.url}/surveys/s/wellbeing")
    sign_in(page, "ada")
    expect(page).to_have_url(f"{clinic.url}/surveys/s/wellbeing")
    page.get_by_role("radio", name="7", exact=True).check()
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#survey")).to_have_attribute("data-step", "Q2")
    expect(page.locator("#survey")).to_have_attribute("data-save", "saved")
    phone = new_context().new_page()
    phone.goto(f"{clinic.url}/surveys/s/wellbeing")
    sign_in(phone, "ada")
    expect(phone.locator("#survey")).to_have_attribute("data-step", "Q2")
    phone.goto(f"{clinic.url}/surveys/dashboard")
    expect(phone.get_by_role("heading", name="This is not possible here")).to_be_visible()
    desk = new_context().new_page()
    desk.goto(f"{clinic.url}/surveys/dashboard")
    sign_in(desk, "admin")
    desk.get_by_role("link", name="Sessions", exact=True).click()
    expect(desk.locator("#rows")).to_contain_text("ada")
    assert errors == []
