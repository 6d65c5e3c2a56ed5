"""Revision 0024: the context of sessions."""

import argparse

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from app.store.engine import normalise_url
from tests.conftest import ROOT
from tests.migrations.sample import dump, execute, migrate

INSERT = (
    "INSERT INTO sessions (user_id, survey_id, current_step, answers, step_history, version) "
    "VALUES ('ann', 'trip', 'S1', '{\"S0\":1}', '[\"S0\"]', 2)"
)


def test_context_is_null_in_older_sessions_and_lost_when_downgraded(empty_url: str) -> None:
    """A downgrade needs the flag only if a session has one; all else of the rows stays, also when it runs again."""
    migrate(empty_url, "0023")
    execute(empty_url, INSERT)
    before = dump(empty_url)
    migrate(empty_url, "0024")
    (session,) = dump(empty_url)["sessions"]
    assert session["context"] is None
    migrate(empty_url, "0023", down=True)
    assert dump(empty_url) == before
    migrate(empty_url, "0024")
    execute(empty_url, 'UPDATE sessions SET context = \'{"language":"ä"}\'')
    with pytest.raises(CommandError, match=r"sessions has languages or endings.*`alembic -x lossy=yes downgrade`"):
        migrate(empty_url, "0023", down=True)
    assert dump(empty_url)["sessions"][0]["context"] == '{"language":"ä"}'
    config = Config(cmd_opts=argparse.Namespace(x=["lossy=yes"]))
    config.set_main_option("script_location", str(ROOT / "alembic"))
    config.attributes["url"] = normalise_url(empty_url)
    config.attributes["default_survey"] = "default"
    command.downgrade(config, "0023")
    assert dump(empty_url) == before
