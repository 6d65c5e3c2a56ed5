"""Notifications over Redis, without the library's PubSub, which reconnects silently."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import PurePath
from typing import Any

from sqlalchemy import URL

from ..core.installation import install_extra
from ..errors import ConfigurationError
from .transport import Transport, translated

CONNECT_S = 1.0  # nothing polls while connecting
ANSWER_S = 5.0  # for the server's answer
RECEIVE_LIMIT = 1000  # payloads of one receive


def redis_transport(redis_url: str, database: URL) -> Callable[[], Transport]:
    try:
        import redis  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigurationError(
            f"REDIS_URL is set, but the redis library is not installed. Run {install_extra('redis')}."
        ) from None
    # RESP 2: in version 3, push messages bypass the reader.
    options: dict[str, Any] = {"protocol": 2, "socket_timeout": ANSWER_S}
    if not redis_url.startswith("unix:"):
        options |= {"socket_connect_timeout": CONNECT_S, "socket_keepalive": True}
    try:
        pool = redis.ConnectionPool.from_url(redis_url, **options)
        pool.make_connection()  # does not connect; raises on an unknown parameter
    except (ValueError, TypeError):  # its text could hold the password
        raise ConfigurationError("REDIS_URL is not a valid Redis URL; example: redis://host:6379/0") from None
    # Redis channels are global: database number, name and schema keep installations apart.
    number = pool.connection_kwargs.get("db") or 0
    channel = f"stepkeep:changes:{number}:{PurePath(database.database or '').name}"
    schema = database.query.get("schema", "public")
    if schema != "public":
        channel += f".{schema}"
    return lambda: RedisTransport(pool.make_connection(), channel, (redis.RedisError, OSError))


class RedisTransport:
    """A :class:`~app.notifications.transport.Transport`."""

    def __init__(self, connection: Any, channel: str, errors: tuple[type[Exception], ...]) -> None:  # noqa: ANN401 - redis is an extra
        self._connection = connection
        self._channel = channel
        self._errors = errors
        self._translated = partial(translated, *errors)
        self._received: list[str] = []
        with self._translated():
            connection.connect()

    def listen(self) -> None:
        with self._translated():
            self._connection.send_command("SUBSCRIBE", self._channel, check_health=False)
            self._read()  # the confirmation

    def receive(self, timeout_s: float) -> Sequence[str]:
        with self._translated():
            if not self._received and self._connection.can_read(timeout=timeout_s):
                self._read()
            while len(self._received) < RECEIVE_LIMIT and self._connection.can_read(timeout=0):
                self._read()
        received, self._received = self._received, []
        return received

    def probe(self) -> None:
        with self._translated():
            self._connection.send_command("PING", check_health=False)
            self._read()  # or an earlier notification

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
            self._received.append(reply[2].decode(errors="replace"))
