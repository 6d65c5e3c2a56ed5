"""create_app: one Flask application with all doors on one session store."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import click
import flask
from werkzeug.exceptions import SecurityError
from werkzeug.middleware.proxy_fix import ProxyFix

from ..errors import ConfigurationError
from ..observability import metrics, tracing
from ..observability.logging import configure_logging, resolve_log_format
from ..operations.maintenance.scheduler import MaintenanceScheduler
from ..operations.webhooks import Dispatcher
from ..sessions.service import SessionStore, open_store
from ..settings import Settings, is_loopback, read_settings
from ..store.engine import normalise_url
from ..store.migrations import head_revision
from .authentication import SUBPROTOCOL, Access, access, check_this_machine, signing_secrets
from .authorization import store
from .gauges import Gauges
from .health import Readiness
from .insiders import Insiders
from .pages.dashboard import dashboard
from .pages.sign_in import sign_in
from .pages.survey import pages
from .request_log import observe
from .rest.analytics import analytics_api
from .rest.export import export_api
from .rest.metrics import metrics_api
from .rest.openapi.document import VERSION
from .rest.participants import access_api
from .rest.responses import answer_error
from .rest.sessions import api
from .rest.webhooks import webhooks_api
from .security_headers import allow_origins, harden
from .security_log import SecurityLog, note_response
from .ws.connection import sock
from .ws.connection_limits import connections_of
from .ws.messages import MAX_MESSAGE_BYTES
from .ws.server import SafeWire

MAX_BODY_BYTES = 2 * 1024 * 1024
"""A request's body: a whole state (1 MiB) and what its text may add."""


def create_app(settings: Settings | None = None, store: SessionStore | None = None) -> flask.Flask:
    """Return the application, its database open and its surveys loaded.

    Args:
        settings: None reads the environment.
        store: None opens the one that the settings describe.

    Raises:
        ConfigurationError: what the settings name can't be used; in production, a SECRET_KEY is missing or weak.
    """
    chosen = settings or read_settings()
    configure_logging(chosen.log_level, resolve_log_format(chosen.log_format, chosen.environment))
    check_settings(chosen)  # before a database is touched
    app = _Application(__name__, static_folder=None)  # the pages serve theirs under /assets
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["SOCK_SERVER_OPTIONS"] = {
        "ping_interval": chosen.ping_interval_s,
        "max_message_size": MAX_MESSAGE_BYTES,
        "subprotocols": [SUBPROTOCOL],
    }
    opened = store or open_store(chosen)
    opened.start_background()
    app.extensions["stepkeep"] = opened
    app.extensions["stepkeep_access"] = Access(opened)
    app.extensions["stepkeep_access"].credentials.revocations.start()
    _work_beside(app, opened)
    app.extensions["stepkeep_security_log"] = SecurityLog()
    app.extensions["stepkeep_connections"] = connections_of(chosen)
    _let_be_observed(app, opened)
    for blueprint in (api, access_api, analytics_api, export_api, pages, sign_in, dashboard, webhooks_api, metrics_api):
        app.register_blueprint(blueprint)
    app.register_error_handler(Exception, answer_error)
    app.before_request(_admit)
    app.before_request(_check_handshake)
    app.after_request(harden)
    app.after_request(note_response)
    allow_origins(app, chosen)
    sock.init_app(app)
    inner = app.wsgi_app
    if chosen.proxies and chosen.environment == "production":
        inner = ProxyFix(inner, x_for=chosen.proxies, x_proto=chosen.proxies, x_host=chosen.proxies)
    app.wsgi_app = SafeWire(inner)  # type: ignore[method-assign]  # Flask's own way to add middleware
    return app


