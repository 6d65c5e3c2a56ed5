"""Fixtures: participants at the first step, a busy writer, and stores with encryption keys."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from sqlalchemy import Engine

from app.sessions.service import SessionStore
from app.settings import Settings
from app.survey.commands import Answer, Begin, Save
from app.survey.snapshot import SessionKey
from app.writer import group_commit as writer_module
from app.writer.batch import Committed, Turn
from tests.conftest import NewStore
from tests.store.encrypted import OpenWithKeys, client_engine, keys_of
from tests.waiting import wait_for

USERS = [SessionKey("phq9", f"user{number}") for number in range(30)]


@pytest.fixture
def started(store: SessionStore) -> SessionStore:
    """A store with thirty participants at the first step."""
    assert all(
        isinstance(result, Committed) for result in store.turns.submit_many([(key, Begin(at=1)) for key in USERS])
    )
    return store


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches, one for each attempt to commit."""
    sizes: list[int] = []
    real = writer_module.commit_batch

    def commit_and_count(gateway: Any, turns: list[Turn], *others: Any) -> Any:
        sizes.append(len(turns))
        return real(gateway, turns, *others)

    monkeypatch.setattr(writer_module, "commit_batch", commit_and_count)
    return sizes


class BusyWriter:
    """Keeps the writer busy until its release."""

    def __init__(self, store: SessionStore) -> None:
        self._is_busy, self._may_end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=store._writer.run, args=(self._wait,))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_busy.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        self._may_end.set()
        self._thread.join(30)

    def _wait(self, _connection: object) -> None:
        self._is_busy.set()
        assert self._may_end.wait(30)


def answer(number: int = 1, *, at: int = 5, message_id: str | None = None) -> Answer:
    return Answer(at=at, message_id=message_id, step=f"Q{number}", value=1)


def wait_for_queue(store: SessionStore, length: int) -> None:
    wait_for(lambda: len(store._writer._waiting) == length, f"the queue does not have {length} requests")


def save(number: int) -> Save:
    return Save(
        at=5,
        current_step="Q1",
        answers={"n": number},
        step_history=(),
        is_audio_mode=False,
        session_data=None,
    )


@pytest.fixture
def open_with_keys(settings: Settings, tmp_path: Path, new_store: NewStore) -> OpenWithKeys:
    """Open stores with the given keys on the test's own database, with a survey of text questions."""
    folder = tmp_path / "surveys"
    folder.mkdir()
    (folder / "diary.yaml").write_text(
        "id: diary\ntitle: t\nlanguage: en\nsteps:\n"
        " - {id: S1, type: text, prompt: p}\n - {id: S2, type: text, prompt: p}\n - {id: S3, type: text, prompt: p}\n"
    )

    def open_with(*keys: bytes) -> SessionStore:
        return new_store(Settings(database_url=settings.database_url, surveys_dir=folder, answers_keys=keys_of(*keys)))

    return open_with


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """The engine of a database client."""
    client = client_engine(settings)
    yield client
    client.dispose()
