"""The commands as an operator runs them: ``flask`` as a separate process, in production, beside a running server."""

import contextlib
import csv
import io
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import click
import flask
import httpx
import pytest
from flask.cli import ScriptInfo
from sqlalchemy import create_engine, select

from app.cli import output, register
from app.errors import ErasureNotListed, MissingKey, StepkeepError
from app.sessions.service import open_store
from app.settings import Settings
from app.store.engine import normalise_url
from app.store.history import NEWEST
from app.store.tables import metadata
from app.survey.commands import Answer, Begin, Restart
from app.survey.snapshot import SessionKey
from app.web.factory import create_app
from tests.conftest import ROOT, SURVEYS, Server
from tests.store.encrypted import NEW, OLD, all_values, keys_of
from tests.web.production import CLOSED_SURVEY, in_production, production

SITE = "https://survey.example.org"
COMMAND_S = 120

Done = subprocess.CompletedProcess[str]


class Operator:
    """Runs commands with the server's environment."""

    def __init__(self, database_url: str, surveys: Path) -> None:
        self.environment = {
            **in_production(DATABASE_URL=database_url, STEPKEEP_SURVEYS_DIR=str(surveys), STEPKEEP_PUBLIC_URL=SITE),
            "PATH": os.environ["PATH"],
        }

    def run(self, *arguments: str, **changes: str) -> Done:
        """Run a command in this process, which is ten times faster, and return its output."""
        out, err = io.StringIO(), io.StringIO()
        environment = {**self.environment, **changes, "FLASK_RUN_FROM_CLI": "true"}
        with (
            mock.patch.dict(os.environ, environment, clear=True),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            app = runpy.run_path(str(ROOT / "wsgi.py"))["app"]
            try:
                app.cli.main(arguments, prog_name="flask", obj=ScriptInfo(create_app=lambda: app))
            finally:
                close(app)
        code = ended.value.code
        return Done(arguments, code if isinstance(code, int) else int(code is not None), out.getvalue(), err.getvalue())

    def run_process(self, *arguments: str, **changes: str) -> Done:
        """Run a command in a separate process, and return its output."""
        return subprocess.run(
            [sys.executable, "-m", "flask", *arguments],
            cwd=ROOT,
            env={**self.environment, **changes},
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_S,
        )

    def does(self, *arguments: str, **changes: str) -> str:
        """Return the output of a command that must succeed."""
        done = self.run(*arguments, **changes)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def new_key(self, *scopes: str) -> dict[str, Any]:
        """Create an API key, and return it."""
        named = [part for scope in scopes for part in ("--scope", scope)]
        made: dict[str, Any] = json.loads(self.does("api-keys", "create", "--name", "test", *named, "--json"))
        return made

    def audit(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the audit log, newest first."""
        return [json.loads(line) for line in self.does("audit", "--json", *arguments).splitlines()]


def close(app: flask.Flask) -> None:
    """End the background threads of the application."""
    app.extensions["stepkeep"].authenticator.credentials.revocations.close()
    app.extensions["stepkeep"].store.close()


def make_surveys(folder: Path) -> Path:
    """Return a folder with an open and a closed survey."""
    surveys = folder / "surveys"
    surveys.mkdir()
    (surveys / "phq9.yaml").write_text((SURVEYS / "phq9.yaml").read_text())
    (surveys / "closed.yaml").write_text(CLOSED_SURVEY)
    return surveys


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """Return the operator of a server on SQLite, without a database file."""
    return Operator(f"sqlite:///{tmp_path / 'sessions.db'}", make_surveys(tmp_path))


@pytest.fixture
def operator_of_each(settings: Settings, tmp_path: Path) -> Operator:
    """Return the operator of a server on each database."""
    return Operator(settings.database_url, make_surveys(tmp_path))


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[flask.Flask]:
    """Yield the application with its commands, in this process, for commands that change nothing."""
    folder = tmp_path_factory.mktemp("cli")
    settings = Settings(database_url=f"sqlite:///{folder / 'sessions.db'}", surveys_dir=make_surveys(folder))
    made = create_app(production(settings))
    register(made)
    yield made
    close(made)


Serve = Callable[[Operator], Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return a function that starts the operator's server until the end of the test."""
    started: list[Server] = []

    def start(operator: Operator) -> Server:
        address = operator.environment["DATABASE_URL"]
        environment = {**operator.environment, "STEPKEEP_PUBLIC_URL": ""}  # else it hears to that name alone
        started.append(
            Server(
                tmp_path, Path(operator.environment["STEPKEEP_SURVEYS_DIR"]), environment=environment, database=address
            )
        )
        started[-1].start()
        return started[-1]

    yield start
    for server in started:
        server.stop()


def asked(server: Server, path: str, shown: str) -> int:
    """Return the status of a request with a key or token."""
    return httpx.get(server.url + path, headers={"Authorization": f"Bearer {shown}"}).status_code


def fails(done: Done, *parts: str, code: int = 1) -> None:
    """Assert that a command failed with one line on standard error, this exit code, and no other output."""
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    if code == 1:
        assert len(lines) == 1, done.stderr
    for part in parts:
        assert part in lines[-1], done.stderr


# ----------------------------------------------------------------------------------------------------- in general


def test_commands_are_listed_with_descriptions(operator: Operator) -> None:
    """``flask --help`` and the help of a group describe all commands."""
    listed = operator.run_process("--help").stdout
    for name in ("api-keys", "invitations", "keys", "audit"):
        assert f"\n  {name} " in listed
    told = operator.does("api-keys", "--help")
    for name in ("create", "list", "revoke"):
        assert f"\n  {name} " in told


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"SECRET_KEY": ""}, ("SECRET_KEY is missing", "Generate one with")),
        ({"SECRET_KEY": "short"}, ("SECRET_KEY is weak", "Generate one with")),
        ({"DATABASE_URL": "postgresql://me:geheim@127.0.0.1:1/x"}, ("database",)),
        ({"STEPKEEP_SURVEYS_DIR": "/dev/null/none", "STEPKEEP_DEFAULT_SURVEY": "A B"}, ("STEPKEEP_DEFAULT_SURVEY",)),
        ({"STEPKEEP_RETENTION": "a year"}, ("STEPKEEP_RETENTION: must be a number and a unit", "as 30d")),
        ({"STEPKEEP_PUBLIC_URL": "http://survey.example.org"}, ("STEPKEEP_PUBLIC_URL", "https://")),
    ],
    ids=["no secret", "weak secret", "no database", "wrong setting", "no duration", "plain http"],
)
def test_command_with_an_invalid_configuration_prints_the_error(
    operator: Operator, changes: dict[str, str], parts: Sequence[str]
) -> None:
    """The line is the same as at the start of the server, without passwords and secrets."""
    done = operator.run("api-keys", "list", **changes)
    fails(done, "stepkeep: ", *parts, code=4 if "DATABASE_URL" in changes else 1)  # that may work later
    assert "geheim" not in done.stderr
    assert "short" not in done.stderr


