"""The vocoder for programs and its parts: results, reproducibility, bounds, and what is refused."""

import base64
import io
import sys
import threading

import numpy as np
import pytest
import soundfile
from gradio_client import Client, handle_file

from hub_models import audio, midi

from .conftest import PATIENT, STUDIO
from .test_api import refusal
from .tiny_models import MELODY, VOCODER

sys.path.insert(0, str(STUDIO))

import sound as sounds
import vocoder as vocoders
import vocoder_examples
from actions import Brakes, Stopped
from validate import StudioError

RATE = 22_050


def tone(seconds=0.6, rate=RATE, hertz=440.0, channels=1):
    wave = 0.4 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    return np.stack([wave] * channels, axis=1)


def file_of(samples, rate=RATE, subtype="PCM_16", kind="WAV"):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


@pytest.fixture
def upload(tmp_path):
    """Writes file contents; gives what a client sends."""

    def write(content, name="tone.wav"):
        (tmp_path / name).write_bytes(content)
        return handle_file(tmp_path / name)

    return write


@pytest.fixture(scope="module")
def client(studio):
    return Client(studio, verbose=False, httpx_kwargs=PATIENT)


@pytest.fixture(scope="module")
def models(tiny_folder):
    return vocoders.Vocoders(vocoders.find_vocoders(tiny_folder))


def vocode(client, file, schedule="2", semitones=0, stretch=1, seed=7, begin=0, seconds=None):
    return client.predict(VOCODER, file, schedule, semitones, stretch, seed, begin, seconds, api_name="/vocode")


# ---- Programs


def test_a_file_becomes_sound_of_the_same_length(client, upload):
    path, figures = vocode(client, upload(file_of(tone(0.6, 44_100, channels=2), 44_100)))
    made, rate = audio.load(path)
    assert (rate, made.shape) == (RATE, (1, round(0.6 * RATE)))
    assert (figures["steps"], figures["schedule"], figures["seed"]) == (2, "2", 7)
    assert figures["seconds"] == pytest.approx(0.6, abs=1e-3)
    assert any("mono" in remark for remark in figures["remarks"])
    assert any("44100" in remark for remark in figures["remarks"])
    again, _ = vocode(client, upload(file_of(tone(0.6, 44_100, channels=2), 44_100), "again.wav"))
    assert np.array_equal(audio.load(again)[0], made)
    other, _ = vocode(client, upload(file_of(tone(0.6, 44_100, channels=2), 44_100)), seed=8)
    assert not np.array_equal(audio.load(other)[0], made)


def test_length_and_part_follow_what_is_asked(client, upload):
    path, figures = vocode(client, upload(file_of(tone(1.0))), semitones=-3.5, stretch=1.5, begin=0.2, seconds=0.5)
    assert audio.load(path)[0].shape[1] == pytest.approx(0.75 * RATE, abs=1)
    assert (figures["semitones"], figures["stretch"]) == (-3.5, 1.5)


def test_a_midi_file_is_rendered(client, upload):
    file = upload(midi.to_bytes(vocoder_examples.music("Twinkle, twinkle, trumpet")), "tune.mid")
    path, figures = vocode(client, file, begin=1, seconds=0.5)
    assert figures["seconds"] == pytest.approx(0.5, abs=1e-3)
    assert np.abs(audio.load(path)[0]).max() > 0
    message = refusal(client, VOCODER, file, "2", 0, 1, 7, 9.8, 1, api_name="/vocode")
    assert "0.25 to 60" in message or "begin" in message, "its last note is over"
    arguments = (VOCODER, file, "2", 0, 1, 7, 9.8, 1, 15.0)
    assert client.predict(*arguments, api_name="/vocode")[1]["seconds"] == pytest.approx(1.0, abs=1e-3)
    assert "seconds of MIDI" in refusal(client, *arguments[:-1], 1e9, api_name="/vocode")


def test_steps_are_those_of_a_schedule_or_a_number(client, upload):
    file = upload(file_of(tone(0.3)))
    assert vocode(client, file, "slow")[1]["steps"] == 40
    assert vocode(client, file, "3")[1] | {"computing_seconds": 0} == {
        **vocode(client, file, "3")[1],
        "computing_seconds": 0,
        "steps": 3,
        "schedule": None,
    }


def test_models_for_sound_are_listed(client):
    (listed,) = (model for model in client.predict(api_name="/models") if model["representation"] == "sound")
    assert listed["name"] == VOCODER
    assert listed["schedules"] == {"2": 2, "6": 6, "slow": 40, "training": 1000}


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"schedule": "fast"}, "slow"),
        ({"schedule": "0"}, "from 1 to 1000"),
        ({"schedule": "100000"}, "from 1 to 1000"),
        ({"schedule": None}, "steps"),
        ({"semitones": 25}, "from -24 to 24"),
        ({"stretch": 0}, "from 0.25 to 4"),
        ({"stretch": None}, "from 0.25 to 4"),
        ({"seed": -1}, "seed"),
        ({"begin": 9}, "begin"),
        ({"seconds": 100}, "seconds"),
        ({"seconds": 0.01}, "0.25 to 60"),
    ],
)
def test_what_cannot_be_asked(client, upload, changed, word):
    asked = {"schedule": "2", "semitones": 0, "stretch": 1, "seed": 7, "begin": 0, "seconds": None, **changed}
    assert word in refusal(client, VOCODER, upload(file_of(tone())), *asked.values(), api_name="/vocode")


