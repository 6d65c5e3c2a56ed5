"""``python -m app.serve``, which is ``make run``: look at everything once, then become gunicorn.

So that a port that is taken, a database that can't be opened or a wrong survey file is one clear line,
and not a worker that dies again and again.
"""

import os
import socket
import sys

from .errors import ConfigurationError
from .sessions.service import open_store
from .settings import Settings, is_loopback, read_settings
from .store import normalise_url, server_lock
from .web.signing_secrets import signing_secrets


def main() -> None:
    """Serve, or end with exit code 1 and one line that says why not."""
    try:
        settings = _meant(read_settings())
        signing_secrets(settings)
        _check_port(settings)
        lock = server_lock(normalise_url(settings.database_url))
        store = open_store(settings)
        store.close()
        if lock is not None:
            lock.release()
    except ConfigurationError as error:
        sys.exit(f"stepkeep: {error.message}")
    surveys = ", ".join(store.catalogue.surveys) or f"none: put survey files into {settings.surveys_dir}"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = settings.public_url or f"http://{host}:{settings.port}"
    print(f"Stepkeep is on {address} - open it in a browser. Surveys: {surveys}.")  # noqa: T201
    if settings.environment == "development":
        print("Development mode: nobody is asked for credentials, and only this machine is served.")  # noqa: T201
    print("Ctrl-C stops it; what was answered is kept.", flush=True)  # noqa: T201
    os.environ["STEPKEEP_ENVIRONMENT"] = settings.environment
    os.execv(  # noqa: S606 - this very Python
        sys.executable, [sys.executable, "-m", "gunicorn", "--config", "gunicorn.conf.py", "wsgi:app"]
    )


def _meant(settings: Settings) -> Settings:
    """Return the settings, in development where only this machine can get in and nothing else was said.

    Raises:
        ConfigurationError: others could get in without credentials.
    """
    if is_loopback(settings.host):
        # Who names the public address, or a proxy, means others to come.
        is_said = not settings.model_fields_set.isdisjoint({"environment", "public_url", "proxies"})
        return settings if is_said else settings.model_copy(update={"environment": "development"})
    if "environment" in settings.model_fields_set and settings.environment == "development":
        raise ConfigurationError(
            f"development mode has no authentication, so HOST={settings.host} is refused: leave HOST out, "
            "or serve others with STEPKEEP_ENVIRONMENT=production and a SECRET_KEY"
        )
    if not settings.secret_key.get_secret_value():
        raise ConfigurationError(
            f"HOST={settings.host} can be reached from other machines, where credentials are needed: set SECRET_KEY "
            'to what this prints: python3 -c "import secrets; print(secrets.token_urlsafe(32))"; or leave HOST out'
        )
    return settings


def _check_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((settings.host, settings.port))
        except OSError as error:
            raise ConfigurationError(
                f"can't listen on {settings.host} port {settings.port}: {error.strerror}; "
                "choose another with PORT=8001 (or HOST=...)"
            ) from error


if __name__ == "__main__":
    main()
