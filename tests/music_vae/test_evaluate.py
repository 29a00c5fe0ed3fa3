"""Figures are what they say, for every representation."""

import json
import math

import numpy as np
import pretty_midi
import pytest
import torch

from hub_models import MusicVAEConfig, MusicVAEModel, MusicVAEProcessor
from hub_models.music_vae import evaluate
from hub_models.music_vae.evaluate import evaluate_interpolation, evaluate_reconstruction, evaluate_samples
from hub_models.music_vae.evaluate_interpolation import draw_pairs
from hub_models.music_vae.output_heads import build_head

TINY = {"latent_size": 6, "encoder_hidden_sizes": [8], "decoder_hidden_sizes": [8]}


def random_examples(processor: MusicVAEProcessor, count: int = 8) -> np.ndarray:
    """Sequences that no rule stands behind."""
    draw, shape = np.random.default_rng(0), (count, processor.window_steps)
    if processor.representation == "groove":
        hits = (draw.random((*shape, 9)) < 0.3).astype(np.float32)
        return np.concatenate([hits, hits * draw.random(hits.shape), hits * draw.uniform(-1, 1, hits.shape)], axis=-1)
    if processor.representation == "drum_roll":
        return draw.integers(0, 2, (*shape, processor.num_labels))
    columns = [draw.integers(0, size, shape) for size in processor.output_sizes]
    return np.stack(columns, axis=-1) if len(columns) > 1 else columns[0]


class Copyist:
    """Gives back what it encodes: its latents are numbers of examples. `spoil` changes what it decodes freely."""

    device = torch.device("cpu")

    def __init__(self, preset: str, labels: torch.Tensor, spoil=lambda sequences: sequences):
        config = MusicVAEConfig.from_preset(preset, nade_hidden_size=1 if "nade" in preset else None)
        self.labels, self.spoil, self.seen = labels, spoil, 0
        self.decoder = torch.nn.Module()
        self.decoder.head = build_head(config)

    def encode(self, input_values, lengths, controls=None):
        numbers = torch.arange(self.seen, self.seen + len(input_values))
        self.seen += len(input_values)
        self.mean = torch.nn.functional.one_hot(numbers, len(self.labels)).float()
        return self

    def sample(self, generator):
        return self.mean

    def kl_divergence(self):
        return torch.full((len(self.mean),), 7 * math.log(2))

    def teacher_forced_logits(self, z, labels, controls=None, lengths=None):
        return self.decoder.head.feedback(labels) * 200.0 - 100.0

    def decode(self, z, length, temperature, generator, controls=None, **settings):
        return self.spoil(self.labels[z.argmax(dim=-1)].clone())

    def decode_feel(self, z, hits, controls=None):
        return torch.cat([hits, self.decode(z, None, None, None)[..., hits.shape[-1] :]], dim=-1)


def copyist_of(preset: str, spoil=lambda sequences: sequences, examples: np.ndarray | None = None):
    """(model, processor, examples)"""
    processor = MusicVAEProcessor.from_preset(preset)
    examples = random_examples(processor) if examples is None else examples
    return Copyist(preset, processor.features(examples)["labels"], spoil), processor, examples


def test_a_perfect_melody_model_with_one_wrong_step():
    processor = MusicVAEProcessor()
    examples = np.random.default_rng(0).integers(2, 90, (16, 32))  # a note on every other step
    examples[:, 1::2] = 0

    def spoil(sequences):
        sequences[:, 0] = 0
        return sequences

    model, processor, _ = copyist_of("cat-mel_2bar_small", spoil, examples)
    figures = evaluate_reconstruction(model, processor, examples, batch_size=5)
    assert figures == {
        "teacher_forced_accuracy": 1.0,
        "sampled_accuracy": 31 / 32,
        "teacher_forced_event_accuracy": 1.0,
        "sampled_event_accuracy": 15 / 16,
        "exact_sequences": 0.0,
        "kl_divergence_bits": pytest.approx(7),
        "reconstruction_nll_nats": pytest.approx(0, abs=1e-6),
    }


