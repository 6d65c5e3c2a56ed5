"""What a database lacks is said in one line when a server or command starts, with what to do."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.config import main as alembic_main
from sqlalchemy import text

from app.errors import ConfigurationError, DatabaseUnreachable
from app.sessions.service import open_store
from app.settings import Settings
from app.store import requirements
from app.store.drivers import sqlite
from app.store.engine import migration_engine, normalise_url
from app.store.migrations import upgrade_schema
from app.store.requirements import Requirement
from tests.conftest import ROOT, SURVEYS, Servers
from tests.databases import Databases, create_sqlite
from tests.migrations.sample import alembic, execute
from tests.programs import run_here
from tests.waiting import free_port, wait_for
from tests.web.http_client import run_server


def problem_of(url: str) -> str:
    """Return why a server does not start on the database; a line, without a password or advice to send again."""
    with pytest.raises(ConfigurationError) as caught:
        open_store(Settings(database_url=url, surveys_dir=SURVEYS))
    message = str(caught.value)
    assert "\n" not in message
    assert "Send the same command again" not in message
    assert "geheim" not in message
    return message


@pytest.fixture
def postgresql(servers: Servers) -> Databases:
    return servers("postgresql")


@pytest.fixture
def mysql(servers: Servers) -> Databases:
    return servers("mysql")


@pytest.fixture
def postgresql_url(postgresql: Databases) -> Iterator[str]:
    url = postgresql.create_migrated()
    yield url
    postgresql.drop_database(url)


@pytest.fixture
def mysql_url(mysql: Databases) -> Iterator[str]:
    url = mysql.create_migrated()
    yield url
    mysql.drop_database(url)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_postgresql_with_another_encoding_is_refused_before_tables_are_created(
    postgresql: Databases, encoding: str
) -> None:
    """At start, and by the upgrade."""
    name = f"stepkeep_{encoding.lower()}"
    postgresql._run(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    url = postgresql._url_of(name)
    try:
        assert f"its encoding is {encoding}" in problem_of(url)
        with pytest.raises(ConfigurationError, match=f"its encoding is {encoding}.*pg_dump"):
            upgrade_schema(normalise_url(url))
    finally:
        postgresql.drop_database(url)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("default_transaction_read_only = on", "it is read-only (a standby"),
        ("synchronous_commit = off", "synchronous_commit is off, so a crash would lose acknowledged answers"),
    ],
)
def test_postgresql_that_would_lose_or_refuse_answers_is_refused(
    postgresql: Databases, postgresql_url: str, setting: str, words: str
) -> None:
    """A hot standby shows the same setting as a read-only database."""
    name = normalise_url(postgresql_url).database
    postgresql._run(f"ALTER DATABASE {name} SET {setting}")
    assert words in problem_of(postgresql_url)


def test_read_only_postgresql_is_not_listened_to(postgresql: Databases, postgresql_url: str) -> None:
    """A hot standby refuses LISTEN: a command that reads would warn about notifications that it needs not."""
    postgresql._run(f"ALTER DATABASE {normalise_url(postgresql_url).database} SET default_transaction_read_only = on")
    settings = Settings(database_url=postgresql_url, surveys_dir=SURVEYS)
    with closing(open_store(settings, accepts_read_only=True)) as store:
        store.start_background()
        assert "stepkeep-notifications" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"database": "absent"}, 'database "absent" does not exist.*Create it, or correct its name in DATABASE_URL'),
        ({"username": "absent"}, 'role "absent" does not exist.*Create it, or correct its name in DATABASE_URL'),
    ],
)
def test_database_or_account_that_does_not_exist_is_no_matter_of_the_schema(
    postgresql_url: str, part: dict[str, str], words: str
) -> None:
    url = normalise_url(postgresql_url).set(**part).render_as_string(hide_password=False)  # type: ignore[arg-type]
    assert re.search(words, problem_of(url))


def test_pooler_that_shares_sessions_is_refused(postgresql_url: str) -> None:
    """Two connections with the same backend process."""
    execute(postgresql_url, "CREATE FUNCTION public.pg_backend_pid() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    shared = f"{postgresql_url}?options=-csearch_path%3Dpublic,pg_catalog"
    message = problem_of(shared)
    assert "PgBouncer" in message
    assert "pool_mode" in message


@pytest.mark.parametrize("mode", ["session", "transaction"])
@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="PgBouncer was not found (Debian: apt install pgbouncer)")
@pytest.mark.long
def test_pgbouncer_is_used_in_session_mode_and_refused_in_transaction_mode(postgresql_url: str, mode: str) -> None:
    """Without ignore_startup_parameters."""
    url = normalise_url(postgresql_url)
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="stepkeep-pooler-"))
    folder.chmod(0o755)
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "ini").write_text(
        f"[databases]\n{url.database} = host={url.host} port={url.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {folder / 'users'}\npool_mode = {mode}\n"
    )
    options = {"user": "nobody"} if os.geteuid() == 0 else {}
    pooler = subprocess.Popen(["pgbouncer", str(folder / "ini")], stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]
    try:
        assert pooler.stderr is not None
        wait_for(lambda: "process up" in pooler.stderr.readline(), "PgBouncer does not start")
        behind = url.set(port=port).render_as_string(hide_password=False)
        if mode == "transaction":
            assert "pool_mode" in problem_of(behind)
            return
        store = open_store(Settings(database_url=behind, surveys_dir=SURVEYS))
        with store.queries.engine.connect() as connection:
            assert connection.scalar(text("SHOW timezone")) == "UTC"
        store.close()
    finally:
        pooler.kill()
        pooler.communicate()
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_account_that_may_only_read_is_refused(servers: Servers, kind: str) -> None:
    """Every permission is tried, and nothing is changed."""
    url = servers(kind).create_migrated()
    if kind == "postgresql":
        execute(url, "DROP ROLE IF EXISTS reader;\nCREATE ROLE reader LOGIN PASSWORD 'geheim'")
        execute(url, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    else:
        database = normalise_url(url).database
        execute(url, "CREATE OR REPLACE USER reader@'127.0.0.1' IDENTIFIED BY 'geheim'")
        execute(url, f"GRANT SELECT ON {database}.* TO reader@'127.0.0.1'")
    account = normalise_url(url).set(username="reader", password="geheim").render_as_string(hide_password=False)
    message = problem_of(account)
    if kind == "postgresql":
        execute(url, "GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO reader")
        assert "permission denied" in problem_of(account)  # DELETE is missing
        execute(url, "DROP OWNED BY reader;\nDROP ROLE reader")
    else:
        execute(url, "DROP USER reader@'127.0.0.1'")
    servers(kind).drop_database(url)
    assert "Grant SELECT, INSERT, UPDATE and DELETE on its tables to the account" in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("ALTER TABLE webhooks DROP COLUMN url", "alembic stamp --purge"),
        ("ALTER TABLE leases ENGINE=Aria", "the table leases uses the engine Aria.*ALTER TABLE leases ENGINE=InnoDB"),
        (
            "ALTER TABLE leases MODIFY holder VARCHAR(64) CHARACTER SET latin1 NOT NULL",
            "holder of the table leases has the collation latin1.*MODIFY holder VARCHAR.*utf8mb4_nopad_bin NOT NULL`",
        ),
        (
            "ALTER TABLE leases MODIFY name VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL",
            "name of the table leases has the collation utf8mb4_general_ci",
        ),
    ],
)
def test_mariadb_table_that_was_changed_is_refused_with_the_statement_that_repairs_it(
    mysql_url: str, change: str, words: str
) -> None:
    """The statement in the message is accepted, and the server starts then."""
    execute(mysql_url, change)
    message = problem_of(mysql_url)
    assert re.search(words, message)
    repair = re.search(r"`(ALTER TABLE [^`]*)`", message)
    if repair is not None:
        execute(mysql_url, repair.group(1))
        open_store(Settings(database_url=mysql_url, surveys_dir=SURVEYS)).close()


def test_session_settings_that_were_dropped_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each requirement reports what it found."""
    engine = migration_engine(normalise_url(create_sqlite(tmp_path / "a.db")))
    changed = {"sqlite": (Requirement("PRAGMA synchronous", "3", requirements._DROPPED),)}
    monkeypatch.setattr(requirements, "_REQUIREMENTS", changed)
    with pytest.raises(ConfigurationError, match="2 instead of this server's setting"):
        requirements.check_requirements(engine)
    monkeypatch.setattr(sqlite, "has_wal_reset_bug", lambda _version: True)
    with pytest.raises(ConfigurationError, match="its journal mode is wal"):
        requirements.check_requirements(engine)
    engine.dispose()


