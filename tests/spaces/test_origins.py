"""What Morph and Grooves make says where it is from: the calls that a clip carries make it again, to the byte."""

import random
import sys

import gradio as gr
import pretty_midi
import pytest
from gradio_client import Client

from hub_models import Clip
from hub_models.sessions import read_session, reproduce, write_session

from .conftest import PATIENT, STUDIO
from .tiny_models import DRUMS, HATS, HUMANIZE, LONG_MELODY, MELODY, TAP, TRIO

sys.path.insert(0, str(STUDIO))

import api
import examples
import morph_reading
import origins
import pattern as patterns
from band import Bandstand
from components.groove_editor import groove_editor_value
from engine import ATTRIBUTE_LABELS, Engine, find_models
from jukeboxes import Jukeboxes
from performer import Performers
from tabs import grooves, morph
from validate import StudioError
from vocoder import Vocoders

TUNES, BEATS = examples.clips_for("melody", 2), examples.clips_for("drums", 2)
ODE, SAINTS = (next(clip for name, clip in TUNES.items() if name.startswith(tune)) for tune in ("Ode", "When"))
CHANCE = (0.7, 11, True)  # temperature, seed, kept
EDITOR = groove_editor_value(BEATS["Rock"], BEATS["Bossa nova"])


class Room:
    """The two tabs with their endpoints, served by this process: what a tab's handler gives, and its clip."""

    def __init__(self, models):
        self.engine = Engine(find_models(models))
        with gr.Blocks(analytics_enabled=False) as self.page:
            self.desks = {tab: tab.build(self.engine) for tab in (morph, grooves)}
            api.add_endpoints(self.engine, Bandstand([]), Vocoders([]), Performers([]), Jukeboxes([]))
        _, address, _ = self.page.queue().launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, share=False)
        self.client = Client(address, verbose=False, httpx_kwargs=PATIENT)
        self.handlers = {(each.fn.__module__, each.fn.__name__): each.fn for each in self.page.fns.values() if each.fn}

    def press(self, tab, name, *values, **event):
        """The first value that a handler gives: the result."""
        data = {"event": gr.EventData(None, event)} if event else {}
        return self.handlers[tab.__name__, name](*values, **data)[0]

    def clip(self, tab, result, *sound):
        return self.desks[tab].give(result, *sound)

    def again(self, clip, *others):
        return reproduce(clip, others, self.client)


@pytest.fixture(scope="module")
def room(tiny_folder):
    room = Room(tiny_folder)
    yield room
    room.page.close()


def slot(*clips, sources=()):
    return {"clips": origins.from_sources(list(clips), list(sources)) if sources else list(clips), "index": 0}


MORPH_ACTIONS = {
    "on_morph": (MELODY, slot(ODE), slot(SAINTS), 4, *CHANCE, 120, 40),
    "on_reconstruct": (MELODY, "B", slot(ODE), slot(SAINTS), *CHANCE, 120, 40),
    "on_apply": (MELODY, "A", slot(ODE), slot(SAINTS), *CHANCE, 120, 40, *[1.5, 0, -2, 0.3, 0.1][: len(ATTRIBUTE_LABELS)]),
}
GROOVE_ACTIONS = {
    "on_humanize": (EDITOR, False, 80, *CHANCE, 100, False),
    "on_kit": (EDITOR, *CHANCE, 100, False),
    "on_hats": (EDITOR, *CHANCE, 100, False),
    "on_morph": (EDITOR, 3, *CHANCE, 100, False),
}


@pytest.mark.parametrize("name", MORPH_ACTIONS)
def test_what_morph_makes_is_made_again_by_its_calls(room, name):
    result = room.press(morph, name, *MORPH_ACTIONS[name])
    clip = room.clip(morph, result, 97, 12)
    assert room.again(clip).data == clip.data
    assert clip.tempo == pytest.approx(97, abs=0.01)
    assert clip.origin.model == MELODY
    assert clip.origin.seed == 11
    assert clip.origin.settings["temperature"] == 0.7
    assert clip.seconds == pytest.approx(patterns.seconds(result, 97))


@pytest.mark.parametrize("name", GROOVE_ACTIONS)
def test_what_grooves_makes_is_made_again_by_its_calls(room, name):
    clip = room.clip(grooves, room.press(grooves, name, *GROOVE_ACTIONS[name]), 88)
    assert room.again(clip).data == clip.data
    assert clip.origin.action.split()[0] in ("Humanize", "Play", "Add", "Morph")
    assert clip.origin.model in (HUMANIZE, TAP, HATS)
    assert (clip.has_drums, clip.has_notes) == (True, False)


def test_long_trios_and_what_was_sampled_are_made_again(room):
    trio = slot(next(iter(examples.clips_for("trio", 16).values())))
    other = slot(room.engine.sample(TRIO, 0.8, 3))
    clip = room.clip(morph, room.press(morph, "on_morph", TRIO, trio, other, 2, *CHANCE, 120, 0), 140, 7)
    assert clip.has_drums
    assert clip.has_notes
    assert room.again(clip).data == clip.data


