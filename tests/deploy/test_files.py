"""The deployment files are consistent: files that they name exist, and so do their settings."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import SECRETS_DIR, Settings, read_settings, variable_name
from tests.conftest import ROOT, skip_or_fail

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
UNIT = (ROOT / "deploy/systemd/stepkeep.service").read_text()
SETTINGS = set(map(variable_name, Settings.model_fields))


def make_secrets(folder: Path, site: str = "survey.example.org") -> None:
    subprocess.run([ROOT / "deploy/compose/make-secrets", site], cwd=folder, check=True, capture_output=True)


def test_image_has_the_files_that_the_server_loads() -> None:
    """Each copied file exists, and .dockerignore admits it."""
    admitted = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]
    ]
    assert {"app/", "alembic/", "wsgi.py", "surveys/", "gunicorn.conf.py"} <= set(copied)
    for name in copied:
        assert (ROOT / name).exists(), name
        assert name.rstrip("/") in admitted, name


def test_image_runs_unprivileged_with_a_health_check() -> None:
    """The health check does not restart the container while its database is unavailable."""
    final_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", final_stage, re.MULTILINE)
    assert "HEALTHCHECK" in final_stage
    assert "/healthz" in final_stage
    assert "SECRET_KEY" not in DOCKERFILE


def test_image_installs_lock_files_with_hashes() -> None:
    """The image installs the lock files of `make lock`."""
    lock_files = set(re.findall(r"requirements/[a-z-]+\.txt", DOCKERFILE))
    assert lock_files
    for name in lock_files:
        assert "--hash=sha256:" in (ROOT / name).read_text()
    assert "--require-hashes" in DOCKERFILE


def test_compose_file_has_only_known_settings() -> None:
    """Each environment variable of the services is a setting."""
    for name in ("app", "migrate"):
        assert set(COMPOSE["services"][name]["environment"]) <= SETTINGS | {SECRETS_DIR}


def test_metrics_in_compose_have_a_separate_file_system() -> None:
    """Metrics are memory maps: on a full file system a write ends the process (SIGBUS), and exports write to /tmp."""
    app = COMPOSE["services"]["app"]
    mounted = {mount.partition(":")[0]: mount.partition(":")[2] for mount in app["tmpfs"]}
    assert app["environment"]["STEPKEEP_METRICS_DIR"] in mounted
    assert app["environment"]["STEPKEEP_METRICS_DIR"] != "/tmp"
    assert "mode=1777" in mounted[app["environment"]["STEPKEEP_METRICS_DIR"]]


def test_database_in_compose_is_healthy_only_once_it_listens_on_tcp() -> None:
    """While the image initialises the database, it answers on the Unix socket only."""
    (_, command) = COMPOSE["services"]["postgres"]["healthcheck"]["test"]
    assert "--host=127.0.0.1" in command


def test_only_the_proxy_in_compose_has_ports() -> None:
    """Neither the database nor the server is reachable from outside."""
    assert [name for name, service in COMPOSE["services"].items() if "ports" in service] == ["caddy"]


def test_generated_secrets_are_read_as_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every secret of compose.yaml is generated, valid in production, and read from its file."""
    make_secrets(tmp_path)
    for secret in COMPOSE["secrets"].values():
        assert (tmp_path / secret["file"]).read_text()
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(SECRETS_DIR, str(tmp_path / "secrets"))
    monkeypatch.setenv("DATABASE_URL", COMPOSE["services"]["app"]["environment"]["DATABASE_URL"])
    settings = read_settings()
    password = (tmp_path / "secrets/postgres_password").read_text()
    assert settings.database_url == f"postgresql://stepkeep:{password}@postgres/stepkeep"
    assert len(settings.secret_key.get_secret_value()) >= 32
    assert settings.answers_keys.get_secret_value()
    assert "STEPKEEP_PUBLIC_URL=https://survey.example.org\n" in (tmp_path / "secrets/address.env").read_text()


def test_existing_secrets_are_kept(tmp_path: Path) -> None:
    """A second run changes no key, or answers would be lost."""
    make_secrets(tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "secrets").iterdir()}
    make_secrets(tmp_path, "other.example.org")
    assert {path.name: path.read_bytes() for path in (tmp_path / "secrets").iterdir()} == before


def test_directory_of_secrets_is_private(tmp_path: Path) -> None:
    """The containers' users must read the files, so only the directory keeps others out."""
    make_secrets(tmp_path)
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Every line is known to systemd; only the path of the program is replaced."""
    program = shutil.which("systemd-analyze")
    if program is None:
        skip_or_fail("systemd-analyze is not installed (Debian: apt install systemd)")
    unit = tmp_path / "stepkeep.service"
    unit.write_text(re.sub(r"(ExecStart|ExecReload)=/opt\S+", r"\1=/bin/true", UNIT))
    done = subprocess.run([program, "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
