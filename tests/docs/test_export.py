"""docs/export.md: its commands succeed as printed beside a running server."""

import contextlib
import shlex
from pathlib import Path

import httpx

from tests.cli.shell import Operator
from tests.conftest import ROOT, SURVEYS, Server
from tests.docs.pages import blocks

PAGE = (ROOT / "docs" / "export.md").read_text()


def test_example_runs_as_printed_beside_a_server_in_development(server: Server, tmp_path: Path) -> None:
    """It leaves an export and a report of the demo data, and none of the data."""
    (block,) = [each for each in blocks(PAGE, "sh") if "demo fill" in each]
    export, *commands = [shlex.split(line, comments=True) for line in block.replace("2000", "100").splitlines()]
    assert export == ["export", "STEPKEEP_ENVIRONMENT=development"]
    operator = Operator(server.database_url, SURVEYS)
    with contextlib.chdir(tmp_path):
        for program, *arguments in commands:
            assert program == ".venv/bin/flask"
            operator.does(*arguments, STEPKEEP_ENVIRONMENT="development", SECRET_KEY="", STEPKEEP_PUBLIC_URL=server.url)
    assert (tmp_path / "phq9.csv").read_text().count("demo-") > 1
    assert "<html" in (tmp_path / "report.html").read_text()
    assert httpx.get(f"{server.url}/api/sessions").raise_for_status().json()["sessions"] == []
