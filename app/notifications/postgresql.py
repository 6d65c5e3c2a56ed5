"""News over PostgreSQL's LISTEN and NOTIFY, on connections of their own.

They go to whom is connected to the same database. A pooler that gives each transaction another connection
(PgBouncer's ``pool_mode=transaction``) loses them: then changes are found by looking, every NET_S.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

from sqlalchemy import URL, Engine, NullPool

from ..store.drivers import postgresql
from .transport import Transport

CHANNEL = "stepkeep_news"

PROBE_S = 5.0
"""Seconds that the server may take to answer; a frozen one keeps the connection and says nothing."""

_SEND = f"SELECT pg_notify('{CHANNEL}', payload) FROM unnest(%s::text[]) payload"  # noqa: S608 - a name of ours


def postgresql_links(url: URL) -> Callable[[], Transport]:
    """Return what connects to the database for news."""
    # Nobody needs news after a crash: no flush for a notification.
    engine = postgresql.engine(
        url, settings=" -c synchronous_commit=off", isolation_level="AUTOCOMMIT", poolclass=NullPool
    )
    return lambda: PostgresqlLink(engine)


class PostgresqlLink:
    """One connection (``link.Link``)."""

    def __init__(self, engine: Engine) -> None:
        self._error: type[Exception] = engine.dialect.loaded_dbapi.Error
        with self._translated():
            self._pooled = engine.raw_connection()
        self._driver = cast("Any", self._pooled.driver_connection)
        # A descriptor of our own: it can be shut from another thread at any time, whoever closes the other.
        self._socket = socket.socket(fileno=os.dup(self._driver.fileno()))

    def listen(self) -> None:
        with self._translated():
            self._driver.execute(f"LISTEN {CHANNEL}")

    def receive(self, timeout_s: float) -> Sequence[str]:
        with self._translated():
            return [news.payload for news in self._driver.notifies(timeout=timeout_s, stop_after=1)]

    def probe(self) -> None:
        # The driver waits for an answer for ever; a connection that is shut ends the wait.
        timer = threading.Timer(PROBE_S, self._shut)
        timer.daemon = True
        timer.start()
        try:
            with self._translated():
                self._driver.execute("SELECT 1")
        finally:
            timer.cancel()

    def send(self, payloads: Sequence[str]) -> None:
        with self._translated():
            self._driver.execute(_SEND, (list(payloads),))

    def close(self) -> None:
        self._pooled.invalidate()  # not given back: that would ask the server to roll back
        self._socket.close()

    def _shut(self) -> None:
        with suppress(OSError):  # it was closed meanwhile
            self._socket.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._error as error:
            raise ConnectionError("PostgreSQL") from error
