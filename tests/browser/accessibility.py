"""Accessibility checks of pages: axe-core, horizontal scrolling and the size of targets."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, ViewportSize

AXE = Path(__file__).parent / "vendor" / "axe-core-4.14.1" / "axe.min.js"
PHONE: ViewportSize = {"width": 360, "height": 740}
DESK: ViewportSize = {"width": 1280, "height": 800}

VIOLATIONS = """(options) => axe.run({ resultTypes: ["violations"], selectors: false, ...options })
  .then((result) => result.violations)"""
"""Without what passed, and without selectors of elements: that takes half of the time."""

STYLE_RULES = ["color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size"]
"""The rules of axe-core whose result depends on colours and sizes.

The other ones read elements, names and roles. These depend on the size too where CSS changes ``display`` by it, as of the
dashboard's tables on a phone; of the participant's pages it does so only for the head of a grid, which is aria-hidden.
"""

SMALL_TARGETS = """() => [...document.querySelectorAll(
    "button, a, summary, label.choice, input:not([type=hidden], [type=radio], [type=checkbox]), textarea"
  )]
  .filter((element) => element.checkVisibility() && !element.matches(".skip-link, .choice input"))
  .filter((element) => !element.matches(":is(#step, .prose) a"))  // in a sentence (WCAG 2.2, 2.5.8)
  .filter((element) => Math.min(element.offsetWidth, element.offsetHeight) < 44)
  .map((element) => `smaller than 44 pixels: ${element.outerHTML}`)"""


def in_every_appearance(test: Any) -> Any:
    """Run a test in light and dark mode, on a phone and on a desk, with the parameters ``scheme`` and ``viewport``.

    In `make test` only one opens its page so: ``assert_accessible`` also checks each view in the opposite appearance.
    """
    appearances = [
        pytest.param("light", DESK, id="desk-light"),
        pytest.param("dark", PHONE, id="phone-dark", marks=pytest.mark.long),
        pytest.param("dark", DESK, id="desk-dark", marks=pytest.mark.long),
        pytest.param("light", PHONE, id="phone-light", marks=pytest.mark.long),
    ]
    return pytest.mark.parametrize(("scheme", "viewport"), appearances)(test)


def assert_accessible(
    page: Page, views: Iterable[str], *, has_forced_colours: bool = False, display_depends_on_size: bool = False
) -> None:
    """Check the page at each view as it is and, unless its colours are forced, its style in the opposite colours and size.

    Args:
        views: opens one after the other and yields their names.
        display_depends_on_size: the CSS shows, hides or changes the ``display`` of elements by the size of the page, so
            that all rules are checked in the opposite appearance.
    """
    problems = {}
    opposite_options = {} if display_depends_on_size else {"runOnly": STYLE_RULES}
    for view in views:
        problems[view] = problems_of(page)
        if not has_forced_colours:
            with opposite_appearance(page):
                problems[f"{view}, in the opposite appearance"] = problems_of(page, **opposite_options)
    assert {view: found for view, found in problems.items() if found} == {}


def problems_of(page: Page, **options: Any) -> list[str]:
    """Return what is wrong with the page as it is shown; ``options`` are axe-core's."""
    return [*axe_violations(page, **options), *small_targets(page), *overflow(page)]


@contextlib.contextmanager
def opposite_appearance(page: Page) -> Iterator[None]:
    """Show the page on a dark phone instead of a light desk, or the reverse; then as before."""
    is_dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    size = page.viewport_size
    assert size is not None
    page.emulate_media(color_scheme="light" if is_dark else "dark")
    page.set_viewport_size(DESK if size["width"] == PHONE["width"] else PHONE)
    yield
    page.emulate_media(color_scheme="dark" if is_dark else "light")
    page.set_viewport_size(size)


def axe_violations(page: Page, **options: Any) -> list[str]:
    """Return the violations that axe-core finds, best practices included unless ``options`` choose rules."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    violations: list[dict[str, Any]] = page.evaluate(VIOLATIONS, options)
    return [f"{violation['id']}: {node['html']}" for violation in violations for node in violation["nodes"]]


def small_targets(page: Page) -> list[str]:
    """Return the controls that are less than 44 pixels high or wide."""
    small: list[str] = page.evaluate(SMALL_TARGETS)
    return small


def overflow(page: Page) -> list[str]:
    """Return a problem if the page needs horizontal scrolling."""
    fits: bool = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    return [] if fits else ["scrolls horizontally"]
