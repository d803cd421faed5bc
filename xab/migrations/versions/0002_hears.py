"""whether a volunteer hears the sound"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("hears", sa.Boolean(), nullable=True))
    # Until now nobody came past the sound's page without hearing it.
    op.execute("UPDATE sessions SET hears = (1 = 1) WHERE step IN ('trials', 'done')")


def downgrade() -> None:
    op.drop_column("sessions", "hears")
