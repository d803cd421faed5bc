"""Work spread over processes that end with the one that started them, and that leave Ctrl-C to it."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any


def in_processes(function: Callable, jobs: Sequence[tuple], *, workers: int) -> Iterator[tuple[tuple, Any]]:
    """(job, ``function(*job)``) for every job, as they end; an exception of one is raised here and ends the rest.

    Processes are started afresh (a fork would copy torch's threads half-dead), so that a script must ask for them
    under ``if __name__ == "__main__"``. Leaving the loop ends them at once.

    Args:
        function: a function of a module, or a method of an object, that can be pickled.
        jobs: its arguments, one tuple a call.
        workers: how many processes.

    Raises:
        ChildProcessError: a worker was killed.
    """
    context, before = multiprocessing.get_context("spawn"), set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)
    waiting = {}
    try:
        waiting |= {pool.submit(function, *job): job for job in jobs}
        for done in as_completed(waiting):
            yield waiting[done], done.result()
    except BaseException as error:
        # Nobody waits for the rest of a long video; but for the pool's own thread, below. It would close its pipes just
        # when an interpreter that ends writes to them: a traceback after all is done.
        for future in waiting:
            future.cancel()
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise ChildProcessError(
                "a process that cut videos was killed, perhaps for want of memory: try fewer workers. A script of your "
                'own has to ask for several under if __name__ == "__main__":'
            ) from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker():
    """Leave Ctrl-C to the parent, and end with it however it ends: an orphan would wait for work for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
