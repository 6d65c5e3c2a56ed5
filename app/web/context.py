"""What all requests of one application share, in ``app.extensions``."""

import hashlib
from dataclasses import dataclass

import flask

from ..core.installation import __version__
from ..operations.analytics import SummaryCache
from ..operations.webhooks import Dispatcher
from ..sessions import CommandStream, SessionStore
from ..survey import Survey
from .assets import Assets
from .authentication import Authenticator, MetricsKeyCache
from .health import Gauges, HealthChecks
from .rate_limits import ConnectionLimits, ExportSlots, Throttle
from .security_log import SecurityLog
from .ws.loop import SocketLoop

EXTENSION = "stepkeep"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppContext:
    """The parts of a running application, safe from any thread."""

    store: SessionStore
    assets: Assets
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
    sockets: SocketLoop
    commands: CommandStream


def app_context() -> AppContext:
    context: AppContext = flask.current_app.extensions[EXTENSION]
    return context


def form_digest(survey: Survey) -> str:
    """Return a digest of what a survey's JSON depends on beside its revision."""
    release = f"{__version__} {app_context().assets.version}"
    terms = f"{survey.access} {survey.retention} {survey.expires_after}"
    return hashlib.sha256(f"{release} {terms}".encode()).hexdigest()[:16]


def store() -> SessionStore:
    return app_context().store


def authenticator() -> Authenticator:
    return app_context().authenticator
