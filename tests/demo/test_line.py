"""Places in the queue, in words."""

from types import SimpleNamespace

import pytest

from pushpull.demo.line import FULL, ODD, REST, Line, Place, Turn, in_words


@pytest.fixture
def moment(monkeypatch):
    """A clock that is set by hand."""
    now = [100.0]
    monkeypatch.setattr("pushpull.demo.line.time.monotonic", lambda: now[0])
    return now


class Queues:
    """Gradio's queues: false where nobody waits, for their length is that of what waits."""

    def __init__(self, queue, max_size=20):
        self.max_size = max_size
        self.event_queue_per_concurrency_id = {"cpu": queue}

    def __len__(self):
        return sum(len(queue.queue) for queue in self.event_queue_per_concurrency_id.values())


def waiting(line, *visitors, running=1):
    queue = SimpleNamespace(
        queue=[SimpleNamespace(session_hash=name) for name in visitors], current_concurrency=running
    )
    line.follow(SimpleNamespace(_queue=Queues(queue)))


@pytest.mark.parametrize(("number", "words"), [(20, FULL), (18, FULL), (1, ODD), (0, ODD)])
def test_what_was_not_taken_is_told_by_how_many_wait(number, words):
    line = Line()
    assert line.refusal() == FULL, "nothing is known yet"
    waiting(line, *map(str, range(number)))
    assert line.refusal() == words


def test_places_are_counted_from_the_one_whose_turn_it_is():
    line = Line()
    assert line.place("ben") is None
    waiting(line, "ben", "cleo")
    assert (line.place("ben").ahead, line.place("cleo").ahead, line.place("anna")) == (1, 2, None)
    assert line.lengths() == {"attacks_waiting": 2, "attacks_running": 1, "clips_waiting": 0, "clips_running": 0}
    waiting(line)
    assert line.lengths()["attacks_running"] == 1, "an attack runs, though nobody waits"


def test_the_wait_follows_the_running_attacks_own_pace(moment):
    line = Line()
    waiting(line, "ben", "cleo")
    with line.turn() as turn:
        assert line.place("ben").seconds is None  # nothing is known yet
        moment[0] += 10
        turn.comes_to(0.25)
        assert line.place("ben").seconds == 30 + REST
        assert line.place("cleo").seconds is None  # of the one after it nothing is known
        moment[0] += 30
        turn.comes_to(1.0)
        moment[0] += 2
        assert line.place("ben").seconds == REST - 2
    with line.turn():  # the next one, by what the first one took: 40 s and 2 s
        assert (line.place("ben").seconds, line.place("cleo").seconds) == (42, 84)
    assert line.place("ben").seconds == 0


def test_the_bar_counts_what_follows_the_attack_and_never_goes_back(moment):
    turn = Turn(attack=None, rest=10)
    moment[0] += 10
    turn.comes_to(0.5)
    assert (turn.left(), turn.share) == (10 + 10, 1 / 3)
    moment[0] += 10
    turn.comes_to(1.0)
    assert (turn.left(), turn.share) == (10, 2 / 3)
    moment[0] += 9
    turn.follows_to(0.25)  # slower than with others
    assert turn.left() == 27 and turn.share == 2 / 3
    moment[0] += 21
    turn.follows_to(0.75)
    assert turn.left() == 10 and turn.share == 50 / 60


def test_what_takes_longer_than_expected_is_not_said_to_end_in_a_moment(moment):
    line = Line()
    waiting(line, "ben")
    with line.turn() as turn:
        moment[0] += 30
        turn.comes_to(1.0)
        moment[0] += REST + 1
        assert line.place("ben").seconds is None and turn.share < 1
        assert "Yours starts" not in in_words(line.place("ben"))


def test_an_attack_that_broke_off_tells_nothing_of_the_next(moment):
    line = Line()
    waiting(line, "ben")
    with pytest.raises(RuntimeError), line.turn():
        moment[0] += 1
        raise RuntimeError
    with line.turn():
        assert line.place("ben").seconds is None


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Place(0, None), "Your turn comes now"),
        (Place(1, None), "You are number 1 in the queue: one attack goes first"),
        (Place(1, 3), "one attack goes first. Yours starts in a moment"),
        (Place(3, 41), "You are number 3 in the queue: 3 attacks go first. Yours starts in about 40 seconds"),
        (Place(9, 400), "Yours starts in about 7 minutes"),
    ],
)
def test_places_in_words(place, words):
    assert words in in_words(place)
