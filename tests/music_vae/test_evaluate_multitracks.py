"""Figures of multitrack measures are what they say."""

import json
from types import SimpleNamespace

import numpy as np
import pretty_midi
import pytest
import torch

from hub_models import MusicVAEConfig, MusicVAEModel, MusicVAEProcessor
from hub_models.music_vae import evaluate
from hub_models.music_vae.attributes import compute_attribute_vectors, save_attribute_vectors
from hub_models.music_vae.band import Band
from hub_models.music_vae.chord_symbols import chord_index
from hub_models.music_vae.evaluate import (
    evaluate_attributes,
    evaluate_harmony,
    evaluate_interpolation,
    evaluate_operations,
    evaluate_reconstruction,
    evaluate_samples,
)
from hub_models.music_vae.evaluate_multitracks import chords_of, note_distances, program_distances
from hub_models.music_vae.multitrack_events import END, PADDING, PROGRAM
from hub_models.music_vae.multitrack_measures import CHORD_TONES

from .conftest import SMALL
from .measures import DRUM_KIT, wait, write_measure, write_notes, write_scale
from .test_evaluate import Copyist, Sampler

PRESET = "hier-multiperf_vel_1bar_med"
PIANO, BASS, VIOLIN = 0, 33, 40
C_MAJOR = [60, 64, 67]


def processor_of(chords: bool = True) -> MusicVAEProcessor:
    return MusicVAEProcessor.from_preset(f"{PRESET}_chords" if chords else PRESET)


def some_measures(count: int = 8) -> np.ndarray:
    """A piano scale and a drum each; no two alike."""
    return np.stack([
        write_measure(write_scale(PIANO, [60 + number, 62 + number, 64, 65]), write_notes(DRUM_KIT, [36], 12))
        for number in range(count)
    ])  # fmt: skip


def with_chord(measures: np.ndarray, *symbols: str) -> np.ndarray:
    """Measures (N, 512) as examples (N, 512, 2) over one chord each."""
    chords = np.resize([chord_index(symbol) for symbol in symbols], len(measures))[:, None]
    chords = np.where((measures >= PROGRAM) & (measures < END), 0, chords)
    return np.stack([measures, np.where(measures == PADDING, PADDING, chords)], axis=-1).astype(np.int16)


# Reconstruction.


def figures_of_copies(spoil, measures: np.ndarray | None = None) -> dict:
    """Of a model that copies its inputs but for what is spoiled."""
    measures = some_measures() if measures is None else measures
    model = Copyist(PRESET, torch.as_tensor(measures), spoil)
    return evaluate_reconstruction(model, processor_of(chords=False), measures, batch_size=3)


def test_a_perfect_copy_is_right_in_everything():
    figures = figures_of_copies(lambda sequences: sequences)
    assert figures["teacher_forced_accuracy"] == figures["sampled_accuracy"] == figures["exact_sequences"] == 1.0
    assert figures["reconstruction_nll_nats"] == pytest.approx(0, abs=1e-6)
    assert figures["kl_divergence_bits"] == pytest.approx(7)
    expected = {"teacher_forced": 1.0, "sampled": 1.0}
    kinds = dict.fromkeys(("note_on", "note_off", "time_shift", "program", "end"), expected)
    assert figures["tokens"] == kinds | {"velocity": {"teacher_forced": None, "sampled": None}}
    assert figures["measures"]["sampled"] == figures["measures"]["likeliest"]
    assert set(figures["measures"]["sampled"].values()) == {1.0}


def test_padding_does_not_count():
    def spoil(sequences):
        sequences[:, 1] = 0  # the first note of every bar, one of 26 tokens: 2 programs, 10 note events, 6 shifts, 8 ends
        return sequences

    tokens = (some_measures() != PADDING).sum(axis=1)
    assert set(tokens) == {26}
    figures = figures_of_copies(spoil)
    assert figures["sampled_accuracy"] == pytest.approx(25 / 26)
    assert figures["sampled_event_accuracy"] == pytest.approx(9 / 10)
    assert figures["tokens"]["note_on"]["sampled"] == pytest.approx(4 / 5)
    assert figures["tokens"]["note_off"]["sampled"] == 1.0
    assert figures["exact_sequences"] == 0.0