def test_parts_of_a_trio_are_measured_apart():
    def spoil(sequences):
        sequences[:, 0, 1] = (sequences[:, 0, 1] + 1) % 90  # one step of the bass
        sequences[:4, 1, 2] ^= 1  # one of the drums, in half of the examples
        return sequences

    figures = evaluate_reconstruction(*copyist_of("flat-trio_16bar", spoil))
    parts = figures["parts"]
    assert parts["melody"]["sampled_accuracy"] == parts["melody"]["exact_sequences"] == 1.0
    assert parts["bass"]["sampled_accuracy"] == pytest.approx(255 / 256)
    assert parts["bass"]["exact_sequences"] == 0.0
    assert parts["drums"]["sampled_accuracy"] == pytest.approx(1 - 0.5 / 256)
    assert parts["drums"]["exact_sequences"] == 0.5
    assert figures["sampled_accuracy"] == pytest.approx(1 - 1.5 / 256 / 3)
    assert {part["teacher_forced_accuracy"] for part in parts.values()} == {1.0}


def test_hits_of_a_drum_roll():
    def spoil(sequences):
        sequences[..., 0] = 0  # no kick, ever
        return sequences

    examples = np.ones((4, 32, 9), dtype=np.int64)
    examples[:, ::2, 0] = 0
    model, processor, examples = copyist_of("nade-drums_2bar_reduced", spoil, examples)
    model.teacher_forced_logits = lambda z, labels, controls=None, lengths=None: torch.zeros(4, 32, 10)
    with torch.no_grad():
        for weight in model.decoder.head.parameters():
            weight.zero_()  # every bit is as likely as not: probability 0.5, which counts as a hit
    figures = evaluate_reconstruction(model, processor, examples)
    assert figures["sampled_accuracy"] == 0.5
    hits = figures["hits"]
    assert hits["sampled"] == pytest.approx({"precision": 1.0, "recall": 8 / 8.5, "f1": 16 / 16.5})
    assert hits["teacher_forced"] == pytest.approx({"precision": 8.5 / 9, "recall": 1.0, "f1": 17 / 17.5})
    assert figures["reconstruction_nll_nats"] == pytest.approx(32 * 9 * math.log(2), rel=1e-4)


def steady_groove() -> np.ndarray:
    """Kick on every quarter, 10 ms late and 10 louder every time; hi-hat between them, on the grid; shape (2, 32, 27)."""
    groove = np.zeros((2, 32, 27), dtype=np.float32)
    groove[:, ::4, 0] = 1
    groove[:, ::4, 9] = np.arange(40, 120, 10) / 127
    groove[:, ::4, 18] = -10 / 62.5
    groove[:, 2::4, 2] = 1
    groove[:, 2::4, 9 + 2] = 40 / 127
    return groove


def test_feel_is_in_midi_velocities_and_milliseconds():
    def spoil(sequences):
        sequences[..., 9:18] += sequences[..., :9] * 5 / 127
        sequences[:, ::4, 18] = 10 / 62.5  # early instead of late
        sequences[:, 0, 0] = 0  # one of eight kicks is missing
        sequences[:, 1, 4] = 1  # and a tom too many
        return sequences

    figures = evaluate_reconstruction(*copyist_of("groovae_2bar_humanize", spoil, steady_groove()))
    sampled = figures["feel"]["sampled"]
    assert sampled["velocity_error"] == pytest.approx(5, abs=1e-3)
    assert sampled["timing_error_ms"] == pytest.approx(10, abs=1e-3)  # 20 of the kicks, 0 of as many hi-hats
    assert sampled["hits_precision"] == sampled["hits_recall"] == pytest.approx(15 / 16)
    assert figures["sampled_accuracy"] == pytest.approx(1 - 2 / 32 / 9)
    data = figures["feel"]["data"]
    assert data["timing_mean_ms"] == pytest.approx(5, abs=1e-3)
    assert data["timing_std_ms"] == pytest.approx(5, abs=1e-3)
    assert data["velocity_mean"] == pytest.approx((75 + 40) / 2, abs=1e-3)
    assert figures["feel"]["likeliest"] == sampled
    known = figures["feel"]["known_hits"]
    assert known["hits_f1"] == 1.0
    assert known["timing_error_ms"] == pytest.approx(10, abs=1e-3)
    assert set(figures) >= {"hits_loss", "velocities_loss", "offsets_loss"}
    total = figures["hits_loss"] + figures["velocities_loss"] + figures["offsets_loss"]
    assert figures["reconstruction_nll_nats"] == pytest.approx(total)


