"""The data of statistics: compact rows and events, equal on each database, without encrypted values."""

import base64
import json
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, event, update

from app.core.timestamps import to_datetime
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store import statistics
from app.store.statistics import ACTIONS, CODES, NO_TIME, OTHER, TIME_WIDTH, EventColumns, SessionRow, parse_times
from app.store.tables import session_history
from app.survey.commands import Answer, Begin, Draft, Note, Save, SetMode
from app.survey.events import EVENT_TYPES
from app.survey.snapshot import SessionKey
from tests.conftest import NewStore

AT = 1_764_000_000_123_456
ANN = SessionKey("phq9", "ann")
OTHERS = ["other"] * (CODES - len(ACTIONS))
ODD = 'a "step", with \\ and ü\n'


def answer_some(store: SessionStore, key: SessionKey) -> None:
    """Submit commands of several kinds, a microsecond or more apart."""
    store.turns.submit(key, Begin(at=AT, is_audio_mode=True))
    store.turns.submit(key, Answer(at=AT + 1, step="Q1", value=2))
    store.turns.submit(key, SetMode(at=AT + 1_000_000, is_audio_mode=False))
    store.turns.submit(key, Draft(at=AT + 86_400_000_000, step="Q2", value=1))
    store.turns.submit(key, Note(at=AT + 86_400_000_001, action="looked at", step="Q9", answer=None))


def columns_of(store: SessionStore, first: str = "", last: str = "~") -> EventColumns:
    return store.run_read(lambda connection: statistics.read_event_columns(connection, "phq9", first, last))


