"""A browser that takes many surveys is never refused for what it has to send."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from app.survey.commands import Answer
from app.survey.snapshot import SessionKey
from app.web.cookies import MAX_CLEARED, MAX_RESUME_BYTES
from tests.conftest import Server
from tests.databases import create_sqlite
from tests.web.production import DAY_US, App, in_production, open_app, production

SURVEYS = 200
PREFIX = "__Host-stepkeep."


def survey_id(number: int) -> str:
    return f"diary-of-november-{number:03}"


def add_surveys(folder: Path) -> Path:
    """Write a diary: a survey a day, of one question."""
    surveys = folder / "surveys"
    surveys.mkdir()
    for number in range(SURVEYS):
        text = (
            f"id: {survey_id(number)}\ntitle: Day\nlanguage: en\nsteps:\n  - {{id: S1, type: text, prompt: Your day}}\n"
        )
        (surveys / f"{survey_id(number)}.yaml").write_text(text)
    return surveys


class Jar:
    """A browser's cookies."""

    def __init__(self) -> None:
        self.cookies: dict[str, str] = {}

    @property
    def header(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def store(self, headers: list[str]) -> None:
        """Apply Set-Cookie headers."""
        for header in headers:
            for name, morsel in SimpleCookie(header).items():
                if morsel.value:
                    self.cookies[name] = morsel.value
                else:
                    self.cookies.pop(name, None)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The application in production with 200 surveys."""
    folder = tmp_path_factory.mktemp("diary")
    settings = Settings(database_url=create_sqlite(folder / "diary.db"), surveys_dir=add_surveys(folder))
    app = open_app(production(settings))
    yield app
    app.close()


def open_page(app: App, jar: Jar, number: int) -> Any:
    """Open a survey in the browser."""
    answer = app.request("GET", f"/s/{survey_id(number)}", headers={"Cookie": jar.header})
    jar.store(answer.headers.getlist("Set-Cookie"))
    return answer


def participant_in(app: App, jar: Jar, number: int) -> SessionKey:
    return app.credentials.verify_token(jar.cookies[PREFIX + survey_id(number)]).key


def complete(app: App, key: SessionKey) -> None:
    app.store.turns.get_or_create(key, is_audio_mode=False)
    app.store.turns.submit(key, Answer(at=app.clock(), message_id="m-1", step="S1", value="well"))


def test_cookies_are_bounded_when_a_browser_takes_200_surveys(app: App) -> None:
    """The newest are kept."""
    jar = Jar()
    for number in range(SURVEYS):
        assert open_page(app, jar, number).status_code == 200
        assert len(jar.header) <= MAX_RESUME_BYTES
    kept = [number for number in range(SURVEYS) if PREFIX + survey_id(number) in jar.cookies]
    assert len(kept) >= 20
    assert kept == list(range(SURVEYS - len(kept), SURVEYS))


def test_unfinished_surveys_are_kept_longer_than_completed_ones(app: App) -> None:
    """A diary's earlier days are completed; what was begun first and not completed can still be continued."""
    jar = Jar()
    open_page(app, jar, 0)
    unfinished = participant_in(app, jar, 0)
    for number in range(1, 60):
        assert open_page(app, jar, number).status_code == 200
        complete(app, participant_in(app, jar, number))
    assert participant_in(app, jar, 0) == unfinished
    assert PREFIX + survey_id(1) not in jar.cookies


def test_invalid_cookies_are_dropped_first(app: App) -> None:
    jar = Jar()
    for number in range(10):
        open_page(app, jar, number)
    valid = dict(jar.cookies)
    for number in range(100, 140):
        jar.cookies[PREFIX + survey_id(number)] = "x" * 200
    for _ in range(4):
        open_page(app, jar, 0)
    assert valid.items() <= jar.cookies.items()
    assert len(jar.header) <= MAX_RESUME_BYTES


def test_cookies_of_a_browser_that_is_over_the_bound_are_cleared_by_any_page(app: App) -> None:
    """An earlier release set them without a bound; the page's own cookie stays, and no response has too many headers."""
    jar = Jar()
    for number in range(SURVEYS):
        jar.cookies[PREFIX + survey_id(number)] = app.create_token(f"p-{number}", survey_id(number))
    own = participant_in(app, jar, 3)
    for _ in range(SURVEYS // MAX_CLEARED):
        assert len(str(open_page(app, jar, 3).headers)) < 4096
    assert len(jar.header) <= MAX_RESUME_BYTES
    assert participant_in(app, jar, 3) == own


def test_other_cookies_are_left_alone(app: App) -> None:
    """Of other programs on this host, and of the dashboard."""
    jar = Jar()
    jar.cookies = {"theirs": "x" * 7000, "__Host-stepkeep-sign-in": "x" * 43, f"{PREFIX}Not/An Id": "x" * 7000}
    before = dict(jar.cookies)
    open_page(app, jar, 0)
    assert before.items() <= jar.cookies.items()


def test_renewed_cookie_counts_as_new(app: App) -> None:
    """The survey that is visited regularly outlives those that were begun after it."""
    jar = Jar()
    open_page(app, jar, 0)
    app.clock.ahead_us += 50 * DAY_US
    for number in range(1, 20):
        open_page(app, jar, number)
    app.clock.ahead_us += DAY_US
    open_page(app, jar, 0)
    for number in range(20, 45):
        open_page(app, jar, number)
    assert PREFIX + survey_id(0) in jar.cookies
    assert PREFIX + survey_id(1) not in jar.cookies
    app.clock.ahead_us = 0


def test_server_reads_the_cookies_of_a_browser_that_is_over_the_bound(tmp_path: Path) -> None:
    """Up to 16 KiB, which an earlier release may have set, are accepted and cleared; more, or 51 headers, get 431."""
    server = Server(tmp_path, add_surveys(tmp_path), environment=in_production())
    server.start()
    try:
        jar = Jar()
        for number in range(1, 62):
            jar.cookies[PREFIX + survey_id(number)] = "x" * 220
        assert 15 * 1024 < len(jar.header) < 16 * 1024
        for _ in range(60 // MAX_CLEARED):
            request = urllib.request.Request(f"{server.url}/s/{survey_id(0)}", headers={"Cookie": jar.header})
            with urllib.request.urlopen(request, timeout=60) as answer:
                jar.store(answer.headers.get_all("Set-Cookie") or [])
        assert len(jar.header) <= MAX_RESUME_BYTES
        for headers in ({"Cookie": "x" * 2**14}, {f"X-{number}": "x" for number in range(51)}):
            request = urllib.request.Request(f"{server.url}/", headers=headers)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=60)
            with refused.value as answer:
                assert answer.code == 431
    finally:
        server.stop()