def damage(file: Path) -> None:
    file.write_bytes(b"not a database at all, but long enough to be read" * 100)


def damage_later(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    file.write_bytes(content)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "two rows": (
        lambda file: execute(f"sqlite:///{file}", "INSERT INTO alembic_version VALUES ('0003')"),
        r"alembic_version has 2 rows \(0003, 00\d\d\).*alembic stamp --purge REVISION",
    ),
    "stamped too low": (
        lambda file: execute(f"sqlite:///{file}", "UPDATE alembic_version SET version_num = '0001'"),
        "alembic_version says 0001, but the tables are newer; nothing was changed.*alembic stamp --purge REVISION",
    ),
    "no stamp": (
        lambda file: execute(f"sqlite:///{file}", "DELETE FROM alembic_version"),
        "alembic_version says nothing, but the tables are newer; nothing was changed",
    ),
    "stamped too high": (
        lambda file: execute(f"sqlite:///{file}", "DROP TABLE audit_log"),
        "no such table.*not those of the revision in alembic_version.*alembic stamp --purge REVISION",
    ),
    "unknown stamp": (
        lambda file: execute(f"sqlite:///{file}", "UPDATE alembic_version SET version_num = '9999'"),
        "was upgraded by a newer release",
    ),
    "no database": (damage, "file is not a database.*flask backup restore FILE"),
    "damaged": (damage_later, "malformed.*flask backup restore FILE"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_lasting_fault_of_a_sqlite_file_is_one_line_with_the_command_to_run(tmp_path: Path, fault: str) -> None:
    """For a server and for a command: no traceback, and no advice to send the same command again."""
    file = tmp_path / "s.db"
    create_sqlite(file)
    make, words = FAULTS[fault]
    make(file)
    assert re.search(words, problem_of(f"sqlite:///{file}"))
    if fault == "no stamp":  # the command that it names repairs it
        alembic(f"sqlite:///{file}", "stamp", "--purge", "head")
        open_store(Settings(database_url=f"sqlite:///{file}", surveys_dir=SURVEYS)).close()


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"stamped too high"}))  # nothing to upgrade there
def test_upgrade_of_a_sqlite_file_with_a_lasting_fault_fails_with_one_line(tmp_path: Path, fault: str) -> None:
    """Exit code 1, and nothing on standard output, which a script may read."""
    file = tmp_path / "s.db"
    create_sqlite(file)
    make, words = FAULTS[fault]
    make(file)
    code, out, err = upgrade(f"sqlite:///{file}")
    assert (code, out, len(err.splitlines())) == (1, "", 1), err
    assert re.search(words, err)


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
@pytest.mark.parametrize("fault", ["two rows", "unknown stamp"])
def test_upgrade_with_a_lasting_fault_fails_with_one_line(servers: Servers, kind: str, fault: str) -> None:
    database = servers(kind)
    url = database.create_migrated()
    try:
        execute(
            url,
            "INSERT INTO alembic_version VALUES ('0003')"
            if fault == "two rows"
            else "UPDATE alembic_version SET version_num = '9999'",
        )
        code, out, err = upgrade(url)
    finally:
        database.drop_database(url)
    assert (code, out, len(err.splitlines())) == (1, "", 1), err
    assert re.search(FAULTS[fault][1], err)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