def events_of(store: SessionStore, user_id: str = "ann") -> list[tuple[int, str, str | None, int | None]]:
    """Return version, action, step and time of each of a session's events, in order."""
    columns = columns_of(store, user_id, user_id)
    assert (list(columns.user_ids), list(columns.counts)) == ([user_id], [columns.codes.count(",") + 1])
    codes, steps = json.loads(f"[{columns.codes}]"), json.loads(f"[{columns.steps}]")
    times = [None if at == NO_TIME else at for at in parse_times(columns.times).tolist()]
    return sorted(
        (code // CODES, (*ACTIONS, *OTHERS)[code % CODES], step, at)
        for code, step, at in zip(codes, steps, times, strict=True)
    )


def test_events_have_times_to_the_microsecond(store: SessionStore) -> None:
    """Version, action, step and time of each event; a note too."""
    answer_some(store, ANN)
    assert events_of(store) == [
        (1, "started", "Q1", AT),
        (2, "answered", "Q1", AT + 1),
        (3, "mode_set", None, AT + 1_000_000),
        (4, "drafted", "Q2", AT + 86_400_000_000),
        (5, "noted", "Q9", AT + 86_400_000_001),
    ]


def test_times_are_equal_whatever_datestyle_postgresql_has(store: SessionStore) -> None:
    """The store overrides a DateStyle of the server or the URL."""
    answer_some(store, ANN)
    url = store.settings.database_url
    if url.startswith("postgresql"):
        german = f"{url}{'&' if '?' in url else '?'}options=-cdatestyle%3DGerman"
        other = open_store(store.settings.model_copy(update={"database_url": german}))
        assert events_of(other) == events_of(store)
        other.close()
    assert events_of(store)[0][3] == AT


def test_events_are_read_with_any_step_and_without_a_time(store: SessionStore) -> None:
    """A step may have any name, and a row of another program may have no time."""
    store.turns.submit(
        ANN, Save(at=AT, current_step=ODD, answers={}, step_history=(), is_audio_mode=False, session_data=None)
    )
    assert events_of(store) == [(1, "saved", ODD, AT)]
    store.run_transaction(lambda connection: connection.execute(update(session_history).values(timestamp=None)))
    assert events_of(store) == [(1, "saved", ODD, None)]


def test_sqlite_times_are_read_in_any_precision(store: SessionStore) -> None:
    """SQLite stores the text as written, with any number of decimals; other text is no time."""
    answer_some(store, ANN)
    if store.settings.database_url.startswith("sqlite"):
        for written, at in (("2025-11-24 16:00:00", 0), ("2025-11-24 16:00:00.5", 500_000), ("yesterday", None)):

            def write(connection: Connection, text: str = written) -> None:
                connection.exec_driver_sql("UPDATE session_history SET timestamp = ? WHERE version = 1", (text,))

            store.run_transaction(write)
            first = events_of(store)[0]
            assert first[3] == (None if at is None else 1_764_000_000_000_000 + at)


@given(st.lists(st.integers(-2_000_000_000_000_000, 250_000_000_000_000_000)))
def test_parse_times_reads_times_as_written(times: list[int]) -> None:
    """To the microsecond, in any century, also without decimals."""
    texts = [to_datetime(at).isoformat(" ", "microseconds") for at in times]
    assert parse_times("".join(texts)).tolist() == times
    seconds = "".join(text[:19].ljust(TIME_WIDTH) for text in texts)
    assert parse_times(seconds).tolist() == [at // 1_000_000 * 1_000_000 for at in times]


INVALID_TIMES = (
    *("", "yesterday", "now", "infinity", "ü" * 26, "2026", "20261124160000", "0044-03-15 12:00:00 BC"),
    *("2026-13-01 00:00:00", "2026-00-01", "2026-01-32 10:00"),
    *("2026-11-24 16:00:00+02:00", "2026-11-24 16:00:00.12345Z"),
)


@pytest.mark.parametrize("text", INVALID_TIMES)
def test_parse_times_gives_no_time_for_invalid_text(text: str) -> None:
    """The times beside it are unaffected."""
    known = "2025-11-24 16:00:00.123456"
    assert parse_times(known + text.ljust(TIME_WIDTH) + known).tolist() == [AT, NO_TIME, AT]


def test_event_columns_are_limited_to_the_range(store: SessionStore) -> None:
    """The range includes both ends."""
    for user_id in ("ann", "ben", "cleo", "Ben"):
        store.turns.submit(SessionKey("phq9", user_id), Begin(at=AT))
    store.turns.submit(SessionKey("intake", "ben"), Begin(at=AT))
    assert set(columns_of(store, "ann", "ben").user_ids) == {"ann", "ben"}
    assert not any(columns_of(store, "d", "e"))


def test_sessions_are_read_in_pages(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the byte order of their user ids, however many sessions SQLite packs into a row."""
    monkeypatch.setattr(statistics, "SESSIONS_A_ROW", 2)
    for user_id in ("b", "a", "C", "d", "e"):
        store.turns.submit(SessionKey("phq9", user_id), Begin(at=AT))
    read = partial(statistics.read_sessions, survey_id="phq9", at=AT, limit=3, has_context=False)
    first = store.run_read(partial(read, after=None))
    rest = store.run_read(partial(read, after=first[-1].user_id))
    assert [row.user_id for row in (*first, *rest)] == ["C", "a", "b", "d", "e"]


def test_session_row_has_times_as_numbers_and_answers_as_stored(store: SessionStore) -> None:
    """Every field of a session."""
    answer_some(store, ANN)
    (row,) = store.run_read(
        lambda connection: statistics.read_sessions(connection, "phq9", AT, None, 10, has_context=True)
    )
    assert row == SessionRow(
        user_id="ann",
        version=5,
        current_step="Q2",
        answers='{"Q1":2}',
        step_history='["Q1"]',
        started_at=AT,
        completed_at=None,
        mode="text",
        revision=store.catalogue.surveys["phq9"].revision,
        status="in_progress",
        context=None,
    )


def test_event_columns_do_not_read_answers(settings: Settings, new_store: NewStore) -> None:
    """The statement selects no column that may be encrypted."""
    key = base64.b64encode(bytes(range(32))).decode()
    store = new_store(settings, answers_keys=key)
    answer_some(store, ANN)
    statements: list[str] = []
    event.listen(store.queries.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    assert len(events_of(store)) == 5
    assert not [statement for statement in statements if "answer," in statement or "data" in statement]


def test_statistics_know_every_action() -> None:
    """For a new kind of event, decide whether statistics count it."""
    assert set(ACTIONS) == EVENT_TYPES.keys()
    assert len(ACTIONS) <= OTHER < CODES
