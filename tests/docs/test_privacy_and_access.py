"""docs/access.md and docs/privacy.md: their commands succeed beside a running server."""

import base64
import contextlib
import json
import os
import re
import shlex
from pathlib import Path
from typing import get_args

import httpx
import pytest

from app.access.principals import Scope
from tests.cli.shell import Operator
from tests.conftest import ROOT, SURVEYS, Server
from tests.docs.pages import blocks, first_column, matches, run_shell

ACCESS = (ROOT / "docs" / "access.md").read_text()
PRIVACY = (ROOT / "docs" / "privacy.md").read_text()


@pytest.mark.parametrize("page", [ACCESS, PRIVACY], ids=["access", "privacy"])
def test_commands_succeed_beside_a_running_server(page: str, server: Server, tmp_path: Path) -> None:
    """Those of ``flask``, in order; the participant they name has a session."""
    environment = {
        "STEPKEEP_ENVIRONMENT": "development",
        "SECRET_KEY": "",
        "STEPKEEP_PUBLIC_URL": server.url,
        "STEPKEEP_ANSWERS_KEYS": base64.b64encode(os.urandom(32)).decode(),
    }
    operator = Operator(server.database_url, SURVEYS)
    command = {"type": "answer", "id": "1", "step": "S1", "value": None}
    httpx.post(
        f"{server.url}/api/session/patient-7/commands", params={"survey": "intake"}, json=command
    ).raise_for_status()
    create = ("api-keys", "create", "--name", "test", "--scope", "metrics", "--json")
    key = json.loads(operator.does(*create, **environment))["id"]
    commands = re.findall(r"^\.venv/bin/flask (.*)", "".join(blocks(page, "sh")), re.MULTILINE)
    assert len(commands) > 3
    with contextlib.chdir(tmp_path):
        for line in commands:
            arguments, _, _file = line.replace("ab12cd34ef56", key).partition(" > ")
            operator.does(*shlex.split(arguments, comments=True), **environment)


def test_new_participant_is_answered_as_printed(server: Server, tmp_path: Path) -> None:
    """The request of docs/access.md."""
    ((command, printed),) = re.findall(r"```sh\n(curl.*?)```\n\n```json\n(.*?)```", ACCESS, re.DOTALL)
    answer = run_shell(command.replace("http://127.0.0.1:8000", server.url), tmp_path)
    assert matches(json.loads(printed), json.loads(answer))


def test_scopes_are_those_of_the_program() -> None:
    """All of them, and no others."""
    assert first_column(ACCESS, "Scope") == set(get_args(Scope))
