"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}

The rules: one idea a revision; upgrade and downgrade, tested on SQLite, PostgreSQL and MariaDB with
rows in the tables; no app code is imported, the tables used are written out; expand, backfill in
bounded batches that can be run again, contract in a later release: the release before must go on
with the new schema (`make upgrade` shows it); MariaDB commits at each DDL, so each step looks
whether it is done; all constraints are named; a landed revision is never edited.
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
