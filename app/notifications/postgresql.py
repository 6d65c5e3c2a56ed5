"""Notifications over LISTEN and NOTIFY, which a transaction pooler would lose."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

from sqlalchemy import URL, Engine, NullPool

from ..store.drivers import postgresql
from .transport import Transport, translated

CHANNEL = "stepkeep_changes"

_SEND = "SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) payload"


def postgresql_transport(url: URL) -> Callable[[], Transport]:
    # Notifications need not survive a crash: commit without a flush.
    engine = postgresql.engine(
        url, settings={"synchronous_commit": "off"}, isolation_level="AUTOCOMMIT", poolclass=NullPool
    )
    # Channels belong to the database, not to a schema.
    schema = url.query.get("schema", "public")
    channel = CHANNEL if schema == "public" else f"{CHANNEL}_{schema}"
    return lambda: PostgresqlTransport(engine, channel)


class PostgresqlTransport:
    """A :class:`~app.notifications.transport.Transport`."""

    def __init__(self, engine: Engine, channel: str) -> None:
        self._channel = channel
        self._translated = partial(translated, engine.dialect.loaded_dbapi.Error)
        with self._translated():
            self._pooled = engine.raw_connection()
        self._driver = cast("Any", self._pooled.driver_connection)

    def listen(self) -> None:
        with self._translated():
            self._driver.execute(f"LISTEN {self._channel}")

    def receive(self, timeout_s: float) -> Sequence[str]:
        with self._translated():
            return [notification.payload for notification in self._driver.notifies(timeout=timeout_s, stop_after=1)]

    def probe(self) -> None:
        with self._translated():
            self._driver.execute("SELECT 1")  # fails after the driver's RESPONSE_TIMEOUT_S

    def send(self, payloads: Sequence[str]) -> None:
        with self._translated():
            self._driver.execute(_SEND, (self._channel, list(payloads)))

    def close(self) -> None:
        self._pooled.invalidate()  # not pooled again: that would send a rollback
