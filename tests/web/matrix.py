"""The authorization matrix: each route and each socket command, with the status or code for each kind of caller."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.access.principals import SCOPES, Scope
from tests.web.expected_statuses import (
    CALLERS,
    Expected,
    needs_key,
    needs_scope,
    needs_unlimited_key,
    only_for,
    open_to_all,
    open_to_valid,
)


def in_header(authorization: str | None) -> dict[str, Any]:
    return {} if authorization is None else {"headers": {"Authorization": authorization}}


def in_body(authorization: str | None) -> dict[str, Any]:
    return {"json": {"token": credential_in(authorization), "confirm": True}}


def in_form(authorization: str | None) -> dict[str, Any]:
    return {"data": {"key": credential_in(authorization)}}


def credential_in(authorization: str | None) -> str:
    """Return the credential without its scheme."""
    return (authorization or "").partition(" ")[2]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method of one route.

    Attributes:
        expected: the status for each kind of caller.
        scope: the scope that a key needs.
        carried: puts the Authorization value into the request's options.
        is_of_a_session: whether the path names a session, which may or may not exist.
    """

    endpoint: str
    method: str
    path: str
    expected: Expected
    scope: Scope = "admin"
    options: Mapping[str, Any] = field(default_factory=dict)
    carried: Callable[[str | None], dict[str, Any]] = in_header

    @property
    def label(self) -> str:
        body = self.options.get("json")
        return f"{self.method} {self.path}" + (f" with {','.join(body)}" if body else "")

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
        expected=needs_scope(200, participant=200),
    ),
    Row(
        endpoint="sessions.get_session",
        method="GET",
        path=f"{ONE}{PHQ9}&at_version=1",
        scope="sessions:read",
        expected=needs_scope(200, participant=200),
    ),
    Row(
        endpoint="sessions.begin_session",
        method="POST",
        path=ONE + PHQ9,
        scope="sessions:write",
        options={"json": {"parameters": {"clinic": "north"}}},
        expected=needs_scope(200),
    ),
    Row(
        endpoint="sessions.put_session",
        method="PUT",
        path=ONE + PHQ9,
        scope="sessions:write",
        options={"json": STATE},
        expected=needs_scope(200),
    ),
    Row(
        endpoint="sessions.patch_session",
        method="PATCH",
        path=ONE + PHQ9,
        scope="sessions:write",
        options={"json": {"session_data": {"x": 1}}},
        expected=needs_scope(200),
    ),
    Row(
        endpoint="sessions.delete_session",
        method="DELETE",
        path=ONE + PHQ9,
        scope="sessions:write",
        expected=needs_scope(200),
    ),
    Row(
        endpoint="sessions.post_command",
        method="POST",
        path=f"{ONE}/commands{PHQ9}",
        scope="sessions:write",
        options={"json": ANSWER},
        expected=needs_scope(200, participant=200),
    ),
    Row(
        endpoint="sessions.get_history",
        method="GET",
        path=f"{ONE}/history{PHQ9}",
        scope="sessions:read",
        expected=needs_scope(200, participant=200),
    ),
    Row(
        endpoint="sessions.list_sessions",
        method="GET",
        path="/api/sessions",
        scope="sessions:read",
        expected=needs_key(200),
    ),
    Row(
        endpoint="participants.create_link",
        method="POST",
        path=f"{ONE}/link{PHQ9}",
        scope="sessions:write",
        expected=needs_scope(200, participant=200),
    ),
    Row(
        endpoint="participants.revoke_tokens",
        method="DELETE",
        path=f"{ONE}/tokens{PHQ9}",
        scope="sessions:write",
        expected=needs_scope(200, participant=200),
    ),
    Row(
        endpoint="participants.export",
        method="GET",
        path=f"{ONE}/export{PHQ9}",
        scope="export",
        expected=needs_scope(200, participant=200),
    ),
    Row(
        endpoint="analytics.get_analytics",
        method="GET",
        path="/api/surveys/phq9/analytics",
        scope="sessions:read",
        expected=needs_scope(200),
    ),
    Row(
        endpoint="exports.export_survey",
        method="GET",
        path="/api/surveys/phq9/export?format=jsonl",
        scope="export",
        expected=needs_scope(200),
    ),
    Row(
        endpoint="exports.get_codebook",
        method="GET",
        path="/api/surveys/phq9/codebook",
        scope="export",
        expected=needs_scope(200),
    ),
    Row(
        endpoint="surveys.reload_surveys", method="POST", path="/api/surveys/reload", expected=needs_unlimited_key(200)
    ),
    Row(endpoint="audit.get_audit", method="GET", path="/api/audit", scope="admin", expected=needs_unlimited_key(200)),
    Row(
        endpoint="participants.create_participant",
        method="POST",
        path="/api/surveys/phq9/participants",
        expected=open_to_valid(201),
    ),
    Row(
        endpoint="participants.create_participant",
        method="POST",
        path="/api/surveys/phq9/participants",
        scope="sessions:write",
        options={"json": {"user_id": "chosen"}},
        expected=needs_scope(201),
    ),
    Row(
        endpoint="participants.create_participant",
        method="POST",
        path="/api/surveys/closed/participants",
        scope="sessions:write",
        expected={**open_to_valid(404), "key": 201},
    ),
    Row(
        endpoint="webhooks.list_webhooks",
        method="GET",
        path="/api/webhooks",
        scope="webhooks",
        expected=needs_key(200),
    ),
    Row(
        endpoint="webhooks.add_webhook",
        method="POST",
        path="/api/webhooks",
        scope="webhooks",
        options={"json": {"url": "https://receiver.test/hook", "events": ["session.completed"]}},
        expected=needs_unlimited_key(201),
    ),
    Row(
        endpoint="webhooks.add_webhook",
        method="POST",
        path="/api/webhooks",
        scope="webhooks",
        options={"json": {"url": "https://receiver.test/hook", "events": ["session.completed"], "survey_id": "phq9"}},
        expected=needs_scope(201),
    ),
    Row(
        endpoint="webhooks.get_webhook",
        method="GET",
        path="/api/webhooks/wh_0123456789abcdef",
        scope="webhooks",
        expected=needs_key(404),
    ),
    Row(
        endpoint="webhooks.change_webhook",
        method="PATCH",
        path="/api/webhooks/wh_0123456789abcdef",
        scope="webhooks",
        options={"json": {"enabled": False}},
        expected=needs_key(404),
    ),
    Row(
        endpoint="webhooks.remove_webhook",
        method="DELETE",
        path="/api/webhooks/wh_0123456789abcdef",
        scope="webhooks",
        expected=needs_key(404),
    ),
    Row(
        endpoint="webhooks.list_deliveries",
        method="GET",
        path="/api/webhooks/wh_0123456789abcdef/deliveries",
        scope="webhooks",
        expected=needs_key(404),
    ),
    Row(
        endpoint="webhooks.replay",
        method="POST",
        path="/api/webhooks/wh_0123456789abcdef/replay",
        scope="webhooks",
        expected=needs_key(404),
    ),
    Row(endpoint="surveys.list_surveys", method="GET", path="/api/surveys", expected=open_to_valid(200)),
    Row(endpoint="surveys.get_survey", method="GET", path="/api/surveys/phq9", expected=open_to_all(200)),
    Row(
        endpoint="surveys.get_survey",
        method="GET",
        path="/api/surveys/closed",
        scope="sessions:read",
        expected={**open_to_valid(404), "key": 200},
    ),
    Row(
        endpoint="participants.resume",
        method="POST",
        path="/resume",
        carried=in_body,
        expected=only_for(200, 401, "another's token", "token of another survey", "participant"),
    ),
    Row(endpoint="participants.leave", method="POST", path=f"/leave{PHQ9}", expected=open_to_all(200)),
    Row(
        endpoint="sign_in.begin",
        method="POST",
        path="/sign-in",
        carried=in_form,
        expected=only_for(303, 401, *(caller for caller in CALLERS if caller.startswith("key"))),
    ),
    Row(endpoint="sign_in.show_sign_in", method="GET", path="/sign-in", expected=open_to_all(200)),
    Row(endpoint="sign_in.end", method="POST", path="/sign-out", expected=open_to_all(403)),
    Row(endpoint="dashboard.show_overview", method="GET", path="/dashboard", expected=open_to_all(303)),
    Row(endpoint="dashboard.show_survey", method="GET", path="/dashboard/surveys/phq9", expected=open_to_all(303)),
    Row(endpoint="dashboard.list_sessions", method="GET", path="/dashboard/sessions", expected=open_to_all(303)),
    Row(
        endpoint="dashboard.show_session",
        method="GET",
        path="/dashboard/sessions/phq9/p-1",  # a page: a participant's credentials do not apply
        expected=open_to_all(303),
    ),
    Row(endpoint="pages.list_surveys", method="GET", path="/", expected=open_to_all(200)),
    Row(endpoint="pages.take_survey", method="GET", path="/s/phq9", expected=open_to_all(200)),
    Row(endpoint="pages.take_survey", method="GET", path="/s/closed", expected=open_to_all(404)),
    Row(endpoint="pages.begin_again", method="POST", path="/s/phq9/anew", expected=open_to_all(303)),
    Row(endpoint="pages.begin_again", method="POST", path="/s/closed/anew", expected=open_to_all(404)),
    *(Row(endpoint=f"pages.{at}", method="GET", path=f"/{at}", expected=open_to_all(200)) for at in ("resume", "left")),
    Row(endpoint="texts.get_texts", method="GET", path="/assets/texts/0/de.json", expected=open_to_all(200)),
    Row(endpoint="embedding.embed", method="GET", path="/embed/phq9", expected=open_to_all(404)),
    Row(endpoint="embedding.embedded_page", method="GET", path="/embed/phq9/page", expected=open_to_all(404)),
    Row(endpoint="media.get_media", method="GET", path="/media/none.png", expected=open_to_all(404)),
    Row(endpoint="pages.static", method="GET", path="/assets/style.css", expected=open_to_all(200)),
    Row(endpoint="documents.get_openapi", method="GET", path="/openapi.json", expected=open_to_all(200)),
    Row(endpoint="documents.get_asyncapi", method="GET", path="/asyncapi.json", expected=open_to_all(200)),
    Row(endpoint="documents.get_survey_schema", method="GET", path="/survey.schema.json", expected=open_to_all(200)),
    Row(endpoint="documents.docs", method="GET", path="/docs", expected=open_to_all(200)),
    Row(
        endpoint="health.get_metrics", method="GET", path="/metrics", scope="metrics", expected=needs_unlimited_key(200)
    ),
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
    "language": ({"id": "m-1", "language": "en"}, "ack"),
    "restart": ({"id": "m-1"}, "ack"),
    "draft": ({"step": "Q1", "value": 1}, "pong"),
    "ping": ({}, "pong"),
}
"""The fields of each command, and the type of its response if the caller is admitted (for a draft, of the next ping's)."""

ADMITS: Expected = {
    **dict.fromkeys(CALLERS, 4401),
    "key without the scope": 4403,
    "key of another survey": 4403,
    "another's token": 4403,
    "token of another survey": 4403,
    "participant": ADMITTED,
    "key of the survey": ADMITTED,
    "key": ADMITTED,
}

assert set(SCOPES) >= {row.scope for row in ROWS}
