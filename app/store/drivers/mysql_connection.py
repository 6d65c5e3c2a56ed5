"""A connection to MySQL or MariaDB that shares its TLS context. It imports PyMySQL, which is an extra."""

from ssl import SSLContext
from typing import Any, ClassVar

from pymysql import connections


class Connection(connections.Connection):  # type: ignore[misc]  # PyMySQL has no types
    """A connection that shares its TLS context with others, unless the URL has options of TLS.

    Without these PyMySQL encrypts if the server can, and verifies no certificate; but for each connection it would load
    the machine's certificate authorities, which takes 20 ms. tests/store/drivers/test_mysql.py shows that PyMySQL still
    calls this method.
    """

    _unverified: ClassVar[SSLContext | None] = None

    def _create_ssl_ctx(self, sslp: Any) -> SSLContext:  # noqa: ANN401 - as PyMySQL's
        if sslp:
            context: SSLContext = super()._create_ssl_ctx(sslp)
            return context
        if Connection._unverified is None:
            Connection._unverified = super()._create_ssl_ctx(sslp)
        return Connection._unverified
