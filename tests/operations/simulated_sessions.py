"""Simulated sessions, and functions that damage them."""

import random
from typing import Any

from sqlalchemy import delete, select, type_coerce, update
from sqlalchemy.types import String

from app.operations.demo.simulate import simulate
from app.sessions.service import SessionStore
from app.store.tables import session_history, sessions
from app.survey.snapshot import SessionKey

DAY_US = 86_400 * 1_000_000


def simulated_sessions(store: SessionStore, seed: int, count: int) -> list[SessionKey]:
    """Create sessions of simulated participants, and return their keys."""
    keys = []
    now = store.clock()
    for number in range(count):
        chance = random.Random(f"{seed}-{number}")
        survey = chance.choice(list(store.catalogue.surveys.values()))
        key = SessionKey(survey.id, f"user-{number}")
        commands = simulate(survey, now - 40 * DAY_US, now, chance)
        results = store.turns.submit_many([(key, command) for command in commands])
        assert not [result for result in results if isinstance(result, Exception)]
        keys.append(key)
    return keys


def read_row(store: SessionStore, key: SessionKey) -> dict[str, Any]:
    """Return the row of a session."""

    def read(connection: Any) -> dict[str, Any]:
        columns = (type_coerce(column, String()).label(column.name) for column in sessions.c)
        return dict(connection.execute(select(*columns).where(*_of_participant(sessions, key))).mappings().one())

    return store.run_read(read)


def read_history(store: SessionStore) -> list[tuple[Any, ...]]:
    """Return the history of all sessions."""

    def read(connection: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in connection.execute(select(session_history).order_by(session_history.c.id))]

    return store.run_read(read)


def change_row(store: SessionStore, key: SessionKey, **values: Any) -> None:
    """Change the row of a session directly."""
    store.run_transaction(
        lambda connection: connection.execute(update(sessions).where(*_of_participant(sessions, key)).values(values))
    )


def delete_event(store: SessionStore, key: SessionKey, version: int) -> None:
    """Delete an event of the history directly."""
    where = (*_of_participant(session_history, key), session_history.c.version == version)
    store.run_transaction(lambda connection: connection.execute(delete(session_history).where(*where)))


def swap_rows(store: SessionStore, one: SessionKey, other: SessionKey) -> None:
    """Swap the contents of the rows of two sessions."""
    names = ("answers", "current_step", "step_history", "version", "status", "survey_revision")
    values = [{name: read_row(store, key)[name] for name in names} for key in (one, other)]
    change_row(store, one, **values[1])
    change_row(store, other, **values[0])


def _of_participant(table: Any, key: SessionKey) -> tuple[Any, Any]:
    return (table.c.user_id == key.user_id, table.c.survey_id == key.survey_id)
