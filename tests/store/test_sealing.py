"""Answers at rest: nothing of them is readable in the database, and no key, place or byte passes for another."""

import base64
import hashlib
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, delete, select, update

from app.database import Database
from app.errors import ConfigurationError, MessageIdReused, MissingKey, SessionUnreadable
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store import encryption as module
from app.store.drivers import sqlite
from app.store.encryption import PLAIN, Cipher, DecryptionError, cipher_from_keys, key_id
from app.store.engine import normalise_url
from app.store.tables import session_history, sessions
from app.survey.commands import Answer, AnyCommand, Begin, Draft, Note, Restart, Update
from app.survey.events import from_record
from app.survey.snapshot import SessionKey
from app.survey.state import SessionState
from app.writer.batch import Committed
from tests.durability.exactly_once import check_fold
from tests.waiting import wait_for

OLD, NEW, OTHER = (hashlib.sha256(bytes([number])).digest() for number in (1, 2, 3))
MARKER = "Zwetschgenknödel"
PLACE = ("sessions.answers", "visit", "user123")

Open = Callable[..., SessionStore]


def keys_of(*keys: bytes) -> str:
    return ",".join(base64.b64encode(key).decode() for key in keys)


@pytest.fixture
def opened(settings: Settings, tmp_path: Path) -> Iterator[Open]:
    """Opens stores with these keys on the test's own database, and a survey that takes text."""
    folder = tmp_path / "surveys"
    folder.mkdir()
    (folder / "diary.yaml").write_text(
        "id: diary\ntitle: t\nlanguage: en\nsteps:\n"
        " - {id: S1, type: text, prompt: p}\n - {id: S2, type: text, prompt: p}\n - {id: S3, type: text, prompt: p}\n"
    )
    stores: list[SessionStore] = []

    def with_keys(*keys: bytes, **changes: object) -> SessionStore:
        given = Settings(database_url=settings.database_url, surveys_dir=folder, answers_keys=keys_of(*keys))
        stores.append(open_store(given.model_copy(update=changes)))
        return stores[-1]

    yield with_keys
    for one in stores:
        one.close()


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """The way in of somebody with a database client."""
    made = client_engine(settings)
    yield made
    made.dispose()


def client_engine(settings: Settings) -> Engine:
    """Return an engine that knows nothing of ours, but for the driver: of SQLite there may be one in a process."""
    url = normalise_url(settings.database_url)
    return create_engine(url, module=sqlite.driver()) if url.get_backend_name() == "sqlite" else create_engine(url)


KEY = SessionKey("diary", "user123")


TABLES = ("sessions", "session_history")


def all_values(engine: Engine) -> str:
    """Return every value of every column of both tables, read past all of our code."""
    with engine.connect() as connection:
        tables = [connection.exec_driver_sql(f"SELECT * FROM {name}").all() for name in TABLES]  # noqa: S608 - ours
    return "\n".join(str(value) for rows in tables for row in rows for value in row)


def do(store: SessionStore, *asked: AnyCommand, key: SessionKey = KEY) -> None:
    for command in asked:
        assert isinstance(store.turns.submit(key, command), Committed)


def live(store: SessionStore, key: SessionKey = KEY) -> None:
    """Leave the marker in every place where an answer can be."""
    store.turns.get_or_create(key, is_audio_mode=False)
    do(
        store,
        Draft(at=1, step="S1", value=f"{MARKER} half"),
        Answer(at=2, message_id="m1", step="S1", value=f"{MARKER} one"),
        Answer(at=3, step="S2", value=f"{MARKER} two"),
        Answer(at=4, step="S1", value=f"{MARKER} edited"),
        Note(at=5, action="called", step=None, answer={"said": MARKER}),
        Update(at=6, changes={"session_data": {"clinic": MARKER}}),
        Draft(at=7, step="S3", value=MARKER),
        key=key,
    )


def values_of(store: SessionStore, key: SessionKey = KEY) -> str:
    snapshot = store.queries.load(key)
    assert snapshot is not None
    return str(snapshot.state)


