"""The songs that jukebox-tiny learns from: labels, words and their times are true; the same seed gives the same files."""

import json
import shutil
import zipfile

import numpy as np
import pretty_midi
import pytest
import soundfile

from hub_models.jukebox import example_songs, example_songs_voice
from hub_models.jukebox.example_songs import main, plan
from hub_models.jukebox.example_songs_lead_sheets import LeadSheetError, read_lead_sheet
from hub_models.jukebox.example_songs_music import (
    BAND,
    SOLO_ARTISTS,
    arrange,
    excerpt_of,
    play,
    read_lead_sheet_tune,
    read_midi_tune,
    thin,
)
from hub_models.jukebox.example_songs_sources import find_pieces, is_folk
from hub_models.jukebox.example_songs_voice import (
    BEAT_SECONDS,
    NURSERY_RHYMES,
    SYLLABLES,
    VOCABULARY,
    VOICES,
    SpeechError,
    fundamental,
    random_lyrics,
    random_syllables,
    say_lyrics,
    spoken_word,
    sung_syllable,
)
from hub_models.training import NoTrainingDataError
from hub_models.wavegrad.render_midi import NothingToRenderError

RATE = 22_050
needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="espeak-ng is not installed: apt-get install espeak-ng"
)


def song(seconds=40.0, shift=0):
    """A melody of half seconds over chords of a second, in the layout of POP909."""
    midi = pretty_midi.PrettyMIDI(initial_tempo=120)
    melody, piano = pretty_midi.Instrument(0, name="MELODY"), pretty_midi.Instrument(0, name="PIANO")
    for number, start in enumerate(np.arange(0, seconds, 0.5)):
        melody.notes.append(pretty_midi.Note(90, 60 + shift + number % 5, start, start + 0.45))
    for start in np.arange(0, seconds, 1.0):
        piano.notes += [pretty_midi.Note(70, pitch + shift, start, start + 0.9) for pitch in (36, 48, 52, 55, 60)]
    midi.instruments = [melody, piano]
    return midi


def drum_performance(seconds=40.0):
    midi = pretty_midi.PrettyMIDI()
    drums = pretty_midi.Instrument(0, is_drum=True)
    for number, start in enumerate(np.arange(0, seconds, 0.25)):
        drums.notes.append(pretty_midi.Note(100, (36, 42, 38, 42)[number % 4], start, start + 0.1))
    midi.instruments = [drums]
    return midi


def note_xml(step, duration, tie=""):
    ties = "".join(f'<tie type="{kind}"/>' for kind in tie.split())
    return f"<note><pitch><step>{step}</step><octave>4</octave></pitch><duration>{duration}</duration>{ties}</note>"


def harmony_xml(root, kind, alter=0):
    return (
        f"<harmony><root><root-step>{root}</root-step><root-alter>{alter}</root-alter></root><kind>{kind}</kind></harmony>"
    )


def write_lead_sheet(path, bars=24):
    """An upbeat, a bar tied to the next, then bars of quarters; two divisions to a quarter, 90 quarters a minute."""
    upbeat = (
        "<measure><attributes><divisions>2</divisions><time><beats>4</beats><beat-type>4</beat-type></time></attributes>"
        f'<sound tempo="90"/>{note_xml("G", 2)}</measure>'
    )
    first = f"<measure>{harmony_xml('B', 'minor', -1)}{note_xml('C', 8, 'start')}</measure>"
    second = f"<measure>{harmony_xml('F', 'dominant')}{note_xml('C', 2, 'stop')}{note_xml('D', 6)}</measure>"
    others = f"<measure>{note_xml('E', 2)}{note_xml('F', 2)}{note_xml('G', 2)}{note_xml('A', 2)}</measure>" * bars
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META-INF/container.xml", "<container/>")
        archive.writestr(
            "song.xml", f'<score-partwise><part id="P1">{upbeat}{first}{second}{others}</part></score-partwise>'
        )
    return path