def test_the_more_steps_the_less_sound(client, upload):
    file = upload(file_of(tone(2.0)))
    message = refusal(client, VOCODER, file, "training", 0, 1, 7, 0, 2.0, api_name="/vocode")
    assert "0.25 to 0.6 seconds" in message
    assert "1000 steps" in message


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "not a sound file"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "not a sound file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "not a sound file"),
        (file_of(tone())[:30], "sound file"),
        (file_of(np.zeros((0, 1))), "no samples"),
        (file_of(np.zeros((8000, 1))), "silent"),
        (file_of(tone(0.1)), "at least 0.25"),
        (file_of(np.full((9000, 1), np.nan), subtype="FLOAT"), "not finite"),
        (file_of(tone(channels=6)), "6 channels"),
        (file_of(np.zeros((2000 * 400, 1)), 2000), "2000 Hz"),
        (file_of(np.zeros((4000 * 301, 1)), 4000), "301 seconds"),
    ],
)
def test_files_that_are_no_sound(client, upload, content, word):
    assert word in refusal(client, VOCODER, upload(content, "sound.wav"), "2", 0, 1, 7, 0, None, api_name="/vocode")


def test_no_file_and_no_model(client, upload):
    assert "sound file" in refusal(client, VOCODER, None, "2", 0, 1, 7, 0, None, api_name="/vocode")
    assert VOCODER in refusal(client, MELODY, upload(file_of(tone())), "2", 0, 1, 7, 0, None, api_name="/vocode")


# ---- Sounds


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000, 192_000])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "FLOAT"])
def test_every_rate_and_kind_of_sample_is_the_same_sound(rate, subtype):
    read = sounds.read(file_of(tone(0.5, rate), rate, subtype), "tone", RATE)
    spectrum = np.abs(np.fft.rfft(read.samples()))
    assert read.sample_rate == RATE
    assert read.seconds == pytest.approx(0.5, abs=1e-3)
    assert np.argmax(spectrum) / read.seconds == pytest.approx(440, abs=3)
    assert np.abs(read.samples()[2000:-2000]).max() == pytest.approx(0.4, abs=0.02)


def test_what_is_wrong_with_a_sound_is_said():
    clipped = sounds.read(file_of((5 * tone()).clip(-1, 1)), "clipped", RATE)
    assert any("Clipped" in remark for remark in clipped.remarks)
    loud = sounds.read(file_of(5 * tone(), subtype="FLOAT"), "loud", RATE)
    assert any("turned down" in remark for remark in loud.remarks)
    assert np.abs(loud.samples()).max() == pytest.approx(1.0, abs=1e-3)
    assert any("4 kHz" in remark for remark in sounds.read(file_of(tone(rate=8000), 8000), "dull", RATE).remarks)
    assert sounds.read(file_of(tone()), "good", RATE).remarks == ()


def test_a_sound_in_a_file_is_the_same_sound():
    every = sounds.Sound("all", np.arange(-32_768, 32_768).astype(np.int16), RATE)
    assert np.array_equal(sounds.read(every.wav(), "again", RATE).pcm, every.pcm)


def test_a_part_ends_where_the_sound_ends():
    whole = sounds.read(file_of(tone(1.0)), "tone", RATE)
    part = whole.part(0.75, 5.0)
    assert part.seconds == pytest.approx(0.25, abs=1e-3)
    assert np.array_equal(part.pcm, whole.pcm[-len(part.pcm) :])


def test_pictures_keep_the_extremes():
    samples = np.zeros(50_000, np.float32)
    samples[30_000], samples[40_000] = 1.0, -0.5
    picture = sounds.wave_picture(samples)
    values = np.frombuffer(base64.b64decode(picture["data"]), np.int8).reshape(picture["columns"], 2)
    assert picture["columns"] == sounds.COLUMNS
    assert values[600].tolist() == [0, 127]
    assert values[800].tolist() == [-64, 0]
    mel = np.zeros((4, 3000), np.float32)
    mel[2, 1501] = 1.0
    picture = sounds.mel_picture(mel)
    levels = np.frombuffer(base64.b64decode(picture["data"]), np.uint8).reshape(4, picture["columns"])
    assert (levels[2, 500], levels.sum()) == (255, 255)


def test_a_short_sound_has_fewer_columns():
    assert sounds.wave_picture(np.ones(300, np.float32))["columns"] == 300
    assert sounds.mel_picture(np.ones((4, 7), np.float32))["columns"] == 7


