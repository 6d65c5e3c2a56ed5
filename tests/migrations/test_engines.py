"""MariaDB: revision 0019 converts tables without transactions, and an adopted database loses no row."""

from collections.abc import Iterator

import pytest
from alembic.util import CommandError
from sqlalchemy import text

from app.sessions.service import open_store
from app.settings import Settings
from app.store.engine import normalise_url, writer_engine
from tests.conftest import SURVEYS, Servers
from tests.migrations.sample import ROWS, dump, execute, make_by_hand, migrate, shape


@pytest.fixture
def url(servers: Servers) -> Iterator[str]:
    """An empty database."""
    url = servers("mysql").create_empty()
    yield url
    servers("mysql").drop_database(url)


def engines(url: str) -> set[str]:
    """Return the engines of all tables."""
    engine = writer_engine(normalise_url(url))
    query = "SELECT DISTINCT engine FROM information_schema.tables WHERE table_schema = DATABASE()"
    with engine.connect() as connection:
        found = set(connection.scalars(text(query)))
    engine.dispose()
    return found


def convert(url: str, engine: str, *tables: str) -> None:
    execute(url, ";\n".join(f"ALTER TABLE {table} ENGINE={engine}" for table in tables))


def test_adopted_tables_of_another_engine_are_converted_with_every_row(url: str) -> None:
    """By hand, with MariaDB's default_storage_engine; the schema equals that of an ordinary database."""
    make_by_hand(url)
    execute(url, "ALTER TABLE session_history DROP FOREIGN KEY session_history_ibfk_1")
    convert(url, "Aria", "session_history", "sessions")
    migrate(url, "head", default_survey="phq9")
    assert engines(url) == {"InnoDB"}
    rows, found = dump(url), shape(url)
    assert (len(rows["sessions"]), len(rows["session_history"])) == (3, 6)
    migrate(url, "base", down=True)
    make_by_hand(url)
    migrate(url, "head", default_survey="phq9")
    assert (shape(url), dump(url)) == (found, rows)
    open_store(Settings(database_url=url, surveys_dir=SURVEYS, default_survey="phq9")).close()


def test_tables_of_the_first_revisions_are_converted_and_the_foreign_key_is_added(url: str) -> None:
    """As a server with default_storage_engine=Aria created them; rows without a session stop it, and it can be repeated."""
    migrate(url, "0001")
    execute(url, ROWS)
    migrate(url, "0018")
    reference = shape(url)
    execute(url, "ALTER TABLE session_history DROP FOREIGN KEY fk_session_history_user_id")
    convert(url, "Aria", "session_history", "sessions", "survey_revisions", "alembic_version")
    orphan = "INSERT INTO session_history (user_id, survey_id, version, action) VALUES ('nobody', 'phq9', 1, 'started')"
    execute(url, orphan)
    with pytest.raises(CommandError, match="session_history has 1 rows without their session"):
        migrate(url, "0019")
    execute(url, "DELETE FROM session_history WHERE user_id = 'nobody'")
    for _ in range(2):
        migrate(url, "0019")
        assert (engines(url), shape(url)) == ({"InnoDB"}, reference)
        assert len(dump(url)["session_history"]) == 6
        migrate(url, "0018", down=True)
