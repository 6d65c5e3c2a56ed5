"""Times, months, email addresses and phone numbers: native fields, bounds in words, and what is stored."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.accessibility import assert_accessible
from tests.browser.participant import Participant
from tests.conftest import Server
from tests.databases import create_sqlite

pytestmark = pytest.mark.browser

STEPS = {
    "time": 'type: time, min: "07:00", max: "19:00"',
    "datetime": "type: datetime, min: 2020-01-01T00:00",
    "month": "type: month, max: 2030-12",
    "now": 'type: datetime, max: "{{ now }}"',
    "email": "type: email",
    "phone": "type: phone",
    "number": "type: number, decimals: 2",
}
WITHOUT_MONTHS = """
const set = Element.prototype.setAttribute;
Element.prototype.setAttribute = function (name, value) {
  set.call(this, name, name === "type" && value === "month" ? "text" : value);
};
"""
"""As Firefox and Safari on a desk, whose field for a month is one for text."""


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a survey of two steps for each type."""
    folder = tmp_path_factory.mktemp("fields")
    surveys = folder / "surveys"
    surveys.mkdir()
    for name, one in STEPS.items():
        steps = f"  - {{id: S1, prompt: Which, {one}}}\n  - {{id: S2, type: info, prompt: Thanks}}\n"
        for language in ("en", "de"):
            head = f"id: {name}-{language}\ntitle: t\nlanguage: {language}\nsteps:\n"
            (surveys / f"{name}-{language}.yaml").write_text(head + steps)
    create_sqlite(folder / "sessions.db")
    server = Server(folder, surveys)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def writer(context: BrowserContext, fields: Server) -> Participant:
    return Participant(context, fields.url)


def expect_refused(writer: Participant, typed: str, problem: str) -> None:
    writer.type(typed)
    writer.next()
    expect(writer.page.locator("#problem")).to_have_text(re.compile(problem))


def expect_stored(writer: Participant, survey: str, typed: str, stored: object, shown: str) -> None:
    """Type an answer, and expect it on the server and in the list of answers."""
    writer.type(typed)
    writer.next()
    writer.expect_step("S2")
    assert writer.answered(survey) == [("S1", stored)]
    writer.page.locator("#answers-panel summary").click()
    expect(writer.page.locator("#answers .answer")).to_have_text(re.compile(f"^{shown}$"))


@pytest.mark.parametrize(
    ("survey", "wrong", "problem", "typed", "shown"),
    [
        ("time-en", "06:59", r"a time from 7:00\sAM on", "07:30", r"7:30\sAM"),
        ("time-de", "19:01", r"19:00", "07:30", "07:30"),
        ("datetime-en", "2019-12-31T23:59", r"from January 1, 2020", "2026-05-03T09:15", r"May 3, 2026.* 9:15\sAM"),
        ("month-en", "2031-01", "up to December 2030", "2026-05", "May 2026"),
        ("month-de", "2031-01", "Dezember 2030", "2026-05", "Mai 2026"),
    ],
)
def test_moment_is_written_in_the_language_of_the_survey(
    writer: Participant, survey: str, wrong: str, problem: str, typed: str, shown: str
) -> None:
    """In the hint, the problem and the list of answers; it is stored as it is written in the file's bounds."""
    writer.open(survey)
    writer.expect_step("S1")
    expect_refused(writer, wrong, problem)
    expect_stored(writer, survey, typed, typed, shown)


@pytest.mark.parametrize(
    ("survey", "wrong", "problem", "typed", "stored"),
    [
        ("email-en", "ann@example", "an email address, such as", " ann@example.org ", "ann@example.org"),
        ("phone-en", "030 123456", r"with \+ and the country code", "+49 (30) 123-45.67", "+49301234567"),
        ("phone-de", "+49", r"\+", "\u200e+\u0664\u0669 30 123456", "+4930123456"),
        ("number-en", "1.825", "at most 2 digits behind", "1.82", 1.82),
    ],
)
def test_address_is_stored_as_the_server_does(
    writer: Participant, survey: str, wrong: str, problem: str, typed: str, stored: object
) -> None:
    """The digits of any script; and a number's decimals."""
    writer.open(survey)
    writer.expect_step("S1")
    expect_refused(writer, wrong, problem)
    expect_stored(writer, survey, typed, stored, re.escape(str(stored)))


def test_computed_bound_is_checked_by_the_server_alone(writer: Participant) -> None:
    """That on the page is of the moment when the step was shown: a minute later, more would be right."""
    writer.open("now-en")
    writer.expect_step("S1")
    expect_refused(writer, "2999-01-01T09:15", "^The answer must not be after")
    expect_stored(writer, "now-en", "2020-05-03T09:15", "2020-05-03T09:15", r"May 3, 2020.* 9:15\sAM")


def test_month_is_chosen_and_its_year_written_when_the_browser_has_no_field_for_it(writer: Participant) -> None:
    """With labels, bounds and drafts as elsewhere."""
    page: Page = writer.page
    page.add_init_script(WITHOUT_MONTHS)
    writer.open("month-en")
    writer.expect_step("S1")
    page.get_by_label("Month").select_option("May")
    writer.next()
    expect(page.locator("#problem")).to_contain_text("a month, and a year in four digits")
    page.get_by_label("Year").fill("2031")
    writer.next()
    expect(page.locator("#problem")).to_contain_text("up to December 2030")
    assert_accessible(page, iter(["a month and a year"]))
    page.get_by_label("Year").fill("2026")
    writer.expect_step("S1")
    page.reload()
    expect(page.get_by_label("Year")).to_have_value("2026")
    expect(page.get_by_label("Month")).to_have_value("05")
    writer.next()
    writer.expect_step("S2")
    assert writer.answered("month-en") == [("S1", "2026-05")]