@pytest.mark.parametrize(
    ("command", "code", "parts"),
    [
        (
            "api-keys create --name a --scope root",
            1,
            ("sessions:read, sessions:write, export, metrics, webhooks, admin", "not root"),
        ),
        ("api-keys create --name a --scope export,root", 1, ("not root",)),
        ("api-keys create --name a --scope ,", 1, ("not none",)),
        ("api-keys create --name= --scope export", 1, ("1 to 100 printable characters",)),
        ("api-keys create --name a\tb --scope export", 1, ("1 to 100 printable characters",)),
        ("api-keys create --scope export", 2, ("--name",)),
        ("api-keys create --name a", 2, ("--scope",)),
        ("api-keys create --name a --scope export --days 0", 2, ("--days", "0<x<=3650")),
        ("api-keys create --name a --scope export --days 3651", 2, ("--days", "0<x<=3650")),
        ("api-keys create --name a --scope export --days nan", 2, ("--days", "not a number of days")),
        ("api-keys create --name a --scope export --days inf", 2, ("--days", "0<x<=3650")),
        ("api-keys create --name a --scope export --days soon", 2, ("--days", "'soon'")),
        ("api-keys revoke nobody", 3, ("no valid API key 'nobody'", "flask api-keys list")),
        ("invitations create nope", 3, ("no survey 'nope'", "closed, phq9")),
        ("invitations create phq9 --user-id good --user-id b/c", 1, ("user_id must be",)),
        ("invitations create phq9 --count 0", 2, ("--count",)),
        ("invitations create phq9 --days nan", 2, ("--days",)),
        ("invitations revoke nope ada", 3, ("no survey 'nope'", "closed, phq9")),
        ("invitations revoke phq9 a/b", 1, ("user_id must be",)),
        ("audit --limit 0", 2, ("--limit",)),
    ],
)
def test_invalid_command_prints_the_error(app: flask.Flask, command: str, code: int, parts: Sequence[str]) -> None:
    """The exit code is 1 for a rejection, 2 for a usage error, 3 if something does not exist."""
    told = app.test_cli_runner().invoke(args=command.split(" "))
    fails(Done(command, told.exit_code, told.stdout, told.stderr), "Error: ", *parts, code=code)
    assert app.test_cli_runner().invoke(args=["audit", "--json"]).output == ""


