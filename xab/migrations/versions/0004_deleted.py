"""volunteers whom the experimenter deleted, apart from those who withdrew"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # What was counted until now stays with those who withdrew: nobody knows which it was.
    op.add_column("studies", sa.Column("deleted", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("studies", "deleted")
