"""Who waits for whom in PostgreSQL: nobody for each other."""

import threading
import time

import pytest
import sqlalchemy as sa
from xab_support import fill, fresh_database, small_design

from xab.store import NotFound, Store
from xab.store.schema import metadata

SESSIONS, STUDIES = metadata.tables["sessions"], metadata.tables["studies"]
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
def store(postgres):
    with fresh_database(postgres) as url:
        made = Store(url)
        yield made
        made.close()


@pytest.mark.parametrize("write", ["withdraw", "consent"])
def test_whoever_deletes_a_study_waits_for_no_volunteer(store, write):
    study = store.studies.create(small_design())
    fill(store, study)
    ((_, token),) = store.links.add_links(study, 1)
    if write == "withdraw":
        store.sessions.consent(token, 1)
    volunteers = {
        "withdraw": lambda: store.sessions.withdraw(token),
        "consent": lambda: store.sessions.consent(token, 1),
    }
    told = []

    def volunteer():
        try:
            volunteers[write]()
        except Exception as error:  # whatever it is, the test tells
            told.append(error)

    thread = threading.Thread(target=volunteer)
    # As Studies.delete does it, step by step, while the volunteer's write begins in the middle.
    with store.engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(sa.select(STUDIES.c.id).where(STUDIES.c.id == study).with_for_update())
        thread.start()
        limit = time.monotonic() + 30
        with store.engine.connect() as onlooker:
            while not onlooker.scalar(sa.text(WAITING)):
                assert thread.is_alive() and time.monotonic() < limit
                onlooker.rollback()
                time.sleep(0.02)
        connection.execute(sa.text("SET LOCAL lock_timeout = '5s'"))
        connection.execute(sa.delete(SESSIONS).where(SESSIONS.c.study_id == study))
    thread.join(30)
    assert [type(error) for error in told] == [NotFound]
