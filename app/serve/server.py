"""Check the configuration once, then become gunicorn: an error is one line, not a worker that restarts for ever."""

import os
import socket
import sys

import flask

from ..core.commands import exit_code
from ..core.formats import is_loopback
from ..errors import ConfigurationError
from ..sessions import check_store, open_store
from ..settings import Settings, read_settings
from ..store import database_url, server_lock
from ..web import check_settings, create_app

_FLASK_OPTIONS = frozenset({"-A", "--app", "-e", "--env-file"})
"""Options of ``flask`` with a value."""


def serve() -> None:
    """Become the server, or exit with code 1 and one line."""
    try:
        settings = effective_settings(read_settings())
        check_settings(settings)
        _check_port(settings)
        lock = server_lock(database_url(settings))
        store = open_store(settings)
        store.close()
        if lock is not None:
            lock.release()
    except ConfigurationError as error:
        sys.exit(f"stepkeep: {error.message}")
    surveys = ", ".join(store.catalogue.surveys) or f"none; add survey files to {settings.surveys_dir}"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = settings.public_url or f"http://{host}:{settings.port}"
    print(f"Stepkeep is on {address} - open it in a browser. Surveys: {surveys}.")  # noqa: T201 - the operator's terminal
    if settings.environment == "development":
        print("Development mode: no authentication, and only this machine is served.")  # noqa: T201 - the operator's terminal
    print("Press Ctrl-C to stop; all answers are kept.", flush=True)  # noqa: T201 - the operator's terminal
    os.environ["STEPKEEP_ENVIRONMENT"] = settings.environment
    os.execv(  # noqa: S606 - the running Python
        sys.executable,
        [
            *(sys.executable, "-m", "gunicorn", "--config", f"python:{__package__}.gunicorn_config"),
            f"{__package__}.server:load_application()",
        ],
    )


def load_application() -> flask.Flask:
    """Return the application for gunicorn, or with the operator's commands for ``flask``; or exit with one line."""
    is_command = os.environ.get("FLASK_RUN_FROM_CLI") == "true"
    try:
        app = flask.Flask(__name__) if is_command and _is_for_authors(sys.argv[1:]) else create_app()
    except ConfigurationError as error:
        print(f"stepkeep: {error.message}", file=sys.stderr)  # noqa: T201 - the log is not configured yet
        if not is_command:  # exit codes 3 and 4 of a worker have a meaning for gunicorn, which would stop
            sys.exit(1)
        sys.exit(exit_code(error))
    if is_command:
        from ..cli import register  # noqa: PLC0415 - a server starts sooner without the commands

        register(app)
    return app


def _is_for_authors(arguments: list[str]) -> bool:
    """The commands of ``surveys`` need no database and no valid survey."""
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            return word == "surveys"
        if word in _FLASK_OPTIONS:
            next(words, None)
    return False


def check() -> None:
    """Check settings, surveys and database for a server that is to replace a running one; change nothing."""
    try:
        settings = effective_settings(read_settings())
        check_settings(settings)
        check_store(settings)
    except ConfigurationError as error:
        sys.exit(f"stepkeep: {error.message}")


def effective_settings(settings: Settings) -> Settings:
    """Return the settings, in development mode if only this machine can connect and none says otherwise.

    Raises:
        ConfigurationError: other machines could connect without authentication.
    """
    if is_loopback(settings.host):
        # With a public URL or a proxy, others connect through this machine.
        is_explicit = not settings.model_fields_set.isdisjoint({"environment", "public_url", "proxies"})
        return settings if is_explicit else settings.model_copy(update={"environment": "development"})
    if "environment" in settings.model_fields_set and settings.environment == "development":
        raise ConfigurationError(
            f"Development mode has no authentication, so HOST={settings.host} is refused. Remove HOST, "
            "or set STEPKEEP_ENVIRONMENT=production and a SECRET_KEY."
        )
    if not settings.secret_key.get_secret_value():
        raise ConfigurationError(
            f"Other machines can connect to HOST={settings.host}, which requires authentication. Set SECRET_KEY to the "
            'output of: python3 -c "import secrets; print(secrets.token_urlsafe(32))"; or remove HOST.'
        )
    return settings


def _check_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise ConfigurationError(
                f"Can't listen on {settings.host} port {settings.port}: {error.strerror}. "
                "Choose another port, such as PORT=8001, or another HOST."
            ) from error
