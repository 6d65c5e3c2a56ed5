"""A restored backup: participants erased after it was made are erased again, later sessions stay."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from app.operations.privacy.participant_export import apply_erasures
from app.sessions import erasure_replay
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store import audit, erasures, sessions
from app.store.credentials import read_participant_revocations, revoke_tokens
from app.store.erasure_journal import ErasureJournal, ErasureRecord, format_line, hash_user_id
from app.survey.commands import Begin
from app.survey.snapshot import SessionKey
from tests.conftest import examples
from tests.store.contents import clear, dump, mentions, put_back
from tests.store.test_erasures import begin, set_aside

ANN, BOB, ZOE = (SessionKey("phq9", user) for user in ("ann-qqq", "bob", "zoe"))
REPLAYED = "erasures that the database lacked"


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with an erasure journal; for SQLite the default one beside the database."""
    if make_url(settings.database_url).get_backend_name() == "sqlite":
        return settings
    return settings.model_copy(update={"erasures_file": tmp_path / "journal"})


@contextmanager
def opened(settings: Settings) -> Iterator[SessionStore]:
    store = open_store(settings)
    yield store
    store.close()


def backup(settings: Settings) -> Callable[[], None]:
    """Make a backup (SQLite: the file; others: the rows); return a function that restores it."""
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite":
        path = Path(str(url.database))
        copy = path.read_bytes()

        def copy_back() -> None:
            path.with_name(f"{path.name}-wal").unlink(missing_ok=True)
            path.write_bytes(copy)

        return copy_back
    with opened(settings) as store:
        rows = dump(store)

    def restore() -> None:
        with opened(settings.model_copy(update={"erasures_file": None})) as store:
            put_back(store, rows)

    return restore


def users(store: SessionStore) -> set[str]:
    return {row["user_id"].partition("~")[0] for row in dump(store)["sessions"]}


def journal_of(settings: Settings) -> ErasureJournal:
    with opened(settings) as store:
        assert store.erasure.journal is not None
        return store.erasure.journal


