"""A connection that is cut in the middle of COMMIT: the outcome is unknown, and still each answer counts once."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from sqlalchemy import make_url

from app.errors import DatabaseUnavailable
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.survey.commands import Answer, Save
from app.survey.snapshot import SessionKey
from app.writer.batch import Committed
from tests.conftest import SERVER_KINDS, SURVEYS, Servers
from tests.durability.exactly_once import check_fold, message_ids
from tests.proxy import Cut, Proxy, When

KEY = SessionKey("phq9", "user123")
ATTEMPTS = 3
# As it is on the wire: the whole statement, not the end of ISOLATION LEVEL READ COMMITTED.
COMMIT = {"postgresql": b"COMMIT\0", "mysql": b"\x03COMMIT"}


@dataclass
class Wire:
    """A store, and the proxy between it and its database."""

    store: SessionStore
    proxy: Proxy
    kind: str

    def cut_commit(self, when: When, times: int = 1) -> Cut:
        """Cut the next COMMITs, before the server gets them or after it has done them."""
        return self.proxy.cut_when(COMMIT[self.kind], when, times)

    def answer(self, step: str, message_id: str) -> Committed:
        command = Answer(at=self.store.clock(), message_id=message_id, step=step, value=1)
        result = self.store.turns.submit(KEY, command)
        assert isinstance(result, Committed)
        return result

    def check_once(self, *ids: str) -> None:
        assert message_ids(self.store, KEY) == dict.fromkeys(ids, 1)
        check_fold(self.store, KEY)


@pytest.fixture(params=SERVER_KINDS)
def wire(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Wire]:
    """A store whose every byte to and from the database goes through a proxy; one session has begun."""
    server = servers(request.param)
    direct = server.create_migrated()
    url = make_url(direct)
    proxy = Proxy(url.host or "127.0.0.1", url.port or 0)
    through = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    store = open_store(Settings(database_url=through, surveys_dir=SURVEYS, retry_attempts=ATTEMPTS, retry_delay_s=0.01))
    store.turns.get_or_create(KEY, is_audio_mode=False)
    yield Wire(store, proxy, request.param)
    store.close()
    proxy.close()
    server.drop_database(direct)


@pytest.mark.parametrize("when", ["before", "after"])
def test_answer_whose_commit_is_cut_is_saved_once_by_the_stores_own_retry(wire: Wire, when: When) -> None:
    """Before: the server never got COMMIT. After: it committed and its reply was lost. The caller can't tell."""
    cut = wire.cut_commit(when)
    outcome = wire.answer("Q1", "m1")
    assert cut.happened == 1
    assert (outcome.version, outcome.state.current_step, outcome.state.answers) == (2, "Q2", {"Q1": 1})
    assert outcome.duplicate is (when == "after")
    wire.check_once("m1")
    assert wire.answer("Q2", "m2").version == 3
    wire.check_once("m1", "m2")


@pytest.mark.parametrize("when", ["before", "after"])
def test_answer_whose_every_commit_is_cut_is_unavailable_and_then_saved_once(wire: Wire, when: When) -> None:
    """The retries are used up: not acknowledged; sent again it has the same version, and counts once."""
    cut = wire.cut_commit(when, times=ATTEMPTS)
    with pytest.raises(DatabaseUnavailable):
        for number in range(ATTEMPTS):  # a retry that finds the answer there already may have nothing to commit
            wire.answer("Q1", "m1")
            assert number < cut.happened
    wire.proxy.heal()
    assert wire.answer("Q1", "m1").version == 2
    wire.check_once("m1")


def test_idle_connections_that_were_cut_cost_no_answer(wire: Wire) -> None:
    """As after a failover or a firewall's time-out."""
    for number in range(1, 4):
        assert wire.proxy.cut_all() > 0
        assert wire.answer(f"Q{number}", f"m{number}").version == number + 1
    wire.check_once("m1", "m2", "m3")


def test_database_that_can_not_be_reached_is_unavailable_and_comes_back(wire: Wire) -> None:
    """Nothing is acknowledged meanwhile, and nothing is half done."""
    wire.proxy.stop_accepting()
    wire.proxy.cut_all()
    with pytest.raises(DatabaseUnavailable):
        wire.answer("Q1", "m1")
    with pytest.raises(DatabaseUnavailable):
        wire.store.queries.load(KEY)
    wire.proxy.heal()
    assert wire.answer("Q1", "m1").version == 2
    wire.check_once("m1")


def test_many_threads_on_a_connection_that_is_cut_again_and_again_lose_and_double_nothing(wire: Wire) -> None:
    """Every fifth acknowledgement cuts the next COMMIT, before or after; each caller sends again until acknowledged."""
    keys = [SessionKey("phq9", f"u{number}") for number in range(8)]
    acknowledged: list[str] = []
    mutex = threading.Lock()

    def save(key: SessionKey) -> None:
        for number in range(20):
            command = Save(
                at=wire.store.clock(), message_id=f"m{number}", current_step="Q1", answers={"n": number},
                step_history=(), is_audio_mode=False, session_data=None,
            )  # fmt: skip
            submit_until_acknowledged(wire.store, key, command)
            with mutex:
                acknowledged.append(f"{key.user_id} m{number}")
                if len(acknowledged) % 5 == 0:
                    wire.cut_commit("before" if len(acknowledged) % 2 else "after")

    with ThreadPoolExecutor(len(keys)) as threads:
        list(threads.map(save, keys))
    wire.proxy.heal()
    assert len(acknowledged) == 160
    for key in keys:
        assert message_ids(wire.store, key) == {f"m{number}": 1 for number in range(20)}
        check_fold(wire.store, key)


def submit_until_acknowledged(store: SessionStore, key: SessionKey, command: Save) -> None:
    for _ in range(50):
        try:
            store.turns.submit_or_raise(key, command)
        except DatabaseUnavailable:
            continue
        return
    raise AssertionError("never acknowledged")


def test_nothing_sleeps_inside_a_transaction(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a retry waits, no connection is taken out and no transaction is open."""
    open_at_each_sleep: list[int] = []

    def probe(_seconds: float) -> None:
        engines = (wire.store._write_engine, wire.store.queries.engine)
        open_at_each_sleep.append(sum(engine.pool.checkedout() for engine in engines))  # type: ignore[attr-defined]

    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=probe))
    wire.cut_commit("before", times=ATTEMPTS - 1)
    wire.answer("Q1", "m1")
    assert open_at_each_sleep == [0] * (ATTEMPTS - 1)
