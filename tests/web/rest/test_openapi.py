"""REST against its OpenAPI document: any request gets a response that the document describes.

Schemathesis generates the requests: examples, bounds and what lies beyond them, random ones, and walks from one
operation to the next. SCHEMA_EXAMPLES=500 in the environment makes it search for much longer.
"""

import base64
import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import werkzeug
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from websockets.frames import CloseCode
from werkzeug.test import TestResponse

from app import errors
from app.core.formats import MAX_COMMAND_BYTES
from app.settings import Settings
from app.survey.snapshot import SessionKey
from app.web.rest.openapi.document import CODES
from app.web.rest.openapi.parameters import IDEMPOTENCY_KEY_PATTERN
from app.web.ws.asyncapi import CLOSE_CODES, asyncapi_document
from app.web.ws.websocket import INTERNAL_ERROR
from tests.conftest import ROOT, SURVEYS, examples
from tests.databases import create_sqlite
from tests.waiting import START_S
from tests.web.production import App, production_app

EXAMPLES = examples(8).max_examples
"""Random requests for each operation, in addition to those at the document's bounds."""

WEB = ROOT / "app" / "web" / "ws"
COMMON_STATUSES = {200, 400, 404, 405, 422}
"""Statuses that each of the three must have seen, as a proof that the test sent something."""

UNLIMITED = "100000000/second"
KEY = SessionKey("phq9", "user123")

# Refusals of requests that fit the document: for example, no schema knows the version for If-Match (412).
REFUSED = ["401", "403", "404", "409", "412"]

CHECKS: dict[str, Any] = {
    "positive_data_acceptance": {"expected-statuses": ["2xx", *REFUSED]},
    "negative_data_rejection": {"expected-statuses": ["400", "405", "422", *REFUSED]},
}

_OTHER_METHODS = {"unsupported_method": {"enabled": False}, "allow_header_conformance": {"enabled": False}}
# Below a session, a method that only /api/session/{user_id} has reaches that route: it matches any path, so that a
# user id with a slash gets 422.
BELOW_A_SESSION = {"include-path-regex": r"^/api/session/\{user_id\}/", "checks": _OTHER_METHODS}
# GET is a page, and the document describes JSON only.
RESUME = {"include-path": "/resume", "checks": _OTHER_METHODS}
# GET is another operation: a survey may have the id "reload".
RELOAD = {"include-path": "/api/surveys/reload", "checks": _OTHER_METHODS}

# No schema can express which options go with which format; and concurrent exports are limited, each of which frees
# its place a moment after its last byte.
EXPORT = {
    "include-path": "/api/surveys/{survey_id}/export",
    "checks": {
        "positive_data_acceptance": {"expected-statuses": ["2xx", *REFUSED, "422", "429"]},
        "negative_data_rejection": {"expected-statuses": ["400", "405", "422", *REFUSED, "429"]},
    },
}

# No schema knows a survey's languages.
CODEBOOK = {
    "include-path": "/api/surveys/{survey_id}/codebook",
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", *REFUSED, "422"]}},
}

# No schema knows a survey's parameters.
INVITATION = {
    "include-path": "/api/surveys/{survey_id}/participants",
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", *REFUSED, "422"]}},
}


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """The application in production on SQLite with one session, with rate limits that no test reaches."""
    monkeypatch.setattr("app.web.health.DATABASE_S", START_S)  # on a slow machine, /readyz responded with 503
    settings = Settings(database_url=create_sqlite(tmp_path / "test.db"), surveys_dir=SURVEYS)
    rates = ("address_requests", "address_failures", "participant_messages", "address_messages")
    log = logging.getLogger("stepkeep")
    with production_app(settings, public_url="", **dict.fromkeys(rates, UNLIMITED)) as app:
        app.begin_session(KEY.user_id)
        level = log.level
        log.setLevel("CRITICAL")
        yield app
        log.setLevel(level)


# The bounds of an operation are 70 requests, and 660 of the commands'. A caller without the permission gets the same 401 or
# 403 for all of them, and commands are decoded alike for everyone: these get the examples, and random requests.
WITHOUT_BOUNDS = {
    "nobody": r" /api/(?!surveys(/\{survey_id\}(/participants)?)?$)",
    "integrator": r"^$",
    "participant": r" /api/(?!session/|surveys$|surveys/\{survey_id\}$)|^(PUT|PATCH) |/commands$",
}
"""The names of the operations, as patterns, that get no request at each bound of the document, by caller."""


