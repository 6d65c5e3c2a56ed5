"""docs/flask.md: its examples run as printed."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.flask import Stepkeep
from tests.conftest import ROOT
from tests.databases import create_sqlite
from tests.docs.pages import blocks, tables
from tests.examples.clinic import SERVERS

PAGE = (ROOT / "docs" / "flask.md").read_text()
MOUNT, CSRF, PROFILE = blocks(PAGE, "python")
SURVEY = "id: wellbeing\ntitle: Today\nlanguage: en\nsteps:\n  - {id: Q1, type: text, prompt: Well}\n"


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Run the first example, in a folder with a survey; ``stepkeep`` is this checkout's ``app``."""
    (tmp_path / "surveys").mkdir()
    (tmp_path / "surveys" / "wellbeing.yaml").write_text(SURVEY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEPKEEP_DATABASE_URL", create_sqlite(tmp_path / "stepkeep.db"))
    names: dict[str, Any] = {"__name__": "host"}
    exec(MOUNT.replace("from stepkeep.", "from app."), names)  # noqa: S102 - this repository's own text
    yield names
    names["stepkeep"].close(names["app"])


def test_examples_run_as_printed(names: dict[str, Any]) -> None:
    """The user finds the survey below the prefix, and the application reads their answers."""
    exec(PROFILE, names)  # noqa: S102 - as above
    client = names["app"].test_client()
    with client.session_transaction() as session:
        session["user"] = "ada"
    assert 'data-user-id="ada"' in client.get("/surveys/s/wellbeing", buffered=True).text
    assert client.get("/profile").json == {"survey": "/surveys/s/wellbeing", "answers": None}
    assert client.get("/surveys/dashboard").status_code == 403


def test_csrf_example_names_the_blueprint(names: dict[str, Any]) -> None:
    """Flask-WTF is not installed here: it exempts a blueprint by its name."""
    assert "csrf.exempt(stepkeep.blueprint)" in CSRF
    assert names["stepkeep"].blueprint.name in names["app"].blueprints


def test_table_has_every_argument() -> None:
    (table,) = (table for table in tables(PAGE) if table.header[0] == "argument")
    _, *parameters = inspect.signature(Stepkeep.__init__).parameters
    assert [cell.strip("`") for cell, *_ in table.rows] == parameters


def test_servers_of_the_table_are_those_that_tests_run() -> None:
    (table,) = (table for table in tables(PAGE) if table.header[0] == "server")
    commands = [cell.strip("`") for cell, works in table.rows if works.startswith("works")]
    tested = [" ".join(arguments) for arguments in SERVERS.values()]
    assert len(commands) == len(tested)
    for worker in ("flask", "gthread", "stepkeep.web.worker.Worker"):
        assert any(worker in command for command in commands)
        assert any(worker in command for command in tested)
