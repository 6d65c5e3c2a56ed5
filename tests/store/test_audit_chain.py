"""The audit log's hash chain: what verification notices, erasures that keep it, and concurrent writers."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import Connection, delete, insert, select, update

from app.errors import ConfigurationError
from app.operations.integrity import verify_audit_log
from app.operations.maintenance import purge_audit_log
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store import audit
from app.store.audit_chain import UNKEYED, AuditKeys, _link, find_start
from app.store.tables import audit_head, audit_log
from app.survey.snapshot import SessionKey

SECRET = "a secret key for the tests that is long enough"
Change = Callable[[Connection], object]
column = audit_log.c


@pytest.fixture
def store(settings: Settings) -> Iterator[SessionStore]:
    """A store with a secret key and five entries, one about a participant with a session."""
    with closing(open_store(with_secret(settings, SECRET))) as store:
        store.turns.get_or_create(SessionKey("phq9", "ada"), is_audio_mode=False)
        record(store, 5)
        yield store


def with_secret(settings: Settings, *secrets: str) -> Settings:
    newest, *fallbacks = secrets
    keys = {"secret_key": SecretStr(newest), "secret_key_fallbacks": SecretStr(",".join(fallbacks))}
    return settings.model_copy(update=keys)


def record(store: SessionStore, count: int) -> None:
    for number in range(count):
        key = SessionKey("phq9", "ada") if number % 2 else None
        store.audit_log.record("operator", "session_read", key, {"number": number} if number else {})


def ids(store: SessionStore) -> list[int]:
    return store.run_read(lambda connection: list(connection.execute(select(column.id).order_by(column.id)).scalars()))


def problem(store: SessionStore, change: Change) -> str | None:
    """Return what verification says after a change made by someone with access to the database only."""
    store.run_transaction(change)
    return verify_audit_log(store).problem


def test_intact_chain_is_verified(store: SessionStore) -> None:
    first = verify_audit_log(store)
    assert (first.entries, first.problem, first.unchained, first.unkeyed, first.erased) == (5, None, 0, 0, 0)
    number, _, link = first.newest.partition(":")
    assert (number, len(link)) == ("5", 64)
    record(store, 2)
    later = verify_audit_log(store, expected=first.newest)
    assert (later.entries, later.problem) == (7, None)


def swap(connection: Connection, one: int, other: int) -> None:
    for old, new in ((one, -1), (other, one), (-1, other)):
        connection.execute(update(audit_log).where(column.id == old).values(id=new))


CHANGES: dict[str, tuple[Callable[[list[int]], Change], str]] = {
    "changed": (
        lambda ids: lambda it: it.execute(update(audit_log).where(column.id == ids[1]).values(actor="anyone")),
        "entry {1} was changed",
    ),
    "changed detail": (
        lambda ids: lambda it: it.execute(update(audit_log).where(column.id == ids[2]).values(detail=None)),
        "entry {2} was changed",
    ),
    "other participant": (
        lambda ids: lambda it: it.execute(update(audit_log).where(column.id == ids[1]).values(user_id="ben")),
        "entry {1} has another user id",
    ),
    "participant without salt": (
        lambda ids: (
            lambda it: it.execute(update(audit_log).where(column.id == ids[1]).values(user_id="ben", salt=None))
        ),
        "entry {1} has another user id, without an erasure",
    ),
    "participant added": (
        lambda ids: lambda it: it.execute(update(audit_log).where(column.id == ids[0]).values(user_id="ben")),
        "entry {0} has a user id that was added",
    ),
    "removed in the middle": (
        lambda ids: lambda it: it.execute(delete(audit_log).where(column.id == ids[2])),
        "entry {3} was changed, or entries before it were removed or moved",
    ),
    "removed at the beginning": (
        lambda ids: lambda it: it.execute(delete(audit_log).where(column.id == ids[0])),
        "entry {1} was changed, or entries before it were removed or moved",
    ),
    "removed at the end": (
        lambda ids: lambda it: it.execute(delete(audit_log).where(column.id >= ids[3])),
        "the newest 2 entries were removed",
    ),
    "moved": (lambda ids: lambda it: swap(it, ids[1], ids[3]), "entry {1} was changed"),
    "taken out of the chain": (
        lambda ids: lambda it: it.execute(update(audit_log).where(column.id <= ids[1]).values(link=None)),
        "entry {2} was changed, or entries before it were removed or moved",
    ),
    "inserted": (
        lambda _ids: lambda it: it.execute(insert(audit_log).values(at=1, actor="operator", action="audit_read")),
        "is not in the chain",
    ),
    "head removed": (lambda _ids: lambda it: it.execute(delete(audit_head)), "the row of audit_head was removed"),
    "head changed": (
        lambda ids: (
            lambda it: (
                it.execute(delete(audit_log).where(column.id == ids[4])),
                it.execute(update(audit_head).values(entries=4)),
            )
        ),
        "the row of audit_head was changed",
    ),
    "made without the key": (
        lambda ids: lambda it: it.execute(update(audit_log).where(column.id == ids[4]).values(key_id="unkeyed")),
        "entry {4} was changed",
    ),
}


def relink(connection: Connection, kept: int, ends_at: int | None = None) -> None:
    """Link all but the first ``kept`` entries again, without a key, and remove those after ``ends_at``."""
    rows = connection.execute(select(audit_log).order_by(column.id)).all()
    keys, link = AuditKeys.derive(()), rows[kept - 1].link if kept else ""
    for number, row in enumerate(rows[kept:ends_at], kept + 1):
        values = {**row._asdict(), "actor": "anyone", "key_id": UNKEYED}
        link = _link(keys, number, link, values)
        changed = {"actor": "anyone", "key_id": UNKEYED, "link": link}
        connection.execute(update(audit_log).where(column.id == row.id).values(changed))
    connection.execute(delete(audit_log).where(column.id > rows[:ends_at][-1].id))
    count = len(rows[:ends_at])
    mac = keys.digest(UNKEYED, count, link)
    connection.execute(update(audit_head).values(entries=count, link=link, key_id=UNKEYED, mac=mac))


@pytest.mark.one_database
@pytest.mark.parametrize("kept", range(5))
def test_entries_linked_again_without_the_key_are_noticed(store: SessionStore, kept: int) -> None:
    """Also after a server added an entry with the key, unless the whole log was linked again: those are counted."""
    before = ids(store)
    found = problem(store, lambda it: relink(it, kept))
    expected = f"entry {before[kept]}" if kept else "the row of audit_head"
    assert found is not None
    assert found.startswith(f"{expected} was made without SECRET_KEY")
    record(store, 1)
    result = verify_audit_log(store)
    assert (result.problem, result.unkeyed) == ((found, 0) if kept else (None, 5))


def test_entries_removed_with_a_head_made_without_the_key_are_noticed(store: SessionStore) -> None:
    """The entries that are left are intact."""
    found = problem(store, lambda it: relink(it, 3, 3))
    assert found is not None
    assert found.startswith("the row of audit_head was made without SECRET_KEY")


def test_secret_key_can_be_set_after_the_first_entries(settings: Settings) -> None:
    """Until the first entry with the key, this can't be told from a forgery; later, those before it are counted."""
    with closing(open_store(with_secret(settings, ""))) as development:
        record(development, 2)
    with closing(open_store(with_secret(settings, SECRET))) as store:
        found = verify_audit_log(store).problem
        assert found is not None
        assert found.startswith("the row of audit_head was made without SECRET_KEY")
        record(store, 1)
        result = verify_audit_log(store)
        assert (result.problem, result.entries, result.unkeyed) == (None, 3, 2)
        change = update(audit_log).where(column.id == ids(store)[0]).values(actor="x")
        assert problem(store, lambda connection: connection.execute(change)) is not None


