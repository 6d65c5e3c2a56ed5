"""What is read of sessions, beside the states that tests of the service and of REST read."""

from pathlib import Path

import pytest

from app.sessions.service import SessionStore
from app.settings import Settings
from app.survey import Answer, AnyCommand, Begin, Restart, SessionKey, SetLanguage
from app.writer import Committed
from tests.conftest import NewStore

KEY = SessionKey("visit", "ada")
VISIT = """
id: visit
title: Visit
language: {language}
{languages}
steps:
  - {{id: S1, type: boolean, prompt: p, check: [{{that: answer, message: m, level: warning}}]}}
  - {{id: S2, type: boolean, prompt: p}}
"""


class Changing:
    """A store whose survey file changes."""

    def __init__(self, store: SessionStore, file: Path) -> None:
        self.store = store
        self._file = file

    def offer(self, language: str, languages: str = "") -> None:
        self._file.write_text(VISIT.format(language=language, languages=languages))
        self.store.surveys.reload()

    def do(self, *commands: AnyCommand) -> None:
        results = self.store.turns.submit_many([(KEY, command) for command in commands])
        assert all(isinstance(result, Committed) for result in results)


@pytest.fixture
def changing(settings: Settings, new_store: NewStore, tmp_path: Path) -> Changing:
    folder = tmp_path / "surveys"
    folder.mkdir()
    return Changing(new_store(settings, surveys_dir=folder), folder / "visit.yaml")


def test_history_has_the_language_of_each_answer(changing: Changing) -> None:
    """Recorded where there is a choice, else that of the revision in which the walk began; on any page of it."""
    at = changing.store.clock()
    answer, again, restart = Answer(at=at, step="S1", value=True), Answer(at=at, step="S2", value=True), Restart(at=at)
    changing.offer("de")
    changing.do(Begin(at=at), answer, again)
    changing.offer("en")
    changing.do(restart, answer)
    changing.offer("en", "languages: [en, fr]")
    changing.do(restart, SetLanguage(at=at, language="fr"), answer)
    changing.offer("nl")
    changing.do(restart, answer)
    expected = {2: "de", 3: "de", 5: "en", 8: "fr", 10: "nl"}
    for after in range(10):
        entries = changing.store.queries.history(KEY, after_version=after)
        events = changing.store.queries.events_to_dicts(KEY, entries)
        languages = {event["version"]: event["data"]["language"] for event in events if event["action"] == "answered"}
        assert languages == {version: language for version, language in expected.items() if version > after}
        assert [event["version"] for event in events] == list(range(after + 1, 11))
        assert [event["data"] for event in events if event["action"] == "started"] == [
            entry.record.data for entry in entries if entry.version == 1
        ]
