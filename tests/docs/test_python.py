"""docs/python.md: its examples run as printed, and its tables name what exists."""

import inspect
import os
import re
from collections.abc import Callable
from pathlib import Path

import app.client
import app.errors
import app.testing
from app.database import Database
from app.settings import Settings, variable_name
from tests.conftest import ROOT, SURVEYS, Server
from tests.docs.pages import blocks, in_clone, run_python, tables
from tests.forked import run_module

PAGE = (ROOT / "docs" / "python.md").read_text()
SIMPLE, SURVEY, ERRORS, MANY, TRANSACTION, CONFTEST, TESTS, CLIENT = blocks(PAGE, "python")


def call_of(name: str, function: Callable[..., object]) -> str:
    """Return how a method is called, for instance ``load_session(user_id)``."""
    _, *parameters = inspect.signature(function).parameters.values()
    return f"{name}({', '.join(str(parameter.replace(annotation=parameter.empty)) for parameter in parameters)})"


def test_simple_api_example_runs_as_printed(tmp_path: Path) -> None:
    """In an empty folder, on SQLite."""
    first, *_, participants, erased = run_python(SIMPLE, tmp_path).splitlines()
    assert first.startswith("answer_saved S5 Option C ")
    assert (participants, erased) == ("['user123']", "True")
    assert (tmp_path / "survey_sessions.db").exists()


def test_example_of_surveys_runs_as_printed(tmp_path: Path) -> None:
    """A session of one survey is not found in another."""
    assert run_python(SURVEY, tmp_path).splitlines() == ["None", "['default']"]


def test_exceptions_example_runs_as_printed(tmp_path: Path) -> None:
    """The message names the place."""
    assert run_python(ERRORS, tmp_path).startswith("answers.when: ")


def test_many_turns_example_runs_as_printed(tmp_path: Path) -> None:
    """Each session is at its second event."""
    assert run_python(MANY, tmp_path) == "{2}\n"


def test_transaction_example_runs_as_printed(tmp_path: Path) -> None:
    """Neither the answer nor the program's row is stored."""
    assert run_python(TRANSACTION, tmp_path) == "2\n{}\n"


def test_example_of_tests_runs_as_printed(tmp_path: Path) -> None:
    """With pytest, in a folder of its own."""
    (tmp_path / "conftest.py").write_text(CONFTEST.replace("stepkeep", "app"))
    (tmp_path / "test_score.py").write_text(in_clone(TESTS))
    (tmp_path / "surveys").symlink_to(SURVEYS)
    options = ("-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path))
    done = run_module(["pytest", *options], {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, folder=tmp_path)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_table_of_fixtures_has_all_of_the_kit() -> None:
    """And no other."""
    (table,) = (table for table in tables(PAGE) if table.header[0] == "Fixture")
    fixtures = {name for name in vars(app.testing) if name.startswith("stepkeep_")}
    assert {cell.strip("`") for cell, *_ in table.rows} == fixtures


def test_client_example_runs_as_printed(server: Server, tmp_path: Path) -> None:
    """Against a running server."""
    folder = tmp_path / "client"
    folder.mkdir()
    printed = run_python(CLIENT.replace("http://127.0.0.1:8000", server.url), folder).splitlines()
    assert printed == ["Q2", "invalid_answer The answer must be one of the options."]
    assert (folder / "user123.outbox").exists()


def test_table_has_every_function_with_its_parameters() -> None:
    """As the class declares them."""
    (table,) = (table for table in tables(PAGE) if table.header[0] == "Function")
    documented = {cell.strip("`").partition("(")[0]: cell.strip("`") for cell, *_ in table.rows}
    functions = inspect.getmembers(Database, lambda member: inspect.isfunction(member) and member.__name__[0] != "_")
    assert documented == {name: call_of(name, function) for name, function in functions}


def test_exceptions_exist_where_the_tables_say() -> None:
    """Those of the client are all of the client's; settings are settings."""
    by_header = {table.header[0]: table.rows for table in tables(PAGE)}
    rows = [*by_header["Exception"], *by_header["Exception of `submit_in`"]]
    for name in re.findall(r"`(\w+)`", " ".join(row[0] for row in rows)):
        assert hasattr(app.errors, name) or name == "ValueError", name
    named = set(re.findall(r"`(\w+)`", " ".join(row[0] for row in by_header["Exception of `stepkeep.client`"])))
    exported = {name: getattr(app.client, name) for name in app.client.__all__}
    raised = {name for name, value in exported.items() if isinstance(value, type) and issubclass(value, Exception)}
    assert named == raised
    assert {row[0].strip("`") for row in by_header["Variable"]} <= set(map(variable_name, Settings.model_fields))
