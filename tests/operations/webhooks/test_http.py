"""One request: to the checked address, with the certificate of the name, without proxies, and limited in size."""

import datetime
import email.utils
import http.server
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.operations.webhooks import http as webhook_http
from app.operations.webhooks import management
from app.operations.webhooks.dispatcher import Dispatcher
from app.operations.webhooks.http import PostResult, parse_retry_after, post
from app.sessions.service import SessionStore
from app.store import outbox
from app.survey.commands import Begin
from app.survey.snapshot import SessionKey
from tests.operations.webhooks.receiver import Receiver
from tests.waiting import wait_for

NAME = "receiver.test"
DAY = datetime.timedelta(days=1)


def certificate_for(name: str, folder: Path) -> Path:
    """Return a file with a self-signed certificate for a name, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


class Tls:
    """A TLS receiver with a trusted certificate for NAME."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = certificate_for(NAME, folder)
        self.hosts: list[str] = []
        hosts = self.hosts

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """Record the Host header."""
                hosts.append(self.headers["Host"])
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                """Log nothing."""

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_args: Any) -> None:
                """Ignore refused handshakes."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        trusted = ssl.create_default_context(cafile=file)
        monkeypatch.setattr(webhook_http, "_ssl_context", lambda: trusted)

    @property
    def port(self) -> int:
        return self.server.server_port

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tls]:
    """Yield a TLS receiver."""
    server = Tls(tmp_path, monkeypatch)
    yield server
    server.close()


def names(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Resolve every name to these addresses, one a call; return the list of resolved hosts."""
    real, resolved, left = socket.getaddrinfo, list[str](), list(answers)

    def resolve(host: str, *args: Any, **options: Any) -> Any:
        resolved.append(host)
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return real(left.pop(0) if len(left) > 1 else left[0], *args, **options)
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return resolved


def send(url: str, *, allow_private: bool = True) -> PostResult:
    return post(url, {"webhook-id": "msg_1"}, b"{}", timeout_s=10, allow_private=allow_private)


def test_certificate_is_refused_when_it_is_for_another_name(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the connection goes to the same IP address."""
    names(monkeypatch, "127.0.0.1")
    assert send(f"https://{NAME}:{tls.port}/hook").succeeded
    assert tls.hosts == [f"{NAME}:{tls.port}"]
    refused = send(f"https://other.test:{tls.port}/hook")
    assert refused == PostResult(status=None, error="TLS: the certificate is for another name")
    assert len(tls.hosts) == 1


def test_certificate_is_refused_when_it_is_not_trusted(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the authorities of the system."""
    monkeypatch.setattr(webhook_http, "_ssl_context", ssl.create_default_context)
    names(monkeypatch, "127.0.0.1")
    assert not send(f"https://{NAME}:{tls.port}/hook").succeeded
    assert tls.hosts == []


def test_name_is_resolved_once(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes to the checked address, so DNS rebinding has no effect."""
    port = receiver.url.partition("127.0.0.1:")[2].partition("/")[0]
    resolved = names(monkeypatch, "127.0.0.2", "127.0.0.1")
    assert not send(f"http://rebinding.test:{port}/hook").succeeded
    assert resolved.count("rebinding.test") == 1
    assert receiver.received == []


@pytest.mark.parametrize("url", ["http://localhost:{}/", "http://127.0.0.1:{}/", "http://2130706433:{}/"])
def test_nothing_is_sent_to_private_addresses(receiver: Receiver, url: str) -> None:
    """In any notation."""
    port = receiver.url.partition("127.0.0.1:")[2].partition("/")[0]
    refused = send(url.format(port), allow_private=False)
    assert refused.error is not None
    assert "not public" in refused.error
    assert receiver.received == []


@pytest.mark.one_database
def test_delivery_fails_in_production_when_the_name_resolves_to_a_private_address(
    store: SessionStore, receiver: Receiver
) -> None:
    """The webhook could be added; the delivery has the reason."""
    store.settings = store.settings.model_copy(update={"environment": "production"})
    port = receiver.url.partition("127.0.0.1:")[2].partition("/")[0]
    management.add_webhook(store, f"https://localhost:{port}/", ["session.started"])
    Dispatcher(store).start()
    store.turns.submit(SessionKey("phq9", "ann"), Begin(at=store.clock()))

    def errors() -> list[str | None]:
        page = store.run_read(lambda connection: outbox.read_page(connection, None, None, 10))
        return [one.last_error for one in page.items if one.attempts]

    wait_for(lambda: bool(errors()), "no delivery was attempted", 30)
    assert errors() == ["the host name has an address that is not public (STEPKEEP_WEBHOOK_PRIVATE_NETWORKS)"]
    assert receiver.received == []


def test_proxy_of_the_environment_is_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would resolve the name itself, without the check."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert send(receiver.url).succeeded


def test_only_the_beginning_of_a_response_is_read(receiver: Receiver) -> None:
    """An endless body does not matter; only the status counts."""

    def endless(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            receiver.released.set()

    receiver.behaviour = endless
    assert send(receiver.url) == PostResult(status=200, error=None)
    assert receiver.released.wait(20)


def test_connection_errors_are_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a refused connection nor an unknown name raises."""
    assert send("http://127.0.0.1:1/").error == "connection failed"
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: (_ for _ in ()).throw(socket.gaierror()))
    assert send("http://nowhere.test/").error == "the host name can't be resolved"


def test_retry_after_is_parsed_as_seconds_or_a_date() -> None:
    """As in RFC 9110; other values are ignored."""
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
    later = parse_retry_after(email.utils.format_datetime(soon, usegmt=True))
    assert later is not None
    assert 90 < later <= 100
    assert parse_retry_after("120") == 120
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    for text in (None, "", "soon", "-5", "1e9", "٣"):
        assert parse_retry_after(text) is None
