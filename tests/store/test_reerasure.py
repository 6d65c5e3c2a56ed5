"""A restored backup: who was erased after it was made is erased again, who came later stays."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from app.service import SessionStore, open_store
from app.settings import Settings
from app.store import erasure_rows, erasures, reerasure
from app.store.credentials import revoke_tokens
from app.store.erasure_list import Erased, ErasureList, hash_of
from app.store.rows import SessionKey
from app.survey.commands import Begin
from tests.conftest import ROOT, SURVEYS
from tests.store.contents import dump, mentions, put_back
from tests.store.test_erasures import begin, set_aside

ANN, BOB, ZOE = (SessionKey("phq9", user) for user in ("ann-qqq", "bob", "zoe"))
ERASED_AGAIN = "sessions were erased again"


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


def list_of(settings: Settings) -> ErasureList:
    with opened(settings) as store:
        assert store._erasure_list is not None
        return store._erasure_list


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
        assert store.forget(ANN.user_id) == 2
        assert store.forget("zoe") == 1
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
    assert warnings[0].startswith(f"2 {ERASED_AGAIN}: the database lacked 2 erasures")
    caplog.clear()
    with opened(listed) as store:
        assert dump(store) == after
    assert ERASED_AGAIN not in caplog.text


def test_who_began_anew_after_the_erasure_stays(listed: Settings) -> None:
    """A line erases nothing that is newer, nor a token that was issued later."""
    with opened(listed) as store:
        begin(store, ANN)
        store.delete(ANN)
        store.begin(ANN, is_audio_mode=False)
        store.write(lambda connection: revoke_tokens(connection, ANN, store.clock()))
        kept = dump(store)
    with opened(listed) as store:
        store.write(lambda connection: connection.exec_driver_sql("DELETE FROM erasures"))
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
        store.delete(ANN)
        (erased,), _ = store.read(lambda connection: erasure_rows.read_after(connection, 0))
    restore()
    with opened(listed) as store:
        found = store.read(lambda connection: erasures.read_revocations(connection, ANN.user_id, None))
    assert found == {"phq9": erased.erased_at}


def test_name_in_a_restored_log_goes_where_no_session_is_left(listed: Settings) -> None:
    """The backup was made before he began, when he was in the log already."""
    with opened(listed) as store:
        begin(store, ANN)
        store.write(lambda connection: connection.exec_driver_sql("DELETE FROM session_history"))
        store.write(lambda connection: connection.exec_driver_sql("DELETE FROM sessions"))
    restore = backup(listed)
    with opened(listed) as store:
        store.begin(ANN, is_audio_mode=False)
        store.delete(ANN)
    restore()
    with opened(listed) as store:
        assert mentions(dump(store), ANN.user_id) == []


def test_half_written_last_line_is_skipped(listed: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """A start never fails for it; all others hold."""
    with opened(listed) as store:
        begin(store, ANN)
    restore = backup(listed)
    with opened(listed) as store:
        store.delete(ANN)
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
        store.delete(ANN)
        store.write(lambda connection: erasure_rows.add_purge(connection, "phq9", 3, 1))
    with opened(settings.model_copy(update={"erasures_file": tmp_path / "two"})):
        pass
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text() != ""


def test_start_reads_no_session_where_both_lists_agree(listed: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs a count and a look at the newest line."""
    with opened(listed) as store:
        for user in ("ann", "bob"):
            begin(store, SessionKey("phq9", user))
            store.forget(user)
    monkeypatch.setattr(reerasure, "_known", lambda _: pytest.fail("all erasures were read"))
    monkeypatch.setattr(reerasure.history, "read_keys_after", lambda *_: pytest.fail("sessions were read"))
    with opened(listed) as store:
        assert users(store) == set()


def test_lines_of_another_list_are_applied_by_hand(listed: Settings) -> None:
    """Many participants, several erasures of one: the newest counts, and both lists have all lines afterwards."""
    with opened(listed) as store:
        at = store.clock() - 1_000_000
        keys = [SessionKey("phq9", f"user{number}") for number in range(250)]
        store.submit_many([(key, Begin(at=at)) for key in keys])
        salt = "ab" * 16
        lines = [
            Erased("phq9", hash_of(salt, key.survey_id, key.user_id), salt, 1, at + later)
            for key in keys[:240]
            for later in (-1, 0, -2)
        ]
        late = [lines[0]._replace(user_hash=hash_of(salt, "phq9", "user240"), erased_at=at - 1)]
        assert store.erase_again([*lines, *late]) == 240
        assert users(store) == {key.user_id for key in keys[240:]}
        assert len(dump(store)["erasures"]) == 721
        assert store._erasure_list is not None
        assert {one.identity for one in store._erasure_list.read()} == {one.identity for one in [*lines, *late]}
        assert store.erase_again(lines) == 0
        assert len(dump(store)["erasures"]) == 721


def test_several_servers_that_start_at_once_erase_again_once(
    listed: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """One does it, the others wait; the anonymous count is right."""
    with opened(listed) as store:
        begin(store, ANN)
    restore = backup(listed)
    with opened(listed) as store:
        store.delete(ANN)
    restore()
    caplog.clear()
    stores = [SessionStore(listed, store.catalogue) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(SessionStore.prepare, stores))
    assert [row["sessions"] for row in dump(stores[0])["erasures"]] == [1]
    assert caplog.text.count(ERASED_AGAIN) == 1
    for one in stores:
        one.close()


_KILLED = """
import os, signal, sys
from app.service import open_store
from app.settings import read_settings
from app.store.erasure_list import Erased, ErasureList, hash_of
real = ErasureList.append
def append(self, erasures):
    if sys.argv[1] == "after":
        real(self, erasures)
    os.kill(os.getpid(), signal.SIGKILL)
ErasureList.append = append
open_store(read_settings()).forget("ann-qqq")
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
        "SURVEYS_DIR": str(SURVEYS),
        "ERASURES_FILE": str(listed.erasures_file or ""),
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
