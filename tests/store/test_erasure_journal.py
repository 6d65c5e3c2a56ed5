"""The erasure journal: appended lines are read again, whatever incomplete line precedes them."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from app.errors import ConfigurationError, ErasureJournalUnavailable
from app.store.erasure_journal import ErasureJournal, ErasureRecord, format_line, hash_user_id, open_journal, read_lines
from tests.conftest import examples

HEX = "0123456789abcdef"

ERASED = st.builds(
    ErasureRecord,
    survey_id=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=64),
    user_hash=st.text(HEX, min_size=64, max_size=64),
    salt=st.text(HEX, min_size=32, max_size=32),
    sessions=st.integers(0, 2**63 - 1),
    erased_at=st.integers(0, 250_000_000_000_000_000),
)
ONE = ErasureRecord("phq9", "ab" * 32, "cd" * 16, 2, 1_764_191_000_000_001)


@examples(100)
@given(
    erasures=st.lists(ERASED, max_size=5), half=st.binary(max_size=200), more=st.lists(ERASED, min_size=1, max_size=3)
)
def test_appended_lines_are_read_in_order(
    tmp_path_factory: pytest.TempPathFactory, erasures: list[ErasureRecord], half: bytes, more: list[ErasureRecord]
) -> None:
    """An incomplete line of a writer that died does not affect the other lines."""
    journal = ErasureJournal(tmp_path_factory.mktemp("list") / "list")
    journal.append(erasures)
    assert list(journal.read()) == erasures
    with journal.path.open("ab") as file:
        file.write(half.replace(b"\n", b""))
    journal.append(more)
    assert [record for record in journal.read() if record in [*erasures, *more]] == [*erasures, *more]


@pytest.mark.parametrize(
    "line",
    [
        format_line(ONE)[:-5],
        format_line(ONE).replace("ab", "AB"),
        format_line(ONE).replace('"cd', '"d'),
        format_line(ONE).replace("2,", "-1,"),
        format_line(ONE).replace("2,", "true,"),
        format_line(ONE).replace("Z", "+02:00"),
        format_line(ONE).replace("-", "", 1),
        '{"survey_id": "phq9"}',
        "[]",
        "\x00\x00",
        "[" * 100_000,
        b"\xff\xfe",
    ],
    ids=range(12),
)
def test_invalid_lines_are_skipped_with_one_warning(line: str | bytes, caplog: pytest.LogCaptureFixture) -> None:
    """The warning counts them and does not show them."""
    assert list(read_lines([format_line(ONE), line, "", line, format_line(ONE)], "the list")) == [ONE, ONE]
    assert [record.getMessage() for record in caplog.records] == [
        "the list: skipped 2 unreadable lines; the last one may be incomplete"
    ]


def test_missing_journal_is_empty(tmp_path: Path) -> None:
    """The first erasure creates the file, readable only by its owner."""
    journal = ErasureJournal(tmp_path / "list")
    assert list(journal.read()) == []
    journal.append([])
    assert not journal.path.exists()
    journal.append([ONE])
    assert list(journal.read()) == [ONE]
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600


def test_lines_are_complete_when_many_writers_append(tmp_path: Path) -> None:
    """Sixteen threads, each with its own open file."""
    lines = [ONE._replace(sessions=number) for number in range(200)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda line: ErasureJournal(tmp_path / "list").append([line]), lines))
    assert sorted(ErasureJournal(tmp_path / "list").read()) == lines


def test_check_fails_when_the_journal_cannot_be_written(tmp_path: Path) -> None:
    """A missing folder, or a folder in the file's place; append and read raise too."""
    journal = ErasureJournal(tmp_path / "none" / "list")
    with pytest.raises(ConfigurationError, match="STEPKEEP_ERASURES_FILE"):
        journal.check()
    with pytest.raises(ErasureJournalUnavailable, match="No such file"):
        journal.append([ONE])
    with pytest.raises(ErasureJournalUnavailable, match="Is a directory"):
        list(ErasureJournal(tmp_path).read())
    with pytest.raises(ConfigurationError):
        ErasureJournal(tmp_path).check()


def test_journal_is_beside_the_sqlite_file_unless_configured() -> None:
    """Other databases have no journal without the setting."""
    assert _path(None, "sqlite:////data/s.db") == Path("/data/s.db.erasures")
    assert _path(Path("/x"), "sqlite:////data/s.db") == Path("/x")
    assert _path(None, "postgresql://u@h/n") is None
    assert _path(Path("/x"), "postgresql://u@h/n") == Path("/x")


def _path(setting: Path | None, url: str) -> Path | None:
    journal = open_journal(setting, make_url(url))
    return None if journal is None else journal.path


def test_hash_separates_survey_and_user() -> None:
    """By a character that no survey id has."""
    assert hash_user_id("00" * 16, "a", "bc") != hash_user_id("00" * 16, "ab", "c")