@pytest.mark.parametrize("name", vocoder_examples.SOUNDS)
def test_every_example_sounds(name):
    played = sounds.perform(vocoder_examples.music(name), name, RATE, vocoder_examples.seconds(name))
    assert 4 < played.seconds < 12
    assert np.abs(played.samples()).max() > 0.05


# ---- Making


def test_the_sound_comes_step_by_step(models):
    mel = models.mel(VOCODER, tone(0.4)[:, 0].astype(np.float32))
    steps = list(models.vocode(VOCODER, mel, 8000, models.wish(VOCODER, "6", 0, 1, 7)))
    assert [step.done for step in steps] == [1, 2, 3, 4, 5, 6]
    assert {len(step.samples) for step in steps} == {8000}
    assert steps[-1].seconds_left == 0
    pipeline = models.load(VOCODER)
    import torch

    whole = pipeline(mel=mel[None], schedule="6", generator=torch.Generator().manual_seed(7)).audios[0]
    assert np.array_equal(steps[-1].samples, whole[:8000])


def test_two_at_once_keep_their_own_schedules(models):
    mel = models.mel(VOCODER, tone(0.4)[:, 0].astype(np.float32))
    wishes = [models.wish(VOCODER, schedule, 0, 1, 7) for schedule in ("6", "slow")]
    alone = [list(models.vocode(VOCODER, mel, 8000, wish))[-1].samples for wish in wishes]
    runs = [models.vocode(VOCODER, mel, 8000, wish) for wish in wishes]
    next(runs[1])
    together = [list(run)[-1].samples for run in runs]
    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_of_many_steps_not_all_are_looked_at(models):
    mel = models.mel(VOCODER, tone(0.3)[:, 0].astype(np.float32))
    steps = list(models.vocode(VOCODER, mel, 6000, models.wish(VOCODER, "100", 0, 1, 7)))
    assert len(steps) == 100
    assert sum(step.samples is not None for step in steps) == vocoders.MAX_PICTURES
    assert steps[-1].samples is not None


def test_a_pressed_brake_ends_the_work(models):
    brakes, mel = Brakes(), models.mel(VOCODER, tone(0.3)[:, 0].astype(np.float32))
    with brakes.running("me", lambda fraction, text: None) as report:
        run = models.vocode(VOCODER, mel, 6000, models.wish(VOCODER, "slow", 0, 1, 7), lambda: report(0.0, ""))
        next(run)
        assert brakes.stop("me")
        with pytest.raises(Stopped):
            list(run)
    assert not _working()


def test_work_ends_when_nobody_reads_on(models):
    mel = models.mel(VOCODER, tone(0.3)[:, 0].astype(np.float32))
    run = models.vocode(VOCODER, mel, 6000, models.wish(VOCODER, "1000", 0, 1, 7))
    next(run)
    run.close()
    for thread in _working():
        thread.join(timeout=30)
    assert not _working()


def _working():
    return [thread for thread in threading.enumerate() if thread.name == "vocoder"]


def test_changes_are_changes_of_the_spectrogram(models):
    sound = sounds.read(file_of(tone(0.5)), "tone", RATE)
    plain, num_plain = models.given(VOCODER, sound, models.wish(VOCODER, "2", 0, 1, 7))
    slow, num_slow = models.given(VOCODER, sound, models.wish(VOCODER, "2", 0, 2, 7))
    high, _ = models.given(VOCODER, sound, models.wish(VOCODER, "2", 12, 1, 7))
    assert slow.shape[1] == 2 * plain.shape[1]
    assert num_slow == 2 * num_plain
    assert int(high[:, 10].argmax()) > int(plain[:, 10].argmax()) + 10


def test_griffin_lim_is_nearer_to_the_spectrogram_than_noise(models):
    samples = tone(0.5)[:, 0].astype(np.float32)
    mel = models.mel(VOCODER, samples)
    made = models.griffin_lim(VOCODER, mel, len(samples), 1)
    assert made.shape == samples.shape
    noise = np.random.default_rng(0).normal(size=len(samples)).clip(-1, 1).astype(np.float32)
    assert models.error_db(VOCODER, made, mel) < 0.3 * models.error_db(VOCODER, noise, mel)
    assert models.error_db(VOCODER, samples, mel) == pytest.approx(0, abs=1e-3)


def test_damaged_folders_are_left_out_or_named(tiny_folder, tmp_path):
    import shutil

    for name in ("no-weights", "no-index", "no-scheduler"):
        shutil.copytree(tiny_folder / VOCODER, tmp_path / name)
    (tmp_path / "no-index" / "model_index.json").write_text("{")
    (tmp_path / "no-scheduler" / "scheduler" / "scheduler_config.json").unlink()
    next((tmp_path / "no-weights" / "model").glob("*.safetensors")).write_bytes(b"x")
    found = vocoders.find_vocoders(tmp_path)
    assert [entry.name for entry in found] == ["no-weights"]
    with pytest.raises(StudioError, match="damaged or missing"):
        vocoders.Vocoders(found).load("no-weights")
