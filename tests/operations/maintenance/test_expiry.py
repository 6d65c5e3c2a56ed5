"""Sessions past the deadline of their survey, or of STEPKEEP_EXPIRES_AFTER, are closed."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import DatabaseUnavailable, MissingKey
from app.operations.maintenance import expiry, sweep
from app.operations.maintenance.expiry import ExpiryResult, expire
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store import audit
from app.store.sessions import count_by_survey
from app.survey.commands import Answer, Begin, Restart
from app.survey.flow import status_at
from app.survey.snapshot import SessionKey
from app.writer.batch import Committed
from tests.conftest import SURVEYS, NewStore, examples
from tests.operations.maintenance.test_retention import losing_once
from tests.store.contents import clear, dump
from tests.store.test_erasures import Connection, set_aside

DAY_US = 86_400 * 1_000_000
ANN = SessionKey("phq9", "ann")
BOB = SessionKey("intake", "bob")


class Clock:
    """Says the time that it is told."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(1_700_000_000_000_000)


@pytest.fixture
def surveys(tmp_path: Path) -> Path:
    """Return a folder with PHQ-9, which expires after 14 days, and a survey that does not expire."""
    for file in SURVEYS.iterdir():
        text = file.read_text()
        if "id: phq9" not in text:
            text = re.sub(r"^expires_after:.*$", "", text, flags=re.MULTILINE)
        (tmp_path / file.name).write_text(text)
    return tmp_path


@pytest.fixture
def plain(settings: Settings, surveys: Path) -> Settings:
    return settings.model_copy(update={"surveys_dir": surveys, "retry_delay_s": 0})


@pytest.fixture
def expiring(plain: Settings, clock: Clock, new_store: NewStore) -> SessionStore:
    """Yield a store with STEPKEEP_EXPIRES_AFTER of thirty days."""
    return new_store(plain, clock, expires_after="30d")


def begin(store: SessionStore, *keys: SessionKey, at: int) -> None:
    assert all(
        isinstance(result, Committed) for result in store.turns.submit_many([(key, Begin(at=at)) for key in keys])
    )


def status(store: SessionStore, key: SessionKey) -> str:
    snapshot = store.queries.load(key)
    assert snapshot is not None
    return snapshot.state.status


def listed(store: SessionStore, wanted: str) -> set[SessionKey]:
    snapshots, _ = store.queries.list(filters={"status": wanted})
    return {snapshot.key for snapshot in snapshots}


def counted(store: SessionStore) -> dict[str, int]:
    counts = store.run_read(lambda connection: count_by_survey(connection, store.clock()))
    return {count.survey_id: count.expired for count in counts if count.expired}


AGES = st.lists(
    st.tuples(
        st.sampled_from(["phq9", "intake"]), st.sampled_from([0, 1, 13.9, 14, 14.1, 29.9, 30, 31]), st.booleans()
    ),
    max_size=9,
)


def test_past_version_has_its_status_of_that_time(expiring: SessionStore, clock: Clock) -> None:
    """However long ago; the latest version has the current status."""
    begin(expiring, ANN, at=clock())
    expiring.turns.submit(ANN, Answer(at=clock(), step="Q1", value=1))
    clock.now += 15 * DAY_US
    assert expiring.queries.at_version(ANN, 1).to_dict(clock())["status"] == "in_progress"
    assert expiring.queries.at_version(ANN, 2).to_dict(clock())["status"] == "expired"
    expire(expiring)
    assert expiring.queries.at_version(ANN, 2).to_dict(clock())["status"] == "in_progress"
    assert expiring.queries.at_version(ANN, 3).to_dict(clock())["status"] == "expired"


