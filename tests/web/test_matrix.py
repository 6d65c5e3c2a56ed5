"""Who may do what (matrix.py), each caller at each endpoint: a refusal changes nothing and reveals nothing."""

import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from socket import create_connection
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol
from werkzeug.test import TestResponse

from app.access.principals import SCOPES, Scope
from app.sessions.service import SessionStore
from app.survey.snapshot import SessionKey
from app.web.ws.messages import CLIENT_TYPES
from tests.conftest import ROOT, Servers, each_kind
from tests.store.contents import Rows, clear, dump
from tests.web.matrix import ADMITS, ADMITTED, CALLERS, COMMANDS, ROWS, SOCKET, TOKENS, UNPROVEN_AS_COOKIE, Row, bare
from tests.web.production import DAY_US, App, Reads, altered, listening, production_app_on, signed_token

NUMBERS = itertools.count()
COOKIE = "__Host-stepkeep.phq9"


class Matrix:
    """The application on one database, with somebody of each kind of caller."""

    def __init__(self, app: App, port: int) -> None:
        self.app = app
        self.port = port
        self.reads = Reads(app)
        self._keys: dict[tuple[str, Scope | None], str] = {}

    def new_user(self) -> str:
        return f"user-{next(NUMBERS)}"

    def shown_by(self, caller: str, user_id: str, scope: Scope) -> str | None:
        """Return what this kind of caller puts into Authorization."""
        key, at = SessionKey("phq9", user_id), self.app.clock()
        fixed: dict[str, str | None] = {"nobody": None, "no bearer": "Basic YTpi", "nonsense": "Bearer nonsense"}
        if caller in fixed:
            return fixed[caller]
        tokens: dict[str, Callable[[], str]] = {
            "another's token": lambda: self.app.create_token(f"{user_id}-other"),
            "token of another survey": lambda: self.app.create_token(user_id, "intake"),
            "expired token": lambda: signed_token(self.app, key, at - 2 * DAY_US, DAY_US),
            "revoked token": lambda: self._revoked(key),
            "altered token": lambda: altered(self.app.create_token(user_id)),
            "participant": lambda: self.app.create_token(user_id),
        }
        return f"Bearer {tokens[caller]() if caller in tokens else self._key(caller, scope)}"

    def dump(self) -> Rows:
        """Return all that is stored of sessions and participants."""
        return {name: rows for name, rows in dump(self.app.store).items() if name != "audit_log"}

    def _revoked(self, key: SessionKey) -> str:
        token = self.app.create_token(key.user_id)
        self.app.credentials.revoke_tokens(key)
        return token

    def _key(self, caller: str, scope: Scope) -> str:
        made = self._keys.get((caller, scope))
        if made is None:
            made = self._keys[caller, scope] = self._new_key(caller, scope)
        return made

    def _new_key(self, caller: str, scope: Scope) -> str:
        if caller == "nonsense key":
            return f"stepkeep_{'a' * 12}_{'b' * 43}"
        if caller == "altered key":
            return altered(self.app.create_key(scope))
        if caller == "key without the scope":
            return self.app.create_key(*(other for other in SCOPES if other != scope))
        if caller == "expired key":
            self.app.clock.ahead_us = -2 * DAY_US
            key = self.app.create_key(scope, expires_at=self.app.clock() + DAY_US)
            self.app.clock.ahead_us = 0
            return key
        key = self.app.create_key(scope)
        if caller == "revoked key":
            self.app.credentials.revoke_key(key.split("_")[1])
        return key


@pytest.fixture(scope="module", params=each_kind(__name__))
def matrix(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Matrix]:
    """The application on each database."""
    folder = tmp_path_factory.mktemp("matrix")
    generous = dict.fromkeys(("address_requests", "address_connections", "address_failures"), "900000000/minute")
    with production_app_on(request.param, servers, folder, **generous) as app, listening(app.flask) as port:
        yield Matrix(app, port)


@pytest.fixture(autouse=True)
def empty(matrix: Matrix) -> None:
    """Each test begins with nobody, so that what is stored is soon compared."""
    clear(matrix.app.store)


def send_row(matrix: Matrix, row: Row, user_id: str, shown: str | None, carrier: str = "header") -> TestResponse:
    """Ask as the row says, and show it in Authorization (or where the row says) or as the survey's cookie."""
    options: dict[str, Any] = {**row.options, **row.carried(shown)}
    if carrier == "cookie":
        options = {**row.options, "headers": {"Cookie": f"{COOKIE}={bare(shown)}"}}
    return matrix.app.request(row.method, row.path.format(user=user_id), **options)


