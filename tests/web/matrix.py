"""Who may do what, as a table: each route and each command of the socket, and what each kind of caller gets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.access.principals import SCOPES, Scope

CALLERS = (
    "nobody",
    "no bearer",
    "nonsense",
    "nonsense key",
    "altered key",
    "key without the scope",
    "revoked key",
    "expired key",
    "another's token",
    "token of another survey",
    "expired token",
    "revoked token",
    "altered token",
    "participant",
    "key",
)
"""What a request shows; the last two are right."""

UNPROVEN = (
    "no bearer",
    "nonsense",
    "nonsense key",
    "altered key",
    "revoked key",
    "expired key",
    "expired token",
    "revoked token",
    "altered token",
)
"""What proves nothing."""

UNPROVEN_AS_COOKIE = "token of another survey"
"""A token is one survey's cookie; as another's it proves nothing, while in a header it says who asks."""

TOKENS = tuple(caller for caller in CALLERS if "token" in caller or caller == "participant")

Expected = Mapping[str, int]


def open_to_all(status: int) -> Expected:
    """Return what everybody gets where nobody is asked."""
    return dict.fromkeys(CALLERS, status)


def open_to_honest(status: int) -> Expected:
    """Return what everybody gets where nobody needs to show anything, but what he shows must hold."""
    return {**open_to_all(status), **dict.fromkeys(UNPROVEN, 401)}


def needs(status: int, *, participant: int = 403) -> Expected:
    """Return what each gets where a scope is needed, or to be the participant."""
    strangers = {"nobody": 401, "key without the scope": 403, "another's token": 403, "token of another survey": 403}
    return {**open_to_honest(status), **strangers, "participant": participant}


def only(status: int, otherwise: int, *callers: str) -> Expected:
    """Return what each gets where some alone get in."""
    return {**open_to_all(otherwise), **dict.fromkeys(callers, status)}


def in_header(shown: str | None) -> dict[str, Any]:
    return {} if shown is None else {"headers": {"Authorization": shown}}


def in_body(shown: str | None) -> dict[str, Any]:
    return {"json": {"token": bare(shown)}}


def in_form(shown: str | None) -> dict[str, Any]:
    return {"data": {"key": bare(shown)}}


def bare(shown: str | None) -> str:
    """Return the credential without its scheme."""
    return (shown or "").partition(" ")[2]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method of one route.

    Attributes:
        expected: the status that each kind of caller gets.
        scope: what a key needs for it.
        carried: how what is shown comes along.
        is_of_a_session: it is about one, which there may be or not.
    """

    endpoint: str
    method: str
    path: str
    expected: Expected
    scope: Scope = "admin"
    options: Mapping[str, Any] = field(default_factory=dict)
    carried: Callable[[str | None], dict[str, Any]] = in_header

    @property
    def is_of_a_session(self) -> bool:
        return "{user}" in self.path


STATE = {"current_step": "Q2", "answers": {"Q1": 1}, "step_history": ["Q1"]}
ANSWER = {"type": "answer", "id": "m-1", "step": "Q1", "value": 2}
ONE = "/api/session/{user}"
PHQ9 = "?survey=phq9"

