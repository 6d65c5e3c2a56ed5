"""The authorization matrix (matrix.py): each caller at each endpoint; a refusal changes nothing and reveals nothing."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from socket import create_connection
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol
from werkzeug.test import TestResponse

from app.sessions.service import SessionStore
from app.survey.snapshot import SessionKey
from app.web.ws.messages import CLIENT_TYPES
from tests.conftest import Servers, each_kind
from tests.forked import run_module
from tests.store.contents import clear
from tests.web.callers import Matrix
from tests.web.expected_statuses import CALLERS, INVALID_AS_COOKIE, TOKENS
from tests.web.matrix import ADMITS, ADMITTED, COMMANDS, ROWS, SOCKET, Row, credential_in
from tests.web.production import DAY_US, listening, production_app_on

COOKIE = "__Host-stepkeep.phq9"


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
def clear_database(matrix: Matrix) -> None:
    """Start each test without sessions, so that the dumps to compare are small."""
    clear(matrix.app.store)


def send_row(
    matrix: Matrix, row: Row, user_id: str, authorization: str | None, carrier: str = "header"
) -> TestResponse:
    """Send the row's request, with the credential in Authorization (or where the row says) or in the survey's cookie."""
    options: dict[str, Any] = {**row.options, **row.carried(authorization)}
    if carrier == "cookie":
        options = {**row.options, "headers": {"Cookie": f"{COOKIE}={credential_in(authorization)}"}}
    return matrix.app.request(row.method, row.path.format(user=user_id), **options)


def visible_parts(answer: TestResponse) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Return all that a response reveals."""
    headers = sorted(item for item in answer.headers.items() if item[0] != "X-Request-ID")  # random
    return answer.status_code, answer.data, headers


def carriers(row: Row, caller: str) -> list[str]:
    return ["header", "cookie"] if row.is_of_a_session and caller in TOKENS else ["header"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label)
def test_each_endpoint_admits_only_the_callers_of_its_row(matrix: Matrix, row: Row) -> None:
    """A refusal writes nothing, reads no session, and is the same whether or not the session exists."""
    for caller in CALLERS:
        for carrier in carriers(row, caller):
            case = f"{caller} by {carrier}"
            user_id = matrix.new_user()
            matrix.app.begin_session(user_id)
            authorization = matrix.authorization(caller, user_id, row.scope)
            expected = 401 if (caller, carrier) == (INVALID_AS_COOKIE, "cookie") else row.expected[caller]
            is_refused = expected in {401, 403, 404}
            before = matrix.dump() if is_refused else None
            matrix.reads.recorded.clear()
            answer = send_row(matrix, row, user_id, authorization, carrier)
            assert answer.status_code == expected, f"{case}: {answer.text}"
            if not is_refused:
                continue
            assert not matrix.reads.recorded, f"{case}: {matrix.reads.recorded}"
            assert matrix.dump() == before, case
            assert "Set-Cookie" not in answer.headers, case
            if row.is_of_a_session:
                absent = matrix.new_user()
                authorization = matrix.authorization(caller, absent, row.scope)
                matrix.reads.recorded.clear()
                assert visible_parts(send_row(matrix, row, absent, authorization, carrier)) == visible_parts(answer), (
                    case
                )
                assert not matrix.reads.recorded, case


OUTSIDERS = tuple(caller for caller in CALLERS if caller not in {"key", "key without the scope"})
"""They may not know which closed surveys there are; another scope may be one for all of them."""


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if "phq9" in row.path],
    ids=lambda row: row.label,
)
def test_closed_survey_looks_like_one_that_does_not_exist(matrix: Matrix, row: Row) -> None:
    """At every route, for every caller who may not read it, by header and by cookie."""
    for caller in OUTSIDERS:
        user_id = matrix.new_user()
        authorization = matrix.authorization(caller, user_id, row.scope)
        cookie = f"__Host-stepkeep.{{}}={credential_in(authorization)}"
        for carrier in ("header", "cookie"):
            answers = []
            for survey_id in ("closed", "absent"):
                options = {**row.options, **row.carried(authorization)}
                if carrier == "cookie":
                    options = {**row.options, "headers": {"Cookie": cookie.format(survey_id)}}
                path = row.path.format(user=user_id).replace("phq9", survey_id)
                status, body, headers = visible_parts(matrix.app.request(row.method, path, **options))
                headers = [(name, text.replace(survey_id, "?")) for name, text in headers if name != "Content-Length"]
                answers.append((status, body.replace(survey_id.encode(), b"?"), headers))
            assert answers[0] == answers[1], f"{caller} by {carrier}"


