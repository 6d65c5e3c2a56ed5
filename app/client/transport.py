"""The WebSocket connection: messages, address, token, close codes."""

import contextlib
import logging
import re
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from tenacity import (
    AsyncRetrying,
    Retrying,
    retry_if_not_exception_type,
    sleep_using_event,
    stop_after_attempt,
    wait_incrementing,
)
from websockets.asyncio import client
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from ..core import strict_json
from ..core.formats import MAX_COMMAND_BYTES
from ..errors import InvalidInput, InvalidJson
from .errors import BadToken, CommandTooLarge, NotAdmitted, NotSendable, PermanentlyRefused
from .timeouts import ABNORMAL_CLOSURE, ClientTimeouts

_FINAL_CODES = frozenset({4400, 4404})
"""The server would refuse again (docs/protocol.md)."""

_NOT_ADMITTED_CODES = frozenset({4401, 4403})
"""A different token may help."""

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750, 2.1; other text could inject headers."""

_MAX_SERVER_MESSAGE_BYTES = 64 * 1024 * 1024
"""1,000 answers of 64 KiB each."""


class _LibraryLog(logging.LoggerAdapter[logging.Logger]):
    """Without DEBUG, where the library logs the token and answers."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        return level > logging.DEBUG and super().isEnabledFor(level)

    def log(self, level: int, msg: object, *args: object, **options: Any) -> None:  # noqa: ANN401 - logging's
        if isinstance(sys.exc_info()[1], ConnectionClosed):  # the client reconnects
            level, options = logging.INFO, {}
        super().log(level, msg, *args, **options)


def encode(command: dict[str, Any]) -> str:
    try:
        strict_json.check(command, "the command", strict_json.MAX_DEPTH + 1)
    except InvalidJson as error:
        raise NotSendable(error.message) from error
    text = strict_json.encode(command)
    size_bytes = len(text.encode())
    if size_bytes > MAX_COMMAND_BYTES:
        raise CommandTooLarge(size_bytes)
    return text


def socket_url(
    origin: str,
    user_id: str,
    survey_id: str | None,
    *,
    is_audio_mode: bool,
    language: str | None,
    parameters: Mapping[str, str] | None,
) -> str:
    scheme, host, prefix, _, _ = urlsplit(origin)
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    if scheme not in schemes or not host:
        raise InvalidInput(f"The origin must be like https://host:port/prefix, not {origin!r}.")
    survey = {} if survey_id is None else {"survey": survey_id}
    lang = {} if language is None else {"lang": language}
    query = urlencode({**(parameters or {}), **survey, "is_audio": "true" if is_audio_mode else "false", **lang})
    path = f"{prefix.rstrip('/')}/ws/survey/{quote(user_id, safe='')}"
    return urlunsplit((schemes[scheme], host, path, query, ""))


def authorization_header(token: str | None) -> dict[str, str]:
    if token is None:
        return {}
    if not _TOKEN.fullmatch(token):
        raise BadToken
    return {"Authorization": f"Bearer {token}"}


def _options(headers: Mapping[str, str], timeouts: ClientTimeouts) -> dict[str, Any]:
    return {
        "additional_headers": headers,
        "logger": _LibraryLog(logging.getLogger("stepkeep.client")),
        "compression": None,  # useless for short commands, and not offered by the server
        "open_timeout": timeouts.open_timeout_s,
        "ping_interval": timeouts.ping_interval_s,
        "ping_timeout": timeouts.ping_timeout_s,
        "close_timeout": timeouts.close_timeout_s,
        "max_size": _MAX_SERVER_MESSAGE_BYTES,
    }


def open_async_connection(url: str, headers: Mapping[str, str], timeouts: ClientTimeouts) -> client.connect:
    return client.connect(url, **_options(headers, timeouts))


@contextlib.contextmanager
def open_connection(url: str, headers: Mapping[str, str], timeouts: ClientTimeouts) -> Iterator[ClientConnection]:
    with connect(url, **_options(headers, timeouts)) as connection:
        option = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux's; elsewhere TCP's own timeout takes minutes
        if option is not None:
            # Let TCP abort a dead connection: a blocked send holds the lock that pings need.
            with contextlib.suppress(OSError):
                connection.socket.setsockopt(socket.IPPROTO_TCP, option, int(timeouts.ping_timeout_s * 1000))
        yield connection


def send(connection: ClientConnection, text: str, timeouts: ClientTimeouts, closing: threading.Event) -> None:
    """Send a message, with retries while the connection is open."""
    Retrying(**_send_policy(timeouts), sleep=sleep_using_event(closing))(connection.send, text)


async def send_async(connection: client.ClientConnection, text: str, timeouts: ClientTimeouts) -> None:
    await AsyncRetrying(**_send_policy(timeouts))(connection.send, text)


def _send_policy(timeouts: ClientTimeouts) -> dict[str, Any]:
    return {
        "retry": retry_if_not_exception_type(ConnectionClosed),
        "stop": stop_after_attempt(timeouts.send_attempts),
        "wait": wait_incrementing(start=timeouts.send_delay_s, increment=timeouts.send_delay_s),
        "reraise": True,
    }


def close_code(error: Exception) -> tuple[int, str]:
    """Return the close code and reason, or raise PermanentlyRefused."""
    if not isinstance(error, ConnectionClosed):
        return ABNORMAL_CLOSURE, f"{type(error).__name__}: {error}"
    if error.rcvd is None:
        return ABNORMAL_CLOSURE, ""
    code, reason = error.rcvd.code, error.rcvd.reason
    if code in _NOT_ADMITTED_CODES:
        raise NotAdmitted(code, reason)
    if code in _FINAL_CODES:
        raise PermanentlyRefused(code, reason)
    return code, reason
