"""xab.store.engine on SQLite and on PostgreSQL: migrations, several processes at once, and addresses that are none."""

import sqlite3
import threading

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from xab.store import Store, StoreError
from xab.store.engine import migrate, open_engine, use_wal
from xab.store.schema import metadata


def test_migrations_make_exactly_the_schema(database_url):
    engine = open_engine(database_url)
    migrate(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    migrate(engine)
    migrate(engine, "base")
    assert set(sa.inspect(engine).get_table_names()) <= {"alembic_version"}
    migrate(engine)
    assert set(metadata.tables) < set(sa.inspect(engine).get_table_names())
    engine.dispose()


def test_processes_that_start_together_migrate_once(database_url):
    failures = []

    def open_store():
        try:
            Store(database_url).close()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=open_store) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_the_write_ahead_log_waits_for_its_turn(tmp_path):
    """SQLite itself refuses at once, however long its timeout: another process may hold the new file just then."""
    path = tmp_path / "new.sqlite"
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    with sqlite3.connect(path, timeout=0) as refused, pytest.raises(sqlite3.OperationalError, match="locked"):
        refused.execute("PRAGMA journal_mode=WAL")
    threading.Timer(0.3, lambda: holder.execute("COMMIT")).start()
    with sqlite3.connect(path, timeout=0) as waits:
        use_wal(waits)
        assert waits.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize(
    "url,words",
    [
        ("mysql://x@y/z", "SQLite file or in PostgreSQL"),
        ("sqlite://", "SQLite file"),
        ("nonsense", "no database URL"),
        ("sqlite:////proc/nowhere/x.sqlite", "cannot open the database"),
        ("postgresql://xab:secret@127.0.0.1:9/none", "cannot open the database"),
    ],
)
def test_a_bad_url_is_explained(url, words):
    with pytest.raises(StoreError, match=words) as caught:
        Store(url)
    assert "secret" not in str(caught.value)