@examples(12)
@given(ages=AGES, before=st.sampled_from([None, "7d"]), examined=st.integers(1, 4), together=st.integers(1, 3))
def test_expiry_closes_the_sessions_that_interfaces_show_as_expired(  # noqa: PLR0917 - fixtures and what is drawn
    plain: Settings,
    expiring: SessionStore,
    clock: Clock,
    ages: list[tuple[str, float, bool]],
    before: str | None,
    examined: int,
    together: int,
) -> None:
    """Also sessions that were written before STEPKEEP_EXPIRES_AFTER changed; lists and counts agree at any time."""
    clear(expiring)
    earlier = open_store(plain.model_copy(update={"expires_after": before}), clock)
    keys = []
    for number, (survey, days, is_completed_elsewhere) in enumerate(ages):
        keys.append(SessionKey(survey, f"user{number}"))
        begin(expiring if is_completed_elsewhere else earlier, keys[-1], at=clock.now - int(days * DAY_US))
    earlier.close()
    snapshots = [expiring.queries.load(key) for key in keys]
    over = {
        snapshot.key
        for snapshot in snapshots
        if snapshot and status_at(snapshot.survey, snapshot.state, clock.now) == "expired"
    }
    counts: dict[str, int] = {}
    for key in sorted(over):
        counts[key.survey_id] = counts.get(key.survey_id, 0) + 1
    untouched = dump(expiring)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "SCAN_LIMIT", examined)
        patch.setattr(sweep, "MAX_SESSIONS", together)
        predicted = expire(expiring, dry_run=True)
        assert dump(expiring) == untouched
        assert expire(expiring) == predicted
    assert predicted.expired == counts
    assert expire(expiring) == ExpiryResult(expired={}, deadlines_updated=0)
    assert {key for key in keys if status(expiring, key) == "expired"} == over == listed(expiring, "expired")
    assert counted(expiring) == counts
    clock.now += 10 * DAY_US
    by_doors = {
        snapshot.key
        for key in keys
        if (snapshot := expiring.queries.load(key)) and snapshot.to_dict(clock.now)["status"] == "expired"
    }
    assert listed(expiring, "expired") == by_doors
    assert sum(counted(expiring).values()) == len(by_doors)
    clock.now -= 10 * DAY_US


@pytest.mark.one_database
def test_default_changes_no_revision(plain: Settings, expiring: SessionStore, new_store: NewStore) -> None:
    """Sessions stay pinned to the file's revision, and the survey's own duration takes precedence."""
    without = new_store(plain)
    for survey_id, survey in without.catalogue.surveys.items():
        assert expiring.catalogue.surveys[survey_id].revision == survey.revision
        assert expiring.catalogue.surveys[survey_id].definition == survey.definition
    assert without.catalogue.surveys["intake"].expires_after_us is None
    assert expiring.catalogue.surveys["intake"].expires_after_us == 30 * DAY_US
    assert expiring.catalogue.surveys["phq9"].expires_after_us == 14 * DAY_US


def test_default_applies_to_older_revisions(plain: Settings, surveys: Path, clock: Clock) -> None:
    """Sessions of a revision that no file has any more expire too."""
    first = open_store(plain, clock)
    begin(first, BOB, at=clock.now)
    first.close()
    file = surveys / "intake.yaml"
    file.write_text(re.sub(r"^title: .*$", "title: Another", file.read_text(), flags=re.MULTILINE))
    store = open_store(plain.model_copy(update={"expires_after": "2d"}), clock)
    assert expire(store) == ExpiryResult(expired={}, deadlines_updated=1)
    clock.now += 2 * DAY_US
    assert listed(store, "expired") == {BOB}
    assert expire(store).expired == {"intake": 1}
    store.close()


@pytest.mark.one_database
def test_expiry_notifies_subscribers_and_allows_a_restart(expiring: SessionStore, clock: Clock) -> None:
    """It is the last event of the history; the audit log has the number of sessions and no user ids."""
    begin(expiring, ANN, at=clock.now - 15 * DAY_US)
    told = Connection()
    expiring.subscribers.subscribe(ANN, told)
    expire(expiring, actor="somebody")
    assert [entry.record.action for entry in expiring.queries.history(ANN)] == ["started", "expired"]
    page = expiring.run_read(lambda connection: audit.read_page(connection, None, 9, {}))
    entry = page.items[0].entry
    assert (entry.action, entry.actor, entry.user_id, entry.detail) == (
        "sessions_expired",
        "somebody",
        None,
        {"sessions": 1},
    )
    assert isinstance(expiring.turns.submit(ANN, Restart(at=clock.now)), Committed)
    assert expire(expiring).expired == {}


