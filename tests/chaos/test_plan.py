"""The plan of faults is determined by its seed."""

import itertools

import pytest

from tests.chaos.faults import INJECTORS
from tests.chaos.plan import DISK_FULL, LAYERS, MAX_JUMP_S, Fault, Layer, fault_kinds, plan
from tests.conftest import KINDS

COUNT = 2000


def faults(seed: str, database: str, layer: Layer, without: frozenset[str] = frozenset()) -> list[Fault]:
    return list(itertools.islice(plan(seed, database, layer, without=without), COUNT))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("database", KINDS)
def test_plan_depends_on_the_seed(database: str, layer: Layer) -> None:
    """The same seed, database and layer give the same faults."""
    assert faults("7", database, layer) == faults("7", database, layer)
    assert faults("7", database, layer) != faults("8", database, layer)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("database", KINDS)
def test_every_kind_is_planned_and_can_be_injected(database: str, layer: Layer) -> None:
    """Each kind occurs in a long plan and has an injector."""
    kinds = set(fault_kinds(database, layer))
    assert {fault.kind for fault in faults("7", database, layer)} == kinds
    assert kinds <= INJECTORS.keys()


def test_left_out_kinds_do_not_change_the_other_faults() -> None:
    """Without permission to mount, a seed gives the same faults except for the full disk."""
    rest = [fault.kind for fault in faults("7", "sqlite", "store") if fault.kind != DISK_FULL]
    without = [fault.kind for fault in faults("7", "sqlite", "store", frozenset({DISK_FULL}))]
    assert without[: len(rest)] == rest


def test_clock_jumps_stay_below_the_expiry_of_sessions() -> None:
    """Sessions of the shipped surveys expire after 14 days or more."""
    jumps = [fault.parameter for fault in faults("7", "sqlite", "edge") if fault.kind == "clock jumped"]
    assert min(jumps) < 0 < max(jumps)
    assert max(map(abs, jumps)) <= MAX_JUMP_S
