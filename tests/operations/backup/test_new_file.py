"""A new file: whole or not at all, and never over another one."""

import os
from pathlib import Path

import pytest

from app.errors import InvalidInput
from app.operations.backup.new_file import new_file


def write(path: Path, meanwhile: bytes | None = None) -> None:
    with new_file(path) as unfinished:
        unfinished.write_bytes(b"mine")
        if meanwhile is not None:
            path.write_bytes(meanwhile)


@pytest.mark.parametrize("has_links", [True, False])
def test_file_that_was_made_meanwhile_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_links: bool
) -> None:
    """Two backups at once under one name: one is refused. So it is on file systems without links."""

    def no_links(*_: object) -> None:
        raise PermissionError("no links here")

    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "backup"
    with pytest.raises(InvalidInput, match="is there by now"):
        write(path, meanwhile=b"another's")
    assert path.read_bytes() == b"another's"
    path.unlink()
    write(path)
    assert path.read_bytes() == b"mine"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
