"""REST for the audit log."""

import flask
from pydantic import JsonValue

from ...sessions import Action
from ..authorization import authorize_all
from ..context import store
from .models import Model, Success, Time
from .openapi.operation import PROTECTED, Operation, Resource, integrator
from .openapi.parameters import AFTER_ID, LIMIT
from .responses import json_response

audit = Resource("audit", __name__)


class AuditEntry(Model):
    """Who did what, without any answer."""

    id: int
    at: Time
    actor: str
    action: Action
    survey_id: str | None
    user_id: str | None
    detail: dict[str, JsonValue]


class AuditPage(Model):
    """A page of the audit log, newest first; ``next`` is the ``after`` of the following page."""

    success: Success
    entries: list[AuditEntry]
    next: int | None


@audit.operation(
    "GET",
    "/api/audit",
    Operation(
        summary="List who read, exported or erased data, newest first",
        responses={200: AuditPage},
        security=integrator("admin"),
        parameters=(AFTER_ID, LIMIT),
        errors=(*PROTECTED, 422),
    ),
)
def get_audit() -> flask.Response:
    """Return a page of entries."""
    authorize_all("admin", "audit_read")
    page = store().audit_log.page(AFTER_ID.value(), LIMIT.value() or 100)
    entries = [recorded.to_dict() for recorded in page.entries]
    return json_response({"success": True, "entries": entries, "next": page.following})
