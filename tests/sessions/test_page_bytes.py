"""Pages of histories and sessions end at a number of bytes, and lose nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event

from app.sessions.service import SessionStore
from app.store import export_pages, keyset
from app.survey.commands import Note, Save
from app.survey.snapshot import SessionKey

PAGE_BYTES = 1000
SIZES = [10, 300, 300, 300, 300, 5000, 1, 1, 999, 5000, 5000, 400, 0, 400, 400]
"""Of texts: several in a page, and some that are larger than a page."""


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyset, "PAGE_BYTES", PAGE_BYTES)


def is_bounded(sizes: list[int]) -> bool:
    return len(sizes) == 1 or sum(sizes) <= PAGE_BYTES


def test_pages_of_a_history_are_bounded_and_complete(store: SessionStore) -> None:
    """Each event once, in order; an event that is larger than a page is a page."""
    key = SessionKey("phq9", "ada")
    store.turns.get_or_create(key, is_audio_mode=False)
    for size in SIZES:
        note = Note(at=store.clock(), action="note", step=None, answer="é" * (size // 2))
        store.turns.submit_or_raise(key, note)
    read: list[int] = []
    pages = []
    while page := store.queries.history(key, after_version=read[-1] if read else 0, limit=1000, is_page=True):
        pages.append([len((entry.record.answer or "").encode()) for entry in page])
        read += [entry.version for entry in page]
    assert read == list(range(1, len(SIZES) + 2))
    assert all(map(is_bounded, pages))
    assert 5 < len(pages) < len(SIZES)
    assert len(store.queries.history(key, limit=1000)) == len(SIZES) + 1  # what the Python API asks for


def save_all(store: SessionStore) -> None:
    for number, size in enumerate(SIZES):
        state: dict[str, Any] = {"current_step": "Q2", "step_history": (), "is_audio_mode": False}
        save = Save(at=store.clock(), answers={"Q1": "é" * (size // 2)}, session_data=None, **state)
        store.turns.submit_or_raise(SessionKey("phq9", f"user{number:02}"), save)


@pytest.mark.parametrize("order", [{}, {"updated_since": 0}, {"newest_first": True}])
def test_pages_of_sessions_are_bounded_and_complete(store: SessionStore, order: dict[str, Any]) -> None:
    """Each session once, by key and by last change."""
    save_all(store)
    found: list[str] = []
    pages, after = [], None
    while True:
        page, after = store.queries.list(after=after, limit=1000, **order)
        pages.append([len(snapshot.state.answers["Q1"].encode()) for snapshot in page])
        found += [snapshot.key.user_id for snapshot in page]
        if after is None:
            break
    expected = [f"user{number:02}" for number in range(len(SIZES))]
    assert found == (expected[::-1] if "newest_first" in order else expected)
    assert all(map(is_bounded, pages))
    assert 5 < len(pages) < len(SIZES)


@contextmanager
def recording_rows(store: SessionStore, columns: str) -> Iterator[list[int]]:
    """Yield the numbers of rows of statements that select these columns first; -1 where the driver fetches one by one."""
    counts: list[int] = []

    def record(_connection: Any, cursor: Any, statement: str, *_: object) -> None:
        if statement.startswith(f"SELECT {columns}"):
            counts.append(cursor.rowcount)

    event.listen(store.queries.engine, "after_cursor_execute", record)
    yield counts
    event.remove(store.queries.engine, "after_cursor_execute", record)


def test_pages_of_an_export_are_bounded_and_complete(store: SessionStore) -> None:
    """Each session once; nothing beyond the page is fetched."""
    save_all(store)
    found: list[str] = []
    pages, after = [], None
    wanted = export_pages.SessionFilter(survey_id="phq9", at=store.clock())
    with recording_rows(store, "sessions.user_id, sessions.survey_id, sessions.current_step") as fetched:
        while True:
            page = store.run_read(
                partial(export_pages.read_sessions, session_filter=wanted, after=after, cipher=store.cipher)
            )
            found += [key.user_id for key, _ in page.items]
            pages.append([len(state.answers["Q1"].encode()) for _, state in page.items])  # type: ignore[union-attr]
            after = page.following
            if after is None:
                break
    assert found == [f"user{number:02}" for number in range(len(SIZES))]
    assert all(map(is_bounded, pages))
    assert 5 < len(pages) < len(SIZES)
    assert fetched in ([len(page) for page in pages], [-1] * len(pages))


def test_pages_of_events_are_bounded_and_complete(store: SessionStore) -> None:
    """Likewise, over two sessions."""
    keys = [SessionKey("phq9", "ada"), SessionKey("phq9", "ben")]
    for key in keys:
        store.turns.get_or_create(key, is_audio_mode=False)
        for size in SIZES:
            note = Note(at=store.clock(), action="note", step=None, answer="é" * (size // 2))
            store.turns.submit_or_raise(key, note)
    found: list[tuple[str, int]] = []
    pages = []
    with recording_rows(store, "session_history.user_id, session_history.message_id") as fetched:
        while page := store.run_read(
            partial(export_pages.read_events, keys=keys, after=found[-1] if found else None, cipher=store.cipher)
        ):
            pages.append([len((each.entry.record.answer or "").encode()) for each in page])  # type: ignore[union-attr]
            found += [(each.user_id, each.version) for each in page]
    assert found == [(key.user_id, version) for key in keys for version in range(1, len(SIZES) + 2)]
    assert all(map(is_bounded, pages))
    assert 10 < len(pages) < 2 * len(SIZES)
    assert fetched in ([*map(len, pages), 0], [-1] * (len(pages) + 1))
