"""The worker of the real server: slow, silent and greedy clients, and those that are slow for a good reason."""

import contextlib
import json
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import Server
from tests.waiting import wait_for
from tests.web.production import in_production

SURVEY = """
id: text
title: A text
language: en
steps:
  - {id: S1, type: text, prompt: Say something, max_length: 60000}
  - {id: S2, type: text, prompt: Say more}
"""

CONFIG = """
import resource, runpy

resource.setrlimit(resource.RLIMIT_NOFILE, ({descriptors}, {descriptors}))
globals().update(runpy.run_path("gunicorn.conf.py"))

from app.web.worker import Worker


class TestedWorker(Worker):
    {attributes}


worker_class = TestedWorker
"""

TAKING = """
import os, socket, threading

bind = f"127.0.0.1:{os.environ['PORT']}"
worker_class = "app.web.worker.Worker"
threads = 4
worker_connections = 20
control_socket_disable = True


def post_worker_init(worker):
    worker.wsgi.worker = worker


def app(environ, start_response):
    if environ["PATH_INFO"] == "/take":
        taken = socket.socket(fileno=environ["gunicorn.socket"].detach())
        taken.setblocking(True)
        threading.Thread(target=echo, args=[taken], daemon=True).start()
        raise StopIteration
    body = str(app.worker.nr_conns).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def echo(taken):
    taken.sendall(b"taken")
    while data := taken.recv(100):
        taken.sendall(data)
"""

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
COMMANDS = "/api/session/ada/commands?survey=text"
LARGE = b"PUT /api/session/ada?survey=text HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n{"
OTHER_ADDRESS = "127.0.0.2"


class ConfiguredServer(Server):
    """A server with the configuration in its folder."""

    @property
    def command(self) -> list[str]:
        return ["gunicorn", "--config", str(self.folder / "conf.py"), "wsgi:app"]


class TakingServer(Server):
    """Serves the application and configuration above."""

    @property
    def command(self) -> list[str]:
        return ["gunicorn", "--pythonpath", str(self.folder), "--config", str(self.folder / "taking.py"), "taking:app"]


@contextlib.contextmanager
def serving(folder: Path, attributes: str = "pass", descriptors: int = 4096, **environment: str) -> Iterator[Server]:
    """Serve with these attributes of the worker, and so many descriptors."""
    surveys = folder / "surveys"
    surveys.mkdir()
    (surveys / "text.yaml").write_text(SURVEY)
    (folder / "conf.py").write_text(CONFIG.format(attributes=attributes, descriptors=descriptors))
    few = {"STEPKEEP_MAX_CONNECTIONS": "10", "STEPKEEP_REST_THREADS": "4"}
    server = ConfiguredServer(folder, surveys, environment={**few, **environment})
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with 4 threads, which the tests leave as it was."""
    with serving(tmp_path_factory.mktemp("worker")) as server:
        yield server


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def connect(server: Server, sent: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), 20, source_address=(source, 0))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(sent)
    return connection


def command_body(size: int) -> bytes:
    value = {"type": "answer", "id": uuid.uuid4().hex, "step": "S1", "value": "x" * size}
    return json.dumps(value).encode()


def post(body: bytes, *lines: str) -> bytes:
    header = [f"POST {COMMANDS} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *lines]
    return "\r\n".join([*header, "", ""]).encode() + body


def response(connection: socket.socket) -> tuple[int, bytes]:
    """Read one response with a Content-Length; return its status and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(1)
        assert part, data
        data += part
    fields = dict(line.lower().split(b": ", 1) for line in data.split(b"\r\n")[1:-2])
    body = b""
    while len(body) < int(fields.get(b"content-length", 0)):
        body += connection.recv(1)
    return int(data.split()[1]), body