def _let_be_observed(app: flask.Flask, opened: SessionStore) -> None:
    """Let operators see how the server is: figures, checks, and who may see them."""
    connections = app.extensions["stepkeep_connections"]
    app.extensions["stepkeep_gauges"] = Gauges(opened, connections)
    app.extensions["stepkeep_insiders"] = Insiders()
    app.extensions["stepkeep_readiness"] = Readiness(opened, connections)
    database = normalise_url(opened.settings.database_url).get_backend_name()
    metrics.BUILD.labels(VERSION, head_revision(), database).set(1)
    if opened.settings.tracing:
        tracing.start()


def _work_beside(app: flask.Flask, opened: SessionStore) -> None:
    """Begin what a server does beside all requests: webhooks are delivered, rounds are made."""
    app.extensions["stepkeep_webhooks"] = Dispatcher(opened)
    if not _is_a_command():
        app.extensions["stepkeep_webhooks"].start()
        MaintenanceScheduler(opened).start()


def _is_a_command() -> bool:
    """Return whether an operator's command opens the application: it serves nobody, and is over soon."""
    context = click.get_current_context(silent=True)
    return context is not None and context.info_name != "run"


class _Application(flask.Flask):
    """Looks at each request, and remembers by which error it ended, whoever answered it: the log wants to say why."""

    def full_dispatch_request(self) -> flask.Response:
        """Answer the request."""
        return observe(super().full_dispatch_request)

    def handle_user_exception(self, e: Exception) -> Any:  # noqa: ANN401 - as Flask has it
        """Answer the error."""
        flask.g.error = e
        return super().handle_user_exception(e)


def _admit() -> None:
    """Refuse what is meant for another host, in development what is not of this machine, and too many requests."""
    door = access()
    if door.is_development:
        check_this_machine()
    if flask.request.endpoint in {"api.healthz", "api.readyz", "metrics_api.get_metrics"}:
        return  # a load balancer, or Prometheus, asks by the machine's address
    own = store().settings.public_url
    if own and flask.request.host.lower() not in {_host(own), f"{_host(own)}:443"}:
        raise SecurityError("This server has another name: STEPKEEP_PUBLIC_URL says which.")
    if flask.request.endpoint != "pages.static":
        door.count_request()


def _check_handshake() -> flask.Response | None:
    """Refuse what is no WebSocket handshake before simple-websocket answers 500 to it (RFC 6455, 4.2.1)."""
    request = flask.request
    if not request.path.startswith("/ws/"):
        return None
    if request.headers.get("Upgrade", "").lower() != "websocket":
        return flask.Response("This address is a WebSocket.\n", 426, {"Upgrade": "websocket"})
    if not request.headers.get("Sec-WebSocket-Key") or request.headers.get("Sec-WebSocket-Version") != "13":
        return flask.Response("Not a WebSocket handshake.\n", 400, {"Sec-WebSocket-Version": "13"})
    return None


def check_settings(settings: Settings) -> None:
    """Return if a server may be started with the settings; nothing but them is looked at.

    Raises:
        ConfigurationError: in production, a SECRET_KEY is missing or weak, or STEPKEEP_PUBLIC_URL is not of TLS.
    """
    signing_secrets(settings)
    url = urlsplit(settings.public_url)
    if settings.environment == "production" and url.scheme == "http" and not is_loopback(url.hostname or ""):
        raise ConfigurationError(
            "STEPKEEP_PUBLIC_URL must begin with https:// in production: tokens and answers go over it"
        )


def doubts(settings: Settings) -> Iterator[str]:
    """Yield what an operator may have forgotten; a server starts all the same."""
    if settings.environment == "production" and not settings.public_url:
        yield "STEPKEEP_PUBLIC_URL is not set: the name of this server is taken from each request's Host"
    if not settings.surveys_dir.is_dir():
        yield f"STEPKEEP_SURVEYS_DIR: there is no folder {settings.surveys_dir}, and so there are no surveys"
    if settings.public_url.startswith("https:") and not settings.proxies:
        yield "STEPKEEP_PROXIES is 0: behind a proxy all participants count as one address; set STEPKEEP_PROXIES=1"


def _host(url: str) -> str:
    return url.partition("://")[2]
