"""create_app: one Flask application with all doors on one session store."""

import logging

import flask

from app.service import SessionStore, open_store
from app.settings import Settings, read_settings
from app.web.api import answer_error, api
from app.web.messages import MAX_MESSAGE_BYTES
from app.web.pages import pages
from app.web.socket import Connections, sock
from app.web.wire import SafeWire

MAX_BODY_BYTES = 2 * 1024 * 1024
"""A request's body: a whole state (1 MiB) and what its text may add."""


def create_app(settings: Settings | None = None, store: SessionStore | None = None) -> flask.Flask:
    """Return the application, its database open and its surveys loaded.

    Args:
        settings: None reads the environment.
        store: None opens the one that the settings describe.

    Raises:
        ConfigurationError: what the settings name can't be used.
    """
    chosen = settings or read_settings()
    logging.getLogger("stepkeep").setLevel(chosen.log_level)
    app = flask.Flask(__name__, static_folder=None)  # the pages serve theirs under /assets
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["SOCK_SERVER_OPTIONS"] = {
        "ping_interval": chosen.ping_interval_s,
        "max_message_size": MAX_MESSAGE_BYTES,
    }
    opened = store or open_store(chosen)
    opened.serve()
    app.extensions["stepkeep"] = opened
    app.extensions["stepkeep_connections"] = Connections(chosen.max_connections)
    app.register_blueprint(api)
    app.register_blueprint(pages)
    app.register_error_handler(Exception, answer_error)
    app.before_request(_check_handshake)
    app.after_request(_harden)
    sock.init_app(app)
    app.wsgi_app = SafeWire(app.wsgi_app)  # type: ignore[method-assign]  # Flask's own way to add middleware
    return app


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


def _harden(response: flask.Response) -> flask.Response:
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault(
        "Content-Security-Policy",
        "default-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    )
    return response
