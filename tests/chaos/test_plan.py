"""The plan of faults replays from its seed."""

import itertools

import pytest

from tests.chaos.faults import MAKINGS
from tests.chaos.plan import DISK_FULL, LANES, MAX_JUMP_S, Fault, Lane, kinds_of, plan
from tests.conftest import KINDS

MANY = 2000


def faults(seed: str, database: str, lane: Lane, without: frozenset[str] = frozenset()) -> list[Fault]:
    return list(itertools.islice(plan(seed, database, lane, without=without), MANY))


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("database", KINDS)
def test_plan_is_the_same_for_the_same_seed_and_another_for_another(database: str, lane: Lane) -> None:
    """Kinds, order and parameters are a function of the seed, the database and the lane."""
    assert faults("7", database, lane) == faults("7", database, lane)
    assert faults("7", database, lane) != faults("8", database, lane)


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("database", KINDS)
def test_every_kind_comes_and_can_be_made(database: str, lane: Lane) -> None:
    """A kind that is planned and can't be made, or never comes, would prove nothing."""
    kinds = set(kinds_of(database, lane))
    assert {fault.kind for fault in faults("7", database, lane)} == kinds
    assert kinds <= MAKINGS.keys()


def test_faults_that_can_not_be_made_here_leave_the_others_as_they_are() -> None:
    """Where nothing can be mounted, the same seed gives the same faults but for the full disk."""
    rest = [fault.kind for fault in faults("7", "sqlite", "store") if fault.kind != DISK_FULL]
    without = [fault.kind for fault in faults("7", "sqlite", "store", frozenset({DISK_FULL}))]
    assert without[: len(rest)] == rest


def test_clock_never_jumps_so_far_that_a_session_expires() -> None:
    """The shortest time that a shipped survey gives is 14 days."""
    jumps = [fault.parameter for fault in faults("7", "sqlite", "edge") if fault.kind == "clock jumped"]
    assert min(jumps) < 0 < max(jumps)
    assert max(map(abs, jumps)) <= MAX_JUMP_S
