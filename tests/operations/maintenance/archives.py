"""Reading archives of a purge, as docs/operations.md describes them."""

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson

from app.survey.snapshot import SessionKey


class ArchivedSession(NamedTuple):
    """A complete session in an archive."""

    key: SessionKey
    version: int
    events: int
    is_erased: bool


def read_archive(path: Path) -> Iterator[ArchivedSession]:
    """Yield the complete sessions, after reading the whole archive."""
    complete: dict[tuple[str, str, int], int] = {}
    erased: set[tuple[str, str, int]] = set()
    digest = hashlib.sha256()
    for line in _read_lines(path):
        value = orjson.loads(line)
        match value["type"]:
            case "session":
                digest = hashlib.sha256(line)
            case "event":
                digest.update(line)
            case "end" if value["sha256"] == digest.hexdigest():
                complete[value["survey_id"], value["user_id"], value["version"]] = value["events"]
            case "erased":
                erased.update((survey_id, user_id, version) for survey_id, user_id, version in value["sessions"])
            case _:
                pass
    for identity, events in complete.items():
        yield ArchivedSession(SessionKey(*identity[:2]), identity[2], events, identity in erased)


def _read_lines(path: Path) -> Iterator[bytes]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        try:
            for line in lines:
                if line.endswith(b"\n"):
                    yield line
        except EOFError:  # the last gzip member is incomplete
            return