def schemathesis_config(headers: dict[str, str], without_bounds: str) -> SchemathesisConfig:
    """Return the configuration: all checks, and often the ids of the one session.

    Args:
        without_bounds: of ``WITHOUT_BOUNDS``.
    """
    words = {"users": [KEY.user_id], "surveys": [KEY.survey_id], "steps": ["Q1", "Q2"], "values": [0, 1, 2, 3]}
    words["versions"] = ["1", "9", "*"]
    return SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "headers": {"Accept-Encoding": "identity", **headers},
            "request-timeout": START_S,
            "generation": {"deterministic": True, "max-examples": EXAMPLES, "database": "none"},
            "checks": CHECKS,
            "operations": [
                BELOW_A_SESSION,
                RESUME,
                RELOAD,
                EXPORT,
                CODEBOOK,
                INVITATION,
                {"include-name-regex": without_bounds, "phases": {"coverage": {"enabled": False}}},
            ],
            "dictionaries": {name: {"values": values} for name, values in words.items()},
            "parameters": {
                "path.user_id": {"dictionary": "users", "probability": 0.6},
                "path.survey_id": {"dictionary": "surveys", "probability": 0.6},
                "query.survey": {"dictionary": "surveys", "probability": 0.7},
                "header.If-Match": {"dictionary": "versions", "probability": 0.6},
                "body.step": {"dictionary": "steps", "probability": 0.6},
                "body.value": {"dictionary": "values", "probability": 0.5},
            },
        }
    )


EVENT = base64.urlsafe_b64encode(b"\n1\n1").decode()


def cursors() -> st.SearchStrategy[str]:
    """Cursors in the form of a page's `next`."""
    users = st.from_regex(r"[A-Za-z0-9._@:-]{1,128}", fullmatch=True)
    places = st.tuples(users, st.sampled_from(["phq9", "intake"]))
    return places.map(lambda place: base64.urlsafe_b64encode("\n".join(place).encode()).decode())


def match_the_command_id(case: Any) -> None:
    """Make a valid Idempotency-Key equal to the body's id, or remove it: no schema can express that."""
    key = case.headers.get("Idempotency-Key", "") if case.headers else ""
    if not case.operation.path.endswith("/commands") or not re.fullmatch(IDEMPOTENCY_KEY_PATTERN, str(key)):
        return
    message_id = case.body.get("id") if isinstance(case.body, dict) else None
    if isinstance(message_id, str) and re.fullmatch(IDEMPOTENCY_KEY_PATTERN, message_id) and message_id[0] != '"':
        case.headers["Idempotency-Key"] = message_id
    else:
        del case.headers["Idempotency-Key"]


def match_the_cursor(case: Any) -> None:
    """Make a valid cursor one of events if the list is ordered by events."""
    query = case.query or {}
    if case.operation.path == "/api/sessions" and not query.keys().isdisjoint({"updated_since", "order"}):
        with contextlib.suppress(ValueError, TypeError):
            if len(base64.urlsafe_b64decode(query.get("after", "")).split(b"\n")) == 2:
                query["after"] = EVENT


def name_the_survey(case: Any) -> None:
    """Replace the missing survey of a link that Schemathesis infers from an audit entry without one."""
    if (case.path_parameters or {}).get("survey_id", "") in {None, "None"}:
        case.path_parameters["survey_id"] = KEY.survey_id


@pytest.fixture(autouse=True)
def hooks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Register Schemathesis' process-wide hooks: the form of a cursor, and changes before each request."""

    @schemathesis.hook("before_call")
    def before_call(_context: Any, case: Any, _kwargs: dict[str, Any]) -> None:
        match_the_command_id(case)
        match_the_cursor(case)
        name_the_survey(case)

    monkeypatch.setattr("schemathesis.python.wsgi.get_client", WsgiClient)
    schemathesis.openapi.format("cursor", cursors())
    yield
    schemathesis.hooks.unregister(before_call)


class WsgiClient(werkzeug.Client):
    """Drop the options of connections that Schemathesis passes on when it repeats a request without credentials."""

    def open(self, *args: Any, **options: Any) -> TestResponse:
        for name in ("max_redirects", "verify", "cert", "timeout"):
            options.pop(name, None)
        return super().open(*args, **options)


