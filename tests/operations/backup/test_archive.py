"""The file: every byte of it is looked at, and nothing in it is believed to be small, or in order."""

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
from app.operations.backup.create import create_backup
from app.operations.backup.restore import How, restore_backup
from app.operations.backup.verify import verify_backup
from app.sessions.service import SessionStore
from app.store.encryption import PLAIN
from app.store.tables import sessions
from tests.conftest import examples
from tests.operations.backup.conftest import Opened, contents, fill

NewUrl = Callable[[str], str]


@pytest.fixture
def store(new_url: NewUrl, opened: Opened) -> SessionStore:
    """A store on SQLite with rows in all tables."""
    made = opened(new_url("sqlite"))
    fill(made)
    return made


@pytest.fixture
def file(store: SessionStore, tmp_path: Path) -> Path:
    """A backup of it."""
    create_backup(store, tmp_path / "file")
    return tmp_path / "file"


def change(file: Path, name: str, made: Callable[[bytes], bytes], *, tells: bool = True) -> None:
    """Change a member, and make its length and the hash of the whole right again, as one would who means harm."""
    with zipfile.ZipFile(file) as found:
        members = {info.filename: found.read(info) for info in found.infolist()}
    members[name] = made(members[name])
    manifest = json.loads(members["manifest.json"]) if tells and name != "manifest.json" else {"tables": []}
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
def test_any_changed_byte_is_found(file: Path, place: float, bits: int) -> None:
    """Wherever it is: in rows, in headers, in the directory, in the hash itself."""
    whole = file.read_bytes()
    other = bytearray(whole)
    other[int(place * len(whole))] ^= bits
    damaged = file.with_name("damaged")
    damaged.write_bytes(other)
    with pytest.raises(BackupBroken):
        verify_backup(damaged, PLAIN)


@examples(50)
@given(share=st.floats(0, 1, exclude_max=True))
def test_cut_file_is_found(file: Path, share: float) -> None:
    """Wherever it ends, be it empty."""
    whole = file.read_bytes()
    cut = file.with_name("cut")
    cut.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BackupBroken):
        verify_backup(cut, PLAIN)


@pytest.mark.parametrize(
    ("name", "made", "problem"),
    [
        ("sessions.jsonl", lambda data: data.replace(b"in_progress", b"completed!!"), "not what the manifest says"),
        ("sessions.jsonl", lambda data: data[: len(data) // 2], "not as long|within a line|no JSON|not what"),
        ("sessions.jsonl", lambda data: data + b"\n" * 1000, "not as long|no JSON"),
        ("sessions.jsonl", lambda data: data.replace(b"[", b"{", 1), "no JSON array"),
        ("sessions.jsonl", lambda data: b"[1,2]\n" + data, "has 2 values"),
        ("sessions.jsonl", lambda data: b"".join(reversed(data.splitlines(keepends=True))), "order"),
        ("session_history.jsonl", lambda data: data.replace(b'"user0"', b'"usera"'), "without its session|order"),
        ("audit_log.jsonl", lambda data: data.replace(b"[1,", b'["1",'), "can't be there"),
        ("manifest.json", lambda _: b" " * (2 * 1024 * 1024), "too large"),
        ("manifest.json", lambda _: b"{}", "another form"),
        ("manifest.json", lambda data: data.replace(b'"format_version": 1', b'"format_version": 2'), "format_version"),
    ],
)
def test_member_that_was_changed_with_care_is_found(
    file: Path, name: str, made: Callable[[bytes], bytes], problem: str
) -> None:
    """Also where the hash of the whole was made anew: by the member's own, the manifest, or the rows."""
    change(file, name, made)
    with pytest.raises(BackupBroken, match=problem):
        verify_backup(file, PLAIN)


def test_bomb_is_given_up_where_the_manifest_ends(file: Path) -> None:
    """A member that opens to more than the manifest says is read no further, a line without an end no longer."""
    change(file, "webhooks.jsonl", lambda _: b"0" * 50_000_000, tells=False)
    with pytest.raises(BackupBroken, match="not as long"):
        verify_backup(file, PLAIN)


def test_line_without_an_end_is_given_up(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the manifest says of its length."""
    monkeypatch.setattr(zip_archive, "LONGEST_LINE", 3_000_000)

    change(file, "webhooks.jsonl", lambda _: b"0" * 50_000_000)
    with pytest.raises(BackupBroken, match="a line of more than"):
        verify_backup(file, PLAIN)


def test_other_schema_is_told_with_what_to_do(file: Path) -> None:
    """Before any row is looked at."""
    change(file, "manifest.json", lambda data: data.replace(b'"schema_revision": "', b'"schema_revision": "x'))
    with pytest.raises(SchemaMismatch, match="the version of the program that made it"):
        verify_backup(file, PLAIN)


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    """Nothing there, a folder of nothing, some text, somebody's zip."""
    with pytest.raises(InvalidInput, match="can't be read"):
        verify_backup(tmp_path / "nothing", PLAIN)
    text = tmp_path / "text"
    text.write_bytes(random.Random(1).randbytes(5000))
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as written:
        written.writestr("manifest.json", "{}")
    for one in (text, other):
        with pytest.raises(BackupBroken):
            verify_backup(one, PLAIN)


def test_session_that_differs_from_its_history_is_named_and_restored_only_if_that_is_said(
    store: SessionStore, new_url: NewUrl, opened: Opened, tmp_path: Path
) -> None:
    """The backup is made all the same: better that than none."""
    wrong = update(sessions).where(sessions.c.user_id == "user1").values(current_step="Q9")
    store.run_transaction(lambda connection: connection.execute(wrong))
    create_backup(store, tmp_path / "differing")
    found = verify_backup(tmp_path / "differing", PLAIN)
    assert found.folded is not None
    assert [key.user_id for key in found.folded.named] == ["user1"]
    url = new_url("sqlite")
    target = opened(url)
    before = contents(url)
    with pytest.raises(BackupBroken, match="phq9/user1"):
        restore_backup(target, tmp_path / "differing")
    assert contents(url) == before
    restore_backup(target, tmp_path / "differing", How(accepts_differing=True))
    assert contents(url)["sessions"] == contents(store.settings.database_url)["sessions"]


def test_history_row_that_can_not_be_one_is_told_and_not_taken_for_an_unreadable_event(file: Path) -> None:
    """It is read while sessions are folded, which counts events that can't be read."""
    change(file, "session_history.jsonl", lambda data: data.replace(b'"user0","phq9",2,', b'"user0","phq9","2",'))
    with pytest.raises(BackupBroken, match="can't be there"):
        verify_backup(file, PLAIN)
