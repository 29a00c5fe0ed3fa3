"""The named endpoints of the Studio, used by a program: results, reproducibility, and what is refused."""

import concurrent.futures
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from hub_models import audio, midi

from .conftest import CHECKOUT, PATIENT, STUDIO
from .tiny_models import BAND, DRUMS, HATS, HUMANIZE, LONG_MELODY, MELODY, TAP, TRIO

CLIP = {"notes": [[60, 0, 1, 90], [64, 1, 2, 90], [67, 2, 4, 90], [72, 4, 8, 90]], "bars": 2}
BEAT = {"notes": [[36, 0, 0.25, 90], [42, 1, 1.25, 90], [38, 2, 2.25, 90]], "bars": 2, "drums": True}


@pytest.fixture(scope="module")
def client(studio):
    return Client(studio, verbose=False, httpx_kwargs=PATIENT)


def refusal(client, *arguments, api_name):
    with pytest.raises(AppError) as error:
        client.predict(*arguments, api_name=api_name)
    message = str(error.value)
    assert "Traceback" not in message
    assert "/" not in message.replace("4/4", "").replace("3/4", ""), f"a path? {message}"
    assert len(message) < 400
    return message


def test_nothing_is_loaded_until_it_is_needed(tiny_folder):
    """The page is built without the libraries that take long to import."""
    wanted = "{'torch', 'transformers', 'diffusers', 'symusic'}"
    script = f"import sys, app; app.build({str(tiny_folder)!r}); print({wanted} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{STUDIO}"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_models_are_listed(client):
    listed = client.predict(api_name="/models")
    models = {model["name"]: model for model in listed if model["representation"] not in ("sound", "performance", "song")}
    kinds = {name: (model["representation"], model["bars"]) for name, model in models.items()}
    assert kinds == {
        MELODY: ("melody", 2),
        LONG_MELODY: ("melody", 16),
        TRIO: ("trio", 16),
        DRUMS: ("drums", 2),
        HUMANIZE: ("groove", 2),
        TAP: ("groove", 2),
        HATS: ("groove", 2),
        BAND: ("multitrack", 1),
    }
    assert "note_density" in models[MELODY]["attributes"]
    assert models[DRUMS]["attributes"] == []
    assert models[HUMANIZE]["puts_back"] == ["humanize"]
    assert "tap" in models[TAP]["puts_back"]


