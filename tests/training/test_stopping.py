"""Ctrl-C and a polite kill: put off to the end of a step, heard by jobs in the background, and nobody else's."""

import os
import signal
import threading

import pytest

from pushpull.training.stopping import Stopping, end_politely


def test_a_polite_kill_ends_a_job_that_ignores_ctrl_c():
    """As a shell starts one in the background."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        end_politely()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


def test_stopping_leaves_other_threads_and_handlers_alone():
    before = signal.getsignal(signal.SIGTERM)
    with Stopping() as stop:
        assert signal.getsignal(signal.SIGTERM) != before and not stop.wanted
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wanted
    assert signal.getsignal(signal.SIGTERM) is before
    seen = []

    def elsewhere():
        with Stopping() as stop:
            seen.append(stop.wanted)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [False]