def swap(engine: Engine, column: str, users: tuple[str, str]) -> None:
    """Exchange a column's values of two participants."""
    with engine.begin() as connection:
        chosen = [select(sessions.c[column]).where(sessions.c.user_id == user) for user in users]
        values = [connection.execute(one).scalar_one() for one in chosen]
        for user, value in zip(users, reversed(values), strict=True):
            connection.execute(update(sessions).where(sessions.c.user_id == user).values({column: value}))


def test_nothing_of_an_answer_is_in_the_database(opened: Open, engine: Engine, settings: Settings) -> None:
    """Answer, edit, draft, note, integrator's data and a whole saved state: no column holds a word of them."""
    store = opened(NEW)
    live(store)
    database = Database(store)
    saved = database.save_session("user123", "S2", {"S1": f"{MARKER} saved"}, ["S1"], False, {"more": MARKER})
    assert saved
    do(store, Draft(at=9, step="S2", value=MARKER), Restart(at=10))
    live(store, SessionKey("diary", "another"))
    assert MARKER in values_of(store, SessionKey("diary", "another"))
    assert MARKER not in all_values(engine)
    assert "fingerprint" not in all_values(engine)
    assert f"enc:1:{key_id(NEW)}:" in all_values(engine)
    if settings.database_url.startswith("sqlite"):
        path = Path(normalise_url(settings.database_url).database or "")
        files = [file for file in path.parent.glob(f"{path.name}*") if file.is_file()]
        assert len(files) > 1  # the WAL is there
        # By another process: one that opens and closes the file by hand drops the locks of SQLite in it.
        assert subprocess.run(["grep", "-aFq", "user123", *files], check=False).returncode == 0
        assert subprocess.run(["grep", "-aFq", MARKER, *files], check=False).returncode == 1


def test_marker_is_found_where_there_is_no_key(opened: Open, engine: Engine) -> None:
    """Off by default; and the search of these tests finds what is plain."""
    live(opened())
    values = all_values(engine)
    assert values.count(MARKER) > 8
    assert "enc:" not in values


def test_fold_is_the_row_whatever_is_sealed(opened: Open) -> None:
    """Sealed sessions, and such as were begun before there was a key, come back as they were and go on."""
    plain, second = KEY, SessionKey("diary", "second")
    live(opened(), plain)
    store = opened(NEW)
    live(store, second)
    do(store, Answer(at=20, step="S3", value="end"), key=plain)
    for key in (plain, second):
        check_fold(store, key)
        check_fold(opened(OLD, NEW), key)
        assert store.queries.at_version(key, 4).state.answers == {"S1": f"{MARKER} one", "S2": f"{MARKER} two"}
    assert {snapshot.key.user_id for snapshot in store.queries.list()[0]} == {"user123", "second"}


def test_group_commit_seals_each_value_for_its_own_session(opened: Open, engine: Engine) -> None:
    """Many sessions' turns in one transaction, from many threads: each opens, and no two values are alike."""
    store = opened(NEW)
    keys = [SessionKey("diary", f"user{number}") for number in range(30)]
    assert all(isinstance(one, Committed) for one in store.turns.submit_many([(key, Begin(at=1)) for key in keys]))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda key: do(store, Answer(at=2, step="S1", value=MARKER), key=key), keys))
    results = store.turns.submit_many([(key, Answer(at=3, step="S2", value=MARKER)) for key in keys])
    assert all(isinstance(one, Committed) for one in results)
    for key in keys:
        check_fold(opened(NEW) if key is keys[0] else store, key)
    with engine.connect() as connection:
        answers = connection.execute(select(session_history.c.answer).where(session_history.c.answer.is_not(None)))
        sealed = answers.scalars().all()
    assert len(set(sealed)) == len(sealed) == 60


def test_message_sent_again_is_known_by_its_sealed_fingerprint(opened: Open) -> None:
    """The same command is a duplicate, another one with its id is refused; in a later process too."""
    live(opened(NEW))
    store = opened(OLD, NEW)
    again = store.turns.submit(KEY, Answer(at=50, message_id="m1", step="S1", value=f"{MARKER} one"))
    assert isinstance(again, Committed)
    assert (again.duplicate, again.version) == (True, 3)
    with pytest.raises(MessageIdReused):
        store.turns.submit(KEY, Answer(at=50, message_id="m1", step="S1", value="else"))


