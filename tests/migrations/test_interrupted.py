"""An interrupted migration is completed by running it again, without lost or duplicate rows.

PostgreSQL and SQLite roll an interrupted migration back; MariaDB commits at each DDL statement.
"""

import os
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from tests.conftest import Servers
from tests.forked import run_module
from tests.migrations.interruption import KILLED, Interrupted, fail, interrupted_at
from tests.migrations.sample import ALEMBIC_S, ROWS, dump, execute, make_by_hand, migrate, shape

WITHOUT_DDL_ROLLBACK = "mysql"


@pytest.fixture
def new_database(servers: Servers) -> Iterator[Callable[[], str]]:
    """Create an empty MariaDB database; all are dropped afterwards."""
    urls: list[str] = []

    def create() -> str:
        urls.append(servers(WITHOUT_DDL_ROLLBACK).create_empty())
        return urls[-1]

    yield create
    for url in urls:
        servers(WITHOUT_DDL_ROLLBACK).drop_database(url)


def at_revision(revision: str) -> Callable[[str], None]:
    """Return a function that migrates an empty database to this revision, with rows inserted at the first."""

    def prepare(url: str) -> None:
        migrate(url, "0001")
        execute(url, ROWS)
        migrate(url, revision)

    return prepare


def failing_statements(
    new_database: Callable[[], str], start: Callable[[str], None], revision: str, every: int, *, down: bool = False
) -> list[str]:
    """Interrupt at every n-th statement (``every``), run again; return the statements after which that failed."""
    reference = new_database()
    start(reference)
    migrate(reference, revision, down=down)
    expected = (shape(reference), dump(reference))
    failing: list[str] = []
    for number in count(every, every):
        url = new_database()
        start(url)
        with interrupted_at(number, fail) as statements:
            try:
                migrate(url, revision, down=down)
            except Interrupted:
                interrupted = f"{number}: {' '.join(statements[-1].split())[:100]}"
            else:
                assert number > 3
                return failing
        try:
            migrate(url, revision, down=down)
        except Exception as error:  # noqa: BLE001 - the test reports any error with its statement
            failing.append(f"{interrupted}: {error!r}"[:300])
        else:
            if (shape(url), dump(url)) != expected:
                failing.append(f"{interrupted}: another schema or other rows")
    raise AssertionError


EVERY = pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.long), 13])


@EVERY
@pytest.mark.parametrize("start", [make_by_hand, lambda _url: None], ids=["by hand", "empty"])
def test_upgrade_is_completed_when_run_again_after_an_error_at_any_statement(
    new_database: Callable[[], str], start: Callable[[str], None], every: int
) -> None:
    """MariaDB, each COMMIT too: the schema and the rows equal those of an uninterrupted upgrade."""
    assert failing_statements(new_database, start, "head", every) == []


# Without 0004 and 0001: their downgrades drop tables without IF EXISTS, and released revisions are not edited.
@EVERY
@pytest.mark.parametrize(("above", "below"), [("0003", "0001"), ("0005", "0004")])
def test_downgrade_is_completed_when_run_again_after_an_error_at_any_statement(
    new_database: Callable[[], str], above: str, below: str, every: int
) -> None:
    """MariaDB, each COMMIT too: the downgrades between two revisions."""
    assert failing_statements(new_database, at_revision(above), below, every, down=True) == []


@pytest.mark.parametrize("number", [15, *(pytest.param(number, marks=pytest.mark.long) for number in (3, 8, 24, 31))])
def test_upgrade_is_completed_when_run_again_after_its_process_was_killed(empty_url: str, number: int) -> None:
    """The process dies without closing its connection."""
    make_by_hand(empty_url)
    rows = dump(empty_url)["sessions"]
    killed = run_module(["tests.migrations.interruption", empty_url, "head", str(number)], os.environ, ALEMBIC_S)
    assert killed.returncode == KILLED, killed.stderr
    migrate(empty_url, "head")
    after = dump(empty_url)
    assert [{name: row[name] for name in ("user_id", "answers", "step_history")} for row in after["sessions"]] == [
        {name: row[name] for name in ("user_id", "answers", "step_history")} for row in rows
    ]
    versions = [(row["user_id"], row["version"]) for row in after["session_history"]]
    assert sorted(versions) == [("bob", 1), ("bob", 2), ("bob", 3), ("bob", 4), ("corrupt", 1), ("eve", 1)]
