"""A program refuses to start with another schema than it needs, and names the command to run."""

import base64
import gc
import os
import subprocess

import pytest
from alembic.util import CommandError
from sqlalchemy import create_engine

from app.errors import SchemaMismatch
from app.operations.maintenance.key_rotation import rotate_keys
from app.sessions.service import open_store
from app.settings import Settings
from app.store.audit_chain import find_start
from app.store.engine import normalise_url
from app.survey.commands import Answer
from app.survey.snapshot import SessionKey
from tests.conftest import SURVEYS
from tests.forked import run_module
from tests.migrations.conftest import DatabaseAt
from tests.migrations.sample import REVISIONS, dump, execute, migrate
from tests.waiting import free_port

OLDER, NONE, NEWER = REVISIONS[-2], None, "9999"
COMMAND = "alembic upgrade head"
INSTALL = "upgraded by a newer release"


@pytest.fixture
def url(revision: str | None, database_at: DatabaseAt) -> str:
    """The URL of a database at the test's revision; NEWER is only stamped."""
    url = database_at("head" if revision == NEWER else revision)
    if revision == NEWER:
        execute(url, "UPDATE alembic_version SET version_num = '9999'")
    return url


def is_embedded(url: str) -> bool:
    return url.startswith("sqlite")


def start(url: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PORT": str(free_port()), "DATABASE_URL": url, "STEPKEEP_SURVEYS_DIR": str(SURVEYS)}
    return run_module(["app.serve"], environment)


@pytest.mark.parametrize("revision", [OLDER, NONE, NEWER], ids=["older", "none", "newer"])
def test_open_store_raises_schema_mismatch_when_the_schema_differs(url: str, revision: str | None) -> None:
    """An older schema or none: the message names the command, and SQLite is upgraded. A newer one is never changed."""
    settings = Settings(database_url=url, surveys_dir=SURVEYS)
    if is_embedded(url) and revision != NEWER:
        open_store(settings).close()
        return
    with pytest.raises(SchemaMismatch) as caught:
        open_store(settings)
    assert (INSTALL if revision == NEWER else COMMAND) in caught.value.message
    del caught  # references the store: a connection left open must warn in this test, not in a later one
    gc.collect()


@pytest.mark.parametrize(
    "revision",
    [OLDER, pytest.param(NONE, marks=pytest.mark.long), pytest.param(NEWER, marks=pytest.mark.long)],
    ids=["older", "none", "newer"],
)
def test_server_exits_with_one_line_when_the_schema_differs(url: str, revision: str | None) -> None:
    """Exit code 1, no traceback."""
    if is_embedded(url) and revision != NEWER:
        return  # the server starts, as test_socket shows
    done = start(url)
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert (INSTALL if revision == NEWER else COMMAND) in done.stderr


ONE_TURN = """
INSERT INTO sessions (user_id, survey_id, current_step, answers, step_history, version)
  VALUES ('ada', 'phq9', 'Q1', '{}', '[]', 1);
INSERT INTO session_history (user_id, survey_id, version, action) VALUES ('ada', 'phq9', 1, 'started')
"""
ENCRYPTED = "enc:1:0123456789ab:AAAA"
ANSWERS = [
    ("sessions", "answers", "'{}'"),
    ("sessions", "drafts", "NULL"),
    ("sessions", "session_data", "NULL"),
    ("session_history", "answer", "NULL"),
    ("session_history", "data", "NULL"),
]


def test_downgrade_below_encryption_is_refused_while_any_value_is_encrypted(database_at: DatabaseAt) -> None:
    """An older release would set the sessions aside as broken; the error names the command to run."""
    url = database_at("0008")
    execute(url, ONE_TURN)
    for table, column, plain in ANSWERS:
        execute(url, f"UPDATE {table} SET {column} = '{ENCRYPTED}'")  # noqa: S608 - constants of this test
        for arguments in ((), ("lossy=yes",)):
            with pytest.raises(CommandError, match=f"{table} has encrypted.*`flask keys rotate --to-plain`"):
                migrate(url, "0007", *arguments, down=True)
        execute(url, f"UPDATE {table} SET {column} = {plain}")  # noqa: S608 - constants of this test
    migrate(url, "0007", down=True)


def test_downgrade_below_encryption_succeeds_when_all_values_are_decrypted(database_at: DatabaseAt) -> None:
    """By `flask keys rotate --to-plain`, as the error says, at the newest schema."""
    url = database_at("head")
    key = base64.b64encode(os.urandom(32)).decode()
    settings = Settings(database_url=url, surveys_dir=SURVEYS, answers_keys=key)
    store = open_store(settings)
    session = SessionKey("phq9", "ada")
    store.turns.get_or_create(session, is_audio_mode=False)
    store.turns.submit(session, Answer(at=1, step="Q1", value=2))
    store.close()
    with pytest.raises(CommandError, match="flask keys rotate --to-plain"):
        migrate(url, "0007", "lossy=yes", down=True)
    migrate(url, "head")  # MariaDB does not roll back the refused downgrade
    store = open_store(settings)
    rotate_keys(store, to_plain=True)
    store.close()
    migrate(url, "0007", "lossy=yes", down=True)
    assert [row["answers"] for row in dump(url)["sessions"]] == ['{"Q1":2}']


LOSSY = {
    "0008": (
        "api_keys",
        "(id, name, scopes, secret_hash, created_at) VALUES ('a', 'ward 3', 'export', 'x', '2026-01-02 03:04:05')",
    ),
    "0010": ("token_revocations", "(survey_id, user_id, revoked_at) VALUES ('phq9', 'ada', '2026-01-02 03:04:05')"),
    "0011": ("erasures", "(id, survey_id, sessions, erased_at) VALUES (1, 'phq9', 1, '2026-01-02 03:04:05')"),
    "0012": ("audit_log", "(id, at, actor, action) VALUES (1, '2026-01-02 03:04:05', 'operator', 'audit_read')"),
    "0015": (
        "webhooks",
        "(id, url, secret, events, created_at) VALUES ('a', 'https://x', 'y', 'session.started', '2026-01-02 03:04:05')",
    ),
}


@pytest.mark.parametrize("revision", LOSSY)
def test_downgrade_that_loses_rows_is_refused_without_its_flag(database_at: DatabaseAt, revision: str) -> None:
    """The error names the flag, and no row is lost; an empty table needs no flag."""
    table, row = LOSSY[revision]
    below = REVISIONS[REVISIONS.index(revision) - 1]
    url = database_at(revision)
    migrate(url, below, down=True)
    migrate(url, revision)
    execute(url, f"INSERT INTO {table} {row}")
    for arguments in ((), ("lossy=no",)):
        with pytest.raises(CommandError, match=f"{table} has rows.*`alembic -x lossy=yes downgrade` does it"):
            migrate(url, below, *arguments, down=True)
    assert len(dump(url)[table]) == 1
    migrate(url, below, "lossy=yes", down=True)
    assert table not in dump(url)


def test_only_revocations_with_a_hash_are_lost_when_downgraded(database_at: DatabaseAt) -> None:
    """The error names the flag that accepts it; rows of earlier releases are kept."""
    below = REVISIONS[REVISIONS.index("0018") - 1]
    url = database_at(below)
    insert = "INSERT INTO token_revocations (survey_id, user_id, revoked_at"
    execute(url, f"{insert}) VALUES ('phq9', 'ada', '2026-01-02 03:04:05.000006')")
    before = dump(url)["token_revocations"]
    migrate(url, "0018")
    migrate(url, below, down=True)
    assert dump(url)["token_revocations"] == before
    migrate(url, "0018")
    execute(url, f"{insert}, salt) VALUES ('phq9', 'hash', '2026-01-02 03:04:05.000006', 'ab')")
    with pytest.raises(CommandError, match=r"token_revocations has rows with hashes.*`alembic -x lossy=yes downgrade`"):
        migrate(url, below, down=True)
    assert len(dump(url)["token_revocations"]) == 2
    migrate(url, below, "lossy=yes", down=True)
    assert dump(url)["token_revocations"] == before


def test_limited_keys_are_revoked_when_downgraded(database_at: DatabaseAt) -> None:
    """Earlier releases would accept them for all surveys; the error names the flag, and other keys are kept."""
    below = REVISIONS[REVISIONS.index("0021") - 1]
    url = database_at(below)
    insert = "INSERT INTO api_keys (scopes, secret_hash, created_at, id, name"
    values = "VALUES ('export', 'x', '2026-01-02 03:04:05.000006'"
    execute(url, f"{insert}) {values}, 'wide', 'wide')")
    before = dump(url)["api_keys"]
    migrate(url, "0021")
    migrate(url, below, down=True)
    assert dump(url)["api_keys"] == before
    migrate(url, "0021")
    execute(url, f"{insert}, surveys) {values}, 'limited', 'limited', 'phq9 intake')")
    at = "'2026-01-02 03:04:05'"
    for key in ("limited", "wide"):
        sign_in = f"(cookie_hash, key_id, signed_in_at, seen_at) VALUES ('{key}', '{key}', {at}, {at})"
        execute(url, f"INSERT INTO sign_ins {sign_in}")
    with pytest.raises(CommandError, match=r"api_keys has keys that are limited.*`alembic -x lossy=yes downgrade`"):
        migrate(url, below, down=True)
    migrate(url, below, "lossy=yes", down=True)
    rows = dump(url)
    assert {key["name"]: key["revoked_at"] is not None for key in rows["api_keys"]} == {"limited": True, "wide": False}
    assert [sign_in["key_id"] for sign_in in rows["sign_ins"]] == ["wide"]


def test_chain_of_the_audit_log_is_lost_when_downgraded(database_at: DatabaseAt) -> None:
    """The error names the flag that accepts it; the entries are kept, and a later chain begins anew."""
    below = REVISIONS[REVISIONS.index("0022") - 1]
    url = database_at(below)
    detail = '{"entries":3,"number":3,"link":"a"}'
    row = f"VALUES (1, '2026-01-02 03:04:05.000006', 'operator', 'audit_purged', '{detail}')"
    execute(url, f"INSERT INTO audit_log (id, at, actor, action, detail) {row}")
    before = dump(url)["audit_log"]
    migrate(url, "0022")
    migrate(url, below, down=True)
    assert dump(url)["audit_log"] == before
    migrate(url, "0022")
    execute(url, "INSERT INTO audit_head (id, entries, link, key_id, mac) VALUES (1, 1, 'a', 'b', 'c')")
    with pytest.raises(CommandError, match=r"audit_log has a hash chain.*`alembic -x lossy=yes downgrade` removes it"):
        migrate(url, below, down=True)
    migrate(url, below, "lossy=yes", down=True)
    rows = dump(url)
    assert rows["audit_log"] == before
    assert "audit_head" not in rows
    migrate(url, "0022")
    engine = create_engine(normalise_url(url))
    with engine.connect() as connection:
        assert find_start(connection, None, 100) == (None, 1)
    engine.dispose()
