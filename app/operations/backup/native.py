"""Backups in a database's own form, by its own program: quick, and only for the same kind of database.

SQLite's is a whole SQLite file, which ``flask backup restore`` takes too, into any database. Those of ``pg_dump`` and
``mariadb-dump`` are restored by ``pg_restore`` and ``mariadb``.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import URL, select
from sqlalchemy.exc import DBAPIError

from ...core.files import create_file
from ...errors import BackupBroken, ConfigurationError, DatabaseUnavailable, InvalidInput
from ...sessions.service import SessionStore
from ...store.drivers import sqlite
from ...store.engine import normalise_url
from .create import Created

_SQLITE = b"SQLite format 3\x00"
_PG_DUMP = b"PGDMP"
_HEAD_BYTES = 4096
_DUMPS = (b"-- MariaDB dump", b"-- MySQL dump")
_DUMP_ENDS = b"-- Dump completed"

_LIBPQ = {"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY"}


def create_native(store: SessionStore, path: Path) -> Created:
    """Return what was written: the database in its own form, as it was at one moment; looked at once more.

    Raises:
        ConfigurationError: the database's program is not there.
        DatabaseUnavailable: the database is away.
        InvalidInput: there is such a file, it can't be written, or the program failed.
    """
    url = normalise_url(store.settings.database_url)
    with create_file(path) as unfinished:
        try:
            _dump(url, unfinished)
        except InvalidInput:
            store.run_read(lambda connection: connection.execute(select(1)))  # one that is away is the cause
            raise
        kind = kind_of(unfinished)
        if kind != "sqlite":  # which was looked at as it was made
            verify(unfinished, kind)
    return Created(path=path, form=kind, size_bytes=path.stat().st_size, rows={})


def _dump(url: URL, path: Path) -> None:
    match url.get_backend_name():
        case "sqlite":
            _copy_sqlite(url, path)
        case "postgresql":
            _dump_postgresql(url, path)
        case _:
            _dump_mysql(url, path)


def kind_of(path: Path) -> str:
    """Return whose form a file has: ``sqlite``, ``postgresql`` or ``mysql``.

    Raises:
        BackupBroken: of none.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(_SQLITE):
        return "sqlite"
    if head.startswith(_PG_DUMP):
        return "postgresql"
    if any(begins in head for begins in _DUMPS):
        return "mysql"
    raise BackupBroken("it is neither a portable backup nor one of SQLite, pg_dump or mariadb-dump")


def verify(path: Path, kind: str) -> str:
    """Return what was looked at in a dump, in words.

    Raises:
        BackupBroken: it is not whole.
    """
    if kind == "postgresql":
        program = shutil.which("pg_restore")
        if program is None:
            return "its first bytes only: pg_restore is not there"
        done = _run([program, f"--file={os.devnull}", str(path)], {})
        if done.returncode:
            raise BackupBroken(f"pg_restore can't read it: {_said(done)}")
        return "all that pg_restore reads; not its rows"
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _HEAD_BYTES))
        if _DUMP_ENDS not in file.read():
            raise BackupBroken(f"it has no {_DUMP_ENDS.decode()!r} at its end: it is cut")
    return "its beginning and its end; not its rows"


def how_to_restore(path: Path, kind: str) -> str:
    """Return what to do with a dump that another program restores."""
    if kind == "postgresql":
        how = f"`pg_restore --clean --if-exists --single-transaction --no-owner --dbname=NAME {path}`"
    else:
        how = f"`mariadb NAME < {path}`, into an empty database"
    return f"{path} has the database's own form: stop the servers, restore it with {how}, and start them again"


def check_sqlite(path: Path) -> None:
    """Return if a SQLite file is whole.

    Raises:
        BackupBroken: it is not.
    """
    module = sqlite.driver()
    try:
        with closing(module.connect(f"file:{_quoted(path)}?mode=ro", uri=True)) as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()
            orphans = connection.execute("PRAGMA foreign_key_check").fetchone()
    except module.Error as error:
        raise BackupBroken(f"SQLite can't read it ({type(error).__name__})") from error
    if found != ("ok",):
        raise BackupBroken("SQLite's integrity_check finds it damaged")
    if orphans is not None:
        raise BackupBroken(f"rows of {orphans[0]} are without the row that they belong to")


def _copy_sqlite(url: URL, path: Path) -> None:
    """Copy the file through SQLite's online backup: in one step, since one in parts begins anew at each commit."""
    module = sqlite.driver()
    source = sqlite.reader_engine(url, 1, 0)
    try:
        with source.connect() as connection, closing(module.connect(path)) as target:
            raw = connection.connection.driver_connection
            assert raw is not None  # noqa: S101 - it is open
            raw.backup(target, pages=-1)
            target.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
    except (module.Error, DBAPIError) as error:
        raise DatabaseUnavailable(f"{type(error).__name__} while SQLite copied the file") from error
    finally:
        source.dispose()
    check_sqlite(path)


def _dump_postgresql(url: URL, path: Path) -> None:
    given = {
        "PGHOST": url.host,
        "PGPORT": None if url.port is None else str(url.port),
        "PGUSER": url.username,
        "PGPASSWORD": None if url.password is None else str(url.password),
        **{name: _text(url.query.get(option)) for option, name in _LIBPQ.items()},
    }
    environment = {name: value for name, value in given.items() if value is not None}
    command = [_program("pg_dump"), "--format=custom", "--no-password", f"--file={path}", f"--dbname={url.database}"]
    _told(_run(command, environment))


def _dump_mysql(url: URL, path: Path) -> None:
    program = _program("mariadb-dump", "mysqldump")
    with _defaults(url) as defaults:
        options = ("--single-transaction", "--quick", "--hex-blob", "--default-character-set=utf8mb4")
        _told(_run([program, f"--defaults-extra-file={defaults}", *options, f"--result-file={path}", _name(url)], {}))


@contextmanager
def _defaults(url: URL) -> Iterator[str]:
    """Give a file, mode 0600, that tells MariaDB's programs how to connect: a command line can be seen by all."""
    given = {"host": url.host, "port": url.port, "user": url.username, "password": url.password}
    socket = url.query.get("unix_socket")
    lines = [
        f"{name}={_option(str(value))}" for name, value in {**given, "socket": socket}.items() if value is not None
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".cnf") as file:
        file.write("\n".join(["[client]", *lines, ""]))
        file.flush()
        yield file.name


def _option(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _program(*names: str) -> str:
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise ConfigurationError(
            f"{names[0]} is not there: install the database's client programs, or make a portable backup (without "
            "--native), which needs none"
        )
    return found


def _run(command: Sequence[str], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(  # noqa: S603 - the database's own programs, without a shell
        command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )


def _told(done: "subprocess.CompletedProcess[bytes]") -> None:
    if done.returncode:
        name = Path(done.args[0]).name
        raise InvalidInput(f"{name} failed: {_said(done)}; a portable backup (without --native) does without it")


def _said(done: "subprocess.CompletedProcess[bytes]") -> str:
    return " ".join(done.stderr.decode(errors="replace").split())[:300]


def _name(url: URL) -> str:
    return url.database or ""


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
