"""Sessions whose key is not configured: every access fails, the rows stay unchanged, and other sessions continue."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, delete, update

from app.errors import ConfigurationError, MissingKey, SessionUnreadable
from app.sessions.service import SessionStore
from app.store.encryption import Cipher, key_id
from app.store.tables import session_history
from app.survey.commands import Answer, Restart
from app.survey.snapshot import SessionKey
from app.writer.batch import Committed
from tests.durability.exactly_once import check_fold
from tests.store.encrypted import KEY, MARKER, NEW, OLD, OTHER, OpenWithKeys, all_values, fill, submit
from tests.streams import submit_or_queue
from tests.waiting import wait_for


@pytest.fixture
def keyless(open_with_keys: OpenWithKeys) -> tuple[SessionStore, SessionStore]:
    """A store without the key of a session, and the store of a second server that encrypted the session with it."""
    without = open_with_keys(OLD)
    without.turns.get_or_create(SessionKey("diary", "mine"), is_audio_mode=False)
    other = open_with_keys(NEW, OLD)
    fill(other)
    return without, other


def test_every_access_raises_missing_key_and_changes_nothing_without_the_key(
    keyless: tuple[SessionStore, SessionStore], engine: Engine
) -> None:
    """An operator who forgets a key loses nothing: the session is not set aside, overwritten or extended."""
    store, other = keyless
    before = all_values(engine)
    accesses: list[Callable[[], object]] = [
        lambda: store.queries.load(KEY),
        lambda: store.turns.get_or_create(KEY, is_audio_mode=False),
        lambda: store.turns.join(KEY, is_audio_mode=False, subscriber=None, callback=lambda _: None),
        lambda: store.turns.submit(KEY, Answer(at=60, step="S3", value="x")),
        lambda: store.turns.submit(KEY, Restart(at=60)),
        lambda: submit_or_queue(store, KEY, Answer(at=60, step="S3", value="x")),
        lambda: store.queries.history(KEY),
        lambda: store.queries.at_version(KEY, 2),
        lambda: store.erasure.set_aside(KEY, SessionUnreadable("diary", "user123", "seemingly")),
        store.queries.list,
    ]
    for access in accesses:
        with pytest.raises(MissingKey, match=key_id(NEW)):
            access()
    assert all_values(engine) == before
    assert not store.turns.pending.is_unavailable
    assert other.turns.get_or_create(KEY, is_audio_mode=False)[1]


def test_session_is_not_set_aside_when_it_was_encrypted_meanwhile(
    keyless: tuple[SessionStore, SessionStore], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Setting aside reads the row again under its lock: another server may have repaired and encrypted it."""
    store, _ = keyless
    before = all_values(engine)
    monkeypatch.setattr(store.queries, "load", lambda _key: None)
    with pytest.raises(MissingKey):
        store.erasure.set_aside(KEY, SessionUnreadable("diary", "user123", "seemingly"))
    assert all_values(engine) == before


