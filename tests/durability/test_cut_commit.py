"""A connection that breaks during COMMIT: the outcome is unknown, and yet each answer is saved exactly once."""

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
# The whole statement as sent: without its framing, ISOLATION LEVEL READ COMMITTED would match too.
COMMIT = {"postgresql": b"COMMIT\0", "mysql": b"\x03COMMIT"}


@dataclass
class Wire:
    """A store, and the proxy between it and its database."""

    store: SessionStore
    proxy: Proxy
    kind: str

    def cut_commit(self, when: When, times: int = 1) -> Cut:
        """Break the connection at the next COMMITs, before the server gets them or after it has executed them."""
        return self.proxy.cut_when(COMMIT[self.kind], when, times)

    def answer(self, step: str, message_id: str) -> Committed:
        command = Answer(at=self.store.clock(), message_id=message_id, step=step, value=1)
        result = self.store.turns.submit(KEY, command)
        assert isinstance(result, Committed)
        return result

    def check_saved_once(self, *ids: str) -> None:
        assert message_ids(self.store, KEY) == dict.fromkeys(ids, 1)
        check_fold(self.store, KEY)


@pytest.fixture(params=SERVER_KINDS)
def wire(request: pytest.FixtureRequest, servers: Servers) -> Iterator[Wire]:
    """A store that reaches its database through a proxy; one session is started."""
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
def test_retry_saves_the_answer_once_when_its_commit_is_cut(wire: Wire, when: When) -> None:
    """Before: the server never got COMMIT. After: it committed and its reply was lost. The store cannot distinguish them."""
    cut = wire.cut_commit(when)
    outcome = wire.answer("Q1", "m1")
    assert cut.happened == 1
    assert (outcome.version, outcome.snapshot.state.current_step, outcome.snapshot.state.answers) == (
        2,
        "Q2",
        {"Q1": 1},
    )
    assert outcome.duplicate is (when == "after")
    wire.check_saved_once("m1")
    assert wire.answer("Q2", "m2").version == 3
    wire.check_saved_once("m1", "m2")


@pytest.mark.parametrize("when", ["before", "after"])
def test_answer_is_saved_once_when_sent_again_after_all_retries_failed(wire: Wire, when: When) -> None:
    """DatabaseUnavailable, not an acknowledgement; sent again, the answer gets the same version."""
    cut = wire.cut_commit(when, times=ATTEMPTS)
    with pytest.raises(DatabaseUnavailable):
        for number in range(ATTEMPTS):  # a retry that finds the answer saved has nothing to commit
            wire.answer("Q1", "m1")
            assert number < cut.happened
    wire.proxy.heal()
    assert wire.answer("Q1", "m1").version == 2
    wire.check_saved_once("m1")


def test_answers_are_saved_when_idle_connections_were_cut(wire: Wire) -> None:
    """As after a failover or a firewall's timeout."""
    for number in range(1, 4):
        assert wire.proxy.cut_all() > 0
        assert wire.answer(f"Q{number}", f"m{number}").version == number + 1
    wire.check_saved_once("m1", "m2", "m3")


def test_calls_raise_database_unavailable_while_the_database_is_unreachable(wire: Wire) -> None:
    """Nothing is acknowledged meanwhile, and afterwards the answer is saved once."""
    wire.proxy.stop_accepting()
    wire.proxy.cut_all()
    with pytest.raises(DatabaseUnavailable):
        wire.answer("Q1", "m1")
    with pytest.raises(DatabaseUnavailable):
        wire.store.queries.load(KEY)
    wire.proxy.heal()
    assert wire.answer("Q1", "m1").version == 2
    wire.check_saved_once("m1")


def test_concurrent_turns_are_saved_exactly_once_when_commits_are_cut_repeatedly(wire: Wire) -> None:
    """Every fifth acknowledgement cuts the next COMMIT, before or after; each caller retries until acknowledged."""
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


def test_no_connection_is_checked_out_while_a_retry_waits(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """So no transaction is open during the backoff either."""
    open_at_each_sleep: list[int] = []

    def probe(_seconds: float) -> None:
        engines = (wire.store._write_engine, wire.store.queries.engine)
        open_at_each_sleep.append(sum(engine.pool.checkedout() for engine in engines))  # type: ignore[attr-defined]

    monkeypatch.setattr("tenacity.nap.time", SimpleNamespace(sleep=probe))
    wire.cut_commit("before", times=ATTEMPTS - 1)
    wire.answer("Q1", "m1")
    assert open_at_each_sleep == [0] * (ATTEMPTS - 1)
