"""Alembic's entry: runs the revisions on the connection that xab.store.engine hands over."""

from alembic import context

from xab.store.schema import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("run `python -m xab migrate`: it opens the right database and locks it")
context.configure(connection=connection, target_metadata=metadata)
context.run_migrations()
