"""A restored backup: who was erased after it was made is erased again, who came later stays."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from app.errors import DatabaseUnavailable
from app.operations.privacy.participant_export import apply_erasures
from app.sessions import erasure_replay
from app.sessions.service import SessionStore, open_store
from app.settings import Settings
from app.store import audit, erasures
from app.store.credentials import revoke_tokens
from app.store.erasure_journal import ErasureJournal, ErasureRecord, format_line, hash_user_id
from app.survey.commands import Answer, Begin
from app.survey.snapshot import SessionKey
from tests.conftest import ROOT, SURVEYS, examples
from tests.store.contents import clear, dump, mentions, put_back
from tests.store.test_erasures import begin, set_aside

ANN, BOB, ZOE = (SessionKey("phq9", user) for user in ("ann-qqq", "bob", "zoe"))
ERASED_AGAIN = "erasures that the database lacked"


@pytest.fixture
def listed(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with a list of erasures; with SQLite the one beside the database."""
    if make_url(settings.database_url).get_backend_name() == "sqlite":
        return settings
    return settings.model_copy(update={"erasures_file": tmp_path / "list"})


@contextmanager
def opened(settings: Settings) -> Iterator[SessionStore]:
    store = open_store(settings)
    yield store
    store.close()


def backup(settings: Settings) -> Callable[[], None]:
    """Make a backup; return what restores it: the file of SQLite, the rows of another database."""
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


def list_of(settings: Settings) -> ErasureJournal:
    with opened(settings) as store:
        assert store.erasure._journal is not None
        return store.erasure._journal