def test_process_has_the_exit_code_and_message_of_the_error(operator: Operator) -> None:
    """Errors within a command and in its options set the exit code of the process."""
    fails(operator.run_process("api-keys", "revoke", "nobody"), "Error: there is no valid API key 'nobody'", code=3)
    fails(operator.run_process("api-keys", "revoke"), "Error: Missing argument", code=2)
    fails(operator.run_process("api-keys", "list", SECRET_KEY=""), "SECRET_KEY is missing")


@pytest.mark.parametrize("fault", [MissingKey("0123456789ab"), ErasureNotListed("/srv/erasures", "it is full")])
def test_operator_sees_which_key_or_file_is_missing(fault: StepkeepError) -> None:
    """Clients get a message without these details."""

    @output.handle_errors
    def command() -> None:
        raise fault

    with pytest.raises(click.ClickException) as told:
        command()
    assert re.search("0123456789ab|/srv/erasures.*it is full", told.value.message)


# ------------------------------------------------------------------------------------------------------- API keys


def test_key_is_valid_on_a_running_server_until_it_is_revoked(operator_of_each: Operator, serve: Serve) -> None:
    """A key created by a command is valid at once, for its scopes only; another command revokes it."""
    operator = operator_of_each
    server = serve(operator)
    made = operator.new_key("sessions:read")
    assert asked(server, "/api/sessions", made["key"]) == 200
    assert asked(server, "/api/audit", made["key"]) == 403
    assert operator.does("api-keys", "revoke", made["id"]) == f"{made['id']} is revoked.\n"
    assert asked(server, "/api/sessions", made["key"]) == 401
    fails(operator.run("api-keys", "revoke", made["id"]), f"no valid API key '{made['id']}'", code=3)
    entries = operator.audit()
    assert (entries[-1]["action"], entries[0]["action"]) == ("key_created", "key_revoked")
    assert entries[0]["detail"] == {"key_id": made["id"]}


def test_scopes_are_separate_options_or_comma_separated(operator: Operator) -> None:
    """Both forms can be combined; duplicates are removed."""
    command = ("api-keys", "create", "--name", "clinic import", "--scope")
    operator.does(*command, "sessions:write,sessions:read", "--scope", "export", "--scope", "export")
    operator.does(*command, "admin, export", "--days", "0.5")
    newer, older = json.loads(operator.does("api-keys", "list", "--json"))
    assert older["scopes"] == ["sessions:read", "sessions:write", "export"]
    assert newer["scopes"] == ["export", "admin"]
    assert older["expires_at"] is None
    assert newer["expires_at"] > newer["created_at"]