def comparable(answer: TestResponse) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Return all that an answer tells."""
    headers = sorted(item for item in answer.headers.items() if item[0] != "X-Request-ID")  # a random one for each
    return answer.status_code, answer.data, headers


def carriers(row: Row, caller: str) -> list[str]:
    return ["header", "cookie"] if row.is_of_a_session and caller in TOKENS else ["header"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path} {' '.join(row.options)}".strip())
def test_each_endpoint_admits_only_whom_its_row_names(matrix: Matrix, row: Row) -> None:
    """Whom it refuses changes nothing, reads no session, and gets the same answer whether or not there is one."""
    for caller in CALLERS:
        for carrier in carriers(row, caller):
            who = f"{caller} by {carrier}"
            user_id = matrix.new_user()
            matrix.app.begin_session(user_id)
            shown = matrix.shown_by(caller, user_id, row.scope)
            before = matrix.dump()
            matrix.reads.seen.clear()
            answer = send_row(matrix, row, user_id, shown, carrier)
            expected = 401 if (caller, carrier) == (UNPROVEN_AS_COOKIE, "cookie") else row.expected[caller]
            assert answer.status_code == expected, f"{who}: {answer.text}"
            if answer.status_code not in {401, 403, 404}:
                continue
            assert not matrix.reads.seen, f"{who}: {matrix.reads.seen}"
            assert matrix.dump() == before, who
            assert "Set-Cookie" not in answer.headers, who
            if row.is_of_a_session:
                absent = matrix.new_user()
                shown = matrix.shown_by(caller, absent, row.scope)
                matrix.reads.seen.clear()
                assert comparable(send_row(matrix, row, absent, shown, carrier)) == comparable(answer), who
                assert not matrix.reads.seen, who


def test_every_route_and_command_has_its_row(matrix: Matrix) -> None:
    """A route, a method or a command that is new has to say who may use it; HEAD and OPTIONS tell nothing more."""
    rules = {
        (rule.endpoint, method)
        for rule in matrix.app.flask.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert rules == {(row.endpoint, row.method) for row in ROWS} | {(SOCKET, "GET")}
    assert COMMANDS.keys() == CLIENT_TYPES
    for row in ROWS:
        if row.method == "GET":
            path = row.path.format(user=matrix.new_user())
            head = matrix.app.request("HEAD", path)
            assert (head.status_code, head.data) == (row.expected["nobody"], b""), path


class Caller:
    """A socket that shows its credential in one of four ways, and sends a command before it is let in."""

    def __init__(self, matrix: Matrix, user_id: str, shown: str | None, carrier: str) -> None:
        credential = bare(shown)
        headers = {
            "header": {} if shown is None else {"Authorization": shown},
            "cookie": {"Cookie": f"{COOKIE}={credential}"},
        }
        offered = [Subprotocol("stepkeep"), Subprotocol(f"token.{credential}")]
        self.ws: ClientConnection = connect(
            f"ws://survey.test/ws/survey/{user_id}?survey=phq9",
            sock=create_connection(("127.0.0.1", matrix.port)),
            additional_headers=headers.get(carrier, {}),
            subprotocols=offered if carrier == "subprotocol" else None,
            open_timeout=20,
            legacy=True,
        )
        if carrier == "first frame":
            self.say({"type": "auth", "token": credential})

    def say(self, message: object) -> None:
        with contextlib.suppress(ConnectionClosed):
            self.ws.send(json.dumps(message))

    def hear(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ws.recv(timeout=20))
        return found

    def closed_with(self) -> tuple[int, list[dict[str, Any]]]:
        """Return the code with which the server closed, and all that it said before."""
        said: list[dict[str, Any]] = []
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                said.append(self.hear())
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code, said


SHOWN_IN = ("header", "cookie", "subprotocol", "first frame")


def ways(caller: str) -> tuple[str, ...]:
    """Return how this kind of caller can show what he has: a key never as a participant's cookie or first frame."""
    if caller in TOKENS:
        return SHOWN_IN
    return ("header",) if caller in {"nobody", "no bearer"} else ("header", "subprotocol")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_socket_command_admits_only_whom_its_row_names(matrix: Matrix, command: str) -> None:
    """By header, cookie, subprotocol and first frame; the refused see no session, and nothing is done for them."""
    fields, kind = COMMANDS[command]
    for caller in CALLERS:
        for carrier in ways(caller):
            for is_there in (True, False):
                who = f"{caller} by {carrier}"
                user_id = matrix.new_user()
                if is_there:
                    matrix.app.begin_session(user_id)
                shown = matrix.shown_by(caller, user_id, "sessions:write")
                before = matrix.dump()
                matrix.reads.seen.clear()
                socket = Caller(matrix, user_id, shown, carrier)
                socket.say({"type": command, **fields})
                if ADMITS[caller] == ADMITTED:
                    assert socket.hear()["type"] == "state", who
                    socket.say({"type": "ping"})
                    assert socket.hear()["type"] == kind, who
                    socket.ws.close()
                    continue
                code, said = socket.closed_with()
                assert code == (4401 if (caller, carrier) == (UNPROVEN_AS_COOKIE, "cookie") else ADMITS[caller]), who
                assert {(one["type"], one["code"]) for one in said} <= {("error", "unauthorized")}, who
                assert not matrix.reads.seen, f"{who}: {matrix.reads.seen}"
                assert matrix.dump() == before, who


