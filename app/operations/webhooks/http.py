"""Send a request to a webhook, without redirects, proxies or retries.

It connects to the checked address, so DNS rebinding has no effect; the certificate must match the name.
"""

import socket
import ssl
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from time import monotonic
from urllib.parse import SplitResult, urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util import Retry

from ...settings import Settings
from .signing import Secret, message_headers
from .url_policy import AddressRefused, allows_private_networks, resolve

READ_BYTES = 16 * 1024  # the content is ignored
MAX_ADDRESSES = 3

_RETRY = Retry()


@dataclass(frozen=True, slots=True, kw_only=True)
class PostResult:
    """The error is never the receiver's text."""

    status: int | None
    error: str | None
    retry_after_s: float | None = None

    @property
    def succeeded(self) -> bool:
        return self.error is None


def post_signed(
    url: str, keys: Sequence[Secret], message_id: str, at: int, body: bytes, settings: Settings
) -> PostResult:
    headers, allow_private = message_headers(keys, message_id, at, body), allows_private_networks(settings)
    return post(url, headers, body, timeout_s=settings.webhook_timeout_s, allow_private=allow_private)


def post(url: str, headers: Mapping[str, str], body: bytes, *, timeout_s: float, allow_private: bool) -> PostResult:
    """Send one request, for at most ``timeout_s`` after the name is resolved."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80)
    try:
        addresses = resolve(host, port, allow_private=allow_private)
    except AddressRefused as refused:
        return PostResult(status=None, error=str(refused))
    deadline = monotonic() + timeout_s
    result = PostResult(status=None, error="the host name has no address")
    for address in addresses[:MAX_ADDRESSES]:
        left_s = deadline - monotonic()
        if left_s <= 0:
            break
        request = _Request(_connection(parts, address, port, left_s), left_s, timeout_s)
        result = request.send(parts, headers, body)
        if request.is_connected:
            break
    return result


class _Request:
    """Shut down after ``left_s``, however slowly the receiver responds; its error names ``timeout_s``, the setting."""

    def __init__(self, connection: HTTPConnection, left_s: float, timeout_s: float) -> None:
        self._connection = connection
        self._left_s = left_s
        self._timeout_s = timeout_s
        self._timed_out = False
        self.is_connected = False

    def send(self, parts: SplitResult, headers: Mapping[str, str], body: bytes) -> PostResult:
        timer = threading.Timer(self._left_s, self._time_out)
        timer.daemon = True
        timer.start()
        try:
            return self._send(parts, headers, body)
        except ssl.SSLError as error:
            return self._failure(f"TLS: {error.reason or 'failed'}")
        except (OSError, HTTPError, ValueError, AssertionError) as error:  # HTTPException's are OSError or HTTPError
            self._timed_out |= isinstance(error, TimeoutError | ReadTimeoutError)
            return self._failure(_describe(error))
        except Exception as error:  # noqa: BLE001 - a receiver can make any parser fail
            return self._failure(type(error).__name__)
        finally:
            timer.cancel()
            self._connection.close()

    def _send(self, parts: SplitResult, headers: Mapping[str, str], body: bytes) -> PostResult:
        self._connection.connect()
        self.is_connected = True
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._connection.request("POST", target, body, {**headers, "Host": parts.netloc}, preload_content=False)
        response = self._connection.getresponse()
        if self._timed_out:  # amid the headers, which then look complete
            return self._failure("timeout")
        with suppress(Exception):  # only the status counts
            response.read(READ_BYTES, decode_content=False)
        status = response.status
        if 200 <= status < 300:  # noqa: PLR2004 - HTTP's classes
            return PostResult(status=status, error=None)
        is_redirect = 300 <= status < 400  # noqa: PLR2004 - HTTP's classes
        error = f"HTTP {status}{' (redirects are not followed)' if is_redirect else ''}"
        retry_after_s = parse_retry_after(response.headers.get("Retry-After"))
        return PostResult(status=status, error=error, retry_after_s=retry_after_s)

    def _time_out(self) -> None:
        self._timed_out = True
        sock = self._connection.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _failure(self, error: str) -> PostResult:
        return PostResult(
            status=None, error=f"no response within {self._timeout_s:.3g} s" if self._timed_out else error
        )


def parse_retry_after(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, 10.2.3)."""
    with suppress(HTTPError, ValueError, OverflowError):
        return None if retry_after is None else float(_RETRY.parse_retry_after(retry_after))
    return None


def _connection(parts: SplitResult, address: str, port: int, timeout_s: float) -> HTTPConnection:
    if parts.scheme != "https":
        return HTTPConnection(address, port, timeout=timeout_s)
    name = parts.hostname or ""
    return HTTPSConnection(
        address, port, timeout=timeout_s, server_hostname=name, assert_hostname=name, ssl_context=_ssl_context()
    )


@cache
def _ssl_context() -> ssl.SSLContext:
    """Trust the system's authorities, and SSL_CERT_FILE."""
    return ssl.create_default_context()


def _describe(error: Exception) -> str:
    return {
        "CertificateError": "TLS: the certificate is for another name",
        "NewConnectionError": "connection failed",
        "ConnectTimeoutError": "connection timed out",
        "RemoteDisconnected": "connection closed without a response",
        "ConnectionRefusedError": "connection refused",
        "ConnectionResetError": "connection reset",
    }.get(type(error).__name__, type(error).__name__)
