"""A migration that is broken half-way is finished by running it again, and no row is lost or doubled.

PostgreSQL and SQLite undo what a broken migration did; MariaDB commits at each DDL statement and keeps it.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from tests.conftest import ROOT, Servers
from tests.migrations.interruption import KILLED, Interrupted, fail, interrupted_at
from tests.migrations.sample import ALEMBIC_S, ROWS, dump, execute, make_by_hand, migrate, shape

KEEPS_WHAT_IT_DID = "mysql"


@pytest.fixture
def new_database(servers: Servers) -> Iterator[Callable[[], str]]:
    """Make an empty MariaDB database; all are dropped afterwards."""
    made: list[str] = []

    def make() -> str:
        made.append(servers(KEEPS_WHAT_IT_DID).create_empty())
        return made[-1]

    yield make
    for url in made:
        servers(KEEPS_WHAT_IT_DID).drop_database(url)


def at_revision(revision: str) -> Callable[[str], None]:
    """Return what makes a database of this revision, with rows of the first."""

    def make(url: str) -> None:
        migrate(url, "0001")
        execute(url, ROWS)
        migrate(url, revision)

    return make


def points_that_fail(
    new_database: Callable[[], str], start: Callable[[str], None], revision: str, every: int, *, down: bool = False
) -> list[str]:
    """Break the migration at every so manyth statement and run it again; return those where that didn't finish it."""
    reference = new_database()
    start(reference)
    migrate(reference, revision, down=down)
    expected = (shape(reference), dump(reference))
    failing: list[str] = []
    for number in count(every, every):
        url = new_database()
        start(url)
        with interrupted_at(number, fail) as done:
            try:
                migrate(url, revision, down=down)
            except Interrupted:
                broken = f"{number}: {' '.join(done[-1].split())[:100]}"
            else:
                assert number > 3
                return failing
        try:
            migrate(url, revision, down=down)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told with its statement
            failing.append(f"{broken}: {error!r}"[:300])
        else:
            if (shape(url), dump(url)) != expected:
                failing.append(f"{broken}: another schema or other rows")
    raise AssertionError


EVERY = pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.long), 13])


@EVERY
@pytest.mark.parametrize("start", [make_by_hand, lambda _url: None], ids=["by hand", "empty"])
def test_upgrade_that_broke_at_any_statement_is_finished_by_the_next(
    new_database: Callable[[], str], start: Callable[[str], None], every: int
) -> None:
    """MariaDB: every statement and every COMMIT; the schema and each row are those of an unbroken upgrade."""
    assert points_that_fail(new_database, start, "head", every) == []


# The downgrades of 0004 and 0001 drop tables without asking whether they are there; both revisions have landed.
@EVERY
@pytest.mark.parametrize(("above", "below"), [("0003", "0001"), ("0005", "0004")])
def test_downgrade_that_broke_at_any_statement_is_finished_by_the_next(
    new_database: Callable[[], str], above: str, below: str, every: int
) -> None:
    """MariaDB: every statement and every COMMIT between two revisions."""
    assert points_that_fail(new_database, at_revision(above), below, every, down=True) == []


@pytest.mark.parametrize("number", [15, *(pytest.param(number, marks=pytest.mark.long) for number in (3, 8, 24, 31))])
def test_upgrade_that_was_killed_is_finished_by_the_next(empty_url: str, number: int) -> None:
    """The process dies in the middle, on each database; not even its connection is closed by it."""
    make_by_hand(empty_url)
    rows = dump(empty_url)["sessions"]
    killed = subprocess.run(
        [sys.executable, "-m", "tests.migrations.interruption", empty_url, "head", str(number)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=ALEMBIC_S,
        check=False,
    )
    assert killed.returncode == KILLED, killed.stderr
    migrate(empty_url, "head")
    found = dump(empty_url)
    assert [{name: row[name] for name in ("user_id", "answers", "step_history")} for row in found["sessions"]] == [
        {name: row[name] for name in ("user_id", "answers", "step_history")} for row in rows
    ]
    versions = [(row["user_id"], row["version"]) for row in found["session_history"]]
    assert sorted(versions) == [("bob", 1), ("bob", 2), ("bob", 3), ("bob", 4), ("corrupt", 1), ("eve", 1)]
