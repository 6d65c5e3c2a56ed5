"""The raw driver's appends to a SQLite database of many sessions, as the limit of any writer."""

import itertools
import random
from collections.abc import Sequence
from typing import Any

from app.store import engine as engines
from benchmarks.raw_rows import Row, Rows, insert, next_like, update, values

FIRST_VERSION = 1_000_000
"""Greater than any version of a session, so that each history row is new."""


class RawAppends:
    """Writes the two rows of a turn for random sessions, in groups, over a connection like the writer's.

    Args:
        user_ids: of the sessions.
        pattern: user id of the session whose newest rows are written for all.
    """

    def __init__(self, url: str, user_ids: Sequence[str], pattern: str) -> None:
        self._connection: Any = engines.writer_engine(engines.normalise_url(url)).raw_connection().driver_connection
        self._user_ids = user_ids
        session, entry = self._newest("sessions", pattern), self._newest("session_history", pattern)
        entry.pop("id", None)
        rows = Rows(begun=(session, entry), turns=[])
        self._pattern = (session, entry)
        self._columns = (rows.update_columns, rows.history_columns)
        self._statements = (update(rows, "?"), insert("session_history", rows.history_columns, "?"))
        self._versions = itertools.count(FIRST_VERSION)
        self._random = random.Random(len(user_ids))

    def group(self, size: int) -> int:
        """Write a group; return its number of turns."""
        pairs = [
            next_like(self._pattern, user_id, next(self._versions))
            for user_id in self._random.sample(self._user_ids, size)
        ]
        self._connection.execute("BEGIN IMMEDIATE")
        for at in (0, 1):
            rows = [values(pair[at], self._columns[at]) for pair in pairs]
            self._connection.executemany(self._statements[at], rows)
        self._connection.execute("COMMIT")
        return size

    def _newest(self, table: str, user_id: str) -> Row:
        query = f"SELECT * FROM {table} WHERE user_id = ? ORDER BY version DESC LIMIT 1"  # noqa: S608 - fixed names
        cursor = self._connection.execute(query, (user_id,))
        return dict(zip([column[0] for column in cursor.description], cursor.fetchone(), strict=True))
