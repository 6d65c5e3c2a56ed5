"""STEPKEEP_SCHEMA and STEPKEEP_MIGRATION_URL: PostgreSQL's schemas, and accounts that may not change tables."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.config import main as alembic_main
from sqlalchemy import URL, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from app.database import Database
from app.errors import ConfigurationError, SchemaMismatch
from app.notifications.redis import redis_transport
from app.operations.backup import create_backup, move_database, restore_backup, verify_backup
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store.engine import database_url, migration_url, normalise_url
from app.survey.commands import Answer
from app.survey.snapshot import SessionKey
from tests.conftest import ROOT, SURVEYS, NewStore, Server, Servers
from tests.docs.pages import blocks
from tests.migrations.sample import alembic, execute
from tests.notifications.conftest import KEY, NEVER_S, Channel, Open, opened, redis  # noqa: F401 - fixtures
from tests.notifications.redis_server import RedisServer
from tests.programs import run_here
from tests.web.conftest import Participant

POSTGRESQL_GRANTS, MARIADB_GRANTS = blocks((ROOT / "docs/databases.md").read_text(), "sql")


@pytest.fixture
def shared(servers: Servers) -> Iterator[str]:
    """The URL of a PostgreSQL database with tables of no installation."""
    url = servers("postgresql").create_empty()
    yield url
    servers("postgresql").drop_database(url)


@pytest.fixture
def two(shared: str) -> str:
    """The URL of a database with the schemas ``alpha`` and ``beta``, at the newest revision."""
    for schema in ("alpha", "beta"):
        alembic(shared, "upgrade", "head", STEPKEEP_SCHEMA=schema)
    return shared


def store_of(url: str, schema: str | None, new_store: NewStore) -> SessionStore:
    return new_store(Settings(database_url=url, database_schema=schema, surveys_dir=SURVEYS))


def tables_of(url: str, schema: str) -> set[str]:
    engine = create_engine(normalise_url(url), poolclass=NullPool)
    with engine.connect() as connection:
        query = text("SELECT tablename FROM pg_tables WHERE schemaname = :schema")
        return set(connection.scalars(query, {"schema": schema}))


def users(store: SessionStore) -> set[str]:
    return {session["user_id"] for session in Database(store).list_sessions()}


def test_upgrade_creates_the_schema_and_everything_in_it(two: str) -> None:
    """Nothing in ``public``, not even the revision; `alembic check` finds the tables as they are defined."""
    assert tables_of(two, "alpha") == tables_of(two, "beta") >= {"alembic_version", "sessions", "webhooks"}
    assert tables_of(two, "public") == set()
    alembic(two, "check", STEPKEEP_SCHEMA="alpha")


def test_downgrade_of_one_schema_leaves_the_other(two: str, new_store: NewStore) -> None:
    """And an upgrade creates it again."""
    beta = store_of(two, "beta", new_store)
    Database(beta).save_session("ben", "S1", {}, [])
    alembic(two, "downgrade", "base", STEPKEEP_SCHEMA="alpha")
    assert tables_of(two, "alpha") == {"alembic_version"}
    with pytest.raises(SchemaMismatch):
        open_store(Settings(database_url=two, database_schema="alpha", surveys_dir=SURVEYS))
    assert users(beta) == {"ben"}
    alembic(two, "upgrade", "head", STEPKEEP_SCHEMA="alpha")
    assert users(store_of(two, "alpha", new_store)) == set()


def test_two_servers_in_one_database_have_their_own_sessions(two: str, tmp_path: Path) -> None:
    """Two sockets of one participant follow each other; those of the same id on the other server do not."""
    servers = []
    for schema in ("alpha", "beta"):
        (tmp_path / schema).mkdir()
        servers.append(Server(tmp_path / schema, database=two, environment={"STEPKEEP_SCHEMA": schema}))
    alpha, beta = servers
    try:
        for server in servers:
            server.start()
        phone, laptop, other = Participant(alpha, "ann"), Participant(alpha, "ann"), Participant(beta, "ann")
        assert phone.answer("Q1", 2)["version"] == 2
        sync = laptop.receive()
        assert (sync["type"], sync["session"]["answers"]) == ("sync", {"Q1": 2})
        answer = other.answer("Q1", 3)  # the next message that it receives
        assert (answer["type"], answer["version"], answer["session"]["answers"]) == ("ack", 2, {"Q1": 3})
    finally:
        for server in servers:
            server.stop()


def test_notifications_of_one_schema_do_not_reach_the_other(two: str, opened: Open) -> None:  # noqa: F811 - the fixture
    """LISTEN and NOTIFY belong to the database, so each schema has a channel."""
    url = normalise_url(two)
    alpha, beta = (
        Channel(
            Settings(
                database_url=url.update_query_dict({"schema": schema}).render_as_string(hide_password=False),
                notification_interval_s=NEVER_S,
            )
        )
        for schema in ("alpha", "beta")
    )
    sender, follower, stranger, peer = opened(alpha), opened(alpha), opened(beta), opened(beta)
    for process in (sender, follower, stranger, peer):
        process.follow(KEY)
    sender.notifier.publish(KEY, 2)
    follower.wait_for_changes((KEY, 2))
    peer.notifier.publish(KEY, 3)
    stranger.wait_for_changes((KEY, 3))
    assert follower.changes == [(KEY, 2)]


def test_redis_channel_of_one_schema_is_not_the_others(redis: RedisServer) -> None:  # noqa: F811 - the fixture
    """Without a schema and in ``public`` are the same tables."""
    channels = []
    for query in ("", "?schema=public", "?schema=alpha", "?schema=beta"):
        transport = redis_transport(redis.url, normalise_url(f"postgresql://u@h/name{query}"))()
        channels.append(transport._channel)
        transport.close()
    assert channels[0] == channels[1]
    assert len(set(channels)) == 3


def test_backup_of_one_schema_leaves_out_the_other(two: str, tmp_path: Path, new_store: NewStore) -> None:
    """A restore replaces only its own."""
    alpha, beta = store_of(two, "alpha", new_store), store_of(two, "beta", new_store)
    Database(alpha).save_session("ann", "S1", {}, [])
    Database(beta).save_session("ben", "S1", {}, [])
    create_backup(alpha, tmp_path / "alpha.zip")
    assert verify_backup(tmp_path / "alpha.zip", alpha.cipher).rows["sessions"] == 1
    Database(alpha).save_session("later", "S1", {}, [])
    restore_backup(alpha, tmp_path / "alpha.zip", replace=True)
    assert (users(alpha), users(beta)) == ({"ann"}, {"ben"})


def test_installation_in_public_moves_into_a_schema(shared: str, new_store: NewStore) -> None:
    """Of the same database, with `flask backup move`; what is in ``public`` stays."""
    alembic(shared, "upgrade", "head")
    public = store_of(shared, None, new_store)
    Database(public).save_session("ann", "S1", {"a": 1}, [])
    alembic(shared, "upgrade", "head", STEPKEEP_SCHEMA="survey")
    move_database(shared, f"{shared}?schema=survey")
    moved = store_of(shared, "survey", new_store)
    assert users(moved) == {"ann"}
    Database(moved).save_session("ben", "S1", {}, [])
    assert users(public) == {"ann"}


def test_account_that_may_not_create_the_schema_is_told_what_to_do(shared: str) -> None:
    """On one line."""
    execute(shared, "DROP ROLE IF EXISTS visitor;\nCREATE ROLE visitor LOGIN")
    account = normalise_url(shared).set(username="visitor").render_as_string(hide_password=False)
    done = run_here(
        alembic_main, "upgrade", "head", DATABASE_URL=account, STEPKEEP_SCHEMA="mine", STEPKEEP_SURVEYS_DIR=str(SURVEYS)
    )
    execute(shared, "DROP ROLE visitor")
    assert done.returncode == 1
    assert "permission denied for database" in done.stderr
    assert "STEPKEEP_MIGRATION_URL" in done.stderr


@pytest.mark.parametrize("url", ["sqlite:////srv/a.db", "mysql://u@h/d", "mariadb://u@h/d"])
def test_schema_is_refused_where_a_database_is_one(url: str) -> None:
    """SQLite, MariaDB and MySQL."""
    with pytest.raises(ConfigurationError, match="STEPKEEP_SCHEMA: only PostgreSQL has schemas"):
        database_url(Settings(database_url=url, database_schema="survey"))


@pytest.mark.parametrize("schema", ["Survey", "a-b", 'a"; DROP TABLE x', "1a", "a" * 47])
def test_schema_that_is_no_plain_identifier_is_refused(schema: str) -> None:
    """As a setting and in a URL; so it needs no quotes anywhere."""
    with pytest.raises(ValueError, match="pattern"):
        Settings(database_schema=schema)
    with pytest.raises(ConfigurationError, match="lowercase letters, digits or _"):
        normalise_url("postgresql://u@h/d", schema)
    with pytest.raises(ConfigurationError, match="lowercase letters, digits or _"):
        normalise_url("postgresql://u@h/d?schema=pg_catalog")


@pytest.mark.parametrize(
    ("url", "migration"),
    [
        ("postgresql://u@h/d", "postgresql://o@h/e"),
        ("mysql://u@h/d", "postgresql://o@h/d"),
        ("postgresql://u@h/d", "postgresql://o@h/d?schema=clinic"),
        ("postgresql://u@h/d?schema=clinic", "postgresql://o@h/d?schema=public"),
    ],
)
def test_migration_url_of_another_database_or_schema_is_refused(url: str, migration: str) -> None:
    """The server would find no tables."""
    with pytest.raises(ConfigurationError, match="STEPKEEP_MIGRATION_URL must name the same database"):
        migration_url(Settings(database_url=url, migration_url=migration))


@pytest.mark.parametrize("query", ["", "?schema=clinic"])
def test_migration_url_takes_the_schema_of_the_database_url(query: str) -> None:
    """Else the tables would be created in ``public``, where the server does not find them."""
    settings = Settings(
        database_url="postgresql://u@h/d?schema=clinic",
        database_schema="overridden",
        migration_url=f"postgresql://o@h/d{query}",
    )
    url = migration_url(settings)
    assert (url.username, url.query["schema"]) == ("o", "clinic")


def use(store: SessionStore) -> None:
    """Write to every kind of table that a server writes."""
    key = SessionKey("phq9", "ann")
    store.turns.get_or_create(key, is_audio_mode=False)
    store.turns.submit_or_raise(key, Answer(at=store.clock(), step="Q1", value=2))
    store.audit_log.record("operator", "session_read", key)
    assert store.queries.at_version(key, 1).state.answers == {}
    assert store.erasure.delete(key)


def accounts(url: str, grants: str, schema: str | None) -> tuple[URL, URL]:
    """Create the accounts of the page on this database; return the URLs of the server and of the migrations."""
    parsed = normalise_url(url)
    statements = grants.replace("survey", schema or "survey").replace("name.", f"{parsed.database}.")
    for statement in filter(None, map(str.strip, re.sub(r"--.*", "", statements).split(";"))):
        execute(url, statement)
    return parsed.set(username="stepkeep_server", password="secret"), parsed.set(
        username="stepkeep_owner", password="secret"
    )


def test_account_that_may_not_use_the_sequences_is_refused(servers: Servers) -> None:
    """At start: it could save no answer."""
    url = servers("postgresql").create_migrated()
    execute(url, "DROP ROLE IF EXISTS writer;\nCREATE ROLE writer LOGIN")
    execute(url, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO writer")
    account = normalise_url(url).set(username="writer").render_as_string(hide_password=False)
    try:
        with pytest.raises(ConfigurationError, match=r"permission denied for the sequence.*Grant USAGE"):
            open_store(Settings(database_url=account, surveys_dir=SURVEYS))
        execute(url, "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO writer")
        open_store(Settings(database_url=account, surveys_dir=SURVEYS)).close()
    finally:
        execute(url, "DROP OWNED BY writer;\nDROP ROLE writer")
        servers("postgresql").drop_database(url)


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_server_without_rights_to_change_tables_works_as_the_page_says(
    kind: str, servers: Servers, new_store: NewStore
) -> None:
    """With the statements of docs/databases.md; the migrations run as their own account."""
    url = servers(kind).create_empty()
    schema, grants = ("survey", POSTGRESQL_GRANTS) if kind == "postgresql" else (None, MARIADB_GRANTS)
    server, owner = (account.render_as_string(hide_password=False) for account in accounts(url, grants, schema))
    try:
        alembic(server, "upgrade", "head", STEPKEEP_MIGRATION_URL=owner, STEPKEEP_SCHEMA=schema or "")
        use(store_of(server, schema, new_store))
        engine = create_engine(normalise_url(server), poolclass=NullPool)
        table = "sessions" if schema is None else f"{schema}.sessions"
        with engine.connect() as connection, pytest.raises(DBAPIError, match=r"denied|must be owner"):
            connection.execute(text(f"ALTER TABLE {table} ADD COLUMN more INTEGER"))
    finally:
        servers(kind).drop_database(url)
        execute(
            servers(kind).url.render_as_string(hide_password=False),
            "DROP ROLE stepkeep_server;\nDROP ROLE stepkeep_owner"
            if kind == "postgresql"
            else "DROP USER stepkeep_server@'%';\nDROP USER stepkeep_owner@'%'",
        )
