"""A SQLite file is opened by one name, and refused where SQLite would lose or damage it."""

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from app.errors import ConfigurationError, DatabaseFileLost, StoreInUse
from app.sessions.service import open_store
from app.settings import Settings
from app.store.drivers import sqlite, sqlite_file
from app.store.engine import normalise_url, server_lock
from tests.conftest import SURVEYS
from tests.databases import create_sqlite


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "data" / "sessions.db"
    file.parent.mkdir()
    create_sqlite(file)
    return file


def settings_of(file: Path) -> Settings:
    return Settings(database_url=f"sqlite:///{file}", surveys_dir=SURVEYS)


def test_second_server_is_refused_under_every_name_of_the_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A symbolic link to the file or to its folder, a chain of links, a relative path."""
    link, folder, chain = tmp_path / "link.db", tmp_path / "folder", tmp_path / "chain.db"
    link.symlink_to(file)
    chain.symlink_to(link)
    folder.symlink_to(file.parent)
    monkeypatch.chdir(tmp_path)
    lock = server_lock(normalise_url(f"sqlite:///{file}"))
    assert lock is not None
    for name in (link, chain, folder / file.name, "data/sessions.db", "data/../data/./sessions.db"):
        with pytest.raises(StoreInUse):
            server_lock(normalise_url(f"sqlite:///{name}"))
    lock.release()


def test_store_opened_through_a_link_uses_the_files_beside_the_file(file: Path, tmp_path: Path) -> None:
    """One file has one erasure journal, and one write-ahead log."""
    link = tmp_path / "elsewhere.db"
    link.symlink_to(file)
    store = open_store(settings_of(link))
    assert store.sqlite_path == file
    assert store.erasure.journal is not None
    store.erasure.journal.check()
    store.close()
    assert not list(tmp_path.glob("elsewhere.db?*"))


def test_file_with_a_hard_link_is_refused(file: Path, tmp_path: Path) -> None:
    """SQLite would keep a write-ahead log for each name: a server and a command would damage it."""
    other = tmp_path / "other.db"
    os.link(file, other)
    for name in (file, other):
        with pytest.raises(ConfigurationError, match=r"2 names \(hard links\).*find / -samefile"):
            open_store(settings_of(name))
    other.unlink()
    open_store(settings_of(file)).close()


def test_hard_link_to_an_open_file_does_not_stop_the_server(file: Path, tmp_path: Path) -> None:
    """As made by a backup program."""
    store = open_store(settings_of(file))
    os.link(file, tmp_path / "backup.db")
    assert store.file_problem() is None
    with store.queries.engine.connect(), store.queries.engine.connect():
        pass
    store.close()


def test_file_that_is_a_mount_point_is_refused(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container that mounts only the file, the write-ahead log would be lost with the container."""
    mounts = tmp_path / "mountinfo"
    escaped = str(file).replace(" ", "\\040")
    mounts.write_text(f"63 43 254:0 /srv/sessions.db {escaped} rw,relatime - ext4 /dev/vda rw\n")
    monkeypatch.setattr(sqlite_file, "MOUNTS", mounts)
    with pytest.raises(ConfigurationError, match=r"is a mount point.*Mount its folder"):
        open_store(settings_of(file))


@pytest.mark.parametrize("is_empty", [False, True], ids=["missing", "empty"])
def test_missing_file_is_not_created_beside_its_write_ahead_log(file: Path, is_empty: bool) -> None:
    """SQLite would delete the log, which has acknowledged answers."""
    log = file.with_name(f"{file.name}-wal")
    log.write_bytes(b"acknowledged answers")
    file.unlink()
    if is_empty:
        file.touch()
    with pytest.raises(ConfigurationError, match=r"sessions\.db-wal, which belongs to it, is there.*Move it back"):
        open_store(settings_of(file))
    assert log.read_bytes() == b"acknowledged answers"
    assert file.exists() is is_empty


def test_folder_is_refused(tmp_path: Path) -> None:
    """The message says that it is not a file."""
    with pytest.raises(ConfigurationError, match="it is not a file"):
        open_store(settings_of(tmp_path))


def test_commit_into_a_file_without_a_name_fails_on_every_path(file: Path) -> None:
    """A transaction of the writer, and a read; neither opens the other file."""
    store = open_store(settings_of(file))
    other = file.with_suffix(".other")
    create_sqlite(other)
    original = file.with_suffix(".original")
    file.rename(original)
    with pytest.raises(DatabaseFileLost, match="was deleted or moved"):
        store.run_transaction(lambda connection: connection.exec_driver_sql("CREATE TABLE lost (x)"))
    with pytest.raises(DatabaseFileLost), store.queries.engine.connect():
        pass
    other.rename(file)
    for _ in range(2):
        with pytest.raises(DatabaseFileLost, match="was replaced by another file"):
            store.run_transaction(lambda _: None)
    assert "sessions.db" not in DatabaseFileLost("x").message
    store.close()


def test_write_ahead_log_of_a_replaced_file_is_not_applied_to_the_other_file(file: Path) -> None:
    """SQLite itself would; a copy of both files, as restored after a crash, is opened."""
    store = open_store(settings_of(file))
    original = file.with_suffix(".original")
    file.rename(original)
    create_sqlite(file)
    content = file.read_bytes()
    with pytest.raises(DatabaseFileLost):
        store.run_transaction(lambda connection: connection.exec_driver_sql("CREATE TABLE lost (x)"))
    store.close()
    log = file.with_name(f"{file.name}-wal")
    assert log.stat().st_size > 0
    with pytest.raises(
        ConfigurationError, match=r"belongs to another file.*Put the original back; or move .*-wal away"
    ):
        open_store(settings_of(file))
    assert file.read_bytes() == content
    copy = file.parent / "copy" / file.name
    copy.parent.mkdir()
    shutil.copy2(original, copy)
    shutil.copy2(log, copy.parent)
    open_store(settings_of(copy)).close()
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'lost'").fetchone() == (1,)
    connection.close()
    log.rename(file.with_suffix(".log"))
    open_store(settings_of(file)).close()


def test_forked_process_refuses_another_file_than_its_parent_opened(file: Path) -> None:
    """It opens its own connections."""
    store = open_store(settings_of(file))
    file.unlink()
    create_sqlite(file)
    pid = os.fork()
    if pid == 0:
        try:
            store.run_transaction(lambda _: None)
        except DatabaseFileLost:
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    with pytest.raises(DatabaseFileLost):
        store.run_transaction(lambda _: None)
    store.close()


def test_forked_process_continues_when_its_parent_closes_the_database(file: Path) -> None:
    """The parent's last connection deletes the write-ahead log; the child opens its own, any number of times."""
    store = open_store(settings_of(file))
    pipe, signal = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.read(pipe, 1)
            store.run_transaction(lambda _: None)
            store.close()
            open_store(settings_of(file)).close()
            os._exit(0)
        finally:
            os._exit(1)
    store.close()
    assert not file.with_name(f"{file.name}-wal").exists()
    os.write(signal, b"x")
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_engine_of_another_database_has_no_file() -> None:
    """There is nothing to check."""
    engine = sqlite.reader_engine(normalise_url("sqlite:////tmp/unused.db"), 1, 0)
    assert sqlite.database_file(engine) is not None
    assert sqlite.database_file(engine.execution_options(database_file=None)) is None  # type: ignore[arg-type]
