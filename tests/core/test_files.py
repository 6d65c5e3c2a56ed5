"""A file appears whole or not at all."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.files import create_file, replace_file
from app.errors import InvalidInput


def create(path: Path, meanwhile: bytes | None = None) -> None:
    with create_file(path) as part:
        part.write_bytes(b"mine")
        if meanwhile is not None:
            path.write_bytes(meanwhile)


@pytest.mark.parametrize("has_links", [True, False])
def test_created_file_never_replaces_one_that_was_created_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_links: bool
) -> None:
    """Of two backups at once under one name one is refused, also on file systems without hard links."""

    def no_links(*_: object) -> None:
        raise PermissionError("no links here")

    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "backup"
    with pytest.raises(InvalidInput, match="created by another program"):
        create(path, meanwhile=b"another's")
    assert path.read_bytes() == b"another's"
    with pytest.raises(InvalidInput, match="already exists"):
        create(path)
    path.unlink()
    create(path)
    assert path.read_bytes() == b"mine"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_replaced_file_has_all_pieces_and_is_only_its_owners(tmp_path: Path) -> None:
    """Even if others could read the file that it replaces."""
    path = tmp_path / "phq9.csv"
    path.write_text("before")
    path.chmod(0o644)
    replace_file(path, iter([b"one,", b"", b"two"]))
    assert path.read_bytes() == b"one,two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_error_while_pieces_are_made_leaves_the_old_file(tmp_path: Path) -> None:
    """It is not an error of the file, even if it is an OSError."""
    path = tmp_path / "phq9.csv"
    path.write_text("before")

    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        replace_file(path, pieces())
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("phq9.csv", "before")]


def test_file_that_cannot_be_written_is_invalid_input(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(InvalidInput, match=r"none/x\.csv can't be written: No such file or directory"):
        replace_file(tmp_path / "none" / "x.csv", [b""])