def test_what_goes_on_behind_the_end_is_no_exact_copy():
    def spoil(sequences):
        sequences[:, -1] = END
        return sequences

    figures = figures_of_copies(spoil)
    assert figures["sampled_accuracy"] == 1.0
    assert figures["exact_sequences"] == 0.0


def test_a_token_put_in_makes_tokens_wrong_but_not_notes():
    def spoil(sequences):
        sequences[:, 2:64] = sequences[:, 1:63].clone()
        sequences[:, 1] = 355  # a velocity
        return sequences

    figures = figures_of_copies(spoil)
    assert figures["tokens"]["time_shift"]["sampled"] == pytest.approx(2 / 6)  # of the drums only
    assert figures["measures"]["sampled"]["notes_f1"] == 1.0
    assert figures["measures"]["sampled"]["right_programs"] == 1.0


def test_another_instrument_makes_its_notes_wrong():
    def spoil(sequences):
        sequences[:, 0] = PROGRAM + VIOLIN
        return sequences

    figures = figures_of_copies(spoil)
    assert figures["tokens"]["program"] == {"teacher_forced": 1.0, "sampled": 0.5}
    assert figures["measures"]["sampled"] == pytest.approx(
        {
            "notes_precision": 1 / 5,  # the drum
            "notes_recall": 1 / 5,
            "notes_f1": 1 / 5,
            "right_track_count": 1.0,
            "right_programs": 0.0,
            "program_overlap": 1 / 3,
        }
    )


def test_a_silent_copy_has_no_precision():
    def spoil(sequences):
        return torch.as_tensor(np.stack([write_measure()] * len(sequences)))

    sampled = figures_of_copies(spoil)["measures"]["sampled"]
    assert sampled["notes_precision"] is None
    assert sampled["notes_recall"] == sampled["notes_f1"] == sampled["right_track_count"] == 0.0


def test_one_note_answers_one_note():
    one, two = write_notes(PIANO, [60]), [PROGRAM, 60, 60, wait(96), 188, 188]
    measures = np.stack([write_measure(one), write_measure(two)])
    assert note_distances(measures, measures[::-1]) == pytest.approx([1 / 3, 1 / 3])  # 2 * 1 of 1 + 2
    assert note_distances(measures, measures).tolist() == [0.0, 0.0]


def test_distances_keep_the_shape_and_silence_is_like_silence():
    piano, both = write_measure(write_notes(PIANO, [60])), write_measure(write_notes(PIANO, [60]), write_notes(BASS, [36]))
    first = np.stack([[piano, both, write_measure()]])
    second = np.stack([[both, piano, write_measure()]])
    assert note_distances(first, second) == pytest.approx(np.array([[1 / 3, 1 / 3, 0]]))
    assert program_distances(first, second) == pytest.approx(np.array([[1 / 2, 1 / 2, 0]]))


# Samples.


def test_samples_are_set_beside_the_data():
    data = some_measures()
    samples = data.copy()
    samples[1] = samples[0]
    samples[2] = write_measure(write_notes(BASS, C_MAJOR))  # one track
    samples[3, 1] = 128 + 90  # ends a note that does not sound
    samples[4] = write_measure([*write_notes(BASS, [40]), wait(1)], write_notes(PIANO, [60]))  # over the bar
    figures = evaluate_samples(Sampler(samples), processor_of(chords=False), data, len(data))
    assert figures["valid"] == 5 / 8
    assert figures["validity"] == {
        "program_first": 1.0,
        "ends": 1.0,
        "legal_events": 1.0,
        "matched": 7 / 8,
        "within_bar": 7 / 8,
        "two_tracks": 7 / 8,
    }
    assert figures["non_duplicate"] == 7 / 8
    assert figures["data_valid"] == 1.0
    assert figures["data_tracks_per_bar"] == 2.0
    assert figures["data_notes_per_bar"] == 5.0
    assert figures["data_programs"] == 2
    assert figures["tracks_per_bar"] == 15 / 8
    assert figures["notes_per_bar"] == (5 * 5 + 3 + 4 + 2) / 8
    assert figures["programs"] == 3


