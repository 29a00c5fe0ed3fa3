"""Trios: which bars are read, which tracks go together, what is missing, and the way back to MIDI."""

import time

import numpy as np
import pretty_midi
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_models import MusicVAEProcessor
from hub_models.music_vae import NoExamplesError, NoteSequence, trios

from .conftest import make_midi, scale

PIANO, FLUTE, BASS = 0, 73, 33


@pytest.fixture(scope="module")
def processor() -> MusicVAEProcessor:
    return MusicVAEProcessor("trio", num_bars=4)


def bass_line(bars: range) -> list[tuple[int, float, float]]:
    """A note on the first beat of each bar (counted from 0), a different one in each."""
    return [(36 + bar % 7, 4.0 * bar, 4.0 * bar + 2) for bar in bars]


def beat(bars: range) -> list[tuple[int, float, float]]:
    """Kick and snare in turn."""
    return [(36 if n % 2 == 0 else 38, 4.0 * bar + n, 4.0 * bar + n + 0.25) for bar in bars for n in range(4)]


def tune(bars: range) -> list[tuple[int, float, float]]:
    return [note for note in scale(4 * bars.stop) if note[1] >= 4 * bars.start]


def band(*tracks: tuple[list, int | None], tempo: float = 120.0) -> pretty_midi.PrettyMIDI:
    """Tracks of (notes, program); program None: drums."""
    midi = make_midi([], tempo=tempo)
    midi.instruments = [
        make_midi(notes, tempo=tempo, program=program or 0, is_drum=program is None).instruments[0]
        for notes, program in tracks
    ]
    return midi


def trio(bars: int = 4, program: int = PIANO) -> pretty_midi.PrettyMIDI:
    whole = range(bars)
    return band((tune(whole), program), (bass_line(whole), BASS), (beat(whole), None))


@pytest.mark.parametrize("mode", ["musical", "original"])
def test_each_step_holds_melody_bass_and_drums(processor, mode):
    features = processor(trio(), mode=mode)
    labels = features["labels"]
    assert labels.shape == (1, 64, 3)
    assert labels[0, ::4, 0].tolist() == [pitch - 21 + 2 for pitch, _, _ in tune(range(4))]
    assert labels[0, ::16, 1].tolist() == [36 - 21 + 2, 37 - 21 + 2, 38 - 21 + 2, 39 - 21 + 2]
    assert labels[0, 8::16, 1].tolist() == [1, 1, 1, 1]
    assert labels[0, ::4, 2].tolist() == [1, 2] * 8
    inputs = features["input_values"]
    assert inputs.shape == (1, 64, 90 + 90 + 512)
    assert inputs.sum(dim=-1).eq(3).all()
    assert inputs[0, 4].nonzero().flatten().tolist() == [labels[0, 4, 0], 90 + 0, 180 + 2]


def test_windows_name_all_three_instruments(processor):
    midi = trio(6)
    midi.instruments[0].name = "Lead"
    features = processor(midi)
    assert [window.start_bar for window in features.windows] == [1, 2, 3]
    assert features.windows[0].instrument == "Lead, Electric Bass (finger), Drums"
    assert features.windows[1].start_seconds == 2.0


def test_every_melody_goes_with_every_bass(processor):
    whole = range(4)
    melodies = [([(pitch + shift, start, end) for pitch, start, end in tune(whole)], PIANO) for shift in (0, 2)]
    basses = [([(pitch + shift, start, end) for pitch, start, end in bass_line(whole)], BASS) for shift in (0, 3)]
    features = processor(band(*melodies, *basses, (beat(whole), None)))
    firsts = {(labels[0, 0].item(), labels[0, 1].item()) for labels in features["labels"]}
    assert firsts == {(melody, bass) for melody in (41, 43) for bass in (17, 20)}


