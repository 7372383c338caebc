"""Alembic runs this for each command: the steps run inside the transaction of the connection it was handed."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    transactional_ddl=True,  # SQLite can, though Alembic doubts it: we begin transactions ourselves
    render_as_batch=True,  # SQLite changes a column by copying the table
)
with context.begin_transaction():
    context.run_migrations()
