"""MIDI becomes sound to train a vocoder on: varied, reproducible, and complete after an interruption."""

import csv

import numpy as np
import pretty_midi
import pytest
import soundfile

from hub_models.wavegrad import render_midi
from hub_models.wavegrad.render_midi import (
    NothingToRenderError,
    Variation,
    cut_excerpt,
    main,
    render_excerpt,
    soundfont_presets,
    transpose,
    vary_instruments,
)

STILL = Variation(seconds=4.0, change_instruments=0.0, transpose=0, tempo=(1.0, 1.0), peak_db=(-6.0, -6.0))


def instrument(program, notes, is_drum=False):
    """Notes as (pitch, start, end)."""
    part = pretty_midi.Instrument(program, is_drum)
    part.notes = [pretty_midi.Note(90, pitch, start, end) for pitch, start, end in notes]
    return part


def piece(seconds=8.0, *, programs=(0, 33), drums=True):
    """A line of half seconds for each program, and drums."""
    times = np.arange(0, seconds, 0.5)
    midi = pretty_midi.PrettyMIDI()
    for number, program in enumerate(programs):
        line = [(48 + 12 * number + int(2 * t) % 7, t, t + 0.45) for t in times]
        midi.instruments.append(instrument(program, line))
    if drums:
        midi.instruments.append(instrument(0, [(36, t, t + 0.1) for t in times], is_drum=True))
    return midi


def write(folder, name, midi):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    midi.write(str(path))
    return path


@pytest.fixture
def songs(tmp_path):
    """Songs in two subfolders and their splits; one file is broken, one empty, one too short."""
    folder = tmp_path / "songs"
    rows = ["file,split"]
    for number in range(6):
        name = f"{'ab'[number % 2]}/song{number}.mid"
        write(folder, name, piece(5.0 + number, programs=(number * 8,)))
        rows.append(f"{name},{'validation' if number == 5 else 'train'}")
    (folder / "a/broken.mid").write_bytes(b"MThd nothing")
    write(folder, "a/empty.mid", pretty_midi.PrettyMIDI())
    write(folder, "b/short.mid", piece(0.5))
    rows += ["a/broken.mid,train", "a/empty.mid,train", "b/short.mid,train"]
    (tmp_path / "splits.csv").write_text("\n".join(rows) + "\n")
    return folder


def command(songs, output, *more, hours="0.01"):
    options = ["--midi", songs, "--splits", songs.parent / "splits.csv", "--output", output, "--hours", hours]
    return [*map(str, options), "--validation-share", "0.2", "--seconds", "4", *more]


