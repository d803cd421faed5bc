"""Who asked, who runs, who was refused: browsers report cancelled requests as failed ones, and late."""

import pytest

from pushpull.demo.requests import LATE, REMEMBERED, Requests


@pytest.fixture
def requests():
    return Requests()


def test_what_never_began_was_refused_once(requests):
    requests.ask("ann")
    assert requests.refused("ann") and not requests.refused("ann") and not requests.refused("ben")


def test_what_began_or_was_withdrawn_was_not_refused(requests):
    requests.ask("ann")
    with requests.begin("ann"):
        assert not requests.refused("ann")
    requests.ask("ann")
    requests.withdraw("ann")
    assert not requests.refused("ann")


def test_word_of_a_cancelled_request_does_not_count_against_the_next(requests, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("pushpull.demo.requests.time.monotonic", lambda: now[0])
    requests.ask("ann")
    requests.withdraw("ann")
    requests.ask("ann")
    assert not requests.refused("ann"), "it was about the first"
    assert requests.refused("ann"), "it was about the second"
    requests.withdraw("ann")
    now[0] += LATE
    requests.ask("ann")
    assert requests.refused("ann"), "nobody told of the first"


@pytest.mark.parametrize("choose", [Requests.choose, Requests.leave], ids=["clip", "face or model"])
@pytest.mark.parametrize("began", [False, True], ids=["waiting", "running"])
@pytest.mark.parametrize("closed_first", [False, True], ids=["told first", "closed first"])
def test_what_another_choice_ended_does_not_count_against_the_next(requests, choose, began, closed_first):
    def attack():
        with requests.begin("ann"):
            yield

    requests.ask("ann")
    running = attack()
    if began:
        next(running)
    if closed_first:
        running.close()
    choose(requests, "ann")
    running.close()
    requests.ask("ann")
    assert not requests.refused("ann"), "it was about the one that the choice ended"
    assert requests.refused("ann"), "it was about the second"


def test_a_choice_while_nothing_is_asked_for_hides_no_refusal(requests):
    requests.leave("ann")
    requests.choose("ann")
    requests.ask("ann")
    assert requests.refused("ann")


def test_a_stop_reaches_its_own_visitor(requests):
    with requests.begin("ann") as anns, requests.begin("ben") as bens:
        assert requests.stop("ann") and not requests.stop("cleo")
        assert anns.is_set() and not bens.is_set() and len(requests) == 2
    assert len(requests) == 0 and not requests.stop("ann")


def test_an_attack_that_ends_late_leaves_the_next_one_its_stop(requests):
    first = requests.begin("ann")
    first.__enter__()
    with requests.begin("ann") as second:
        first.__exit__(None, None, None)
        assert requests.stop("ann") and second.is_set()


def test_visitors_who_went_away_are_forgotten(requests):
    for index in range(REMEMBERED + 1):
        requests.ask(str(index))
    assert not requests.refused("0") and requests.refused(str(REMEMBERED))