def write_midi(path, midi):
    path.parent.mkdir(parents=True, exist_ok=True)
    midi.write(str(path))
    return str(path)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two pieces of every collection, one of them to validate on."""
    folder = tmp_path_factory.mktemp("data")
    files = {"pop909": [], "multitrack_free": [], "groove": [], "folk": []}
    for number in range(2):
        for collection, name in (("pop909", "POP909"), ("multitrack_free", "lieder"), ("multitrack_free", "quartets")):
            files[collection].append(f"{name}/{number}.mid")
            write_midi(folder / collection / files[collection][-1], song(shift=2 * number))
        files["groove"].append(f"groove/{number}.mid")
        write_midi(folder / "groove" / files["groove"][-1], drum_performance())
        files["folk"].append(f"openewld/dataset/[Traditional]/{number}/{number}.mxl")
        write_lead_sheet(folder / "folk" / files["folk"][-1])
    files["folk"].append("openewld/dataset/Somebody_Living/0/0.mxl")
    write_lead_sheet(folder / "folk" / files["folk"][-1])
    for collection, names in files.items():
        rows = [f"{name},{'validation' if '/1.' in name else 'train'}" for name in names]
        (folder / collection / "splits.csv").write_text("\n".join(["file,split", *rows]) + "\n")
    return folder


def rows_of(folder):
    return [json.loads(line) for line in (folder / "songs.jsonl").read_text().splitlines()]


def make(data, output, *options, hours=0.001):
    main(["--data", str(data), "--output", str(output), "--hours", str(hours), *options])
    return rows_of(output)


# Lead sheets


def test_a_lead_sheet_gives_its_melody_chords_beats_and_tempo(tmp_path):
    sheet = read_lead_sheet(write_lead_sheet(tmp_path / "song.mxl", bars=1))
    assert [tuple(note) for note in sheet.notes[:3]] == [(67, 0, 1), (60, 1, 6), (62, 6, 9)], "tied notes are one"
    assert [tuple(chord) for chord in sheet.chords] == [((10, 1, 5), 1), ((5, 9, 0), 5)]
    assert [tuple(beat) for beat in sheet.beats[:6]] == [(0, 3), (1, 0), (2, 1), (3, 2), (4, 3), (5, 0)], (
        "an upbeat is beat 4"
    )
    assert sheet.quarters_per_minute == 90


@pytest.mark.parametrize("content", [b"no archive", None])
def test_what_is_no_lead_sheet_is_refused(tmp_path, content):
    path = tmp_path / "song.mxl"
    if content is None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("song.xml", "<score-partwise><part>")
    else:
        path.write_bytes(content)
    with pytest.raises(LeadSheetError, match=r"song\.mxl"):
        read_lead_sheet(path)


def test_a_lead_sheet_is_accompanied_by_its_chords(tmp_path):
    tune = read_lead_sheet_tune(str(write_lead_sheet(tmp_path / "song.mxl")))
    quarter = 60 / 90
    second_bar = [note for note in tune.instruments[1].notes if quarter - 0.01 < note.start < 5 * quarter - 0.01]
    assert [note.pitch for note in second_bar if note.start < 1.5 * quarter] == [46], "the root, B flat, on the first beat"
    assert {note.pitch % 12 for note in second_bar if note.start > 1.5 * quarter} == {10, 1, 5}


# Tunes and arrangements


def test_of_notes_that_begin_together_the_lowest_and_the_highest_stay():
    chord = [(pitch, 0.0, 1.0) for pitch in (36, 48, 52, 55, 60)]
    assert thin([*chord, (40, 1.0, 2.0)]) == [(36, 0.0, 1.0), (55, 0.0, 1.0), (60, 0.0, 1.0), (40, 1.0, 2.0)]


@pytest.mark.parametrize("artist", SOLO_ARTISTS)
def test_a_soloist_plays_every_note_within_its_range(tmp_path, artist):
    excerpt = excerpt_of(read_midi_tune(write_midi(tmp_path / "song.mid", song())), 12.0, np.random.default_rng(0))
    arrangement = arrange(excerpt, artist)
    instrument = SOLO_ARTISTS[artist]
    notes = [note for part in arrangement.instruments for note in part.notes]
    assert len(notes) == sum(len(part.notes) for part in excerpt.instruments if not part.is_drum)
    assert {part.program for part in arrangement.instruments} == {instrument.program}
    assert all(instrument.lowest <= note.pitch <= instrument.highest for note in notes)


def test_a_band_plays_melody_chords_and_bass_over_drums_on_the_beat(tmp_path):
    excerpt = excerpt_of(read_midi_tune(write_midi(tmp_path / "song.mid", song())), 12.0, np.random.default_rng(0))
    arrangement = arrange(excerpt, "band")
    assert [part.program for part in arrangement.instruments if not part.is_drum] == [part.program for part in BAND.values()]
    marks = sorted(note.start for part in excerpt.instruments if part.is_drum for note in part.notes)
    drums = next(part for part in arrangement.instruments if part.is_drum)
    strokes = sorted(note.start for note in drums.notes if note.pitch in (36, 38))
    assert strokes == marks
    assert np.allclose(np.diff(marks), 0.5, atol=1e-3)


def test_the_same_excerpt_is_cut_for_every_artist(tmp_path):
    tune = read_midi_tune(write_midi(tmp_path / "song.mid", song()))
    first, second = (excerpt_of(tune, 12.0, np.random.default_rng(3)) for _ in range(2))
    assert first.get_piano_roll().tolist() == second.get_piano_roll().tolist()


def test_excerpts_with_long_rests_few_notes_or_of_short_pieces_are_refused(tmp_path):
    with_rest = song()
    for part in with_rest.instruments:
        part.notes = [note for note in part.notes if note.start % 6 < 4]
    sparse = song()
    for part in sparse.instruments:
        part.notes = part.notes[::3] if part.name == "MELODY" else []
    for name, midi, problem in (
        ("rest", with_rest, "long rest"),
        ("sparse", sparse, "few notes"),
        ("short", song(6), "shorter"),
    ):
        tune = read_midi_tune(write_midi(tmp_path / f"{name}.mid", midi))
        with pytest.raises(NothingToRenderError, match=problem):
            excerpt_of(tune, 12.0, np.random.default_rng(0))


def test_what_is_played_is_as_long_as_asked_for_and_fades_out(tmp_path):
    excerpt = excerpt_of(read_midi_tune(write_midi(tmp_path / "song.mid", song())), 12.0, np.random.default_rng(0))
    audio = play(arrange(excerpt, "organ"), 12, RATE)
    assert audio.shape == (12 * RATE,)
    assert audio.dtype == np.float32
    assert np.abs(audio[: RATE // 4]).max() > 0.05, "it begins at once"
    assert np.abs(audio[-200:]).max() < 0.02 * np.abs(audio).max()


def test_folk_songs_are_traditional_or_by_authors_long_dead(data):
    assert is_folk("openewld/dataset/Stephen_Foster/Beautiful_Dreamer/Beautiful_Dreamer.mxl")
    assert not is_folk("openewld/dataset/Andrew_Lloyd_Webber-[Traditional]/Pie_Jesu/Pie_Jesu.mxl")
    pieces = find_pieces(data, data)
    assert [piece.name.split("/")[2] for piece in pieces["folk", "train"]] == ["[Traditional]"]


def test_a_collection_without_pieces_is_named(data, tmp_path):
    with pytest.raises(NoTrainingDataError, match="multitrack_free"):
        find_pieces(tmp_path, data)


# Lyrics


def test_the_words_have_four_letters_so_that_place_in_the_text_is_time():
    assert len(VOCABULARY) >= 40
    assert {len(word) for word in VOCABULARY} == {4}
    assert {len(syllable) for syllable in SYLLABLES} == {2}
    assert all(len(line) == 39 for line in random_lyrics(np.random.default_rng(0), "train", 5).splitlines())


@pytest.mark.parametrize(("write", "length"), [(random_lyrics, 4), (random_syllables, 8)])
def test_no_phrase_of_validation_is_ever_trained_on(write, length):
    def phrases(split):
        words = write(np.random.default_rng(0), split, 150 if split == "train" else 15).split()
        return {tuple(words[start : start + length]) for start in range(0, len(words), length)}

    train, validation = phrases("train"), phrases("validation")
    assert len(train) > 140
    assert len(validation) > 13
    assert not train & validation


def test_rhymes_are_held_out_whole(data, tmp_path, monkeypatch):
    monkeypatch.setattr(example_songs, "say_lyrics", lambda lyrics, *_, **__: (np.zeros(1), []))
    lyrics = {"train": set(), "validation": set()}
    for split, found in lyrics.items():
        for number in range(len(NURSERY_RHYMES)):
            found.add(example_songs.make_speech(example_songs.Song("low voice", "nursery", split, number, 0), RATE)[1])
    assert len(lyrics["train"]) + len(lyrics["validation"]) == len(NURSERY_RHYMES)
    assert not lyrics["train"] & lyrics["validation"]


def test_without_espeak_the_command_says_what_to_install(data, tmp_path, monkeypatch):
    monkeypatch.setattr(example_songs_voice, "ESPEAK", "espeak-that-is-missing")
    with pytest.raises(SpeechError, match="apt-get install"):
        spoken_word.__wrapped__("moon", "low voice", RATE)
    with pytest.raises(SystemExit, match="espeak-that-is-missing is not installed"):
        make(data, tmp_path / "songs")


@needs_espeak
@pytest.mark.parametrize("artist", VOICES)
def test_every_word_sounds_on_its_beat_and_nowhere_else(artist):
    lyrics = "cold moon will sing\nfive bird look deep"
    audio, words = say_lyrics(lyrics, artist, RATE)
    assert [word.word for word in words] == lyrics.split()
    assert len(audio) == round((len(words) + 1) * BEAT_SECONDS * RATE)
    heard = np.zeros(len(audio), bool)
    for number, word in enumerate(words):
        start, end = round(word.start * RATE), round(word.end * RATE)
        assert start == number * round(BEAT_SECONDS * RATE)
        assert word.end <= (number + 1) * BEAT_SECONDS
        assert np.abs(audio[start : start + RATE // 50]).max() > 0.01, f"{word.word} begins where it is said to"
        heard[start:end] = True
    assert not audio[~heard].any()


@needs_espeak
def test_a_word_sounds_the_same_wherever_it_stands_and_other_voices_say_it_otherwise():
    beat = round(BEAT_SECONDS * RATE)
    audio, _ = say_lyrics("moon star moon", "low voice", RATE)
    other, _ = say_lyrics("moon star moon", "high voice", RATE)
    assert np.array_equal(audio[:beat], audio[2 * beat : 3 * beat])
    assert not np.array_equal(audio[:beat], audio[beat : 2 * beat])
    assert not np.array_equal(audio, other)


@needs_espeak
def test_drums_under_words_are_soft():
    alone, _ = say_lyrics("moon star rain fire", "low voice", RATE)
    accompanied, _ = say_lyrics("moon star rain fire", "low voice", RATE, drums=True)
    drums = accompanied - alone
    assert 0.05 < np.abs(drums).max() < 0.25 * np.abs(alone).max()


@needs_espeak
@pytest.mark.parametrize("artist", VOICES)
def test_syllables_are_sung_in_tune(artist):
    for syllable in ("do", "la"):
        wanted = VOICES[artist].do_hertz * 2 ** (SYLLABLES[syllable] / 12)
        cents = 1200 * np.log2(fundamental(sung_syllable(syllable, artist, RATE), RATE) / wanted)
        assert abs(cents) < 25, f"{syllable}: {cents:.0f} cents"


@needs_espeak
def test_a_word_too_long_for_its_beat_is_refused():
    with pytest.raises(SpeechError, match="longer than"):
        spoken_word("incomprehensibilities", "low voice", RATE)


# The whole set


def test_hours_are_divided_between_the_genres_and_splits():
    songs = plan(3.0, 0.08, seed=0)
    assert len({song.file for song in songs}) == len(songs)
    seconds = {}
    for each in songs:
        seconds[each.split] = seconds.get(each.split, 0) + example_songs.expected_seconds(each.genre)
    assert sum(seconds.values()) == pytest.approx(3 * 3600, rel=0.03)
    assert seconds["validation"] / sum(seconds.values()) == pytest.approx(0.08, abs=0.02)


@needs_espeak
def test_the_command_writes_songs_with_labels_and_true_lengths(data, tmp_path):
    rows = make(data, tmp_path / "songs")
    assert {row["artist"] for row in rows} == {*SOLO_ARTISTS, "band", "drums", *VOICES}
    assert {row["genre"] for row in rows} == set(example_songs.SHARES)
    for row in rows:
        audio, rate = soundfile.read(tmp_path / "songs" / row["file"])
        assert rate == RATE
        assert len(audio) / rate == row["seconds"] == row["total_seconds"]
        assert 12 <= row["seconds"] <= 30
        assert row["file"].startswith(row["split"])
        assert np.abs(audio).max() == pytest.approx(0.7, abs=1e-3)
        assert " ".join(word["word"] for word in row["words"]) == " ".join(row["lyrics"].split())
        assert bool(row["lyrics"]) == (row["artist"] in VOICES) != bool(row["source"])
        assert row["licence"]
        assert row["citation"]
        if row["source"]:
            assert ("/1." in row["source"]) == (row["split"] == "validation"), "splits are by piece"
    summary = (tmp_path / "songs/SUMMARY.md").read_text()
    assert "| low voice | chant |" in summary
    assert "MIT" in summary


@needs_espeak
def test_a_second_start_makes_what_is_missing_the_same_again_and_other_settings_are_refused(data, tmp_path, monkeypatch):
    shares = {name: example_songs.SHARES[name] for name in ("folk", "chant")}
    monkeypatch.setattr(example_songs, "SHARES", shares)
    rows = make(data, tmp_path / "songs")
    before = {row["file"]: (tmp_path / "songs" / row["file"]).read_bytes() for row in rows}
    for name in list(before)[::3]:
        (tmp_path / "songs" / name).unlink()
    assert make(data, tmp_path / "songs") == rows
    assert {name: (tmp_path / "songs" / name).read_bytes() for name in before} == before
    with pytest.raises(ValueError, match="other settings"):
        make(data, tmp_path / "songs", "--seed", "1")


@needs_espeak
def test_two_artists_play_each_excerpt(data, tmp_path, monkeypatch):
    monkeypatch.setattr(example_songs, "SHARES", {"pop": (1.0, example_songs.TUNE_ARTISTS)})
    rows = make(data, tmp_path / "songs", hours=0.06)
    lengths = [row["seconds"] for row in rows if row["split"] == "train"]
    assert len(lengths) >= 12
    assert all(lengths.count(length) % 2 == 0 for length in lengths)
