"""The command ``stepkeep``, in a clone: projects, and the schema of each database."""

import base64
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from dotenv import dotenv_values

from app.__main__ import main
from app.catalogue import read_catalogue
from app.settings import Settings
from app.store.migrations import head_revision
from app.web.factory import check_settings
from tests.conftest import SURVEYS

HEAD = head_revision()


def run(*arguments: str, url: str = "sqlite:////nowhere/at/all.db") -> Result:
    environment = {
        "DATABASE_URL": url,
        "STEPKEEP_SURVEYS_DIR": str(SURVEYS),
        "STEPKEEP_ENVIRONMENT": "development",
    }
    return CliRunner().invoke(main, arguments, prog_name="stepkeep", env=environment)


def does(*arguments: str, url: str) -> str:
    result = run(*arguments, url=url)
    assert result.exit_code == 0, result.output
    return result.output


def test_upgrade_creates_the_schema_which_then_passes_the_check(empty_url: str) -> None:
    """And says so; before, the check names the command to run."""
    missing = run("db", "check", url=empty_url)
    assert (missing.exit_code, "upgrade" in missing.stderr, len(missing.stderr.splitlines())) == (1, True, 1)
    assert does("db", "current", url=empty_url) == f"no schema (this release needs {HEAD})\n"
    assert does("db", "upgrade", url=empty_url) == f"The schema is at revision {HEAD}.\n"
    assert does("db", "current", url=empty_url) == f"{HEAD} (this release needs {HEAD})\n"
    assert "its tables are complete" in does("db", "check", url=empty_url)
    assert does("db", "upgrade", url=empty_url) == f"The schema is at revision {HEAD}.\n"


def test_reading_the_revision_creates_no_sqlite_file(tmp_path: Path) -> None:
    """A misspelled path would get an empty database."""
    url = f"sqlite:///{tmp_path / 's.db'}"
    assert "no schema" in does("db", "current", url=url)
    assert run("db", "check", url=url).exit_code == 1
    assert not (tmp_path / "s.db").exists()


def test_downgrade_that_would_lose_rows_is_refused_without_lossy(tmp_path: Path) -> None:
    """The chain of the audit log, in which the list is an entry. An upgrade goes forward again."""
    url = f"sqlite:///{tmp_path / 's.db'}"
    does("db", "upgrade", url=url)
    does("sessions", "list", url=url)
    refused = run("db", "downgrade", "0021", url=url)
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (1, 1), refused.output
    assert does("db", "downgrade", "0021", "--lossy", url=url) == "The schema is at revision 0021.\n"
    behind = run("db", "check", url=url)
    assert (behind.exit_code, "at revision 0021; this release needs" in behind.stderr) == (1, True)
    does("db", "upgrade", url=url)
    does("db", "check", url=url)


def test_stamp_corrects_the_recorded_revision(tmp_path: Path) -> None:
    """No table is changed."""
    url = f"sqlite:///{tmp_path / 's.db'}"
    does("db", "upgrade", url=url)
    does("db", "stamp", "0021", url=url)
    assert does("db", "current", url=url).startswith("0021 ")
    does("db", "stamp", HEAD, url=url)
    does("db", "check", url=url)


@pytest.mark.parametrize("arguments", [("downgrade", "0000"), ("stamp", "0000")])
def test_unknown_revision_is_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    does("db", "upgrade", url=url)
    result = run("db", *arguments, url=url)
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1), result.output


def test_unreachable_database_exits_with_4() -> None:
    """A retry may succeed."""
    result = run("db", "current", url="postgresql://u:geheim@127.0.0.1:1/x")
    assert (result.exit_code, "geheim" in result.output) == (4, False)


def test_operators_groups_are_those_of_flask(tmp_path: Path) -> None:
    """The list has them, and they run with the server's settings."""
    url = f"sqlite:///{tmp_path / 's.db'}"
    listed = run("--help").output
    assert all(f"\n  {name} " in listed for name in ("new", "serve", "db", "sessions", "backup", "webhooks"))
    result = run("sessions", "list", "--json", url=url)
    assert (result.exit_code, result.stdout) == (0, ""), result.output
    assert run("sesions", "list").exit_code == 2


def test_new_project_has_settings_that_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strong keys, which only the owner can read; a survey; a compose file with the same settings."""
    folder = tmp_path / "project"
    assert run("new", str(folder)).exit_code == 0
    values = dotenv_values(folder / ".env")
    assert (folder / ".env").stat().st_mode & 0o077 == 0
    assert len(base64.b64decode(values["STEPKEEP_ANSWERS_KEYS"] or "")) == 32
    for name in ("STEPKEEP_ENVIRONMENT", "STEPKEEP_SECRETS_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value or "")
    settings = Settings(surveys_dir=folder / "surveys")
    check_settings(settings)
    assert list(read_catalogue(settings).surveys) == ["phq9"]
    compose = yaml.safe_load((folder / "compose.yaml").read_text())
    assert compose["services"]["app"]["env_file"] == ".env"
    assert compose["services"]["app"]["environment"].keys() <= {"HOST", "DATABASE_URL"}
    assert ".env" in (folder / ".gitignore").read_text().splitlines()


def test_new_project_in_a_folder_with_files_is_refused(tmp_path: Path) -> None:
    """Nothing is written."""
    (tmp_path / "notes.txt").touch()
    result = run("new", str(tmp_path))
    assert (result.exit_code, "is not empty" in result.stderr) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
