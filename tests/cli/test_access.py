"""``flask api-keys``, ``flask invitations``, ``flask keys`` and ``flask audit``, beside a running server."""

import csv
import io
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, select, update

from app.sessions.service import open_store
from app.settings import Settings
from app.store.engine import normalise_url
from app.store.history import NEWEST
from app.store.tables import audit_log, metadata
from app.survey.commands import Answer, Begin, Restart
from app.survey.snapshot import SessionKey
from tests.cli.conftest import Serve
from tests.cli.shell import SITE, Operator, assert_fails, request_status
from tests.conftest import SURVEYS
from tests.store.encrypted import NEW, OLD, all_values, keys_of
from tests.web.production import random_secret


def test_key_is_valid_on_a_running_server_until_it_is_revoked(operator_of_each: Operator, serve: Serve) -> None:
    """A key created by a command is valid at once, for its scopes only; another command revokes it."""
    operator = operator_of_each
    server = serve(operator)
    made = operator.new_key("sessions:read")
    assert request_status(server, "/api/sessions", made["key"]) == 200
    assert request_status(server, "/api/audit", made["key"]) == 403
    assert operator.does("api-keys", "revoke", made["id"]) == f"{made['id']} is revoked.\n"
    assert request_status(server, "/api/sessions", made["key"]) == 401
    assert_fails(operator.run("api-keys", "revoke", made["id"]), f"no valid API key '{made['id']}'", code=3)
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
    assert newer["expires_at"] > newer["created_at"]


def test_keys_expire_in_a_year_unless_another_life_is_requested(operator: Operator) -> None:
    """A forgotten key must not stay valid for ever; one without expiry is requested in words, and listed as such."""
    command = ("api-keys", "create", "--scope", "export", "--name")
    default = operator.run(*command, "default")
    operator.does(*command, "brief", "--days", "0.5")
    forever = operator.run(*command, "forever", "--never-expires")
    keys = {key["name"]: key for key in json.loads(operator.does("api-keys", "list", "--json"))}
    lives = {name: life_days(key) for name, key in keys.items()}
    assert lives == {"default": 365, "brief": 0.5, "forever": None}
    assert f"It expires at {keys['default']['expires_at']}." in default.stderr
    assert "It never expires." in forever.stderr
    assert "forever  export  all      never      valid, never expires" in operator.does("api-keys", "list")
    made = json.loads(operator.does(*command, "json", "--json"))
    assert made["expires_at"] > keys["default"]["expires_at"]


def test_key_is_limited_to_surveys_of_this_server(operator: Operator, serve: Serve) -> None:
    """A misspelt one is refused; the list and the audit log name the others."""
    command = ("api-keys", "create", "--name", "ward 3", "--scope", "sessions:read")
    made = json.loads(operator.does(*command, "--survey", "phq9", "--survey", "closed", "--json"))
    assert made["surveys"] == ["phq9", "closed"]
    assert_fails(operator.run(*command, "--survey", "phq8"), "there is no survey 'phq8'", code=3)
    wide = operator.run(*command, "--scope", "admin", "--survey", "phq9")
    assert_fails(wide, "limited to surveys can't have admin", code=1)
    (listed,) = json.loads(operator.does("api-keys", "list", "--json"))
    assert listed["surveys"] == ["closed", "phq9"]
    assert "sessions:read  closed phq9  never" in operator.does("api-keys", "list")
    assert operator.audit()[0]["detail"]["surveys"] == "phq9 closed"
    server = serve(operator)
    assert request_status(server, "/api/session/ada?survey=phq9", made["key"]) == 404
    assert request_status(server, "/api/session/ada?survey=intake", made["key"]) == 403


def life_days(key: dict[str, Any]) -> float | None:
    """Return the time between a key's creation and expiry."""
    if key["expires_at"] is None:
        return None
    created, expires = (datetime.fromisoformat(key[name]) for name in ("created_at", "expires_at"))
    return round((expires - created) / timedelta(days=1), 2)


def test_keys_are_listed_as_a_table(operator: Operator) -> None:
    """The table has the start of the key, its name, scopes, last use and status."""
    kept, revoked = operator.new_key("export"), operator.new_key("admin")
    operator.does("api-keys", "create", "--name", "brief", "--scope", "export", "--days", "30")
    operator.does("api-keys", "revoke", revoked["key"])  # its whole text names it too
    head, brief, second, first = operator.does("api-keys", "list").splitlines()
    assert head.split("  ")[0] == "KEY"
    assert first.startswith(f"stepkeep_{kept['id']}_…  test   export  all      never      valid until 20")
    assert second.startswith(f"stepkeep_{revoked['id']}_…  test   admin   all      never      revoked 20")
    assert "brief  export  all      never      valid until 20" in brief


