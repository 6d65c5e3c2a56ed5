"""The list of erasures in a file: what was appended is read again, whatever was half-written before."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from app.errors import ConfigurationError, ErasureNotListed
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
def test_what_was_appended_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, erasures: list[ErasureRecord], half: bytes, more: list[ErasureRecord]
) -> None:
    """In order; a writer that died left anything without its end, and takes no other line with it."""
    listed = ErasureJournal(tmp_path_factory.mktemp("list") / "list")
    listed.append(erasures)
    assert list(listed.read()) == erasures
    with listed.path.open("ab") as file:
        file.write(half.replace(b"\n", b""))
    listed.append(more)
    assert [one for one in listed.read() if one in [*erasures, *more]] == [*erasures, *more]


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
def test_line_that_is_none_is_skipped_with_one_warning(line: str | bytes, caplog: pytest.LogCaptureFixture) -> None:
    """It is counted and not shown, and all others are read."""
    assert list(read_lines([format_line(ONE), line, "", line, format_line(ONE)], "the list")) == [ONE, ONE]
    assert [record.getMessage() for record in caplog.records] == [
        "the list: 2 lines are no erasures and were skipped; the last one may be half-written"
    ]


def test_list_that_is_not_there_is_empty(tmp_path: Path) -> None:
    """Until the first erasure there is no file; nobody but its owner reads it then."""
    listed = ErasureJournal(tmp_path / "list")
    assert list(listed.read()) == []
    listed.append([])
    assert not listed.path.exists()
    listed.append([ONE])
    assert list(listed.read()) == [ONE]
    assert stat.S_IMODE(listed.path.stat().st_mode) == 0o600


def test_lines_of_many_writers_stay_whole(tmp_path: Path) -> None:
    """Sixteen threads, each with a file of its own open."""
    lines = [ONE._replace(sessions=number) for number in range(200)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda one: ErasureJournal(tmp_path / "list").append([one]), lines))
    assert sorted(ErasureJournal(tmp_path / "list").read()) == lines


def test_list_that_cannot_be_kept_stops_the_start(tmp_path: Path) -> None:
    """A folder that isn't there, or a folder in the file's place; later it is an erasure that is not done."""
    listed = ErasureJournal(tmp_path / "none" / "list")
    with pytest.raises(ConfigurationError, match="STEPKEEP_ERASURES_FILE"):
        listed.check()
    with pytest.raises(ErasureNotListed, match="No such file"):
        listed.append([ONE])
    with pytest.raises(ErasureNotListed, match="Is a directory"):
        list(ErasureJournal(tmp_path).read())
    with pytest.raises(ConfigurationError):
        ErasureJournal(tmp_path).check()


def test_list_lies_beside_a_sqlite_file_and_nowhere_else_unless_named() -> None:
    """The embedded database needs no setting."""
    assert _path(None, "sqlite:////data/s.db") == Path("/data/s.db.erasures")
    assert _path(Path("/x"), "sqlite:////data/s.db") == Path("/x")
    assert _path(None, "postgresql://u@h/n") is None
    assert _path(Path("/x"), "postgresql://u@h/n") == Path("/x")


def _path(setting: Path | None, url: str) -> Path | None:
    listed = open_journal(setting, make_url(url))
    return None if listed is None else listed.path


def test_hash_does_not_mix_survey_and_user() -> None:
    """What ends the survey's id is in no id."""
    assert hash_user_id("00" * 16, "a", "bc") != hash_user_id("00" * 16, "ab", "c")
