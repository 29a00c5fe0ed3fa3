"""Answers that were given before: the same question is computed once, and nobody can change what another one gets."""

import sys
import threading
from pathlib import Path

import pytest

from .conftest import STUDIO

sys.path.insert(0, str(STUDIO))

from answers import Answer, Answers, key_of
from turns import Busy, Gone

PATIENCE = 60


def answer(text="an answer"):
    return Answer.of([text], ())


def test_a_question_is_its_arguments_and_the_contents_of_its_files(tmp_path):
    for folder, contents in (("one", b"music"), ("two", b"music"), ("three", b"other")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.mid").write_bytes(contents)
    one, two, three = (str(tmp_path / folder / "a.mid") for folder in ("one", "two", "three"))
    assert key_of("extract", ["m", one], (1,)) == key_of("extract", ["m", two], (1,))
    different = [
        key_of("extract", ["m", one], (1,)),
        key_of("extract", ["m", three], (1,)),
        key_of("smooth", ["m", one], (1,)),
        key_of("extract", ["n", one], (1,)),
        key_of("extract", ["m", None], (1,)),
        key_of("extract", ["m", one], ()),
    ]
    assert len(set(different)) == len(different)
    assert key_of("extract", [["m", object()]], ()) is None


def test_the_name_of_a_file_counts_since_titles_tell_it(tmp_path):
    one, two = tmp_path / "one.mid", tmp_path / "two.mid"
    one.write_bytes(b"music"), two.write_bytes(b"music")
    assert key_of("perform", [str(one)], (0,)) != key_of("perform", [str(two)], (0,))


def test_what_is_given_cannot_be_changed_for_others():
    values = [{"notes": [[60, 0, 1, 90]]}, None]
    kept = Answer.of(values, (1,))
    values[0]["notes"].clear()
    first = kept.given("")
    first[0]["notes"].clear()
    assert kept.given("") == [{"notes": [[60, 0, 1, 90]]}, None]


def test_files_are_kept_as_contents_and_saved_again(tmp_path):
    made, cache = tmp_path / "made" / "song.wav", tmp_path / "cache"
    made.parent.mkdir()
    made.write_bytes(b"sound")
    kept = Answer.of([str(made), {"seconds": 1.0}], (0,))
    made.unlink()
    for _ in range(2):
        path, figures = kept.given(str(cache))
        assert Path(path).name == "song.wav"
        assert Path(path).read_bytes() == b"sound"
        assert figures == {"seconds": 1.0}
        Path(path).unlink()


def test_updates_and_what_is_not_json_are_not_kept():
    assert Answer.of([{"__type__": "update"}], ()) is None
    assert Answer.of([object()], ()) is None


def test_the_same_question_is_answered_once():
    answers, made = Answers(), []
    for _ in range(3):
        assert answers.get("q", lambda: made.append(1) or answer()) == answer()
    assert len(made) == 1


def test_the_same_question_at_the_same_time_is_computed_once():
    answers, began, go_on, made, given = Answers(), threading.Event(), threading.Event(), [], []

    def make():
        made.append(1)
        began.set()
        assert go_on.wait(PATIENCE)
        return answer()

    first = threading.Thread(target=lambda: given.append(answers.get("q", make)))
    first.start()
    assert began.wait(PATIENCE)
    joined = threading.Event()
    others = [
        threading.Thread(target=lambda: given.append(answers.get("q", make, lambda: joined.set() or False)))
        for _ in range(4)
    ]
    for thread in others:
        thread.start()
    assert joined.wait(PATIENCE)
    assert answers.get("another", lambda: answer("other")) == answer("other")
    go_on.set()
    for thread in (first, *others):
        thread.join(PATIENCE)
    assert given == [answer()] * 5
    assert len(made) == 1
    assert answers.num_joined == 0


def test_errors_are_not_kept_and_whoever_joined_tries_again():
    answers, began, go_on, outcomes = Answers(), threading.Event(), threading.Event(), []

    def fail():
        began.set()
        assert go_on.wait(PATIENCE)
        raise ZeroDivisionError

    def first():
        with pytest.raises(ZeroDivisionError):
            answers.get("q", fail)
        outcomes.append("error")

    joined = threading.Event()
    threads = [
        threading.Thread(target=first),
        threading.Thread(target=lambda: outcomes.append(answers.get("q", answer, lambda: joined.set() or False))),
    ]
    threads[0].start()
    assert began.wait(PATIENCE)
    threads[1].start()
    assert joined.wait(PATIENCE)
    go_on.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(map(str, outcomes)) == sorted(["error", str(answer())])


def test_whoever_joined_may_leave_and_only_so_many_join():
    answers, began, go_on = Answers(max_joined=0), threading.Event(), threading.Event()

    def make():
        began.set()
        assert go_on.wait(PATIENCE)
        return answer()

    thread = threading.Thread(target=answers.get, args=("q", make))
    thread.start()
    assert began.wait(PATIENCE)
    with pytest.raises(Busy, match="position 1"):
        answers.get("q", make)
    answers._max_joined = 1
    with pytest.raises(Gone):
        answers.get("q", make, lambda: True)
    go_on.set()
    thread.join(PATIENCE)


def test_the_answers_asked_for_last_are_kept_within_bytes_and_number():
    size = answer().num_bytes
    answers = Answers(max_bytes=4 * size)
    for name in "abcd":
        answers.get(name, answer)
    answers.get("a", answer)
    answers.get("e", answer)
    made = []
    for name in "acde":
        answers.get(name, lambda name=name: made.append(name) or answer())
    assert made == []
    answers.get("b", lambda: made.append("b") or answer())
    assert made == ["b"]
    assert answers.num_bytes == 4 * size
    few = Answers(max_answers=2)
    for name in "abc":
        few.get(name, answer)
    assert len(few) == 2


def test_an_answer_too_large_to_keep_is_given_all_the_same():
    answers = Answers(max_bytes=100)
    assert answers.get("q", lambda: answer("x" * 200)) == answer("x" * 200)
    assert len(answers) == 0
