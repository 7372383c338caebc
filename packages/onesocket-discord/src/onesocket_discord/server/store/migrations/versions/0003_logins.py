"""Add the time of a token's last use, and the client that used it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    op.add_column("tokens", sa.Column("last_used_at", sa.Float(), nullable=True))
    op.add_column("tokens", sa.Column("client", sa.String(length=200), nullable=True))
