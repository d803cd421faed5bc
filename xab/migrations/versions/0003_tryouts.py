"""how many visitors of the test to try got how many trials right"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tryouts",
        sa.Column("trials", sa.Integer(), nullable=False),
        sa.Column("correct", sa.Integer(), nullable=False),
        sa.Column("people", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("trials", "correct", name=op.f("pk_tryouts")),
    )


def downgrade() -> None:
    op.drop_table("tryouts")