def test_keys_are_listed_as_a_table(operator: Operator) -> None:
    """The table has the start of the key, its name, scopes, last use and status."""
    kept, revoked = operator.new_key("export"), operator.new_key("admin")
    operator.does("api-keys", "create", "--name", "brief", "--scope", "export", "--days", "30")
    operator.does("api-keys", "revoke", revoked["key"])  # its whole text names it too
    head, brief, second, first = operator.does("api-keys", "list").splitlines()
    assert head.split("  ")[0] == "KEY"
    assert first.startswith(f"stepkeep_{kept['id']}_…  test   export  never      valid")
    assert second.startswith(f"stepkeep_{revoked['id']}_…  test   admin   never      revoked 20")
    assert "brief  export  never      valid until 20" in brief


def test_secret_of_a_key_is_shown_once(operator: Operator, serve: Serve, tmp_path: Path) -> None:
    """Only its creation prints it: neither the list, the audit log, the server's log nor the database has it."""
    server = serve(operator)
    done = operator.run("api-keys", "create", "--name", "boss", "--scope", "sessions:read,admin")
    key = done.stdout.strip()
    assert done.stdout == f"{key}\n"
    assert done.stderr == "Save the key now: only its hash is stored.\n"
    key_id, secret = key.split("_", 2)[1:]
    assert asked(server, "/api/audit", key) == 200
    told = [operator.run("api-keys", "list"), operator.run("api-keys", "list", "--json"), operator.run("audit")]
    told += [operator.run("audit", "--json"), operator.run("api-keys", "revoke", key)]
    assert asked(server, "/api/audit", key) == 401
    server.terminate()
    engine = create_engine(normalise_url(server.database_url))
    with engine.connect() as connection:
        rows = [str(row) for table in metadata.sorted_tables for row in connection.execute(select(table))]
    engine.dispose()
    files = [file.read_bytes().decode("latin-1") for file in tmp_path.glob("sessions.db*")]
    everything = "\n".join([*(one.stdout + one.stderr for one in told), server.log, *rows, *files])
    assert key_id in everything
    assert secret not in everything
    assert secret[:12] not in everything


# ---------------------------------------------------------------------------------------------------- invitations


def invited(text: str) -> list[dict[str, str]]:
    """Return the rows of printed CSV."""
    return list(csv.DictReader(io.StringIO(text)))


def test_invitation_is_valid_for_its_participant_until_it_is_revoked(operator_of_each: Operator, serve: Serve) -> None:
    """It is valid for a closed survey and only for its session, until another command revokes it."""
    operator = operator_of_each
    (row,) = invited(operator.does("invitations", "create", "closed", "--user-id", "patient-7", "--days", "2"))
    link, _, token = row["link"].partition("#")
    assert (row["user_id"], link) == ("patient-7", f"{SITE}/resume")
    server = serve(operator)
    mine, hers = (f"/api/session/{name}?survey=closed" for name in ("patient-7", "patient-8"))
    begun = httpx.post(
        f"{server.url}/api/session/patient-7/commands?survey=closed",
        headers={"Authorization": f"Bearer {token}", "Idempotency-Key": "a1"},
        json={"type": "answer", "step": "S1", "value": "x"},
    )
    assert (begun.status_code, asked(server, mine, token), asked(server, hers, token)) == (200, 200, 403)
    printed = operator.does("invitations", "revoke", "closed", "patient-7")
    assert printed == "All links and tokens of patient-7 in closed are revoked.\n"
    server.restart()  # else it looks within a second
    assert asked(server, mine, token) == 401
    entries = operator.audit("--user-id", "patient-7")
    assert [(one["action"], one["actor"]) for one in entries if one["actor"] == "operator"] == [
        ("tokens_revoked", "operator"),
        ("token_issued", "operator"),
    ]


def test_invitations_without_user_ids_get_random_ones(operator: Operator) -> None:
    """Each invitation is for a new participant, whose id does not look like an option of a command."""
    rows = invited(operator.does("invitations", "create", "phq9", "--count", "100"))
    assert len({row["user_id"] for row in rows}) == len({row["link"] for row in rows}) == 100
    assert all(row["user_id"].isalnum() for row in rows)
    (entry,) = operator.audit()
    assert (entry["action"], entry["detail"]) == ("token_issued", {"count": 100})


