"""Rate and connection limits by connection, participant and address; across processes with Redis."""

import itertools
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from app.errors import RateLimited
from app.sessions.service import open_store
from app.settings import Settings
from app.survey.snapshot import SessionKey
from app.web.factory import create_app
from app.web.rate_limits import BYTES_CHUNK, MESSAGE_CHUNK, ConnectionLimits, MessageBudget, RateLimits
from tests.conftest import Server
from tests.notifications.conftest import redis
from tests.notifications.redis_server import RedisServer
from tests.waiting import START_S, wait_for
from tests.web.conftest import no_servers, running_server
from tests.web.production import App, credentials_of, in_production, listening, production_app
from tests.web.sockets import refusal, socket_to

__all__ = ["redis"]

MANY = "1000000/minute"


def close_code(server: Server, token: str, messages: int = 0) -> int:
    """Return the code with which the server closes a connection that sends this many messages; 0 if it does not."""
    url = f"{server.ws_url}/ws/survey/ada?survey=phq9"
    with connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as ws:
        try:
            assert json.loads(ws.recv(timeout=START_S))["type"] in {"state", "error"}
            for _ in range(messages):
                ws.send('{"type": "ping"}')
            for _ in range(messages):
                ws.recv(timeout=START_S)
            ws.send('{"type": "ping"}')
            ws.recv(timeout=START_S)
        except ConnectionClosed as closed:
            return 0 if closed.rcvd is None else closed.rcvd.code
    return 0


def statuses(app: App, count: int, **options: Any) -> list[int]:
    return [app.request("GET", "/api/surveys", **options).status_code for _ in range(count)]


@pytest.mark.parametrize(
    ("limit", "connections", "messages"),
    [
        ({"STEPKEEP_MESSAGE_BURST": "20", "STEPKEEP_MESSAGES_PER_SECOND": "0.01"}, 1, 40),
        ({"STEPKEEP_PARTICIPANT_MESSAGES": f"{2 * MESSAGE_CHUNK}/day"}, 4, MESSAGE_CHUNK),
        ({"STEPKEEP_ADDRESS_MESSAGES": f"{2 * MESSAGE_CHUNK}/day"}, 4, MESSAGE_CHUNK),
        ({"STEPKEEP_PARTICIPANT_CONNECTIONS": "3/day"}, 4, 0),
        ({"STEPKEEP_ADDRESS_CONNECTIONS": "3/day"}, 4, 0),
    ],
    ids=["connection", "participant's messages", "address's messages", "participant", "address"],
)
def test_flood_is_refused_by_connection_participant_and_address(
    tmp_path: Path, limit: dict[str, str], connections: int, messages: int
) -> None:
    """4429 for the connection over the limit; earlier ones are served."""
    with running_server("sqlite", no_servers, tmp_path, **in_production(**limit)) as server:
        with credentials_of(server) as credentials:
            token, _ = credentials.issue_token(SessionKey("phq9", "ada"))
        codes = [close_code(server, token, messages) for _ in range(connections)]
    assert codes[-1] == 4429
    assert set(codes[:-1]) <= {0, 4429}
    assert connections == 1 or codes[0] == 0


def test_requests_over_the_rate_are_refused_by_address(sqlite_settings: Settings) -> None:
    """429 with Retry-After; health and assets are exempt."""
    with production_app(sqlite_settings, address_requests="3/day") as app:
        assert statuses(app, 5) == [200, 200, 200, 429, 429]
        refused = app.request("GET", "/")
        assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (429, True)
        assert [app.request("GET", path).status_code for path in ("/healthz", "/readyz", "/assets/style.css")] == [
            200
        ] * 3
        assert statuses(app, 1, environ_base={"REMOTE_ADDR": "192.0.2.7"}) == [200]


@pytest.mark.parametrize(("seconds", "text"), [(1, "1 second"), (2, "2 seconds")])
def test_time_until_a_retry_is_a_sentence(seconds: int, text: str) -> None:
    assert RateLimited(seconds).message == f"Too many requests. Retry in {text}."


def test_new_tokens_are_limited_like_connections(sqlite_settings: Settings) -> None:
    """New participants by address, renewals after a revocation by participant."""
    with production_app(sqlite_settings, address_connections="2/day", participant_connections="2/day") as app:
        elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
        path = "/api/surveys/phq9/participants"
        assert [app.request("POST", path).status_code for _ in range(3)] == [201, 201, 429]
        assert app.request("POST", path, environ_base=elsewhere).status_code == 201
        path, key = "/api/session/{}/tokens?survey=phq9", app.create_key("sessions:write")
        assert [app.request("DELETE", path.format("ada"), key).status_code for _ in range(3)] == [200, 200, 429]
        assert app.request("DELETE", path.format("ben"), key).status_code == 200


