"""``/metrics``: all figures, for Prometheus. Not in the audit log: it says nothing of anybody, and is read for ever."""

import flask

from ...observability import metrics
from ..gauges import gauges
from ..insiders import check_insider

metrics_api = flask.Blueprint("metrics_api", __name__)


@metrics_api.get("/metrics")
def get_metrics() -> flask.Response:
    """All figures, of all server processes of this machine that share a folder."""
    check_insider("metrics")
    gauges().refresh()
    return flask.Response(metrics.exposition(), content_type=metrics.CONTENT_TYPE)