def everything(connection: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(2**16):
            data += part
    return data


def is_healthy(server: Server) -> bool:
    return httpx.get(f"{server.url}/healthz", timeout=10).status_code == 200


HALVES = {
    "header": b"GET /healthz HTTP/1.1\r\nHost: loc",
    "body": post(b"{", "Content-Length: 100"),
    "chunks": post(b"5\r\n0\r\n\r\n\r\n", "Transfer-Encoding: chunked"),
    "nothing": b"",
}


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_connections_with_half_requests_take_no_thread(
    server: Server, stack: contextlib.ExitStack, half: bytes
) -> None:
    for _ in range(100):
        stack.enter_context(connect(server, half))
    assert is_healthy(server)


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_further_half_requests_of_kept_connections_take_no_thread(
    server: Server, stack: contextlib.ExitStack, half: bytes
) -> None:
    """In one packet with the first request, and after its response."""
    for _ in range(20):
        connection = stack.enter_context(connect(server, HEALTH + half))
        assert response(connection)[0] == 200
        connection = stack.enter_context(connect(server, HEALTH))
        assert response(connection)[0] == 200
        connection.sendall(half)
    assert is_healthy(server)


@pytest.mark.long
@pytest.mark.parametrize("half", [HALVES["header"], HALVES["body"]], ids=["header", "body"])
def test_more_half_requests_than_connections_are_closed_for_new_ones(
    server: Server, stack: contextlib.ExitStack, half: bytes
) -> None:
    for _ in range(1100):
        stack.enter_context(connect(server, half))
    assert is_healthy(server)


def test_clients_that_leave_closing_to_the_server_do_not_stop_it(server: Server, stack: contextlib.ExitStack) -> None:
    """Gunicorn waits for each in its main loop."""
    last = HEALTH.replace(b"Host", b"Connection: close\r\nHost")
    connections = [stack.enter_context(connect(server, last)) for _ in range(20)]
    assert is_healthy(server)
    assert [response(connection)[0] for connection in connections] == 20 * [200]


def test_request_that_arrives_byte_by_byte_is_answered(server: Server) -> None:
    with connect(server) as connection:
        for byte in post(body := command_body(5), f"Content-Length: {len(body)}"):
            connection.sendall(bytes([byte]))
        assert response(connection)[0] == 200


def test_body_of_60_kib_in_pieces_arrives_whole(server: Server) -> None:
    body = command_body(59_900)
    with connect(server, post(b"", f"Content-Length: {len(body)}")) as connection:
        for start in range(0, len(body), 1000):
            connection.sendall(body[start : start + 1000])
        status, answer = response(connection)
    assert status == 200
    assert b"x" * 59_900 in answer


def test_chunked_body_arrives_whole(server: Server) -> None:
    body = command_body(40_000)
    with connect(server, post(b"", "Transfer-Encoding: chunked")) as connection:
        for start in range(0, len(body), 9000):
            chunk = body[start : start + 9000]
            connection.sendall(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        connection.sendall(b"0\r\n\r\n" + HEALTH)
        status, answer = response(connection)
        assert response(connection)[0] == 200
    assert status == 200
    assert b"x" * 40_000 in answer


@pytest.mark.parametrize("size", [10, 1_000_000], ids=["small", "large"])
def test_client_that_expects_100_continue_gets_it_once(server: Server, size: int) -> None:
    body = command_body(size)
    with connect(server, post(b"", "Expect: 100-continue", f"Content-Length: {len(body)}")) as connection:
        assert response(connection)[0] == 100
        connection.sendall(body)
        assert response(connection)[0] == (200 if size == 10 else 413)


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    body = command_body(10)
    both = post(body, f"Content-Length: {len(body)}") + HEALTH + HEALTH
    with connect(server, both[:-20]) as connection:
        assert response(connection)[0] == 200
        assert b"version" not in response(connection)[1]
        connection.sendall(both[-20:])
        assert response(connection)[0] == 200


def test_requests_after_a_large_body_are_answered(server: Server) -> None:
    """Gunicorn's parser may have read them."""
    body = command_body(200_000)
    with connect(server, post(body, f"Content-Length: {len(body)}") + HEALTH + HEALTH[:-1]) as connection:
        assert response(connection)[0] == 413
        assert response(connection)[0] == 200
        connection.sendall(HEALTH[-1:])
        assert response(connection)[0] == 200


def test_connection_is_kept_alive(server: Server) -> None:
    with connect(server) as connection:
        for _ in range(3):
            connection.sendall(HEALTH)
            assert response(connection)[0] == 200


def test_request_of_a_client_that_sends_no_more_is_answered(server: Server) -> None:
    with connect(server, HEALTH) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert everything(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        (b"", b""),
        (HALVES["header"], b"HTTP/1.1 408"),
        (HALVES["body"], b"HTTP/1.1 408"),
        (LARGE, b"HTTP/1.1 400"),
        (LARGE[:-5] + 20 * (b"\r\nX: " + 10_000 * b"x"), b""),
    ],
    ids=["nothing", "header", "body", "large body", "large header"],
)
def test_request_that_does_not_arrive_in_time_is_ended(tmp_path: Path, sent: bytes, received: bytes) -> None:
    """The thread that reads a large body finds it cut short."""
    with (
        serving(tmp_path, "HEADER_S = BODY_S = LARGE_BODY_S = 0.5") as server,
        connect(server, sent) as connection,
    ):
        assert everything(connection)[:12] == received


def test_requests_of_one_address_take_half_of_the_threads(tmp_path: Path, stack: contextlib.ExitStack) -> None:
    """Further ones wait; for too long: 503."""
    deadlines = "QUEUE_S = 1; LARGE_BODY_S = 120"
    environment = in_production(STEPKEEP_MAX_CONNECTIONS="1", STEPKEEP_REST_THREADS="4")
    server = stack.enter_context(serving(tmp_path, deadlines, **environment))
    for _ in range(4):
        stack.enter_context(connect(server, LARGE, OTHER_ADDRESS))
    refused = stack.enter_context(connect(server, HEALTH, OTHER_ADDRESS))
    assert is_healthy(server)
    answer = everything(refused)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"Retry-After: " in answer
    assert "Traceback" not in server.log


def test_requests_that_wait_for_others_of_their_address_are_answered(
    tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    environment = in_production(STEPKEEP_MAX_CONNECTIONS="1", STEPKEEP_REST_THREADS="4")
    server = stack.enter_context(serving(tmp_path, **environment))
    waiting = [stack.enter_context(connect(server, HEALTH, OTHER_ADDRESS)) for _ in range(40)]
    assert [response(connection)[0] for connection in waiting] == 40 * [200]


def test_all_requests_behind_a_proxy_have_one_address_without_a_bound(
    tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    environment = in_production(STEPKEEP_MAX_CONNECTIONS="1", STEPKEEP_REST_THREADS="4", STEPKEEP_PROXIES="1")
    server = stack.enter_context(serving(tmp_path, "LARGE_BODY_S = 120", **environment))
    for _ in range(3):
        stack.enter_context(connect(server, LARGE))
    assert is_healthy(server)


def test_lack_of_descriptors_ends_no_worker(tmp_path: Path) -> None:
    with serving(tmp_path, descriptors=100) as server:
        with contextlib.ExitStack() as idle:
            for _ in range(300):
                idle.enter_context(connect(server))
            wait_for(lambda: "New connections have to wait" in server.log, "there were enough descriptors")
        assert is_healthy(server)
        assert "LimitNOFILE" in server.log
        assert server.log.count("New connections have to wait") == 1
        assert server.log.count("Booting worker") == 1


def test_sockets_that_the_application_takes_over_are_counted_out_once(
    tmp_path: Path, stack: contextlib.ExitStack
) -> None:
    """Gunicorn counts them out twice, and would accept more connections than it may."""
    (tmp_path / "taking.py").write_text(TAKING)
    server = TakingServer(tmp_path)
    stack.callback(server.stop)
    server.start()
    taken = [stack.enter_context(connect(server, b"GET /take HTTP/1.1\r\n\r\n")) for _ in range(30)]
    assert [connection.recv(5) for connection in taken] == 30 * [b"taken"]
    with connect(server) as connection:
        wait_for(lambda: count(connection) == b"1", "the sockets were not counted out once")
    for connection in taken:
        connection.sendall(b"more")
        assert connection.recv(4) == b"more"
    assert "Traceback" not in server.log


def count(connection: socket.socket) -> bytes:
    """Return the number of the worker's connections; the socket is kept alive."""
    connection.sendall(b"GET /count HTTP/1.1\r\n\r\n")
    return response(connection)[1]