def test_invalid_credentials_are_limited_by_address(sqlite_settings: Settings) -> None:
    """Over the rate, invalid ones get 429 wherever they are sent; other addresses have their own count."""
    with production_app(sqlite_settings, address_failures="3/day") as app:
        wrong = ["nonsense", f"stepkeep_{'a' * 12}_{'b' * 43}", f"{app.create_token('ada')}x", "nonsense"]
        codes = [app.request("GET", "/api/sessions", credential).status_code for credential in wrong]
        assert codes == [401, 401, 401, 429]
        assert app.request("POST", "/sign-in", data={"key": wrong[1]}).status_code == 429
        assert app.request("POST", "/resume", json={"token": "nonsense"}).status_code == 429
        elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
        assert app.request("GET", "/api/sessions", "nonsense", environ_base=elsewhere).status_code == 401


def test_valid_credentials_are_served_after_failures_of_their_address(sqlite_settings: Settings) -> None:
    """A hospital's participants share one address: somebody's expired token must not lock them out."""
    with production_app(sqlite_settings, address_failures="1/day", proxies=1) as app, listening(app.flask) as port:
        app.begin_session("ada")
        key, token, path = app.create_key(), app.create_token("ada"), "/api/session/ada?survey=phq9"
        failing: dict[str, Any] = {
            "environ_base": {"REMOTE_ADDR": "127.0.0.1"},
            "headers": {"X-Forwarded-For": "192.0.2.1"},
        }
        assert [app.request("GET", path, "nonsense", **failing).status_code for _ in range(2)] == [401, 429]
        for credential in (key, token):
            assert app.request("GET", path, credential, **failing).status_code == 200
        cookie = {"Cookie": f"__Host-stepkeep.phq9={token}", "X-Forwarded-For": "192.0.2.1"}
        assert app.request("GET", path, headers=cookie).status_code == 200
        assert app.request("POST", "/resume", json={"token": token, "confirm": True}, **failing).status_code == 200
        assert app.request("POST", "/sign-in", data={"key": key}, **failing).status_code == 303
        with ExitStack() as stack:
            in_handshake = stack.enter_context(socket_to(port, "ada", token, X_Forwarded_For="192.0.2.1"))
            in_frame = stack.enter_context(socket_to(port, "ada", X_Forwarded_For="192.0.2.1"))
            in_frame.send(json.dumps({"type": "auth", "token": token}))
            assert [refusal(in_handshake), refusal(in_frame)] == [None, None]
            wrong = stack.enter_context(socket_to(port, "ada", X_Forwarded_For="192.0.2.1"))
            wrong.send(json.dumps({"type": "auth", "token": "nonsense"}))
            assert refusal(wrong) == 4429


def test_valid_credentials_are_not_counted(sqlite_settings: Settings) -> None:
    with production_app(sqlite_settings, address_failures="1/day") as app:
        key = app.create_key()
        assert [app.request("GET", "/api/sessions", key).status_code for _ in range(5)] == [200] * 5


def test_addresses_behind_a_trusted_proxy_are_distinguished(sqlite_settings: Settings) -> None:
    """Behind an untrusted proxy all are one address."""
    for proxies, expected in ((1, [200, 200, 429]), (0, [200, 429, 429])):
        with production_app(sqlite_settings, proxies=proxies, address_requests="1/day") as app:
            addresses = ("192.0.2.1", "192.0.2.2", "192.0.2.1")
            codes = [statuses(app, 1, headers={"X-Forwarded-For": f"6.6.6.6, {address}"})[0] for address in addresses]
        assert codes == expected


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_ipv6_network_counts_as_one_address(sqlite_settings: Settings, first: str, second: str, is_same: bool) -> None:
    """/64; IPv4-mapped IPv6 addresses count as IPv4."""
    with production_app(sqlite_settings, address_requests="1/day") as app:
        codes = [statuses(app, 1, environ_base={"REMOTE_ADDR": remote})[0] for remote in (first, second)]
    assert codes == [200, 429 if is_same else 200]


def test_requests_are_not_limited_in_development(sqlite_settings: Settings) -> None:
    rates = {"address_requests": "1/day", "address_failures": "1/day"}
    store = open_store(sqlite_settings.model_copy(update={**rates, "environment": "development"}))
    app = create_app(store.settings, store)
    with app.test_client() as client:
        for headers in ({}, {"Authorization": "Bearer nonsense"}):
            codes = [client.get("/api/sessions", headers=headers).status_code for _ in range(4)]
            assert set(codes) == {401 if headers else 200}
    app.extensions["stepkeep"].authenticator.credentials.revocations.close()
    store.close()


