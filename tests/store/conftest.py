"""What tests of the writer share: participants at the first step, and ways to hold the writer."""

import threading
from typing import Any, Self

import pytest

from app.sessions.service import SessionStore
from app.survey.commands import Answer, Begin, Save
from app.survey.snapshot import SessionKey
from app.writer import group_commit as writer_module
from app.writer.batch import Committed, Turn
from tests.waiting import wait_for

USERS = [SessionKey("phq9", f"user{number}") for number in range(30)]


@pytest.fixture
def begun(store: SessionStore) -> SessionStore:
    """A store in which thirty participants are at the first step."""
    assert all(
        isinstance(result, Committed) for result in store.turns.submit_many([(key, Begin(at=1)) for key in USERS])
    )
    return store


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that are committed, as they are tried."""
    sizes: list[int] = []
    real = writer_module.commit_batch

    def counted(gateway: Any, turns: list[Turn], survey_for: Any) -> Any:
        sizes.append(len(turns))
        return real(gateway, turns, survey_for)

    monkeypatch.setattr(writer_module, "commit_batch", counted)
    return sizes


class Holding:
    """Occupies the writer until it is let go."""

    def __init__(self, store: SessionStore) -> None:
        self._inside, self._go_on = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=store._writer.run, args=(self._hold,))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._inside.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()

    def let_go(self) -> None:
        self._go_on.set()
        self._thread.join(30)

    def _hold(self, _connection: object) -> None:
        self._inside.set()
        assert self._go_on.wait(30)


def answer(number: int = 1, *, at: int = 5, message_id: str | None = None) -> Answer:
    return Answer(at=at, message_id=message_id, step=f"Q{number}", value=1)


def waiting(store: SessionStore, count: int) -> None:
    wait_for(lambda: len(store._writer._waiting) == count, f"there are not {count} waiting")


def save(number: int) -> Save:
    return Save(
        at=5,
        current_step="Q1",
        answers={"n": number},
        step_history=(),
        is_audio_mode=False,
        session_data=None,
    )
