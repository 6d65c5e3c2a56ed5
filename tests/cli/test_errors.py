"""Commands report errors in one line, with an exit code."""

import re
from collections.abc import Iterator, Sequence

import flask
import pytest

from app.cli.group import CommandGroup
from app.errors import ErasureJournalUnavailable, MissingKey, StepkeepError
from tests.cli.shell import Done, Operator, assert_fails, make_surveys, opened


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[flask.Flask]:
    """Yield the application with its commands, in this process, for commands that change nothing."""
    folder = tmp_path_factory.mktemp("cli")
    with opened(folder, make_surveys(folder)) as app:
        yield app


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
    assert_fails(done, "stepkeep: ", *parts, code=4 if "DATABASE_URL" in changes else 1)  # that may work later
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
        ("api-keys create --name a --scope export --days 1 --never-expires", 2, ("--days", "--never-expires")),
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
    assert_fails(Done(command, told.exit_code, told.stdout, told.stderr), "Error: ", *parts, code=code)
    assert app.test_cli_runner().invoke(args=["audit", "--json"]).output == ""


def test_process_has_the_exit_code_and_message_of_the_error(operator: Operator) -> None:
    """Errors within a command and in its options set the exit code of the process."""
    assert_fails(
        operator.run_process("api-keys", "revoke", "nobody"), "Error: there is no valid API key 'nobody'", code=3
    )
    assert_fails(operator.run_process("api-keys", "revoke"), "Error: Missing argument", code=2)
    assert_fails(operator.run_process("api-keys", "list", SECRET_KEY=""), "SECRET_KEY is missing")


@pytest.mark.parametrize(
    "fault", [MissingKey("0123456789ab"), ErasureJournalUnavailable("/srv/erasures", "it is full")]
)
def test_operator_sees_which_key_or_file_is_missing(fault: StepkeepError) -> None:
    """Clients get a message without these details."""
    group = CommandGroup()

    @group.command("fail")
    def command() -> None:
        raise fault

    told = flask.Flask("test").test_cli_runner().invoke(group, ["fail"])
    assert told.exit_code == 1
    assert re.search("0123456789ab|/srv/erasures.*it is full", told.stderr)