def test_join_raises_missing_key_even_if_the_state_is_cached(
    keyless: tuple[SessionStore, SessionStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cached state serves only while the database is unavailable."""
    store, other = keyless
    snapshot = other.queries.load(KEY)
    monkeypatch.setattr(store.subscribers, "latest", lambda _key: snapshot)
    with pytest.raises(MissingKey):
        store.turns.join(KEY, is_audio_mode=False, subscriber=None, callback=lambda _: None)


def test_only_the_session_without_its_key_fails_in_a_batch(keyless: tuple[SessionStore, SessionStore]) -> None:
    """The others in the transaction are committed; with the key, the session continues."""
    store, other = keyless
    mine = SessionKey("diary", "mine")
    turns = [(key, Answer(at=70, step="S1", value="a")) for key in (KEY, mine)]
    failed, committed = store.turns.submit_many(turns)
    assert isinstance(failed, MissingKey)
    assert isinstance(committed, Committed)
    assert isinstance(other.turns.submit(KEY, turns[0][1]), Committed)
    check_fold(other, KEY)
    check_fold(other, mine)


def test_message_raises_missing_key_when_its_fingerprint_cannot_be_decrypted(
    open_with_keys: OpenWithKeys, engine: Engine
) -> None:
    """The store cannot know whether it is the same command: it fails until the key is configured."""
    store = open_with_keys(NEW)
    fill(store)
    other = open_with_keys(OLD, NEW)
    with engine.begin() as connection:
        location = ("session_history.data", "diary", "user123", 3)
        encrypted = Cipher([OTHER]).encrypt("{}", location)
        connection.execute(update(session_history).where(session_history.c.version == 3).values(data=encrypted))
    with pytest.raises(MissingKey, match=key_id(OTHER)):
        other.turns.submit(KEY, Answer(at=50, message_id="m1", step="S1", value=f"{MARKER} one"))


def test_pending_turn_without_its_key_does_not_delay_other_sessions(keyless: tuple[SessionStore, SessionStore]) -> None:
    """Accepted during an outage, it stays unacknowledged, but does not count as an outage itself."""
    store, other = keyless
    snapshot = other.queries.load(KEY)
    assert snapshot is not None
    outcomes: list[object] = []
    command = Answer(at=80, message_id="m9", step="S3", value="x")
    store.turns.pending.accept(KEY, command, lambda: (snapshot.state, snapshot.survey), outcomes.append)
    wait_for(lambda: not store.turns.pending.is_unavailable, "the database counts as unavailable")
    submit(store, Answer(at=81, step="S1", value="b"), key=SessionKey("diary", "mine"))
    assert store.turns.pending.holds(KEY)
    assert outcomes == []


def test_start_fails_without_the_newest_key(open_with_keys: OpenWithKeys, engine: Engine) -> None:
    """The error names the missing key by its id."""
    fill(open_with_keys(OLD))
    fill(open_with_keys(NEW, OLD), SessionKey("diary", "later"))
    for keys in ((), (OLD,), (OTHER,)):
        with pytest.raises(ConfigurationError, match=f"{key_id(NEW)}.*STEPKEEP_ANSWERS_KEYS"):
            open_with_keys(*keys)
    with engine.begin() as connection:  # a damaged value needs no key
        connection.execute(update(session_history).values(answer="enc:1", data=f"enc:1:{key_id(NEW)}:AAAA"))
    open_with_keys(NEW)


def encrypt_with_unknown_key(engine: Engine, *versions: int) -> None:
    """Encrypt these events' answers with a key that no server has; a damaged key id looks the same."""
    with engine.begin() as connection:
        for version in versions:
            answer = Cipher([OTHER]).encrypt("1", ("session_history.answer", *KEY, version))
            where = session_history.c.version == version
            connection.execute(update(session_history).where(where).values(answer=answer, data=None))


def test_start_succeeds_when_only_one_event_cannot_be_decrypted(open_with_keys: OpenWithKeys, engine: Engine) -> None:
    """A single event counts as damaged, and must not stop the server; two with the same key mean a missing key."""
    fill(open_with_keys(NEW))
    encrypt_with_unknown_key(engine, 3)
    open_with_keys(NEW)
    encrypt_with_unknown_key(engine, 4)
    with pytest.raises(ConfigurationError, match=f"{key_id(OTHER)}.*STEPKEEP_ANSWERS_KEYS"):
        open_with_keys(NEW)


def test_start_fails_when_no_event_can_be_decrypted(open_with_keys: OpenWithKeys, engine: Engine) -> None:
    """Even if there is only one event."""
    fill(open_with_keys(NEW))
    encrypt_with_unknown_key(engine, 3)
    with engine.begin() as connection:
        connection.execute(delete(session_history).where(session_history.c.version != 3))
    with pytest.raises(ConfigurationError, match=f"{key_id(OTHER)}.*STEPKEEP_ANSWERS_KEYS"):
        open_with_keys(NEW)