def open_sockets(app: App, kind: str) -> int:
    """Return the number of open sockets over all addresses, participants or strangers."""
    connections: ConnectionLimits = app.flask.extensions["stepkeep"].connections
    return connections.slots.taken(kind)


@pytest.mark.parametrize(
    ("limit", "others"),
    [("address_sockets", ("ben", "192.0.2.2")), ("participant_sockets", ("ben", "192.0.2.1"))],
)
def test_concurrent_sockets_are_limited_by_address_and_participant(
    sqlite_settings: Settings, limit: str, others: tuple[str, str]
) -> None:
    """4429 over the limit; closing a socket frees its place."""
    with production_app(sqlite_settings, proxies=1, **{limit: 2}) as app, listening(app.flask) as port:
        tokens = {user_id: app.create_token(user_id) for user_id in ("ada", "ben")}

        def connect_as(stack: ExitStack, user_id: str, address: str) -> int | None:
            ws = stack.enter_context(socket_to(port, user_id, tokens[user_id], X_Forwarded_For=address))
            return refusal(ws)

        kind = limit.partition("_")[0]
        with ExitStack() as stack:
            with ExitStack() as first:
                assert connect_as(first, "ada", "192.0.2.1") is None
                assert connect_as(stack, "ada", "192.0.2.1") is None
                assert connect_as(stack, "ada", "192.0.2.1") == 4429
                assert connect_as(stack, *others) is None
                before = open_sockets(app, kind)
            wait_for(lambda: open_sockets(app, kind) < before, "the closed socket still counts")
            assert connect_as(stack, "ada", "192.0.2.1") is None
            assert connect_as(stack, "ada", "192.0.2.1") == 4429


@pytest.mark.parametrize(("connections", "strangers"), [(20, 4), (120, 6)])
def test_unauthenticated_sockets_leave_room_for_others(
    sqlite_settings: Settings, connections: int, strangers: int
) -> None:
    """At most a tenth of STEPKEEP_MAX_CONNECTIONS, but at least 4, may wait for their first frame; half of one address."""
    with (
        production_app(sqlite_settings, max_connections=connections, auth_timeout_s=60) as app,
        listening(app.flask) as port,
        ExitStack() as stack,
    ):
        silent = [stack.enter_context(socket_to(port, "ada")) for _ in range(strangers)]
        wait_for(lambda: open_sockets(app, "anonymous") == strangers, "the sockets were not counted")
        assert refusal(stack.enter_context(socket_to(port, "ada"))) == 4429
        if connections > 80:
            elsewhere = stack.enter_context(socket_to(port, "ada", address="127.0.0.2"))
            elsewhere.send(json.dumps({"type": "auth", "token": app.create_token("ada")}))
            assert refusal(elsewhere) is None
        known = [stack.enter_context(socket_to(port, "ada", app.create_token("ada"))) for _ in range(5)]
        assert [refusal(ws) for ws in known] == [None] * 5
        silent[0].close()
        silent[1].send(json.dumps({"type": "auth", "token": app.create_token("ada")}))
        assert refusal(silent[1]) is None
        wait_for(
            lambda: open_sockets(app, "anonymous") == strangers - 2, "closed and authenticated sockets still count"
        )
        late = stack.enter_context(socket_to(port, "ada"))
        late.send('{"type": "ping"}')
        assert refusal(late) == 4401  # its frame was read


def test_concurrent_sockets_are_not_limited_in_development(sqlite_settings: Settings) -> None:
    few = {"address_sockets": 1, "participant_sockets": 1, "environment": "development"}
    store = open_store(sqlite_settings.model_copy(update=few))
    app = create_app(store.settings, store)
    with (
        closing(store),
        closing(app.extensions["stepkeep"].authenticator.credentials.revocations),
        listening(app) as port,
    ):
        with ExitStack() as stack:
            host = f"127.0.0.1:{port}"
            codes = [refusal(stack.enter_context(socket_to(port, "ada", host=host))) for _ in range(4)]
        assert codes == [None] * 4


