"""Grooves: what is read of drum tracks, what is taken away from them, and notes with feel."""

import io

import numpy as np
import pretty_midi
import pytest
import torch

from hub_models.music_vae.drum_maps import DRUM_MAPS
from hub_models.music_vae.grooves import (
    CORRUPTIONS,
    GroovesRepresentation,
    corrupt,
    drop_notes,
    fix_velocities,
    groove_from_grid,
    groove_from_taps,
    groove_notes,
    humanize,
    perform,
    remove_drums,
    split_parts,
    tap,
)
from hub_models.music_vae.note_sequence import NoteSequence

from .conftest import make_midi

KICK, SNARE, CLOSED, OPEN = 0, 1, 2, 3
NINE = [list(pitches) for pitches in DRUM_MAPS["nine"].values()]


def representation(num_bars: int = 2, **options) -> GroovesRepresentation:
    return GroovesRepresentation(num_bars, 4, NINE, **options)


def drums(notes: list[tuple[int, float, int]], tempo: float = 120.0, **options) -> NoteSequence:
    """(pitch, start in quarter notes, velocity) as one drum track."""
    midi = make_midi([(pitch, start, start + 0.1) for pitch, start, _ in notes], tempo, is_drum=True, **options)
    for note, (_, _, velocity) in zip(midi.instruments[0].notes, notes, strict=True):
        note.velocity = velocity
    return NoteSequence.from_pretty_midi(midi)


def two_tempi(notes: NoteSequence, quarter: float, tempo: float) -> NoteSequence:
    """The same notes in quarter notes, at another tempo from a quarter note on."""
    first = notes.tempos[0][2]
    change = quarter * 60 / first

    def seconds(quarters):
        return np.where(quarters < quarter, quarters * 60 / first, change + (quarters - quarter) * 60 / tempo)

    notes.start, notes.end = seconds(notes.start_quarter), seconds(notes.end_quarter)
    notes.tempos = [notes.tempos[0], (change, quarter, tempo)]
    return notes


def written_and_read(midi: pretty_midi.PrettyMIDI) -> NoteSequence:
    data = io.BytesIO()
    midi.write(data)
    data.seek(0)
    return NoteSequence.from_pretty_midi(pretty_midi.PrettyMIDI(data))


def beat(num_bars: int, velocity: int = 100) -> list[tuple[int, float, int]]:
    """Kick on 1 and 3, snare on 2 and 4, hats in eighths."""
    notes = [(42, quarter / 2, velocity - 40) for quarter in range(num_bars * 8)]
    return sorted(notes + [(36 if quarter % 2 == 0 else 38, float(quarter), velocity) for quarter in range(num_bars * 4)])


@pytest.fixture
def grooves() -> np.ndarray:
    """Eight random grooves (8, 32, 27), with velocities and offsets only where there is a hit."""
    rng = np.random.default_rng(0)
    hits = (rng.random((8, 32, 9)) < 0.2).astype(float)
    return np.concatenate([hits, hits * rng.uniform(0.1, 1, hits.shape), hits * rng.uniform(-1, 1, hits.shape)], axis=-1)