@pytest.mark.parametrize("command", [("upgrade", "head"), ("upgrade", "0016:head"), ("downgrade", "head:0016")])
def test_sql_of_a_migration_is_refused_in_one_line(kind: str, command: tuple[str, str]) -> None:
    """Nothing on standard output, which may be piped into a database; none is connected."""
    url = {
        "sqlite": "sqlite:////nowhere/s.db",
        "postgresql": "postgresql://127.0.0.1:1/x",
        "mysql": "mysql://127.0.0.1:1/x",
    }[kind]
    code, out, err = upgrade(url, *command, "--sql")
    assert (code, out, len(err.splitlines())) == (1, "", 1), err
    assert "--sql" in err
    assert "alembic upgrade head" in err


def upgrade(url: str, *arguments: str) -> tuple[int, str, str]:
    """Run ``alembic upgrade head``, or with other arguments; return its exit code and output."""
    arguments = arguments or ("upgrade", "head")
    done = run_here(alembic_main, *arguments, DATABASE_URL=url, STEPKEEP_SURVEYS_DIR=str(SURVEYS))
    return done.returncode, done.stdout, done.stderr


def test_lasting_fault_is_one_line_of_each_program(tmp_path: Path) -> None:
    """``make run``, gunicorn, and flask."""
    damage(tmp_path / "s.db")
    for module, arguments in (
        ("app.serve", []),
        ("gunicorn", ["--config", "gunicorn.conf.py", "wsgi:app"]),
        ("flask", ["--app", "wsgi", "sessions", "list"]),
    ):
        done = run_server(module, *arguments, folder=tmp_path, STEPKEEP_ENVIRONMENT="development")
        assert done.returncode == 1, module  # 4 of a command would mean that a retry may succeed
        assert "Traceback" not in done.stderr, done.stderr
        (line,) = [line for line in done.stderr.splitlines() if "gunicorn.error" not in line and line]
        assert "file is not a database" in line


