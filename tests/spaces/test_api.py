"""The named endpoints of the Studio, used by a program: results, reproducibility, and what is refused."""

import concurrent.futures
import json
import urllib.error
import urllib.request

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from hub_models import audio, midi

from .conftest import DRUMS, MELODY

CLIP = {"notes": [[60, 0, 1, 90], [64, 1, 2, 90], [67, 2, 4, 90], [72, 4, 8, 90]], "bars": 2}
BEAT = {"notes": [[36, 0, 0.25, 90], [42, 1, 1.25, 90], [38, 2, 2.25, 90]], "bars": 2, "drums": True}


@pytest.fixture(scope="module")
def client(studio):
    return Client(studio, verbose=False)


def refusal(client, *arguments, api_name):
    with pytest.raises(AppError) as error:
        client.predict(*arguments, api_name=api_name)
    message = str(error.value)
    assert "Traceback" not in message
    assert "/" not in message.replace("4/4", "").replace("3/4", ""), f"a path? {message}"
    assert len(message) < 400
    return message


def test_models_are_listed(client):
    melody, drums = client.predict(api_name="/models")
    assert (melody["name"], melody["representation"], melody["bars"]) == (MELODY, "melody", 2)
    assert "note_density" in melody["attributes"]
    assert (drums["name"], drums["attributes"]) == (DRUMS, [])


def test_every_action_is_documented(client):
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    expected = {"models", "extract", "sample", "reconstruct", "interpolate", "corner_grid", "apply_attributes", "render"}
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
    assert sound.shape[1] / sample_rate == pytest.approx(10 * 4 * 60 / 90 + 0.5, abs=0.01)
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
        own = Client(studio, verbose=False)
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
    ],
)
def test_absurd_clips(client, clip):
    refusal(client, MELODY, clip, 0.5, 0, api_name="/reconstruct")


@pytest.mark.parametrize("strengths", [None, [], {"volume": 1}, {"note_density": 3}, {"note_density": "much"}])
def test_absurd_strengths(client, strengths):
    refusal(client, MELODY, CLIP, strengths, 0.5, 0, api_name="/apply_attributes")


def test_drums_have_no_attributes(client):
    refusal(client, DRUMS, BEAT, {"note_density": 1}, 0.5, 0, api_name="/apply_attributes")


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