class TestExtraction:
    @pytest.mark.parametrize("mode", ["original", "musical"])
    def test_hits_velocities_and_offsets_are_those_of_the_notes(self, mode):
        # An eighth of a step late, and a quarter of a step early.
        notes = drums([(36, 0.0, 127), (38, 1 + 1 / 32, 64), (36, 2 - 1 / 16, 100), (38, 7.75, 10)], tempo=100)
        (groove,) = representation().extract(notes, mode).examples
        hits, velocities, offsets = split_parts(groove)
        assert set(zip(*np.nonzero(hits), strict=True)) == {(0, KICK), (4, SNARE), (8, KICK), (31, SNARE)}
        np.testing.assert_allclose(
            velocities[[0, 4, 8, 31], [KICK, SNARE, KICK, SNARE]] * 127, [127, 64, 100, 10], rtol=1e-6
        )
        np.testing.assert_allclose(offsets[[0, 4, 8, 31], [KICK, SNARE, KICK, SNARE]], [0, -0.25, 0.5, 0], atol=1e-6)
        assert not velocities[hits == 0].any()
        assert not offsets[hits == 0].any()

    @pytest.mark.parametrize("mode", ["original", "musical"])
    def test_of_several_notes_in_one_place_the_loudest_counts_and_of_equals_the_first(self, mode):
        notes = drums([(36, 0.0, 50), (35, 0.05, 90), (36, 0.1, 90), (38, 7.0, 80)])
        (groove,) = representation().extract(notes, mode).examples
        _, velocities, offsets = split_parts(groove)
        assert velocities[0, KICK] == pytest.approx(90 / 127)
        assert offsets[0, KICK] == pytest.approx(-2 * 0.05 * 4)

    def test_a_note_half_way_between_two_steps_belongs_to_the_later_one(self):
        notes = drums([(36, 0.125, 90), (38, 7.0, 80)])
        for mode in ("original", "musical"):
            (groove,) = representation().extract(notes, mode).examples
            assert groove[1, KICK] == 1
            assert split_parts(groove)[2][1, KICK] == pytest.approx(1)

    def test_original_windows_follow_each_other_and_what_is_left_over_is_dropped(self):
        found = representation().extract(drums(beat(5)), "original")
        assert found.examples.shape == (2, 32, 27)
        assert found.examples.dtype == np.float64
        assert [origin.start_quarter for origin in found.origins] == [0.0, 8.0]

    def test_the_length_is_rounded_up_to_bars_from_the_last_start(self):
        # 4 - 1/16: rounds to the first step of bar 2, so that there are two bars.
        assert len(representation().extract(drums([(36, 0.0, 9), (36, 4 - 1 / 16, 9)]), "original").examples) == 1
        assert len(representation().extract(drums([(36, 0.0, 9), (36, 3.75, 9)]), "original").examples) == 0

    def test_musical_windows_start_at_every_bar_and_none_is_silent(self):
        late = [(pitch, start + 4, velocity) for pitch, start, velocity in beat(1)]
        late += [(46, 22.0, 99)]  # bar 6, after three bars of rest
        found = representation().extract(drums(late), "musical")
        assert [origin.start_quarter for origin in found.origins] == [4.0, 16.0]
        assert all(example.any() for example in found.examples)

    def test_musical_windows_that_repeat_are_found_once(self):
        assert len(representation().extract(drums(beat(16)), "musical").examples) == 1

    def test_a_short_clip_is_filled_up_with_silence(self):
        (groove,) = representation().extract(drums(beat(1)), "musical").examples
        assert groove[:16, :9].any()
        assert not groove[16:].any()
        found = representation().extract(drums(beat(1)), "original")
        assert not len(found.examples)
        assert "shorter than 2 bars" in str(found.rejections[0])

    def test_tempo_changes_do_not_matter_along_the_tempo_map(self):
        plain, changed = drums(beat(2)), two_tempi(drums(beat(2)), 3.0, 61.0)
        ours = representation().extract(changed, "musical").examples
        np.testing.assert_allclose(ours, representation().extract(plain, "musical").examples, atol=1e-5)

    def test_in_mode_original_several_tempi_give_nothing_and_are_named(self):
        found = representation().extract(two_tempi(drums(beat(4)), 4.0, 61.0), "original")
        assert found.examples.shape == (0, 32, 27)
        (rejection,) = found.rejections
        assert "120 from bar 1, 61 from bar 2" in rejection.reason
        assert "bars 1-4" in rejection.where

    @pytest.mark.parametrize(("metre", "named"), [((3, 4), "3/4 from bar 1"), ((6, 8), "6/8 from bar 1")])
    def test_other_metres_give_nothing_and_are_named(self, metre, named):
        for mode, text in (("original", named), ("musical", f"{metre[0]}/{metre[1]}")):
            found = representation().extract(drums(beat(4), metre=metre), mode)
            assert not len(found.examples)
            assert text in found.rejections[0].reason

    def test_in_mode_original_a_change_of_metre_gives_nothing(self):
        notes = drums(beat(4))
        notes.time_signatures = [*notes.time_signatures, (4.0, 8.0, 3, 4)]
        found = representation().extract(notes, "original")
        assert not len(found.examples)
        assert "4/4 from bar 1, 3/4 from bar 3" in found.rejections[0].reason

    def test_in_mode_original_a_late_first_metre_is_a_change_from_4_4(self):
        notes = drums(beat(4))
        notes.time_signatures = [(4.0, 8.0, 2, 2)]
        assert not len(representation().extract(notes, "original").examples)
        notes.time_signatures = [(4.0, 8.0, 4, 4)]
        assert len(representation().extract(notes, "original").examples) == 2

    def test_unknown_pitches_are_left_out_and_counted(self):
        notes = drums([*beat(2), (100, 0.0, 9), (101, 1.0, 9), (100, 2.0, 9)])
        found = representation().extract(notes, "musical")
        np.testing.assert_array_equal(found.examples, representation().extract(drums(beat(2)), "musical").examples)
        assert "3 notes of no drum class (MIDI pitches 100, 101)" in found.rejections[0].reason
        found = representation().extract(notes, "original")
        assert not len(found.examples)
        assert "100, 101" in found.rejections[0].reason

    def test_music_without_drums_is_rejected_by_name_but_mode_original_reads_every_instrument(self):
        notes = drums(beat(2))
        notes.is_drum[:] = False
        found = representation().extract(notes, "musical")
        assert not len(found.examples)
        assert "not a drum track" in found.rejections[0].reason
        assert len(representation().extract(notes, "original").examples) == 1

    def test_an_empty_file_gives_nothing(self):
        for mode in ("original", "musical"):
            assert not len(representation().extract(drums([]), mode).examples)


