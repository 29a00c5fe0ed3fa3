"""The piano roll on the server's side: what goes to the page, and what is believed of what comes back."""

import sys

import gradio as gr
import pytest

from .conftest import STUDIO

sys.path.insert(0, str(STUDIO))

import pattern as patterns
from components.piano_roll import PianoRoll, edited_clip, piano_roll_value
from validate import StudioError

MELODY = patterns.make("Tune", [[60, 0.0, 1.0, 80]], 2, drums=False, tokens=[1, 2], model="some-model")
TRIO = patterns.make("Trio", [[60, 0.0, 1.0, 80, 0]], 2, drums=False, trio=True)


@pytest.fixture
def roll():
    return PianoRoll(editable=True)


def test_what_was_not_changed_comes_back_as_it_went(roll):
    for clip in (MELODY, TRIO, patterns.make("Beat", [[36, 0.0, 0.25, 100]], 1, drums=True)):
        back = roll.preprocess(piano_roll_value(clip, "A title"))
        assert {key: back[key] for key in ("name", "notes", "bars", "drums", "trio")} == {
            key: clip[key] for key in ("name", "notes", "bars", "drums", "trio")
        }
        assert back["tokens"] is None


@pytest.mark.parametrize(
    "notes",
    [
        [[60, 0, 9, 80]],
        [[60, 1, 1, 80]],
        [[60, -1, 1, 80]],
        [[60.5, 0, 1, 80]],
        [[60, 0, 1, 0]],
        [[128, 0, 1, 80]],
        [[60, 0, 1, 80, 0]],
        [[60, float("nan"), 1, 80]],
        [[60, 0, True, 80]],
        [["60", 0, 1, 80]],
        ["note"],
        "notes",
        None,
        [[60, 0, 1, 80]] * (patterns.MAX_NOTES + 1),
    ],
)
def test_every_number_is_checked(roll, notes):
    with pytest.raises(gr.Error, match=r"[Tt]he edit") as refusal:
        roll.preprocess({**piano_roll_value(MELODY), "notes": notes})
    assert not refusal.value.print_exception


@pytest.mark.parametrize("bars", [0.5, True, -1, 257, "2", [2]])
def test_bars_are_checked(roll, bars):
    with pytest.raises(gr.Error):
        roll.preprocess({**piano_roll_value(MELODY), "bars": bars})


def test_part_numbers_are_checked(roll):
    with pytest.raises(gr.Error, match="part of a note"):
        roll.preprocess({**piano_roll_value(TRIO), "notes": [[60, 0, 1, 80, 3]]})


@pytest.mark.parametrize("payload", [None, {}, [], "value", 7, {"notes": []}])
def test_nothing_is_shown_and_nothing_comes_back(roll, payload):
    assert roll.preprocess(payload) is None


def test_a_roll_that_only_shows_takes_nothing():
    roll = PianoRoll()
    assert roll.preprocess(piano_roll_value(MELODY)) is None
    with pytest.raises(AttributeError, match="edited"):
        roll.edited  # noqa: B018
    assert "editing" not in roll.html_template


def test_an_edit_is_a_clip_of_its_own(roll):
    segments = [{"label": "1", "bar": 0, "share": 0.0}]
    edited = edited_clip(roll.preprocess(piano_roll_value(MELODY)), {**MELODY, "segments": segments})
    assert (edited["name"], edited["made_by"], edited["segments"]) == ("Tune, edited", {"action": "edit"}, segments)
    assert edited["tokens"] is None
    assert edited_clip(edited)["name"] == "Tune, edited"
    assert "segments" not in edited_clip(edited, {**TRIO, "segments": segments}) or edited_clip(edited, TRIO)["segments"]
    long = edited_clip({**edited, "name": "n" * 80})
    assert len(long["name"]) == 80
    assert long["name"].endswith(", edited")
    with pytest.raises(StudioError, match="no clip to edit"):
        edited_clip(None)
