"""What all requests of one application share, in ``app.extensions``."""

from dataclasses import dataclass

import flask

from ..operations.analytics import SummaryCache
from ..operations.webhooks import Dispatcher
from ..sessions import SessionStore
from .authentication import Authenticator, MetricsKeyCache
from .health import Gauges, HealthChecks
from .rate_limits import ConnectionLimits, ExportSlots, Throttle
from .security_log import SecurityLog

EXTENSION = "stepkeep"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppContext:
    """The parts of a running application, each safe from any thread."""

    store: SessionStore
    authenticator: Authenticator
    security_log: SecurityLog
    connections: ConnectionLimits
    gauges: Gauges
    health: HealthChecks
    metrics_keys: MetricsKeyCache
    webhooks: Dispatcher
    analytics: SummaryCache
    export_slots: ExportSlots
    audit_throttle: Throttle


def app_context() -> AppContext:
    """Return the current application's context."""
    context: AppContext = flask.current_app.extensions[EXTENSION]
    return context


def store() -> SessionStore:
    """Return the current application's store."""
    return app_context().store


def authenticator() -> Authenticator:
    """Return the current application's authenticator."""
    return app_context().authenticator
