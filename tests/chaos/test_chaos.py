"""A short run on SQLite for every change, 200 faults over the three databases in make test-all; `make chaos` is longer."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.browsers import chromium
from tests.chaos.result import Order
from tests.chaos.run import run
from tests.conftest import KINDS, skip_or_fail
from tests.databases import HOW_TO_GET, find_mariadb, find_postgresql

FAULTS = 68
SEED = "ci"
LONGEST_S = 180
PARTICIPANTS = 16
FIND: dict[str, Callable[[], object]] = {"postgresql": find_postgresql, "mysql": find_mariadb}


@pytest.mark.parametrize(
    ("database", "faults"), [("sqlite", 8), *(pytest.param(kind, FAULTS, marks=pytest.mark.long) for kind in KINDS)]
)
def test_nothing_is_lost_and_nothing_doubled_while_everything_breaks(
    database: str, faults: int, tmp_path: Path
) -> None:
    """Every acknowledged turn is in history once, in its order, and the row is the fold; the report says how."""
    order = Order(
        database=database,
        seed=SEED,
        seconds=LONGEST_S,
        faults=faults,
        participants=PARTICIPANTS,
        browsers=1 if chromium() is not None else 0,
    )
    if database != "sqlite" and FIND[database]() is None:
        skip_or_fail(HOW_TO_GET[database])
    result = run(order, keep=tmp_path)
    assert result.findings == [], f"to replay: {order.command}"
    assert len(result.faults) == faults
    assert result.acknowledged > faults
