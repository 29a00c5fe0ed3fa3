"""The models in memory: loaded once, kept within the ceiling, and never taken from whoever uses them."""

import json
import sys
import threading
from dataclasses import dataclass

import pytest

from .conftest import STUDIO

sys.path.insert(0, str(STUDIO))

import shelf as shelves
from shelf import Lease, Shelf, lease
from validate import StudioError

PATIENCE = 60


@dataclass
class Loaded:
    """A model of so many bytes, as an engine holds it."""

    model: object


def loaded(num_bytes):
    import torch

    module = torch.nn.Module()
    module.weight = torch.nn.Parameter(torch.zeros(num_bytes // 4 - 2))
    module.register_buffer("scale", torch.zeros(2))
    return Loaded(module)


def key(name):
    return ("test", name)


def put(shelf, name, num_bytes=400):
    return shelf.get(key(name), lambda: loaded(num_bytes), num_bytes)


def test_many_threads_that_ask_for_a_model_load_it_once():
    shelf, began, go_on, loads, given = Shelf(1000), threading.Event(), threading.Event(), [], []

    def load():
        loads.append(1)
        began.set()
        assert go_on.wait(PATIENCE)
        return loaded(400)

    threads = [threading.Thread(target=lambda: given.append(shelf.get(key("a"), load))) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert began.wait(PATIENCE)
    go_on.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(loads) == 1
    assert len(given) == 8
    assert len({id(model) for model in given}) == 1


def test_a_model_that_is_there_is_given_while_another_is_loaded():
    shelf, began, go_on = Shelf(1000), threading.Event(), threading.Event()
    first = put(shelf, "a")

    def load():
        began.set()
        assert go_on.wait(PATIENCE)
        return loaded(400)

    thread = threading.Thread(target=shelf.get, args=(key("b"), load))
    thread.start()
    assert began.wait(PATIENCE)
    assert put(shelf, "a") is first
    go_on.set()
    thread.join(PATIENCE)
    assert key("b") in shelf


def test_what_was_used_longest_ago_goes_when_memory_is_full():
    shelf = Shelf(1000)
    first = put(shelf, "a")
    put(shelf, "b")
    assert put(shelf, "a") is first
    put(shelf, "c")
    assert [key(name) in shelf for name in "abc"] == [True, False, True]
    assert shelf.num_bytes == 800


def test_sizes_are_measured():
    shelf = Shelf(10_000)
    shelf.get(key("a"), lambda: loaded(4000), 8)
    assert shelf.num_bytes == 4000
    shelf.get(key("b"), lambda: object.__new__(Loaded), 500)
    assert shelf.num_bytes == 4500


def test_a_model_that_turns_out_larger_than_it_seemed_makes_room():
    shelf = Shelf(1000)
    put(shelf, "a")
    shelf.get(key("b"), lambda: loaded(800), 8)
    assert (key("a") in shelf, shelf.num_bytes) == (False, 800)


def test_what_is_in_use_stays_and_others_wait_for_it_to_end():
    shelf, done, waits = Shelf(1000), threading.Event(), threading.Event()
    use = Lease()
    with use.within():
        put(shelf, "a", 800)

    class Watched(threading.Condition):
        def wait(self, timeout=None):
            waits.set()
            return super().wait(timeout)

    shelf._changed = Watched()

    def other():
        put(shelf, "b", 400)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    assert waits.wait(PATIENCE)
    assert key("a") in shelf
    assert not done.is_set()
    use.end()
    assert done.wait(PATIENCE)
    thread.join(PATIENCE)
    assert (key("a") in shelf, key("b") in shelf) == (False, True)


def test_whoever_waits_too_long_for_memory_is_told_that_it_is_busy():
    shelf, use = Shelf(1000, wait_seconds=0.01), Lease()
    with use.within():
        put(shelf, "a", 800)
    with pytest.raises(StudioError, match=r"^Busy: there is no room in memory for the model b"):
        put(shelf, "b", 400)
    use.end()
    put(shelf, "b", 400)


def test_a_model_larger_than_the_ceiling_is_refused_clearly():
    with pytest.raises(
        StudioError, match=r"The model a takes 5\.0 GB of memory, and this Studio may use 4\.0 GB for models"
    ):
        put(Shelf(4_000_000_000), "a", 5_000_000_000)


def test_models_that_one_action_needs_at_once_must_fit_together():
    shelf = Shelf(1000)
    with lease():
        put(shelf, "a", 800)
        with pytest.raises(StudioError, match="does not fit into memory beside those that are used at the same time"):
            put(shelf, "b", 400)
    put(shelf, "b", 400)


def test_a_model_is_leased_once_however_often_an_action_asks():
    shelf = Shelf(1000)
    with lease():
        put(shelf, "a"), put(shelf, "a")
    put(shelf, "b", 800)
    assert key("a") not in shelf


def test_after_an_error_while_loading_the_next_one_tries_again():
    shelf = Shelf(1000)

    def fail():
        raise StudioError("damaged")

    for _ in range(2):
        with pytest.raises(StudioError, match="damaged"):
            shelf.get(key("a"), fail, 400)
    assert shelf.num_bytes == 0
    put(shelf, "a")


def test_the_ceiling_is_that_of_the_variable_else_a_share_of_the_memory(monkeypatch):
    monkeypatch.setenv(shelves.BYTES_VARIABLE, "5000")
    assert Shelf().most_bytes == 5000
    monkeypatch.setenv(shelves.BYTES_VARIABLE, "much")
    with pytest.raises(ValueError, match="must be a number of bytes above 0, not 'much'"):
        Shelf()
    monkeypatch.delenv(shelves.BYTES_VARIABLE)
    assert Shelf().most_bytes > 100_000_000


def test_the_size_of_weights_is_read_from_their_headers(tmp_path):
    header = json.dumps({"__metadata__": {}, "one.a": {"shape": [3, 5]}, "two.b": {"shape": []}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    (tmp_path / "damaged.safetensors").write_bytes(b"\xff\xff")
    assert shelves.bytes_in(tmp_path) == 4 * 16
    assert shelves.bytes_in(tmp_path, ("two.",)) == 4


def test_engines_share_one_shelf(tiny_folder):
    from engine import Engine, find_models
    from performer import Performers, find_performers

    from .tiny_models import MELODY, PERFORMER

    shelf = Shelf(10_000_000)
    engine, performers = Engine(find_models(tiny_folder), shelf), Performers(find_performers(tiny_folder), shelf)
    model = engine.load(MELODY)
    assert engine.load(MELODY) is model
    size = shelf.num_bytes
    assert size == shelves.bytes_of(model)
    performers.load(PERFORMER)
    assert shelf.num_bytes > size
    small = Shelf(size)
    with pytest.raises(StudioError, match="this Studio may use"):
        Performers(find_performers(tiny_folder), small).load(PERFORMER)
