"""One request to a webhook: to an address that was looked at, bounded in time and size, followed nowhere.

urllib3's connections are used without its pools: no redirects, no proxy of the environment, no retries, and the
connection goes to the address, while the certificate must be the name's.
"""

import datetime
import email.utils
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from time import monotonic
from urllib.parse import SplitResult, urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ReadTimeoutError

from .url_policy import AddressRefused, resolve

READ_BYTES = 16 * 1024
"""Of an answer, at most: nothing in it is looked at, but a receiver may want it read."""

TRIED = 3
"""Addresses of one name that are tried, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a receiver said.

    Attributes:
        status: of HTTP; None where there was no answer.
        error: what went wrong; None where it was taken. Never what the receiver wrote.
        again_in_s: what it asked for by Retry-After.
    """

    status: int | None
    error: str | None
    again_in_s: float | None = None

    @property
    def is_taken(self) -> bool:
        """Whether the receiver has it."""
        return self.error is None


def post(url: str, headers: Mapping[str, str], body: bytes, *, timeout_s: float, may_be_inside: bool) -> Answer:
    """Return what came of one request; it takes no longer than ``timeout_s``, but for resolving the name."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80)
    try:
        addresses = resolve(host, port, may_be_inside=may_be_inside)
    except AddressRefused as refused:
        return Answer(status=None, error=str(refused))
    deadline = monotonic() + timeout_s
    answer = Answer(status=None, error="its name has no address")
    for address in addresses[:TRIED]:
        left_s = deadline - monotonic()
        if left_s <= 0:
            break
        request = _Request(_connection(parts, address, port, left_s), left_s)
        answer = request.send(parts, headers, body)
        if request.is_connected:
            break
    return answer


class _Request:
    """One request on one connection, which is cut when its time is over: however slowly somebody answers."""

    def __init__(self, connection: HTTPConnection, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s
        self._is_cut = False
        self.is_connected = False

    def send(self, parts: SplitResult, headers: Mapping[str, str], body: bytes) -> Answer:
        timer = threading.Timer(self._timeout_s, self._cut)
        timer.daemon = True
        timer.start()
        try:
            return self._sent(parts, headers, body)
        except ssl.SSLError as error:
            return Answer(status=None, error=self._said(f"TLS: {error.reason or 'failed'}"))
        except (OSError, HTTPError, ValueError, AssertionError) as error:  # HTTPException's are OSError or HTTPError
            self._is_cut |= isinstance(error, TimeoutError | ReadTimeoutError)
            return Answer(status=None, error=self._said(_named(error)))
        except Exception as error:  # noqa: BLE001 - whatever a receiver sends must end in an answer
            return Answer(status=None, error=self._said(type(error).__name__))
        finally:
            timer.cancel()
            self._connection.close()

    def _sent(self, parts: SplitResult, headers: Mapping[str, str], body: bytes) -> Answer:
        self._connection.connect()
        self.is_connected = True
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._connection.request("POST", target, body, {**headers, "Host": parts.netloc}, preload_content=False)
        response = self._connection.getresponse()
        if self._is_cut:  # in the middle of its headers, of which the part that came looks whole
            return Answer(status=None, error=self._said("cut"))
        with suppress(Exception):  # the status is there, and all that counts
            response.read(READ_BYTES, decode_content=False)
        status = response.status
        if 200 <= status < 300:  # noqa: PLR2004 - HTTP's own
            return Answer(status=status, error=None)
        is_redirect = 300 <= status < 400  # noqa: PLR2004 - HTTP's own
        error = f"HTTP {status}{', a redirect, which is not followed' if is_redirect else ''}"
        return Answer(status=status, error=error, again_in_s=seconds_in(response.headers.get("Retry-After")))

    def _cut(self) -> None:
        self._is_cut = True
        sock = self._connection.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _said(self, error: str) -> str:
        return f"no answer within {self._timeout_s:.3g} s" if self._is_cut else error


def seconds_in(retry_after: str | None) -> float | None:
    """Return the seconds that a Retry-After asks for (RFC 9110, 10.2.3); None where it says nothing."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    with suppress(ValueError, TypeError, OverflowError):
        moment = email.utils.parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
        return max(0.0, (moment - datetime.datetime.now(datetime.UTC)).total_seconds())
    return None


def _connection(parts: SplitResult, address: str, port: int, timeout_s: float) -> HTTPConnection:
    if parts.scheme != "https":
        return HTTPConnection(address, port, timeout=timeout_s)
    name = parts.hostname or ""
    return HTTPSConnection(
        address, port, timeout=timeout_s, server_hostname=name, assert_hostname=name, ssl_context=_trusted()
    )


@cache
def _trusted() -> ssl.SSLContext:
    """Return what verifies certificates: the machine's authorities, and SSL_CERT_FILE's."""
    return ssl.create_default_context()


def _named(error: Exception) -> str:
    return {
        "CertificateError": "TLS: the certificate is another name's",
        "NewConnectionError": "no connection",
        "ConnectTimeoutError": "no connection in time",
        "RemoteDisconnected": "closed without an answer",
        "ConnectionRefusedError": "no connection",
        "ConnectionResetError": "the connection was cut",
    }.get(type(error).__name__, type(error).__name__)
