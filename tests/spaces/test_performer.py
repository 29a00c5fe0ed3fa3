"""The performer and its parts: what is read, what is played, what is refused; on a tiny model with random weights."""

import itertools
import json
import shutil
import sys
import threading
import time

import numpy as np
import pretty_midi
import pytest
from gradio_client import Client, handle_file

from hub_models import audio, midi

from .conftest import PATIENT, STUDIO
from .test_api import refusal
from .tiny_models import FREE_PERFORMER, PERFORMER, PERFORMER_CONTEXT

sys.path.insert(0, str(STUDIO))

import performer as performers
import performer_examples as pieces
import performer_reading as reading
import performer_takes as takes
from components.performance_roll import PerformanceRoll, performance_roll_value
from engine import find_models
from performer import Performers, Wish, find_performers
from validate import StudioError


def piano(notes, drums=()):
    """A PrettyMIDI of (pitch, start, end, velocity)."""
    music = pretty_midi.PrettyMIDI()
    for rows, is_drum in ((notes, False), (drums, True)):
        if rows:
            part = pretty_midi.Instrument(0, is_drum=is_drum)
            part.notes = [pretty_midi.Note(velocity, pitch, start, end) for pitch, start, end, velocity in rows]
            music.instruments.append(part)
    return music


def scale(seconds=6.0, velocity=70, step=0.25):
    """A scale up and down, a note every `step` seconds."""
    return [
        (60 + abs(index % 24 - 12), index * step, (index + 0.9) * step, velocity) for index in range(round(seconds / step))
    ]


@pytest.fixture(scope="module")
def stage(tiny_folder):
    return Performers(find_performers(tiny_folder))


@pytest.fixture(scope="module")
def style(stage):
    return stage.read_style(PERFORMER, pieces.piece(pieces.DEFAULT_STYLE), "Elise")


@pytest.fixture(scope="module")
def tune(stage):
    return stage.read_melody(PERFORMER, pieces.melody("Ode to Joy"), "Ode")


def play(stage, name, **wished):
    """The last look at a piece."""
    *_, last = stage.perform(name, Wish(**{"seconds": 3.0, "seed": 5, **wished}))
    assert last.final
    return last


# ---- Models


def test_models_are_found_by_what_they_listen_to(stage):
    entries = list(stage.entries.values())
    assert [(entry.name, entry.takes_style, entry.takes_melody) for entry in entries] == [
        (PERFORMER, True, True),
        (FREE_PERFORMER, False, False),
    ]
    assert stage.fitting(True, True).name == PERFORMER
    assert stage.fitting(False, False).name == FREE_PERFORMER
    assert stage.fitting(True, False).name == PERFORMER, "it makes up the melody"
    with pytest.raises(StudioError, match=f"a melody without a style: {PERFORMER} plays a melody, in a style"):
        stage.fitting(False, True)


def test_models_of_other_families_are_left_alone(tiny_folder, tmp_path):
    names = {entry.name for entry in find_performers(tiny_folder)}
    assert names == {PERFORMER, FREE_PERFORMER}
    assert not names & {entry.name for entry in find_models(tiny_folder)}
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    assert find_performers(tmp_path) == []


def test_a_damaged_model_is_a_sentence(tiny_folder, tmp_path, style, tune):
    shutil.copytree(tiny_folder / PERFORMER, tmp_path / PERFORMER)
    (tmp_path / PERFORMER / "model.safetensors").write_bytes(b"nothing")
    stage = Performers(find_performers(tmp_path))
    with pytest.raises(StudioError, match="damaged or missing"):
        play(stage, PERFORMER, styles=(style,), melody=tune.ids)


# ---- Examples


@pytest.mark.parametrize("name", pieces.PIECES)
def test_examples_are_played_by_a_pianist(name):
    notes = pieces.piece(name).instruments[0].notes
    assert len(notes) > 60
    assert all(21 <= note.pitch <= 108 and 1 <= note.velocity <= 127 for note in notes)
    assert all(0 <= note.start < note.end for note in notes)
    # One key is not struck while it is held.
    for pitch in {note.pitch for note in notes}:
        own = sorted((note.start, note.end) for note in notes if note.pitch == pitch)
        assert all(end <= start + 1e-6 for (_, end), (start, _) in itertools.pairwise(own)), pitch
    again = pieces.play(pieces.PIECES[name][0](), pieces.PIECES[name][1], seed=len(name)).instruments[0].notes
    assert [(note.start, note.velocity) for note in again] == [(note.start, note.velocity) for note in notes]


