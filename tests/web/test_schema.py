"""REST against its own OpenAPI document: whatever is sent, what is answered is what the document says.

Schemathesis makes the requests: examples, each bound and what lies beyond it, random ones, and walks from one
operation to the next. With --hypothesis-profile nightly it looks for much longer.
"""

import base64
import contextlib
import logging
import re
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import strategies as st
from pydantic import SecretStr
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from werkzeug.serving import WSGIRequestHandler, make_server

from app import errors
from app.access.principals import SCOPES
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.survey.snapshot import SessionKey
from app.web.authentication import Authenticator
from app.web.factory import MAX_BODY_BYTES, create_app
from app.web.rest.openapi.errors import CODES
from app.web.rest.openapi.parameters import IDEMPOTENCY_KEY_PATTERN
from app.web.ws import server
from app.web.ws.asyncapi import CLOSE_CODES, asyncapi_document
from tests.conftest import ROOT, SURVEYS, examples
from tests.databases import create_sqlite

EXAMPLES = examples(25).max_examples
"""Random requests for each operation, on top of those that the document's bounds ask for."""

WEB = ROOT / "app" / "web" / "ws"
MET_BY_ALL = {200, 400, 404, 405, 422}
"""Statuses that all three must have met, so that the test is known to have asked something."""

OFTEN = "100000000/second"
KEY = SessionKey("phq9", "user123")

# What may be refused though it fits the document: 412 is If-Match's, whose version nobody can know from a schema.
REFUSED = ["401", "403", "404", "409", "412"]

CHECKS: dict[str, Any] = {
    "positive_data_acceptance": {"expected-statuses": ["2xx", *REFUSED]},
    "negative_data_rejection": {"expected-statuses": ["400", "405", "422", *REFUSED]},
}

_OTHER_METHODS = {"unsupported_method": {"enabled": False}, "allow_header_conformance": {"enabled": False}}
# Below a session, a method that only /api/session/{user_id} knows finds that route, which takes every path so as to
# say 422, and what a user id is, of one with a slash in it.
BELOW_A_SESSION = {"include-path-regex": r"^/api/session/\{user_id\}/", "checks": _OTHER_METHODS}
# It knows GET too: that is a page, and the document is of what answers in JSON.
RESUME = {"include-path": "/resume", "checks": _OTHER_METHODS}

# Which options go with which format no list of parameters can say; and few exports are made at once, each of which
# gives its place back a moment after its last byte.
EXPORT = {
    "include-path": "/api/surveys/{survey_id}/export",
    "checks": {
        "positive_data_acceptance": {"expected-statuses": ["2xx", *REFUSED, "422", "429"]},
        "negative_data_rejection": {"expected-statuses": ["400", "405", "422", *REFUSED, "429"]},
    },
}


class Quiet(WSGIRequestHandler):
    def log_request(self, *_args: object) -> None:
        """Log nothing."""


class Served:
    """The application in production mode on loopback, in this process."""

    def __init__(self, store: SessionStore) -> None:
        app = create_app(store.settings, store)
        self.store = store
        self.access: Authenticator = app.extensions["stepkeep"].authenticator
        self._server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
        self.url = f"http://127.0.0.1:{self._server.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.access.credentials.revocations.close()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def api_key(self) -> str:
        return self.access.credentials.create_key("test", SCOPES)

    def create_token(self) -> str:
        return self.access.credentials.issue_token(KEY)[0]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """The application on SQLite with one session, and no rate that a test could meet."""
    url = create_sqlite(tmp_path / "test.db")
    settings = Settings(
        database_url=url,
        surveys_dir=SURVEYS,
        environment="production",
        secret_key=SecretStr(secrets.token_urlsafe(32)),
        address_requests=OFTEN,
        address_failures=OFTEN,
        participant_messages=OFTEN,
        address_messages=OFTEN,
    )
    store = open_store(settings)
    store.turns.get_or_create(KEY, is_audio_mode=False)
    running = Served(store)
    logging.getLogger("stepkeep").setLevel("CRITICAL")
    yield running
    running.stop()
    store.close()


def config(headers: dict[str, str]) -> SchemathesisConfig:
    """Return what to send and to look at: all checks; often about the one session that is there."""
    words = {"users": [KEY.user_id], "surveys": [KEY.survey_id], "steps": ["Q1", "Q2"], "values": [0, 1, 2, 3]}
    return SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "headers": headers,
            "generation": {"deterministic": True, "max-examples": EXAMPLES, "database": "none"},
            "checks": CHECKS,
            "operations": [BELOW_A_SESSION, RESUME, EXPORT],
            "dictionaries": {name: {"values": values} for name, values in words.items()},
            "parameters": {
                "path.user_id": {"dictionary": "users", "probability": 0.6},
                "path.survey_id": {"dictionary": "surveys", "probability": 0.6},
                "query.survey": {"dictionary": "surveys", "probability": 0.7},
                "body.step": {"dictionary": "steps", "probability": 0.6},
                "body.value": {"dictionary": "values", "probability": 0.5},
            },
        }
    )


EVENT = base64.urlsafe_b64encode(b"\n1\n1").decode()


def cursors() -> st.SearchStrategy[str]:
    """Cursors as a page's `next` gives them."""
    users = st.from_regex(r"[A-Za-z0-9._@:-]{1,128}", fullmatch=True)
    places = st.tuples(users, st.sampled_from(["phq9", "intake"]))
    return places.map(lambda place: base64.urlsafe_b64encode("\n".join(place).encode()).decode())


