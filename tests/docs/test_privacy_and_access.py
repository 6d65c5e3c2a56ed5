"""docs/access.md and docs/privacy.md: their commands succeed beside a running server."""

import base64
import json
import os
import re
from pathlib import Path
from typing import get_args

import pytest

from app.access.principals import Scope
from tests.conftest import ROOT, Server
from tests.docs.pages import blocks, checkout, first_column, matches, run_shell

ACCESS = (ROOT / "docs" / "access.md").read_text()
PRIVACY = (ROOT / "docs" / "privacy.md").read_text()


@pytest.mark.parametrize("page", [ACCESS, PRIVACY], ids=["access", "privacy"])
def test_commands_succeed_beside_a_running_server(page: str, server: Server, tmp_path: Path) -> None:
    """Those of ``flask``, in order; the participant they name has a session."""
    folder = tmp_path / "clone"
    folder.mkdir()
    environment = {
        "STEPKEEP_ENVIRONMENT": "development",
        "STEPKEEP_PUBLIC_URL": server.url,
        "DATABASE_URL": server.database_url,
        "STEPKEEP_ANSWERS_KEYS": base64.b64encode(os.urandom(32)).decode(),
    }
    answer = f"""curl -sf -X POST '{server.url}/api/session/patient-7/commands?survey=intake' \\
        -d '{{"type":"answer","id":"1","step":"S1","value":null}}'"""
    create = ".venv/bin/flask api-keys create --name test --scope metrics --json"
    key = json.loads(run_shell(f"{answer} >&2; {create}", checkout(folder), **environment))["id"]
    commands = [
        line for block in blocks(page, "sh") for line in block.splitlines() if line.startswith(".venv/bin/flask")
    ]
    assert len(commands) > 3
    run_shell("\n".join(commands).replace("ab12cd34ef56", key), folder, **environment)


def test_new_participant_is_answered_as_printed(server: Server, tmp_path: Path) -> None:
    """The request of docs/access.md."""
    ((command, printed),) = re.findall(r"```sh\n(curl.*?)```\n\n```json\n(.*?)```", ACCESS, re.DOTALL)
    answer = run_shell(command.replace("http://127.0.0.1:8000", server.url), tmp_path)
    assert matches(json.loads(printed), json.loads(answer))


def test_scopes_are_those_of_the_program() -> None:
    """All of them, and no others."""
    assert first_column(ACCESS, "Scope") == set(get_args(Scope))