def test_drum_tracks_are_joined_in_musical_mode_and_taken_one_by_one_in_original_mode(processor):
    whole = range(4)
    kicks = [note for note in beat(whole) if note[0] == 36]
    snares = [note for note in beat(whole) if note[0] == 38]
    midi = band((tune(whole), PIANO), (bass_line(whole), BASS), (kicks, None), (snares, None))
    assert torch.equal(processor(midi)["labels"], processor(trio())["labels"])
    labels = processor(midi, mode="original")["labels"]
    assert [set(drums.tolist()) for drums in labels[..., 2]] == [{0, 1}, {0, 2}]


def test_only_musical_mode_reads_other_melodies_than_those_of_programs_up_to_31(processor):
    flute = trio(program=FLUTE)
    assert torch.equal(processor(flute)["labels"], processor(trio())["labels"])
    with pytest.raises(NoExamplesError, match=r"program 73 is no part of a trio; melodies are 0-31, basses 32-39"):
        processor(flute, mode="original")


@pytest.mark.parametrize("mode", ["musical", "original"])
def test_an_instrument_may_rest_for_four_bars_but_not_for_five(processor, mode):
    """A bar counts where a note is at most two bars away."""
    whole = range(16)
    for rest, starts in ((4, 13), (5, 9)):
        bars = [bar for bar in whole if not 5 <= bar < 5 + rest]
        bass = [note for bar in bars for note in bass_line(range(bar, bar + 1))]
        midi = band((tune(whole), PIANO), (bass, BASS), (beat(whole), None))
        assert len(processor(midi, mode=mode)["labels"]) == starts


@pytest.mark.parametrize("mode", ["musical", "original"])
def test_at_the_ends_one_instrument_is_enough(processor, mode):
    """The drums alone begin and end the piece; with the two bars of grace that makes four bars at each end."""
    inner, drums = range(4, 12), [*beat(range(16)), (49, 63.0, 64.0)]
    midi = band((tune(inner), PIANO), (bass_line(inner), BASS), (drums, None))
    starts = [window.start_bar for window in processor(midi, mode=mode).windows]
    assert starts == list(range(1, 14))
    inner = range(5, 11)
    midi = band((tune(inner), PIANO), (bass_line(inner), BASS), (drums, None))
    starts = [window.start_bar for window in processor(midi, mode=mode).windows]
    assert starts == list(range(4, 11))


def test_repeats_are_dropped_in_musical_mode_and_kept_in_original_mode(processor):
    bar = [(60, 0, 1), (64, 1, 2), (67, 2, 3), (72, 3, 4)]
    whole = range(8)
    loop = [(pitch, start + 4 * n, end + 4 * n) for n in whole for pitch, start, end in bar]
    bass = [(36, 4 * n, 4 * n + 4) for n in whole]
    midi = band((loop, PIANO), (bass, BASS), (beat(whole), None))
    assert len(processor(midi)["labels"]) == 1
    assert len(processor(midi, mode="original")["labels"]) == 5


def test_a_short_trio_is_filled_up_in_musical_mode_only(processor):
    midi = trio(2)
    labels = processor(midi)["labels"]
    assert labels.shape == (1, 64, 3)
    assert torch.equal(labels[0, :32], processor(trio())["labels"][0, :32])
    assert not labels[0, 33:].any()
    with pytest.raises(NoExamplesError, match="play together for 2 bars; this model needs 4"):
        processor(midi, mode="original")


def test_of_a_piece_with_no_stretch_long_enough_the_longest_is_filled_up():
    processor = MusicVAEProcessor("trio", num_bars=16)
    whole, middle = range(24), range(10, 12)
    midi = band((tune(middle), PIANO), (bass_line(whole), BASS), (beat(whole), None))
    features = processor(midi)
    assert [window.start_bar for window in features.windows] == [9]
    labels = features["labels"][0]
    assert labels[:, 0].nonzero().min() == 2 * 16
    assert labels[: 6 * 16, 2].any()
    assert not labels[6 * 16 + 1 :].any()


