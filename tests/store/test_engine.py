"""DATABASE_URL alone picks the database and its driver."""

import pytest
from sqlalchemy import text

from app.errors import ConfigurationError
from app.store.engine import migration_engine, normalise_url, reader_engine, writer_engine
from tests.conftest import Servers


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("sqlite:///a.db", "sqlite:///a.db"),
        ("sqlite:////srv/a.db", "sqlite:////srv/a.db"),
        ("sqlite+pysqlite:///a.db", "sqlite:///a.db"),
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql://u@h:5/d?sslmode=require", "postgresql+psycopg://u@h:5/d?sslmode=require"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg://u@h/d"),
        ("mysql://u@h/d", "mysql+pymysql://u@h/d?charset=utf8mb4"),
        ("mariadb://u@h/d", "mariadb+pymysql://u@h/d?charset=utf8mb4"),
        ("mysql+pymysql://u@h/d?charset=latin1", "mysql+pymysql://u@h/d?charset=utf8mb4"),
    ],
)
def test_plain_url_gets_the_right_driver(given: str, used: str) -> None:
    """What an operator knows of his database is enough; what else stands in the URL stays."""
    assert normalise_url(given).render_as_string() == used


@pytest.mark.parametrize(
    "given",
    [
        "",
        "nothing",
        "oracle://u:secret@h/d",
        "mysql+mysqlconnector://u:secret@h/d",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://u:secret@h",
        "postgresql://u@h:abc/d",
        "postgresql://u:p@secret@h/d",
    ],
)
def test_url_that_can_not_be_used_is_refused_without_its_password(given: str) -> None:
    """Another database, another driver, or SQLite without a file."""
    with pytest.raises(ConfigurationError) as refused:
        normalise_url(given)
    assert "DATABASE_URL" in refused.value.message
    assert "secret" not in refused.value.message


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_times_are_utc_and_waits_are_bounded_but_for_migrations(servers: Servers, kind: str) -> None:
    """Whatever the server's own settings; a change of the schema may take as long as it takes."""
    url = servers(kind).create_empty()
    found = {}
    for name, make in (("writer", writer_engine), ("reader", reader_engine), ("migration", migration_engine)):
        engine = make(normalise_url(url))
        with engine.connect() as connection:
            if kind == "postgresql":
                asked = [connection.execute(text(f"SHOW {one}")).scalar() for one in ("timezone", "lock_timeout")]
            else:
                asked = list(connection.execute(text("SELECT @@time_zone, @@innodb_lock_wait_timeout")).one())
        found[name] = asked
        engine.dispose()
    servers(kind).drop_database(url)
    assert {one[0] for one in found.values()} == {"UTC" if kind == "postgresql" else "+00:00"}
    assert found["writer"][1] in {"2s", 2}
    assert found["migration"][1] in {"0", 50}


def test_options_of_the_url_are_kept_beside_ours(servers: Servers) -> None:
    """A search path, say: it would be dropped without a word."""
    url = servers("postgresql").create_empty()
    engine = writer_engine(normalise_url(f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3Dmine"))
    with engine.connect() as connection:
        found = [connection.execute(text(f"SHOW {name}")).scalar() for name in ("search_path", "timezone")]
    engine.dispose()
    servers("postgresql").drop_database(url)
    assert found == ["mine", "UTC"]
