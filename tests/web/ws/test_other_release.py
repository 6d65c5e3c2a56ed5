"""A server whose database a newer release upgrades refuses, and serves again when the schema is its own."""

import sqlite3
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.conftest import Servers
from tests.waiting import wait_for
from tests.web.conftest import Participant, running_server
from tests.web.sockets import close_code


def set_schema(folder: Path, revision: str) -> str:
    """Set the revision of the schema, and return the earlier one."""
    with sqlite3.connect(folder / "test.db") as connection:
        (before,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()
    return str(before)


def pin(folder: Path, revision: str) -> str:
    """Pin ada's session to a revision, and return the earlier one; other definitions have a type that nobody knows."""
    with sqlite3.connect(folder / "test.db") as connection:
        (before,) = connection.execute("SELECT survey_revision FROM sessions WHERE user_id = 'ada'").fetchone()
        connection.execute(
            "INSERT OR IGNORE INTO survey_revisions (survey_id, revision, definition, created_at)"
            " SELECT survey_id, ?, replace(definition, '\"choice\"', '\"hologram\"'), created_at FROM survey_revisions"
            " WHERE survey_id = 'phq9'",
            (revision,),
        )
        connection.execute("UPDATE sessions SET survey_revision = ? WHERE user_id = 'ada'", (revision,))
    connection.close()
    return str(before)


def test_server_refuses_with_1013_and_503_while_the_schema_is_of_another_release(
    servers: Servers, tmp_path: Path
) -> None:
    """It acknowledges nothing, names the reason in its log, and keeps the sessions as they are."""
    with running_server("sqlite", servers, tmp_path) as server:
        open_before = Participant(server, "ada")
        assert open_before.answer("Q1", 1)["version"] == 2
        own = set_schema(tmp_path, "9999")
        wait_for(lambda: httpx.get(f"{server.url}/api/sessions").status_code == 503, lambda: server.log)
        response = httpx.get(f"{server.url}/api/sessions")
        assert (response.json()["code"], response.headers["Retry-After"]) == ("other_release", "5")
        assert httpx.get(f"{server.url}/readyz").status_code == 503
        open_before.send({"type": "answer", "id": "later", "step": "Q2", "value": 1})
        assert close_code(open_before.ws) == 1013
        with pytest.raises(ConnectionClosed):
            assert Participant(server, "ada").state["code"] == "unavailable"
            Participant(server, "ada").receive()
        assert "revision 9999" in server.log
        set_schema(tmp_path, own)
        wait_for(lambda: httpx.get(f"{server.url}/api/sessions").status_code == 200, lambda: server.log)
        again = Participant(server, "ada")
        assert (again.state["version"], again.state["resumed"]) == (2, True)
        assert again.answer("Q2", 1)["version"] == 3


def test_session_of_an_unknown_definition_is_refused_with_1013_and_503_and_kept(
    servers: Servers, tmp_path: Path
) -> None:
    """A newer release began it; this server serves it again once it is of a revision that it knows."""
    with running_server("sqlite", servers, tmp_path) as server:
        before = Participant(server, "ada")
        assert before.answer("Q1", 1)["version"] == 2
        before.ws.close()
        own = pin(tmp_path, "f" * 32)
        response = httpx.get(f"{server.url}/api/session/ada?survey=phq9")
        assert (response.status_code, response.json()["code"]) == (503, "other_release")
        with pytest.raises(ConnectionClosed) as closed:
            assert Participant(server, "ada").state["code"] == "unavailable"
            Participant(server, "ada").receive()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013
        pin(tmp_path, own)
        again = Participant(server, "ada")
        assert (again.state["version"], again.state["resumed"]) == (2, True)
        assert again.answer("Q2", 1)["version"] == 3
