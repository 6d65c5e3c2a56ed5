"""REST for the audit log."""

import flask
from pydantic import JsonValue

from ...sessions import Action
from ..authorization import authorize_all
from ..context import store
from .bodies import success
from .models import Model, Response, Time
from .openapi.operation import Operation, Resource, integrator
from .openapi.parameters import AFTER_ID, LIMIT

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


class AuditPage(Response):
    """A page of the audit log, newest first; ``next`` is the ``after`` of the following page."""

    entries: list[AuditEntry]
    next: int | None


@Operation(audit, "GET /api/audit", AuditPage, integrator("admin"), parameters=(AFTER_ID, LIMIT))
def get_audit() -> flask.Response:
    """List who read, exported or erased data, newest first."""
    authorize_all("admin", "audit_read")
    page = store().audit_log.page(AFTER_ID.value(), LIMIT.value() or 100)
    return success(entries=[recorded.to_dict() for recorded in page.items], next=page.following)