def test_restored_backup_is_erased_again_at_the_next_start(listed: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """His session, what was set aside, and his name in the log; once, with one warning; others and later ones stay."""
    with opened(listed) as store:
        begin(store, ANN)
        set_aside(store, ANN)
        begin(store, ANN)
        begin(store, BOB)
    restore = backup(listed)
    with opened(listed) as store:
        begin(store, SessionKey("intake", "zoe"))
        assert store.erasure.forget(ANN.user_id) == 2
        assert store.erasure.forget("zoe") == 1
        before = dump(store)["erasures"]
    restore()
    caplog.clear()
    with opened(listed) as store:
        after = dump(store)
        assert users(store) == {"bob"}
        assert mentions(after, ANN.user_id) == ["token_revocations.user_id"]
        assert [{**row, "id": 0} for row in after["erasures"]] == [{**row, "id": 0} for row in before]
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("2 sessions were erased: the erasure journal ")
    assert f"2 {ERASED_AGAIN}" in warnings[0]
    caplog.clear()
    with opened(listed) as store:
        assert dump(store) == after
    assert ERASED_AGAIN not in caplog.text


def test_who_began_anew_after_the_erasure_stays(listed: Settings) -> None:
    """A line erases nothing that is newer, nor a token that was issued later."""
    with opened(listed) as store:
        begin(store, ANN)
        store.erasure.delete(ANN)
        store.turns.get_or_create(ANN, is_audio_mode=False)
        store.run_transaction(lambda connection: revoke_tokens(connection, ANN, store.clock()))
        kept = dump(store)
    with opened(listed) as store:
        store.run_transaction(lambda connection: connection.exec_driver_sql("DELETE FROM erasures"))
    with opened(listed) as store:
        after = dump(store)
    for table in ("sessions", "session_history", "token_revocations"):
        assert after[table] == kept[table]
    assert len(after["erasures"]) == 1


def test_revocation_of_a_restored_participant_is_of_the_erasure(listed: Settings) -> None:
    """Tokens of before are dead again; he who is newly invited is not kept out."""
    with opened(listed) as store:
        begin(store, ANN)
    restore = backup(listed)
    with opened(listed) as store:
        store.erasure.delete(ANN)
        ((_, erased),) = store.run_read(lambda connection: erasures.read_after(connection, 0, 1000))
    restore()
    with opened(listed) as store:
        found = store.run_read(lambda connection: erasures.read_revocations(connection, ANN.user_id, None))
    assert found == {"phq9": erased.erased_at}


def test_name_in_a_restored_log_goes_where_no_session_is_left(listed: Settings) -> None:
    """The backup was made before he began, when he was in the log already."""
    with opened(listed) as store:
        begin(store, ANN)
        store.run_transaction(lambda connection: connection.exec_driver_sql("DELETE FROM session_history"))
        store.run_transaction(lambda connection: connection.exec_driver_sql("DELETE FROM sessions"))
    restore = backup(listed)
    with opened(listed) as store:
        store.turns.get_or_create(ANN, is_audio_mode=False)
        store.erasure.delete(ANN)
    restore()
    with opened(listed) as store:
        assert mentions(dump(store), ANN.user_id) == []


def test_half_written_last_line_is_skipped(listed: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """A start never fails for it; all others hold."""
    with opened(listed) as store:
        begin(store, ANN)
    restore = backup(listed)
    with opened(listed) as store:
        store.erasure.delete(ANN)
    with list_of(listed).path.open("a") as file:
        file.write('{"survey_id":"phq9","user_ha')
    restore()
    with opened(listed) as store:
        assert users(store) == set()
    assert "1 lines are no erasures and were skipped" in caplog.text


def test_list_gets_what_only_the_database_has(settings: Settings, tmp_path: Path) -> None:
    """A list that is kept from now on has the earlier erasures too; a purge by age is none of them."""
    with opened(settings.model_copy(update={"erasures_file": tmp_path / "one"})) as store:
        begin(store, ANN)
        store.erasure.delete(ANN)
        store.run_transaction(lambda connection: erasures.add_purge(connection, "phq9", 3, 1))
    with opened(settings.model_copy(update={"erasures_file": tmp_path / "two"})):
        pass
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text() != ""


def test_what_is_erased_again_is_in_the_audit_log(listed: Settings) -> None:
    """Without his name: by a start, and by whoever applies a list; what was not there leaves no entry."""
    with opened(listed) as store:
        begin(store, ANN)
        set_aside(store, ANN)
        begin(store, BOB)
    restore = backup(listed)
    with opened(listed) as store:
        store.erasure.delete(ANN)
        lines = list(erasure_replay.read_all(store.run_read))
    restore()
    with opened(listed) as store:
        (entry,) = erasures_in_log(store)
        assert entry.user_id == erasures.audit_name(lines[0].user_hash)
        assert (entry.actor, entry.survey_id, entry.detail) == ("restored backup", "phq9", {"sessions": 1})
        begin(store, ANN, at=1)
        assert [store.erasure.replay(lines, actor="operator") for _ in range(2)] == [1, 0]
        assert [entry.actor for entry in erasures_in_log(store)] == ["operator", "restored backup"]
        assert mentions(dump(store), ANN.user_id) == ["token_revocations.user_id"]


def erasures_in_log(store: SessionStore) -> list[audit.AuditEntry]:
    page = store.run_read(lambda connection: audit.read_page(connection, None, 100, {"action": "session_erased"}))
    return [recorded.entry for recorded in page.entries]


@pytest.mark.parametrize("goes_on", [True, False])
def test_erasure_that_failed_behind_its_line_takes_no_answers_given_since(
    listed: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, goes_on: bool
) -> None:
    """Its caller is told that it may still be done. A start does it where nothing changed; else the operator may."""
    listed = listed.model_copy(update={"retry_attempts": 1})
    with opened(listed) as store:
        begin(store, ANN)
        begin(store, BOB)
        with monkeypatch.context() as patch:
            patch.setattr(store._connection, "run", partial(cut_off, store._connection.run))
            with pytest.raises(DatabaseUnavailable, match="next start may still carry it out"):
                store.erasure.delete(ANN)
        if goes_on:
            store.turns.submit_or_raise(ANN, Answer(at=store.clock(), message_id="later", step="Q2", value=3))
        before = dump(store)
    for _ in range(2):
        with opened(listed) as store:
            after, path = dump(store), store.erasure._journal.path  # type: ignore[union-attr]
    assert len(after["erasures"]) == 1
    if not goes_on:
        assert {row["user_id"] for row in after["sessions"]} == {BOB.user_id}
        assert "were left" not in caplog.text
        return
    assert {**after, "erasures": []} == before
    assert caplog.text.count(f"1 sessions in the erasure journal {path} changed after their erasure") == 1
    assert f"`flask erasures apply {path}`" in caplog.text
    assert ERASED_AGAIN not in caplog.text
    with opened(listed) as store, path.open("rb") as lines:
        assert apply_erasures(store, lines) == 1
        assert users(store) == {BOB.user_id}


def cut_off(run: Callable[[Any], Any], work: Any) -> Any:
    """Do the work, but for its commit."""

    def failing(connection: Any) -> None:
        work(connection)
        raise OperationalError("", None, Exception("lost"))

    return run(failing)


def test_session_that_was_set_aside_goes_and_the_one_that_changed_since_stays(listed: Settings) -> None:
    """Each by its own last change; as long as one is left, the log and his tokens are as they were."""
    with opened(listed) as store:
        begin(store, ANN, at=1_000_000)
        set_aside(store, ANN)
        begin(store, ANN, at=2_000_000)
        before = dump(store)
        salt = "ab" * 16
        line = ErasureRecord("phq9", hash_user_id(salt, *ANN), salt, 2, 2_000_001)
        store.erasure._journal.append([line])  # type: ignore[union-attr]
    with opened(listed) as store:
        after = dump(store)
    assert after["sessions"] == [row for row in before["sessions"] if "~" not in row["user_id"]]
    assert after["token_revocations"] == before["token_revocations"]
    assert [row for row in after["audit_log"] if row["action"] != "session_erased"] == before["audit_log"]


KEPT = st.lists(st.tuples(st.integers(0, 8), st.booleans(), st.booleans()), max_size=8)


@examples(20)
@given(kept=KEPT, half=st.sampled_from(["", '{"survey_id":"ph', "\n\n", "[]\n", "é"]))
def test_both_lists_agree_after_a_start(store: SessionStore, tmp_path: Path, kept: list[Any], half: str) -> None:
    """Whatever each had, and whatever lines are doubled, empty, half-written or none."""
    clear(store)
    salt = "ab" * 16
    lines = [ErasureRecord("phq9", hash_user_id(salt, "phq9", f"user{number}"), salt, 1, 5) for number, _, _ in kept]
    listed = ErasureJournal(tmp_path / "list")
    listed.path.unlink(missing_ok=True)
    listed.append(line for line, (_, is_listed, _) in zip(lines, kept, strict=True) if is_listed)
    with listed.path.open("a") as file:
        file.write(half)
    stored = [line for line, (_, _, is_stored) in zip(lines, kept, strict=True) if is_stored]
    store.run_transaction(lambda connection: erasures.add_missing(connection, list({*stored})))
    wanted = {line.identity for line, (_, *is_anywhere) in zip(lines, kept, strict=True) if any(is_anywhere)}
    erasure_replay.reconcile(store.erasure._database(), listed)
    assert {one.identity for one in listed.read()} == wanted
    assert sorted(one.identity for one in erasure_replay.read_all(store.run_read)) == sorted(wanted)
    text = listed.path.read_bytes()
    erasure_replay.reconcile(store.erasure._database(), listed)
    assert listed.path.read_bytes() == text


def test_erasure_beside_a_start_gets_no_second_line(listed: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its line is there before its row: who looks for lines that lack reads the rows first."""
    with opened(listed) as store, opened(listed) as other:
        for key in (ANN, BOB):
            begin(store, key)
        store.erasure.delete(ANN)
        real, is_done = erasure_replay.read_all, []

        def read_all(access: Any) -> Iterator[ErasureRecord]:
            yield from list(real(access))
            if not is_done:
                is_done.append(other.erasure.delete(BOB))

        listing = store.erasure._journal
        assert listing is not None
        monkeypatch.setattr(erasure_replay, "read_all", read_all)
        erasure_replay._complete(store.erasure._database(), listing)
        assert is_done
        assert len(listing.path.read_text().splitlines()) == 2


def test_start_reads_no_session_where_both_lists_agree(listed: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs a look at the erasures, nothing for the sessions, and no lock."""
    with opened(listed) as store:
        for user in ("ann", "bob"):
            begin(store, SessionKey("phq9", user))
            store.erasure.forget(user)
    monkeypatch.setattr(ErasureJournal, "lock", lambda _: pytest.fail("it was locked"))
    monkeypatch.setattr(erasure_replay.sessions, "read_keys", lambda *_: pytest.fail("sessions were read"))
    with opened(listed) as store:
        assert users(store) == set()


def test_lines_of_another_list_are_applied_by_hand(listed: Settings) -> None:
    """Many participants, several erasures of one: the newest counts, and both lists have all lines afterwards."""
    with opened(listed) as store:
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
        assert store.erasure._journal is not None
        assert {one.identity for one in store.erasure._journal.read()} == {one.identity for one in [*lines, *late]}
        assert store.erasure.replay(lines) == 0
        assert len(dump(store)["erasures"]) == 721


def test_several_servers_that_start_at_once_erase_again_once(
    listed: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """One does it, the others wait; the anonymous count is right."""
    with opened(listed) as store:
        begin(store, ANN)
    restore = backup(listed)
    with opened(listed) as store:
        store.erasure.delete(ANN)
    restore()
    caplog.clear()
    stores = [SessionStore(listed, store.catalogue) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(SessionStore.initialise, stores))
    assert [row["sessions"] for row in dump(stores[0])["erasures"]] == [1]
    assert caplog.text.count(ERASED_AGAIN) == 1
    for one in stores:
        one.close()


_KILLED = """
import os, signal, sys
from app.sessions.service import open_store
from app.settings import read_settings
from app.store.erasure_journal import ErasureJournal
real = ErasureJournal.append
def append(self, erasures):
    if sys.argv[1] == "after":
        real(self, erasures)
    os.kill(os.getpid(), signal.SIGKILL)
ErasureJournal.append = append
open_store(read_settings()).erasure.forget("ann-qqq")
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_server_that_is_killed_between_line_and_commit_loses_nothing_else(listed: Settings, when: str) -> None:
    """Before the line he is there, whole; after it he is gone when the store is opened again, and counted once."""
    with opened(listed) as store:
        for key in (ANN, BOB, ZOE):
            begin(store, key)
        before = dump(store)
    environment = {
        **os.environ,
        "DATABASE_URL": listed.database_url,
        "STEPKEEP_SURVEYS_DIR": str(SURVEYS),
        "STEPKEEP_ERASURES_FILE": str(listed.erasures_file or ""),
    }
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, when], cwd=ROOT, env=environment, timeout=60, check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    with opened(listed) as store:
        after = dump(store)
    if when == "before":
        assert after == before
        return
    for table in ("sessions", "session_history"):
        assert after[table] == [row for row in before[table] if row["user_id"] != ANN.user_id]
    assert [row["sessions"] for row in after["erasures"]] == [1]
    assert mentions(after, ANN.user_id) == ["token_revocations.user_id"]