# Interpolation.


def test_the_way_between_two_measures_is_measured_by_notes_and_by_instruments():
    """A model that decodes the start up to the middle and the end from there on."""
    start = write_measure(write_scale(PIANO, [60, 62, 64, 65]))
    end = write_measure(write_scale(PIANO, [60, 62, 64, 67]), write_notes(DRUM_KIT, [36]))
    examples = np.stack([start, end])

    class Switch(Copyist):
        def encode(self, input_values, lengths, controls=None):
            has_drums = (lengths[:, 1] > 1).float()
            self.mean = torch.stack([1 - has_drums, has_drums], dim=1)
            return self

    figures = evaluate_interpolation(
        Switch(PRESET, torch.as_tensor(examples)), processor_of(chords=False), examples, np.array([0, 1]), 4, num_points=5
    )
    assert figures["between_ends"] == pytest.approx(1 - 2 * 3 / 9)
    assert figures["programs"]["between_ends"] == pytest.approx(1 / 2)
    assert figures["to_start"][:2] == figures["to_end"][3:] == [0.0, 0.0]
    assert figures["programs"]["to_start"][3:] == pytest.approx([1 / 2, 1 / 2])
    assert figures["between_neighbours"] == pytest.approx((1 / 3) / 4)
    assert figures["mean_to_start"] == pytest.approx(np.mean(figures["to_start"]))


# Chords.


def test_the_chord_of_each_step_is_read_from_the_tokens():
    first, second = chord_index("C"), chord_index("Am")
    measure = write_measure(write_scale(PIANO, [60, 62, 64, 65]), write_notes(BASS, [36], 36))
    chords = np.where(measure == PADDING, PADDING, first)
    chords[[0, 64]] = 0  # the programs
    chords[[7, 8, 9, 10, 11, 12]] = second  # from the third note of the piano on, at half the bar
    found = chords_of(np.stack([measure, chords], axis=-1)[None])
    assert found.shape == (1, 96)
    assert found[0].tolist() == [first] * 48 + [second] * 48


def test_a_measure_without_chords_has_none():
    assert not chords_of(with_chord(some_measures(2), "N.C.")).any()
    assert not chords_of(with_chord(np.stack([write_measure()]), "C")).any()


class Player:
    """Two tracks: a chord on an instrument, and a drum. The instrument is the style's, or the dice's."""

    device = torch.device("cpu")

    def __init__(self, obeys: bool = True, is_fickle: bool = False, labels: np.ndarray | None = None):
        self.obeys, self.is_fickle, self.labels = obeys, is_fickle, labels
        sizes = {"max_sequence_length": 512, "output_size": 490, "control_size": 49, "end_token": END}
        self.config = SimpleNamespace(latent_size=3, **sizes)

    def encode(self, input_values, lengths, controls=None):
        """The first latent is the program of the first track."""
        program = (input_values[:, 0].argmax(dim=-1) - PROGRAM).float()
        return SimpleNamespace(mean=torch.stack([program] * 3, dim=1))

    def decode(self, latents, length=None, temperature=1.0, generator=None, controls=None, draws=None, **settings):
        draws = torch.rand(len(latents), 512, generator=generator) if draws is None else draws
        styles = draws[:, 0] * 100 if self.is_fickle else latents[:, 0].abs()
        measures = []
        for style, chords in zip(styles.tolist(), controls.values.expand(len(latents), -1, -1).argmax(dim=-1), strict=True):
            chord = int(chords[0]) if self.obeys else chord_index("C")
            pitches = (60 + np.flatnonzero(CHORD_TONES[chord])).tolist()
            measures.append(write_measure(write_notes(round(style), pitches), write_notes(DRUM_KIT, [36])))
        return torch.as_tensor(np.stack(measures))