@pytest.fixture
def token_auth(app: App) -> Iterator[None]:
    """Authorize each request with a new token: a request may revoke all earlier ones."""

    @schemathesis.auth(refresh_interval=None)
    class _Token:
        def get(self, _case: Any, _context: Any) -> str:
            return app.create_token(KEY.user_id)

        def set(self, case: Any, data: str, _context: Any) -> None:
            case.headers["Authorization"] = f"Bearer {data}"

    yield
    schemathesis.auths.unregister()


def run_schemathesis(app: App, config: SchemathesisConfig) -> tuple[set[int], list[str]]:
    """Return the statuses of the responses, and each disagreement with the document."""
    statuses: set[int] = set()
    disagreements: list[str] = []
    for event in from_schema(schemathesis.openapi.from_wsgi("/openapi.json", app.flask, config=config)).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            disagreements.append(
                f"{event.label}: {event.info}" if isinstance(event, events.NonFatalError) else f"{event}"
            )
        if isinstance(event, events.ScenarioFinished):
            answers = (exchange.response for exchange in event.recorder.interactions.values())
            statuses |= {answer.status_code for answer in answers if answer is not None}
            checks = (check for group in event.recorder.checks.values() for check in group)
            disagreements += [
                f"{check.name}: {info.failure.operation}: {info.failure.message}\n{info.code_sample}"
                for check in checks
                if (info := check.failure_info) is not None
            ]
    return statuses, disagreements


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of a large generated request
@pytest.mark.parametrize(
    ("caller", "statuses"),
    [
        ("nobody", {201, 401}),
        ("integrator", {201, 409, 412}),
        ("participant", {403}),
    ],
    ids=["nobody", "integrator", "participant"],
)
def test_any_response_fits_the_document(
    app: App, request: pytest.FixtureRequest, caller: str, statuses: set[int]
) -> None:
    """Status, headers and body; valid requests succeed and invalid ones are refused."""
    if caller == "participant":
        request.getfixturevalue("token_auth")
    headers = {"Authorization": f"Bearer {app.create_key()}"} if caller == "integrator" else {}
    seen, disagreements = run_schemathesis(app, schemathesis_config(headers, WITHOUT_BOUNDS[caller]))
    assert "\n\n".join(disagreements) == ""
    assert statuses | COMMON_STATUSES <= seen


@pytest.mark.parametrize("path", ["/api/session/user123/commands", "/resume"])
def test_response_to_an_oversized_body_fits_the_document(app: App, path: str) -> None:
    """No schema can say how large a body may be, so Schemathesis sends none."""
    answer = app.request("POST", path, app.create_key(), data=b" " * (MAX_COMMAND_BYTES + 1))
    assert (answer.status_code, answer.headers["Content-Type"]) == (413, "application/problem+json")
    assert answer.json["code"] in CODES[413]


def test_every_error_code_is_in_the_document() -> None:
    """At the status with which REST responds."""
    documented = {(status, code) for status, codes in CODES.items() for code in codes}
    every_error = _errors(errors.StepkeepError)
    classes = [error for error in every_error if error.__module__ == errors.__name__]  # not the client's
    assert len(classes) > 10
    assert {(error.http_status, error.code) for error in classes} <= documented


def test_every_close_code_is_in_the_document() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in WEB.glob("*.py") if file.name != "asyncapi.py")
    patterns = r"(?<=end\()\d{4}|(?<=_close\()\d{4}|(?<=_refuse\()\d{4}|(?<=: \()\d{4}|\d{4} if|(?<=else )\d{4}"
    used = {int(code.removesuffix(" if")) for code in re.findall(patterns, text)}
    used |= {int(CloseCode.MESSAGE_TOO_BIG), INTERNAL_ERROR}
    assert used - {1000} == set(CLOSE_CODES)
    assert asyncapi_document()["channels"]["survey"]["x-close-codes"] == {str(k): v for k, v in CLOSE_CODES.items()}


def _errors(kind: type[errors.StepkeepError]) -> Iterator[type[errors.StepkeepError]]:
    """Yield the errors that a request may meet, not those that stop the start."""
    if not issubclass(kind, errors.ConfigurationError):
        yield kind
        for subclass in kind.__subclasses__():
            yield from _errors(subclass)
