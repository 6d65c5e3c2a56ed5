"""create_app: the Flask application."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import flask
from werkzeug.exceptions import SecurityError
from werkzeug.middleware.proxy_fix import ProxyFix

from ..core.formats import MAX_COMMAND_BYTES, is_loopback
from ..core.installation import COMMAND, __version__
from ..errors import ConfigurationError
from ..observability import metrics, tracing
from ..observability.logging import configure_logging, resolve_log_format
from ..operations.analytics import SummaryCache
from ..operations.maintenance import MaintenanceScheduler
from ..operations.webhooks import Dispatcher
from ..sessions import SessionStore, open_store
from ..settings import Settings, read_settings
from .assets import Assets
from .authentication import SUBPROTOCOL, Authenticator, MetricsKeyCache, signing_secrets
from .context import EXTENSION, AppContext, app_context, authenticator
from .health import Gauges, HealthChecks
from .host_login import HostLogin
from .pages.dashboard import dashboard, sign_in
from .pages.embed import embedding
from .pages.media import media
from .pages.survey import pages
from .pages.texts import texts
from .rate_limits import ConnectionLimits, ExportSlots, Throttle
from .request_log import observe
from .request_origin import ORIGIN_NOT_ALLOWED, client_address, is_refused_preflight, require_loopback
from .responses import add_security_headers, allow_origins, compress
from .rest.bodies import answer_error
from .rest.documents import RESOURCES, documents
from .security_log import SecurityLog
from .ws.connection import sock
from .ws.loop import SocketLoop

STATIC = Path(__file__).parent / "static"

AUDIT_REPEAT_US = 600 * 1_000_000  # in which each process audits an open page's repeated requests once
_BLUEPRINTS = (*RESOURCES, documents, pages, texts, media, embedding, sign_in, dashboard)


def create_app(
    settings: Settings | None = None, store: SessionStore | None = None, *, login: HostLogin | None = None
) -> flask.Flask:
    """Return the application, its database open and its surveys loaded.

    With a login, another application mounts it, and configures logging and proxies. Raises ConfigurationError.
    """
    settings = settings or read_settings()
    if login is None:
        configure_logging(settings.log_level, resolve_log_format(settings.log_format, settings.environment))
    check_settings(settings, is_mounted=login is not None)  # before a database is opened
    app = _Application(__name__, static_folder=None)  # the pages serve theirs under /assets
    app.jinja_env.globals["command"] = COMMAND
    app.config["MAX_CONTENT_LENGTH"] = MAX_COMMAND_BYTES  # operations may take more
    is_command = login is None and _is_cli_command()
    context = _start_context(store or open_store(settings, accepts_read_only=is_command), login, is_command=is_command)
    app.config["SOCK_SERVER_OPTIONS"] = {
        "loop": context.sockets,
        "ping_interval": settings.ping_interval_s,
        "max_message_size": MAX_COMMAND_BYTES,
        "subprotocols": [SUBPROTOCOL],
    }
    app.extensions[EXTENSION] = context
    metrics.BUILD.labels(__version__, context.store.schema_revision, context.store.backend).set(1)
    if settings.tracing:
        tracing.start()
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.register_error_handler(Exception, answer_error)
    app.before_request(_require_allowed)
    app.before_request(_check_handshake)
    app.after_request(compress)
    app.after_request(add_security_headers)
    app.after_request(_write_security_log)
    allow_origins(app, settings)
    sock.init_app(app)
    if login is None and settings.proxies and settings.environment == "production":
        proxies = dict.fromkeys(("x_for", "x_proto", "x_host"), settings.proxies)
        app.wsgi_app = ProxyFix(app.wsgi_app, **proxies)  # type: ignore[method-assign]  # Flask's way to add middleware
    return app


def _start_context(store: SessionStore, login: HostLogin | None, *, is_command: bool) -> AppContext:
    authenticator = Authenticator(store, login)
    authenticator.credentials.revocations.start()  # in any process: `flask shell` or a site's own command may serve
    connections = ConnectionLimits(store.settings)
    webhooks = Dispatcher(store)
    if not is_command:
        store.start_background()
        webhooks.start()
        MaintenanceScheduler(store).start()
    threads = store.settings.rest_threads
    sockets = SocketLoop()
    commands = store.turns.stream(sockets.call)
    sockets.flush, sockets.check = commands.flush, commands.check
    sockets.is_stopping = lambda: connections.stopping
    return AppContext(
        store=store,
        assets=Assets(STATIC, is_watched=store.settings.environment == "development"),
        authenticator=authenticator,
        security_log=SecurityLog(),
        connections=connections,
        gauges=Gauges(store, connections),
        health=HealthChecks(store, connections),
        metrics_keys=MetricsKeyCache(authenticator),
        webhooks=webhooks,
        analytics=SummaryCache(store, max(1, threads // 2)),  # the other threads stay free
        export_slots=ExportSlots(store.settings),
        audit_throttle=Throttle(AUDIT_REPEAT_US, store.clock),
        sockets=sockets,
        commands=commands,
    )


def _is_cli_command() -> bool:
    """Return whether this is Stepkeep's own command; a host's server may be any click command."""
    command = click.get_current_context(silent=True)
    return command is not None and command.info_name not in {"run", "serve"}


class _Application(flask.Flask):
    def full_dispatch_request(self) -> flask.Response:
        return observe(super().full_dispatch_request)

    def handle_user_exception(self, e: Exception) -> Any:  # noqa: ANN401 - Flask's signature
        flask.g.error = e
        return super().handle_user_exception(e)


def _require_allowed() -> None:
    if app_context().store.settings.environment == "development":
        require_loopback()
    if flask.request.endpoint in {"health.healthz", "health.readyz", "health.get_metrics"}:
        return  # probes use the machine's address
    host = app_context().store.settings.public_url.partition("://")[2]
    if host and flask.request.host.lower() not in {host, f"{host}:443"}:
        raise SecurityError("Unknown host. STEPKEEP_PUBLIC_URL sets this server's name.")
    if flask.request.endpoint != "pages.static":
        authenticator().limits.count("address_requests", client_address())


def _write_security_log(response: flask.Response) -> flask.Response:
    context = app_context()
    if is_refused_preflight(context.store.settings):
        context.security_log.write("refused", ORIGIN_NOT_ALLOWED)
        return response
    return context.security_log.write_response(response)


def _check_handshake() -> flask.Response | None:
    """Refuse an invalid handshake before it takes the socket (RFC 6455, 4.2.1)."""
    request = flask.request
    if not request.path.startswith("/ws/"):
        return None
    if request.headers.get("Upgrade", "").lower() != "websocket":
        return flask.Response("This address is a WebSocket.\n", 426, {"Upgrade": "websocket"})
    if not request.headers.get("Sec-WebSocket-Key") or request.headers.get("Sec-WebSocket-Version") != "13":
        return flask.Response("Not a WebSocket handshake.\n", 400, {"Sec-WebSocket-Version": "13"})
    return None


def check_settings(settings: Settings, *, is_mounted: bool = False) -> None:
    """Raise ConfigurationError for settings that a server can't use."""
    signing_secrets(settings)
    url = urlsplit(settings.public_url)
    if settings.environment == "production" and url.scheme == "http" and not is_loopback(url.hostname or ""):
        raise ConfigurationError(
            "STEPKEEP_PUBLIC_URL must begin with https:// in production: tokens and answers are sent over it."
        )
    if is_mounted or not _is_cli_command():  # a host's commands can't be told from its servers
        _check_folders(settings)


