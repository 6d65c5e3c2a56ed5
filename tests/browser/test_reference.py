"""The reference of the REST API at ``/docs``."""

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.accessibility import PHONE, axe_violations, overflow
from tests.browser.participant import RunningServer

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_reference_is_accessible_on_a_phone(context: BrowserContext, server: RunningServer, scheme: str) -> None:
    """Long addresses and examples are broken, and the contents lead to an operation."""
    page = context.new_page()
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    page.goto(f"{server.url}/docs")
    page.get_by_role("link", name="GET /api/sessions", exact=True).click()
    expect(page.get_by_role("heading", name="GET /api/sessions", exact=True)).to_be_in_viewport()
    assert overflow(page) == []
    assert axe_violations(page) == []