@pytest.fixture
def locked(opened: Open) -> tuple[SessionStore, SessionStore]:
    """A store that began before a second server sealed with a key that it was not given; and that server."""
    without = opened(OLD)
    without.turns.get_or_create(SessionKey("diary", "mine"), is_audio_mode=False)
    other = opened(NEW, OLD)
    live(other)
    return without, other


def test_session_without_its_key_is_locked_and_never_set_aside(
    locked: tuple[SessionStore, SessionStore], engine: Engine
) -> None:
    """An operator who forgets a key loses nothing: no door sets aside, overwrites or appends."""
    store, other = locked
    before = all_values(engine)
    doors: list[Callable[[], object]] = [
        lambda: store.queries.load(KEY),
        lambda: store.turns.get_or_create(KEY, is_audio_mode=False),
        lambda: store.turns.join(KEY, is_audio_mode=False, subscriber=None, callback=lambda _: None),
        lambda: store.turns.submit(KEY, Answer(at=60, step="S3", value="x")),
        lambda: store.turns.submit(KEY, Restart(at=60)),
        lambda: store.turns.submit_or_queue(KEY, Answer(at=60, step="S3", value="x"), print, print),  # type: ignore[arg-type]
        lambda: store.queries.history(KEY),
        lambda: store.queries.at_version(KEY, 2),
        lambda: store.erasure.set_aside(KEY, SessionUnreadable("diary", "user123", "seemingly")),
        store.queries.list,
    ]
    for door in doors:
        with pytest.raises(MissingKey, match=key_id(NEW)):
            door()
    assert all_values(engine) == before
    assert not store.turns.pending.is_unavailable
    assert other.turns.get_or_create(KEY, is_audio_mode=False)[1]


