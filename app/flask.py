"""Stepkeep in an existing Flask application (docs/flask.md).

A blueprint passes requests to ``create_app``'s application, whose error handlers, headers and limits are its own.
"""

import atexit
import os
import re
import threading
from collections.abc import Callable
from typing import Any, cast

from filelock import FileLock
from pydantic import SecretStr

from .core.installation import needs_extra
from .errors import ConfigurationError
from .sessions import SessionStore
from .settings import PREFIX, Settings, is_set, read_settings
from .store import database_url, server_lock
from .web import EXTENSION, HOST_USER, AppContext, HostLogin, check_settings, create_app

with needs_extra("server", "The Flask extension"):
    import flask

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

_PAGES = {
    "surveys": "/",
    "survey": "/s/<survey_id>",
    "dashboard": "/dashboard",
    "everything_else": "/<path:path>",
}
"""Rules by endpoint, for ``url_for``; all lead to the same view."""

CLOSING_S, DRAIN_S = 2.0, 2.0
"""When the process ends: for open connections to save their drafts, then for commands that are not committed yet."""


class Stepkeep:
    """A Flask extension that mounts Stepkeep under a prefix. Can be used for several applications.

    Settings are read from the application's configuration, then from the environment.

    Args:
        app: without it, call :meth:`init_app`.
        participant: returns the id of the request's user, None if nobody is signed in. Without it, participants are
            anonymous or invited.
        dashboard: returns whether the request's user may see and change all sessions; without it, an API key does.
        login_url: returns where users who are not signed in are sent; without it, they see an error page.
        name: of ``blueprint``, for ``url_for("stepkeep.survey", survey_id="intake")``.
    """

    def __init__(
        self,
        app: flask.Flask | None = None,
        *,
        url_prefix: str = "/surveys",
        participant: Callable[[], object] | None = None,
        dashboard: Callable[[], bool] | None = None,
        login_url: Callable[[], str] | None = None,
        name: str = "stepkeep",
    ) -> None:
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", url_prefix):
            raise ConfigurationError(f"url_prefix must be a path such as /surveys, not {url_prefix!r}.")
        self._prefix, self._name = url_prefix, name
        self._login = HostLogin(participant=participant, dashboard=dashboard, login_url=login_url)
        self.blueprint = flask.Blueprint(name, __name__, url_prefix=url_prefix)
        for endpoint, rule in _PAGES.items():
            self._add_rule(rule, endpoint, methods=_METHODS)
        self._add_rule("/ws/<path:path>", "socket", websocket=True)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Mount Stepkeep, or raise ConfigurationError. The first request, or :meth:`open`, opens the database."""
        settings = _read_settings(app)
        check_settings(settings, is_mounted=True)
        app.extensions[self._name] = _Mounted(settings, self._login)
        app.register_blueprint(self.blueprint)

    def open(self, app: flask.Flask | None = None) -> None:
        """Open the database, and start webhooks and maintenance, but not before a fork; raise ConfigurationError."""
        _ = self._mounted(app).app

    def close(self, app: flask.Flask | None = None) -> None:
        """Let open connections save their drafts, and close the database; also done when the process ends."""
        self._mounted(app).close()

    @property
    def store(self) -> SessionStore:
        """The current application's sessions."""
        return self._mounted().context.store

    def _mounted(self, app: flask.Flask | None = None) -> "_Mounted":
        mounted: _Mounted | None = (app or flask.current_app).extensions.get(self._name)
        if mounted is None:
            raise RuntimeError(f"Stepkeep {self._name!r} is not mounted on this application. Call init_app(app) first.")
        return mounted

    def _add_rule(self, rule: str, endpoint: str, **options: Any) -> None:  # noqa: ANN401 - Flask's options
        self.blueprint.add_url_rule(rule, endpoint, self._respond, provide_automatic_options=False, **options)

    def _respond(self, **_values: str) -> flask.Response:
        environ = dict(flask.request.environ)
        path = environ["PATH_INFO"][len(self._prefix) :]
        environ |= {
            "SCRIPT_NAME": environ.get("SCRIPT_NAME", "").rstrip("/") + self._prefix,
            "PATH_INFO": path,
            HOST_USER: self._login.user(path),
        }
        environ.pop("werkzeug.debug.preserve_context", None)  # a test client's, for the host's context
        try:
            response = cast("flask.Response", _Response.from_app(self._mounted().app.wsgi_app, environ))
        except StopIteration:  # flask-sock's way to tell gunicorn that the socket has been taken
            return _TakenOver()
        response.direct_passthrough = True
        return response