def test_entry_without_secret_key_is_refused_after_entries_with_it(settings: Settings, store: SessionStore) -> None:
    """It would make the log not intact. What needs the entry is not done; what needs none is."""
    key = SessionKey("phq9", "ada")
    with closing(open_store(with_secret(settings, ""))) as development:
        development.turns.get_or_create(SessionKey("phq9", "ben"), is_audio_mode=False)
        with pytest.raises(ConfigurationError, match="SECRET_KEY is not set, but the audit log was made with it"):
            development.erasure.delete(key, actor="operator")
        assert development.queries.load(key) is not None
    result = verify_audit_log(store)
    assert (result.problem, result.entries) == (None, 5)


def test_first_entry_with_secret_key_is_logged_if_others_were_made_without(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Once: after a log was in use with the key, this line tells that someone linked it again without."""
    with closing(open_store(with_secret(settings, ""))) as development:
        record(development, 2)
    with closing(open_store(with_secret(settings, SECRET))) as store, caplog.at_level(logging.WARNING):
        record(store, 2)
    (line,) = [line.message for line in caplog.records if line.name == "stepkeep.audit"]
    assert line.startswith("the 2 entries of the audit log up to now were made without SECRET_KEY")


@pytest.mark.one_database
@pytest.mark.parametrize("name", CHANGES)
def test_first_entry_that_was_changed_removed_or_moved_is_named(store: SessionStore, name: str) -> None:
    change, text = CHANGES[name]
    before = ids(store)
    found = problem(store, change(before))
    assert found is not None
    assert text.format(*before) in found


def test_database_that_was_set_back_is_noticed_with_an_earlier_link(store: SessionStore) -> None:
    """Entries and head of an earlier time are intact: only someone who kept a later link can notice."""
    old = store.run_read(lambda connection: connection.execute(select(audit_head)).one()._asdict())
    last = max(ids(store))
    record(store, 1)
    newest = verify_audit_log(store).newest

    def set_back(connection: Connection) -> None:
        connection.execute(delete(audit_log).where(column.id > last))
        connection.execute(update(audit_head).values(old))

    assert problem(store, set_back) is None
    later = verify_audit_log(store, expected=newest)
    assert later.problem == f"the chain no longer contains {newest}: entries were removed, or a backup was restored"


def test_erasure_keeps_the_chain_and_no_guess_can_be_checked(store: SessionStore) -> None:
    """The user id and the salt are removed from each entry about the participant."""
    assert store.erasure.delete(SessionKey("phq9", "ada"))
    result = verify_audit_log(store)
    assert (result.problem, result.erased) == (None, 2)
    rows = store.run_read(lambda connection: connection.execute(select(audit_log)).all())
    about = [row for row in rows if row.commitment is not None and row.action == "session_read"]
    assert [(row.user_id.startswith("erased:"), row.salt) for row in about] == [(True, None)] * 2
    assert len({row.commitment for row in about}) == 2  # a salt for each entry
    record(store, 1)
    assert verify_audit_log(store).problem is None


def test_chain_continues_with_a_new_secret_key(settings: Settings, store: SessionStore) -> None:
    """Verification needs the earlier keys; without one it says which entry needs it."""
    with closing(open_store(with_secret(settings, "another secret key for the tests", SECRET))) as rotated:
        record(rotated, 2)
        assert verify_audit_log(rotated).problem is None
        assert verify_audit_log(rotated).entries == 7
    found = verify_audit_log(store).problem
    assert found is not None
    assert found.endswith("of an earlier SECRET_KEY: add that to STEPKEEP_SECRET_KEY_FALLBACKS for this command")


def test_entries_from_before_the_chain_are_counted(store: SessionStore) -> None:
    """Nothing shows whether they were changed."""

    def before(connection: Connection) -> None:
        row = {"at": 1, "actor": "operator", "action": "audit_read", "id": -5}
        connection.execute(insert(audit_log).values(row))

    store.run_transaction(before)
    result = verify_audit_log(store)
    assert (result.problem, result.unchained, result.entries) == (None, 1, 5)


def test_entries_without_secret_key_are_counted(settings: Settings) -> None:
    """In development anyone could have made them; the chain still shows accidents."""
    with closing(open_store(with_secret(settings, ""))) as store:
        record(store, 3)
        assert (verify_audit_log(store).unkeyed, verify_audit_log(store).problem) == (3, None)
        change = update(audit_log).where(column.id == ids(store)[1]).values(actor="x")
        assert problem(store, lambda connection: connection.execute(change)) is not None


def test_purge_keeps_the_chain_verifiable(store: SessionStore) -> None:
    """From where it left the beginning; what is removed by other means is still noticed, at both ends."""
    expected = verify_audit_log(store).newest
    third = store.run_read(lambda connection: connection.execute(select(column.at).order_by(column.id)).all()[2].at)
    assert purge_audit_log(store, third) == 2
    assert purge_audit_log(store, third) == 0
    record(store, 2)
    result = verify_audit_log(store, expected=expected)
    assert (result.problem, result.entries, result.purged) == (None, 8, 2)
    assert purge_audit_log(store, 2**52) == 6
    result = verify_audit_log(store)
    assert (result.problem, result.entries, result.purged) == (None, 9, 8)
    record(store, 3)
    first = ids(store)[0]
    removed = problem(store, lambda connection: connection.execute(delete(audit_log).where(column.id == first)))
    assert removed is not None


def test_beginning_is_searched_a_few_entries_at_once(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the newest: of a very large log, a statement reads a bounded number."""
    assert purge_audit_log(store, 2**52) == 5
    record(store, 6)
    (purged, *_), newest = ids(store), ids(store)[-1]
    found = [store.run_read(lambda it, before=before: find_start(it, before, 3)) for before in (None, newest - 2)]
    assert [(start, last_id) for start, last_id in found] == [(None, newest - 2), (None, newest - 5)]
    start, last_id = store.run_read(lambda it: find_start(it, newest - 5, 3))
    assert start is not None
    assert (start.number, last_id) == (5, purged)
    assert store.run_read(lambda it: find_start(it, purged, 3)) == (None, None)
    monkeypatch.setattr(audit, "SCAN_LIMIT", 3)
    result = verify_audit_log(store)
    assert (result.problem, result.purged, result.entries) == (None, 5, 12)


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("link", "text"), [(None, "entry {1} was changed, or entries before it were removed"), ("x", "with the key None")]
)
def test_forged_purge_is_noticed(store: SessionStore, link: str | None, text: str) -> None:
    """Someone without the key can't move the beginning of the chain."""
    rows = store.run_read(lambda connection: connection.execute(select(audit_log).order_by(column.id)).all())
    detail = f'{{"entries":1,"number":1,"link":"{rows[0].link}"}}'
    forged = {"at": 1, "actor": "operator", "action": "audit_purged", "detail": detail, "link": link}

    def forge(connection: Connection) -> None:
        connection.execute(delete(audit_log).where(column.id == rows[0].id))
        connection.execute(insert(audit_log).values(forged))

    before = ids(store)
    found = problem(store, forge)
    assert found is not None
    assert text.format(*before) in found


def test_concurrent_writers_of_several_stores_make_one_chain(settings: Settings) -> None:
    """Also the first entries, and those of transactions that lock other rows."""
    stores = [open_store(with_secret(settings, SECRET)) for _ in range(3)]
    failures: list[Exception] = []

    def write(store: SessionStore) -> None:
        try:
            record(store, 10)
        except Exception as error:  # noqa: BLE001 - reported by the test
            failures.append(error)

    threads = [threading.Thread(target=write, args=(store,)) for store in stores for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result = verify_audit_log(stores[0])
    for store in stores:
        store.close()
    assert not failures
    assert (result.entries, result.problem) == (60, None)


@given(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=4, unique=True))
def test_keys_are_derived_from_each_secret(secrets: list[str]) -> None:
    """The newest makes links; a key's id reveals nothing of it."""
    keys = AuditKeys.derive(secrets)
    assert keys.current == AuditKeys.derive(secrets[:1]).current
    assert len(keys.by_id) == len(secrets) + 1
    assert all(secret not in repr(keys) for secret in secrets if len(secret) > 16)
