"""Work spread over processes: what is left behind by a caller who stops asking."""

import multiprocessing
import threading
import time
from contextlib import closing
from operator import add

import pytest

from pushpull.data.processes import in_processes


@pytest.mark.parametrize(
    ("function", "jobs", "taken"),
    [
        pytest.param(add, [(1, 2), (3, 4)], 2, id="all results, and no further question"),
        pytest.param(time.sleep, [(0,), (600,)], 1, id="while a process is at work"),
    ],
)
def test_leaving_early_ends_processes_and_threads(function, jobs, taken):
    threads = set(threading.enumerate())
    with closing(in_processes(function, jobs, workers=2)) as results:
        found = dict(next(results) for _ in range(taken))
    assert found == {job: function(*job) for job in jobs[:taken]}
    # A pool's thread that outlives the loop makes the interpreter's end a race: "Bad file descriptor".
    assert set(threading.enumerate()) == threads
    assert not multiprocessing.active_children()