def test_erasures_are_replayed_when_the_server_starts_on_a_restored_backup(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Sessions, set-aside sessions and names in the audit log; once, with one warning. Other sessions stay."""
    with opened(settings) as store:
        begin(store, ANN)
        set_aside(store, ANN)
        begin(store, ANN)
        begin(store, BOB)
    restore = backup(settings)
    with opened(settings) as store:
        begin(store, SessionKey("intake", "zoe"))
        assert store.erasure.erase_participant(ANN.user_id) == 2
        assert store.erasure.erase_participant("zoe") == 1
        before = dump(store)["erasures"]
    restore()
    caplog.clear()
    with opened(settings) as store:
        after = dump(store)
        assert users(store) == {"bob"}
        assert mentions(after, ANN.user_id) == []
        assert [{**row, "id": 0} for row in after["erasures"]] == [{**row, "id": 0} for row in before]
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("2 sessions were erased: the erasure journal ")
    assert f"2 {REPLAYED}" in warnings[0]
    caplog.clear()
    with opened(settings) as store:
        assert dump(store) == after
    assert REPLAYED not in caplog.text


def test_session_started_after_the_erasure_is_kept(settings: Settings) -> None:
    """A replay affects neither newer sessions nor tokens issued later."""
    with opened(settings) as store:
        begin(store, ANN)
        store.erasure.delete(ANN)
        store.turns.get_or_create(ANN, is_audio_mode=False)
        store.run_transaction(lambda connection: revoke_tokens(connection, ANN, store.clock()))
        before = dump(store)
    with opened(settings) as store:
        store.run_transaction(lambda connection: connection.exec_driver_sql("DELETE FROM erasures"))
    with opened(settings) as store:
        after = dump(store)
    for table in ("sessions", "session_history", "token_revocations"):
        assert after[table] == before[table]
    assert len(after["erasures"]) == 1


def test_replay_revokes_tokens_as_of_the_erasure(settings: Settings) -> None:
    """Older tokens are revoked again; a later invitation stays valid."""
    with opened(settings) as store:
        begin(store, ANN)
    restore = backup(settings)
    with opened(settings) as store:
        store.erasure.delete(ANN)
        ((_, erased),) = store.run_read(lambda connection: erasures.read_after(connection, 0, 1000))
    restore()
    with opened(settings) as store:
        revocations = store.run_read(lambda connection: read_participant_revocations(connection, ANN.user_id, None))
    assert revocations == {"phq9": erased.erased_at}


def test_replay_removes_the_name_from_the_log_when_the_backup_has_no_session(settings: Settings) -> None:
    """The backup was made before the session started, when the audit log already named the participant."""
    with opened(settings) as store:
        begin(store, ANN)
        store.run_transaction(lambda connection: connection.exec_driver_sql("DELETE FROM session_history"))
        store.run_transaction(lambda connection: connection.exec_driver_sql("DELETE FROM sessions"))
    restore = backup(settings)
    with opened(settings) as store:
        store.turns.get_or_create(ANN, is_audio_mode=False)
        store.erasure.delete(ANN)
    restore()
    with opened(settings) as store:
        assert mentions(dump(store), ANN.user_id) == []


def test_start_skips_an_incomplete_last_line(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """It warns, and replays the other lines."""
    with opened(settings) as store:
        begin(store, ANN)
    restore = backup(settings)
    with opened(settings) as store:
        store.erasure.delete(ANN)
    with journal_of(settings).path.open("a") as file:
        file.write('{"survey_id":"phq9","user_ha')
    restore()
    with opened(settings) as store:
        assert users(store) == set()
    assert "skipped 1 unreadable lines" in caplog.text


def test_start_adds_erasures_of_the_database_to_the_journal(settings: Settings, tmp_path: Path) -> None:
    """A new journal gets the earlier erasures, without purges by age."""
    with opened(settings.model_copy(update={"erasures_file": tmp_path / "one"})) as store:
        begin(store, ANN)
        store.erasure.delete(ANN)
        store.run_transaction(lambda connection: erasures.add_purge(connection, "phq9", 3, 1))
    with opened(settings.model_copy(update={"erasures_file": tmp_path / "two"})):
        pass
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text() != ""


def test_replayed_erasures_are_in_the_audit_log(settings: Settings) -> None:
    """Under a hashed id, by a start and by an operator; a replay that erases nothing leaves no entry."""
    with opened(settings) as store:
        begin(store, ANN)
        set_aside(store, ANN)
        begin(store, BOB)
    restore = backup(settings)
    with opened(settings) as store:
        store.erasure.delete(ANN)
        lines = list(erasure_replay.read_all(store.run_read))
    restore()
    with opened(settings) as store:
        (entry,) = erasures_in_log(store)
        assert entry.user_id == erasures.audit_name(lines[0].user_hash)
        assert (entry.actor, entry.survey_id, entry.detail) == ("restored backup", "phq9", {"sessions": 1})
        begin(store, ANN, at=1)
        assert [store.erasure.replay(lines, actor="operator") for _ in range(2)] == [1, 0]
        assert [entry.actor for entry in erasures_in_log(store)] == ["operator", "restored backup"]
        assert mentions(dump(store), ANN.user_id) == []


def erasures_in_log(store: SessionStore) -> list[audit.AuditEntry]:
    page = store.run_read(lambda connection: audit.read_page(connection, None, 100, {"action": "session_erased"}))
    return [recorded.entry for recorded in page.items]


def test_replay_erases_the_set_aside_session_and_keeps_the_one_changed_since(settings: Settings) -> None:
    """Each by its own last change. While a session is left, the audit log and the tokens stay unchanged."""
    with opened(settings) as store:
        begin(store, ANN, at=1_000_000)
        set_aside(store, ANN)
        begin(store, ANN, at=2_000_000)
        before = dump(store)
        salt = "ab" * 16
        line = ErasureRecord("phq9", hash_user_id(salt, *ANN), salt, 2, 2_000_001)
        store.erasure.journal.append([line])  # type: ignore[union-attr]
    with opened(settings) as store:
        after = dump(store)
    assert after["sessions"] == [row for row in before["sessions"] if "~" not in row["user_id"]]
    assert after["token_revocations"] == before["token_revocations"]
    assert [row for row in after["audit_log"] if row["action"] != "session_erased"] == before["audit_log"]


LINES = st.lists(st.tuples(st.integers(0, 8), st.booleans(), st.booleans()), max_size=8)


@examples(20)
@given(entries=LINES, incomplete=st.sampled_from(["", '{"survey_id":"ph', "\n\n", "[]\n", "é"]))
def test_journal_and_database_agree_after_reconcile(
    store: SessionStore, tmp_path: Path, entries: list[Any], incomplete: str
) -> None:
    """Whatever each had, with duplicate, empty, incomplete or invalid lines."""
    clear(store)
    salt = "ab" * 16
    lines = [ErasureRecord("phq9", hash_user_id(salt, "phq9", f"user{number}"), salt, 1, 5) for number, _, _ in entries]
    journal = ErasureJournal(tmp_path / "list")
    journal.path.unlink(missing_ok=True)
    journal.append(line for line, (_, is_listed, _) in zip(lines, entries, strict=True) if is_listed)
    with journal.path.open("a") as file:
        file.write(incomplete)
    stored = [line for line, (_, _, is_stored) in zip(lines, entries, strict=True) if is_stored]
    store.run_transaction(lambda connection: erasures.add_missing(connection, list({*stored})))
    expected = {line.identity for line, (_, *is_anywhere) in zip(lines, entries, strict=True) if any(is_anywhere)}
    erasure_replay.reconcile(store.erasure._database, journal)
    assert {line.identity for line in journal.read()} == expected
    assert sorted(line.identity for line in erasure_replay.read_all(store.run_read)) == sorted(expected)
    text = journal.path.read_bytes()
    erasure_replay.reconcile(store.erasure._database, journal)
    assert journal.path.read_bytes() == text


def test_erasure_gets_one_line_when_a_server_starts_concurrently(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An erasure writes its line before its row, so the search for missing lines reads the rows first."""
    with opened(settings) as store, opened(settings) as other:
        for key in (ANN, BOB):
            begin(store, key)
        store.erasure.delete(ANN)
        real, is_done = erasure_replay.read_all, []

        def read_all(access: Any) -> Iterator[ErasureRecord]:
            yield from list(real(access))
            if not is_done:
                is_done.append(other.erasure.delete(BOB))

        journal = store.erasure.journal
        assert journal is not None
        monkeypatch.setattr(erasure_replay, "read_all", read_all)
        erasure_replay._complete(store.erasure._database, journal)
        assert is_done
        assert len(journal.path.read_text().splitlines()) == 2


def test_start_reads_no_sessions_when_journal_and_database_agree(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It compares the erasures, and takes no lock."""
    with opened(settings) as store:
        for user in ("ann", "bob"):
            begin(store, SessionKey("phq9", user))
            store.erasure.erase_participant(user)
    monkeypatch.setattr(ErasureJournal, "lock", lambda _: pytest.fail("it was locked"))
    monkeypatch.setattr(sessions, "read_keys", lambda *_: pytest.fail("sessions were read"))
    with opened(settings) as store:
        assert users(store) == set()


def test_apply_erasures_replays_the_lines_of_another_journal(settings: Settings) -> None:
    """With several erasures of a participant the newest counts; journal and database have all lines afterwards."""
    with opened(settings) as store:
        at = store.clock() - 1_000_000
        keys = [SessionKey("phq9", f"user{number}") for number in range(250)]
        store.turns.submit_many([(key, Begin(at=at)) for key in keys])
        salt = "ab" * 16
        lines = [
            ErasureRecord("phq9", hash_user_id(salt, key.survey_id, key.user_id), salt, 1, at + later)
            for key in keys[:240]
            for later in (-1, 0, -2)
        ]
        late = [lines[0]._replace(user_hash=hash_user_id(salt, "phq9", "user240"), erased_at=at - 1)]
        assert apply_erasures(store, map(format_line, [*lines, *late])) == 240
        assert users(store) == {key.user_id for key in keys[240:]}
        assert len(dump(store)["erasures"]) == 721
        assert store.erasure.journal is not None
        assert {line.identity for line in store.erasure.journal.read()} == {line.identity for line in [*lines, *late]}
        assert store.erasure.replay(lines) == 0
        assert len(dump(store)["erasures"]) == 721


def test_erasures_are_replayed_once_when_several_servers_start_concurrently(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The others wait; the count of sessions is correct."""
    with opened(settings) as store:
        begin(store, ANN)
    restore = backup(settings)
    with opened(settings) as store:
        store.erasure.delete(ANN)
    restore()
    caplog.clear()
    stores = [SessionStore(settings, store.catalogue) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(SessionStore.initialise, stores))
    assert [row["sessions"] for row in dump(stores[0])["erasures"]] == [1]
    assert caplog.text.count(REPLAYED) == 1
    for store in stores:
        store.close()
