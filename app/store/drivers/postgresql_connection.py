"""A connection to PostgreSQL; apart, because psycopg is an extra."""

from typing import Any

import psycopg

from .. import retry


class Connection(psycopg.Connection[Any]):
    """Closes itself when its server does not respond: libpq has only TCP keepalives."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ANN401 - as psycopg's
        try:
            return super().wait(gen, interval, retry.RESPONSE_TIMEOUT_S if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if timeout is None and type(error).__name__ == "_WaitTimeout":
                self.pgconn.finish()
                raise psycopg.OperationalError(f"{retry.NO_ANSWER} {retry.RESPONSE_TIMEOUT_S} seconds") from error
            raise

    def __del__(self, *_: object) -> None:
        # SQLAlchemy's pool drops a connection whose first statements failed; psycopg would warn, and libpq closes it.
        """Do nothing."""
