"""what a volunteer listens with"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("listens", sa.String(16), nullable=True))  # until now nobody was asked


def downgrade() -> None:
    op.drop_column("sessions", "listens")
