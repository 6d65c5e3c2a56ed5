"""The client's outboxes: added commands outlive the process, in order."""

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.client import outbox
from app.client.errors import (
    MAX_COMMAND_BYTES,
    CommandTooLarge,
    NotSendable,
    OutboxFailed,
    OutboxInUse,
    OutboxOwnerMismatch,
)
from app.client.outbox import FileOutbox, MemoryOutbox
from app.client.transport import encode
from app.core import strict_json
from app.errors import InvalidJson
from tests.conftest import ROOT, examples

OWNER = "ada in phq9"


def command(number: int) -> dict[str, Any]:
    return {"type": "answer", "id": f"c{number}", "step": "Q1", "value": f"é\n{number}"}


def commands(*numbers: int) -> list[dict[str, Any]]:
    return [command(number) for number in numbers]


def reopened(path: Path) -> list[dict[str, Any]]:
    again = FileOutbox(path)
    try:
        return again.load(OWNER)
    finally:
        again.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ada.outbox"


@pytest.fixture
def file(path: Path) -> Iterator[FileOutbox]:
    opened = FileOutbox(path)
    opened.load(OWNER)
    yield opened
    opened.close()


def test_commands_are_loaded_in_the_order_of_their_addition(path: Path, file: FileOutbox) -> None:
    """Removed ones are not."""
    for each in commands(1, 2, 3, 4):
        file.add(each)
    file.remove("c2")
    file.remove("never added")
    file.close()
    assert reopened(path) == commands(1, 3, 4)


def test_memory_outbox_can_be_used_by_a_later_client() -> None:
    """With its commands, oldest first."""
    memory = MemoryOutbox()
    for each in commands(1, 2):
        memory.add(each)
    memory.remove("c1")
    memory.close()
    assert memory.load(OWNER) == commands(2)


