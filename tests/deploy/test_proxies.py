"""The shipped files for nginx and Caddy in front of a production server: TLS, WebSockets, addresses, sizes."""

import http.client
import json
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from tests.conftest import Server
from tests.deploy.proxies import SITE, Proxy, started

FORGED = "203.0.113.77"
"""An address that a client claims in its headers."""


PRODUCTION = {
    "STEPKEEP_ENVIRONMENT": "production",
    "SECRET_KEY": secrets.token_urlsafe(32),
    "STEPKEEP_PROXIES": "1",
}

pytestmark = pytest.mark.xdist_group("proxies")


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a production server configured as documented for a proxy."""
    server = Server(
        tmp_path_factory.mktemp("behind"),
        environment={
            **PRODUCTION,
            "STEPKEEP_PUBLIC_URL": f"https://{SITE}",
        },
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest, behind: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with started(request.param, behind.port, tmp_path_factory.mktemp("proxy")) as running:
        yield running


def request(proxy: Proxy, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    """Return the status and JSON of a request over TLS."""
    tcp = socket.create_connection(("127.0.0.1", proxy.https), timeout=30)
    connection = http.client.HTTPConnection(SITE)
    connection.sock = proxy.trust.wrap_socket(tcp, server_hostname=SITE)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    return response.status, json.loads(text) if text.startswith(b"{") else text


def test_participant_answers_through_the_proxy(proxy: Proxy) -> None:
    """REST over TLS, the WebSocket upgrade, frames in both directions and the ack work through the proxy."""
    status, invited = request(proxy, "POST", "/api/surveys/phq9/participants")
    assert status == 201
    with connect(
        f"wss://{SITE}/ws/survey/{invited['user_id']}?survey=phq9",
        sock=socket.create_connection(("127.0.0.1", proxy.https)),
        ssl=proxy.trust,
        additional_headers={"Authorization": f"Bearer {invited['token']}", "Origin": f"https://{SITE}"},
        open_timeout=30,
    ) as ws:
        state = json.loads(ws.recv(timeout=30))
        ws.send(json.dumps({"type": "answer", "id": "1", "step": state["session"]["current_step"], "value": 2}))
        ack = json.loads(ws.recv(timeout=30))
        assert (ack["type"], ack["version"]) == ("ack", 2)
        ws.ping().wait(30)


@pytest.mark.parametrize("kind", ["nginx", "caddy"])
def test_port_of_the_public_url_reaches_the_server(kind: str, tmp_path: Path) -> None:
    """With STEPKEEP_PUBLIC_URL on another port, other hosts are refused."""
    site = f"{SITE}:8443"
    server = Server(tmp_path, environment={**PRODUCTION, "STEPKEEP_PUBLIC_URL": f"https://{site}"})
    server.start()
    try:
        with started(kind, server.port, tmp_path) as proxy:
            assert request(proxy, "GET", "/api/surveys", Host=site)[0] == 200
            assert request(proxy, "GET", "/api/surveys", Host=SITE)[0] == 400
    finally:
        server.stop()


def test_forged_client_address_is_ignored(proxy: Proxy, behind: Server) -> None:
    """The log has the address of a rejected request's connection, not the one in its headers."""
    status, _ = request(
        proxy,
        "GET",
        "/api/sessions",
        Authorization="Bearer nonsense",
        X_Forwarded_For=FORGED,
        Forwarded=f"for={FORGED}",
        X_Real_IP=FORGED,
    )
    assert status == 401
    refused = [line for line in behind.log.splitlines() if "refused" in line]
    assert refused
    assert "127.0.0.1" in refused[0]
    assert FORGED not in behind.log


def test_too_large_body_is_rejected(proxy: Proxy) -> None:
    """Proxy or server responds with 413, and the connection is not cut."""
    _, invited = request(proxy, "POST", "/api/surveys/phq9/participants")
    path = f"/api/session/{invited['user_id']}/commands?survey=phq9"
    status, _ = request(proxy, "POST", path, b"x" * (3 * 1024 * 1024), Authorization=f"Bearer {invited['token']}")
    assert status == 413


def test_http_redirects_to_https(proxy: Proxy) -> None:
    """Nothing is served without TLS."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.http, timeout=30)
    connection.request("GET", "/s/phq9", headers={"Host": SITE})
    response = connection.getresponse()
    connection.close()
    assert response.status in {301, 308}
    assert response.headers["Location"].startswith(f"https://{SITE}")
