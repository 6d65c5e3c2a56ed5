"""``/metrics`` for Prometheus. Not audited: it has no personal data, and is requested every few seconds."""

import flask

from ...observability import metrics
from ..authorization import require_internals
from ..context import app_context

metrics_api = flask.Blueprint("metrics_api", __name__)


@metrics_api.get("/metrics")
def get_metrics() -> flask.Response:
    """Return the metrics of all server processes that share a folder."""
    require_internals("metrics")
    app_context().gauges.refresh()
    return flask.Response(metrics.exposition(), content_type=metrics.CONTENT_TYPE)
