"""Revision 0025: webhooks that ask for values."""

import pytest
from alembic.util import CommandError

from tests.migrations.conftest import DatabaseAt
from tests.migrations.sample import dump, execute, migrate

INSERT = (
    "INSERT INTO webhooks (id, url, secret, events, survey_id, created_at) "
    "VALUES ('{}', 'https://x.test/ä', 'whsec_x', 'session.completed', 'trip', '2026-01-02 03:04:05.000006')"
)


def test_webhooks_ask_for_no_values_unless_they_are_added_so(database_at: DatabaseAt) -> None:
    """Nor those that are added without the column. A downgrade needs the flag only if one asks for them."""
    url = database_at("0024")
    execute(url, INSERT.format("wh_1"))
    execute(
        url,
        "INSERT INTO webhook_deliveries (webhook_id, event, survey_id, user_id, version, occurred_at) "
        "VALUES ('wh_1', 'session.completed', 'trip', 'ann', 2, '2026-01-02 03:04:05.000006')",
    )
    before = dump(url)
    migrate(url, "0025")
    execute(url, INSERT.format("wh_2"))
    after = dump(url)
    assert [hook["includes_values"] for hook in after["webhooks"]] == [False, False]
    assert after["webhook_deliveries"] == before["webhook_deliveries"]
    execute(url, "DELETE FROM webhooks WHERE id = 'wh_2'")
    migrate(url, "0024", down=True)
    assert dump(url) == before
    migrate(url, "0025")
    execute(url, "UPDATE webhooks SET includes_values = true")
    with pytest.raises(CommandError, match=r"webhooks with computed values.*`alembic -x lossy=yes downgrade`"):
        migrate(url, "0024", down=True)
    assert dump(url)["webhooks"][0]["includes_values"]
    migrate(url, "0024", "lossy=yes", down=True)
    assert dump(url) == before
