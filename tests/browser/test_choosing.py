"""Options: dropdowns, fields that find them, buttons, texts beside them, what excludes others, and rankings."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.accessibility import assert_accessible, in_every_appearance
from tests.browser.participant import Participant
from tests.conftest import Server
from tests.databases import create_sqlite

pytestmark = pytest.mark.browser

COUNTRIES = "Albania, Austria, Belgium, Denmark, Estonia, France, Germany, Greece, Iceland, Italy, Österreich"
OTHER = "{value: other, label: Another, other: true}"
STEPS = {
    "radios": f"type: choice, options: [Rest, Ice, {OTHER}]",
    "buttons": f"type: choice, display: buttons, options: [Rest, Ice, {OTHER}]",
    "dropdown": f"type: choice, display: dropdown, options: [Rest, Ice, {OTHER}]",
    "search": f"type: choice, options: [{COUNTRIES}, {OTHER}]",
    "several": f"type: choices, min_choices: 2, options: [Rest, Ice, {OTHER}, {{value: none, exclusive: true}}]",
    "several_buttons": "type: choices, display: buttons, options: [Rest, Ice, Heat]",
    "several_folded": f"type: choices, display: dropdown, options: [Rest, Ice, {OTHER}]",
    "several_searched": f"type: choices, options: [{COUNTRIES}, {OTHER}]",
    "ranking": "type: ranking, options: [Rest, Ice, Heat]",
}


@pytest.fixture(scope="module")
def choosing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a survey of one step for each way to choose, and a step behind it; and one with all of them."""
    folder = tmp_path_factory.mktemp("choosing")
    surveys = folder / "surveys"
    surveys.mkdir()
    head = "title: t\nlanguage: en\nsteps:\n"
    for name, fields in STEPS.items():
        steps = f"  - {{id: S1, prompt: Which, {fields}}}\n  - {{id: S2, type: info, prompt: Thanks}}\n"
        (surveys / f"{name}.yaml").write_text(f"id: {name}\n{head}{steps}")
    steps = "".join(f"  - {{id: {name}, prompt: Which, required: false, {one}}}\n" for name, one in STEPS.items())
    (surveys / "all.yaml").write_text(f"id: all\n{head}{steps}")
    create_sqlite(folder / "sessions.db")
    server = Server(folder, surveys)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def chooser(context: BrowserContext, choosing: Server) -> Participant:
    return Participant(context, choosing.url)


def begin(chooser: Participant, survey: str) -> None:
    chooser.open(survey)
    chooser.expect_step("S1")


def expect_answer(chooser: Participant, survey: str, answer: object) -> None:
    """Press Next, and expect this answer."""
    chooser.next()
    chooser.expect_step("S2")
    assert chooser.answered(survey) == [("S1", answer)]


@pytest.mark.parametrize("survey", ["radios", "buttons"])
def test_text_beside_an_option_is_asked_for_when_it_is_chosen(chooser: Participant, survey: str) -> None:
    """It is kept while another option is tried, comes back as a draft, and is no part of the other's answer."""
    begin(chooser, survey)
    field = chooser.page.get_by_label("please write it here")
    expect(field).to_be_hidden()
    chooser.choose("Another")
    field.fill("  Sport ")
    chooser.choose("Rest")
    expect(field).to_be_hidden()
    chooser.choose("Another")
    expect(field).to_have_value("  Sport ")
    chooser.expect_step("S1")
    chooser.page.reload()
    expect(field).to_have_value("Sport")
    expect_answer(chooser, survey, {"value": "other", "text": "Sport"})
    chooser.page.locator("#answers-panel summary").click()
    expect(chooser.page.locator("#answers .answer")).to_have_text("Another: Sport")