class _Response(flask.Response):
    default_mimetype = None
    automatically_set_content_length = False


class _TakenOver(flask.Response):
    def __call__(self, *_arguments: object) -> Any:  # noqa: ANN401 - nothing is returned
        raise StopIteration


class _Mounted:
    """Stepkeep's application within a host's. Thread-safe."""

    def __init__(self, settings: Settings, login: HostLogin) -> None:
        self.settings = settings
        self._login = login
        self._mutex = threading.Lock()
        self._app: flask.Flask | None = None
        self._file_lock: FileLock | None = None
        self._pid = 0

    @property
    def app(self) -> flask.Flask:
        with self._mutex:
            if self._app is None:
                lock = server_lock(database_url(self.settings), is_shared=True)
                try:
                    self._app = create_app(self.settings, login=self._login)
                except BaseException:
                    _release(lock)
                    raise
                self._file_lock, self._pid = lock, os.getpid()
                atexit.register(self.close)
            return self._app

    @property
    def context(self) -> AppContext:
        context: AppContext = self.app.extensions[EXTENSION]
        return context

    def close(self) -> None:
        atexit.unregister(self.close)
        with self._mutex:
            app, self._app = self._app, None
            lock, self._file_lock = self._file_lock, None
        if app is None or self._pid != os.getpid():
            return
        context: AppContext = app.extensions[EXTENSION]
        context.connections.stopping = True
        context.connections.wait_until_closed(CLOSING_S)
        context.store.drain(DRAIN_S)
        context.store.close()
        _release(lock)


def _release(lock: FileLock | None) -> None:
    if lock is not None:
        lock.release()


def _read_settings(app: flask.Flask) -> Settings:
    configured = {name: app.config.get(f"{PREFIX}{name}".upper()) for name in Settings.model_fields}
    values = {name: value for name, value in configured.items() if value is not None}
    is_given = "secret_key_fallbacks" in values or is_set("secret_key_fallbacks")
    fallbacks = [] if is_given else [_text(key) for key in app.config.get("SECRET_KEY_FALLBACKS") or []]
    if any("," in key or key != key.strip() for key in fallbacks):
        raise ConfigurationError(
            "A key of SECRET_KEY_FALLBACKS has a comma, or spaces around it, which STEPKEEP_SECRET_KEY_FALLBACKS can't "
            "hold. Remove it, or set STEPKEEP_SECRET_KEY_FALLBACKS to the keys that Stepkeep is to accept."
        )
    defaults = {
        "database_url": f"sqlite:///{app.instance_path}/stepkeep.db",
        "redis_url": None,
        "secret_key": SecretStr(_text(app.secret_key or "")),
        "secret_key_fallbacks": SecretStr(",".join(fallbacks)),
        "environment": "development" if app.debug else "production",
    }
    settings = read_settings(**{name: value for name, value in defaults.items() if not is_set(name)} | values)
    if settings.database_url == defaults["database_url"]:
        os.makedirs(app.instance_path, exist_ok=True)  # noqa: PTH103 - Flask's text
    if "web_concurrency" in values or is_set("web_concurrency"):
        return settings
    # The host's server may have any number of processes; only a SQLite file is kept to one.
    is_one = database_url(settings).get_backend_name() == "sqlite"
    return settings.model_copy(update={"web_concurrency": 1 if is_one else 2})


def _text(key: str | bytes) -> str:
    return key if isinstance(key, str) else key.decode("latin-1")
