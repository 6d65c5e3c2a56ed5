"""The real instruments of tests/instruments on a phone: every step, with what the originals' rules say is shown."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.browser.accessibility import PHONE
from tests.browser.participant import Participant
from tests.conftest import Server
from tests.instruments import texts
from tests.instruments.expected import END, ExpectedSession
from tests.instruments.oracle import NAMES
from tests.instruments.serving import TODAY, arrive, serve_instruments
from tests.instruments.walks import Turn, straight_walks

pytestmark = pytest.mark.browser

SEEN = """() => {
  const texts = (root, selector) => [...root.querySelectorAll(selector)].map((one) => one.textContent);
  const shown = (root, selector) => [...root.querySelectorAll(selector)].filter((one) => one.checkVisibility()).map((one) => one.innerText);
  const mark = (root) => root.querySelector(".optional")?.innerText ?? "";
  const prompt = (root) => [...root.querySelectorAll("h2, .grid-label")].find((one) => one.checkVisibility());
  const seen = (root) => ({
    prompt: [prompt(root)].map((one) => one.innerText.slice(0, one.innerText.length - mark(one).length)),
    help: shown(root, ".help").slice(0, 1),
    options: texts(root, "label.choice > span, .ranking .label, select option:not([value='']), [role=option]"),
  });
  const controls = { ranking: ".ranking", folded: "details.dropdown", options: "input[data-value]", dropdown: "select", search: "[role=combobox]" };
  const control = (root) => Object.entries(controls).find(([, selector]) => root.querySelector(selector))?.[0] ?? "field";
  const step = document.querySelector("#step");
  const parts = [...step.querySelectorAll(".part")];
  const visible = parts.filter((part) => part.checkVisibility());
  return {
    ...seen(step),
    rest: shown(step, "#prompt-rest"),
    parts: visible.map((part) => [part.dataset.part, { ...seen(part), optional: mark(part) !== "" }]),
    controls: Object.fromEntries([["", step], ...parts.map((part) => [part.dataset.part, part])].map(([id, root]) => [id, control(root)])),
    fits: document.documentElement.scrollWidth <= window.innerWidth,
  };
}"""
"""What the page shows of a step."""


@pytest.fixture(scope="module")
def instruments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve_instruments(tmp_path_factory.mktemp("instruments")) as server:
        yield server


@pytest.mark.parametrize("name", NAMES)
def test_instrument_shows_what_the_original_shows(
    name: str, instruments: Server, new_context: Callable[..., BrowserContext]
) -> None:
    participant = Participant(new_context(viewport=PHONE, reduced_motion="reduce"), instruments.url)
    for number, walk in enumerate(straight_walks(name, TODAY)):
        user_id = f"{name}-{number}"
        session = walk.begin(name, TODAY)
        query = arrive(instruments, name, user_id, walk)
        participant.open(name, user=user_id, **{key: quote(value, safe="") for key, value in query.items()})
        for turn in walk.turns:
            take(name, participant, session, turn)
        participant.expect_step(END)
        expect_end(name, participant.page, session)
        stored = participant.page.request.get(f"{instruments.url}/api/session/{user_id}?survey={name}").json()
        assert stored["session"]["answers"] == texts.stored(name, session.values_by_step())


def take(name: str, participant: Participant, session: ExpectedSession, turn: Turn) -> None:
    """Expect the step, fill it in as the walk does, and press Next."""
    page = participant.page
    participant.expect_step(turn.step)
    seen = page.evaluate(SEEN)
    assert seen["fits"], turn.step
    compare(name, seen, session, turn)
    step = page.locator("#step")
    kind = texts.parts(name)[turn.step]["type"]
    for item in session.items(turn.step, turn.entered):
        place = step.locator(f"[data-part={item.part}]") if item.part else step
        answer = turn.entered.get(item.id)
        if item.beside is not None:
            place.locator(".other input:visible").fill(answer or "")
        elif answer is not None:
            labels = texts.options(name, turn.step if kind == "grid" else item.part or turn.step, session.language)
            fill(place, seen["controls"][item.part or ""], item.ours(answer), labels)
        elif item.default is not None:
            clear(place, seen["controls"][item.part or ""])
    if kind in ("page", "grid"):
        shown = dict.fromkeys(item.part for item in session.items(turn.step, turn.entered))
        assert [part for part, _ in page.evaluate(SEEN)["parts"]] == list(shown)
    participant.next()
    if is_doubted(session, turn):
        page.get_by_role("button", name="Yes, it is right").click()
    session.answer(turn.step, turn.entered)


def is_doubted(session: ExpectedSession, turn: Turn) -> bool:
    given = session.given(turn.step, turn.entered)
    return any(turn.entered.get(item.id) in item.unusual(given) for item in session.items(turn.step, turn.entered))


def compare(name: str, seen: Any, session: ExpectedSession, turn: Turn) -> None:
    """Compare the texts and options of the step, and of each field or row that is shown now."""
    inserted = session.original.inserted(session.given(turn.step))
    prompt = texts.part_text(name, turn.step, "prompt", session.language, inserted) or ""
    first, *rest = texts.paragraphs(name, prompt)
    assert spaced(seen["prompt"]) == spaced([first])
    assert spaced(seen["rest"]) == spaced(rest)
    kind = texts.parts(name)[turn.step]["type"]
    if kind == "grid":
        rows = texts.rows(name, turn.step, session.language)
        labels = list(texts.options(name, turn.step, session.language).values())
        assert [(part, one["prompt"], one["options"]) for part, one in seen["parts"]] == [
            (row, [label], labels) for row, label in rows.items()
        ]
        return
    compare_part(name, session, turn.step, turn.step, seen)
    for part, one in seen["parts"]:
        prompt = texts.part_text(name, part, "prompt", session.language, inserted) or ""
        assert spaced(one["prompt"]) == spaced(texts.paragraphs(name, prompt)[:1]), part
        compare_part(name, session, turn.step, part, one)
        assert one["optional"] == is_optional(session, turn.step, part), part


def compare_part(name: str, session: ExpectedSession, step: str, part: str, seen: Any) -> None:
    """Compare the help and the options of a step or field."""
    inserted = session.original.inserted(session.given(step))
    help_text = texts.part_text(name, part, "help", session.language, inserted)
    if help_text is not None:
        assert spaced(seen["help"]) == spaced([help_text]), part
    items = [item for item in session.items(step) if (item.part or step) == part and item.beside is None]
    for item in items:
        options = item.shown_options(session.given(step))
        labels = texts.options(name, part, session.language)
        if options is not None and labels:
            expected = [labels[str(item.ours(option))] for option in options]
            assert (sorted(seen["options"]) == sorted(expected)) if item.shuffled else (seen["options"] == expected), (
                part
            )


def is_optional(session: ExpectedSession, step: str, part: str) -> bool:
    """Return whether a field can be left out; a text cannot."""
    given = session.given(step)
    item = next(item for item in session.original.steps[step] if item.part == part)
    return not item.is_required(given) and item.accepted(given) != [None]


def spaced(written: list[str]) -> list[str]:
    """Return texts with single spaces, and without bullets, which a list has by its style."""
    return [" ".join(text.replace("• ", "").split()) for text in written]


def fill(place: Locator, control: str, value: Any, labels: Mapping[str, str]) -> None:
    """Give an answer in the control that is there."""
    match control:
        case "ranking":
            rank(place, value)
        case "options" | "folded":
            if control == "folded":
                place.locator("summary").click()
            for one in value if isinstance(value, list) else [value]:
                place.locator(f"input[data-value='{json.dumps(one)}']").check()
        case "dropdown":
            place.locator("select").select_option(label=labels[str(value)])
        case "search":
            place.locator("[role=combobox]").click()
            place.get_by_role("option", name=labels[str(value)], exact=True).click()
        case _:
            place.locator("input, textarea").first.fill(str(value))


def clear(place: Locator, control: str) -> None:
    """Remove a default."""
    if control == "dropdown":
        place.locator("select").select_option("")
    else:
        place.locator("input, textarea").first.fill("")


def rank(place: Locator, values: list[Any]) -> None:
    """Move each option up to its place."""
    place.get_by_role("button", name="This order is right").click()
    for target, value in enumerate(values):
        row = place.locator(f".ranking li[data-value='{json.dumps(value)}']")
        above: int = row.evaluate("(row) => [...row.parentElement.children].indexOf(row)")
        for _ in range(above - target):
            row.get_by_role("button").first.click()


def expect_end(name: str, page: Page, session: ExpectedSession) -> None:
    """Expect the title, text and redirect of the ending."""
    ending = session.ending()
    if ending.place is None:
        return
    written = texts.definition(name)["end"][ending.place]
    count = len(texts.INSERTION.findall(str(written.get("title", ""))))
    if title := texts.text(name, written.get("title"), session.language, ending.inserted[:count]):
        expect(page.locator("#done-heading")).to_have_text(title)
    if body := texts.text(name, written.get("text"), session.language, ending.inserted[count:]):
        expect(page.locator("#ending")).to_have_text(re.sub(r"\s+", " ", body))
    if ending.redirect:
        expect(page.locator("#redirect-box a")).to_have_attribute("href", ending.redirect)