def test_socket_of_a_closed_survey_looks_like_one_that_does_not_exist(matrix: Matrix) -> None:
    for caller in ("nobody", "nonsense", "participant", "key of another survey"):
        user_id = matrix.new_user()
        authorization = matrix.authorization(caller, user_id, "sessions:write")
        ends = []
        for survey_id in ("closed", "absent"):
            socket = Socket(matrix, user_id, authorization, "header", survey_id)
            socket.send({"type": "ping"})
            ends.append(socket.closed_with())
        assert ends[0] == ends[1], caller


def test_every_route_and_command_has_a_row(matrix: Matrix) -> None:
    """HEAD and OPTIONS reveal nothing more."""
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


class Socket:
    """A socket that sends its credential in one of four ways."""

    def __init__(
        self, matrix: Matrix, user_id: str, authorization: str | None, carrier: str, survey_id: str = "phq9"
    ) -> None:
        credential = credential_in(authorization)
        headers = {
            "header": {} if authorization is None else {"Authorization": authorization},
            "cookie": {"Cookie": f"{COOKIE}={credential}"},
        }
        offered = [Subprotocol("stepkeep"), Subprotocol(f"token.{credential}")]
        self.ws: ClientConnection = connect(
            f"ws://survey.test/ws/survey/{user_id}?survey={survey_id}",
            sock=create_connection(("127.0.0.1", matrix.port)),
            additional_headers=headers.get(carrier, {}),
            subprotocols=offered if carrier == "subprotocol" else None,
            open_timeout=20,
            legacy=True,
        )
        if carrier == "first frame":
            self.send({"type": "auth", "token": credential})

    def send(self, message: object) -> None:
        with contextlib.suppress(ConnectionClosed):
            self.ws.send(json.dumps(message))

    def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.ws.recv(timeout=20))
        return message

    def closed_with(self) -> tuple[int, list[dict[str, Any]]]:
        """Return the close code and the messages before it."""
        messages: list[dict[str, Any]] = []
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                messages.append(self.receive())
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code, messages


CARRIERS = ("header", "cookie", "subprotocol", "first frame")


def socket_carriers(caller: str) -> tuple[str, ...]:
    """Return how this kind of caller can send its credential: a key never as cookie or first frame."""
    if caller in TOKENS:
        return CARRIERS
    return ("header",) if caller in {"nobody", "no bearer"} else ("header", "subprotocol")


def commands_by_carrier() -> list[Any]:
    """Return each command in each carrier; authentication precedes commands, so one of them covers a carrier."""
    return [
        pytest.param(command, carrier, marks=() if carrier == "header" or command == "answer" else pytest.mark.long)
        for command in COMMANDS
        for carrier in CARRIERS
    ]


@pytest.mark.parametrize(("command", "carrier"), commands_by_carrier())
def test_each_socket_command_admits_only_the_callers_of_its_row(matrix: Matrix, command: str, carrier: str) -> None:
    """By each carrier; a refusal writes nothing and reads no session."""
    fields, kind = COMMANDS[command]
    for caller in (caller for caller in CALLERS if carrier in socket_carriers(caller)):
        for has_session in (True, False):
            user_id = matrix.new_user()
            if has_session:
                matrix.app.begin_session(user_id)
            authorization = matrix.authorization(caller, user_id, "sessions:write")
            before = None if ADMITS[caller] == ADMITTED else matrix.dump()
            matrix.reads.recorded.clear()
            socket = Socket(matrix, user_id, authorization, carrier)
            socket.send({"type": command, **fields})
            if ADMITS[caller] == ADMITTED:
                assert socket.receive()["type"] == "state", caller
                socket.send({"type": "ping"})
                assert socket.receive()["type"] == kind, caller
                socket.ws.close()
                continue
            code, messages = socket.closed_with()
            assert code == (4401 if (caller, carrier) == (INVALID_AS_COOKIE, "cookie") else ADMITS[caller]), caller
            assert {(message["type"], message["code"]) for message in messages} <= {("error", "unauthorized")}, caller
            assert not matrix.reads.recorded, f"{caller}: {matrix.reads.recorded}"
            assert matrix.dump() == before, caller