def test_text_beside_an_option_is_refused_when_it_is_too_long(chooser: Participant) -> None:
    """In words, before it is sent; emptied, it is an answer too."""
    begin(chooser, "radios")
    chooser.choose("Another")
    field = chooser.page.locator(".other input")
    field.fill("😀" * 1001)
    chooser.next()
    expect(chooser.page.locator("#problem")).to_have_text("1 character too many")
    field.fill("")
    expect_answer(chooser, "radios", {"value": "other", "text": ""})


def test_dropdown_gives_an_option_and_its_text(chooser: Participant) -> None:
    """Its empty entry is no answer."""
    begin(chooser, "dropdown")
    chooser.next()
    expect(chooser.page.locator("#problem")).to_have_text("Please choose an answer to continue.")
    chooser.page.get_by_label("Which").select_option("Another")
    chooser.page.locator(".other input").fill("Sport")
    expect_answer(chooser, "dropdown", {"value": "other", "text": "Sport"})


def test_option_is_found_and_chosen_by_keyboard(chooser: Participant) -> None:
    """The pattern of WAI-ARIA: the field keeps the focus and names the active option; accents need not be typed."""
    begin(chooser, "search")
    page = chooser.page
    field = page.get_by_role("combobox", name="Which")
    options = page.get_by_role("option")
    field.press_sequentially("ö")
    assert options.all_inner_texts() == ["Österreich", "Another"]
    field.fill("g")
    expect(field).to_have_attribute("aria-expanded", "true")
    assert options.all_inner_texts() == ["Germany", "Greece", "Another"]
    expect(page.get_by_role("status").filter(has_text="found")).to_have_text("3 options found")
    for key, option in (("ArrowDown", "Germany"), ("ArrowDown", "Greece"), ("ArrowUp", "Germany")):
        field.press(key)
        active = field.get_attribute("aria-activedescendant")
        expect(page.locator(f"#{active}")).to_have_text(option)
    field.press("Enter")
    expect(field).to_have_value("Germany")
    expect(field).to_have_attribute("aria-expanded", "false")
    field.press("ArrowDown")
    expect(field).to_have_attribute("aria-expanded", "true")
    field.press("Escape")
    expect(field).to_have_attribute("aria-expanded", "false")
    field.press("Enter")
    chooser.expect_step("S2")
    assert chooser.answered("search") == [("S1", "Germany")]


def test_option_is_found_and_chosen_by_touch(new_context: Callable[..., BrowserContext], choosing: Server) -> None:
    """What is typed and is no option is refused; an option that takes a text is always found."""
    chooser = Participant(new_context(has_touch=True, viewport={"width": 360, "height": 740}), choosing.url)
    begin(chooser, "search")
    chooser.type("Atlantis")
    chooser.next()
    expect(chooser.page.locator("#problem")).to_have_text("Please choose an option from the list.")
    chooser.type("aus")
    chooser.page.get_by_role("option", name="Austria").tap()
    expect(chooser.field()).to_have_value("Austria")
    chooser.field().fill("xyz")
    chooser.page.get_by_role("option", name="Another").tap()
    chooser.page.locator(".other input").fill("Atlantis")
    expect_answer(chooser, "search", {"value": "other", "text": "Atlantis"})


def test_typed_label_is_its_option(chooser: Participant) -> None:
    """In any case, without choosing it from the list."""
    begin(chooser, "search")
    chooser.type("germany")
    expect_answer(chooser, "search", "Germany")


def test_exclusive_option_unchecks_all_others(chooser: Participant) -> None:
    """And they uncheck it; alone it is enough."""
    begin(chooser, "several")
    chooser.choose("Rest", "Ice", "none")
    expect(chooser.page.locator("#step input:checked")).to_have_count(1)
    chooser.choose("Ice")
    expect(chooser.page.locator("#step input:checked")).to_have_count(1)
    chooser.next()
    expect(chooser.page.locator("#problem")).to_have_text("Choose at least 2.")
    chooser.choose("none")
    expect_answer(chooser, "several", ["none"])


