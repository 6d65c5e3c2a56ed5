"""A connection to MySQL; apart, because PyMySQL is an extra."""

from ssl import SSLContext
from typing import Any, ClassVar

from pymysql import connections


class Connection(connections.Connection):  # type: ignore[misc]  # PyMySQL has no types
    """Shares one TLS context, unless the URL has TLS options: loading authorities that are then unused takes 20 ms."""

    _unverified: ClassVar[SSLContext | None] = None

    def _create_ssl_ctx(self, sslp: Any) -> SSLContext:  # noqa: ANN401 - as PyMySQL's
        if sslp:
            context: SSLContext = super()._create_ssl_ctx(sslp)
            return context
        if Connection._unverified is None:
            Connection._unverified = super()._create_ssl_ctx(sslp)
        return Connection._unverified