def test_only_the_owner_can_read_the_file(path: Path, file: FileOutbox) -> None:
    """Also after it was compacted."""
    for number in range(outbox._COMPACT_FROM_LINES):
        file.add(command(number))
        file.remove(f"c{number}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_each_addition_is_flushed_to_the_disk(monkeypatch: pytest.MonkeyPatch, file: FileOutbox) -> None:
    """A removal need not be."""
    flushed: list[int] = []
    sync = os.fsync
    monkeypatch.setattr(outbox.os, "fsync", lambda fd: (flushed.append(fd), sync(fd)))
    file.add(command(1))
    assert len(flushed) == 1
    file.remove("c1")
    assert len(flushed) == 1


def test_incomplete_last_line_is_skipped_and_overwritten(path: Path, file: FileOutbox) -> None:
    """Its command was not accepted yet; the next line is complete."""
    for each in commands(1, 2):
        file.add(each)
    file.close()
    path.write_bytes(path.read_bytes()[:-5])
    again = FileOutbox(path)
    assert again.load(OWNER) == commands(1)
    again.add({"type": "back", "id": "short"})
    again.close()
    assert [each["id"] for each in reopened(path)] == ["c1", "short"]


def test_unreadable_line_is_skipped(path: Path, file: FileOutbox, caplog: pytest.LogCaptureFixture) -> None:
    """With a warning in the log; later lines are read."""
    for each in commands(1, 2, 3):
        file.add(each)
    file.close()
    path.write_bytes(path.read_bytes().replace(b'"c2"', b'\xff"c2'))
    assert reopened(path) == commands(1, 3)
    assert "Skipped 1 unreadable lines" in caplog.text


def test_command_is_refused_when_the_disk_is_full(
    path: Path, file: FileOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not in the file later; the next one is accepted."""
    file.add(command(1))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(outbox.os, "fsync", full)
        with pytest.raises(OutboxFailed, match="No space left"):
            file.add(command(2))
    file.add(command(3))
    file.close()
    assert reopened(path) == commands(1, 3)


def test_failed_removal_is_only_logged(
    path: Path, file: FileOutbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The command is sent again, and the server knows its id."""
    file.add(command(1))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(outbox.os, "write", full)
        file.remove("c1")
    file.close()
    assert "could not be removed" in caplog.text
    assert reopened(path) == commands(1)


def test_outbox_closes_when_a_refused_command_cannot_be_cut_off(
    path: Path, file: FileOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller repeats the command, which must not be in the file twice."""
    file.add(command(1))

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(outbox.os, "fsync", broken)
        patched.setattr(outbox.os, "ftruncate", broken)
        with pytest.raises(OutboxFailed):
            file.add(command(2))
    with pytest.raises(OutboxFailed, match="closed"):
        file.add(command(3))
    file.close()
    assert reopened(path)[:1] == commands(1)


def test_file_is_compacted_when_most_lines_are_obsolete(path: Path, file: FileOutbox) -> None:
    """The remaining commands keep their order."""
    file.add(command(-1))
    file.add(command(-3))
    for number in range(2 * outbox._COMPACT_FROM_LINES):
        file.add(command(number))
        file.remove(f"c{number}")
    file.add(command(-2))
    file.close()
    assert path.read_bytes().count(b"\n") <= outbox._COMPACT_FROM_LINES
    assert reopened(path) == commands(-1, -3, -2)


def test_file_is_open_in_one_client_at_a_time(path: Path, file: FileOutbox) -> None:
    """Two clients would send each other's commands; a second one can open it afterwards."""
    with pytest.raises(OutboxInUse, match="in use by another client"):
        FileOutbox(path).load(OWNER)
    program = f"from app.client.outbox import FileOutbox; FileOutbox({str(path)!r}).load({OWNER!r})"
    other = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "OutboxInUse" in other.stderr
    file.close()
    assert reopened(path) == []


def test_file_with_commands_of_another_session_is_refused(path: Path, file: FileOutbox) -> None:
    """One participant's answers never become another's; an empty file can change its owner."""
    file.add(command(1))
    file.close()
    other = FileOutbox(path)
    with pytest.raises(OutboxOwnerMismatch, match="bob"):
        other.load("bob in phq9")
    assert reopened(path) == commands(1)
    mine = FileOutbox(path)
    mine.load(OWNER)
    mine.remove("c1")
    mine.close()
    assert other.load("bob in phq9") == []
    other.close()


def test_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    """The message has the reason."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutboxFailed, match="Is a directory"):
        FileOutbox(tmp_path / "folder").load(OWNER)


def test_closed_outbox_refuses_additions(file: FileOutbox) -> None:
    """And ignores removals: another client may have the file."""
    file.add(command(1))
    file.close()
    with pytest.raises(OutboxFailed):
        file.add(command(2))
    file.remove("c1")


STEPS = st.lists(st.tuples(st.sampled_from(["add", "remove"]), st.integers(0, 5)), max_size=30)


@examples(150)
@given(steps=STEPS, where=st.floats(0, 1), compact_from=st.sampled_from([3, 6, 1000]))
def test_file_cut_at_any_byte_has_an_earlier_content(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    steps: list[tuple[str, int]],
    where: float,
    compact_from: int,
) -> None:
    """That of one of the steps; uncut, that of the last one."""
    monkeypatch.setattr(outbox, "_COMPACT_FROM_LINES", compact_from)
    path = tmp_path_factory.mktemp("cut") / "outbox"
    file = FileOutbox(path)
    file.load(OWNER)
    held: dict[int, None] = {}
    known: list[list[dict[str, Any]]] = [[]]
    since = 0
    for kind, number in steps:
        if kind == "add" and number not in held:  # an id is added once
            file.add(command(number))
            held[number] = None
        elif kind == "remove":
            inode = path.stat().st_ino
            file.remove(f"c{number}")
            held.pop(number, None)
            if path.stat().st_ino != inode:  # rewritten: older contents are gone, and the new one grows from nothing
                since = len(known)
                known += [commands(*list(held)[:length]) for length in range(len(held))]
        known.append(commands(*held))
    file.close()
    assert reopened(path) == known[-1]
    whole = path.read_bytes()
    path.write_bytes(whole[: round(where * len(whole))])
    loaded = reopened(path)
    assert loaded in known[since:]
    after = FileOutbox(path)
    after.load(OWNER)
    after.add(command(99))
    after.close()
    assert reopened(path) == [*loaded, command(99)]


@pytest.mark.parametrize(
    "value", ["a\0b", float("nan"), float("inf"), 2**53 + 1, "\ud800", {1: 2}, {"\0": 1}, b"x", {1}]
)
def test_value_that_the_server_would_refuse_is_not_sendable(value: object) -> None:
    """It would stay in the outbox for ever."""
    with pytest.raises(NotSendable):
        encode({"type": "answer", "id": "x", "step": "Q1", "value": [value]})


def test_message_has_at_most_64_kib() -> None:
    """As the server counts: in bytes of the whole message."""
    empty = {"type": "answer", "id": "x", "step": "Q1", "value": ""}
    room = MAX_COMMAND_BYTES - len(encode(empty))
    encode({**empty, "value": "x" * room})
    encode({**empty, "value": "é" * (room // 2)})
    with pytest.raises(CommandTooLarge, match="65537 bytes"):
        encode({**empty, "value": "x" * (room + 1)})


SCALARS = st.none() | st.booleans() | st.text(st.characters(), max_size=3) | st.floats()
SCALARS |= st.integers(-(2**54), 2**54) | st.sampled_from(["\0", "\ud800", 2**53, -(2**53) - 1])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@given(value=VALUES | st.integers(29, 36).map(nested))
def test_client_and_server_refuse_the_same_values(value: object) -> None:
    """The server checks with app/core/strict_json.py."""
    try:
        strict_json.check(value)
    except InvalidJson:
        with pytest.raises(NotSendable):
            encode({"type": "answer", "id": "x", "step": "Q1", "value": value})
    else:
        text = encode({"type": "answer", "id": "x", "step": "Q1", "value": value})
        assert strict_json.decode(text)["value"] == value