ROWS = (
    Row(
        endpoint="sessions.get_session",
        method="GET",
        path=ONE + PHQ9,
        scope="sessions:read",
        expected=needs(200, participant=200),
    ),
    Row(
        endpoint="sessions.get_session",
        method="GET",
        path=f"{ONE}{PHQ9}&at_version=1",
        scope="sessions:read",
        expected=needs(200, participant=200),
    ),
    Row(
        endpoint="sessions.put_session",
        method="PUT",
        path=ONE + PHQ9,
        scope="sessions:write",
        options={"json": STATE},
        expected=needs(200),
    ),
    Row(
        endpoint="sessions.patch_session",
        method="PATCH",
        path=ONE + PHQ9,
        scope="sessions:write",
        options={"json": {"session_data": {"x": 1}}},
        expected=needs(200),
    ),
    Row(
        endpoint="sessions.delete_session",
        method="DELETE",
        path=ONE + PHQ9,
        scope="sessions:write",
        expected=needs(200),
    ),
    Row(
        endpoint="sessions.post_command",
        method="POST",
        path=f"{ONE}/commands{PHQ9}",
        scope="sessions:write",
        options={"json": ANSWER},
        expected=needs(200, participant=200),
    ),
    Row(
        endpoint="sessions.get_history",
        method="GET",
        path=f"{ONE}/history{PHQ9}",
        scope="sessions:read",
        expected=needs(200, participant=200),
    ),
    Row(
        endpoint="sessions.list_sessions",
        method="GET",
        path="/api/sessions",
        scope="sessions:read",
        expected=needs(200),
    ),
    Row(
        endpoint="participants.create_link",
        method="POST",
        path=f"{ONE}/link{PHQ9}",
        scope="sessions:write",
        expected=needs(200, participant=200),
    ),
    Row(
        endpoint="participants.revoke_tokens",
        method="DELETE",
        path=f"{ONE}/tokens{PHQ9}",
        scope="sessions:write",
        expected=needs(200, participant=200),
    ),
    Row(
        endpoint="participants.export",
        method="GET",
        path=f"{ONE}/export{PHQ9}",
        scope="export",
        expected=needs(200, participant=200),
    ),
    Row(
        endpoint="analytics.get_analytics",
        method="GET",
        path="/api/surveys/phq9/analytics",
        scope="sessions:read",
        expected=needs(200),
    ),
    Row(
        endpoint="exports.export_survey",
        method="GET",
        path="/api/surveys/phq9/export?format=jsonl",
        scope="export",
        expected=needs(200),
    ),
    Row(
        endpoint="exports.get_codebook",
        method="GET",
        path="/api/surveys/phq9/codebook",
        scope="export",
        expected=needs(200),
    ),
    Row(endpoint="audit.get_audit", method="GET", path="/api/audit", scope="admin", expected=needs(200)),
    Row(
        endpoint="participants.create_participant",
        method="POST",
        path="/api/surveys/phq9/participants",
        expected=open_to_honest(201),
    ),
    Row(
        endpoint="participants.create_participant",
        method="POST",
        path="/api/surveys/phq9/participants",
        scope="sessions:write",
        options={"json": {"user_id": "chosen"}},
        expected=needs(201),
    ),
    Row(
        endpoint="participants.create_participant",
        method="POST",
        path="/api/surveys/closed/participants",
        scope="sessions:write",
        expected={**open_to_honest(404), "key": 201},
    ),
    Row(
        endpoint="webhooks.list_webhooks",
        method="GET",
        path="/api/webhooks",
        scope="webhooks",
        expected=needs(200),
    ),
    Row(
        endpoint="webhooks.add_webhook",
        method="POST",
        path="/api/webhooks",
        scope="webhooks",
        options={"json": {"url": "https://receiver.test/hook", "events": ["session.completed"]}},
        expected=needs(201),
    ),
    Row(
        endpoint="webhooks.get_webhook",
        method="GET",
        path="/api/webhooks/wh_0123456789abcdef",
        scope="webhooks",
        expected=needs(404),
    ),
    Row(
        endpoint="webhooks.change_webhook",
        method="PATCH",
        path="/api/webhooks/wh_0123456789abcdef",
        scope="webhooks",
        options={"json": {"enabled": False}},
        expected=needs(404),
    ),
    Row(
        endpoint="webhooks.remove_webhook",
        method="DELETE",
        path="/api/webhooks/wh_0123456789abcdef",
        scope="webhooks",
        expected=needs(404),
    ),
    Row(
        endpoint="webhooks.list_deliveries",
        method="GET",
        path="/api/webhooks/wh_0123456789abcdef/deliveries",
        scope="webhooks",
        expected=needs(404),
    ),
    Row(
        endpoint="webhooks.replay",
        method="POST",
        path="/api/webhooks/wh_0123456789abcdef/replay",
        scope="webhooks",
        expected=needs(404),
    ),
    Row(endpoint="surveys.list_surveys", method="GET", path="/api/surveys", expected=open_to_honest(200)),
    Row(endpoint="surveys.get_survey", method="GET", path="/api/surveys/phq9", expected=open_to_all(200)),
    Row(
        endpoint="surveys.get_survey",
        method="GET",
        path="/api/surveys/closed",
        scope="sessions:read",
        expected={**open_to_honest(404), "key": 200},
    ),
    Row(
        endpoint="participants.resume",
        method="POST",
        path="/resume",
        carried=in_body,
        expected=only(200, 401, "another's token", "token of another survey", "participant"),
    ),
    Row(endpoint="participants.leave", method="POST", path=f"/leave{PHQ9}", expected=open_to_all(200)),
    Row(
        endpoint="sign_in.begin",
        method="POST",
        path="/sign-in",
        carried=in_form,
        expected=only(303, 401, "key", "key without the scope"),
    ),
    Row(endpoint="sign_in.show_sign_in", method="GET", path="/sign-in", expected=open_to_all(200)),
    Row(endpoint="sign_in.end", method="POST", path="/sign-out", expected=open_to_all(403)),
    Row(endpoint="dashboard.show_overview", method="GET", path="/dashboard", expected=open_to_all(303)),
    Row(endpoint="dashboard.show_survey", method="GET", path="/dashboard/surveys/phq9", expected=open_to_all(303)),
    Row(endpoint="dashboard.list_sessions", method="GET", path="/dashboard/sessions", expected=open_to_all(303)),
    Row(
        endpoint="dashboard.show_session",
        method="GET",
        path="/dashboard/sessions/phq9/anybody",  # a page: no credentials of a participant count
        expected=open_to_all(303),
    ),
    Row(endpoint="pages.list_surveys", method="GET", path="/", expected=open_to_all(200)),
    Row(endpoint="pages.take_survey", method="GET", path="/s/phq9", expected=open_to_all(200)),
    Row(endpoint="pages.take_survey", method="GET", path="/s/closed", expected=open_to_all(401)),
    Row(endpoint="pages.begin_anew", method="POST", path="/s/phq9/anew", expected=open_to_all(303)),
    Row(endpoint="pages.begin_anew", method="POST", path="/s/closed/anew", expected=open_to_all(401)),
    Row(endpoint="pages.resume", method="GET", path="/resume", expected=open_to_all(200)),
    Row(endpoint="pages.left", method="GET", path="/left", expected=open_to_all(200)),
    Row(endpoint="pages.static", method="GET", path="/assets/style.css", expected=open_to_all(200)),
    Row(endpoint="documents.get_openapi", method="GET", path="/openapi.json", expected=open_to_all(200)),
    Row(endpoint="documents.get_asyncapi", method="GET", path="/asyncapi.json", expected=open_to_all(200)),
    Row(endpoint="documents.get_survey_schema", method="GET", path="/survey.schema.json", expected=open_to_all(200)),
    Row(endpoint="documents.docs", method="GET", path="/docs", expected=open_to_all(200)),
    Row(endpoint="health.get_metrics", method="GET", path="/metrics", scope="metrics", expected=needs(200)),
    Row(endpoint="health.healthz", method="GET", path="/healthz", expected=open_to_all(200)),
    Row(endpoint="health.readyz", method="GET", path="/readyz", expected=open_to_all(200)),
)

SOCKET = "__flask_sock.survey_socket"
"""The endpoint whose rows are COMMANDS."""

ADMITTED = 0

COMMANDS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "answer": ({"id": "m-1", "step": "Q1", "value": 1}, "ack"),
    "back": ({"id": "m-1"}, "reject"),
    "goto": ({"id": "m-1", "step": "Q1"}, "ack"),
    "mode": ({"id": "m-1", "audio": True}, "ack"),
    "restart": ({"id": "m-1"}, "ack"),
    "draft": ({"step": "Q1", "value": 1}, "pong"),
    "ping": ({}, "pong"),
}
"""The commands, and how each is answered (a draft is not: by the ping after it) to whom ADMITS lets in."""

ADMITS: Expected = {
    **dict.fromkeys(CALLERS, 4401),
    "key without the scope": 4403,
    "another's token": 4403,
    "token of another survey": 4403,
    "participant": ADMITTED,
    "key": ADMITTED,
}

assert set(SCOPES) >= {row.scope for row in ROWS}