def listed(output):
    with (output / "splits.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def sounds(output):
    return {str(path.relative_to(output)): path.read_bytes() for path in sorted(output.rglob("*.flac"))}


def test_the_asked_amount_is_rendered_and_listed_with_the_splits_of_the_songs(songs, tmp_path, capsys):
    output = tmp_path / "sound"
    main(command(songs, output, "--licence", "songs=CC0-1.0", "songs/b=MIT"))
    rows = listed(output)
    assert tuple(rows[0]) == ("file", "split", "kind", "source", "seconds", "licence")
    assert {row["file"] for row in rows} == set(sounds(output))
    for split, wanted in (("train", 36.0), ("validation", 7.2)):
        seconds = [float(row["seconds"]) for row in rows if row["split"] == split]
        assert wanted <= sum(seconds) < wanted + 4
        assert max(seconds) <= 4
    for row in rows:
        information = soundfile.info(output / row["file"])
        assert (information.samplerate, information.channels) == (22_050, 1)
        assert (information.format, information.subtype) == ("FLAC", "PCM_16")
        assert information.duration == pytest.approx(float(row["seconds"]), abs=0.01)
        assert row["file"].startswith(row["split"] + "/")
        assert (row["split"] == "validation") == (row["source"] == "songs/b/song5.mid")
        assert row["kind"] == "rendered"
        assert row["licence"] == ("MIT" if row["source"].startswith("songs/b/") else "CC0-1.0")
    assert {row["source"].split("/")[1] for row in rows if row["split"] == "train"} == {"a", "b"}
    printed = capsys.readouterr().out
    assert "songs, train: " in printed
    assert "passed over: " in printed


def test_pieces_without_sound_to_cut_are_counted_with_the_reason(songs, tmp_path, capsys):
    main(command(songs, tmp_path / "sound", hours="0.05"))
    printed = capsys.readouterr().out
    for problem in ("broken: ", "no notes", "shorter than 2.5 seconds"):
        assert f"passed over: {problem}" in printed
    sources = {row["source"] for row in listed(tmp_path / "sound")}
    assert not sources & {f"songs/{name}.mid" for name in ("a/broken", "a/empty", "b/short")}


def test_nothing_but_broken_files_ends_instead_of_going_on_for_ever(tmp_path, capsys):
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs/broken.mid").write_bytes(b"no music")
    main(["--midi", str(tmp_path / "songs"), "--output", str(tmp_path / "sound"), "--hours", "1"])
    assert "gave up after 50 failures in a row" in capsys.readouterr().out
    assert listed(tmp_path / "sound") == []


def test_the_same_seed_gives_the_same_files_whatever_the_number_of_processes(songs, tmp_path):
    main(command(songs, tmp_path / "one"))
    main(command(songs, tmp_path / "two", "--num-proc", "2"))
    main(command(songs, tmp_path / "other", "--seed", "1"))
    assert sounds(tmp_path / "one") == sounds(tmp_path / "two")
    assert listed(tmp_path / "one") == listed(tmp_path / "two")
    assert sounds(tmp_path / "one") != sounds(tmp_path / "other")


def test_a_second_start_keeps_what_there_is_and_adds_what_is_missing(songs, tmp_path, monkeypatch):
    output = tmp_path / "sound"
    main(command(songs, output))
    before, rows = sounds(output), listed(output)
    lost = sorted(before)[1]
    (output / lost).unlink()
    (output / "splits.csv").unlink()
    rendered = []
    monkeypatch.setattr(
        render_midi, "render_excerpt", lambda source, *rest: rendered.append(source) or render_excerpt(source, *rest)
    )
    main(command(songs, output))
    assert sounds(output) == before
    assert listed(output) == rows
    usable = [source for source in rendered if "song" in source.rpartition("/")[2]]  # the others give nothing each time
    assert len(usable) == 1
    main(command(songs, output, hours="0.02"))
    assert before.items() <= sounds(output).items()
    assert len(sounds(output)) > len(before)


def test_a_folder_begun_with_other_settings_is_refused(songs, tmp_path):
    main(command(songs, tmp_path / "sound", hours="0.002"))
    with pytest.raises(ValueError, match="other settings \\(seed\\)"):
        main(command(songs, tmp_path / "sound", "--seed", "1"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--shares", "1", "2"], "--shares needs one number per --midi folder"),
        (["--licence", "MIT"], "write FOLDER=TEXT"),
        (["--hours", "0"], "--hours must be above 0"),
        (["--change-instruments", "2"], "0 to 1"),
        (["--soundfont", "nowhere.sf2"], "there is no such file"),
    ],
)
def test_options_that_make_no_sense_are_refused(songs, tmp_path, capsys, more, message):
    with pytest.raises(SystemExit):
        main(command(songs, tmp_path / "sound", *more))
    assert message in capsys.readouterr().err


def test_an_excerpt_is_as_long_as_asked_and_its_peak_as_loud(tmp_path):
    path = write(tmp_path, "song.mid", piece(20.0))
    audio = render_excerpt(path, np.random.default_rng(0), 22_050, STILL)
    assert audio.shape == (4 * 22_050,)
    assert audio.dtype == np.float32
    assert np.abs(audio).max() == pytest.approx(10 ** (-6 / 20), rel=1e-4)


def test_an_excerpt_does_not_begin_in_a_gap():
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(instrument(0, [(60, 100.0, 101.0), (64, 150.0, 151.0)]))
    for seed in range(20):
        excerpt = cut_excerpt(midi, STILL, np.random.default_rng(seed))
        assert [note.start for note in excerpt.instruments[0].notes] == [0]
        assert excerpt.get_end_time() <= 1


def test_notes_that_sound_across_the_beginning_are_held_but_drums_are_not_struck_again():
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(instrument(0, [(60, 0.0, 10.0)]))
    midi.instruments.append(instrument(0, [(36, 0.0, 10.0)], is_drum=True))
    excerpt = cut_excerpt(midi, STILL, np.random.default_rng(0))
    (held,) = excerpt.instruments
    assert not held.is_drum
    assert [(note.start, note.end) for note in held.notes] == [(0, pytest.approx(4))]


def test_a_faster_tempo_takes_more_of_the_piece():
    counts = [
        sum(len(part.notes) for part in cut_excerpt(piece(40.0), variation, np.random.default_rng(0)).instruments)
        for variation in (Variation(seconds=8.0, tempo=(speed, speed)) for speed in (0.8, 1.25))
    ]
    assert counts[1] == pytest.approx(counts[0] * 1.25 / 0.8, rel=0.1)


def test_a_piece_without_notes_or_too_short_gives_nothing():
    with pytest.raises(NothingToRenderError, match="no notes"):
        cut_excerpt(pretty_midi.PrettyMIDI(), STILL, np.random.default_rng(0))
    with pytest.raises(NothingToRenderError, match=r"shorter than 2\.5 seconds"):
        cut_excerpt(piece(1.0), STILL, np.random.default_rng(0))


def test_instruments_change_within_what_is_plausible_and_in_the_soundfont():
    presets = soundfont_presets()
    chords = [(pitch, t, t + 1) for t in range(8) for pitch in (60, 64, 67)]
    programs = {"bass": set(), "chords": set(), "line": set(), "drums": set()}
    for seed in range(60):
        midi = piece(8.0, programs=(33, 73))
        midi.instruments += [instrument(0, chords), instrument(118, chords)]
        vary_instruments(midi, presets, np.random.default_rng(seed))
        bass, line, drums, block, percussion = (part.program for part in midi.instruments)
        for name, program in zip(("bass", "line", "drums", "chords"), (bass, line, drums, block), strict=True):
            programs[name].add(program)
        assert percussion == 118
    assert programs["bass"] <= set(range(32, 40))
    assert all((128, program) in presets for program in programs["drums"])
    assert not programs["chords"] & {*range(32, 40), 40, 56, 73}  # no bass, violin, trumpet, flute plays chords
    assert not programs["line"] & {*range(32, 40), 48, 88}
    assert all(len(found) > 3 for found in programs.values())


def test_transposition_moves_all_but_drums_and_stays_in_range():
    midi = pretty_midi.PrettyMIDI()
    midi.instruments.append(instrument(0, [(60, 0, 1), (126, 0, 1)]))
    midi.instruments.append(instrument(0, [(36, 0, 1)], is_drum=True))
    transpose(midi, 3)
    assert [note.pitch for part in midi.instruments for note in part.notes] == [63, 117, 36]


def test_a_file_that_is_no_soundfont_is_named(tmp_path):
    (tmp_path / "piano.sf2").write_bytes(b"RIFF0000WAVE")
    with pytest.raises(ValueError, match=r"piano\.sf2 is not a SoundFont 2 file"):
        soundfont_presets(tmp_path / "piano.sf2")


def test_the_default_soundfont_has_the_general_midi_set_and_drum_kits():
    presets = soundfont_presets()
    assert {(0, program) for program in range(128)} <= presets
    assert (128, 0) in presets