@pytest.mark.parametrize("mode", ["musical", "original"])
def test_what_is_missing_is_said_and_what_there_is(processor, mode):
    whole = range(4)
    with pytest.raises(NoExamplesError, match=r"bars 1-4: no bass; a trio needs .* a bass \(32-39\) and drums, and here"):
        processor(band((tune(whole), PIANO), (beat(whole), None)), mode=mode)
    with pytest.raises(NoExamplesError, match=r"no bass and no drums; .* programs 0 \(Acoustic Grand Piano\)"):
        processor(band((tune(whole), PIANO)), mode=mode)
    with pytest.raises(NoExamplesError, match=r"no melody; .* programs 33 \(Electric Bass \(finger\)\) and drums"):
        processor(band((bass_line(whole), BASS), (beat(whole), None)), mode=mode)
    with pytest.raises(NoExamplesError, match=r"no melody and no bass; .* no pitched instruments and drums"):
        processor(band((beat(whole), None)), mode=mode)


@pytest.mark.parametrize("mode", ["musical", "original"])
def test_drums_of_unknown_pitches_are_no_drums(processor, mode):
    whole = range(4)
    shaken = [(110, start, end) for _, start, end in beat(whole)]
    with pytest.raises(NoExamplesError, match="no drums"):
        processor(band((tune(whole), PIANO), (bass_line(whole), BASS), (shaken, None)), mode=mode)


@pytest.mark.parametrize("mode", ["musical", "original"])
def test_other_metres_and_empty_files_are_refused(processor, mode):
    waltz = trio()
    waltz.time_signature_changes = [pretty_midi.TimeSignature(3, 4, 0.0)]
    with pytest.raises(NoExamplesError, match="the metre is 3/4"):
        processor(waltz, mode=mode)
    with pytest.raises(NoExamplesError, match="holds no notes; this model needs 4 bars of melody, bass and drums"):
        processor(make_midi([]), mode=mode)


@pytest.mark.parametrize("mode", ["musical", "original"])
def test_forty_minutes_of_thirty_tracks_do_not_explode(mode):
    bars = range(1000)
    rng = np.random.default_rng(0)
    tracks = []
    for number in range(30):
        start = np.repeat(np.array(bars) * 4.0, 2) + np.tile([0.0, 2.0], 1000)
        pitch = rng.integers(36, 80, size=2000)
        program = (PIANO, BASS, None)[number % 3]
        notes = [(36 if program is None else int(p), s, s + 1) for p, s in zip(pitch, start.tolist(), strict=True)]
        tracks.append((notes, program))
    notes = NoteSequence.from_pretty_midi(band(*tracks, tempo=100.0))
    processor = MusicVAEProcessor("trio", num_bars=16, mode=mode)
    began = time.process_time()
    found = processor.extract(notes)
    assert time.process_time() - began < 10
    assert 0 < len(found.examples) == len(found.origins) <= trios.MAX_WINDOWS
    limited = [rejection.reason for rejection in found.rejections if "too many trios" in rejection.reason]
    count = "1,000" if mode == "original" else "100"
    assert limited == [f"{count} combinations of tracks give too many trios; the first 20,000 are read"]


def test_pieces_of_more_than_an_hour_are_read_as_far_as_that_goes(processor):
    whole = range(1030)
    notes = NoteSequence.from_pretty_midi(band((tune(whole), PIANO), (bass_line(whole), BASS), (beat(whole), None)))
    found = processor.extract(notes, "original")
    assert len(found.examples) == 1024 - 4 + 1
    assert str(found.rejections[0]) == "bars 1-1030: only the first 1,024 bars are read"
    assert max(origin.start_quarter for origin in processor.extract(notes, "musical").origins) < 4 * 14 * 7
    assert not processor.extract(notes, "musical").rejections


def test_a_metre_too_short_for_a_step_holds_nothing(processor):
    midi = trio(6)
    metres = [(4, 4, 0.0), (2, 4, 8.0), (4, 4, 8.06)]
    midi.time_signature_changes = [pretty_midi.TimeSignature(*metre) for metre in metres]
    assert processor(midi).windows[0].start_bar == 1


