"""One server process runs each round of maintenance, until its store is closed."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from app.errors import DatabaseUnavailable
from app.operations.maintenance import scheduler
from app.operations.maintenance.scheduler import MaintenanceScheduler
from app.sessions.service import SessionStore
from app.settings import Settings
from app.survey.commands import Begin
from app.survey.snapshot import SessionKey
from tests.conftest import NewStore
from tests.operations.maintenance.archives import read_archive
from tests.waiting import wait_for

DAY_US = 86_400 * 1_000_000
ANN, BOB, ZOE = (SessionKey("phq9", user) for user in ("ann", "bob", "zoe"))

Open = Callable[[], SessionStore]


@pytest.fixture
def kept(settings: Settings, tmp_path: Path) -> Settings:
    return settings.model_copy(
        update={"retry_delay_s": 0, "retention": "30d", "maintenance_minutes": 60.0, "archive_dir": tmp_path}
    )


@pytest.fixture
def opened(kept: Settings, new_store: NewStore) -> Open:
    """Return a function that opens stores of several servers on one database."""
    return lambda: new_store(kept)


def begin(store: SessionStore, key: SessionKey, days: int) -> None:
    store.turns.submit(key, Begin(at=store.clock() - days * DAY_US))


def test_round_expires_archives_and_erases(opened: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """PHQ-9 expires after 14 days, STEPKEEP_RETENTION is 30; one log line has the counts."""
    store = opened()
    for key, days in ((ANN, 31), (BOB, 15), (ZOE, 1)):
        begin(store, key, days)
    with caplog.at_level("INFO", "stepkeep.maintenance"):
        assert MaintenanceScheduler(store).run_round()
    statuses = {key: found.state.status for key in (ANN, BOB, ZOE) if (found := store.queries.load(key)) is not None}
    assert statuses == {BOB: "expired", ZOE: "in_progress"}
    (file,) = tmp_path.glob("stepkeep-*.jsonl.gz")
    assert [one.key for one in read_archive(file)] == [ANN]
    assert [record.getMessage() for record in caplog.records] == [
        "maintenance: 2 sessions expired, 0 deadlines updated, 1 sessions erased"
    ]


def test_one_server_runs_the_round(opened: Open) -> None:
    """Another one takes over when it is closed."""
    first, second = MaintenanceScheduler(opened()), MaintenanceScheduler(opened())
    first._thread = threading.Thread()
    first._thread.start()
    assert first.run_round()
    assert not second.run_round()
    assert first.run_round()
    first.close()
    assert second.run_round()


@pytest.mark.one_database
def test_round_stops_when_another_process_has_the_lease(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a pause of the machine that was longer than the lease."""
    store = opened()
    begin(store, ANN, 31)
    rounds = MaintenanceScheduler(store)
    real, began = store.clock, store.clock() + 3600 * 1_000_000
    monkeypatch.setattr(scheduler.leases, "acquire", lambda *_args, **named: named["at"] <= began)

    def later() -> int:
        return real() + 2 * 3600 * 1_000_000

    def expire(_store: SessionStore, **_: object) -> None:
        store.clock = store.queries.clock = later
        rounds._on_progress(0, 0)

    monkeypatch.setattr(scheduler, "expire", expire)
    assert not rounds.run_round()
    assert store.queries.load(ANN) is not None


@pytest.mark.one_database
def test_thread_runs_rounds_until_the_store_is_closed(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a failed round; no thread is left."""
    store = opened()
    monkeypatch.setattr(MaintenanceScheduler, "run_round", rounding := _Rounding())
    rounds = MaintenanceScheduler(store, first_delay_s=0)
    rounds._interval_s = 0.001
    rounds.start()
    assert rounding.was_third.wait(30)
    thread = rounds._thread
    store.close()
    assert thread is not None
    assert not thread.is_alive()


class _Rounding:
    def __init__(self) -> None:
        self.was_third = threading.Event()
        self._count = 0

    def __call__(self) -> bool:
        self._count += 1
        if self._count == 1:
            raise DatabaseUnavailable("away")
        if self._count == 2:
            raise ZeroDivisionError
        self.was_third.set()
        return True


@pytest.mark.one_database
def test_no_thread_is_started_without_an_interval(settings: Settings, new_store: NewStore) -> None:
    """The default."""
    store = new_store(settings)
    rounds = MaintenanceScheduler(store)
    rounds.start()
    assert rounds._thread is None


@pytest.mark.one_database
def test_forked_child_starts_its_own_thread(opened: Open) -> None:
    """As another lease holder."""
    store = opened()
    rounds = MaintenanceScheduler(store, first_delay_s=3600)
    rounds.start()
    thread, holder = rounds._thread, rounds._holder
    closing = rounds._closing
    rounds.after_fork_in_child()
    assert rounds._thread is not thread
    assert rounds._holder != holder
    closing.set()
    assert thread is not None
    wait_for(lambda: not thread.is_alive(), "the parent's thread went on")