def name_the_command_once(case: Any) -> None:
    """Make a sound Idempotency-Key the body's id, or leave it out: that they are the same no schema can say."""
    key = case.headers.get("Idempotency-Key", "") if case.headers else ""
    if not case.operation.path.endswith("/commands") or not re.fullmatch(IDEMPOTENCY_KEY_PATTERN, str(key)):
        return
    given = case.body.get("id") if isinstance(case.body, dict) else None
    if isinstance(given, str) and re.fullmatch(IDEMPOTENCY_KEY_PATTERN, given):
        case.headers["Idempotency-Key"] = given
    else:
        del case.headers["Idempotency-Key"]


def fit_the_cursor(case: Any) -> None:
    """Make a sound cursor one of events, where the sessions come in their order: each page's fits its own list."""
    query = case.query or {}
    if case.operation.path == "/api/sessions" and "updated_since" in query:
        with contextlib.suppress(ValueError, TypeError):
            if len(base64.urlsafe_b64decode(query.get("after", "")).split(b"\n")) == 2:
                query["after"] = EVENT


@pytest.fixture(autouse=True)
def hooks() -> Iterator[None]:
    """What Schemathesis keeps for the whole process: how a cursor looks, and what is changed before a request."""

    @schemathesis.hook("before_call")
    def before_call(_context: Any, case: Any, _kwargs: dict[str, Any]) -> None:
        name_the_command_once(case)
        fit_the_cursor(case)

    schemathesis.openapi.format("cursor", cursors())
    yield
    schemathesis.hooks.unregister(before_call)


@pytest.fixture
def token(served: Served) -> Iterator[None]:
    """A new token for each request: one that revokes the participant's would leave none for the rest."""

    @schemathesis.auth(refresh_interval=None)
    class _Token:
        def get(self, _case: Any, _context: Any) -> str:
            return served.create_token()

        def set(self, case: Any, data: str, _context: Any) -> None:
            case.headers["Authorization"] = f"Bearer {data}"

    yield
    schemathesis.auths.unregister()


def faults(url: str, settings: SchemathesisConfig) -> tuple[set[int], list[str]]:
    """Return the statuses that were answered, and each disagreement with the document."""
    statuses: set[int] = set()
    found: list[str] = []
    for event in from_schema(schemathesis.openapi.from_url(f"{url}/openapi.json", config=settings)).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            found.append(f"{event.label}: {event.info}" if isinstance(event, events.NonFatalError) else f"{event}")
        if isinstance(event, events.ScenarioFinished):
            answers = (one.response for one in event.recorder.interactions.values())
            statuses |= {answer.status_code for answer in answers if answer is not None}
            checks = (check for one in event.recorder.checks.values() for check in one)
            found += [
                f"{check.name}: {info.failure.operation}: {info.failure.message}\n{info.code_sample}"
                for check in checks
                if (info := check.failure_info) is not None
            ]
    return statuses, found


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of a request that Hypothesis made large
@pytest.mark.parametrize(
    ("who", "met"),
    [
        ("nobody", {201, 401}),
        ("integrator", {201, 409, 412}),
        ("participant", {403, 409}),
    ],
    ids=["nobody", "integrator", "participant"],
)
def test_any_request_is_answered_as_the_document_says(
    served: Served, request: pytest.FixtureRequest, who: str, met: set[int]
) -> None:
    """Statuses, headers and bodies are those of the document: what fits it is done, what does not is refused."""
    if who == "participant":
        request.getfixturevalue("token")
    headers = {"Authorization": f"Bearer {served.api_key()}"} if who == "integrator" else {}
    statuses, found = faults(served.url, config(headers))
    assert "\n\n".join(found) == ""
    assert met | MET_BY_ALL <= statuses


@pytest.mark.parametrize("path", ["/api/session/user123/commands", "/resume"])
def test_body_that_is_too_large_is_answered_as_the_document_says(served: Served, path: str) -> None:
    """413 as a problem; no schema can say how large a body may be, so Schemathesis sends none."""
    large = b" " * (MAX_BODY_BYTES + 1)
    answer = httpx.post(served.url + path, content=large, headers={"Authorization": f"Bearer {served.api_key()}"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (413, "application/problem+json")
    assert answer.json()["code"] in CODES[413]


def test_every_error_code_is_in_the_document() -> None:
    """An error can't ship undocumented: each code stands at the status that REST answers with."""
    told = {(status, code) for status, codes in CODES.items() for code in codes}
    ours = [error for error in _errors(errors.StepkeepError) if error.__module__ == errors.__name__]  # no client's
    assert len(ours) > 10
    assert {(error.http_status, error.code) for error in ours} <= told


def test_every_close_code_is_in_the_document() -> None:
    """A connection is closed for a reason that AsyncAPI names."""
    text = "".join((WEB / name).read_text(encoding="utf-8") for name in ("connection.py", "server.py"))
    patterns = (
        r"(?:close\((?:\w+, )?|_close_with_error\(\w+, |_end\(CloseConnection\(|_ending = \(|_ending\S+ = \(\()(\d{4})"
    )
    used = {int(code) for code in re.findall(patterns, text)} | {server.INTERNAL_ERROR}
    assert used - {1000} == set(CLOSE_CODES)
    assert asyncapi_document()["channels"]["survey"]["x-close-codes"] == {str(k): v for k, v in CLOSE_CODES.items()}


def _errors(kind: type[errors.StepkeepError]) -> Iterator[type[errors.StepkeepError]]:
    """Yield the errors that a request may meet: not what stops the start."""
    if not issubclass(kind, errors.ConfigurationError):
        yield kind
        for one in kind.__subclasses__():
            yield from _errors(one)