def test_session_that_is_locked_by_the_time_it_would_be_set_aside_stays(
    locked: tuple[SessionStore, SessionStore], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked again under its lock: another server may have mended and sealed it meanwhile."""
    store, _ = locked
    before = all_values(engine)
    monkeypatch.setattr(store.queries, "load", lambda _key: None)
    with pytest.raises(MissingKey):
        store.erasure.set_aside(KEY, SessionUnreadable("diary", "user123", "seemingly"))
    assert all_values(engine) == before


def test_locked_session_is_not_shown_as_it_once_was(
    locked: tuple[SessionStore, SessionStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this process remembers of it serves while the database is away; here the database is there."""
    store, other = locked
    snapshot = other.queries.load(KEY)
    monkeypatch.setattr(store.subscribers, "latest", lambda _key: snapshot)
    with pytest.raises(MissingKey):
        store.turns.join(KEY, is_audio_mode=False, subscriber=None, callback=lambda _: None)


def test_locked_session_fails_alone_in_its_batch(locked: tuple[SessionStore, SessionStore]) -> None:
    """The others in the same transaction are committed; with the key back all goes on."""
    store, other = locked
    mine = SessionKey("diary", "mine")
    turns = [(key, Answer(at=70, step="S1", value="a")) for key in (KEY, mine)]
    failed, done = store.turns.submit_many(turns)
    assert isinstance(failed, MissingKey)
    assert isinstance(done, Committed)
    assert isinstance(other.turns.submit(KEY, turns[0][1]), Committed)
    check_fold(other, KEY)
    check_fold(other, mine)


def test_message_whose_fingerprint_is_locked_is_neither_repeated_nor_done(opened: Open, engine: Engine) -> None:
    """Whether it is the same command can't be told: it fails until the key is there."""
    store = opened(NEW)
    live(store)
    blind = opened(OLD, NEW)
    with engine.begin() as connection:
        place = ("session_history.data", "diary", "user123", 3)
        sealed = Cipher([OTHER]).encrypt("{}", place)
        connection.execute(update(session_history).where(session_history.c.version == 3).values(data=sealed))
    with pytest.raises(MissingKey, match=key_id(OTHER)):
        blind.turns.submit(KEY, Answer(at=50, message_id="m1", step="S1", value=f"{MARKER} one"))


def test_locked_turn_that_waited_for_the_database_holds_up_nobody(locked: tuple[SessionStore, SessionStore]) -> None:
    """Accepted while the database seemed away, it stays unacknowledged; the database does not seem away for it."""
    store, other = locked
    snapshot = other.queries.load(KEY)
    assert snapshot is not None
    told: list[object] = []
    command = Answer(at=80, message_id="m9", step="S3", value="x")
    store.turns.pending.accept(KEY, command, lambda: (snapshot.state, snapshot.survey), told.append)
    wait_for(lambda: not store.turns.pending.is_unavailable, "the database seems away")
    do(store, Answer(at=81, step="S1", value="b"), key=SessionKey("diary", "mine"))
    assert store.turns.pending.holds(KEY)
    assert told == []


def test_start_is_refused_without_the_newest_key(opened: Open, engine: Engine) -> None:
    """A forgotten key is found when the server starts, by its id."""
    live(opened(OLD))
    live(opened(NEW, OLD), SessionKey("diary", "later"))
    for keys in ((), (OLD,), (OTHER,)):
        with pytest.raises(ConfigurationError, match=f"{key_id(NEW)}.*STEPKEEP_ANSWERS_KEYS"):
            opened(*keys)
    with engine.begin() as connection:  # a broken value is no missing key
        connection.execute(update(session_history).values(answer="enc:1", data=f"enc:1:{key_id(NEW)}:AAAA"))
    opened(NEW)


def lock(engine: Engine, *versions: int) -> None:
    """Seal these events' answers with a key that no server has: as one does whose key id was damaged."""
    with engine.begin() as connection:
        for version in versions:
            answer = Cipher([OTHER]).encrypt("1", ("session_history.answer", *KEY, version))
            where = session_history.c.version == version
            connection.execute(update(session_history).where(where).values(answer=answer, data=None))


def test_start_needs_no_key_of_one_event_among_others_that_open(opened: Open, engine: Engine) -> None:
    """One alone is a damaged one, which must not keep everybody out; two of one key that is not there are no accident."""
    live(opened(NEW))
    lock(engine, 3)
    opened(NEW)
    lock(engine, 4)
    with pytest.raises(ConfigurationError, match=f"{key_id(OTHER)}.*STEPKEEP_ANSWERS_KEYS"):
        opened(NEW)


def test_start_is_refused_when_nothing_opens(opened: Open, engine: Engine) -> None:
    """However little there is: one event that is locked, and no other."""
    live(opened(NEW))
    lock(engine, 3)
    with engine.begin() as connection:
        connection.execute(delete(session_history).where(session_history.c.version != 3))
    with pytest.raises(ConfigurationError, match=f"{key_id(OTHER)}.*STEPKEEP_ANSWERS_KEYS"):
        opened(NEW)


@pytest.mark.parametrize("column", ["answers", "drafts", "session_data"])
def test_values_of_two_rows_that_are_exchanged_open_nowhere(opened: Open, engine: Engine, column: str) -> None:
    """A value is bound to its participant: nobody is shown the answers of another."""
    store = opened(NEW)
    second = SessionKey("diary", "second")
    for key in (KEY, second):
        live(store, key)
    swap(engine, column, ("user123", "second"))
    for key in (KEY, second):
        with pytest.raises(SessionUnreadable, match="DecryptionError"):
            store.queries.load(key)


def test_values_of_two_columns_or_versions_that_are_exchanged_open_nowhere(opened: Open, engine: Engine) -> None:
    """A value is bound to its column, and in history to its event."""
    store = opened(NEW)
    live(store)
    with engine.begin() as connection:
        connection.execute(update(sessions).values(session_data=sessions.c.drafts))
        answers = dict(connection.execute(select(session_history.c.version, session_history.c.answer)).all())
        connection.execute(update(session_history).where(session_history.c.version == 3).values(answer=answers[4]))
    with pytest.raises(SessionUnreadable, match="DecryptionError"):
        store.queries.load(KEY)
    with pytest.raises(SessionUnreadable, match="DecryptionError"):
        store.queries.history(KEY)


@pytest.mark.parametrize("changed", ["cut", "flipped", "no base64", "parts"])
def test_changed_value_is_set_aside_as_corrupt_json_is(opened: Open, engine: Engine, changed: str) -> None:
    """The row is kept under another name, its history opens there still, and the participant begins anew."""
    store = opened(NEW)
    live(store)
    with engine.begin() as connection:
        value = connection.execute(select(sessions.c.answers)).scalar_one()
        flipped = value[:40] + ("A" if value[40] != "A" else "B") + value[41:]
        wrong = {"cut": value[:-8], "flipped": flipped, "no base64": value[:20] + "é", "parts": "enc:1"}[changed]
        connection.execute(update(sessions).values(answers=wrong))
    snapshot, resumed = store.turns.get_or_create(KEY, is_audio_mode=False)
    assert (resumed, snapshot.state.answers) == (False, {})
    check_fold(store, KEY)
    with engine.connect() as connection:
        kept = connection.execute(select(sessions.c.user_id).where(sessions.c.answers == wrong)).scalar_one()
    assert kept.startswith("user123~set-aside-")
    entries = store.queries.history(SessionKey("diary", kept))
    assert any(MARKER in str(from_record(entry.record)) for entry in entries)
    assert [snapshot.key.user_id for snapshot in store.queries.list()[0]] == ["user123"]


def test_list_leaves_out_what_was_set_aside_and_is_locked(opened: Open, engine: Engine) -> None:
    """What support keeps does not need its old key for ever."""
    store = opened(NEW)
    live(store)
    sealed = Cipher([OTHER]).encrypt("{}", ("sessions.answers", "diary", "old"))
    with engine.begin() as connection:
        row = connection.execute(select(sessions)).mappings().one()
        connection.execute(sessions.insert(), {**row, "user_id": "old~set-aside-1", "answers": sealed})
    assert [snapshot.key.user_id for snapshot in store.queries.list()[0]] == ["user123"]


def test_start_asks_for_no_key_of_what_was_set_aside(opened: Open, engine: Engine) -> None:
    """Else a key that is needed for nothing else could never be taken out."""
    live(opened(OLD))
    with engine.begin() as connection:
        row = dict(connection.execute(select(sessions)).mappings().one())
        connection.execute(sessions.insert(), {**row, "user_id": "user123~set-aside-1"})
        connection.execute(update(session_history).values(user_id="user123~set-aside-1"))
    opened(NEW)


def test_plain_first_opens_and_seals_no_more(opened: Open, engine: Engine) -> None:
    """The way back: what is sealed can be read, what is new is plain."""
    live(opened(NEW))
    given = opened(NEW).settings.model_copy(
        update={"answers_keys": Settings(answers_keys=f"plain,{keys_of(NEW)}").answers_keys}
    )
    store = open_store(given)
    do(store, Answer(at=90, step="S3", value="plainly"))
    check_fold(store, KEY)
    store.close()
    assert "plainly" in all_values(engine)


@given(st.text(), st.text(max_size=9), st.text(st.characters(exclude_characters="~", codec="utf-8"), max_size=9))
def test_what_is_sealed_opens_only_where_it_was_sealed(text: str, survey_id: str, user_id: str) -> None:
    """Round trip; any other key, column, session or version opens nothing."""
    cipher, place = Cipher([NEW, OLD]), ("session_history.data", survey_id, user_id, 7)
    sealed = cipher.encrypt(text, place)
    assert sealed.startswith(f"enc:1:{key_id(NEW)}:")
    assert cipher.decrypt(sealed, place) == Cipher([OLD, NEW]).decrypt(sealed, place) == text
    assert cipher.decrypt(sealed, (*place[:2], f"{user_id}~set-aside-2026", 7)) == text
    for other in (
        ("session_history.answer", *place[1:]), (place[0], survey_id + "x", *place[2:]),
        (*place[:2], user_id + "x", 7), (*place[:3], 8), place[:3],
        ("session_history.data", survey_id + user_id, "", 7) if user_id else ("", *place[1:]),
    ):  # fmt: skip
        with pytest.raises(DecryptionError):
            cipher.decrypt(sealed, other)
    with pytest.raises(MissingKey):
        Cipher([OLD]).decrypt(sealed, place)


@given(st.data())
def test_any_changed_byte_is_noticed(data: st.DataObject) -> None:
    """GCM's tag covers nonce and text; what is no value of ours is broken or locked, never opened, never a crash."""
    cipher = Cipher([NEW])
    sealed = cipher.encrypt('{"S1":"x"}', PLACE)
    head, body = sealed[: len(cipher.prefix)], sealed[len(cipher.prefix) :]
    raw = bytearray(base64.urlsafe_b64decode(body))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    for wrong in (head + base64.urlsafe_b64encode(raw).decode(), sealed[: data.draw(st.integers(4, len(sealed) - 4))]):
        with pytest.raises((DecryptionError, MissingKey)):
            cipher.decrypt(wrong, PLACE)


@given(st.text())
def test_text_of_any_kind_after_the_mark_never_opens(text: str) -> None:
    """Whoever writes it there."""
    with pytest.raises((DecryptionError, MissingKey)):
        Cipher([NEW]).decrypt(f"enc:{text}", PLACE)


def test_form_of_a_newer_version_is_locked_not_broken() -> None:
    """An older program beside a newer one sets nothing aside."""
    sealed = Cipher([NEW]).encrypt("{}", PLACE).replace("enc:1:", "enc:2:", 1)
    with pytest.raises(MissingKey):
        Cipher([NEW]).decrypt(sealed, PLACE)


def test_nonce_is_never_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each value has its own, from the system, and it stands before the ciphertext."""
    nonces: list[bytes] = []
    real = module.os.urandom
    monkeypatch.setattr(module.os, "urandom", lambda size: nonces.append(real(size)) or nonces[-1])
    cipher = Cipher([NEW])
    sealed = [cipher.encrypt("{}", PLACE) for _ in range(100)]
    assert len(set(nonces)) == len(set(sealed)) == 100
    assert [base64.urlsafe_b64decode(one.rsplit(":", 1)[1])[:12] for one in sealed] == nonces


def test_without_keys_values_stay_as_they_are() -> None:
    """Off: not a byte changes, and nothing seems sealed."""
    assert PLAIN.encrypt("{}", PLACE) == PLAIN.decrypt("{}", PLACE) == "{}"
    assert not PLAIN.is_on
    assert cipher_from_keys("") is PLAIN


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("nonsense!", "key 1 of 1"), (keys_of(NEW) + ",", "key 2 of 2"), (keys_of(NEW, b"short"), "key 2 of 2"),
        (keys_of(bytes(32)), "not random"), (keys_of(NEW, OLD, NEW), "twice"), (keys_of(NEW) + ",plain", "key 2 of 2"), ("plain,é", "key 1 of 1"),
        (base64.b64encode(NEW).decode()[:-1], "key 1 of 1"), (NEW.hex(), "key 1 of 1"),
    ],
)  # fmt: skip
def test_keys_that_can_not_be_used_stop_the_start_and_are_not_shown(given: str, told: str, settings: Settings) -> None:
    """The message says which one, and how to make one."""
    wrong = Settings(database_url=settings.database_url, surveys_dir=settings.surveys_dir, answers_keys=given)
    with pytest.raises(ConfigurationError, match=told) as refused:
        open_store(wrong)
    shown = f"{refused.value!r} {wrong!r} {refused.value.__context__!r}"
    assert not any(item.strip() in shown for item in given.split(",") if len(item) > 5)


def test_keys_in_either_alphabet_of_base64_are_the_same() -> None:
    """As ``openssl rand -base64 32`` and Python's ``secrets`` make them; blanks around them don't count."""
    key = bytes(range(0xDF, 0xFF))
    plain, url = base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode()
    assert plain != url
    assert cipher_from_keys(f" {plain} ").prefix == cipher_from_keys(url).prefix == f"enc:1:{key_id(key)}:"


def test_state_type_is_kept(opened: Open) -> None:
    """A sealed session is read as a session."""
    live(opened(NEW))
    snapshot = opened(NEW).queries.load(KEY)
    assert snapshot is not None
    assert isinstance(snapshot.state, SessionState)
