"""Revision 0025: webhooks that ask for values."""

import argparse

import pytest
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from app.store.engine import normalise_url
from tests.conftest import ROOT
from tests.migrations.sample import dump, execute, migrate

INSERT = (
    "INSERT INTO webhooks (id, url, secret, events, survey_id, created_at) "
    "VALUES ('{}', 'https://x.test/ä', 'whsec_x', 'session.completed', 'trip', '2026-01-02 03:04:05.000006')"
)


def test_webhooks_ask_for_no_values_unless_they_are_added_so(empty_url: str) -> None:
    """Nor those that are added without the column. A downgrade needs the flag only if one asks for them."""
    migrate(empty_url, "0024")
    execute(empty_url, INSERT.format("wh_1"))
    execute(
        empty_url,
        "INSERT INTO webhook_deliveries (webhook_id, event, survey_id, user_id, version, occurred_at) "
        "VALUES ('wh_1', 'session.completed', 'trip', 'ann', 2, '2026-01-02 03:04:05.000006')",
    )
    before = dump(empty_url)
    migrate(empty_url, "0025")
    execute(empty_url, INSERT.format("wh_2"))
    after = dump(empty_url)
    assert [hook["includes_values"] for hook in after["webhooks"]] == [False, False]
    assert after["webhook_deliveries"] == before["webhook_deliveries"]
    execute(empty_url, "DELETE FROM webhooks WHERE id = 'wh_2'")
    migrate(empty_url, "0024", down=True)
    assert dump(empty_url) == before
    migrate(empty_url, "0025")
    execute(empty_url, "UPDATE webhooks SET includes_values = true")
    with pytest.raises(CommandError, match=r"webhooks with computed values.*`alembic -x lossy=yes downgrade`"):
        migrate(empty_url, "0024", down=True)
    assert dump(empty_url)["webhooks"][0]["includes_values"]
    config = Config(cmd_opts=argparse.Namespace(x=["lossy=yes"]))
    config.set_main_option("script_location", str(ROOT / "alembic"))
    config.attributes["url"] = normalise_url(empty_url)
    config.attributes["default_survey"] = "default"
    command.downgrade(config, "0024")
    assert dump(empty_url) == before