START = """
import sys
from app.errors import ConfigurationError
from app.sessions import open_store
from app.settings import Settings
try:
    open_store(Settings(database_url=sys.argv[1], surveys_dir="surveys"))
except ConfigurationError as error:
    print(error)
"""


READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$1" -c "$2" "$3"'


@pytest.mark.skipif(shutil.which("unshare") is None or os.geteuid() != 0, reason="needs root, to mount read-only")
def test_read_only_file_is_refused_at_start(tmp_path: Path) -> None:
    """Before a participant's first answer."""
    file = tmp_path / "s.db"
    create_sqlite(file)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", READ_ONLY, str(tmp_path), sys.executable, START, f"sqlite:///{file}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if "mount" in done.stderr:
        pytest.skip(done.stderr)
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    assert "Make the file and its folder writable" in line or "Its folder must exist, and be writable" in line, line


def test_locked_file_at_start_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the program that shows who holds the lock."""
    file = tmp_path / "s.db"
    create_sqlite(file)
    other = sqlite.driver().connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(sqlite, "begin_writing", lambda execute, _wait_ms=0: execute("BEGIN IMMEDIATE"))
    assert "Another program holds its lock: `lsof FILE`" in problem_of(f"sqlite:///{file}")
    other.close()


def test_unreachable_server_is_said_in_one_line() -> None:
    """As before: the reason follows."""
    with pytest.raises(DatabaseUnreachable, match="can't be opened"):
        open_store(Settings(database_url="postgresql://u:geheim@127.0.0.1:1/d", surveys_dir=SURVEYS))