def triads(*symbols: str, program: int = PIANO) -> np.ndarray:
    """Examples that hold the triads of chords, with a drum."""
    pitches = [(60 + np.flatnonzero(CHORD_TONES[chord_index(symbol)])).tolist() for symbol in symbols]
    measures = [write_measure(write_notes(program, chord), write_notes(DRUM_KIT, [36])) for chord in pitches]
    return np.concatenate([with_chord(measure[None], symbol) for measure, symbol in zip(measures, symbols, strict=True)])


def harmony_of(player: Player, **settings) -> dict:
    return evaluate_harmony(player, processor_of(), triads("C", "F#", "C", "F#"), **({"num_samples": 40} | settings))


def test_who_plays_the_chord_scores_one_and_beats_the_control():
    figures = harmony_of(Player(), num_styles=3)["chord_tones"]
    assert figures["data"] == figures["samples"] == figures["transposed"] == figures["transposed_lowest"] == 1.0
    # Each tone of a triad lies in three major and three minor ones: six of 24, of which one is the chord itself.
    assert figures["transposed_shuffled"] == pytest.approx(5 / 23)
    assert figures["data_shuffled"] < 1.0
    assert figures["samples_shuffled"] < 0.8  # C and F# have no tone in common


def test_who_does_not_listen_scores_as_the_control():
    figures = harmony_of(Player(obeys=False), num_styles=3)["chord_tones"]
    assert figures["transposed"] == pytest.approx(6 / 24)
    assert figures["transposed_shuffled"] == pytest.approx(6 / 24)
    assert figures["transposed_lowest"] == 0.0
    assert figures["samples"] == pytest.approx(figures["samples_shuffled"], abs=0.2)


def test_a_style_holds_where_the_latents_choose_the_instruments():
    figures = harmony_of(Player(), num_styles=10, seed=1)["program_overlap"]
    assert figures["one_style"] == figures["one_style_same_draws"] == 1.0
    assert 1 / 3 <= figures["different_styles"] < 0.9


def test_a_style_does_not_hold_where_the_dice_choose_the_instruments():
    figures = harmony_of(Player(is_fickle=True), num_styles=8)["program_overlap"]
    assert figures["one_style_same_draws"] == 1.0
    assert figures["one_style"] < 0.4
    assert figures["different_styles"] == pytest.approx(figures["one_style"], abs=0.05)


def test_without_samples_there_is_no_harmony():
    assert harmony_of(Player(), num_samples=0) == {}


# Operations.


def operations_of(player: Player, examples: np.ndarray) -> dict:
    band = Band(player, processor_of())
    return evaluate_operations(band, examples, np.arange(len(examples)), 6, num_bars=4)


def test_operations_of_a_band_that_does_as_it_is_told():
    examples = np.concatenate([triads("C", "F"), triads("C", "F", program=VIOLIN)])
    figures = operations_of(Player(), examples)
    change = figures["change_chords"]
    assert change["chord_tones_after"] == change["overlap"] == 1.0
    assert change["chord_tones_before"] < 0.6
    assert change["overlap_other_bars"] < 0.9
    assert figures["style"]["chord_tones"] == figures["style"]["overlap"] == 1.0
    assert figures["style"]["overlap_other_songs"] < 0.9
    path = figures["path"]
    assert path["chord_tones"] == path["first_with_start"] == path["last_with_end"] == 1.0
    assert path["first_with_end"] == path["last_with_start"] == path["start_with_end"]


def test_operations_of_a_band_that_does_not_listen():
    change = operations_of(Player(obeys=False), triads("C", "F"))["change_chords"]
    assert change["chord_tones_after"] == change["chord_tones_before"] < 0.7


