"""One engine for SQLite and PostgreSQL: how to connect, begin, and bring the schema up to date."""

import importlib.util
import sqlite3
import time
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

MIGRATIONS = Path(__file__).parents[1] / "migrations"
BUSY_MS = 15_000  # how long a writer waits for another process before it gives up
MIGRATION_LOCK = 7_241_163  # any number that nothing else in the database uses


class StoreError(Exception):
    """The database cannot be used; the message says why and what to do."""


def open_engine(url: str) -> sa.Engine:
    """An engine whose transactions are begun in full and durable.

    Args:
        url: "sqlite:///PATH" or "postgresql://..." (the psycopg 3 driver is used).
    """
    if url.startswith("postgres://"):
        url = "postgresql://" + url.removeprefix("postgres://")
    if url.startswith("postgresql://"):
        url = "postgresql+psycopg://" + url.removeprefix("postgresql://")
    try:
        kind = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise StoreError(
            "PUSHPULL_DATABASE_URL is no database URL; write postgresql://USER:PASSWORD@HOST/NAME"
        ) from error
    if kind.get_backend_name() == "postgresql":
        if importlib.util.find_spec("psycopg") is None:
            raise StoreError("PostgreSQL needs the package psycopg: pip install 'pushpull[postgres]'")
        # Whatever driver the URL names: this one is installed and tested.
        kind = kind.set(drivername="postgresql+psycopg")
        return sa.create_engine(kind, pool_size=8, max_overflow=4, pool_pre_ping=True, hide_parameters=True)
    if kind.get_backend_name() != "sqlite" or not kind.database or kind.database == ":memory:":
        raise StoreError(f"{kind.get_backend_name()!r}: XAB keeps its data in an SQLite file or in PostgreSQL")
    # Parameters are hidden because they hold links and answers, and errors are logged.
    engine = sa.create_engine(
        kind,
        pool_size=8,
        max_overflow=4,
        hide_parameters=True,
        connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False},
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection, _record):
        # Transactions are begun below, explicitly: the driver's own would start too late to lock for writing.
        connection.isolation_level = None
        use_wal(connection)
        connection.execute("PRAGMA synchronous=FULL")  # an acknowledged answer survives a power cut, not only a crash
        connection.execute("PRAGMA foreign_keys=ON")

    @sa.event.listens_for(engine, "begin")
    def begin(connection):
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def use_wal(connection: sqlite3.Connection) -> None:
    """Turn the write-ahead log on; a file that is new to several processes at once is turned by one of them.

    SQLite does not wait here: whoever meets another process in the middle of the change is refused at once.
    """
    give_up = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
            time.sleep(0.02)


def migrate(engine: sa.Engine, revision: str = "head") -> None:
    """Bring the schema to ``revision``; several processes may start at once.

    Raises:
        StoreError: the database cannot be reached, is none, may not be written, or is of a newer version.
    """
    config = Config()
    # Alembic reads % as interpolation, and a path may hold one.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    try:
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
            config.attributes["connection"] = connection
            if revision == "base":
                command.downgrade(config, revision)
            else:
                command.upgrade(config, revision)
    except sa.exc.DBAPIError as error:
        shown = engine.url.render_as_string(hide_password=True)
        raise StoreError(f"cannot open the database {shown}: {reason_of(error)}") from error
    except CommandError as error:
        shown = engine.url.render_as_string(hide_password=True)
        raise StoreError(
            f"the database {shown} has a schema that this version does not know ({error}): a newer pushpull made it. "
            "Start that version, or name another database"
        ) from error


def reason_of(error: sa.exc.SQLAlchemyError) -> str:
    """What the database said, in one line, without the statement and what it was given."""
    said = str(getattr(error, "orig", None) or "").strip() or str(error)
    return said.splitlines()[0] if said else type(error).__name__