@pytest.mark.parametrize("carrier", ["cookie", "first frame"])
def test_key_is_refused_as_cookie_and_as_first_frame(matrix: Matrix, carrier: str) -> None:
    key = f"Bearer {matrix.app.create_key('sessions:write')}"
    assert Socket(matrix, matrix.new_user(), key, carrier).closed_with()[0] == 4401


def test_invalid_first_frame_is_closed_with_4401(matrix: Matrix) -> None:
    for frame in ({"type": "auth"}, {"type": "auth", "token": 7}, {"type": "auth", "token": "x" * 5000}, [], "x"):
        socket = Socket(matrix, matrix.new_user(), None, "header")
        socket.send(frame)
        assert socket.closed_with()[0] == 4401


def test_subprotocol_is_selected_without_the_token(matrix: Matrix) -> None:
    """A browser requires one of the offered subprotocols; no response contains the token."""
    user_id = matrix.new_user()
    socket = Socket(matrix, user_id, f"Bearer {matrix.app.create_token(user_id)}", "subprotocol")
    assert socket.ws.subprotocol == "stepkeep"
    socket.ws.close()


def revoke_tokens(matrix: Matrix, key: SessionKey, _api_key: str) -> None:
    matrix.app.credentials.revoke_tokens(key)


def revoke_tokens_by_command(matrix: Matrix, key: SessionKey, _api_key: str) -> None:
    run_command(matrix.app.store, "invitations", "revoke", *key)


def expire_tokens(matrix: Matrix, _key: SessionKey, _api_key: str) -> None:
    matrix.app.clock.ahead_us = 91 * DAY_US


def revoke_key(matrix: Matrix, _key: SessionKey, api_key: str) -> None:
    matrix.app.credentials.revoke_key(api_key.split("_")[1])


def revoke_key_by_command(matrix: Matrix, _key: SessionKey, api_key: str) -> None:
    run_command(matrix.app.store, "api-keys", "revoke", api_key.split("_")[1])


def run_command(store: SessionStore, *arguments: str) -> None:
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
    completed = run_module(["flask", "--app", "wsgi", *arguments], environment)
    assert completed.returncode == 0, completed.stderr


@pytest.mark.parametrize(
    ("end", "caller"),
    [
        (revoke_tokens, "participant"),
        (revoke_tokens_by_command, "participant"),
        (expire_tokens, "participant"),
        (revoke_key, "key"),
        (revoke_key_by_command, "key"),
    ],
    ids=["revoked", "revoked by command", "expired", "key revoked", "key revoked by command"],
)
def test_open_socket_is_closed_when_its_credentials_expire_or_are_revoked(
    matrix: Matrix, end: Callable[[Matrix, SessionKey, str], None], caller: str
) -> None:
    """With 4401, without a message of the client; other sockets stay open."""
    user_id, other = matrix.new_user(), matrix.new_user()
    api_key = matrix.app.create_key("sessions:write")
    authorization = f"Bearer {api_key if caller == 'key' else matrix.app.create_token(user_id)}"
    socket = Socket(matrix, user_id, authorization, "header")
    assert socket.receive()["type"] == "state"
    other_socket = Socket(matrix, other, f"Bearer {matrix.app.create_key('sessions:write')}", "header")
    other_socket.receive()
    try:
        end(matrix, SessionKey("phq9", user_id), api_key)
        code, messages = socket.closed_with()
    finally:
        matrix.app.clock.ahead_us = 0
    assert (code, [message["code"] for message in messages]) == (4401, ["unauthorized"])
    other_socket.send({"type": "ping"})
    assert other_socket.receive()["type"] == "pong"
    other_socket.ws.close()
    session = matrix.app.store.queries.load(SessionKey("phq9", user_id))
    assert session is not None
    assert session.state.version == 1


def test_handshake_at_a_wrong_host_is_refused(matrix: Matrix) -> None:
    """400 before anything else is checked."""
    with pytest.raises(InvalidStatus) as refused:
        connect("ws://evil.test/ws/survey/x", sock=create_connection(("127.0.0.1", matrix.port)), legacy=True)
    assert refused.value.response.status_code == 400