def test_examples_have_styles_of_their_own():
    loud = {name: np.mean([n.velocity for n in pieces.piece(name).instruments[0].notes]) for name in pieces.PIECES}
    dense = {
        name: len(pieces.piece(name).instruments[0].notes) / pieces.piece(name).get_end_time() for name in pieces.PIECES
    }
    satie, boogie = (next(name for name in pieces.PIECES if word in name) for word in ("Satie", "Boogie"))
    assert (min(loud, key=loud.get), max(loud, key=loud.get)) == (satie, boogie)
    assert dense[boogie] > 5 * dense[satie]
    king = pieces.piece(next(name for name in pieces.PIECES if "Grieg" in name)).instruments[0].notes
    assert np.mean([note.velocity for note in king[-60:]]) > 2 * np.mean([note.velocity for note in king[:60]])


@pytest.mark.parametrize("name", pieces.MELODY_TEMPI)
def test_example_melodies_are_found_in_themselves(stage, name):
    written = [note.pitch for note in pieces.melody(name).instruments[0].notes]
    for source in reading.MELODY_SOURCES:
        read = stage.read_melody(PERFORMER, pieces.melody(name), name, source)
        assert [note[0] for note in read.notes] == written, source
        assert read.seconds == pytest.approx(pieces.melody(name).get_end_time(), abs=0.11)


# ---- What is read


def test_what_no_piano_has_is_left_out_and_said():
    music = piano([*scale(), *((10, index, index + 0.5, 80) for index in range(5))], drums=[(36, 0.0, 0.1, 90)] * 3)
    read = reading.read_style(music, "Mixed")
    assert len(read.notes) == len(scale())
    assert "3 drum notes and 5 notes outside A0 to C8" in read.remarks[0]


@pytest.mark.parametrize(
    ("music", "words"),
    [
        (piano([]), "There are no notes in it"),
        (piano([], drums=[(36, 0.0, 0.1, 90)] * 3), "only 3 drum notes"),
        (piano([(10, 0.0, 0.5, 90)]), "1 note outside A0 to C8"),
        (piano([(60, 0.0, 0.4, 90)]), "lasts 0.40 seconds; at least 1 second"),
        (piano([(60, 0.0, 0.2, 90), (64, 0.3, 0.6, 90)]), "lasts 0.60 seconds"),
    ],
)
def test_what_has_no_style_is_a_sentence(music, words):
    with pytest.raises(StudioError, match=words) as error:
        reading.read_style(music, "A file")
    assert str(error.value).startswith("A file")


def test_what_has_no_melody_is_a_sentence(stage):
    for music, words in ((piano([]), "no notes"), (piano([], drums=[(36, 0.0, 0.1, 90)]), "drum note")):
        with pytest.raises(StudioError, match=words):
            stage.read_melody(PERFORMER, music, "A file")
    with pytest.raises(StudioError, match="infer or skyline or as_is"):
        stage.read_melody(PERFORMER, piano(scale()), "A file", "guess")


def test_one_note_is_enough_for_a_melody(stage):
    assert [note[0] for note in stage.read_melody(PERFORMER, piano([(60, 0.0, 2.0, 90)]), "One").notes] == [60]


def test_long_music_is_read_within_bounds(stage):
    three_hours = piano(scale(2.9 * 3600, step=2.0))
    read = stage.read_style(PERFORMER, three_hours, "Long")
    assert read.seconds <= reading.MAX_STYLE_SECONDS
    assert any("first 20 minutes" in remark for remark in read.remarks)
    assert any(f"{performers.MAX_EXCERPTS} parts of {PERFORMER_CONTEXT} events" in remark for remark in read.remarks)
    assert reading.read_opening(three_hours, "Long").seconds <= reading.MAX_OPENING_SECONDS
    melody = stage.read_melody(PERFORMER, three_hours, "Long")
    assert len(melody.ids) <= reading.MAX_MELODY_STEPS
    assert "are played" in melody.remarks[0]
    with pytest.raises(ValueError, match="at most 3"):
        reading.read_style(piano([(60, 0.0, 4 * 3600.0, 90)]), "Longer")


