"""A survey in a frame of another site's page, in production: the snippet of docs/browser-client.md."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import flask
import pytest
from playwright.sync_api import BrowserContext, FrameLocator, Page, expect

from tests.browser.accessibility import assert_accessible
from tests.browser.clinic import CLOSED, Clinic, open_clinic
from tests.conftest import ROOT
from tests.docs.pages import blocks
from tests.web.production import listening

pytestmark = pytest.mark.browser

DOCUMENTED = "https://survey.example.org"
SNIPPET = next(
    block for block in blocks((ROOT / "docs" / "browser-client.md").read_text(), "html") if "<iframe" in block
)


@dataclass
class Hosts:
    """A clinic, and other sites: one that it allows to show its pages, and one that it does not."""

    clinic: Clinic
    app: flask.Flask
    allowed: str
    other: str

    def open(self, page: Page, path: str = "/embed/phq9", host: str | None = None) -> FrameLocator:
        """Open a page of another site with the documented snippet."""
        snippet = SNIPPET.replace(DOCUMENTED, self.clinic.url).replace("/embed/phq9", path)
        self.app.config["BODY"] = f"<!doctype html><html lang=en><title>Host</title><h1>Host</h1>{snippet}"
        page.goto(host or self.allowed)
        return page.frame_locator("#survey")


@contextlib.contextmanager
def open_hosts(folder: Path, **environment: str) -> Iterator[Hosts]:
    """Start real servers: a browser lets no page of an unknown address load one of this machine."""
    app = flask.Flask("host")
    app.add_url_rule("/", "page", lambda: app.config["BODY"])
    with listening(app) as port, listening(app) as other:
        allowed = f"http://localhost:{port}"  # another site than 127.0.0.1
        with open_clinic(folder, STEPKEEP_FRAME_ANCESTORS=allowed, **environment) as clinic:
            yield Hosts(clinic, app, allowed, f"http://localhost:{other}")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    with open_hosts(tmp_path_factory.mktemp("embeddable")) as opened:
        yield opened


def choose(frame: FrameLocator, label: str) -> None:
    frame.locator("#step").get_by_text(label, exact=True).click()
    frame.get_by_role("button", name="Next").click()


def expect_step(frame: FrameLocator, step: str) -> None:
    expect(frame.locator("#survey")).to_have_attribute("data-step", step)
    expect(frame.locator("#survey")).to_have_attribute("data-save", "saved")


def test_public_survey_is_answered_in_a_frame_and_continued_after_a_reload(
    context: BrowserContext, hosts: Hosts
) -> None:
    """A partitioned cookie remembers the participant; the frame is as high as its page; nothing is logged."""
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    frame = hosts.open(page)
    expect_step(frame, "Q1")
    choose(frame, "Several days")
    expect_step(frame, "Q2")
    height = frame.locator("body").evaluate("body => Math.ceil(body.getBoundingClientRect().height)")
    expect(page.locator("#survey")).to_have_css("height", f"{height}px")
    frame = hosts.open(page)
    expect_step(frame, "Q2")
    (cookie,) = context.cookies(f"{hosts.clinic.url}/embed/phq9/page")
    assert (cookie["name"], cookie["sameSite"]) == ("__Secure-stepkeep-embedded.phq9", "None")
    assert errors == []


def test_invited_participant_is_shown_by_the_token_of_the_fragment(context: BrowserContext, hosts: Hosts) -> None:
    """Without any cookie: a browser that blocks all of them in frames shows the same."""
    token = hosts.clinic.link("frame-1").partition("#")[2]
    page = context.new_page()
    for step in ("Q1", "Q2"):
        frame = hosts.open(page, f"/embed/{CLOSED}#{token}")
        expect_step(frame, step)
        choose(frame, "Not at all")
        expect_step(frame, f"Q{int(step[1]) + 1}")
        context.clear_cookies()
    expect(frame.get_by_role("link", name="Stepkeep")).to_have_count(0)
    frame = hosts.open(page, f"/embed/{CLOSED}")
    expect(frame.get_by_role("heading", name=re.compile("opened here"))).to_be_visible()


def test_device_is_left_in_a_frame(context: BrowserContext, hosts: Hosts) -> None:
    """The cookie is cleared, the frame says so, and the next person starts their own survey."""
    page = context.new_page()
    frame = hosts.open(page)
    expect_step(frame, "Q1")
    before = frame.locator("#survey").get_attribute("data-user-id")
    choose(frame, "Several days")
    expect_step(frame, "Q2")
    frame.get_by_role("button", name="Leave this device").click()
    frame.get_by_role("button", name="Yes, leave").click()
    expect(frame.get_by_role("heading", name="This device is cleared")).to_be_focused()
    assert context.cookies(f"{hosts.clinic.url}/embed/phq9/page") == []
    height = frame.locator("body").evaluate("body => Math.ceil(body.getBoundingClientRect().height)")
    expect(page.locator("#survey")).to_have_css("height", f"{height}px")
    frame.get_by_role("button", name="Begin a new survey").click()
    expect_step(frame, "Q1")
    assert frame.locator("#survey").get_attribute("data-user-id") != before


def test_shared_device_is_cleared_in_a_frame_when_nobody_uses_it(
    context: BrowserContext, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The dialog counts down, and no cookie is set."""
    page = context.new_page()
    page.clock.install()
    with open_hosts(tmp_path_factory.mktemp("shared"), STEPKEEP_KIOSK_MINUTES="5") as hosts:
        frame = hosts.open(page)
        expect_step(frame, "Q1")
        choose(frame, "Several days")
        expect_step(frame, "Q2")
        assert context.cookies(f"{hosts.clinic.url}/embed/phq9/page") == []
        page.clock.fast_forward(5 * 60_000 + 1_000)
        expect(frame.get_by_role("heading", name="Are you still there?")).to_be_visible()
        page.clock.fast_forward(31_000)
        expect(frame.get_by_role("heading", name="This device is cleared")).to_be_visible()


