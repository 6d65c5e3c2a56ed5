"""Every file that a command or the server creates can be read by its owner only, whatever the umask."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.files import OWNER_ONLY
from tests.cli.conftest import Serve
from tests.cli.shell import Operator, make_surveys
from tests.waiting import wait_for

COMMANDS = (
    ("sessions", "list"),
    ("demo", "fill", "--sessions", "9", "--days", "30", "--survey", "phq9"),
    ("backup", "create", "made/all.stepkeep"),
    *(("export", "phq9", "--format", kind, "--output", f"made/all.{kind}") for kind in ("csv", "xlsx", "jsonl")),
    ("report", "phq9", "--output", "made/report.html", "--csv", "made/report"),
    ("sessions", "export", "{user}", "--output", "made/one.json"),
    ("sessions", "erase", "{user}", "--yes"),
    ("sessions", "purge", "--yes", "--archive", "made/old.jsonl.gz"),
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield the folder of a machine with Debian's umask."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made").mkdir()
    before = os.umask(0o022)
    yield tmp_path
    os.umask(before)


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """Return the operator of a server without a database file."""
    return Operator(f"sqlite:///{tmp_path / 'sessions.db'}", make_surveys(tmp_path))


def modes(folder: Path) -> dict[str, str]:
    """Return the modes of all files in the folder but the surveys."""
    files = (path for path in folder.rglob("*") if path.is_file() and "surveys" not in path.parts)
    return {str(path.relative_to(folder)): oct(path.stat().st_mode & 0o777) for path in files}


def test_files_of_commands_are_private(operator: Operator, folder: Path) -> None:
    """The database, the journal, locks, backups, exports, reports and archives."""
    for command in COMMANDS:
        user = operator.does("sessions", "list", "--json").partition('"user_id": "')[2].partition('"')[0]
        operator.does(*(argument.format(user=user) for argument in command), STEPKEEP_RETENTION="1d")
    found = modes(folder)
    assert len([name for name in found if name.startswith("made/")]) > len(COMMANDS) - 2
    assert {"sessions.db", "sessions.db.erasures"} < found.keys()
    assert set(found.values()) == {oct(OWNER_ONLY)}, found


def test_files_of_the_server_are_private(operator: Operator, folder: Path, serve: Serve) -> None:
    """The database that it creates, its write-ahead log and its lock, while it runs."""
    serve(operator)
    wait_for((folder / "sessions.db-wal").exists, "no -wal")
    found = modes(folder)
    database = {name: mode for name, mode in found.items() if name.startswith("sessions.db")}
    assert {"sessions.db", "sessions.db-wal", "sessions.db-shm", "sessions.db.server-lock"} <= database.keys()
    assert set(database.values()) == {oct(OWNER_ONLY)}, found
