"""docs/export.md: its commands succeed as pasted beside a running server."""

from pathlib import Path

import httpx

from tests.conftest import ROOT, Server
from tests.docs.pages import blocks, checkout, run_shell

PAGE = (ROOT / "docs" / "export.md").read_text()


def test_example_runs_as_pasted_beside_a_server_in_development(server: Server, tmp_path: Path) -> None:
    """It leaves an export and a report of the demo data, and none of the data."""
    folder = checkout(tmp_path)
    (block,) = [each for each in blocks(PAGE, "sh") if "demo fill" in each]
    run_shell(block.replace("2000", "100"), folder, DATABASE_URL=server.database_url)
    assert (folder / "phq9.csv").read_text().count("demo-") > 1
    assert "<html" in (folder / "report.html").read_text()
    assert httpx.get(f"{server.url}/api/sessions").raise_for_status().json()["sessions"] == []
