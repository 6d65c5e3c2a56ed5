"""The survey files of a folder: which are read, and which errors prevent the start."""

from pathlib import Path

import pytest

from app import catalogue
from app.catalogue import UNNAMED_SURVEY, read_catalogue
from app.errors import NoSuchSurvey, SurveyFileError
from app.settings import Settings

VISIT = "id: visit\ntitle: Visit\nlanguage: en\nsteps: [{id: S1, type: info, prompt: Hello}]\n"
CLOSED = VISIT.replace("id: visit", "id: closed\naccess: closed\nexpires_after: 1d")


def settings(folder: Path, **more: str) -> Settings:
    """Return settings whose surveys are in the folder."""
    return Settings(surveys_dir=folder, **more)  # type: ignore[arg-type]  # strings, as from the environment


def test_survey_files_are_read_and_other_files_are_not(tmp_path: Path) -> None:
    """YAML files are read, also with a byte order mark."""
    (tmp_path / "visit.yml").write_text(VISIT, encoding="utf-8-sig")
    (tmp_path / "closed.yaml").write_text(CLOSED)
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "folder.yaml").mkdir()
    read = read_catalogue(settings(tmp_path))
    assert set(read.surveys) == {"visit", "closed"}
    assert read.public_ids == ("visit",)


def test_default_survey_is_the_only_one_or_the_configured_one(tmp_path: Path) -> None:
    """With several surveys and no setting, none is the default."""
    assert read_catalogue(settings(tmp_path / "missing")).default_id == UNNAMED_SURVEY
    (tmp_path / "visit.yaml").write_text(VISIT)
    assert read_catalogue(settings(tmp_path)).survey(None).id == "visit"
    (tmp_path / "closed.yaml").write_text(CLOSED)
    assert read_catalogue(settings(tmp_path)).default_id == UNNAMED_SURVEY
    assert read_catalogue(settings(tmp_path, default_survey="closed")).survey(None).id == "closed"
    with pytest.raises(NoSuchSurvey, match="visit"):
        read_catalogue(settings(tmp_path)).survey(None)


def test_durations_of_the_server_apply_where_the_file_sets_none(tmp_path: Path) -> None:
    """The server's durations do not change the revision."""
    (tmp_path / "visit.yaml").write_text(VISIT)
    (tmp_path / "closed.yaml").write_text(CLOSED)
    plain = read_catalogue(settings(tmp_path)).surveys["visit"]
    surveys = read_catalogue(settings(tmp_path, expires_after="2d", retention="9d")).surveys
    assert (surveys["visit"].expires_after, surveys["closed"].expires_after) == ("2d", "1d")
    assert {survey.retention for survey in surveys.values()} == {"9d"}
    assert surveys["visit"].revision == plain.revision


def test_invalid_folder_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file and the problem."""
    (tmp_path / "a.yaml").write_text(VISIT)
    with pytest.raises(SurveyFileError, match="STEPKEEP_DEFAULT_SURVEY is 'other'"):
        read_catalogue(settings(tmp_path, default_survey="other"))
    (tmp_path / "b.yaml").write_text(VISIT)
    with pytest.raises(SurveyFileError, match=r"b\.yaml: id: 'visit' is also the id of .*a\.yaml"):
        read_catalogue(settings(tmp_path))
    (tmp_path / "b.yaml").write_bytes(b"id: \xff")
    with pytest.raises(SurveyFileError, match=r"b\.yaml: byte 4: not UTF-8"):
        read_catalogue(settings(tmp_path))
    monkeypatch.setattr(catalogue, "MAX_FILE_BYTES", 10)
    with pytest.raises(SurveyFileError, match=r"a\.yaml: larger than 10 bytes"):
        read_catalogue(settings(tmp_path))
