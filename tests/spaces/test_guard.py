"""What lies around every action of the page, seen by clients: turns, answers given before, and leases."""

import concurrent.futures
import contextlib
import json
import sys
import threading
import urllib.request
from pathlib import Path

import gradio as gr
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from .conftest import PATIENT, STUDIO
from .tiny_models import DRUMS, HUMANIZE, MELODY

sys.path.insert(0, str(STUDIO))

import actions
import guard
from answers import Answers
from components import cache
from gradio.utils import get_upload_folder
from shelf import Shelf
from turns import Turns

PATIENCE = 60
SHORT = {"concurrency_id": "model", "concurrency_limit": None}


class Workshop:
    """A page with work that ends when the test says so."""

    def __init__(self, max_waiting=3):
        self.turns, self.answers, self.shelf = Turns({"model": 1}, max_waiting), Answers(), Shelf(1000)
        self.begun, self.made, self.places = [], [], []
        self.go_on, self.brakes = threading.Event(), actions.Brakes()
        self._changed = threading.Condition()
        with gr.Blocks() as page:
            name, seed, text, file = gr.Textbox(), gr.Number(), gr.Textbox(), gr.File()
            for action, inputs, output, options in (
                (self.work(), [name], text, SHORT),
                (self.steps(), [name], text, SHORT),
                (self.stop(), [], text, {"queue": False}),
                (self.answer(), [name, seed], file, SHORT),
                (self.lend(), [name], text, {}),
            ):
                gr.Button().click(actions.in_sentences(action), inputs, output, api_name=action.__name__, **options)
        guard.lay_around(page, self.turns, self.answers)
        self.page = page.queue(default_concurrency_limit=None)

    def begin(self, name):
        with self._changed:
            self.begun.append(name)
            self._changed.notify_all()

    def wait_until_begun(self, name):
        with self._changed:
            assert self._changed.wait_for(lambda: name in self.begun, PATIENCE)

    def work(self):
        def work(name, request: gr.Request):
            self.begin(name)
            with self.brakes.running(request.session_hash, lambda fraction, text: None):
                assert self.go_on.wait(PATIENCE)
            return name

        return work

    def steps(self):
        def steps(name):
            self.begin(name)
            yield f"{name}, first"
            self.places.append(self.shelf.get(("test", name), lambda: [name], 600))
            assert self.go_on.wait(PATIENCE)
            yield f"{name}, last"

        return steps

    def stop(self):
        def stop(request: gr.Request):
            return "stopped" if self.brakes.stop(request.session_hash) else "nothing"

        return stop

    def answer(self):
        def answer(name, seed):
            if name == "wrong":
                self.made.append(name)
                raise actions.StudioError("This is wrong.")
            self.made.append((name, seed))
            return cache.save(f"{name} {seed}".encode(), f"{name}.txt", get_upload_folder())

        return answer

    def lend(self):
        def lend(name):
            return ", ".join(self.shelf.get(("test", name), lambda: [name], 600))

        return lend


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setenv("GRADIO_ANALYTICS_CACHE_FREQUENCY", "1000000")
    workshop = Workshop()
    _, workshop.address, _ = workshop.page.launch(
        prevent_thread_lock=True, quiet=True, max_threads=64, _frontend=False, show_error=False
    )
    yield workshop
    workshop.go_on.set()
    workshop.page.close()


@pytest.fixture
def come(workshop, tmp_path):
    """A new client of the workshop."""
    return lambda: Client(workshop.address, verbose=False, httpx_kwargs=PATIENT, download_files=str(tmp_path / "client"))


def until(holds):
    """Waits until something holds."""
    never = threading.Event()
    for _ in range(PATIENCE * 20):
        if holds():
            return
        never.wait(0.05)
    raise AssertionError("It did not come to that.")


def told(job):
    """What a client sees of the progress of its job."""
    return [unit.desc for unit in job.status().progress_data or ()]


def test_whoever_waits_is_told_the_position_and_beyond_the_limit_that_it_is_busy(workshop, come):
    clients = [come() for _ in range(5)]
    jobs = [clients[0].submit("0", api_name="/work")]
    workshop.wait_until_begun("0")
    for number in (1, 2, 3):
        jobs.append(clients[number].submit(str(number), api_name="/work"))
        until(lambda: workshop.turns.num_waiting("model") == len(jobs) - 1)
    until(lambda: [told(job) for job in jobs[1:]] == [[f"Waiting, position {place}"] for place in (1, 2, 3)])
    with pytest.raises(AppError, match="Busy: 3 people are before you, so that you would be at position 4"):
        clients[4].predict("4", api_name="/work")
    workshop.go_on.set()
    assert [job.result(timeout=PATIENCE) for job in jobs] == ["0", "1", "2", "3"]
    assert workshop.begun == ["0", "1", "2", "3"]


