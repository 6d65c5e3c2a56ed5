"""A real Chromium for the browser tests: one process a worker, a fresh profile a test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.browser.participant import Participant, RunningServer

expect.set_options(timeout=20_000)  # milliseconds; a busy machine, or a page that waits for its next try


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """Chromium as the machine has it; tests/conftest.py says what happens where there is none."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def new_context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Make a browser profile of its own, as another device would have."""
    made: list[BrowserContext] = []

    def make(**options: Any) -> BrowserContext:
        context = browser.new_context(locale="en-US", **options)
        made.append(context)
        return context

    yield make
    for context in made:
        context.close()


@pytest.fixture
def context(new_context: Callable[..., BrowserContext]) -> BrowserContext:
    """The profile of the participant whom a test is about."""
    return new_context()


@pytest.fixture
def participant(context: BrowserContext, server: RunningServer) -> Participant:
    """The participant whom a test is about."""
    return Participant(context, server.url)