def test_an_opening_is_cut_where_it_is_asked_to(style):
    part = reading.cut(style, 4.0)
    assert 3.0 < part.seconds <= 4.0
    assert part.ids == style.ids[: len(part.ids)]
    assert reading.cut(style, 1000.0).ids == style.ids
    late = reading.read_opening(piano([(60, 5.0, 6.0, 90)]), "Late")
    with pytest.raises(StudioError, match="no notes in the first 2 seconds of Late"):
        reading.cut(late, 2.0)


# ---- What is played


def test_a_seed_gives_its_piece(stage, style, tune):
    one, same, other = (play(stage, PERFORMER, styles=(style,), melody=tune.ids, seed=seed) for seed in (5, 5, 6))
    assert one.ids == same.ids
    assert one.ids != other.ids
    assert one.notes
    assert 3.0 <= one.seconds < 4.1
    assert 0 not in one.ids


def test_a_piece_is_seen_while_it_grows(stage, style, tune, monkeypatch):
    monkeypatch.setattr(performers, "LOOK_SECONDS", 0.02)
    looks = list(stage.perform(PERFORMER, Wish((style,), melody=tune.ids, seconds=6.0)))
    made = [look.made for look in looks]
    assert len(looks) > 4
    assert made == sorted(made)
    assert [look.final for look in looks] == [False] * (len(looks) - 1) + [True]
    for before, after in itertools.pairwise(looks):
        assert after.ids[: len(before.ids)] == before.ids


def test_what_it_is_given_changes_what_is_played(stage, style, tune):
    boogie = stage.read_style(PERFORMER, pieces.piece("Boogie-woogie: loud, swinging"), "Boogie")
    vectors = {share: stage.style(PERFORMER, Wish((style, boogie), share=share))["style"] for share in (0.0, 0.5, 1.0)}
    assert np.allclose(vectors[0.0], stage.style(PERFORMER, Wish((style,)))["style"], atol=1e-6)
    assert np.allclose(vectors[1.0], stage.style(PERFORMER, Wish((boogie,)))["style"], atol=1e-6)
    assert np.allclose(vectors[0.5], (vectors[0.0] + vectors[1.0]) / 2, atol=1e-6)
    assert not np.allclose(vectors[0.0], vectors[1.0], atol=1e-3)
    other = stage.read_melody(PERFORMER, pieces.melody("Frère Jacques"), "Jacques")
    pieces_made = {
        play(stage, PERFORMER, styles=(given,), melody=melody.ids).ids
        for given in (style, boogie)
        for melody in (tune, other)
    }
    assert len(pieces_made) == 4


def test_the_style_of_a_long_piece_is_that_of_its_parts(stage):
    import torch

    soft, loud = scale(60, velocity=30), scale(60, velocity=120)
    long = stage.read_style(PERFORMER, piano([*soft, *((p, s + 60, e + 60, v) for p, s, e, v in loud)]), "Long")
    parts = stage._excerpts(PERFORMER, long.ids)
    assert len(parts) == performers.MAX_EXCERPTS
    assert all(len(part) == PERFORMER_CONTEXT for part in parts)
    assert (parts[0][:10], parts[-1][-10:]) == (long.ids[:10], long.ids[-10:])
    model = stage.load(PERFORMER).model
    wanted = torch.stack([model.encode_style(torch.tensor([part]))[0] for part in parts]).mean(0)
    assert torch.allclose(stage.style(PERFORMER, Wish((long,)))["style"][0], wanted, atol=1e-5)


