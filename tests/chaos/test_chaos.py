"""200 faults over the three databases in make test-all; `make chaos` is longer."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.result import RunConfig
from tests.chaos.run import run
from tests.conftest import KINDS, find_chromium, skip_or_fail
from tests.database_servers import HOW_TO_GET, find_mariadb, find_postgresql

FAULTS = 68
SEED = "ci"
MAX_DURATION_S = 180
PARTICIPANTS = 16
FIND: dict[str, Callable[[], object]] = {"postgresql": find_postgresql, "mysql": find_mariadb}


@pytest.mark.long
@pytest.mark.parametrize("database", KINDS)
def test_no_turn_is_lost_or_duplicated_during_faults(database: str, tmp_path: Path) -> None:
    """Every acknowledged turn is in the history once and in order, and the row equals the replayed history."""
    config = RunConfig(
        database=database,
        seed=SEED,
        seconds=MAX_DURATION_S,
        faults=FAULTS,
        participants=PARTICIPANTS,
        browsers=1 if find_chromium() is not None else 0,
    )
    if database != "sqlite" and FIND[database]() is None:
        skip_or_fail(HOW_TO_GET[database])
    result = run(config, logs=tmp_path)
    assert result.findings == [], f"repeat with: {config.command}"
    assert len(result.faults) == FAULTS
    assert result.acknowledged > FAULTS