def test_a_place_on_the_pad_is_made_again_and_kept_when_asked(room):
    corners = [slot(ODE), slot(SAINTS, sources=["0123456789ab"]), None, None]
    grid = room.press(morph, "on_compute", MELODY, *corners, *CHANCE)
    tried = room.press(morph, "on_choose", grid, 120, 0, row=2, column=5)
    desk, clip = room.desks[morph], room.clip(morph, tried, 120, 0)
    assert room.again(clip).data == clip.data
    assert (clip.origin.settings["row"], clip.origin.settings["column"]) == (3, 6)
    assert clip.origin.parents == ("0123456789ab",)
    assert not desk.keeps(tried)
    kept = room.press(morph, "on_keep", tried)
    assert desk.keeps(kept)
    assert room.clip(morph, kept, 120, 0).id == clip.id
    with pytest.raises(gr.Error, match="no such place"):
        room.press(morph, "on_choose", grid, 120, 0, row=7, column=0)


def test_what_was_tapped_is_its_own_source(room):
    tapped = {**EDITOR, "a": {"name": "Tapped groove", "notes": [[38, 0.03, 0.28, 80], [38, 1.5, 1.75, 60]], "bars": 2}}
    clip = room.clip(grooves, room.press(grooves, "on_recorded", tapped, True, *CHANCE, 100, False, rhythm=True), 100)
    assert room.again(clip).data == clip.data
    assert clip.origin.calls[0].arguments["clip"]["notes"] == tapped["a"]["notes"]


@pytest.mark.parametrize("tab", [morph, grooves])
def test_an_edit_is_a_clip_of_its_own_that_names_what_it_was(room, tab):
    sound = (120, 40) if tab is morph else (100,)
    name = "on_reconstruct" if tab is morph else "on_humanize"
    before = room.press(tab, name, *(MORPH_ACTIONS if tab is morph else GROOVE_ACTIONS)[name])
    notes = [[*note[:3], 33, *note[4:]] for note in before["notes"]]
    edited = patterns.check({**before, "notes": notes, "tokens": None})
    values = (edited, before, 120, 40) if tab is morph else (edited, before, 100, False)
    after = room.press(tab, "on_edited", *values)
    clip = room.clip(tab, after, *sound)
    assert clip.name.endswith(", edited")
    assert clip.origin.action == f"Edit {before['name']}"
    assert clip.origin.parents == (room.clip(tab, before, *sound).id,)
    assert [call.endpoint for call in clip.origin.calls] == ["/render"]
    assert room.again(clip).data == clip.data
    assert {note.velocity for part in clip.music().instruments for note in part.notes} == {33}


def test_sliders_moved_afterwards_change_nothing_but_the_sound(room):
    result = room.press(morph, "on_morph", *MORPH_ACTIONS["on_morph"])
    slow, fast = room.clip(morph, result, 60, 0), room.clip(morph, result, 180, 0)
    assert slow.origin.calls[:-1] == fast.origin.calls[:-1]
    assert slow.seconds == pytest.approx(3 * fast.seconds)
    assert room.again(slow).data == slow.data


def test_a_session_of_both_tabs_comes_back_and_is_made_again(room, tmp_path):
    made = [
        room.clip(morph, room.press(morph, "on_apply", *MORPH_ACTIONS["on_apply"]), 97, 12),
        room.clip(grooves, room.press(grooves, "on_humanize", *GROOVE_ACTIONS["on_humanize"]), 88),
    ]
    write_session(made, tmp_path / "session.zip", sound=None)
    back = read_session(tmp_path / "session.zip")
    assert [clip.id for clip in back] == [clip.id for clip in made]
    assert [room.again(clip).data for clip in back] == [clip.data for clip in made]


def test_the_order_of_attributes_changes_nothing(room):
    strengths = {"note_density": 1.1, "c_diatonic": -0.7, "syncopation_8th": 1.9}
    turned = dict(reversed(strengths.items()))
    one, other = (room.engine.apply_attributes(MELODY, ODE, given, 0.5, 3) for given in (strengths, turned))
    assert one["tokens"] == other["tokens"]


def travelling(clip, tempo=120, program=0):
    return Clip.from_midi(patterns.to_midi(clip, tempo, program), clip["name"], seconds=patterns.seconds(clip, tempo))


def taken(room, tab, clip, *now):
    """What a tab puts where, by component."""
    desk = room.desks[tab]
    return dict(zip(desk.outputs, desk.take(clip, *now), strict=True))


def value_of(values, elem_id):
    return next(value for component, value in values.items() if component.elem_id == elem_id)