def test_a_machine_plays_the_input_on_the_grid_with_the_median_velocity():
    groove = steady_groove()
    played = evaluate_reconstruction(*copyist_of("groovae_2bar_humanize", examples=groove))["feel"]["input"]
    assert played["hits_f1"] == 1.0
    assert played["velocity_std"] == played["timing_std_ms"] == 0.0
    assert played["timing_error_ms"] == pytest.approx(5, abs=1e-3)
    velocities = groove[..., 9:18][groove[..., :9] > 0] * 127
    assert played["velocity_error"] == pytest.approx(np.abs(velocities - np.median(velocities)).mean(), abs=1e-3)
    assert "restored_hits_f1" not in played


def test_drums_that_the_input_lacks_have_a_figure_of_their_own():
    def spoil(sequences):
        sequences[:, 2, 2] = 0  # one of eight hi-hats is missing
        sequences[:, 0, 0] = 0  # so is a kick, which the input has
        return sequences

    feel = evaluate_reconstruction(*copyist_of("groovae_2bar_add_closed_hh", spoil, steady_groove()))["feel"]
    assert feel["input"]["restored_hits_f1"] == 0.0
    assert feel["likeliest"]["restored_hits_f1"] == pytest.approx(14 / 15)


def test_what_a_corruption_leaves_to_chance_depends_on_the_seed_alone():
    processor = MusicVAEProcessor.from_preset("groovae_2bar_tap_fixed_velocity_note_dropout")
    model = MusicVAEModel(MusicVAEConfig.from_preset("groovae_2bar_tap_fixed_velocity_note_dropout", **TINY)).eval()
    torch.nn.init.normal_(model.latent_mean.weight)
    examples = random_examples(processor)
    first, again, other = (evaluate_reconstruction(model, processor, examples, "mean", seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first["kl_divergence_bits"] != other["kl_divergence_bits"]


class Sampler:
    """Gives the same samples whenever asked."""

    device = torch.device("cpu")

    def __init__(self, samples):
        self.samples = torch.as_tensor(samples)

    def sample(self, num_samples, *arguments):
        return self.samples[:num_samples]


def test_samples_are_set_beside_the_data():
    data = np.zeros((16, 32), dtype=np.int64)
    data[:, ::2] = 41  # MIDI pitch 60
    samples = data.copy()
    samples[:, ::2] = np.arange(2, 18)[:, None]
    samples[1], samples[2] = samples[0], 0
    figures = evaluate_samples(Sampler(samples), MusicVAEProcessor(), data, 16)
    assert figures == {
        "in_range": 1.0,
        "non_empty": 15 / 16,
        "non_duplicate": 15 / 16,
        "onset_density": 15 / 32,
        "data_onset_density": 0.5,
        "pitch_mean": pytest.approx(21 + np.delete(samples[:, 0] - 2, 2).mean()),
        "data_pitch_mean": 60.0,
    }


def test_samples_of_a_trio_need_all_three_parts():
    processor = MusicVAEProcessor("trio", num_bars=2)
    samples = np.zeros((4, 32, 3), dtype=np.int64)
    samples[:, 0] = (41, 17, 1)
    samples[0, :, 2], samples[1, :, 1] = 0, 1  # no drums; a bass of note offs
    figures = evaluate_samples(Sampler(samples), processor, samples, 4)
    assert figures["non_empty"] == 0.5
    assert [figures["parts"][name]["non_empty"] for name in ("melody", "bass", "drums")] == [1.0, 0.75, 0.75]
    assert figures["parts"]["bass"]["pitch_mean"] == 36.0
    assert figures["onset_density"] == pytest.approx(10 / 12 / 32)


def test_samples_of_grooves_differ_by_their_hits():
    groove = steady_groove()
    groove[1, :, 9:18] *= 0.5
    figures = evaluate_samples(Sampler(groove), MusicVAEProcessor("groove"), groove, 2)
    assert figures["non_duplicate"] == 0.5
    assert figures["feel"] == figures["data_feel"]


@pytest.mark.parametrize(
    ("preset", "lengths"),
    [
        ("cat-mel_2bar_med_chords", {}),
        ("cat-drums_2bar_small", {}),
        ("nade-drums_2bar_reduced", {}),
        ("flat-trio_16bar", {}),
        ("hierdec-trio_16bar", {"decoder_level_lengths": [2, 16]}),
        ("hier-mel_16bar", {"encoder_level_lengths": [16, 2], "decoder_level_lengths": [2, 16]}),
        ("groovae_2bar_hits_control_tfds", {}),
    ],
)
def test_every_representation_is_measured(preset, lengths):
    torch.manual_seed(0)
    model = MusicVAEModel(MusicVAEConfig.from_preset(preset, max_sequence_length=32, **lengths, **TINY)).eval()
    processor = MusicVAEProcessor.from_preset(preset, num_bars=2)
    examples = random_examples(processor, 4)
    report = {
        "reconstruction": evaluate_reconstruction(model, processor, examples, batch_size=3),
        "samples": evaluate_samples(model, processor, examples, num_samples=3, batch_size=2),
        "interpolation": evaluate_interpolation(model, processor, examples, np.arange(4), 2, num_points=3),
    }
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["samples"]["in_range"] == 1.0
    assert report["reconstruction"]["kl_divergence_bits"] > 0


def test_interpolation_ends_where_the_examples_are():
    """A model that decodes the start up to the middle and the end from there on."""
    examples = np.zeros((2, 32), dtype=np.int64)
    examples[1, :8] = 5

    class Switch(Copyist):
        def encode(self, input_values, lengths, controls=None):
            self.mean = input_values[:, 0, [0, 5]]  # (1, 0) for the first, (0, 1) for the second
            return self

    model = Switch("cat-mel_2bar_small", torch.as_tensor(examples))
    figures = evaluate_interpolation(model, MusicVAEProcessor(), examples, np.array([0, 1]), 6, num_points=5)
    assert figures["num_pairs"] == 6
    assert figures["fractions"] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert figures["between_ends"] == 0.25
    assert figures["to_start"][:2] == figures["to_end"][3:] == [0.0, 0.0]
    assert figures["to_start"][3:] == figures["to_end"][:2] == [0.25, 0.25]
    assert figures["between_neighbours"] == pytest.approx(0.25 / 4)
    assert figures["mean_to_start"] == pytest.approx(np.mean(figures["to_start"]))


def test_pairs_are_of_different_files_and_every_example_may_come():
    file_index = np.array([4, 1, 1, 1, 7, 4])
    starts, ends = draw_pairs(file_index, 2000, np.random.default_rng(0))
    assert (file_index[starts] != file_index[ends]).all()
    for start in range(6):
        others = np.flatnonzero(file_index != file_index[start])
        assert sorted(set(ends[starts == start])) == others.tolist()


@pytest.mark.parametrize(("file_index", "num_pairs"), [(np.zeros(5, dtype=int), 3), (np.arange(5), 0)])
def test_without_pairs_there_is_no_interpolation(file_index, num_pairs):
    processor = MusicVAEProcessor()
    assert evaluate_interpolation(None, processor, random_examples(processor, 5), file_index, num_pairs) == {}


def test_the_command_line_reads_grooves_with_the_map_of_their_kit(tmp_path):
    folder, data = tmp_path / "model", tmp_path / "data"
    data.mkdir()
    for number in range(3):
        midi = pretty_midi.PrettyMIDI(initial_tempo=120.0)
        drums = pretty_midi.Instrument(0, is_drum=True)
        # 58 is a low tom of the Roland kit, and a crash by General MIDI
        drums.notes = [pretty_midi.Note(60 + beat + number, 58, beat * 0.5, beat * 0.5 + 0.1) for beat in range(16)]
        midi.instruments.append(drums)
        midi.write(str(data / f"{number}.mid"))
    torch.manual_seed(0)
    MusicVAEModel(MusicVAEConfig.from_preset("groovae_2bar_humanize", **TINY)).save_pretrained(folder)
    MusicVAEProcessor.from_preset("groovae_2bar_humanize").save_pretrained(folder)
    command = ["--model", str(folder), "--data", str(data), "--cache", str(tmp_path / "cache"), "--num-proc", "1"]
    command += ["--drum-map", "roland", "--num-samples", "5", "--num-interpolations", "2", "--max-examples", "4"]
    evaluate.main([*command, "--output", str(tmp_path / "metrics.json")])
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert report["drum_map"] == "roland"
    assert report["num_examples"] == 4
    assert report["num_parameters"] > 0
    assert report["interpolation"]["num_pairs"] == 2
    assert report["reconstruction"]["feel"]["data"]["velocity_mean"] > 60
