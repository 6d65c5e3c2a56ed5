"""docs/export.md: its commands succeed as printed beside a running server."""

import contextlib
import shlex
from pathlib import Path

import httpx
import pytest

from tests.cli.shell import Operator
from tests.conftest import ROOT, SURVEYS, Server
from tests.docs.pages import blocks, checkout, run_shell

PAGE = (ROOT / "docs" / "export.md").read_text()


def test_example_runs_as_printed_beside_a_server_in_development(server: Server, tmp_path: Path) -> None:
    """It leaves an export and a report of the demo data, and none of the data."""
    export, *commands = [shlex.split(line, comments=True) for line in example().splitlines()]
    assert export == ["export", "STEPKEEP_ENVIRONMENT=development"]
    operator = Operator(server.database_url, SURVEYS)
    with contextlib.chdir(tmp_path):
        for program, *arguments in commands:
            assert program == ".venv/bin/flask"
            operator.does(*arguments, STEPKEEP_ENVIRONMENT="development", SECRET_KEY="", STEPKEEP_PUBLIC_URL=server.url)
    assert_exported_and_cleared(tmp_path, server)


@pytest.mark.long
def test_example_runs_in_a_shell_beside_a_server_in_development(server: Server, tmp_path: Path) -> None:
    """As a reader pastes it."""
    folder = checkout(tmp_path)
    run_shell(example(), folder, DATABASE_URL=server.database_url)
    assert_exported_and_cleared(folder, server)


def example() -> str:
    """Return the commands of the demo, for fewer sessions."""
    (block,) = [each for each in blocks(PAGE, "sh") if "demo fill" in each]
    return block.replace("2000", "100")


def assert_exported_and_cleared(folder: Path, server: Server) -> None:
    assert (folder / "phq9.csv").read_text().count("demo-") > 1
    assert "<html" in (folder / "report.html").read_text()
    assert httpx.get(f"{server.url}/api/sessions").raise_for_status().json()["sessions"] == []
