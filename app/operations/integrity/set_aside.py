"""Sessions set aside because they can't be read."""

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any, cast

from ...sessions import SessionStore
from ...store import SET_ASIDE, Cipher, keyset, raw_rows
from ...survey import SessionKey

SESSIONS_A_PAGE = 500
EVENTS_A_PAGE = 50  # in memory at once: each can be a state of 1 MiB
StoredRow = dict[str, Any]  # values by column; decrypted, and parsed if they are JSON


def is_set_aside(user_id: str) -> bool:
    """Return whether the session was set aside."""
    return SET_ASIDE in user_id


def split_set_aside_id(user_id: str) -> tuple[str, str]:
    """Return the participant's id, and the time."""
    participant, _, time = user_id.partition(SET_ASIDE)
    return participant, time


def list_set_aside(store: SessionStore) -> Iterator[StoredRow]:
    """Yield the set-aside sessions without their answers."""
    start: SessionKey | None = None
    return chain.from_iterable(
        keyset.pages(
            store.run_read,
            lambda connection, after: raw_rows.read_set_aside(connection, after, SESSIONS_A_PAGE),
            start,
            lambda row: SessionKey(row["survey_id"], row["user_id"]),
            SESSIONS_A_PAGE,
        )
    )


def read_stored_session(store: SessionStore, key: SessionKey, cipher: Cipher | None = None) -> StoredRow | None:
    """Return a session's row, or raise MissingKey."""
    return store.run_read(partial(raw_rows.read_session, key=key, cipher=cipher or store.cipher))


def read_stored_history(
    store: SessionStore, key: SessionKey, after_version: int, cipher: Cipher | None = None
) -> Iterator[StoredRow]:
    """Yield a session's stored events."""
    return chain.from_iterable(
        keyset.pages(
            store.run_read,
            lambda connection, after: raw_rows.read_history(
                connection, key, after, EVENTS_A_PAGE, cipher or store.cipher
            ),
            after_version,
            lambda row: cast("int", row["version"]),
            EVENTS_A_PAGE,
        )
    )
