"""The lines of the Studio: whose turn it is, who is told what, and who leaves."""

import sys
import threading

import pytest

from .conftest import STUDIO

sys.path.insert(0, str(STUDIO))

import actions
from turns import CALL, Busy, Call, Gone, Stopped, Turns

PATIENCE = 60


class Crowd:
    """People who queue for one kind of action, each in a thread; what runs stays until it is let go."""

    def __init__(self, turns, kind="model"):
        self.turns, self.kind = turns, kind
        self.order, self.outcomes, self.told = [], {}, {}
        self._threads, self._changed, self._let_go = [], threading.Condition(), set()

    def come(self, person, action, **options):
        """Waits until the action runs or stands in line."""
        standing = threading.Event()

        def tell(position):
            self.told.setdefault(action, []).append(position)
            standing.set()

        def run():
            try:
                with self.turns.turn(self.kind, person, tell=tell, **options):
                    with self._changed:
                        self.order.append(action)
                        self._changed.notify_all()
                    standing.set()
                    with self._changed:
                        assert self._changed.wait_for(lambda: action in self._let_go, PATIENCE)
            except Exception as error:
                self.outcomes[action] = error
            finally:
                standing.set()

        thread = threading.Thread(target=run)
        thread.start()
        self._threads.append(thread)
        assert standing.wait(PATIENCE)

    def go(self, action):
        """Lets an action end."""
        with self._changed:
            self._let_go.add(action)
            self._changed.notify_all()

    def wait_until_running(self, action):
        with self._changed:
            assert self._changed.wait_for(lambda: action in self.order, PATIENCE)

    def finish(self):
        """Waits until everybody has left; gives the order in which actions ran."""
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        return self.order


def test_people_are_served_in_turn_however_much_one_asks_for():
    crowd = Crowd(Turns({"model": 1}))
    for person, action in (("anna", "a1"), ("anna", "a2"), ("anna", "a3"), ("anna", "a4"), ("bert", "b1"), ("carl", "c1")):
        crowd.come(person, action)
    for action in ("a1", "a2", "b1", "c1", "a3", "a4"):
        crowd.wait_until_running(action)
        crowd.go(action)
    assert crowd.finish() == ["a1", "a2", "b1", "c1", "a3", "a4"]


def test_positions_are_those_in_which_people_are_served():
    crowd = Crowd(Turns({"model": 1}))
    crowd.come("anna", "running")
    for person, action in (("anna", "a1"), ("anna", "a2"), ("bert", "b1"), ("bert", "b2")):
        crowd.come(person, action)
    assert {action: positions[0] for action, positions in crowd.told.items()} == {"a1": 1, "a2": 2, "b1": 2, "b2": 4}
    for action in ("running", "a1", "b1", "a2", "b2"):
        crowd.wait_until_running(action)
        crowd.go(action)
    assert crowd.finish() == ["running", "a1", "b1", "a2", "b2"]


def test_only_so_many_of_a_kind_run_and_kinds_do_not_hold_one_another_up():
    turns = Turns({"model": 2, "long": 1})
    crowd = Crowd(turns)
    for person in "abc":
        crowd.come(person, person)
    assert (turns.num_running("model"), turns.num_waiting("model")) == (2, 1)
    with turns.turn("long", "d"):
        assert turns.num_running("long") == 1
    crowd.go("a")
    crowd.wait_until_running("c")
    assert (turns.num_running("model"), turns.num_waiting("model")) == (2, 0)
    crowd.go("b"), crowd.go("c")
    crowd.finish()
    assert turns.num_running("model") == 0


def test_an_error_ends_a_turn():
    turns = Turns({"model": 1})
    with pytest.raises(ZeroDivisionError), turns.turn("model", "anna"):
        raise ZeroDivisionError
    assert turns.num_running("model") == 0


def test_whoever_comes_to_a_full_line_is_told_so_with_the_position():
    now = [0.0]
    turns = Turns({"model": 2}, max_waiting=2, clock=lambda: now[0])
    with turns.turn("model", "first"):
        now[0] += 10
    crowd = Crowd(turns)
    for person in "abcd":
        crowd.come(person, person)
    with (
        pytest.raises(
            Busy, match="Busy: 2 people are before you, so that you would be at position 3; try again in about 15 s"
        ),
        turns.turn("model", "e"),
    ):
        pass
    assert turns.num_waiting("model") == 2
    for action in "abcd":
        crowd.wait_until_running(action)
        crowd.go(action)
    crowd.finish()


def test_one_person_may_only_have_a_few_waiting():
    turns = Turns({"model": 1}, max_waiting_each=2)
    crowd = Crowd(turns)
    for action in ("1", "2", "3"):
        crowd.come("anna", action)
    with pytest.raises(Busy, match="2 actions of yours are waiting already, so that the next would be at position 3"):
        turns.turn("model", "anna").__enter__()
    crowd.come("bert", "b")
    for action in ("1", "2", "b", "3"):
        crowd.wait_until_running(action)
        crowd.go(action)
    assert crowd.finish() == ["1", "2", "b", "3"]


def test_whoever_leaves_is_taken_out_of_the_line():
    turns, gone = Turns({"model": 1}), threading.Event()
    crowd = Crowd(turns)
    crowd.come("anna", "a")
    crowd.come("bert", "b", has_left=gone.is_set)
    crowd.come("carl", "c")
    assert crowd.told == {"b": [1], "c": [2]}
    gone.set()
    crowd._threads[1].join(PATIENCE)
    assert isinstance(crowd.outcomes["b"], Gone)
    crowd.go("a")
    crowd.wait_until_running("c")
    crowd.go("c")
    assert crowd.finish() == ["a", "c"]
    assert turns.num_waiting("model") == 0


def test_stop_ends_the_waiting_of_one_person_in_one_tab():
    turns = Turns({"model": 1})
    crowd = Crowd(turns)
    crowd.come("anna", "running")
    crowd.come("anna", "a1", tab="morph")
    crowd.come("anna", "a2", tab="band")
    crowd.come("bert", "b1", tab="morph")
    assert not turns.stop("carl", "morph")
    token = CALL.set(Call(turns, "anna", "morph"))
    try:
        assert actions.Brakes().stop("anna")
    finally:
        CALL.reset(token)
    crowd._threads[1].join(PATIENCE)
    assert isinstance(crowd.outcomes["a1"], Stopped)
    for action in ("running", "a2", "b1"):
        crowd.wait_until_running(action)
        crowd.go(action)
    assert crowd.finish() == ["running", "a2", "b1"]


def test_brakes_without_anything_to_stop_say_so():
    assert not actions.Brakes().stop("anna")
