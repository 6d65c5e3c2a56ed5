"""A connection to PostgreSQL with a read timeout. It imports psycopg, which is an extra."""

from typing import Any

import psycopg

from .. import retry


class Connection(psycopg.Connection[Any]):
    """A connection closed when its server does not respond for ``retry.RESPONSE_TIMEOUT_S``.

    libpq has no read timeout, only TCP keepalives.
    """

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ANN401 - as psycopg's
        """Run a generator of psycopg's protocol.

        Raises:
            psycopg.OperationalError: no response; the connection is closed.
        """
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