KINDS = {
    "drums": (BEATS["Rock"], DRUMS, "its drums, 2 bars at a time"),
    "melody": (ODE, MELODY, "its melody, 2 bars at a time"),
    "a bar": (patterns.cut(ODE, 0, 1), MELODY, "its melody, 2 bars at a time"),
    "a long melody": (next(iter(examples.clips_for("melody", 16).values())), LONG_MELODY, "its melody, 16 bars at a time"),
    "a trio": (
        next(iter(examples.clips_for("trio", 16).values())),
        TRIO,
        "its melody, with bass and drums where it has a bass line, 16 bars at a time",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_morph_reads_a_clip_with_the_model_that_fits(room, kind):
    given, model, words = KINDS[kind]
    clip = travelling(given, tempo=97)
    assert room.desks[morph].reads(clip) == words
    elsewhere = TRIO if model != TRIO else MELODY
    values = taken(room, morph, clip, elsewhere, None, 120, 0)
    assert value_of(values, "model") == model
    found = next(iter(value for value in values.values() if isinstance(value, dict) and "clips" in value))
    assert [note[:2] for note in found["clips"][0]["notes"]] == [note[:2] for note in given["notes"]]
    assert found["clips"][0]["sources"] == [clip.id]
    assert value_of(values, "report-a").startswith(f"From “{given['name']}”")
    assert room.desks[morph].reads(Clip.from_audio(_beep(), "Beep")) is None


def test_a_clip_for_the_model_that_is_there_leaves_the_rest(room):
    result = room.press(morph, "on_morph", *MORPH_ACTIONS["on_morph"])
    values = taken(room, morph, travelling(SAINTS, tempo=90), MELODY, result, 120, 0)
    assert value_of(values, "clip-a")["title"] == f"A · {SAINTS['name']}"
    assert value_of(values, "clip-b") == gr.skip()
    assert value_of(values, "model") == gr.skip()
    assert value_of(values, "result")["tempo"] == 90  # its sound follows the tempo, which is the clip's now


def test_without_a_bass_line_a_trio_is_a_melody(room):
    trio = next(iter(examples.clips_for("trio", 16).values()))
    clip = travelling({**trio, "notes": [note for note in trio["notes"] if note[4] != patterns.BASS]})
    values = taken(room, morph, clip, MELODY, None, 120, 0)
    assert value_of(values, "model") == LONG_MELODY
    assert "its melody, 16 bars at a time" in value_of(values, "report-a")


def test_a_long_clip_is_cut_and_says_so(room):
    chance = random.Random(1)  # repeats are left out
    notes = [[chance.randrange(60, 72), beat, beat + 0.5, 90] for beat in range(4 * 90)]
    clip = travelling(patterns.make("Long", notes, 90, drums=False))
    assert room.engine.read(MELODY, clip.data)["reductions"] == ["the first 64 of its 89 windows are kept"]
    drums = travelling(patterns.make("Long", [[chance.choice((36, 38, 42)), *times] for _, *times in notes], 90, drums=True))
    values = taken(room, grooves, drums, EDITOR, None, 100)
    assert "the first 64 of its 89 windows are kept" in value_of(values, "groove-report")


def waltz():
    music = pretty_midi.PrettyMIDI(initial_tempo=120)
    part = pretty_midi.Instrument(0)
    part.notes = [pretty_midi.Note(90, 60 + beat % 5, beat / 2, beat / 2 + 0.4) for beat in range(24)]
    music.instruments.append(part)
    music.time_signature_changes.append(pretty_midi.TimeSignature(3, 4, 0.0))
    return Clip.from_midi(music, "A waltz")


def test_what_no_model_reads_is_refused_with_the_reason(room):
    with pytest.raises(StudioError, match=r"nothing for Morph in “A waltz”.*3/4"):
        morph_reading.read(room.engine, list(room.engine.entries.values()), waltz())
    assert room.desks[grooves].reads(waltz()) is None


def test_grooves_takes_the_drums_of_a_clip_and_says_where_its_beats_are_from(room):
    trio = next(iter(examples.clips_for("trio", 16).values()))
    clip = travelling(trio, tempo=90)
    assert room.desks[grooves].reads(clip) == "its drums, 2 bars at a time"
    values = taken(room, grooves, clip, EDITOR, None, 100)
    editor = value_of(values, "groove-editor")
    assert editor["current"] == "a"
    assert editor["b"] == EDITOR["b"]
    assert value_of(values, "groove-tempo") == 90
    assert editor["a"]["name"] == f"{trio['name']} · bars 1-2"
    beat = room.press(grooves, "on_humanize", editor, True, 100, *CHANCE, 90, False)
    assert room.clip(grooves, beat, 90).origin.parents == (clip.id,)
    forged = {**editor, "a": {**editor["a"], "sources": ["../../etc", 7, "0123456789ab"]}}
    beat = room.press(grooves, "on_humanize", forged, True, 100, *CHANCE, 90, False)
    assert room.clip(grooves, beat, 90).origin.parents == ("0123456789ab",)


def _beep():
    import numpy as np

    from hub_models import audio

    return audio.to_wav_bytes(np.sin(np.arange(8000) / 8)[None].astype(np.float32), 8000)