def test_other_sites_and_other_pages_show_no_frame(context: BrowserContext, hosts: Hosts) -> None:
    """The browser shows its own error page instead."""
    page = context.new_page()
    expect_step(hosts.open(page), "Q1")
    for path, host in (("/embed/phq9", hosts.other), ("/s/phq9", None), ("/sign-in", None)):
        hosts.open(page, path, host)
        page.wait_for_load_state("networkidle")
        assert [frame.url for frame in page.frames[1:]] == ["chrome-error://chromewebdata/"], path


def test_embedded_page_has_the_parameters_of_its_address(context: BrowserContext, hosts: Hosts) -> None:
    """Its page and its socket get those of the frame, but for what the frame itself reads."""
    page = context.new_page()
    with page.expect_websocket() as opened, page.expect_request("**/embed/phq9/page?*") as asked:
        page.goto(f"{hosts.clinic.url}/embed/phq9?left=north&lang=de")
    assert "left=north" in opened.value.url
    assert asked.value.url.endswith("/page?left=north&lang=de")


def test_embedded_page_is_accessible_when_axe_checks_it(context: BrowserContext, hosts: Hosts) -> None:
    page = context.new_page()

    def views() -> Iterator[str]:
        page.goto(f"{hosts.clinic.url}/embed/phq9")
        expect(page.locator("#survey")).to_have_attribute("data-step", "Q1")
        yield "a step"
        page.goto(f"{hosts.clinic.url}/embed/phq9?has-left=")
        expect(page.get_by_role("heading", name="This device is cleared")).to_be_visible()
        yield "left"
        page.goto(f"{hosts.clinic.url}/embed/absent")
        expect(page.get_by_role("heading", name=re.compile("opened here"))).to_be_visible()
        yield "no survey"

    assert_accessible(page, views())
