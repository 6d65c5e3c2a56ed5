"""The Python API: which survey its sessions belong to, and how strict its arguments are."""

from pathlib import Path
from typing import Any

import pytest

from app.aio import AsyncDatabase
from app.database import Database
from app.errors import InvalidInput, InvalidUserId
from app.settings import Settings
from tests.asynchronous import run
from tests.catalogue.test_catalogue import CLOSED, VISIT
from tests.conftest import ROOT, NewStore
from tests.databases import create_sqlite
from tests.forked import run_module


@pytest.fixture
def surveys(tmp_path: Path) -> Path:
    """An empty folder for survey files."""
    folder = tmp_path / "surveys"
    folder.mkdir()
    return folder


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite: the dialect plays no part."""
    return create_sqlite(tmp_path / "test.db")


@pytest.fixture
def open_database(database_url: str, surveys: Path, new_store: NewStore) -> Any:
    """Open the Python API, as a program does that is started again."""

    def open_one(**settings: Any) -> Database:
        return Database(new_store(Settings(database_url=database_url, surveys_dir=surveys, **settings)))

    return open_one


def test_sessions_stay_the_same_whatever_survey_files_there_are(open_database: Any, surveys: Path) -> None:
    """With no file, one and two."""
    open_database().save_session("ann", "S1", {"a": 1}, [])
    for name, text in (("visit", VISIT), ("closed", CLOSED)):
        (surveys / f"{name}.yaml").write_text(text)
        database = open_database()
        loaded = database.load_session("ann")
        assert (loaded["survey_id"], loaded["answers"]) == ("default", {"a": 1})
        assert database.update_session_state("ann", current_step=name)
        assert database.add_history_entry("ann", name)
    assert len(database.get_session_history("ann")) == 5
    assert database.store.catalogue.default_id == "default"


def test_default_survey_of_the_settings_is_the_python_apis_too(open_database: Any, surveys: Path) -> None:
    """So that a participant of the page is found."""
    (surveys / "visit.yaml").write_text(VISIT)
    assert open_database(default_survey="visit").save_session("ann", "S1", {}, [])
    assert open_database().load_session("ann") is None
    assert open_database().load_session("ann", survey_id="visit")["survey_id"] == "visit"


def test_survey_can_be_named_in_every_function(open_database: Any, surveys: Path) -> None:
    """Sessions of an earlier release, which belong to the only survey file there was, are found by it."""
    database, visit = open_database(), {"survey_id": "visit"}
    database.save_session("ann", "D1", {}, [])
    database.save_session("ann", "V1", {"V0": 1}, ["V0"], **visit)
    assert database.update_session_state("ann", current_step="V2", **visit)
    assert database.add_history_entry("ann", "called", **visit)
    assert [entry["action"] for entry in database.get_session_history("ann", **visit)] == ["called", "saved", "saved"]
    assert [session["current_step"] for session in database.list_sessions(**visit)] == ["V2"]
    assert [session["survey_id"] for session in database.list_sessions()] == ["default", "visit"]
    assert database.load_session("ann", **visit)["answers"] == {"V0": 1}
    assert database.delete_session("ann", **visit)
    assert database.load_session("ann", **visit) is None
    assert database.load_session("ann")["current_step"] == "D1"
    with pytest.raises(InvalidInput, match="A survey's id must be"):
        database.load_session("ann", survey_id="No such")
    with pytest.raises(InvalidInput, match="A survey's id must be"):
        database.load_session("ann", survey_id=7)


@pytest.mark.parametrize("limit", ["5", -1, 0, None, True, 1.0, 2**60], ids=repr)
def test_limit_is_as_strict_as_other_arguments(open_database: Any, limit: object) -> None:
    """As is_audio_mode, which 1 is no value of."""
    database = open_database()
    database.save_session("ann", "S1", {}, [])
    for list_some in (database.list_sessions, lambda limit: database.get_session_history("ann", limit=limit)):
        with pytest.raises(InvalidInput, match=r"^The limit must be a whole number of at least 1, not "):
            list_some(limit=limit)
    with pytest.raises(InvalidInput, match="is_audio_mode must be true or false"):
        database.update_session_state("ann", is_audio_mode=1)


def test_session_data_is_kept_by_none_and_cleared_by_an_empty_object(open_database: Any) -> None:
    database = open_database()
    database.save_session("ann", "S1", {}, [], session_data={"ward": 3})
    database.update_session_state("ann", current_step="S2", session_data=None)
    assert database.load_session("ann")["session_data"] == {"ward": 3}
    database.update_session_state("ann", session_data={})
    assert database.load_session("ann")["session_data"] == {}


def test_numpys_number_is_refused_in_words(open_database: Any) -> None:
    numpy = pytest.importorskip("numpy")
    with pytest.raises(InvalidInput, match=r"answers\.score: numpy\.float64 is not a JSON type; convert it to float"):
        open_database().save_session("ann", "S1", {"score": numpy.float64(1.5)}, [])


@pytest.mark.parametrize(
    ("user_id", "named"),
    [(7, "a value of type int"), (None, "a value of type NoneType"), ("ann+x@example.org", "'ann+x@example.org'")],
)
def test_refused_user_id_is_named(open_database: Any, user_id: object, named: str) -> None:
    """7 seems to have only permitted characters."""
    with pytest.raises(InvalidUserId) as refused:
        open_database().load_session(user_id)
    assert str(refused.value).endswith(f"it was {named}")


def test_database_that_cannot_be_opened_is_one_error_without_those_of_the_driver(tmp_path: Path) -> None:
    """Its last line says what to do."""
    script = "from database import get_database; get_database()"
    environment = {"DATABASE_URL": f"sqlite:///{tmp_path}/missing/s.db", "PYTHONPATH": str(ROOT)}
    done = run_module(["-c", script], environment, folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert "Its folder must exist" in done.stderr.splitlines()[-1]


ARRIVAL = """
id: arrival
title: Arrival
language: en
parameters:
  clinic: {type: choice, from: url, options: [north, south]}
  ward: {type: number, from: api, required: false}
steps:
  - {id: S1, type: text, prompt: "{{ parameters.clinic }}"}
"""


def test_session_begins_with_parameters(open_database: Any, surveys: Path) -> None:
    """Wherever they come from otherwise, once; a wrong or missing one begins none."""
    (surveys / "arrival.yaml").write_text(ARRIVAL)
    database = open_database()
    for wrong, message in (({}, "clinic is missing."), ({"clinic": "east"}, "clinic is invalid. It must be one of")):
        with pytest.raises(InvalidInput, match=message):
            database.begin_session("ann", survey_id="arrival", parameters=wrong)
    assert database.load_session("ann", survey_id="arrival") is None
    begun = database.begin_session("ann", survey_id="arrival", parameters={"clinic": "north", "ward": 3, "other": 1})
    assert (begun["current_step"], begun["parameters"]) == ("S1", {"clinic": "north", "ward": 3})
    again = database.begin_session("ann", survey_id="arrival", parameters={"clinic": "south"})
    assert (again["version"], again["parameters"]) == (1, begun["parameters"])
    awaited = AsyncDatabase(database).begin_session("ben", survey_id="arrival", parameters={"clinic": "south"})
    assert run(awaited)["parameters"] == {"clinic": "south", "ward": None}