def test_invitations_require_the_public_url(operator: Operator) -> None:
    """The error names STEPKEEP_PUBLIC_URL, which a link needs."""
    done = operator.run("invitations", "create", "phq9", STEPKEEP_PUBLIC_URL="")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        "Error: links require STEPKEEP_PUBLIC_URL, the server's address, e.g. https://survey.example.org"
    )


# ------------------------------------------------------------------------------------------- answers' keys, audit


def answer(settings: Settings, *user_ids: str, restarts: int = 0) -> None:
    """Let participants answer a question, after this many restarts."""
    store = open_store(settings)
    for user_id in user_ids:
        key = SessionKey("phq9", user_id)
        store.turns.submit(key, Begin(at=store.clock(), is_audio_mode=False))
        for _ in range(restarts):
            store.turns.submit(key, Restart(at=store.clock()))
        store.turns.submit(key, Answer(at=store.clock(), step="Q1", value=3))
    store.close()


def test_answers_keys_are_rotated_by_a_command(operator_of_each: Operator, settings: Settings) -> None:
    """All answers are encrypted with the first key; a missing key is named, and the rotation continues once it is there.

    Run again, it finds nothing to do.
    """
    operator = operator_of_each

    def sealed_with(*keys: bytes) -> Settings:
        return Settings.model_validate({**settings.model_dump(), "answers_keys": keys_of(*keys)})

    answer(sealed_with(OLD), "ada", "bob")
    answer(sealed_with(NEW, OLD), "eve", restarts=NEWEST)  # at its start a server looks at the newest events only
    done = operator.run("keys", "rotate", STEPKEEP_ANSWERS_KEYS=keys_of(NEW))
    assert done.returncode == 1
    *named, last = done.stderr.splitlines()
    assert "rows need a key that STEPKEEP_ANSWERS_KEYS lacks, 0 are damaged; they were not changed" in last
    assert any(line.startswith("phq9/ada version 2 needs the key ") for line in named)
    assert any(line.startswith("phq9/bob version (session) needs the key ") for line in named)
    assert "eve" not in done.stderr
    done = operator.run("keys", "rotate", STEPKEEP_ANSWERS_KEYS=keys_of(NEW, OLD))
    assert (done.returncode, done.stdout.split(" and ")[0]) == (0, "Re-encrypted 2 sessions")
    again = operator.does("keys", "rotate", STEPKEEP_ANSWERS_KEYS=keys_of(NEW))
    assert again == "Re-encrypted 0 sessions and 0 events; all others were up to date.\n"
    plain = operator.does("keys", "rotate", "--to-plain", STEPKEEP_ANSWERS_KEYS=keys_of(NEW))
    assert plain.startswith("Decrypted 3 sessions and ")
    engine = create_engine(normalise_url(settings.database_url))
    assert '{"Q1":3}' in all_values(engine)
    engine.dispose()
    done = operator.run("keys", "rotate")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: STEPKEEP_ANSWERS_KEYS is empty")


def test_audit_log_is_printed_newest_first(operator: Operator) -> None:
    """It is printed as a table with the key and the number of sessions, or as JSON lines; filtered and limited."""
    key = operator.new_key("export")
    operator.does("invitations", "create", "phq9", "--user-id", "ada", "--user-id", "eve")
    operator.does("invitations", "revoke", "phq9", "ada")
    head, *rows = operator.does("audit").splitlines()
    assert head.split() == ["AT", "(UTC)", "ACTOR", "ACTION", "SURVEY", "USER", "DETAIL"]
    assert [row.split()[2] for row in rows] == ["tokens_revoked", "token_issued", "token_issued", "key_created"]
    assert rows[0].split()[1:] == ["operator", "tokens_revoked", "phq9", "ada"]
    assert rows[-1].endswith(f"key_id={key['id']}, scopes=export")
    entries = operator.audit("--limit", "3")
    assert [entry["user_id"] for entry in entries] == ["ada", "eve", "ada"]
    assert set(entries[0]) == {"id", "at", "actor", "action", "survey_id", "user_id", "detail"}
    assert [entry["action"] for entry in operator.audit("--user-id", "ada")] == ["tokens_revoked", "token_issued"]
