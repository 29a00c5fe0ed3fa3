"""The clip that travels: what is read off a file, what stays as it was, and what is refused."""

import io

import numpy as np
import pretty_midi
import pytest

from hub_models import Clip, audio, midi
from hub_models.clips import MAX_NAME, Call, ClipError, Origin
from hub_models.midi import RenderError
from hub_models.music_vae.midi_structure import MidiError


def music(*pitches: int, tempo: float = 120.0, drums: bool = False) -> pretty_midi.PrettyMIDI:
    """A quarter note for each pitch."""
    made = pretty_midi.PrettyMIDI(initial_tempo=tempo)
    part, beat = pretty_midi.Instrument(0, is_drum=drums), 60.0 / tempo
    part.notes = [pretty_midi.Note(90, pitch, index * beat, (index + 1) * beat) for index, pitch in enumerate(pitches)]
    made.instruments.append(part)
    return made


def tone(seconds: float = 0.5, sample_rate: int = 8000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * sample_rate)) / sample_rate)


def test_midi_is_described_by_what_it_holds():
    clip = Clip.from_midi(music(60, 62, 64, 65, 67, tempo=150), "A tune", chords=[["C"], ["G", "C"]])
    assert (clip.kind, clip.extension, clip.bars, clip.tempo) == ("midi", "mid", 2, pytest.approx(150))
    assert clip.seconds == pytest.approx(2.0)
    assert (clip.has_notes, clip.has_drums) == (True, False)
    assert clip.chords == (("C",), ("G", "C"))
    assert [note.pitch for note in clip.music().instruments[0].notes] == [60, 62, 64, 65, 67]
    drums = Clip.from_midi(music(36, 42, drums=True), "Beat")
    assert (drums.has_notes, drums.has_drums) == (False, True)


def test_the_key_is_read_off_the_file_unless_it_is_said():
    tune = music(57, 60, 64)
    tune.key_signature_changes.append(pretty_midi.KeySignature(21, 0.0))
    assert Clip.from_midi(tune, "A tune").key == "A minor"
    assert Clip.from_midi(tune, "A tune", key="C major").key == "C major"
    assert Clip.from_midi(music(60), "A tune").key is None


def test_the_contents_of_a_file_are_kept_as_they_are(tmp_path):
    path = midi.save(music(60, 62), tmp_path / "tune.mid")
    data = path.read_bytes()
    for source in (path, data, io.BytesIO(data)):
        assert Clip.from_midi(source, "A tune").data == data


def test_music_may_end_in_silence():
    clip = Clip.from_midi(music(60, 62), "A tune", seconds=4.0)
    sound, rate = clip.sound(22_050)
    assert clip.seconds == 4.0
    assert sound.shape[1] / rate >= 4.0
    assert Clip.from_midi(music(60, 62), "A tune", seconds=0.1).seconds == pytest.approx(1.0)


def test_sound_is_kept_as_it_is():
    data = audio.to_wav_bytes(tone(), 8000)
    clip = Clip.from_audio(data, "A tone", tempo=90.0, key="A major")
    assert (clip.kind, clip.extension, clip.data, clip.bars) == ("audio", "wav", data, None)
    assert (clip.seconds, clip.tempo, clip.key) == (0.5, 90.0, "A major")
    sound, rate = clip.sound()
    assert (rate, sound.shape) == (8000, (1, 4000))
    assert Clip.from_audio(tone(), "A tone", sample_rate=8000).data == data
    with pytest.raises(ClipError, match="no notes to be read"):
        clip.music()


@pytest.mark.parametrize(("kind", "extension"), [("FLAC", "flac"), ("OGG", "ogg"), ("MP3", "mp3"), ("WAV", "wav")])
def test_the_kind_of_a_sound_file_is_known_by_its_contents(kind, extension):
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, tone(1.0, 16_000), 16_000, format=kind)
    assert Clip.from_audio(buffer.getvalue(), "A tone").extension == extension