def test_a_client_that_cancels_or_stops_leaves_the_line(workshop, come):
    first, second, third = come(), come(), come()
    job = first.submit("first", api_name="/work")
    workshop.wait_until_begun("first")
    waiting = second.submit("second", api_name="/work")
    until(lambda: workshop.turns.num_waiting("model") == 1)
    assert third.predict(api_name="/stop") == "nothing"
    assert second.predict(api_name="/stop") == "stopped"
    until(lambda: workshop.turns.num_waiting("model") == 0)
    waiting = third.submit("third", api_name="/work")
    until(lambda: workshop.turns.num_waiting("model") == 1)
    waiting.cancel()
    until(lambda: workshop.turns.num_waiting("model") == 0)
    workshop.go_on.set()
    assert job.result(timeout=PATIENCE) == "first"
    assert workshop.begun == ["first"]


def test_a_generator_has_its_turn_and_its_models_until_its_end(workshop, come):
    job = come().submit("a", api_name="/steps")
    until(lambda: workshop.places)
    assert workshop.turns.num_running("model") == 1
    lent = come().submit("b", api_name="/lend")
    until(lambda: ("test", "b") in workshop.shelf._loading)
    assert ("test", "a") in workshop.shelf
    workshop.go_on.set()
    assert job.result(timeout=PATIENCE) == "a, last"
    assert lent.result(timeout=PATIENCE) == "b"
    assert ("test", "a") not in workshop.shelf
    until(lambda: workshop.turns.num_running("model") == 0)


def test_a_generator_whose_client_cancels_gives_its_turn_back(workshop, come):
    job = come().submit("a", api_name="/steps")
    until(lambda: workshop.places)
    job.cancel()
    workshop.go_on.set()
    until(lambda: workshop.turns.num_running("model") == 0)


def test_the_same_question_is_answered_from_memory_with_its_file(workshop, come):
    for name, seed, text in (("a", 1, "a 1"), ("a", 1, "a 1"), ("a", 2, "a 2"), ("b", 1, "b 1"), ("a", 1, "a 1")):
        for path in Path(get_upload_folder()).rglob("*.txt"):  # as Gradio does with what is old
            path.unlink()
        path = come().predict(name, seed, api_name="/answer")
        assert (Path(path).name, Path(path).read_text()) == (f"{name}.txt", text)
    assert workshop.made == [("a", 1), ("a", 2), ("b", 1)]


def test_a_question_without_a_seed_is_asked_anew(workshop, come):
    for _ in range(2):
        come().predict("a", None, api_name="/answer")
    assert workshop.made == [("a", None)] * 2


def test_an_error_is_no_answer_to_keep(workshop, come):
    client = come()
    for _ in range(2):
        with pytest.raises(AppError, match="This is wrong"):
            client.predict("wrong", 1, api_name="/answer")
    assert workshop.made == ["wrong", "wrong"]


def test_calls_that_name_no_session_leave_nothing_behind(workshop):
    def call(name):
        url = f"{workshop.address}gradio_api/call/lend"
        body = json.dumps({"data": [name]}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        event = json.load(urllib.request.urlopen(request, timeout=PATIENCE))["event_id"]
        return urllib.request.urlopen(f"{url}/{event}", timeout=PATIENCE).read().decode()

    sessions = workshop.page.state_holder.session_data
    for name in "abcd":
        assert f'data: ["{name}"]' in call(name)
        until(lambda: not workshop.page._queue.event_ids_to_events)
    assert len(sessions) == 1


def test_a_coroutine_can_wait_in_no_line():
    async def work():
        pass

    with gr.Blocks() as page:
        gr.Button().click(work, None, None, **SHORT)
    with pytest.raises(TypeError, match="must not be a coroutine"):
        guard.lay_around(page, Turns({"model": 1}), Answers())


def test_clients_in_parallel_get_what_each_gets_alone(studio):
    """No answer goes to somebody else: three clients, each with a seed of its own, several times over."""

    def ask(client, seed):
        clip = client.predict(MELODY, 1.0, seed, api_name="/sample")
        beat = client.predict(DRUMS, 1.0, seed, api_name="/sample")
        felt = client.predict(HUMANIZE, beat, True, 1.0, 1.0, seed, api_name="/humanize")
        with contextlib.ExitStack() as files:
            midi = files.enter_context(open(client.predict(felt, 100, 0, api_name="/render")[0], "rb"))
            return clip, beat, felt, midi.read()

    seeds = [301, 302, 303]
    clients = [Client(studio, verbose=False, httpx_kwargs=PATIENT) for _ in seeds]
    with concurrent.futures.ThreadPoolExecutor(len(seeds)) as pool:
        first = list(pool.map(ask, clients, seeds))
        again = list(pool.map(ask, reversed(clients), seeds))
    alone = [ask(clients[0], seed) for seed in seeds]
    assert first == alone
    assert again == alone
    assert len({repr(answer) for answer in alone}) == len(seeds)
