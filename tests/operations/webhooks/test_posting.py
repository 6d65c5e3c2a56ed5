"""One request: to the address that was looked at, over TLS to the name, through no proxy, read within bounds."""

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
from app.operations.webhooks.dispatcher import Deliverer
from app.operations.webhooks.http import Answer, post, seconds_in
from app.sessions.service import SessionStore
from app.store import outbox
from app.survey.commands import Begin
from app.survey.snapshot import SessionKey
from tests.operations.webhooks.receiver import Receiver
from tests.waiting import wait_for

NAME = "receiver.test"
DAY = datetime.timedelta(days=1)


def certificate_for(name: str, folder: Path) -> Path:
    """Return a file with a certificate of a name, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
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
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


class Tls:
    """A receiver over TLS, whose certificate is of one name, and is trusted."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        file = certificate_for(NAME, folder)
        self.hosts: list[str] = []
        hosts = self.hosts

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """Keep whom it was meant for."""
                hosts.append(self.headers["Host"])
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                """Log nothing."""

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_args: Any) -> None:
                """A handshake that is refused is no fault."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        trusted = ssl.create_default_context(cafile=file)
        monkeypatch.setattr(webhook_http, "_trusted", lambda: trusted)

    @property
    def port(self) -> int:
        return self.server.server_port

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tls]:
    """The receiver."""
    made = Tls(tmp_path, monkeypatch)
    yield made
    made.close()


def names(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Let every name lead to these addresses, one a look; return the hosts that were looked for."""
    real, looked, left = socket.getaddrinfo, list[str](), list(answers)

    def look(host: str, *args: Any, **options: Any) -> Any:
        looked.append(host)
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return real(left.pop(0) if len(left) > 1 else left[0], *args, **options)
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look)
    return looked


def sent(url: str, *, may_be_inside: bool = True) -> Answer:
    return post(url, {"webhook-id": "msg_1"}, b"{}", timeout_s=10, may_be_inside=may_be_inside)


def test_certificate_must_be_the_names(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes to an address, but another name's certificate is refused."""
    names(monkeypatch, "127.0.0.1")
    assert sent(f"https://{NAME}:{tls.port}/hook").is_taken
    assert tls.hosts == [f"{NAME}:{tls.port}"]
    refused = sent(f"https://other.test:{tls.port}/hook")
    assert refused == Answer(status=None, error="TLS: the certificate is another name's")
    assert len(tls.hosts) == 1


def test_certificate_must_be_trusted(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the machine's authorities."""
    monkeypatch.setattr(webhook_http, "_trusted", ssl.create_default_context)
    names(monkeypatch, "127.0.0.1")
    assert not sent(f"https://{NAME}:{tls.port}/hook").is_taken
    assert tls.hosts == []


def test_name_that_answers_otherwise_a_moment_later_leads_nowhere_else(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is resolved once; the connection goes to the address that was looked at (here: nobody listens there)."""
    port = receiver.url.partition("127.0.0.1:")[2].partition("/")[0]
    looked = names(monkeypatch, "127.0.0.2", "127.0.0.1")
    assert not sent(f"http://rebinding.test:{port}/hook").is_taken
    assert looked.count("rebinding.test") == 1
    assert receiver.received == []


@pytest.mark.parametrize("url", ["http://localhost:{}/", "http://127.0.0.1:{}/", "http://2130706433:{}/"])
def test_nothing_is_sent_inside(receiver: Receiver, url: str) -> None:
    """However it is written."""
    port = receiver.url.partition("127.0.0.1:")[2].partition("/")[0]
    refused = sent(url.format(port), may_be_inside=False)
    assert refused.error is not None
    assert "not public" in refused.error
    assert receiver.received == []


def test_webhook_that_leads_inside_is_told_nothing_in_production(store: SessionStore, receiver: Receiver) -> None:
    """Its name was sound when it was added; the delivery says why it fails."""
    store.settings = store.settings.model_copy(update={"environment": "production"})
    port = receiver.url.partition("127.0.0.1:")[2].partition("/")[0]
    management.add(store, f"https://localhost:{port}/", ["session.started"])
    Deliverer(store).start()
    store.turns.submit(SessionKey("phq9", "ann"), Begin(at=store.clock()))

    def errors() -> list[str | None]:
        page = store.run_read(lambda connection: outbox.read_page(connection, None, None, 10))
        return [one.last_error for one in page.deliveries if one.attempts]

    wait_for(lambda: bool(errors()), "it was not attempted", 30)
    assert errors() == ["its name leads to an address that is not public (STEPKEEP_WEBHOOK_PRIVATE_NETWORKS)"]
    assert receiver.received == []


def test_proxy_of_the_environment_is_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would resolve the name itself, and reach what may not be reached."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert sent(receiver.url).is_taken


def test_answer_is_not_read_without_end(receiver: Receiver) -> None:
    """A body that never ends is read for a while only, and the status counts."""

    def endless(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            receiver.released.set()

    receiver.behaviour = endless
    assert sent(receiver.url) == Answer(status=200, error=None)
    assert receiver.released.wait(20)


def test_nobody_who_listens_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As is a name that leads nowhere, and a status line that is none."""
    assert sent("http://127.0.0.1:1/").error == "no connection"
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: (_ for _ in ()).throw(socket.gaierror()))
    assert sent("http://nowhere.test/").error == "its name can't be resolved"


def test_retry_after_is_seconds_or_a_time() -> None:
    """RFC 9110; what is neither says nothing."""
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
    later = seconds_in(email.utils.format_datetime(soon, usegmt=True))
    assert later is not None
    assert 90 < later <= 100
    assert seconds_in("120") == 120
    assert seconds_in("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    for text in (None, "", "soon", "-5", "1e9", "٣"):
        assert seconds_in(text) is None