def test_the_id_follows_from_contents_and_origin_alone():
    first = Clip.from_midi(music(60), "A tune", origin=Origin("Sample", "a model", {"b": 1, "a": (1, 2)}, seed=7))
    again = Clip.from_midi(music(60), "Another name", origin=Origin("Sample", "a model", {"a": [1, 2], "b": 1}, seed=7))
    assert first.id == again.id == first.named("A third").id
    assert len(first.id) == 12
    others = [
        Clip.from_midi(music(61), "A tune", origin=first.origin),
        Clip.from_midi(music(60), "A tune", origin=Origin("Sample", "a model", {"b": 1, "a": (1, 2)}, seed=8)),
        Clip.from_midi(music(60), "A tune", origin=Origin("Morph", "a model", {"b": 1, "a": (1, 2)}, seed=7)),
        Clip.from_midi(music(60), "A tune", origin=Origin("Sample", "a model", {"b": 1, "a": (1, 2)}, 7, (first.id,))),
        Clip.from_midi(music(60), "A tune", origin=Origin("Sample", "a model", {"b": 2}, seed=7)),
    ]
    assert len({clip.id for clip in [first, *others]}) == 6


def test_names_are_on_one_line_and_not_too_long():
    clip = Clip.from_midi(music(60), "  A\n\x00 tune\t of \u202e mine ")
    assert clip.name == "A tune of mine"
    assert len(clip.named("x" * 500).name) == MAX_NAME
    assert clip.named(" \n").name == "Clip"


def test_origins_are_plain_json():
    origin = Origin("Sample", settings={"steps": np.int64(5), "amount": np.float32(0.5), "shape": (1, 2)}, seed=np.int64(3))
    assert origin.settings == {"steps": 5, "amount": 0.5, "shape": [1, 2]}
    assert type(origin.settings["steps"]) is int
    assert type(origin.seed) is int
    call = Call("/interpolate", {"start": {"notes": ((60, 0, 1, 80),)}, "file": Call.file("a.mid")})
    assert call.arguments == {"start": {"notes": [[60, 0, 1, 80]]}, "file": {"$file": "a.mid"}}
    assert Call.result(0) == {"$result": 0, "$output": 0}
    assert Call.result(1, 2, "clips", 0) == {"$result": 1, "$output": 2, "$path": ["clips", 0]}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", object(), {1, 2}])
def test_what_is_no_plain_json_is_refused(value):
    with pytest.raises(ClipError, match="plain JSON"):
        Origin("Sample", settings={"value": value})
    with pytest.raises(ClipError, match="arguments of /sample must be"):
        Call("/sample", {"value": [value]})


@pytest.mark.parametrize("endpoint", ["sample", "/", "//host/x", "/Sample", "/a b", "http://x/y", "/../x", "", None, 3])
def test_endpoints_have_names_alone(endpoint):
    with pytest.raises(ClipError, match="An endpoint is named like"):
        Call(endpoint, {})


def test_what_is_no_clip_is_refused():
    with pytest.raises(ClipError, match="“Silence” holds no notes"):
        Clip.from_midi(music(), "Silence")
    with pytest.raises(MidiError):
        Clip.from_midi(b"nonsense", "A tune")
    with pytest.raises(audio.AudioError):
        Clip.from_audio(b"nonsense", "A tone")
    with pytest.raises(ClipError, match="sample rate"):
        Clip.from_audio(tone(), "A tone")
    with pytest.raises(ClipError, match="midi or audio, not 'video'"):
        Clip("A film", "video", b"data", 1.0)
    with pytest.raises(ClipError, match="there are none"):
        Clip("Nothing", "midi", b"", 1.0)


def test_what_is_over_the_limits_is_refused():
    from hub_models.music_vae.note_sequence import MidiLimits

    with pytest.raises(MidiError):
        Clip.from_midi(midi.to_bytes(music(60, 62, 64)), "A tune", limits=MidiLimits(max_notes=2))
    with pytest.raises(audio.AudioError, match="lasts 0 seconds"):
        Clip.from_audio(audio.to_wav_bytes(tone(), 8000), "A tone", limits=audio.AudioLimits(max_seconds=0.2))
    with pytest.raises(RenderError):
        Clip.from_midi(music(60), "A tune", seconds=3600.0).sound()
