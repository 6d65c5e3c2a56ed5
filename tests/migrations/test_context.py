"""Revision 0024: the context of sessions."""

import pytest
from alembic.util import CommandError

from tests.migrations.conftest import DatabaseAt
from tests.migrations.sample import dump, execute, migrate

INSERT = (
    "INSERT INTO sessions (user_id, survey_id, current_step, answers, step_history, version) "
    "VALUES ('ann', 'trip', 'S1', '{\"S0\":1}', '[\"S0\"]', 2)"
)


def test_context_is_null_in_older_sessions_and_lost_when_downgraded(database_at: DatabaseAt) -> None:
    """A downgrade needs the flag only if a session has one; all else of the rows stays, also when it runs again."""
    url = database_at("0023")
    execute(url, INSERT)
    before = dump(url)
    migrate(url, "0024")
    (session,) = dump(url)["sessions"]
    assert session["context"] is None
    migrate(url, "0023", down=True)
    assert dump(url) == before
    migrate(url, "0024")
    execute(url, 'UPDATE sessions SET context = \'{"language":"ä"}\'')
    with pytest.raises(CommandError, match=r"sessions has languages or endings.*`alembic -x lossy=yes downgrade`"):
        migrate(url, "0023", down=True)
    assert dump(url)["sessions"][0]["context"] == '{"language":"ä"}'
    migrate(url, "0023", "lossy=yes", down=True)
    assert dump(url) == before
