"""Commands for authors: check, begin and list survey files."""

import json
import os
from pathlib import Path

import pytest

from app.survey import parse_survey
from tests.cli.shell import Done
from tests.conftest import SURVEYS
from tests.forked import run_module

RIGHT = (
    "id: right\ntitle: {en: R, de: R}\nlanguage: en\nlanguages: [en, de]\nsteps:\n  - {id: S1, type: info, prompt: P}\n"
)
HINT = 'write {en: "...", de: "..."}'
WRONG = "id: wrong\ntitle: W\nlanguage: en\nsteps:\n  - {id: S1, type: info, promt: P}\n  - {id: S2, typ: info, prompt: P}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder of surveys."""
    (tmp_path / "surveys").mkdir()
    return tmp_path / "surveys"


def author(folder: Path, *arguments: str, module: str = "flask") -> Done:
    """Run a command as an author does: without a database, a secret or other settings."""
    return run_module([module, *arguments], {"PATH": os.environ["PATH"], "STEPKEEP_SURVEYS_DIR": str(folder)}, 60)


@pytest.mark.parametrize("module", ["flask", "app"])
def test_check_prints_each_finding_and_fails_on_errors(folder: Path, module: str) -> None:
    """As file:line:column: message, in each file; a wrong file does not keep the command from starting."""
    (folder / "right.yaml").write_text(RIGHT)
    (folder / "wrong.yaml").write_text(WRONG)
    (folder / "copy.yaml").write_text(RIGHT)
    done = author(folder, "surveys", "check", module=module)
    assert done.stdout.splitlines() == [
        f"{folder}/copy.yaml:6:34: warning: step S1: prompt has no text in de; {HINT}",
        f"{folder}/right.yaml:1:5: right is also the id of {folder}/copy.yaml",
        f"{folder}/right.yaml:6:34: warning: step S1: prompt has no text in de; {HINT}",
        f"{folder}/wrong.yaml:5:26: step S1: unknown field promt; did you mean prompt?",
        f"{folder}/wrong.yaml:6:14: step S2: unknown field typ; did you mean type?",
    ]
    assert (done.returncode, done.stderr) == (1, "3 files: 3 errors, 2 warnings.\n")


def test_check_of_named_files_and_folders_passes_with_warnings(folder: Path) -> None:
    """As JSON, with all parts of the finding."""
    (folder / "wrong.yaml").write_text(WRONG)
    (folder / "drafts").mkdir()
    file = folder / "drafts" / "right.yaml"
    file.write_text(RIGHT)
    done = author(folder, "surveys", "check", str(SURVEYS), str(file), "--json")
    assert json.loads(done.stdout) == {
        "level": "warning",
        "file": str(file),
        "line": 6,
        "column": 34,
        "step_id": "S1",
        "message": f"step S1: prompt has no text in de; {HINT}",
    }
    assert done.returncode == 0
    missing = author(folder, "surveys", "check", str(folder / "none.yaml"))
    assert (missing.returncode, missing.stdout) == (2, "")


def test_new_writes_a_file_that_passes_and_overwrites_none(folder: Path) -> None:
    """With comments for its author."""
    done = author(folder / "new", "surveys", "new", "visit")
    file = folder / "new" / "visit.yaml"
    assert (done.returncode, done.stdout) == (0, f"{file} is a survey to begin with.\n")
    text = file.read_text()
    assert text.startswith("# A survey: ")
    assert f"flask surveys check {file}\n" in text
    survey = parse_survey(text, str(file))
    assert (survey.id, len(survey.steps)) == ("visit", 5)
    assert author(folder / "new", "surveys", "check").stdout == ""
    file.write_text(text.replace("id: visit", "id: other"))
    again = author(folder / "new", "surveys", "new", "visit")
    assert (again.returncode, again.stderr) == (1, f"Error: {file} exists already; choose another id, or remove it\n")
    taken = author(folder / "new", "surveys", "new", "other")
    assert (taken.returncode, taken.stderr) == (1, f"Error: {file} has the id other already; choose another one\n")
    wrong = author(folder / "new", "surveys", "new", "A B")
    assert wrong.returncode == 2
    assert "ID must be lowercase letters, digits, - or _" in wrong.stderr


def test_new_writes_the_right_id_whatever_the_folder_is_called(folder: Path) -> None:
    """The file's path is in a comment before the id."""
    named = folder / "ID of $FILE COMMAND"
    assert author(named, "surveys", "new", "visit").returncode == 0
    text = (named / "visit.yaml").read_text()
    assert parse_survey(text, "visit.yaml").id == "visit"
    assert f"flask surveys check {named / 'visit.yaml'}\n" in text


def test_list_shows_the_surveys_of_the_folder(folder: Path) -> None:
    """Their files as they are now."""
    text = RIGHT.replace("en: R,", 'en: "R {{ today }}",')
    (folder / "right.yaml").write_text(text)
    done = author(folder, "surveys", "list", "--json")
    revision = parse_survey(text, "right.yaml").revision
    assert json.loads(done.stdout) == {
        "id": "right",
        "title": "R [today]",
        "languages": ["en", "de"],
        "steps": 1,
        "revision": revision,
        "access": "public",
    }
    assert f"right   R [today]  en de      1      {revision}  public" in author(folder, "surveys", "list").stdout


def test_list_shows_the_right_surveys_beside_broken_files(folder: Path) -> None:
    """Each broken file with its first mistake; also one whose id is taken."""
    (folder / "copy.yaml").write_text(RIGHT)
    (folder / "right.yaml").write_text(RIGHT)
    (folder / "wrong.yaml").write_text(WRONG)
    done = author(folder, "surveys", "list", "--json")
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["right"]
    assert done.stderr.splitlines() == [
        f"Error: {folder}/right.yaml:1:5: right is also the id of {folder}/copy.yaml",
        f"Error: {folder}/wrong.yaml:5:26: step S1: unknown field promt; did you mean prompt? (and 1 more)",
        "2 files are not listed; for all findings run: flask surveys check",
    ]
    assert done.returncode == 1