def _check_folders(settings: Settings) -> None:
    archive, surveys = settings.archive_dir, settings.surveys_dir
    if archive is not None and not (archive.is_dir() and os.access(archive, os.W_OK | os.X_OK)):
        raise ConfigurationError(
            f"STEPKEEP_ARCHIVE_DIR: {archive} is not a folder that the server can write to. Create it for the server's "
            "user, or remove the setting."
        )
    is_set = "surveys_dir" in settings.model_fields_set or surveys.is_dir()
    if is_set and not (surveys.is_dir() and os.access(surveys, os.R_OK | os.X_OK)):
        raise ConfigurationError(
            f"STEPKEEP_SURVEYS_DIR: {surveys} is not a folder that the server can read. Create it, or change this."
        )


def config_warnings(settings: Settings) -> Iterator[str]:
    """Yield a warning for each setting that was perhaps forgotten."""
    if settings.environment == "production" and not settings.public_url:
        yield "STEPKEEP_PUBLIC_URL is not set: this server's name is taken from each request's Host header"
    if not settings.surveys_dir.is_dir():
        yield f"STEPKEEP_SURVEYS_DIR: no folder {settings.surveys_dir}, so no surveys are offered"
    if settings.public_url.startswith("https:") and not settings.proxies:
        yield (
            "STEPKEEP_PROXIES is 0: behind a proxy all participants share one address. Set STEPKEEP_PROXIES to the "
            "number of proxies, e.g. 1"
        )