class TestRhythm:
    def test_every_note_of_any_instrument_is_a_tap(self):
        melody = NoteSequence.from_pretty_midi(make_midi([(60, 0.0, 1), (127, 1.5, 2), (64, 5 + 1 / 32, 6)]))
        found = representation().extract_rhythm(melody)
        hits, _, offsets = split_parts(found.examples[0])
        assert list(zip(*np.nonzero(hits), strict=True)) == [(0, OPEN), (6, OPEN), (20, OPEN)]
        assert offsets[20, OPEN] == pytest.approx(-0.25, abs=1e-6)
        assert not found.rejections

    def test_it_is_the_tap_of_a_drum_track(self):
        notes = drums([(36, 0.0, 90), (42, 0.0, 60), (38, 1.0, 70), (100, 6.0, 5)])
        known = notes.select(notes.pitch < 100)
        tapped = tap(representation().extract(known, "musical").examples)
        rhythm = representation().extract_rhythm(known).examples
        np.testing.assert_array_equal(rhythm, tapped)
        assert representation().extract_rhythm(notes).examples[0, 24, OPEN] == 1


class TestCorruptions:
    def test_tap_keeps_the_loudest_hit_of_each_step(self, grooves):
        tapped = tap(grooves)
        hits, velocities, offsets = split_parts(tapped)
        np.testing.assert_array_equal(hits[..., OPEN], split_parts(grooves)[0].max(axis=-1))
        np.testing.assert_array_equal(velocities[..., OPEN], split_parts(grooves)[1].max(axis=-1))
        assert np.isin(offsets[..., OPEN], split_parts(grooves)[2]).all()
        assert not np.delete(np.stack([hits, velocities, offsets]), OPEN, axis=-1).any()
        np.testing.assert_array_equal(tap(tapped), tapped)

    def test_humanize_leaves_the_hits(self, grooves):
        hits, velocities, offsets = split_parts(humanize(grooves))
        np.testing.assert_array_equal(hits, split_parts(grooves)[0])
        assert not velocities.any()
        assert not offsets.any()

    def test_fixed_velocities_leave_hits_and_offsets(self, grooves):
        hits, velocities, offsets = split_parts(fix_velocities(grooves))
        np.testing.assert_array_equal(hits, split_parts(grooves)[0])
        np.testing.assert_array_equal(offsets, split_parts(grooves)[2])
        assert not velocities.any()

    def test_add_closed_hi_hat_takes_away_that_class_alone(self, grooves):
        for ours, whole in zip(split_parts(remove_drums(grooves)), split_parts(grooves), strict=True):
            assert not ours[..., CLOSED].any()
            np.testing.assert_array_equal(np.delete(ours, CLOSED, axis=-1), np.delete(whole, CLOSED, axis=-1))

    def test_note_dropout_silences_quiet_notes_more_often(self):
        loud, quiet = (
            np.concatenate([np.ones((2000, 1, 9)), np.full((2000, 1, 9), v), np.ones((2000, 1, 9))], -1) for v in (0.9, 0.1)
        )
        shares = [(split_parts(drop_notes(g, np.random.default_rng(1)))[1] == 0).mean() for g in (loud, quiet)]
        # The mean strength is 0.4; the weights are 0.2 and 0.9.
        np.testing.assert_allclose(shares, [0.08, 0.36], atol=0.02)

    def test_note_dropout_silences_velocities_only(self, grooves):
        hits, _, offsets = split_parts(drop_notes(grooves, np.random.default_rng(0)))
        np.testing.assert_array_equal(hits, split_parts(grooves)[0])
        np.testing.assert_array_equal(offsets, split_parts(grooves)[2])

    def test_note_dropout_is_fresh_each_time_and_repeats_with_its_seed(self, grooves):
        rng = np.random.default_rng(5)
        first, second = corrupt(grooves, ["note_dropout"], rng), corrupt(grooves, ["note_dropout"], rng)
        again = corrupt(grooves, ["note_dropout"], np.random.default_rng(5))
        assert (first != second).any()
        np.testing.assert_array_equal(first, again)
        np.testing.assert_array_equal(corrupt(grooves, ["note_dropout"]), grooves)

    def test_the_order_in_which_corruptions_are_named_does_not_matter(self, grooves):
        forwards, backwards = (
            corrupt(grooves, names, np.random.default_rng(2)) for names in (CORRUPTIONS, CORRUPTIONS[::-1])
        )
        np.testing.assert_array_equal(forwards, backwards)

    @pytest.mark.parametrize("name", CORRUPTIONS)
    def test_what_is_given_stays_as_it_is(self, grooves, name):
        before = grooves.copy()
        corrupt(grooves, [name], np.random.default_rng(0))
        np.testing.assert_array_equal(grooves, before)

    def test_unknown_corruptions_are_named(self, grooves):
        with pytest.raises(ValueError, match=r"swing"):
            corrupt(grooves, ["swing"])
        with pytest.raises(ValueError, match=r"swing"):
            representation(corruptions=["tap", "swing"])


