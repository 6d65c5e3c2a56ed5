"""Databases of the tests: without tables, or copied from a template that the migrations made."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cache, cached_property

from pymysql.constants.CLIENT import MULTI_STATEMENTS
from sqlalchemy import URL, Engine, NullPool, create_engine, text

from app.store.engine import normalise_url
from app.store.migrations import upgrade_schema
from app.testing import create_sqlite

__all__ = ["Databases", "GivenServer", "create_sqlite"]


class Databases(ABC):
    """A server on which tests create databases.

    A migrated database is a copy of a template: the migrations take 0.3 to 1 s, a copy 0.03 s.
    """

    _template: str | None = None
    """The URL of the migrated database from which the others are copied."""

    @property
    @abstractmethod
    def url(self) -> URL:
        """The URL of the database to connect to for CREATE DATABASE and DROP DATABASE."""

    def create_empty(self) -> str:
        """Create a database without tables and return its URL."""
        name = _new_name()
        self._run(f"CREATE DATABASE {name}")
        return self._url_of(name)

    def create_migrated(self) -> str:
        """Create a database at the newest schema, without rows, and return its URL."""
        if self._template is None:
            self._template = self.create_empty()
            upgrade_schema(normalise_url(self._template))
        return self.copy(self._template)

    def copy(self, url: str) -> str:
        """Create a copy of a database to which nobody is connected, and return its URL; later copies are equal."""
        name = _new_name()
        self._run(*self._copy_statements(normalise_url(url), name))
        return self._url_of(name)

    def drop_database(self, url: str) -> None:
        """Drop a database, even while clients are connected to it."""
        forced = " WITH (FORCE)" if self.url.get_backend_name() == "postgresql" else ""
        self._run(f"DROP DATABASE {normalise_url(url).database}{forced}")

    @abstractmethod
    def close(self) -> None:
        """Release everything that was created for the tests."""

    def _url_of(self, name: str) -> str:
        return self.url.set(database=name).render_as_string(hide_password=False)

    def _copy_statements(self, template: URL, name: str) -> Iterable[str]:
        """Return the SQL that copies the template to a new database with this name."""
        if template.get_backend_name() == "postgresql":
            # The default strategy logs each page, and leaves out the cache with which a connection starts.
            return (f"CREATE DATABASE {name} TEMPLATE {template.database} STRATEGY FILE_COPY",)
        return (f"CREATE DATABASE {name}", f"USE {name}", *_recorded_tables(template))

    def _run(self, *statements: str) -> None:
        """Execute the statements in one round trip."""
        with self._admin.connect() as connection, connection.connection.cursor() as cursor:
            cursor.execute(";".join(statements))
            while cursor.nextset():
                pass

    @cached_property
    def _admin(self) -> Engine:
        """An engine with one permanent connection: connecting takes as long as copying a database."""
        options = {} if self.url.get_backend_name() == "postgresql" else {"client_flag": MULTI_STATEMENTS}
        return create_engine(
            self.url, isolation_level="AUTOCOMMIT", pool_size=1, pool_pre_ping=True, connect_args=options
        )


def _new_name() -> str:
    return f"stepkeep_{uuid.uuid4().hex[:12]}"


@cache
def _recorded_tables(url: URL) -> tuple[str, ...]:
    """Return the SQL that recreates the tables of a MariaDB database with their rows.

    From SHOW CREATE TABLE, because CREATE TABLE ... LIKE omits foreign keys.
    """
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        tables = connection.scalars(text("SHOW TABLES")).all()
        definitions = [connection.execute(text(f"SHOW CREATE TABLE `{table}`")).one()[1] for table in tables]
        filled = [name for name in tables if connection.scalar(text(f"SELECT EXISTS (SELECT 1 FROM `{name}`)"))]  # noqa: S608 - names from the database
    return (
        "SET FOREIGN_KEY_CHECKS = 0",  # the tables are in alphabetical order: one may refer to a later one
        *definitions,
        *(f"INSERT INTO `{name}` SELECT * FROM {url.database}.`{name}`" for name in filled),  # noqa: S608 - as above
        "SET FOREIGN_KEY_CHECKS = 1",
    )


class GivenServer(Databases):
    """A server that an environment variable names."""

    def __init__(self, url: str) -> None:
        self._url = normalise_url(url)

    @property
    def url(self) -> URL:
        return self._url

    def close(self) -> None:
        if self._template is not None:
            self.drop_database(self._template)
        self._admin.dispose()