def test_of_very_many_combinations_the_first_are_read(processor, monkeypatch):
    monkeypatch.setattr(trios, "MAX_COMBINATIONS", 10)
    whole = range(4)
    tracks = [(tune(whole), PIANO), (bass_line(whole), BASS), (beat(whole), None)]
    found = processor.extract(NoteSequence.from_pretty_midi(band(*tracks * 3)), "original")
    assert len(found.examples) == 10
    reason = "27 combinations of tracks give too many trios; the first 10 combinations are read"
    assert [rejection.reason for rejection in found.rejections] == [reason]


def test_a_trio_decodes_to_three_instruments(processor):
    sequence = torch.zeros(32, 3, dtype=torch.int64)
    sequence[0] = torch.tensor([41, 17, 3])
    sequence[8] = torch.tensor([1, 0, 0])
    midi = processor.decode(sequence, tempo=120.0, program=5, velocity=70)
    assert [(i.program, i.is_drum, i.name) for i in midi.instruments] == [
        (5, False, "Melody"),
        (33, False, "Bass"),
        (0, True, "Drums"),
    ]
    notes = [[(note.pitch, note.velocity, note.start, note.end) for note in i.notes] for i in midi.instruments]
    assert notes == [[(60, 70, 0.0, 1.0)], [(36, 70, 0.0, 4.0)], [(36, 70, 0.0, 0.125), (38, 70, 0.0, 0.125)]]
    assert len(processor.decode(sequence[None])) == 1


@pytest.mark.parametrize(
    "sequences",
    [
        torch.full((1, 64, 3), 90),
        torch.full((1, 64, 3), -1),
        torch.zeros(1, 64, 3),
        torch.zeros(1, 64, 2, dtype=torch.int64),
        torch.zeros(1, 0, 3, dtype=torch.int64),
        torch.zeros(64, dtype=torch.int64),
    ],
)
def test_other_sequences_are_refused(processor, sequences):
    with pytest.raises(ValueError, match="Sequences"):
        processor.features(sequences)
    with pytest.raises(ValueError, match="Sequences"):
        processor.decode(sequences)


def test_each_part_has_its_own_range(processor):
    sequence = torch.zeros(1, 64, 3, dtype=torch.int64)
    sequence[..., 2] = 511
    assert processor.features(sequence)["input_values"][0, 0, -1] == 1
    sequence[..., 2] = 512
    with pytest.raises(ValueError, match=r"Sequences of drums hold integers 0\.\.511"):
        processor.features(sequence)


def melodic_lines(num_bars: int) -> st.SearchStrategy[list[int]]:
    """Events in which something starts on every bar line, so that no bar is uncovered, and note offs only where a note
    sounds."""

    def tidy(events: list[int]) -> list[int]:
        sounding, result = False, []
        for step, event in enumerate(events):
            if step % 16 == 0 and event < 2:
                event = 40
            result.append(0 if event == 1 and not sounding else event)
            sounding = event >= 2 or (sounding and event != 1)
        return result

    events = st.sampled_from([0, 0, 0, 1, 2, 40, 41, 53, 89])
    return st.lists(events, min_size=16 * num_bars, max_size=16 * num_bars).map(tidy)


@settings(deadline=None, max_examples=40)
@given(
    melody=melodic_lines(4),
    bass=melodic_lines(4),
    drums=st.lists(st.integers(0, 511), min_size=64, max_size=64),
    tempo=st.sampled_from([40.0, 97.3, 120.0, 240.0]),
    mode=st.sampled_from(["musical", "original"]),
)
def test_trios_survive_the_round_trip(melody, bass, drums, tempo, mode):
    processor = MusicVAEProcessor("trio", num_bars=4)
    drums[::16] = [hits or 1 for hits in drums[::16]]
    sequence = torch.tensor([melody, bass, drums]).T
    midi = processor.decode(sequence, tempo=tempo)
    assert processor(midi, mode=mode)["labels"].tolist() == [sequence.tolist()]
