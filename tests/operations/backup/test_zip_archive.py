"""The backup file: every byte is verified, and neither sizes nor order are trusted."""

import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from app.errors import BackupBroken, InvalidInput, SchemaMismatch
from app.operations.backup import zip_archive
from app.operations.backup.files import create_backup, verify_backup
from app.operations.backup.restore import restore_backup
from app.sessions.service import SessionStore
from app.store.encryption import PLAIN
from app.store.tables import sessions
from tests.conftest import examples
from tests.operations.backup.conftest import Opened, contents, fill

NewUrl = Callable[[str], str]


@pytest.fixture
def store(new_url: NewUrl, opened: Opened) -> SessionStore:
    """Return a store on SQLite with rows in all tables."""
    store = opened(new_url("sqlite"))
    fill(store)
    return store


@pytest.fixture
def file(store: SessionStore, tmp_path: Path) -> Path:
    """Return a backup of the store."""
    create_backup(store, tmp_path / "file")
    return tmp_path / "file"


def change(file: Path, name: str, made: Callable[[bytes], bytes], *, fixes_manifest: bool = True) -> None:
    """Change a member and correct its length and the hash of the file, as an attacker would."""
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    members[name] = made(members[name])
    manifest = json.loads(members["manifest.json"]) if fixes_manifest and name != "manifest.json" else {"tables": []}
    for entry in manifest["tables"]:
        if f"{entry['name']}.jsonl" == name:
            entry["bytes"] = len(members[name])
            members["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as written:
        for member, data in members.items():
            written.writestr(member, data)
        written.comment = zip_archive._PREFIX + b"0" * 64
    whole = file.read_bytes()[:-64]
    file.write_bytes(whole + zip_archive.hashlib.sha256(whole).hexdigest().encode())


@examples(150)
@given(place=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_backup_is_refused_when_any_byte_changed(file: Path, place: float, bits: int) -> None:
    """In rows, headers, the directory, or the hash itself."""
    whole = file.read_bytes()
    other = bytearray(whole)
    other[int(place * len(whole))] ^= bits
    damaged = file.with_name("damaged")
    damaged.write_bytes(other)
    with pytest.raises(BackupBroken):
        verify_backup(damaged, PLAIN)


@examples(50)
@given(share=st.floats(0, 1, exclude_max=True))
def test_backup_is_refused_when_it_is_truncated(file: Path, share: float) -> None:
    """At any length, including an empty file."""
    whole = file.read_bytes()
    cut = file.with_name("cut")
    cut.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BackupBroken):
        verify_backup(cut, PLAIN)


@pytest.mark.parametrize(
    ("name", "made", "problem"),
    [
        ("sessions.jsonl", lambda data: data.replace(b"in_progress", b"completed!!"), "differs from the manifest"),
        ("sessions.jsonl", lambda data: data[: len(data) // 2], "length of|middle of a line|not a JSON|differs from"),
        ("sessions.jsonl", lambda data: data + b"\n" * 1000, "length of|not a JSON"),
        ("sessions.jsonl", lambda data: data.replace(b"[", b"{", 1), "not a JSON array"),
        ("sessions.jsonl", lambda data: b"[1,2]\n" + data, "has 2 values"),
        ("sessions.jsonl", lambda data: b"".join(reversed(data.splitlines(keepends=True))), "order"),
        ("session_history.jsonl", lambda data: data.replace(b'"user0"', b'"usera"'), "without its session|order"),
        ("audit_log.jsonl", lambda data: data.replace(b"[1,", b'["1",'), "invalid value"),
        ("manifest.json", lambda _: b" " * (2 * 1024 * 1024), "too large"),
        ("manifest.json", lambda _: b"{}", "unknown format"),
        ("manifest.json", lambda data: data.replace(b'"format_version": 1', b'"format_version": 2'), "format_version"),
    ],
)
def test_backup_is_refused_when_a_member_and_the_hash_changed(
    file: Path, name: str, made: Callable[[bytes], bytes], problem: str
) -> None:
    """The hash of the member, the manifest or the rows reveal it."""
    change(file, name, made)
    with pytest.raises(BackupBroken, match=problem):
        verify_backup(file, PLAIN)


def test_zip_bomb_is_read_no_further_than_the_manifest_says(file: Path) -> None:
    """The member decompresses to more bytes than its entry has."""
    change(file, "webhooks.jsonl", lambda _: b"0" * 50_000_000, fixes_manifest=False)
    with pytest.raises(BackupBroken, match="length of"):
        verify_backup(file, PLAIN)


def test_line_is_refused_when_it_is_too_long(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the manifest allows its length."""
    monkeypatch.setattr(zip_archive, "MAX_LINE_BYTES", 3_000_000)

    change(file, "webhooks.jsonl", lambda _: b"0" * 50_000_000)
    with pytest.raises(BackupBroken, match="a line of more than"):
        verify_backup(file, PLAIN)


def test_backup_is_refused_when_it_has_another_schema(file: Path) -> None:
    """Before any row is read; the message says how to restore it."""
    change(file, "manifest.json", lambda data: data.replace(b'"schema_revision": "', b'"schema_revision": "x'))
    with pytest.raises(SchemaMismatch, match="the release that created it"):
        verify_backup(file, PLAIN)


def test_other_files_are_refused(tmp_path: Path) -> None:
    """A missing file, random bytes, another zip."""
    with pytest.raises(InvalidInput, match="can't be read"):
        verify_backup(tmp_path / "nothing", PLAIN)
    text = tmp_path / "text"
    text.write_bytes(random.Random(1).randbytes(5000))
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as written:
        written.writestr("manifest.json", "{}")
    for path in (text, other):
        with pytest.raises(BackupBroken):
            verify_backup(path, PLAIN)


def test_restore_is_refused_when_a_session_differs_from_its_history(
    store: SessionStore, new_url: NewUrl, opened: Opened, tmp_path: Path
) -> None:
    """The backup is created all the same; `accepts_differing` restores it."""
    wrong = update(sessions).where(sessions.c.user_id == "user1").values(current_step="Q9")
    store.run_transaction(lambda connection: connection.execute(wrong))
    create_backup(store, tmp_path / "differing")
    verified = verify_backup(tmp_path / "differing", PLAIN)
    assert [key.user_id for key in verified.replay.sample] == ["user1"]
    url = new_url("sqlite")
    target = opened(url)
    before = contents(url)
    with pytest.raises(BackupBroken, match="phq9/user1"):
        restore_backup(target, tmp_path / "differing")
    assert contents(url) == before
    restore_backup(target, tmp_path / "differing", accepts_differing=True)
    assert contents(url)["sessions"] == contents(store.settings.database_url)["sessions"]


def test_backup_is_refused_when_a_history_row_is_invalid(file: Path) -> None:
    """It is not counted as an unreadable event, which is an error of the session only."""
    change(file, "session_history.jsonl", lambda data: data.replace(b'"user0","phq9",2,', b'"user0","phq9","2",'))
    with pytest.raises(BackupBroken, match="invalid value"):
        verify_backup(file, PLAIN)
