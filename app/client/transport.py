"""One message on one WebSocket: its text, its address, its sending."""

import contextlib
import socket
import threading
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from tenacity import (
    Retrying,
    retry_if_not_exception_type,
    sleep_using_event,
    stop_after_attempt,
    wait_incrementing,
)
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from ..core import strict_json
from ..errors import InvalidInput, InvalidJson
from .errors import MAX_COMMAND_BYTES, CommandTooLarge, NotSendable
from .timeouts import ClientTimes


def encode(command: dict[str, Any]) -> str:
    """Return the message's text, as it is sent.

    Raises:
        NotSendable: a value that the server would not take, whoever sent it.
        CommandTooLarge: more than 64 KiB.
    """
    try:
        strict_json.check(command, "the command", strict_json.MAX_DEPTH + 1)
    except InvalidJson as error:
        raise NotSendable(error.message) from error
    text = strict_json.encode(command)
    size_bytes = len(text.encode())
    if size_bytes > MAX_COMMAND_BYTES:
        raise CommandTooLarge(size_bytes)
    return text


def socket_url(origin: str, user_id: str, survey_id: str | None, *, is_audio_mode: bool) -> str:
    """Return the WebSocket's address of a participant's session.

    Raises:
        InvalidInput: the origin is not like ``https://host:port/prefix``.
    """
    scheme, host, prefix, _, _ = urlsplit(origin)
    schemes = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
    if scheme not in schemes or not host:
        raise InvalidInput(f"the origin {origin!r} is not like https://host:port/prefix")
    survey = {} if survey_id is None else {"survey": survey_id}
    query = urlencode({**survey, "is_audio": "true" if is_audio_mode else "false"})
    path = f"{prefix.rstrip('/')}/ws/survey/{quote(user_id, safe='')}"
    return urlunsplit((schemes[scheme], host, path, query, ""))


def send(connection: ClientConnection, text: str, times: ClientTimes, closing: threading.Event) -> None:
    """Send a message, in several attempts while the connection is open.

    Raises:
        the last failure; ConnectionClosed at once, since no attempt opens a connection again.
    """
    policy = Retrying(
        retry=retry_if_not_exception_type(ConnectionClosed),
        stop=stop_after_attempt(times.send_attempts),
        wait=wait_incrementing(start=times.send_delay_s, increment=times.send_delay_s),
        sleep=sleep_using_event(closing),
        reraise=True,
    )
    policy(connection.send, text)


def bound_unsent(connection: ClientConnection, timeout_s: float) -> None:
    """Let TCP give up what a dead network does not take.

    A send into full buffers blocks with the lock that the pings want, so those would not find it. Linux only;
    elsewhere TCP's own patience counts, of some minutes.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        with contextlib.suppress(OSError):
            connection.socket.setsockopt(socket.IPPROTO_TCP, option, int(timeout_s * 1000))
