"""Accessibility checks of pages: axe-core, horizontal scrolling and the size of targets."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

AXE = Path(__file__).parent / "vendor" / "axe-core-4.14.1" / "axe.min.js"
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 800}

SMALL_TARGETS = """() => [...document.querySelectorAll(
    "button, a, summary, label.choice, input:not([type=hidden], [type=radio], [type=checkbox]), textarea"
  )]
  .filter((element) => element.checkVisibility() && !element.matches(".skip-link, .choice input"))
  .filter((element) => !element.matches(":is(#step, .prose) a"))  // in a sentence (WCAG 2.2, 2.5.8)
  .filter((element) => Math.min(element.offsetWidth, element.offsetHeight) < 44)
  .map((element) => `smaller than 44 pixels: ${element.outerHTML}`)"""


def in_every_appearance(test: Any) -> Any:
    """Run a test in light and dark mode, on a phone and on a desk, with the parameters ``scheme`` and ``viewport``."""
    appearances = [
        pytest.param("light", DESK, id="desk-light"),
        pytest.param("dark", PHONE, id="phone-dark"),
        pytest.param("dark", DESK, id="desk-dark", marks=pytest.mark.long),
        pytest.param("light", PHONE, id="phone-light", marks=pytest.mark.long),
    ]
    return pytest.mark.parametrize(("scheme", "viewport"), appearances)(test)


def assert_accessible(page: Page, views: Iterable[str]) -> None:
    """Check the page at each view, while ``views`` opens one after the other and yields their names."""
    problems = {view: [*axe_violations(page), *small_targets(page), *overflow(page)] for view in views}
    assert {view: found for view, found in problems.items() if found} == {}


def axe_violations(page: Page) -> list[str]:
    """Return the violations that axe-core finds, best practices included."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    violations: list[dict[str, Any]] = page.evaluate("axe.run().then((result) => result.violations)")
    return [f"{violation['id']}: {node['html']}" for violation in violations for node in violation["nodes"]]


def small_targets(page: Page) -> list[str]:
    """Return the controls that are less than 44 pixels high or wide."""
    small: list[str] = page.evaluate(SMALL_TARGETS)
    return small


def overflow(page: Page) -> list[str]:
    """Return a problem if the page needs horizontal scrolling."""
    fits: bool = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    return [] if fits else ["scrolls horizontally"]