@pytest.mark.parametrize("carrier", ["cookie", "first frame"])
def test_key_is_no_participants_credential(matrix: Matrix, carrier: str) -> None:
    """In the cookie and in the first frame only tokens count: an API key there is refused."""
    key = f"Bearer {matrix.app.create_key('sessions:write')}"
    assert Caller(matrix, matrix.new_user(), key, carrier).closed_with()[0] == 4401


def test_socket_that_introduces_itself_by_something_else_is_refused(matrix: Matrix) -> None:
    """A first frame that is no introduction, or none of ours, closes with 4401."""
    for frame in ({"type": "auth"}, {"type": "auth", "token": 7}, {"type": "auth", "token": "x" * 5000}, [], "x"):
        socket = Caller(matrix, matrix.new_user(), None, "header")
        socket.say(frame)
        assert socket.closed_with()[0] == 4401


def test_subprotocol_of_ours_is_answered_and_the_token_is_not(matrix: Matrix) -> None:
    """A browser wants one of those that it offered; its token stands in no response."""
    user_id = matrix.new_user()
    socket = Caller(matrix, user_id, f"Bearer {matrix.app.create_token(user_id)}", "subprotocol")
    assert socket.ws.subprotocol == "stepkeep"
    socket.ws.close()


def end_by_revoking(matrix: Matrix, key: SessionKey, _api_key: str) -> None:
    matrix.app.credentials.revoke_tokens(key)


def end_by_command(matrix: Matrix, key: SessionKey, _api_key: str) -> None:
    flask_command(matrix.app.store, "invitations", "revoke", *key)


def end_by_time(matrix: Matrix, _key: SessionKey, _api_key: str) -> None:
    matrix.app.clock.ahead_us = 91 * DAY_US


def end_by_revoking_the_key(matrix: Matrix, _key: SessionKey, api_key: str) -> None:
    matrix.app.credentials.revoke_key(api_key.split("_")[1])


def end_by_revoking_the_key_by_command(matrix: Matrix, _key: SessionKey, api_key: str) -> None:
    flask_command(matrix.app.store, "api-keys", "revoke", api_key.split("_")[1])


def flask_command(store: SessionStore, *arguments: str) -> None:
    """Run an operator's command in a process of its own."""
    settings = store.settings
    environment = {
        **os.environ,
        "DATABASE_URL": settings.database_url,
        "STEPKEEP_SURVEYS_DIR": str(settings.surveys_dir),
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "STEPKEEP_PUBLIC_URL": settings.public_url,
        "STEPKEEP_ENVIRONMENT": "production",
    }
    command = [sys.executable, "-m", "flask", "--app", "wsgi", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("end", "caller"),
    [
        (end_by_revoking, "participant"),
        (end_by_command, "participant"),
        (end_by_time, "participant"),
        (end_by_revoking_the_key, "key"),
        (end_by_revoking_the_key_by_command, "key"),
    ],
    ids=["revoked", "revoked by command", "expired", "key revoked", "key revoked by command"],
)
def test_open_socket_is_closed_when_its_credentials_hold_no_more(
    matrix: Matrix, end: Callable[[Matrix, SessionKey, str], None], caller: str
) -> None:
    """With 4401, though the client says nothing; what it sends after that is not done. Others stay."""
    user_id, other = matrix.new_user(), matrix.new_user()
    api_key = matrix.app.create_key("sessions:write")
    shown = f"Bearer {api_key if caller == 'key' else matrix.app.create_token(user_id)}"
    socket = Caller(matrix, user_id, shown, "header")
    assert socket.hear()["type"] == "state"
    stays = Caller(matrix, other, f"Bearer {matrix.app.create_key('sessions:write')}", "header")
    stays.hear()
    try:
        end(matrix, SessionKey("phq9", user_id), api_key)
        code, said = socket.closed_with()
    finally:
        matrix.app.clock.ahead_us = 0
    assert (code, [one["code"] for one in said]) == (4401, ["unauthorized"])
    stays.say({"type": "ping"})
    assert stays.hear()["type"] == "pong"
    stays.ws.close()
    found = matrix.app.store.queries.load(SessionKey("phq9", user_id))
    assert found is not None
    assert found.state.version == 1


def test_handshake_at_another_host_is_refused(matrix: Matrix) -> None:
    """A name that is not STEPKEEP_PUBLIC_URL's gets 400 before anything is looked at."""
    with pytest.raises(InvalidStatus) as refused:
        connect("ws://evil.test/ws/survey/x", sock=create_connection(("127.0.0.1", matrix.port)), legacy=True)
    assert refused.value.response.status_code == 400