def test_an_opening_stays_as_it_is(stage, style):
    opening = reading.cut(style, 5.0)
    made = play(stage, FREE_PERFORMER, opening=opening.ids)
    assert made.ids[: len(opening.ids)] == opening.ids
    assert made.seconds >= opening.seconds + 3.0
    assert len(made.notes) > len(opening.notes)
    assert made.notes[0] == opening.notes[0]


def test_an_opening_may_be_longer_than_what_is_heard(stage):
    opening = reading.read_opening(piano(scale(60)), "Long")
    assert len(opening.ids) > PERFORMER_CONTEXT
    made = play(stage, FREE_PERFORMER, opening=opening.ids)
    assert made.ids[: len(opening.ids)] == opening.ids
    remarks = takes.remarks(made, Wish(opening=opening.ids), PERFORMER_CONTEXT)
    assert "longer than the model hears at once" in remarks[0]


def test_stopping_keeps_what_is_there(stage, style, tune):
    asked = []

    def stopped():
        asked.append(1)
        return len(asked) >= 100

    *_, last = stage.perform(PERFORMER, Wish((style,), melody=tune.ids, seconds=200.0, seed=5), stopped)
    assert (last.stopped, last.made) == (True, 100)
    whole = play(stage, PERFORMER, styles=(style,), melody=tune.ids, seconds=10.0)
    assert whole.ids[:100] == last.ids


