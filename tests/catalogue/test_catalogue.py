"""The survey files of a folder: which are read, and which errors prevent the start."""

from pathlib import Path

import pytest

from app.catalogue import UNNAMED_SURVEY, accept, catalogue, read_catalogue, reread_catalogue
from app.errors import NoSuchSurvey, SurveyFileError
from app.settings import Settings
from tests.conftest import SURVEYS, NewStore

VISIT = "id: visit\ntitle: Visit\nlanguage: en\nsteps: [{id: S1, type: info, prompt: Hello}]\n"
CLOSED = VISIT.replace("id: visit", "id: closed\naccess: closed\nexpires_after: 1d")

IMAGES = """
id: visit
title: Visit
language: en
steps:
  - id: S1
    type: choice
    prompt: Where?
    image: {file: a.png, alt: A}
    options: [here, {value: there, image: {file: a.png, alt: B}}]
"""


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
    with pytest.raises(SurveyFileError, match=r"b\.yaml:1:5: visit is also the id of .*a\.yaml"):
        read_catalogue(settings(tmp_path))
    (tmp_path / "b.yaml").write_bytes(b"id: \xff")
    with pytest.raises(SurveyFileError, match=r"b\.yaml:1:1: byte 4: not UTF-8"):
        read_catalogue(settings(tmp_path))
    monkeypatch.setattr(catalogue, "MAX_FILE_BYTES", 10)
    with pytest.raises(SurveyFileError, match=r"a\.yaml:1:1: larger than 10 bytes"):
        read_catalogue(settings(tmp_path))


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        ("none.png", "there is no file 'none.png'"),
        ("a.tiff", "'a.tiff' has no type that is shown; use .gif, .jpeg, .jpg, .png, .svg, .webp"),
    ],
)
def test_image_that_cannot_be_shown_is_refused(tmp_path: Path, image: str, problem: str) -> None:
    """With its step or option."""
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.png").write_bytes(b"\x89PNG")
    (tmp_path / "visit.yaml").write_text(IMAGES)
    assert set(read_catalogue(settings(tmp_path)).surveys) == {"visit"}
    for place in ("9:19", "10:50"):
        first, last = ("a.png", image) if place == "10:50" else (image, "a.png")
        (tmp_path / "visit.yaml").write_text(
            IMAGES.replace("a.png", first, 1).replace("a.png, alt: B", f"{last}, alt: B")
        )
        with pytest.raises(SurveyFileError) as refused:
            read_catalogue(settings(tmp_path))
        assert f"visit.yaml:{place}: step S1: image: {problem}" in str(refused.value)


def test_missing_image_and_known_id_are_found_beside_other_mistakes(tmp_path: Path) -> None:
    """All at once, as within the file."""
    (tmp_path / "a.yaml").write_text(VISIT)
    (tmp_path / "b.yaml").write_text(IMAGES.replace("prompt: Where?", "promt: Where?"))
    with pytest.raises(SurveyFileError) as refused:
        read_catalogue(settings(tmp_path))
    assert [line.partition("b.yaml:")[2] for line in str(refused.value).splitlines()] == [
        f"2:5: visit is also the id of {tmp_path / 'a.yaml'}",
        "8:5: step S1: unknown field promt; did you mean prompt?",
        f"9:19: step S1: image: there is no file 'a.png' in {tmp_path / 'media'}",
        f"10:50: step S1: image: there is no file 'a.png' in {tmp_path / 'media'}",
    ]


def test_reread_takes_what_is_right_and_leaves_the_rest_as_it_was(tmp_path: Path) -> None:
    """A wrong file keeps its survey, a removed one is no longer offered, and a copy does not take an id."""
    for name in ("kept", "changed", "removed", "stays"):
        (tmp_path / f"{name}.yaml").write_text(VISIT.replace("id: visit", f"id: {name}"))
    before = read_catalogue(settings(tmp_path))
    (tmp_path / "kept.yaml").write_text("id: kept\n")
    (tmp_path / "changed.yaml").write_text((tmp_path / "changed.yaml").read_text().replace("Hello", "Welcome"))
    (tmp_path / "removed.yaml").unlink()
    (tmp_path / "a-copy.yaml").write_text((tmp_path / "stays.yaml").read_text())
    (tmp_path / "new.yaml").write_text(VISIT.replace("id: visit", "id: new"))
    (tmp_path / "wrong.yaml").write_text("id: [\n")
    after, findings = reread_catalogue(before, settings(tmp_path))
    assert set(after.surveys) == {"kept", "changed", "stays", "new"}
    assert after.surveys["kept"] == before.surveys["kept"]
    assert after.surveys["stays"].revision == before.surveys["stays"].revision
    assert after.surveys["changed"].steps[0].prompt == "Welcome"
    assert {Path(finding.file).name for finding in findings} == {"a-copy.yaml", "kept.yaml", "wrong.yaml"}
    assert after.errors == findings
    assert reread_catalogue(after, settings(tmp_path))[0].surveys["kept"] == before.surveys["kept"]


def test_reread_keeps_the_default_survey_and_all_surveys_of_a_missing_folder(tmp_path: Path) -> None:
    """Both are reported: participants must not lose a survey by a mistake."""
    folder = tmp_path / "surveys"
    folder.mkdir()
    (folder / "visit.yaml").write_text(VISIT)
    before = read_catalogue(settings(folder, default_survey="visit"))
    (folder / "visit.yaml").unlink()
    kept, (finding,) = reread_catalogue(before, settings(folder, default_survey="visit"))
    assert (set(kept.surveys), kept.default_id) == ({"visit"}, "visit")
    assert "STEPKEEP_DEFAULT_SURVEY is 'visit', but no file has this id" in finding.message
    folder.rmdir()
    kept, (finding,) = reread_catalogue(before, settings(folder))
    assert set(kept.surveys) == {"visit"}
    assert finding.message == "the folder does not exist"


def test_new_worker_starts_although_files_are_wrong_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It replaces a lost one while the server runs: it offers what the server does, and what is right of the rest."""
    monkeypatch.setattr(catalogue, "_accepted", [])
    for name in ("visit", "removed"):
        (tmp_path / f"{name}.yaml").write_text(VISIT.replace("id: visit", f"id: {name}"))
    accept(read_catalogue(settings(tmp_path)))
    (tmp_path / "visit.yaml").write_text("id: visit\n")
    (tmp_path / "removed.yaml").unlink()
    (tmp_path / "other.yaml").write_text("id: other\n")
    (tmp_path / "new.yaml").write_text(VISIT.replace("id: visit", "id: new"))
    started = read_catalogue(settings(tmp_path))
    assert set(started.surveys) == {"visit", "new"}
    assert started.surveys["visit"].title == "Visit"
    assert {Path(finding.file).name for finding in started.errors} == {"visit.yaml", "other.yaml"}
    accept(started)
    (tmp_path / "removed.yaml").write_text("id: removed\n")
    assert set(read_catalogue(settings(tmp_path)).surveys) == {"visit", "new"}


def test_sqlite_file_is_created_by_the_given_settings_alone(
    tmp_path: Path, new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the survey files of the current folder: a preview or a test runs where a file may be broken."""
    (tmp_path / "surveys").mkdir()
    (tmp_path / "surveys" / "broken.yaml").write_text("id: [")
    monkeypatch.chdir(tmp_path)
    store = new_store(Settings(database_url=f"sqlite:///{tmp_path / 'new.db'}", surveys_dir=SURVEYS))
    assert store.queries.list() == ([], None)
