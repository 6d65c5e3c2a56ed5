"""REST for operators."""

from typing import Annotated, Literal

import flask
from pydantic import BaseModel, ConfigDict, Field

from ...observability import metrics
from ..authorization import may_see_internals, require_internals
from ..context import app_context, store
from .bodies import json_response, problem
from .models import Model, ReadyCheck
from .openapi.operation import BASIC, PUBLIC, Operation, Resource, integrator

health = Resource("health", __name__)


class Liveness(Model):
    """The process answers."""

    status: Literal["ok"]


class Readiness(BaseModel):
    """No check fails; in development, and with the scope metrics or admin, also the checks and versions."""

    model_config = ConfigDict(extra="allow")

    status: Literal["ready"]
    checks: Annotated[list[ReadyCheck], Field(description="only for callers who may see them")] = []


@Operation(health, "GET /healthz", Liveness, errors=BASIC)
def healthz() -> flask.Response:
    """Return whether the process responds."""
    return json_response({"status": "ok"})


@Operation(health, "GET /readyz", Readiness, errors=(*BASIC, 503))
def readyz() -> flask.Response:
    """Return whether the server is ready."""
    result = app_context().health.run()
    sees_internals = may_see_internals("metrics", "admin", cached_only=result.is_database_hanging)
    checks = [check.to_dict() for check in result.checks]
    if (failing := result.failing) is not None:
        if not sees_internals:
            return problem(503, failing.code, "The server is not ready. Its log says why.")
        return problem(503, failing.code, failing.hint or failing.name, checks=checks)
    internals = {**result.facts, "surveys": list(store().catalogue.surveys), "checks": checks}
    return json_response({"status": "ready", **(internals if sees_internals else {})})


@Operation(
    health,
    "GET /metrics",
    security=integrator("metrics"),
    files={"text/plain": {"schema": {"type": "string"}}},
    errors=(*PUBLIC, 401, 403),
)
def get_metrics() -> flask.Response:
    """Return metrics for Prometheus.

    Of all server processes that share a folder (STEPKEEP_METRICS_DIR).
    """
    require_internals("metrics")  # not audited: no personal data, read every few seconds
    app_context().gauges.refresh()
    return flask.Response(metrics.exposition(), content_type=metrics.CONTENT_TYPE)