def test_attributes_are_measured_before_and_after():
    """Here the program is the first latent: more of it makes strings of pianos."""
    band = Band(Player(), processor_of(), {"strings": torch.tensor([40.0, 0, 0]), "loudness": torch.zeros(3)})
    figures = evaluate_attributes(band, triads("C", "F", program=3))
    assert figures["num_bars"] == 2
    assert figures["strings"] == {"less": 0.0, "unchanged": 0.0, "more": 1.0, "effect": 1.0}
    assert figures["loudness"]["effect"] == 0.0
    assert figures["loudness"]["unchanged"] == 7.0
    assert evaluate_attributes(Band(Player(), processor_of()), triads("C")) == {}


# Everything at once.


def tiny_model(chords: bool) -> MusicVAEModel:
    """One that writes a few notes and soon an end."""
    torch.manual_seed(0)
    model = MusicVAEModel(MusicVAEConfig.from_preset(f"{PRESET}_chords" if chords else PRESET, **SMALL)).eval()
    torch.nn.init.normal_(model.latent_mean.weight)
    model.decoder.core.output_projection.bias.data[[*C_MAJOR, END]] = 5.0
    return model


@pytest.mark.parametrize("chords", [True, False])
def test_models_with_and_without_chords_are_measured(chords):
    model, processor = tiny_model(chords), processor_of(chords)
    examples = with_chord(some_measures(4), "C", "Am") if chords else some_measures(4)
    settings = {"batch_size": 3, "seed": 1}
    report = {
        "reconstruction": evaluate_reconstruction(model, processor, examples, **settings),
        "samples": evaluate_samples(model, processor, examples, 4, **settings),
        "interpolation": evaluate_interpolation(model, processor, examples, np.arange(4), 2, num_points=3, **settings),
    }
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["samples"]["data_valid"] == 1.0
    again = evaluate_reconstruction(model, processor, examples, **settings)
    assert again == report["reconstruction"]


@pytest.fixture
def songs(tmp_path):
    """Three files of two bars: chords of a piano, and drums; chord symbols as text events."""
    folder = tmp_path / "songs"
    folder.mkdir()
    for number in range(3):
        midi = pretty_midi.PrettyMIDI(initial_tempo=120.0)
        midi.time_signature_changes.append(pretty_midi.TimeSignature(4, 4, 0.0))
        piano, drums = pretty_midi.Instrument(number), pretty_midi.Instrument(0, is_drum=True)
        for beat in range(8):
            start = beat * 0.5
            root = 60 if beat < 4 else 65
            piano.notes += [pretty_midi.Note(80, root + tone, start, start + 0.4) for tone in (0, 4, 7)]
            drums.notes.append(pretty_midi.Note(80, 36 + number, start, start + 0.1))
        midi.instruments += [piano, drums]
        midi.text_events += [pretty_midi.Text("C", 0.0), pretty_midi.Text("F", 2.0)]
        midi.write(str(folder / f"{number}.mid"))
    return folder


@pytest.mark.parametrize("chords", [True, False])
def test_the_command_line_gives_all_figures(chords, songs, tmp_path):
    folder = tmp_path / "model"
    model, processor = tiny_model(chords), processor_of(chords)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    examples = with_chord(some_measures(), "C") if chords else some_measures()
    save_attribute_vectors(compute_attribute_vectors(model, processor, examples), folder)
    command = ["--model", str(folder), "--data", str(songs), "--cache", str(tmp_path / "cache"), "--num-proc", "1"]
    command += ["--num-samples", "3", "--num-interpolations", "2", "--num-styles", "2"]
    evaluate.main([*command, "--output", str(tmp_path / "metrics.json")])
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert report["num_examples"] == 6
    assert report["band_samples"]["legal"]["valid"] == 1.0
    assert report["band_samples"]["free"]["valid"] < 1.0
    assert report["samples"]["data_tracks_per_bar"] == 2.0
    assert {"strings", "loudness"} <= set(report["attributes"])
    assert ("harmony" in report) == ("operations" in report) == chords
    if chords:
        assert report["harmony"]["chord_tones"]["data"] == 1.0
        assert 0 <= report["operations"]["path"]["first_with_start"] <= 1