def test_choices_have_texts_in_their_places(chooser: Participant) -> None:
    begin(chooser, "several")
    chooser.choose("Another", "Rest")
    chooser.page.locator(".other input").fill("Sport")
    expect_answer(chooser, "several", ["Rest", {"value": "other", "text": "Sport"}])


def test_folded_choices_name_what_is_chosen(chooser: Participant) -> None:
    begin(chooser, "several_folded")
    chooser.page.get_by_text("Please choose", exact=True).click()
    chooser.choose("Rest", "Ice")
    expect(chooser.page.locator("#chosen")).to_have_text("Rest, Ice")
    expect_answer(chooser, "several_folded", ["Rest", "Ice"])


def test_search_in_choices_keeps_the_chosen_ones_in_view(chooser: Participant) -> None:
    """What is typed there is no draft, and Enter does not send the answer."""
    begin(chooser, "several_searched")
    chooser.choose("Austria")
    search = chooser.page.get_by_label("Find an option")
    search.fill("ice")
    search.press("Enter")
    expect(chooser.page.locator("#step label.choice:visible")).to_have_text(["Austria", "Iceland", "Another"])
    chooser.choose("Iceland")
    expect_answer(chooser, "several_searched", ["Austria", "Iceland"])


def test_ranking_is_moved_by_buttons_and_by_keys(chooser: Participant) -> None:
    """The focus stays on the button, and each move is announced; the order that is shown first is no answer."""
    begin(chooser, "ranking")
    page = chooser.page
    chooser.next()
    expect(page.locator("#problem")).to_contain_text("put these in your order")
    page.get_by_role("button", name="Move down: Rest").click()
    expect(page.locator(".ranking .label")).to_have_text(["Ice", "Rest", "Heat"])
    expect(page.locator("#step [role=status]")).to_have_text("Rest: 2 of 3")
    page.get_by_role("button", name="Move up: Heat").focus()
    for _ in range(3):
        page.keyboard.press("ArrowUp")
    expect(page.get_by_role("button", name="Move up: Heat")).to_be_focused()
    expect(page.locator(".ranking .label")).to_have_text(["Heat", "Ice", "Rest"])
    chooser.expect_step("S1")
    page.reload()
    expect(page.locator(".ranking .label")).to_have_text(["Heat", "Ice", "Rest"])
    expect_answer(chooser, "ranking", ["Heat", "Ice", "Rest"])
    page.locator("#answers-panel summary").click()
    expect(page.locator("#answers .answer")).to_have_text("1. Heat, 2. Ice, 3. Rest")


def test_ranking_is_kept_as_it_is_when_its_order_is_right(chooser: Participant) -> None:
    begin(chooser, "ranking")
    chooser.page.get_by_role("button", name="This order is right").click()
    expect(chooser.heading).to_be_focused()
    expect_answer(chooser, "ranking", ["Rest", "Ice", "Heat"])


def every_step(chooser: Participant) -> Iterator[str]:
    """Skip from step to step, with an open list and a text where there are any."""
    chooser.open("all")
    for name in STEPS:
        chooser.expect_step(name)
        yield name
        if name == "search":
            chooser.field().click()
            chooser.page.keyboard.press("ArrowDown")
            yield "an open list"
        if name == "radios":
            chooser.choose("Another")
            yield "a text beside an option"
        if name == "several_folded":
            chooser.page.locator("#chosen").click()
            yield "unfolded options"
        chooser.skip()
    chooser.expect_done()


@in_every_appearance
def test_ways_to_choose_are_accessible(
    new_context: Callable[..., BrowserContext], choosing: Server, scheme: str, viewport: dict[str, int]
) -> None:
    """No step has an axe-core violation, scrolls horizontally or has a small target."""
    chooser = Participant(new_context(color_scheme=scheme, viewport=viewport, reduced_motion="reduce"), choosing.url)
    assert_accessible(chooser.page, every_step(chooser))
