"""Backups by the databases' own programs: made without a password in sight, looked at, and never half."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import BackupBroken, ConfigurationError, DatabaseUnavailable, InvalidInput
from app.operations.backup import native
from app.operations.backup.native import create_native
from app.operations.backup.restore import restore_backup
from app.operations.backup.verify import verify_backup
from app.store.engine import normalise_url
from tests.operations.backup.conftest import Opened, fill

NewUrl = Callable[[str], str]


def test_program_that_is_not_there_is_named_and_the_way_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A portable backup needs none."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for url, dump in (("postgresql://u@h/n", native._dump_postgresql), ("mysql://u@h/n", native._dump_mysql)):
        with pytest.raises(ConfigurationError, match="portable backup"):
            dump(normalise_url(url), tmp_path / "file")


@pytest.mark.skipif(shutil.which("mariadb-dump") is None, reason="no mariadb-dump (Debian: mariadb-client)")
def test_dump_of_mariadb_is_whole_or_refused_and_says_who_restores_it(
    new_url: NewUrl, opened: Opened, tmp_path: Path
) -> None:
    """One that was cut has not its last line."""
    store, file = opened(new_url("mysql")), tmp_path / "file"
    fill(store, 1)
    assert create_native(store, file).form == "mysql"
    assert file.stat().st_mode & 0o777 == 0o600
    assert verify_backup(file, store.cipher).rows == {}
    with pytest.raises(InvalidInput, match="mariadb NAME <"):
        restore_backup(store, file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BackupBroken, match="cut"):
        verify_backup(file, store.cipher)


@pytest.mark.parametrize("program", ["pg_dump", "mariadb-dump"])
def test_password_goes_past_the_command_line(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All users of a machine see command lines; and an error of the program is told, without a file left behind."""
    seen = tmp_path / "seen"
    stand_in = tmp_path / program
    stand_in.write_text(f'#!/bin/sh\necho "$@" > {seen}\necho it went wrong >&2\nexit 1\n')
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    is_pg = program == "pg_dump"
    url = normalise_url(f"{'postgresql' if is_pg else 'mysql'}://u:Kennwort@h/n")
    with pytest.raises(InvalidInput, match="it went wrong"):
        (native._dump_postgresql if is_pg else native._dump_mysql)(url, tmp_path / "file")
    assert "Kennwort" not in seen.read_text()
    assert "n" in seen.read_text()


def test_database_that_is_away_is_said_and_is_no_fault_of_the_file(
    new_url: NewUrl, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its program says only that it failed; so the database itself is asked."""
    store, file = opened(new_url("sqlite")), tmp_path / "file"

    def failing(*_: object) -> None:
        raise InvalidInput("pg_dump failed")

    def away(_: object) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(native, "_dump", failing)
    with pytest.raises(InvalidInput, match="pg_dump failed"):
        create_native(store, file)
    with monkeypatch.context() as patch, pytest.raises(DatabaseUnavailable):
        patch.setattr(store, "run_read", away)
        create_native(store, file)
    assert list(tmp_path.glob("*file*")) == []


def test_damaged_sqlite_file_is_found(new_url: NewUrl, opened: Opened, tmp_path: Path) -> None:
    """By SQLite's own look at each page."""
    store, file = opened(new_url("sqlite")), tmp_path / "file"
    fill(store)
    create_native(store, file)
    whole = bytearray(file.read_bytes())
    for place in range(4096, len(whole), 4096):
        whole[place : place + 8] = b"\xff" * 8
    file.write_bytes(whole)
    with pytest.raises(BackupBroken):
        verify_backup(file, store.cipher)
