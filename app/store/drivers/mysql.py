"""MySQL and MariaDB. PyMySQL sends text, so a batch is one statement with many rows."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event

from ...survey import SessionKey
from .. import rows
from ..keyset import users_by_survey
from ..retry import RESPONSE_TIMEOUT_S
from ..tables import TIMES
from .statements import CursorTurnStatements, in_lock_order, insert_deliveries, insert_into, names

CONNECT_TIMEOUT_S = 3
LOCK_TIMEOUT_S = 2  # a batch that waits longer for sessions locked elsewhere is retried (1205)
RECYCLE_S = 280  # below the usual wait_timeout of 300 s


def engine(url: URL, *, lock_timeout_s: int = LOCK_TIMEOUT_S, **options: Any) -> Engine:  # noqa: ANN401 - create_engine's
    """Return an engine with UTC times; ``lock_timeout_s`` 0 means the server's, and no response timeout."""
    setting = "time_zone='+00:00', sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
    options_by_name: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT_S}
    if lock_timeout_s:
        setting += f", innodb_lock_wait_timeout={lock_timeout_s}"
        options_by_name |= {"read_timeout": RESPONSE_TIMEOUT_S, "write_timeout": RESPONSE_TIMEOUT_S}
    connect_args = {name: value for name, value in options_by_name.items() if name not in url.query}
    connect_args["init_command"] = f"SET {setting}"
    result = create_engine(
        url, connect_args=connect_args, hide_parameters=True, pool_pre_ping=True, pool_recycle=RECYCLE_S, **options
    )
    from .mysql_connection import Connection  # noqa: PLC0415 - PyMySQL is an extra

    event.listen(result, "do_connect", lambda _dialect, _record, args, options: Connection(*args, **options))
    return result


# Times as text, because PyMySQL takes 1.5 us to parse one, Python a tenth.
_STATE = ", ".join(f"CAST({c.name} AS CHAR)" if c.name in TIMES else c.name for c in rows.STATE_COLUMNS)
_SELECT = f"SELECT {_STATE} FROM sessions"  # noqa: S608 - names of columns
_IDENTITY = (
    "SHOW VARIABLES WHERE Variable_name IN "
    "('wsrep_on', 'wsrep_cluster_name', 'hostname', 'port', 'character_set_client')"
)
_KNOWN = f"SELECT {names(rows.MESSAGE_COLUMNS)} FROM session_history WHERE (message_id, user_id, survey_id) IN %s"  # noqa: S608 - our names


class MysqlTurnStatements(CursorTurnStatements):
    """A batch of turns."""

    load_sql = f"{_SELECT} WHERE user_id = %s AND survey_id = %s"
    insert_sql = insert_into("sessions", rows.INSERT_COLUMNS, "%s")
    update_sql = (  # takes a third of the time of single UPDATEs
        f"{insert_into('sessions', (*rows.UPDATE_COLUMNS, *rows.KEY_COLUMNS), '%s')} ON DUPLICATE KEY UPDATE "
        f"{', '.join(f'{column.name} = VALUES({column.name})' for column in rows.UPDATE_COLUMNS)}"
    )
    append_sql = insert_into("session_history", rows.EVENT_COLUMNS, "%s")
    # Locked: the delivery's foreign key holds while a webhook is removed.
    deliveries_sql = f"{insert_deliveries(['%s'] * 6, survey_id='%s', pattern='%s')} LOCK IN SHARE MODE"

    def database_identity(self) -> object:
        found: dict[str, str] = dict(self._read(_IDENTITY, ()))
        server = ("wsrep_cluster_name",) if found.get("wsrep_on") == "ON" else ("hostname", "port")
        return [found.get(name) for name in (*server, "character_set_client")], self._read("SELECT DATABASE()", ())

    def begin(
        self, keys: Sequence[SessionKey], messages: Sequence[tuple[SessionKey, str]]
    ) -> tuple[rows.FoundSessions, list[rows.Row]]:
        if self.owns_transaction:
            self._connection.begin()
        users = users_by_survey(in_lock_order(keys))
        # PyMySQL writes a list as a parenthesised one.
        condition = " OR ".join(["survey_id = %s AND user_id IN %s"] * len(users))
        values = [value for item in users.items() for value in item]
        # In READ COMMITTED, FOR UPDATE reads what was committed before the lock.
        locked = self._read(f"{_SELECT} WHERE {condition} ORDER BY user_id, survey_id FOR UPDATE", values)
        existing = rows.by_key(locked)
        if not messages:
            return existing, []
        known = [(message_id, key.user_id, key.survey_id) for key, message_id in messages]
        return existing, self._read(_KNOWN, (known,))