def test_session_stays_open_when_an_answer_is_committed_first(
    expiring: SessionStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline is checked again under the lock."""
    others = [SessionKey("phq9", f"user{number}") for number in range(3)]
    begin(expiring, ANN, *others, at=clock.now - 14 * DAY_US)
    real = expiry._classify

    def then_answered(*args: Any) -> Any:
        result = real(*args)
        assert isinstance(expiring.turns.submit(ANN, Answer(at=clock.now - 1, step="Q1", value=1)), Committed)
        return result

    monkeypatch.setattr(expiry, "_classify", then_answered)
    assert expire(expiring).expired == {"phq9": 3}
    assert status(expiring, ANN) == "in_progress"
    assert listed(expiring, "expired") == set(others)


def test_deadline_is_not_updated_when_the_row_changed(
    expiring: SessionStore, plain: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer meanwhile has set the deadline itself."""
    earlier = open_store(plain, clock)
    begin(earlier, BOB, at=clock.now - DAY_US)
    earlier.close()
    real = expiry._classify

    def then_begun_anew(*args: Any) -> Any:
        result = real(*args)
        expiring.turns.submit(BOB, Restart(at=clock.now))
        return result

    monkeypatch.setattr(expiry, "_classify", then_begun_anew)
    expire(expiring)
    monkeypatch.undo()
    assert expire(expiring) == ExpiryResult(expired={}, deadlines_updated=0)


def test_unreadable_sessions_stay_and_all_others_expire(expiring: SessionStore, clock: Clock) -> None:
    """Corrupt, set-aside and hand-written rows."""
    keys = [SessionKey("phq9", user) for user in ("ann", "bob", "cat", "dan")]
    begin(expiring, *keys, at=clock.now - 15 * DAY_US)
    set_aside(expiring, keys[1])
    for statement in ["UPDATE sessions SET answers = 'no JSON' WHERE user_id = 'ann'"] + [
        "UPDATE sessions SET updated_at = 'who knows' WHERE user_id = 'cat'"
    ] * (expiring.queries.database_facts()["database"] == "sqlite"):
        expiring.run_transaction(lambda connection, statement=statement: connection.exec_driver_sql(statement))
    gone = 1 if expiring.queries.database_facts()["database"] == "sqlite" else 2
    done = expire(expiring)
    assert (done.expired, done.locked, done.unreadable) == ({"phq9": gone}, 0, 1)
    assert status(expiring, keys[3]) == "expired"


@pytest.mark.one_database
def test_locked_sessions_are_counted_and_stay_open(
    expiring: SessionStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that closes nothing because of a missing key is distinguishable from one without work."""
    begin(expiring, ANN, at=clock.now - 15 * DAY_US)
    monkeypatch.setattr(expiring._writer, "submit_many", lambda turns: [MissingKey("k1")] * len(turns))
    assert expire(expiring) == ExpiryResult(expired={}, deadlines_updated=0, locked=1)


@pytest.mark.one_database
def test_session_is_counted_when_the_response_of_its_commit_was_lost(
    expiring: SessionStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retry finds the session closed by itself."""
    begin(expiring, ANN, at=clock.now - 15 * DAY_US)
    real = expiring._connection.transact
    lost = losing_once(real, is_committed=True)
    monkeypatch.setattr(expiring._connection, "transact", lost)
    assert expire(expiring).expired == {"phq9": 1}
    assert [entry.record.action for entry in expiring.queries.history(ANN)] == ["started", "expired"]


@pytest.mark.one_database
def test_unavailable_database_is_an_error(
    expiring: SessionStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not look like sessions that need not expire."""
    begin(expiring, ANN, at=clock.now - 15 * DAY_US)
    monkeypatch.setattr(expiring._writer, "submit_many", lambda turns: [DatabaseUnavailable("away")] * len(turns))
    with pytest.raises(DatabaseUnavailable):
        expire(expiring)
