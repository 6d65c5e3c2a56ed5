"""REST for operators."""

from typing import Annotated, Literal

import flask
from pydantic import BaseModel, ConfigDict, Field, RootModel

from ...observability import metrics
from ..authorization import may_see_internals, require_internals
from ..context import app_context, store
from .models import Model, ReadyCheck
from .openapi.operation import BASIC, PROTECTED, Operation, Resource, integrator
from .responses import json_response, problem

health = Resource("health", __name__)


class Liveness(Model):
    """The process answers."""

    status: Literal["ok"]


class Readiness(BaseModel):
    """No check fails; in development, and with the scope metrics or admin, also the checks and versions."""

    model_config = ConfigDict(extra="allow")

    status: Literal["ready"]
    checks: Annotated[list[ReadyCheck], Field(description="if the caller may see them")] = []


class Metrics(RootModel[str]):
    """Prometheus' text format, version 0.0.4."""


@health.operation("GET", "/healthz", Operation(summary="Liveness", responses={200: Liveness}, errors=BASIC))
def healthz() -> flask.Response:
    """Return that the process answers."""
    return json_response({"status": "ok"})


@health.operation("GET", "/readyz", Operation(summary="Readiness", responses={200: Readiness}, errors=(*BASIC, 503)))
def readyz() -> flask.Response:
    """Return whether the server is ready; operators see each check."""
    sees_internals = may_see_internals("metrics", "admin")
    result = app_context().health.run()
    checks = [check.to_dict() for check in result.checks]
    if (failing := result.failing) is not None:
        if not sees_internals:
            return problem(503, failing.code, "the server is not ready; its log says why")
        return problem(503, failing.code, failing.hint or failing.name, checks=checks)
    internals = {**result.facts, "surveys": list(store().catalogue.surveys), "checks": checks}
    return json_response({"status": "ready", **(internals if sees_internals else {})})


@health.operation(
    "GET",
    "/metrics",
    Operation(
        summary="Metrics for Prometheus",
        description="Of all server processes that share a folder (STEPKEEP_METRICS_DIR).",
        responses={200: Metrics},
        media_type="text/plain",
        security=integrator("metrics"),
        errors=PROTECTED,
    ),
)
def get_metrics() -> flask.Response:
    """Return the metrics; not audited: no personal data, read every few seconds."""
    require_internals("metrics")
    app_context().gauges.refresh()
    return flask.Response(metrics.exposition(), content_type=metrics.CONTENT_TYPE)