class TestFeatures:
    def test_labels_are_complete_and_inputs_corrupted(self, grooves):
        features = representation(corruptions=["humanize"]).features(grooves)
        assert {name: tuple(value.shape) for name, value in features.items()} == {
            "input_values": (8, 32, 27),
            "labels": (8, 32, 27),
            "lengths": (8,),
        }
        assert features["input_values"].dtype == features["labels"].dtype == torch.float32
        np.testing.assert_allclose(features["labels"], grooves, atol=1e-7)
        np.testing.assert_allclose(features["input_values"], humanize(grooves), atol=1e-7)
        assert features["lengths"].tolist() == [32] * 8

    def test_hits_are_the_controls(self, grooves):
        ours = representation(hits_control=True)
        assert ours.control_size == 9
        np.testing.assert_array_equal(ours.features(grooves)["controls"], split_parts(grooves)[0])
        assert "controls" not in representation().features(grooves)

    def test_notes_drop_only_with_a_generator(self, grooves):
        ours = representation(corruptions=["note_dropout"])
        assert torch.equal(ours.features(grooves)["input_values"], ours.features(grooves)["labels"])
        first, again = (ours.features(grooves, np.random.default_rng(3))["input_values"] for _ in range(2))
        assert torch.equal(first, again)
        assert not torch.equal(first, ours.features(grooves)["labels"])

    def test_inputs_and_labels_share_no_memory(self, grooves):
        features = representation().features(grooves)
        features["input_values"][:] = 7
        assert features["labels"].max() <= 1

    @pytest.mark.parametrize("column", [0, 9, 18])
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.1, 1.1])
    def test_numbers_out_of_range_are_refused(self, grooves, column, value):
        grooves[0, 0, column] = value
        with pytest.raises(ValueError, match=r"^Sequences of grooves hold (hits|velocities|offsets)"):
            representation().features(grooves)

    @pytest.mark.parametrize("shape", [(32, 27), (1, 32, 26), (0, 32, 27), (1, 0, 27)])
    def test_other_shapes_are_refused(self, shape):
        with pytest.raises(ValueError, match=r"^Sequences"):
            representation().features(np.zeros(shape))


class TestNotes:
    def test_a_groove_survives_the_way_to_midi_and_back(self, grooves):
        groove = np.round(grooves[0], 2)
        hits, velocities, offsets = split_parts(groove)
        velocities[:] = np.round(velocities * 127) / 127
        offsets[0] = np.minimum(offsets[0], 0)  # nothing can start before the file
        offsets *= 0.98  # half a step early and late are the same place
        midi = pretty_midi.PrettyMIDI(resolution=9600, initial_tempo=75)
        midi.instruments = representation().instruments(groove, 60 / 75 / 4)
        (back,) = representation().extract(written_and_read(midi), "musical").examples
        np.testing.assert_array_equal(back[:, :9], hits)
        np.testing.assert_allclose(back, groove, atol=2e-3)

    def test_notes_are_hits_of_more_than_a_half_with_their_velocity_and_time(self):
        groove = np.zeros((4, 27))
        groove[1, [KICK, SNARE, CLOSED]] = 0.51, 0.5, 1.0
        groove[1, [9 + KICK, 9 + CLOSED]] = 0.5, 3.0
        groove[1, [18 + KICK, 18 + CLOSED]] = 0.5, -7.0
        pitches = representation().output_pitches
        assert groove_notes(groove, pitches) == [(36, 64, 0.75, 1.75), (42, 127, 1.5, 2.5)]

    def test_an_early_first_hit_starts_before_0_and_is_found_again_on_the_first_step(self):
        groove = np.zeros((32, 27))
        groove[0, [KICK, 9 + KICK, 18 + KICK]] = 1, 1, 0.5
        midi = pretty_midi.PrettyMIDI()
        midi.instruments = representation().instruments(groove, 0.1)
        assert [(note.start, note.end) for note in midi.instruments[0].notes] == [(-0.025, pytest.approx(0.075))]
        for notes in (NoteSequence.from_pretty_midi(midi), written_and_read(midi)):
            (back,) = representation().extract(notes, "musical").examples
            assert back[0, KICK] == back[0, 9 + KICK] == back[..., :9].sum() == 1


