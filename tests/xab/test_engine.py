"""xab.store.engine on SQLite and on PostgreSQL: migrations, several processes at once, and addresses that are none."""

import csv
import io
import sqlite3
import threading
import zipfile

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from xab_support import Volunteer, fresh_database, played, ready_study

from xab import export
from xab.store import Store, StoreError, trials
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
        ("postgresql+psycopg2://xab:secret@127.0.0.1:9/none", "cannot open the database"),
    ],
)
def test_a_bad_url_is_explained(url, words):
    with pytest.raises(StoreError, match=words) as caught:
        Store(url)
    assert "secret" not in str(caught.value)


def newer(path):
    """A database that a later version has migrated."""
    Store(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda path: path.write_bytes(b"no database " * 1000), "file is not a database"),
        (newer, "a newer pushpull made it"),
    ],
)
def test_a_file_that_cannot_be_used_is_explained_and_left_alone(tmp_path, make, words):
    path = tmp_path / "xab.sqlite"
    make(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=words):
        Store(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_a_user_who_may_not_make_tables_is_explained(postgres):
    with fresh_database(postgres) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP ROLE IF EXISTS guest")
            connection.execute("CREATE ROLE guest LOGIN")
        with pytest.raises(StoreError, match="permission denied for schema public"):
            Store(url.replace("xab@", "guest@"))


def test_an_error_of_the_database_tells_no_link(database_url):
    store = Store(database_url)
    with store.engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.exec_driver_sql("ALTER TABLE sessions RENAME TO gone")
    with pytest.raises((StoreError, sa.exc.SQLAlchemyError), match="sessions") as caught:
        store.sessions.state("a-link-of-somebody")
    assert "a-link-of-somebody" not in str(caught.value)
    store.close()


def test_what_is_read_together_is_of_one_moment(store, clock, monkeypatch):
    """The last answer arrives while another tab asks for the state: there would be a session without a trial."""
    ((_, token),) = store.links.add_links(ready_study(store, speech=1, non_speech=0, training=0, catch=0), 1)
    volunteer = Volunteer(store, token, clock).begin()
    load_study, handle = trials.load_study, volunteer.state["handle"]

    def load_late(connection, study):
        monkeypatch.undo()
        volunteer.wait()
        store.sessions.answer(token, handle=handle, choice="A", nonce="n", page="p", events=played(handle))
        return load_study(connection, study)

    monkeypatch.setattr(trials, "load_study", load_late)
    assert volunteer.state["handle"] == handle
    assert volunteer.state["step"] == "done"


def test_an_export_is_of_one_moment(store, clock, monkeypatch):
    study = ready_study(store)
    ((_, token),) = store.links.add_links(study, 1)
    volunteer = Volunteer(store, token, clock).begin()
    draw = export.one

    def draw_late(store, study, name):
        drawn = draw(store, study, name)
        if name == "judgments.csv" and volunteer.state["number"] < 3:
            volunteer.answer()
        return drawn

    monkeypatch.setattr(export, "one", draw_late)
    with zipfile.ZipFile(io.BytesIO(export.archive(store, study))) as pack:
        files = {name.rpartition("/")[2]: pack.read(name).decode(export.CSV) for name in pack.namelist()}
    (person,) = csv.DictReader(io.StringIO(files["volunteers.csv"]))
    answers = list(csv.DictReader(io.StringIO(files["judgments.csv"])))
    assert len(answers) == int(person["answered"]) == 3
