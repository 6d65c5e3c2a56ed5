"""Chromium for the browser tests: one process for each worker, and a new profile for each test."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Playwright, expect, sync_playwright

from tests.browser.clinic import Clinic, open_clinic
from tests.browser.desk import Desk, Ward
from tests.browser.one_survey import serve
from tests.browser.participant import Participant, RunningServer
from tests.conftest import Server

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-software-rasterizer", "--renderer-process-limit=1"]
"""Chromium takes an eighth less CPU time without a GPU process, and a tenth less without a renderer in reserve."""

expect.set_options(timeout=20_000)  # milliseconds: for a busy machine, or a page that waits to reconnect


@pytest.fixture(scope="session")
def driver() -> Iterator[Playwright]:
    """Playwright, which can be started only once in a process."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(chromium: str, driver: Playwright) -> Iterator[Browser]:
    """The installed Chromium; ``tests/conftest.py`` skips or fails the test without one."""
    running = driver.chromium.launch(executable_path=chromium, args=ARGUMENTS)
    yield running
    running.close()


@pytest.fixture
def new_profile(chromium: str, driver: Playwright) -> Iterator[Callable[[Path], BrowserContext]]:
    """Start a separate browser whose profile is in a folder; the test may kill it."""
    contexts: list[BrowserContext] = []

    def make(folder: Path) -> BrowserContext:
        context = driver.chromium.launch_persistent_context(folder, executable_path=chromium, args=ARGUMENTS)
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        with contextlib.suppress(Error):  # the test has killed it
            context.close()


@pytest.fixture
def new_context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Create a browser profile, like that of another device."""
    contexts: list[BrowserContext] = []

    def make(**options: Any) -> BrowserContext:
        context = browser.new_context(**{"locale": "en-US", **options})
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def context(new_context: Callable[..., BrowserContext]) -> BrowserContext:
    """The profile of the fixture ``participant``."""
    return new_context()


@pytest.fixture(scope="module")
def survey_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the ``SURVEY`` of the test's file, and its images ``MEDIA``."""
    media: dict[str, str] = getattr(request.module, "MEDIA", {})
    with serve(tmp_path_factory.mktemp("server"), request.module.SURVEY, **media) as running:
        yield running


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Server:
    """A running server: with the ``SURVEY`` of the test's file, else with the shipped ones and without sessions."""
    if hasattr(request.module, "SURVEY"):
        own: Server = request.getfixturevalue("survey_server")
        return own
    shared: Server = request.getfixturevalue("shared_server")
    shared.reset()
    return shared


@pytest.fixture
def participant(context: BrowserContext, server: RunningServer) -> Participant:
    """A participant of a server in development."""
    return Participant(context, server.url)


@pytest.fixture(scope="session")
def shared_clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """A running clinic that the tests of one worker use one after the other."""
    with open_clinic(tmp_path_factory.mktemp("clinic")) as opened:
        yield opened


@pytest.fixture
def clinic(shared_clinic: Clinic) -> Clinic:
    """A running clinic without sessions."""
    shared_clinic.reset()
    return shared_clinic


@pytest.fixture
def first_device(context: BrowserContext, clinic: Clinic) -> Participant:
    """A tab on one device."""
    return Participant(context, clinic.url)


@pytest.fixture
def second_device(new_context: Callable[..., BrowserContext], clinic: Clinic) -> Participant:
    """A tab on another device."""
    return Participant(new_context(), clinic.url)


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """A ward for all tests of a file; sessions that a test adds have ids of their own."""
    ward = Ward(tmp_path_factory.mktemp("ward"))
    yield ward
    ward.server.stop()


@pytest.fixture
def desk(context: BrowserContext, ward: Ward) -> Desk:
    """A desk with all scopes."""
    return Desk(context, ward, ward.key)