def test_every_action_is_documented(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    expected = {"models", "extract", "sample", "reconstruct", "interpolate", "corner_grid", "apply_attributes", "render"}
    expected |= {"taps", "humanize", "full_kit", "add_hats", "smooth_song", "morph_songs", "hold_in_song", "arrange"}
    expected |= {"compose", "develop", "perform", "vocode", "jukebox", "save_session", "open_session"}
    assert {name.strip("/") for name in endpoints} == expected
    assert all(len(endpoint["description"]) > 10 for endpoint in endpoints.values())


def test_extract_tells_what_was_found_and_what_was_not(client, tune):
    found = client.predict(MELODY, handle_file(tune), api_name="/extract")
    assert found["summary"]["tempo"] == pytest.approx(100, abs=0.1)
    first = found["clips"][0]
    assert first["bars"] == 2
    assert len(first["tokens"]) == 32
    assert [note[0] for note in first["notes"]] == [60, 62, 64, 65, 67, 69, 71, 72]
    assert any("3/4" in rejection for rejection in found["rejections"])
    assert any("drum" in rejection for rejection in found["rejections"])
    assert found["reductions"] == []


def test_drums_are_read_by_the_drum_model(client, tune):
    found = client.predict(DRUMS, handle_file(tune), api_name="/extract")
    assert found["clips"][0]["drums"] is True


def test_from_file_to_sound(client, tune):
    start = client.predict(MELODY, handle_file(tune), api_name="/extract")["clips"][0]
    end = client.predict(MELODY, 1.0, 5, api_name="/sample")
    piece = client.predict(MELODY, start, end, 5, 0.5, 3, api_name="/interpolate")
    assert piece["bars"] == 10
    assert [segment["label"] for segment in piece["segments"]] == ["A", "2", "3", "4", "B"]
    midi_path, wav_path = client.predict(piece, 90, 40, api_name="/render")
    music = midi.load(midi_path)
    assert sum(len(instrument.notes) for instrument in music.instruments) == len(piece["notes"])
    assert music.instruments[0].program == 40
    sound, sample_rate = audio.load(wav_path)
    assert sound.shape[1] / sample_rate == pytest.approx(10 * 4 * 60 / 90 + 1.0, abs=0.01)
    assert np.abs(sound).max() > 0.01


def test_notes_written_by_hand_are_clips(client):
    rebuilt = client.predict(MELODY, CLIP, 0.5, 0, api_name="/reconstruct")
    assert len(rebuilt["tokens"]) == 32
    assert client.predict(DRUMS, BEAT, 0.5, 0, api_name="/reconstruct")["drums"] is True


def test_corner_grid_has_its_shape(client):
    corners = [CLIP, *(client.predict(MELODY, 1.0, seed, api_name="/sample") for seed in (1, 2, 3))]
    grid = client.predict(MELODY, corners, 3, 0.5, 0, api_name="/corner_grid")
    assert [len(row) for row in grid] == [3, 3, 3]


def test_attributes_move_a_clip(client):
    still = client.predict(MELODY, CLIP, {}, 0.5, 0, api_name="/apply_attributes")
    moved = client.predict(MELODY, CLIP, {"note_density": 2.0, "c_diatonic": -2.0}, 0.5, 0, api_name="/apply_attributes")
    assert still["tokens"] == client.predict(MELODY, CLIP, 0.5, 0, api_name="/reconstruct")["tokens"]
    assert moved["tokens"] != still["tokens"]


def test_a_seed_gives_its_own_result_whoever_else_is_there(studio):
    """Two clients at once, each with seeds of its own: nothing of one shows up in the other."""

    def sample(seeds):
        own = Client(studio, verbose=False, httpx_kwargs=PATIENT)
        return [own.predict(MELODY, 1.0, seed, api_name="/sample")["tokens"] for seed in seeds]

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first, second = pool.map(sample, ([11, 12, 13], [21, 22, 11]))
    alone = sample([11, 12, 13, 21, 22])
    assert first == alone[:3]
    assert second == [*alone[3:], alone[0]]
    assert len({tuple(tokens) for tokens in alone}) == 5


@pytest.mark.parametrize("temperature", [0, -1, 1e9, None, "hot"])
def test_absurd_temperatures(client, temperature):
    message = refusal(client, MELODY, temperature, 0, api_name="/sample")
    assert "temperature" in message.lower() or "number" in message.lower()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_json_should_not_hold(studio, number):
    """Python's client refuses to send these; others do not."""
    endpoint = f"{studio}/gradio_api/call/sample"
    body = f'{{"data": ["{MELODY}", {number}, 0]}}'.encode()
    request = urllib.request.Request(endpoint, body, {"Content-Type": "application/json"})
    try:
        event = json.load(urllib.request.urlopen(request, timeout=20))["event_id"]
    except urllib.error.HTTPError as error:
        assert error.code in (400, 422)
        return
    answer = urllib.request.urlopen(f"{endpoint}/{event}", timeout=20).read().decode()
    assert answer.startswith("event: error")
    assert "Traceback" not in answer


@pytest.mark.parametrize("seed", [-1, 2**31, 1e30, 0.5, None])
def test_absurd_seeds(client, seed):
    assert "seed must be a whole number from 0 to 2147483647" in refusal(client, MELODY, 1.0, seed, api_name="/sample")


@pytest.mark.parametrize("steps", [0, 1, 17, 10_000, 1e9, -5, 2.5, None])
def test_absurd_steps(client, steps):
    message = refusal(client, MELODY, CLIP, CLIP, steps, 0.5, 0, api_name="/interpolate")
    assert "steps must be a whole number from 2 to 16" in message


@pytest.mark.parametrize(("tempo", "program"), [(0, 0), (19, 0), (1e9, 0), (120, 128), (120, -1), (120, 1e9)])
def test_absurd_sound(client, tempo, program):
    assert "must be" in refusal(client, CLIP, tempo, program, api_name="/render")


@pytest.mark.parametrize(
    "clip",
    [
        None,
        [],
        {},
        {"notes": "all"},
        {"notes": [[60, 0, 1]]},
        {"notes": [[60, 0, 1, 90]], "bars": 1_000_000_000},
        {"notes": [[60, 0, 1e9, 90]], "bars": 2},
        {"notes": [[600, 0, 1, 90]], "bars": 2},
        {"notes": [[60, 2, 1, 90]], "bars": 2},
        {"notes": [["60", 0, 1, 90]], "bars": 2},
        {"notes": [], "bars": 2},
        {"notes": [[60, 0, 1, 90]], "bars": 3},
        {"notes": [[36, 0, 1, 90]], "bars": 2, "drums": True},
        {"notes": [[60, 0, 1, 90]], "bars": 2, "tokens": [1, 2, 3]},
        {"notes": [[60, 0, 1, 90]], "bars": 2, "tokens": [60_000] * 32},
        {"notes": [[60, 0, 1, 90]], "bars": 2, "tokens": ["a"] * 32},
        {"notes": [[60, 0, 1, 90]] * 20_000, "bars": 2},
        {"notes": [[60, 0, 1, 90, 0]], "bars": 2},
        {"notes": [[60, 0, 1, 90]], "bars": 2, "trio": True},
        {"notes": [[60, 0, 1, 90, 3]], "bars": 2, "trio": True},
        {"notes": [[60, 0, 1, 90, 0]], "bars": 2, "trio": True, "tokens": [1] * 32},
    ],
)
def test_absurd_clips(client, clip):
    refusal(client, MELODY, clip, 0.5, 0, api_name="/reconstruct")


@pytest.mark.parametrize("strengths", [None, [], {"volume": 1}, {"note_density": 3}, {"note_density": "much"}])
def test_absurd_strengths(client, strengths):
    refusal(client, MELODY, CLIP, strengths, 0.5, 0, api_name="/apply_attributes")


def test_drums_have_no_attributes(client):
    refusal(client, DRUMS, BEAT, {"note_density": 1}, 0.5, 0, api_name="/apply_attributes")


def at_steps(clip, pitches=range(128)):
    """Where a clip's hits are: pairs of drum and nearest sixteenth."""
    return {(note[0], round(note[1] * 4)) for note in clip["notes"] if note[0] in pitches}


def test_sixteen_bars_are_one_clip(client, long_tune):
    found = client.predict(LONG_MELODY, handle_file(long_tune), api_name="/extract")
    assert {clip["bars"] for clip in found["clips"]} == {16}
    assert any("bars 1-16" in clip["name"] for clip in found["clips"])
    piece = client.predict(LONG_MELODY, found["clips"][0], found["clips"][-1], 3, 0.5, 1, api_name="/interpolate")
    assert piece["bars"] == 48
    assert [segment["bar"] for segment in piece["segments"]] == [0, 16, 32]


def test_trios_have_three_parts(client, long_tune):
    found = client.predict(TRIO, handle_file(long_tune), api_name="/extract")
    trio = found["clips"][0]
    assert (trio["trio"], trio["drums"], trio["bars"]) == (True, False, 16)
    assert {note[4] for note in trio["notes"]} == {0, 1, 2}
    assert all(note[0] in (36, 42) for note in trio["notes"] if note[4] == 2)
    piece = client.predict(TRIO, trio, client.predict(TRIO, 0.5, 1, api_name="/sample"), 2, 0.5, 1, api_name="/interpolate")
    assert piece["bars"] == 32
    midi_path, _ = client.predict(trio, 120, 11, api_name="/render")
    instruments = midi.load(midi_path).instruments
    assert [(instrument.program, instrument.is_drum) for instrument in instruments] == [(11, False), (33, False), (0, True)]
    assert sum(len(instrument.notes) for instrument in instruments) == len(trio["notes"])


def test_a_trio_written_by_hand_is_a_clip(client):
    notes = [[60 + bar % 5, 4 * bar, 4 * bar + 2, 90, 0] for bar in range(16)]
    notes += [[36, 4 * bar, 4 * bar + 1, 90, 1] for bar in range(16)] + [
        [38, 4 * bar + 1, 4 * bar + 1.25, 90, 2] for bar in range(16)
    ]
    rebuilt = client.predict(TRIO, {"notes": notes, "bars": 16, "trio": True}, 0.5, 0, api_name="/reconstruct")
    assert rebuilt["trio"] is True
    assert len(rebuilt["tokens"]) == 256
    assert len(rebuilt["tokens"][0]) == 3
    assert "trio" in refusal(client, MELODY, rebuilt, 0.5, 0, api_name="/reconstruct")


def test_humanizing_keeps_the_hits_and_plays_them(client):
    felt = client.predict(HUMANIZE, BEAT, True, 1.0, 0.5, 3, api_name="/humanize")
    assert at_steps(felt) == at_steps(BEAT)
    assert felt["drums"] is True
    assert any(note[1] * 4 % 1 for note in felt["notes"]), "all hits are on the grid"
    again = client.predict(HUMANIZE, BEAT, True, 1.0, 0.5, 3, api_name="/humanize")
    assert again["notes"] == felt["notes"]


def test_no_feel_is_as_it_was(client):
    straight = client.predict(HUMANIZE, BEAT, True, 0.0, 0.5, 3, api_name="/humanize")
    assert straight["notes"] == BEAT["notes"]


def test_humanizing_may_rewrite(client):
    rewritten = client.predict(HUMANIZE, BEAT, False, 1.0, 1.0, 3, api_name="/humanize")
    assert at_steps(rewritten) != at_steps(BEAT)


def test_what_a_drummer_is_not_shown_changes_nothing(client):
    """Humanizing reads hits alone: the same beat, played differently, comes out the same."""
    played = {**BEAT, "notes": [[pitch, start + 0.03, end, velocity - 40] for pitch, start, end, velocity in BEAT["notes"]]}
    one, other = (client.predict(HUMANIZE, clip, True, 1.0, 0.5, 3, api_name="/humanize") for clip in (BEAT, played))
    assert one["notes"] == other["notes"]


def test_taps_become_a_full_kit(client):
    tapped = client.predict([0.0, 0.52, 0.98, 1.5, 2.01, 2.6, 3.0], None, 120, api_name="/taps")
    assert sorted(round(note[1] * 4) for note in tapped["notes"]) == [0, 4, 8, 12, 16, 21, 24]
    late = next(note for note in tapped["notes"] if round(note[1] * 4) == 4)
    assert late[1] == pytest.approx(1.04, abs=1e-3)
    kit = client.predict(TAP, tapped, 0.7, 5, api_name="/full_kit")
    assert len({note[0] for note in kit["notes"]}) > 1
    assert {step for _, step in at_steps(kit)} >= {0, 4, 8, 12, 16, 21, 24}, "a tap has no answer"
    assert max(note[3] for note in kit["notes"]) >= 100
    elsewhere = {**tapped, "notes": [[36, *note[1:]] for note in tapped["notes"]]}
    assert client.predict(TAP, elsewhere, 0.7, 5, api_name="/full_kit")["notes"] == kit["notes"]


def test_hats_are_added_and_nothing_else_is_touched(client):
    beat = {**BEAT, "notes": [[36, 0, 0.25, 101], [38, 0.98, 1.23, 64], [42, 2, 2.25, 90]]}
    with_hats = client.predict(HATS, beat, 0.8, 2, api_name="/add_hats")
    others = [note for note in with_hats["notes"] if note[0] != 42]
    assert others == [[36, 0, 0.25, 101], [38, pytest.approx(0.98), pytest.approx(1.23), 64]]
    assert len([note for note in with_hats["notes"] if note[0] == 42]) > 0


def test_grooves_are_morphed_with_their_feel(client):
    other = {**BEAT, "notes": [[36, step / 4, step / 4 + 0.25, 90] for step in range(0, 32, 3)]}
    piece = client.predict(HUMANIZE, BEAT, other, 3, 0.5, 4, api_name="/interpolate")
    assert (piece["bars"], piece["drums"]) == (6, True)
    assert [segment["label"] for segment in piece["segments"]] == ["A", "2", "B"]
    assert len({note[3] for note in piece["notes"]}) > 3


def test_drums_in_a_file_keep_their_feel(client, tune):
    found = client.predict(HUMANIZE, handle_file(tune), api_name="/extract")
    assert found["clips"][0]["drums"] is True
    assert {note[0] for note in found["clips"][0]["notes"]} == {36, 42}


@pytest.mark.parametrize(
    ("times", "velocities"), [([], None), (None, None), ([9.0], None), (["now"], None), ([0.0], [200]), ([0.0, 1.0], [90])]
)
def test_absurd_taps(client, times, velocities):
    refusal(client, times, velocities, 120, api_name="/taps")


@pytest.mark.parametrize("amount", [-0.1, 1.5, None, 100])
def test_absurd_amounts_of_feel(client, amount):
    assert "amount of feel" in refusal(client, HUMANIZE, BEAT, True, amount, 0.5, 0, api_name="/humanize")


def test_every_groove_model_does_its_own(client):
    assert HUMANIZE in refusal(client, TAP, BEAT, True, 1.0, 0.5, 0, api_name="/humanize")
    assert TAP in refusal(client, HUMANIZE, BEAT, 0.5, 0, api_name="/full_kit")
    assert HATS in refusal(client, MELODY, BEAT, 0.5, 0, api_name="/add_hats")


def test_what_is_no_groove(client):
    assert "drums" in refusal(client, HUMANIZE, CLIP, True, 1.0, 0.5, 0, api_name="/humanize")
    unknown = {"notes": [[1, 0, 1, 90]], "bars": 2, "drums": True}
    assert "kick" in refusal(client, HUMANIZE, unknown, True, 1.0, 0.5, 0, api_name="/humanize")


def notes_in(path):
    return {(i.is_drum, note.pitch, round(note.start, 3)) for i in midi.load(path).instruments for note in i.notes}


def test_whole_songs_keep_their_length_and_what_is_not_read(client, long_tune, tune):
    before = midi.load(long_tune)
    smoothed, sound = client.predict(MELODY, handle_file(long_tune), 4, 0.5, 1, api_name="/smooth_song")
    after = midi.load(smoothed)
    assert after.get_end_time() == pytest.approx(before.get_end_time(), abs=0.5)
    assert [i.name for i in after.instruments] == ["Flute", "Bass", "Kit"]
    assert {note for note in notes_in(smoothed) if note[0]} == {note for note in notes_in(long_tune) if note[0]}
    assert notes_in(smoothed) != notes_in(long_tune)
    assert audio.load(sound)[0].shape[0] == 2
    again, _ = client.predict(MELODY, handle_file(long_tune), 4, 0.5, 1, api_name="/smooth_song")
    assert notes_in(again) == notes_in(smoothed)
    arguments = (MELODY, handle_file(long_tune), handle_file(tune), 0, 1, "loop", 0.5, 1)
    turned, _ = client.predict(*arguments, api_name="/morph_songs")
    held, _ = client.predict(MELODY, handle_file(long_tune), "note_density", 1, 0.5, 1, api_name="/hold_in_song")
    assert notes_in(turned) != notes_in(smoothed) != notes_in(held)


def test_absurd_songs(client, long_tune, tmp_path):
    song = handle_file(long_tune)
    assert "width" in refusal(client, MELODY, song, 17, 0.5, 1, api_name="/smooth_song")
    assert "share" in refusal(client, MELODY, song, song, 0, 2, "loop", 0.5, 1, api_name="/morph_songs")
    assert "loop or stretch" in refusal(client, MELODY, song, song, 0, 1, "squeeze", 0.5, 1, api_name="/morph_songs")
    assert "note_density" in refusal(client, MELODY, song, "volume", 1, 0.5, 1, api_name="/hold_in_song")
    assert "attribute" in refusal(client, DRUMS, song, "note_density", 1, 0.5, 1, api_name="/hold_in_song")
    assert "no file" in refusal(client, MELODY, None, 4, 0.5, 1, api_name="/smooth_song")
    bad = tmp_path / "bad.mid"
    bad.write_bytes(b"MThd")
    refusal(client, MELODY, handle_file(bad), 4, 0.5, 1, api_name="/smooth_song")


@pytest.mark.parametrize("model", ["gpt", "", "../../etc", None])
def test_unknown_models(client, model):
    assert MELODY in refusal(client, model, 1.0, 0, api_name="/sample")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.mid", b""),
        ("picture.mid", b"\x89PNG\r\n\x1a\n" + bytes(100)),
        ("page.mid", b"<script>alert(1)</script>"),
        ("cut.mid", b"MThd\x00\x00\x00\x06\x00\x01\x00\x01\x00\x60MTrk\x00\x00\xff\xff\x00\x90"),
        ("silent.mid", b"MThd\x00\x00\x00\x06\x00\x01\x00\x01\x00\x60MTrk\x00\x00\x00\x04\x00\xff\x2f\x00"),
        ("big.mid", b"MThd" + bytes(6_000_000)),
    ],
)
def test_files_that_are_no_music(client, tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    try:
        message = refusal(client, MELODY, handle_file(path), api_name="/extract")
    except Exception as error:  # too large: refused at the upload, before any action
        assert name == "big.mid", error
        assert "413" in str(error) or "large" in str(error).lower() or "exceeds" in str(error).lower()
        return
    assert "\n" not in message


def test_a_path_on_the_server_is_no_upload(client):
    for path in ("/etc/passwd", __file__):
        with pytest.raises(AppError) as error:
            client.predict(MELODY, {"path": path, "meta": {"_type": "gradio.FileData"}}, api_name="/extract")
        assert "root:" not in str(error.value)
