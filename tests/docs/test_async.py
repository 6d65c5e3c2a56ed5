"""docs/async.md: its examples run as printed, and its table names what exists."""

import inspect
from pathlib import Path

from app.aio import AsyncSessionStore
from tests.conftest import ROOT, Server
from tests.docs.pages import blocks, run_python, tables
from tests.docs.test_python import call_of

PAGE = (ROOT / "docs" / "async.md").read_text()
SIMPLE, SURVEYS, CLIENT = blocks(PAGE, "python")


def test_simple_api_example_runs_as_printed(tmp_path: Path) -> None:
    assert run_python(SIMPLE, tmp_path).splitlines() == ["{'S0': 'yes'}", "called 2", "saved 1"]


def test_example_of_surveys_runs_as_printed(tmp_path: Path) -> None:
    printed = run_python(SURVEYS, tmp_path).splitlines()
    assert printed == ["{2}", "2 True", "invalid_answer", "2 answered", "1 started", "{}"]


def test_client_example_runs_as_printed(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "client"
    folder.mkdir()
    printed = run_python(CLIENT.replace("http://127.0.0.1:8000", server.url), folder).splitlines()
    assert printed == ["Q2", "invalid_answer The answer must be one of the options."]
    assert (folder / "user123.outbox").exists()


def test_table_has_every_function_with_its_parameters() -> None:
    (table,) = tables(PAGE)
    documented = {cell.strip("`").partition("(")[0]: cell.strip("`") for cell, *_ in table.rows}
    functions = inspect.getmembers(
        AsyncSessionStore, lambda member: inspect.isfunction(member) and member.__name__[0] != "_"
    )
    expected = {name: call_of(name, function) for name, function in functions}
    assert {**documented, "run": ""} == {**expected, "run": ""}  # its parameters are the function's