class TestTaps:
    def test_taps_lie_in_the_tap_class_with_velocity_and_offset(self):
        # At 150 a step lasts 0.1 s.
        groove = groove_from_taps([-0.02, 0.43, 0.81], [127, 64, 1], tempo=150)
        assert groove.shape == (1, 32, 27)
        assert groove.dtype == np.float32
        hits, velocities, offsets = split_parts(groove[0])
        assert list(zip(*np.nonzero(hits), strict=True)) == [(0, OPEN), (4, OPEN), (8, OPEN)]
        np.testing.assert_allclose(velocities[[0, 4, 8], OPEN] * 127, [127, 64, 1], rtol=1e-6)
        np.testing.assert_allclose(offsets[[0, 4, 8], OPEN], [0.4, -0.6, -0.2], atol=1e-6)
        np.testing.assert_array_equal(tap(groove), groove)

    def test_taps_need_no_velocities_and_may_last_longer(self):
        groove = groove_from_taps([0.0, 0.5], None, tempo=120, num_bars=4)
        assert groove.shape == (1, 64, 27)
        assert split_parts(groove)[1].max() > 0.5

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([], [], 120), "at least one tap"),
            (([0.0, 1.0], [64], 120), "one velocity per tap: got 1 for 2"),
            (([float("nan")], None, 120), "finite"),
            (([float("inf")], None, 120), "finite"),
            (([0.0], [128], 120), r"0\.\.127"),
            (([0.0], [float("nan")], 120), r"0\.\.127"),
            (([0.0], None, 0), "tempo must be between 10 and 1000"),
            (([0.0], None, float("nan")), "tempo must be between 10 and 1000"),
            (([0.0], None, 120, 0), "num_bars"),
            (([0.0, -0.1], None, 120), r"1 of 2 taps lie outside the 2 bars, the first at -0\.100 s"),
            (([0.0, 3.99], None, 120), r"last from -0\.062 to 3\.938 s"),
        ],
    )
    def test_impossible_taps_are_refused(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            groove_from_taps(*arguments)


class TestGrid:
    def test_a_drawn_grid_is_a_groove_on_the_beat(self):
        hits = np.zeros((32, 9), dtype=bool)
        hits[[0, 8], [KICK, SNARE]] = True
        groove = groove_from_grid(hits)
        assert groove.shape == (1, 32, 27)
        np.testing.assert_array_equal(groove[0, :, :9], hits)
        assert not split_parts(groove)[2].any()
        velocities = np.full((32, 9), 127)
        assert split_parts(groove_from_grid(hits, velocities))[1].sum() == 2
        assert representation(corruptions=["humanize"]).features(groove)["input_values"].sum() == 2

    @pytest.mark.parametrize(
        ("hits", "velocities", "message"),
        [
            (np.zeros((32, 8)), None, r"\(steps, 9\)"),
            (np.zeros((0, 9)), None, r"\(steps, 9\)"),
            (np.full((32, 9), 0.5), None, "0 or 1"),
            (np.full((32, 9), np.nan), None, "0 or 1"),
            (np.ones((32, 9)), np.ones((16, 9)), "shape of hits"),
            (np.ones((32, 9)), np.full((32, 9), 128), r"0\.\.127"),
        ],
    )
    def test_impossible_grids_are_refused(self, hits, velocities, message):
        with pytest.raises(ValueError, match=message):
            groove_from_grid(hits, velocities)


def test_classes_without_pitches_are_refused():
    with pytest.raises(ValueError, match="drum_classes"):
        GroovesRepresentation(2, 4, [[36], [38]])
    with pytest.raises(ValueError, match="drum_classes"):
        GroovesRepresentation(2, 4, [*NINE[:8], []])


def test_perform_keeps_notes_of_different_places_apart():
    groove = perform(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([127, 0, 127]), np.array([0.0, 0.1, 1.0]), 2)
    assert groove[:, :9].sum() == 3
    assert groove[0, 10] == 0
    assert groove[1, 18] == 1