def test_processes_share_rates_through_redis_and_count_alone_while_it_is_unavailable(
    redis: RedisServer, tmp_path: Path
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    environment = in_production(REDIS_URL=redis.url, STEPKEEP_ADDRESS_REQUESTS="6/day")
    with ExitStack() as stack:
        for folder in folders:
            folder.mkdir()
        servers = [stack.enter_context(running_server("sqlite", no_servers, each, **environment)) for each in folders]
        turns = itertools.cycle(servers)
        codes = [status(next(turns)) for _ in range(8)]
        assert (codes[:6], codes[6:]) == ([200] * 6, [429] * 2)
        redis.kill()
        for server in servers:
            assert [status(server) for _ in range(8)] == [200] * 6 + [429] * 2
            assert "each process counts rates alone" in server.log


def test_exceeded_rate_in_redis_refuses_later_connections_too(redis: RedisServer) -> None:
    """A connection does not wait for Redis, so its own refusal may come too late; short ones would never be refused."""
    settings = Settings(redis_url=redis.url, address_mib_per_hour=1, environment="production")
    limits = RateLimits(settings)

    def is_refused() -> bool:
        budget = MessageBudget(limits, settings, "phq9/ada", "192.0.2.9", counts_bytes=True)
        try:
            budget.count_bytes(2**16)
        except RateLimited:
            return True
        return False

    wait_for(is_refused, "no connection was refused")
    assert is_refused()


def test_rates_are_counted_in_redis_again_when_it_is_back(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a pause without Redis, so that a hanging Redis does not delay each request."""
    clock = [0.0]
    monkeypatch.setattr("app.web.rate_limits.time.monotonic", lambda: clock[0])
    settings = Settings(redis_url=redis.url, address_requests="2/day", environment="production")
    first, second = RateLimits(settings), RateLimits(settings)
    redis.kill()
    first.count("address_requests", "192.0.2.1")
    redis.start()
    clock[0] += 60
    first.count("address_requests", "192.0.2.1")
    second.count("address_requests", "192.0.2.1")
    for limits in (first, second):
        with pytest.raises(RateLimited):
            limits.count("address_requests", "192.0.2.1")


def status(server: Server) -> int:
    try:
        with urllib.request.urlopen(f"{server.url}/api/surveys", timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


READS = ("/api/session/{}/history?survey=phq9", "/api/session/{}/export?survey=phq9")


@contextmanager
def unread(app: App, path: str, token: str, address: str = "192.0.2.1") -> Iterator[int]:
    """Yield the status of a request whose response the client does not read."""
    environ = {"REMOTE_ADDR": address}
    headers = {"Authorization": f"Bearer {token}"}
    response = app.client().get(path, base_url="https://survey.test", headers=headers, environ_overrides=environ)
    yield response.status_code
    response.close()


@pytest.mark.parametrize("path", READS)
def test_long_reads_at_once_are_limited_by_participant_and_address(sqlite_settings: Settings, path: str) -> None:
    """200 participants' unread exports took 2.4 GB. A response that ended frees its place; integrators are not limited."""
    users = [f"user{number}" for number in range(10)]
    with production_app(sqlite_settings) as app, ExitStack() as stack:
        tokens = {user: app.create_token(user) for user in users if app.begin_session(user)}
        enter = stack.enter_context

        def read(user: str, address: str = "192.0.2.1") -> int:
            return enter(unread(app, path.format(user), tokens[user], address))

        with unread(app, path.format(users[0]), tokens[users[0]]) as first:
            assert (first, read(users[0]), read(users[0])) == (200, 200, 429)
            assert read(users[1]) == 200
        assert read(users[0]) == 200
        assert [read(user) for user in users[2:8]] == [200] * 5 + [429]
        refused = app.request("GET", path.format(users[0]), tokens[users[0]])
        assert int(refused.headers["Retry-After"]) > 0
        assert read(users[8], "192.0.2.2") == 200
        key = app.create_key()
        assert [enter(unread(app, path.format(users[0]), key)) for _ in range(10)] == [200] * 10
    assert app.flask.extensions["stepkeep"].export_slots.slots.taken("own") == 0


@given(st.lists(st.lists(st.integers(1, 3 * BYTES_CHUNK), max_size=20), max_size=20))
def test_connections_of_an_address_never_save_more_than_its_bytes(connections: list[list[int]]) -> None:
    """Each command is counted before it is saved; at most BYTES_CHUNK of a connection's count are not used."""
    settings = Settings(environment="production", address_mib_per_hour=1)
    limits, limit = RateLimits(settings), 2**20
    saved = 0
    for sizes in connections:
        budget = MessageBudget(limits, settings, "phq9/ada", "192.0.2.1", counts_bytes=True)
        for size in sizes:
            try:
                budget.count_bytes(size)
            except RateLimited:
                wasted = BYTES_CHUNK * (1 + len(connections))
                assert saved + size > limit - wasted
                break
            saved += size
    assert saved <= limit
