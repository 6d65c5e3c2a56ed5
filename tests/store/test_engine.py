"""DATABASE_URL selects the database and its driver."""

import pytest
from sqlalchemy import text

from app.errors import ConfigurationError
from app.store.engine import migration_engine, normalise_url, reader_engine, writer_engine
from tests.conftest import Servers


@pytest.mark.parametrize(
    ("url", "normalised"),
    [
        ("sqlite:////srv/a.db", "sqlite:////srv/a.db"),
        ("sqlite+pysqlite:////srv/a.db", "sqlite:////srv/a.db"),
        ("postgres://u@h/d", "postgresql+psycopg://u@h/d"),
        ("postgresql://u@h:5/d?sslmode=require", "postgresql+psycopg://u@h:5/d?sslmode=require"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg://u@h/d"),
        ("mysql://u@h/d", "mysql+pymysql://u@h/d?charset=utf8mb4"),
        ("mariadb://u@h/d", "mariadb+pymysql://u@h/d?charset=utf8mb4"),
        ("mysql+pymysql://u@h/d?charset=latin1", "mysql+pymysql://u@h/d?charset=utf8mb4"),
    ],
)
def test_url_gets_the_driver_of_its_database(url: str, normalised: str) -> None:
    """Other parts of the URL are kept."""
    assert normalise_url(url).render_as_string() == normalised


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nothing",
        "oracle://u:secret@h/d",
        "mysql+mysqlconnector://u:secret@h/d",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:a.db?uri=true",
        "mysql://u:secret@h",
        "postgresql://u@h:abc/d",
        "postgresql://u:p@secret@h/d",
    ],
)
def test_unsupported_url_is_refused_without_showing_its_password(url: str) -> None:
    """Another database, another driver, or SQLite without a file."""
    with pytest.raises(ConfigurationError) as caught:
        normalise_url(url)
    assert "DATABASE_URL" in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_times_are_utc_and_lock_waits_are_bounded_except_for_migrations(servers: Servers, kind: str) -> None:
    """Whatever the server's settings are; schema changes may take any time."""
    url = servers(kind).create_empty()
    settings = {}
    for name, make in (("writer", writer_engine), ("reader", reader_engine), ("migration", migration_engine)):
        engine = make(normalise_url(url))
        with engine.connect() as connection:
            if kind == "postgresql":
                values = [
                    connection.execute(text(f"SHOW {setting}")).scalar() for setting in ("timezone", "lock_timeout")
                ]
            else:
                values = list(connection.execute(text("SELECT @@time_zone, @@innodb_lock_wait_timeout")).one())
        settings[name] = values
        engine.dispose()
    servers(kind).drop_database(url)
    assert {zone for zone, _ in settings.values()} == {"UTC" if kind == "postgresql" else "+00:00"}
    assert settings["writer"][1] in {"2s", 2}
    assert settings["migration"][1] in {"0", 50}


def test_options_of_the_url_are_kept(servers: Servers) -> None:
    """Such as a search path; the store's own options are added to them."""
    url = servers("postgresql").create_empty()
    engine = writer_engine(normalise_url(f"{url}{'&' if '?' in url else '?'}options=-csearch_path%3Dmine"))
    with engine.connect() as connection:
        values = [connection.execute(text(f"SHOW {name}")).scalar() for name in ("search_path", "timezone")]
    engine.dispose()
    servers("postgresql").drop_database(url)
    assert values == ["mine", "UTC"]
