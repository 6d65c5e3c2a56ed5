"""``stepkeep new``: the files of a new project."""

import base64
import secrets
from pathlib import Path

from . import __version__
from .errors import InvalidInput

_PACKAGE = Path(__file__).resolve().parent

_ENV = """\
# Settings of this project; `stepkeep` reads this file in its folder, and compose.yaml passes it to the container.
# Every setting: docs/operations.md. Variables of the environment take precedence.

# Signs participants' tokens and the audit log. Keep it secret, and keep it.
SECRET_KEY={secret_key}

# Encrypts answers at rest. Without it nobody can read them: store a copy apart from backups of the database.
STEPKEEP_ANSWERS_KEYS={answers_key}

# SQLite in this folder. For another database: pip install 'stepkeep[postgresql]', and postgresql://user@host/name
DATABASE_URL=sqlite:///survey_sessions.db

# For participants on other devices: the address of the proxy that terminates TLS, and the number of proxies.
# Without them, `stepkeep serve` runs in development mode: no authentication, and only this machine is served.
#STEPKEEP_PUBLIC_URL=https://survey.example.org
#STEPKEEP_PROXIES=1
"""

_COMPOSE = """\
# The server in a container, with SQLite in a volume, for a proxy on this machine that terminates TLS. First set
# STEPKEEP_PUBLIC_URL and STEPKEEP_PROXIES in .env, then: docker compose up --detach --build

services:
  app:
    build:
      args:
        # Or a wheel in this folder: /src/stepkeep-{version}-py3-none-any.whl[server]
        PACKAGE: "stepkeep[server]=={version}"
      dockerfile_inline: |
        FROM python:3.13-slim
        ARG PACKAGE
        RUN --mount=type=bind,target=/src pip install --no-cache-dir "$PACKAGE"
        RUN useradd --uid 10001 --no-create-home stepkeep && install --directory --owner=10001 --mode=0700 /data
        WORKDIR /srv/stepkeep
        USER 10001
        CMD ["stepkeep", "serve"]
    init: true
    restart: unless-stopped
    stop_grace_period: 30s
    env_file: .env
    environment:
      HOST: 0.0.0.0
      DATABASE_URL: sqlite:////data/survey_sessions.db
    ports: ["127.0.0.1:8000:8000"]
    volumes: ["data:/data", "./surveys:/srv/stepkeep/surveys:ro"]

volumes:
  data:
"""

_GITIGNORE = """\
.env
*.db*
*.erasures*
"""


def create_project(folder: Path) -> None:
    """Write a project: a survey, settings with new keys, and a compose file.

    Raises:
        InvalidInput: the folder isn't empty, or can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InvalidInput(f"{folder} is not empty; choose another folder")
        settings = _ENV.format(
            secret_key=secrets.token_urlsafe(32), answers_key=base64.b64encode(secrets.token_bytes(32)).decode()
        )
        environment = folder / ".env"
        environment.touch(0o600)
        environment.write_text(settings)
        (folder / "compose.yaml").write_text(_COMPOSE.format(version=__version__))
        (folder / ".gitignore").write_text(_GITIGNORE)
        (folder / "surveys").mkdir()
        (folder / "surveys" / "phq9.yaml").write_bytes((_example_surveys() / "phq9.yaml").read_bytes())
    except OSError as error:
        raise InvalidInput(f"{error.filename or folder} can't be written: {error.strerror}") from error


def _example_surveys() -> Path:
    """Return the folder of the example surveys, in the wheel or in the clone."""
    inside = _PACKAGE / "surveys"
    return inside if inside.is_dir() else _PACKAGE.parent / "surveys"
