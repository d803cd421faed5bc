"""Many volunteers at once, and a server that is killed under them: every acknowledged answer is there exactly once."""

import os
import signal
import time
from collections import Counter

import pytest
import sqlalchemy as sa
from xab_support import fresh_database

from benchmarks.xab_load import Robot, add_study, free_port, run_robots, server
from xab.settings import Settings
from xab.store import Store
from xab.store.schema import metadata


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request, tmp_path):
    if request.param == "sqlite":
        yield Settings(data=tmp_path / "data", password="p")
        return
    with fresh_database(request.getfixturevalue("postgres")) as url:
        yield Settings(data=tmp_path / "data", password="p", database_url=url)


def stored(store: Store) -> list[tuple[str, str]]:
    """(trial's handle, choice) of every judgment."""
    trials, judgments = metadata.tables["trials"], metadata.tables["judgments"]
    same = sa.and_(trials.c.session_id == judgments.c.session_id, trials.c.position == judgments.c.position)
    with store.engine.connect() as connection:
        query = sa.select(trials.c.handle, judgments.c.choice).join(judgments, same)
        return [tuple(row) for row in connection.execute(query)]


def storm(settings: Settings, *, volunteers: int, trials: int, kills: int) -> None:
    """Robots answer while the server is killed and started again; then the books are checked."""
    settings.prepare()
    store = Store(settings.url)
    study = add_study(store, settings.data, trials)
    port = free_port()
    robots = [
        Robot(port=port, token=token, seed=seed)
        for seed, (_, token) in enumerate(store.links.add_links(study, volunteers))
    ]

    def answers() -> int:
        return sum(len(robot.acknowledged) for robot in robots)

    def ruin() -> None:
        """Kill at even shares of the way, so that there is something to lose before and something to do after."""
        for kill in range(kills):
            with server(settings, port) as process:
                limit = time.monotonic() + 300
                while answers() < volunteers * trials * (kill + 1) / (kills + 1) and time.monotonic() < limit:
                    time.sleep(0.02)
                os.kill(process.pid, signal.SIGKILL)
        last.__enter__()

    last = server(settings, port)
    try:
        run_robots(robots, meanwhile=ruin)
    finally:
        last.__exit__(None, None, None)

    acknowledged = [answer for robot in robots for answer in robot.acknowledged]
    assert len(acknowledged) == volunteers * trials
    assert Counter(stored(store)) == Counter(acknowledged)
    assert max(Counter(handle for handle, _ in acknowledged).values()) == 1
    if kills:
        assert sum(robot.repeats for robot in robots) > 0, "nobody noticed the kill"
    people = store.links.people(study)
    assert {person["step"] for person in people} == {"done"}
    assert sorted(person["slot"] for person in people) == list(range(volunteers))
    store.close()


@pytest.mark.timeout(300)
def test_no_acknowledged_answer_is_lost_or_doubled_by_a_kill(settings):
    storm(settings, volunteers=12, trials=3, kills=1)


@pytest.mark.slow
@pytest.mark.timeout(1200)  # half a minute on two idle cores; other processes may take most of them
def test_fifty_volunteers_and_three_kills(settings):
    storm(settings, volunteers=50, trials=6, kills=3)
