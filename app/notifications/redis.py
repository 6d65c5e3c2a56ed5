"""News over Redis's publish and subscribe. The library ``redis`` is the extra of that name.

The library's own PubSub connects again by itself and tells nobody, so what was missed would stay unknown: this uses
its connection, which fails when it is lost.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import PurePath
from typing import Any

from sqlalchemy import URL

from ..errors import ConfigurationError
from .transport import Transport

CONNECT_S = 1.0
"""Seconds that connecting may take: meanwhile nobody looks for changes."""

ANSWER_S = 5.0
"""Seconds that the server may take to answer."""

AT_ONCE = 1000
"""Payloads that are taken before the thread looks at anything else."""


def redis_links(redis_url: str, database: URL) -> Callable[[], Transport]:
    """Return what connects to Redis for news of this database.

    Raises:
        ConfigurationError: the library is missing, or it is no URL of a Redis.
    """
    try:
        import redis  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigurationError(
            "REDIS_URL is set, but the library is missing: pip install '.[redis]' in Stepkeep's folder"
        ) from None
    try:
        pool = redis.ConnectionPool.from_url(redis_url, **_options(redis_url))
        pool.make_connection()  # not yet connected; but a parameter that there is none of is found
    except (ValueError, TypeError):  # whose text could hold the password
        raise ConfigurationError("REDIS_URL is no Redis URL: e.g. redis://host:6379/0") from None
    # Redis has no channels of a database: its number, and the name of ours, keep installations apart.
    number = pool.connection_kwargs.get("db") or 0
    channel = f"stepkeep:news:{number}:{PurePath(database.database or '').name}"
    return lambda: RedisLink(pool.make_connection(), channel, (redis.RedisError, OSError))


class RedisLink:
    """One connection (``link.Link``)."""

    def __init__(self, connection: Any, channel: str, errors: tuple[type[Exception], ...]) -> None:  # noqa: ANN401
        self._connection = connection
        self._channel = channel
        self._errors = errors
        self._heard: list[str] = []
        with self._translated():
            connection.connect()

    def listen(self) -> None:
        with self._translated():
            self._connection.send_command("SUBSCRIBE", self._channel, check_health=False)
            self._read()  # that it is subscribed

    def receive(self, timeout_s: float) -> Sequence[str]:
        with self._translated():
            if not self._heard and self._connection.can_read(timeout=timeout_s):
                self._read()
            while len(self._heard) < AT_ONCE and self._connection.can_read(timeout=0):
                self._read()
        heard, self._heard = self._heard, []
        return heard

    def probe(self) -> None:
        with self._translated():
            self._connection.send_command("PING", check_health=False)
            self._read()  # its answer, or news that came before: either way it is there

    def send(self, payloads: Sequence[str]) -> None:
        with self._translated():
            for payload in payloads:
                self._connection.send_command("PUBLISH", self._channel, payload, check_health=False)
                self._connection.read_response()

    def close(self) -> None:
        with suppress(*self._errors):
            self._connection.disconnect()

    def _read(self) -> None:
        reply = self._connection.read_response()
        if isinstance(reply, list) and reply[0] == b"message":
            self._heard.append(reply[2].decode(errors="replace"))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            raise ConnectionError("Redis") from error


def _options(redis_url: str) -> dict[str, Any]:
    """Return what holds unless the URL says otherwise."""
    # RESP 2: in version 3 messages go around the reader.
    options: dict[str, Any] = {"protocol": 2, "socket_timeout": ANSWER_S}
    if redis_url.startswith("unix:"):
        return options
    return options | {"socket_connect_timeout": CONNECT_S, "socket_keepalive": True}
