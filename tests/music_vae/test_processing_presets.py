"""The processors that belong to the presets, and settings that do not go together."""

import json

import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_models import MusicVAEConfig, MusicVAEProcessor, bundled, list_bundled
from hub_models.music_vae import PRESETS, NoExamplesError
from hub_models.music_vae.processing_music_vae import PROCESSOR_PRESETS

from .conftest import make_midi, scale


@pytest.mark.parametrize("name", sorted({*PRESETS, *PROCESSOR_PRESETS}))
def test_processor_and_network_of_a_preset_fit_together(name, tmp_path):
    config, processor = MusicVAEConfig.from_preset(name), MusicVAEProcessor.from_preset(name)
    assert processor.input_size == config.input_size
    assert processor.num_labels == config.output_size
    assert processor.control_size == config.control_size
    assert processor.window_steps == config.max_sequence_length
    assert processor.codec.output_type == config.output_type
    assert processor.output_sizes == (config.output_sizes or [config.output_size])
    processor.save_pretrained(tmp_path)
    loaded = MusicVAEProcessor.from_pretrained(tmp_path)
    assert loaded.to_dict() == processor.to_dict()
    assert loaded.example_shape == processor.example_shape


def test_a_preset_can_be_changed_and_others_are_refused():
    assert MusicVAEProcessor.from_preset("flat-trio_16bar", num_bars=4).window_steps == 64
    with pytest.raises(ValueError, match="no preset 'cat-mel_3bar'; the presets are cat-mel_2bar_small, "):
        MusicVAEProcessor.from_preset("cat-mel_3bar")


def test_the_original_reads_all_programs_as_melodies_of_sixteen_bars():
    flute = make_midi(scale(16 * 4), program=73)
    assert len(MusicVAEProcessor.from_preset("hierdec-mel_16bar", mode="original")(flute)["labels"]) == 1
    with pytest.raises(NoExamplesError, match="programs 0-31"):
        MusicVAEProcessor.from_preset("cat-mel_2bar_big", mode="original")(flute)


@pytest.mark.parametrize(
    "arguments",
    [
        {"chords": True, "representation": "drums"},
        {"corruptions": ["tap"], "representation": "trio"},
        {"hits_control": True},
        {"original_programs": 0},
        {"corruptions": ["noise"], "representation": "groove"},
    ],
)
def test_settings_that_do_not_go_together_are_refused(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        MusicVAEProcessor(**arguments)


def test_processors_saved_before_there_were_other_representations_load(tmp_path):
    old = ("drum_classes", "max_pitch", "min_pitch", "mode", "num_bars", "representation", "steps_per_quarter")
    for model in list_bundled():
        if model.model_type != "music_vae":
            continue
        settings = json.loads((bundled(model.name) / "processor_config.json").read_text())
        if settings["representation"] not in ("melody", "drums"):
            continue
        kept = {name: settings[name] for name in (*old, "processor_class")}
        (tmp_path / "processor_config.json").write_text(json.dumps(kept))
        loaded = MusicVAEProcessor.from_pretrained(tmp_path)
        assert {name: getattr(loaded, name) for name in old} == {name: settings[name] for name in old}


@pytest.mark.parametrize("name", ["cat-mel_2bar_med_chords", "nade-drums_2bar_full", "flat-trio_16bar", "groovae_4bar"])
@settings(deadline=None, max_examples=25)
@given(
    tracks=st.lists(
        st.tuples(
            st.integers(0, 127),
            st.booleans(),
            st.lists(st.tuples(st.integers(0, 127), st.floats(0, 300), st.floats(0, 20), st.integers(0, 127)), max_size=12),
        ),
        max_size=5,
    ),
    metres=st.lists(st.tuples(st.integers(1, 16), st.sampled_from([1, 2, 4, 8, 16]), st.floats(0, 300)), max_size=3),
    tempo=st.sampled_from([5.0, 120.0, 999.0]),
    mode=st.sampled_from(["musical", "original"]),
)
def test_whatever_the_notes_there_are_windows_or_reasons(name, tracks, metres, tempo, mode):
    processor = MusicVAEProcessor.from_preset(name, num_bars=2)
    midi = pretty_midi.PrettyMIDI(initial_tempo=tempo)
    midi.time_signature_changes = [pretty_midi.TimeSignature(*metre) for metre in metres]
    for program, is_drum, notes in tracks:
        midi.instruments.append(pretty_midi.Instrument(program, is_drum))
        midi.instruments[-1].notes = [pretty_midi.Note(v, p, start, start + length) for p, start, length, v in notes]
    try:
        features = processor(midi, mode=mode)
    except NoExamplesError as error:
        assert error.rejections or "no notes" in str(error)
        assert "\n" not in str(error)
        return
    assert len(features["labels"]) == len(features["input_values"]) == len(features.windows) > 0
    assert features["input_values"].shape[1:] == (32, processor.input_size)
    assert all(note.end > note.start for i in processor.decode(features["labels"])[0].instruments for note in i.notes)