def test_secret_of_a_key_is_shown_once(operator: Operator, serve: Serve, tmp_path: Path) -> None:
    """Only its creation prints it: neither the list, the audit log, the server's log nor the database has it."""
    server = serve(operator)
    done = operator.run("api-keys", "create", "--name", "boss", "--scope", "sessions:read,admin")
    key = done.stdout.strip()
    assert done.stdout == f"{key}\n"
    assert done.stderr.startswith("Save the key now: only its hash is stored. It expires at 20")
    key_id, secret = key.split("_", 2)[1:]
    assert request_status(server, "/api/audit", key) == 200
    told = [operator.run("api-keys", "list"), operator.run("api-keys", "list", "--json"), operator.run("audit")]
    told += [operator.run("audit", "--json"), operator.run("api-keys", "revoke", key)]
    assert request_status(server, "/api/audit", key) == 401
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
    assert (begun.status_code, request_status(server, mine, token), request_status(server, hers, token)) == (
        200,
        200,
        403,
    )
    printed = operator.does("invitations", "revoke", "closed", "patient-7")
    assert printed == "All links and tokens of patient-7 in closed are revoked.\n"
    server.restart()  # else it looks within a second
    assert request_status(server, mine, token) == 401
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


ARRIVAL = """
id: arrival
title: Arrival
language: en
parameters:
  first_name: {type: text, from: invitation}
  age: {type: number, from: invitation, required: false}
  clinic: {type: text, from: url, default: north}
steps:
  - {id: S1, type: text, prompt: "Hello {{ parameters.first_name }}"}
"""


def test_invitations_carry_parameters(operator: Operator, serve: Serve, tmp_path: Path) -> None:
    """Of their types, for every participant of the command; the output and the audit log have none."""
    (tmp_path / "surveys" / "arrival.yaml").write_text(ARRIVAL)
    printed = operator.does(
        "invitations", "create", "arrival", "--count", "2", "--set", "first_name=Ada=x", "--set", "age=36"
    )
    assert "Ada" not in printed + json.dumps(operator.audit())
    server = serve(operator)
    for row in invited(printed):
        headers = {"Authorization": f"Bearer {row['link'].partition('#')[2]}"}
        begun = httpx.post(f"{server.url}/api/session/{row['user_id']}?survey=arrival", headers=headers)
        assert begun.json()["session"]["parameters"] == {"first_name": "Ada=x", "age": 36, "clinic": "north"}


@pytest.mark.parametrize(
    ("texts", "message", "code"),
    [
        ((), "The parameter first_name is missing.", 1),
        (("age=36",), "The parameter first_name is missing.", 1),
        (("first_name=Ada", "age=old"), "The parameter age is invalid. ", 1),
        (
            ("first_name=Ada", "clinic=south"),
            "no parameter clinic. They have first_name, age. clinic has `from: url`.",
            1,
        ),
        (("first_name",), "--set first_name: write NAME=VALUE", 2),
        (("first_name=Ada", "first_name=Eve"), "each name once", 2),
    ],
)
def test_invitation_with_wrong_parameters_is_refused(
    operator: Operator, tmp_path: Path, texts: tuple[str, ...], message: str, code: int
) -> None:
    """Before any link is printed: the participant could do nothing about it."""
    (tmp_path / "surveys" / "arrival.yaml").write_text(ARRIVAL)
    options = [option for text in texts for option in ("--set", text)]
    done = operator.run("invitations", "create", "arrival", *options)
    assert_fails(done, message, code=code)
    assert done.stdout == ""


def test_invitation_for_a_user_id_that_clients_cannot_reach_is_refused(operator: Operator) -> None:
    """HTTP clients remove ``.`` and ``..`` from paths."""
    done = operator.run("invitations", "create", "phq9", "--user-id", "..")
    assert (done.returncode, done.stdout) == (1, "")
    assert "but not . or .." in done.stderr


def test_invitations_require_the_public_url(operator: Operator) -> None:
    """The error names STEPKEEP_PUBLIC_URL, which a link needs."""
    done = operator.run("invitations", "create", "phq9", STEPKEEP_PUBLIC_URL="")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        "Error: links require STEPKEEP_PUBLIC_URL, the server's address, e.g. https://survey.example.org"
    )


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


def test_audit_log_is_verified_by_a_command(operator: Operator) -> None:
    """The exit code is 1 if it is not intact, or no longer contains the link of an earlier check."""
    operator.new_key("export")
    first = json.loads(operator.does("audit", "verify", "--json"))
    assert (first["entries"], first["unkeyed"], first["problem"]) == (1, 0, None)
    operator.new_key("export")
    printed = operator.does("audit", "verify", "--expect", first["newest"])
    assert printed.startswith("2 entries are in the chain, 0 of them about erased participants.\nNewest: 2:")
    unknown = operator.run("audit", "verify", "--expect", "3:abc")
    assert (unknown.returncode, unknown.stderr) == (
        1,
        "Not intact: the chain no longer contains 3:abc: entries were removed, or a backup was restored.\n",
    )
    store = open_store(Settings(database_url=operator.environment["DATABASE_URL"], surveys_dir=SURVEYS))
    change = update(audit_log).values(actor="nobody")
    store.run_transaction(lambda connection: connection.execute(change))
    store.close()
    broken = operator.run("audit", "verify", "--json")
    assert broken.returncode == 1
    assert json.loads(broken.stdout)["problem"].startswith("entry 1 was changed")
    rotated = operator.run("audit", "verify", SECRET_KEY=random_secret())
    assert "STEPKEEP_SECRET_KEY_FALLBACKS" in rotated.stderr
    assert operator.does("audit", "--limit", "1") == operator.does("audit", "list", "--limit", "1")