def test_work_ends_when_nobody_listens(stage, style, tune, monkeypatch):
    monkeypatch.setattr(performers, "LOOK_SECONDS", 0.02)
    looks = stage.perform(PERFORMER, Wish((style,), melody=tune.ids, seconds=300.0))
    next(looks)
    assert any(thread.name == "performer" for thread in threading.enumerate())
    looks.close()
    deadline = time.monotonic() + 30
    while any(thread.name == "performer" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "it plays on"
        time.sleep(0.05)


def test_what_is_missing_or_too_much_is_a_sentence(stage, style, tune):
    for name, wish, words in (
        (PERFORMER, Wish(melody=tune.ids), "style is missing"),
        (PERFORMER, Wish((style,)), "melody is missing"),
        (FREE_PERFORMER, Wish((style,)), "takes no style"),
        (FREE_PERFORMER, Wish(melody=tune.ids), "takes no melody"),
        ("gpt", Wish(), PERFORMER),
    ):
        with pytest.raises(StudioError, match=words):
            next(stage.perform(name, wish))


def line_of(melody, steps):
    """The first steps of a melody, with silence where it is over."""
    return (*melody.ids, *(2,) * steps)[:steps]


def test_melody_of_a_piece_that_goes_on(stage, style, tune):
    assert stage.timeline(PERFORMER, (), (), tune, 9.0) == tune.ids
    opening = reading.cut(style, 6.0)
    steps = round(opening.seconds * 10)
    line = stage.timeline(PERFORMER, opening.ids, (), tune, 9.0)
    assert line[steps:] == tune.ids
    assert any(event > 3 for event in line[:steps]), "the opening's own melody is missing"
    known = stage.timeline(PERFORMER, opening.ids, (44,), tune, 9.0)
    assert known[:steps] == (44, *(2,) * (steps - 1))

    short = stage.read_melody(PERFORMER, piano([(60, 0.0, 2.0, 90), (64, 2.0, 8.0, 90)]), "Short")
    before = takes.Take("t", opening.ids, (), opening.seconds, PERFORMER, melody=short.ids, tune=short)
    assert takes.timeline(stage, PERFORMER, opening.ids, before, short, 9.0) == short.ids, "it is not over yet"
    over = takes.Take("t", style.ids, (), style.seconds, PERFORMER, melody=short.ids, tune=short)
    again = takes.timeline(stage, PERFORMER, style.ids, over, short, 9.0)
    assert again[: len(short.ids)] == again[-len(short.ids) :] == short.ids
    assert len(again) == round(style.seconds * 10) + len(short.ids)
    assert takes.timeline(stage, PERFORMER, (), None, None, 9.0) == (2,) * 90, "silence, where it makes up its own"
    assert takes.timeline(stage, PERFORMER, opening.ids, before, None, 9.0) == (*line_of(short, steps), *(2,) * 90)
    assert takes.timeline(stage, FREE_PERFORMER, opening.ids, None, None, 9.0) is None


def test_music_is_what_the_events_say(stage, style):
    notes = [note for part in stage.music(PERFORMER, style.ids).instruments for note in part.notes]
    assert sorted((n.pitch, round(n.start, 3), n.velocity) for n in notes) == sorted(
        (pitch, round(start, 3), velocity) for pitch, start, _, velocity in style.notes
    )


# ---- The roll


def test_the_roll_gets_whole_numbers(tmp_path):
    value = performance_roll_value(
        [(60, 0.1234, 0.5, 64), (62, 1.0, 1.0001, 5)], 2.0, title="A piece", files={"wav": b"RIFF"}
    )
    assert value["notes"] == [60, 123, 377, 64, 62, 1000, 1, 5]
    roll = PerformanceRoll(hint="<b>bold</b>")
    assert "<b>" not in roll.html_template
    roll.GRADIO_CACHE = str(tmp_path)
    shown = roll.postprocess(value)
    assert shown["wav"]["orig_name"] == "a-piece.wav"
    assert value["wav"] == b"RIFF", "what the session keeps is changed"
    assert roll.preprocess({"wav": {"path": "/etc/passwd"}}) is None
    json.dumps(shown)


# ---- Programs


@pytest.fixture(scope="module")
def client(studio):
    return Client(studio, verbose=False, httpx_kwargs=PATIENT)


@pytest.fixture
def files(tmp_path):
    """What a client sends, by name."""
    music = {
        "style": piano(scale(8, velocity=40)),
        "second": pieces.piece("Boogie-woogie: loud, swinging"),
        "melody": pieces.melody("Ode to Joy"),
        "high": piano([*scale(), (110, 0.0, 1.0, 90)]),
        "drums": piano([], drums=[(36, 0.0, 0.1, 90)]),
        "silent": piano([]),
        "short": piano([(60, 0.0, 0.4, 90)]),
    }
    for name, content in music.items():
        content.write(str(tmp_path / f"{name}.mid"))
    (tmp_path / "text.mid").write_text("no music")
    return {name: handle_file(tmp_path / f"{name}.mid") for name in [*music, "text"]}


def perform(client, predict=None, **given):
    """Calls /perform, with what is usual where nothing is said."""
    usual = {
        "model": "", "style": None, "second_style": None, "share": 0, "melody": None, "melody_source": "infer",
        "opening": None, "opening_seconds": None, "seconds": 3, "temperature": 1, "top_p": 1, "seed": 7,
        "before": None, "events": None,
    }  # fmt: skip
    arguments = list({**usual, **given}.values())
    return (predict or client.predict)(*arguments, api_name="/perform")


def notes_in(path):
    return [(n.pitch, round(n.start, 3), n.velocity) for part in midi.load(path).instruments for n in part.notes]


def test_a_melody_is_played_in_a_style(client, files):
    midi_path, wav_path, figures = perform(client, style=files["style"], melody=files["melody"])
    assert figures["model"] == PERFORMER
    assert figures["title"] == "melody, in the style of style"
    assert figures["notes"] == len(notes_in(midi_path)) > 0
    assert 3.0 <= figures["seconds"] < 4.1
    sound, rate = audio.load(wav_path)
    assert sound.shape[1] / rate == pytest.approx(midi.load(midi_path).get_end_time() + 1.0, abs=0.05)
    assert np.abs(sound).max() > 0.01
    again, _, _ = perform(client, style=files["style"], melody=files["melody"])
    assert notes_in(again) == notes_in(midi_path)
    _, _, alone = perform(client, style=files["style"])
    assert (alone["model"], alone["title"]) == (PERFORMER, "Improvisation, in the style of style")
    mixed, _, more = perform(client, style=files["style"], second_style=files["second"], share=1, melody=files["melody"])
    assert notes_in(mixed) != notes_in(midi_path)
    assert "between style and second" in more["title"]


def test_a_piece_goes_on(client, files):
    midi_path, _, figures = perform(client, opening=files["style"], opening_seconds=4)
    assert figures["model"] == FREE_PERFORMER
    assert 3.0 < figures["opening_seconds"] <= 4.0
    assert figures["seconds"] >= figures["opening_seconds"] + 3
    given = [note for note in notes_in(midi_path) if note[1] < 3.7]
    assert [pitch for pitch, _, _ in given] == [note[0] for note in scale(8) if note[1] < 3.7]


def test_a_piece_goes_on_event_by_event(client, files):
    _, _, whole = perform(client, seconds=3)
    _, _, part = perform(client, seconds=3, events=20)
    assert part["events"] == 20
    assert part["piece"]["events"] == whole["piece"]["events"][:20]
    midi_path, _, more = perform(client, seconds=2, before=whole)
    assert more["title"] == whole["title"]
    assert more["piece"]["events"][: whole["events"]] == whole["piece"]["events"]
    assert more["opening_seconds"] == whole["seconds"]
    assert len(notes_in(midi_path)) == more["notes"] > whole["notes"]


def test_programs_are_told_what_was_left_out(client, files):
    _, _, figures = perform(client, style=files["high"], melody=files["melody"])
    assert any("1 note outside A0 to C8" in remark for remark in figures["remarks"])


def test_performers_are_listed(client):
    listed = {m["name"]: m for m in client.predict(api_name="/models") if m["representation"] == "performance"}
    assert {name: (m["takes_style"], m["takes_melody"]) for name, m in listed.items()} == {
        PERFORMER: (True, True),
        FREE_PERFORMER: (False, False),
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": "gpt"}, PERFORMER),
        ({"model": PERFORMER}, "style is missing"),
        ({"melody": "melody"}, "No model here takes a melody without a style"),
        ({"model": FREE_PERFORMER, "style": "style"}, "takes no style"),
        ({"model": FREE_PERFORMER, "melody": "melody"}, "takes no melody"),
        ({"model": PERFORMER, "second_style": "style", "share": 0.5, "melody": "melody"}, "no first one"),
        ({"style": "drums", "melody": "melody"}, "only 1 drum note"),
        ({"style": "silent", "melody": "melody"}, "no notes"),
        ({"style": "short", "melody": "melody"}, "at least 1 second"),
        ({"style": "text", "melody": "melody"}, "MIDI"),
        ({"style": "style", "melody": "drums"}, "drum note"),
        ({"style": "style", "melody": "melody", "melody_source": "guess"}, "infer or skyline or as_is"),
        ({"opening": "silent"}, "no notes"),
        ({"opening": "style", "opening_seconds": 900}, "seconds of the opening"),
        ({"seconds": 1}, "from 2 to 300"),
        ({"seconds": 1e9}, "from 2 to 300"),
        ({"seconds": None}, "from 2 to 300"),
        ({"temperature": 0}, "temperature"),
        ({"top_p": 0}, "Top-p"),
        ({"top_p": 1.1}, "Top-p"),
        ({"share": 2}, "share"),
        ({"seed": -1}, "seed"),
        ({"events": 0}, "number of events"),
        ({"events": 1e6}, "number of events"),
        ({"opening": "style", "before": {"piece": {"events": [50]}}}, "give one of them"),
        ({"before": {}}, "figures that an earlier call gave"),
        ({"before": {"piece": {"events": [0]}}}, "events of the piece must be"),
        ({"before": {"piece": {"events": [50, True]}}}, "events of the piece must be"),
        ({"before": {"piece": {"events": [50] * 60_001}}}, "at most 60,000"),
        ({"before": {"piece": {"events": [50], "melody": [99]}}}, "melody of the piece must be"),
        ({"before": {"piece": {"events": [50], "tune": "la la"}}}, "tune of the piece must be"),
        ({"before": {"piece": {"events": [50], "given_seconds": -1}}}, "given seconds"),
        ({"before": {"piece": {"events": [50]}, "title": 7}}, "title of the piece"),
    ],
)
def test_absurd_wishes(client, files, given, words):
    given = {name: files.get(value, value) if isinstance(value, str) else value for name, value in given.items()}

    def refused(*arguments, api_name):
        return refusal(client, *arguments, api_name=api_name)

    assert words in perform(client, refused, **given)
