"""The files that an operator copies hold together: what they name exists, and the settings in them are settings."""

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


def test_image_has_what_the_server_loads() -> None:
    """Each file that is copied exists, and the list of what may be sent to the builder lets it through."""
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]
    ]
    assert {"app/", "alembic/", "wsgi.py", "surveys/", "gunicorn.conf.py"} <= set(copied)
    for name in copied:
        assert (ROOT / name).exists(), name
        assert name.rstrip("/") in let_through, name


def test_image_runs_as_a_user_without_rights_and_says_how_it_is() -> None:
    """Not as root, with a check of its health that does not restart it while its database is away."""
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert "/healthz" in last
    assert "SECRET_KEY" not in DOCKERFILE


def test_image_installs_lock_files_by_their_hashes() -> None:
    """Those that `make lock` makes."""
    named = set(re.findall(r"requirements/[a-z-]+\.txt", DOCKERFILE))
    assert named
    for name in named:
        assert "--hash=sha256:" in (ROOT / name).read_text()
    assert "--require-hashes" in DOCKERFILE


def test_composed_services_have_settings_that_exist() -> None:
    """A setting that was renamed must be renamed here too."""
    for name in ("app", "migrate"):
        assert set(COMPOSE["services"][name]["environment"]) <= SETTINGS | {SECRETS_DIR}


def test_composed_metrics_have_a_place_that_nothing_else_fills() -> None:
    """They are memory maps: a write to a full file system would end the process (SIGBUS); exports write to /tmp."""
    app = COMPOSE["services"]["app"]
    mounted = {mount.partition(":")[0]: mount.partition(":")[2] for mount in app["tmpfs"]}
    assert app["environment"]["STEPKEEP_METRICS_DIR"] in mounted
    assert app["environment"]["STEPKEEP_METRICS_DIR"] != "/tmp"
    assert "mode=1777" in mounted[app["environment"]["STEPKEEP_METRICS_DIR"]]


def test_composed_database_is_healthy_only_once_it_listens() -> None:
    """By TCP: while the image prepares the database, it answers on the socket alone."""
    (_, command) = COMPOSE["services"]["postgres"]["healthcheck"]["test"]
    assert "--host=127.0.0.1" in command


def test_only_the_proxy_of_the_composed_services_can_be_reached() -> None:
    """Neither the database nor the server itself has a port outside."""
    assert [name for name, service in COMPOSE["services"].items() if "ports" in service] == ["caddy"]


def test_made_secrets_are_the_composed_services_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every secret that compose.yaml names is made, good enough for production, and read as it will be there."""
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


def test_secrets_that_are_there_stay(tmp_path: Path) -> None:
    """A second run, for another site by mistake, changes no key: answers would be lost for good."""
    make_secrets(tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "secrets").iterdir()}
    make_secrets(tmp_path, "other.example.org")
    assert {path.name: path.read_bytes() for path in (tmp_path / "secrets").iterdir()} == before


def test_folder_of_secrets_is_closed_to_others(tmp_path: Path) -> None:
    """The files in it are read by the containers' users, so the folder is what keeps others out."""
    make_secrets(tmp_path)
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0


def test_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    """Every line of it is known to systemd; only the program's place is another here."""
    program = shutil.which("systemd-analyze")
    if program is None:
        skip_or_fail("no systemd-analyze here (Debian: apt install systemd)")
    unit = tmp_path / "stepkeep.service"
    unit.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", UNIT))
    done = subprocess.run([program, "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
