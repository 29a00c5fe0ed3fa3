"""Whatever an endpoint is asked, it gives a result or one clear sentence; the server goes on, and logs no traceback.

Arguments are made from what the Studio says of itself at /gradio_api/info: of the right kind, with values at and beyond the
bounds, and of any other kind. What `serve` finds in the log at the end counts as well.
"""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from . import raw, tiny_models

CLIP = {"notes": [[60, 0, 1, 90], [64, 1, 2, 90]], "bars": 2}
BEAT = {"notes": [[36, 0, 0.25, 90], [42, 1, 1.25, 90]], "bars": 2, "drums": True}
# Arguments with which an endpoint works, and soon: beside those that it names itself.
WORKING = {
    "clip": CLIP, "start": CLIP, "end": CLIP, "corners": [CLIP] * 4, "times": [0.0, 0.5, 1.0], "seconds": 2, "bars": 2,
    "steps": 2, "size": 2, "schedule": "2", "levels": 1, "stages": ["chords", "melody"], "events": None,
}  # fmt: skip
BY_ENDPOINT = {
    "/humanize": {"model": tiny_models.HUMANIZE, "clip": BEAT},
    "/full_kit": {"model": tiny_models.TAP, "clip": BEAT},
    "/add_hats": {"model": tiny_models.HATS, "clip": BEAT},
    "/morph_songs": {"start": 0, "end": 1},
}
NUMBERS = st.sampled_from([0, 1, 2, -1, 0.5, 3, 127, 128, 2**31, -(2**31), 1e9, 1e-300, -1e308, 10**40, 0.1 + 0.2])
WORDS = st.one_of(
    st.sampled_from(
        ["", " ", "../../etc/passwd", "/etc/passwd", "\0", "x" * 5000, "<script>", "%s{0}", "C", "infer", "loop"]
    ),
    st.sampled_from(
        ["null", "NaN", "🎹" * 50, "\u202e\ud7ff", "'; drop table clips; --", "CON", "a\nb\rc", tiny_models.DRUMS]
    ),
    st.text(max_size=20),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=8
)
NOTES = st.lists(st.lists(st.one_of(st.integers(-1, 200), NUMBERS, LEAVES), min_size=3, max_size=6), max_size=4)
CLIPS = st.one_of(
    st.sampled_from([CLIP, BEAT, {}, [], {"notes": []}, [CLIP] * 4, [CLIP, None, 3, {}], {**CLIP, "trio": True}]),
    st.fixed_dictionaries({"notes": NOTES, "bars": st.one_of(st.integers(0, 3), LEAVES)}, optional={"tokens": TREES}),
    TREES,
)
EXAMPLES = settings(max_examples=15, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
NAMES = (
    "models", "extract", "sample", "reconstruct", "interpolate", "corner_grid", "apply_attributes", "taps", "humanize",
    "full_kit", "add_hats", "smooth_song", "morph_songs", "hold_in_song", "arrange", "render", "perform", "vocode",
    "jukebox", "compose", "develop", "save_session", "open_session",
)  # fmt: skip


@pytest.fixture(scope="module")
def http(studio):
    with raw.connect(studio) as http:
        yield http


@pytest.fixture(scope="module")
def endpoints(http):
    return http.get("/gradio_api/info").json()["named_endpoints"]


@pytest.fixture
def files(http, tune):
    """Files of all kinds, uploaded."""
    from hub_models import audio, midi

    wav = audio.to_wav_bytes(midi.render(midi.load(str(tune)), sample_rate=22_050), 22_050)
    contents = {
        "tune.mid": tune.read_bytes(),
        "voice.wav": wav,
        "page.html": b"<html>",
        "empty.mid": b"",
        "zip.zip": b"PK\3\4",
    }
    return [raw.file(raw.upload(http, name, data)) for name, data in contents.items()]


def test_all_endpoints_are_fuzzed(endpoints):
    assert {name.strip("/") for name in endpoints} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_or_a_sentence(http, endpoints, files, name):
    parameters = endpoints[f"/{name}"]["parameters"]

    @EXAMPLES
    @given(st.data())
    def ask(data):
        arguments = [working(f"/{name}", parameter, files) for parameter in parameters]
        changed = data.draw(st.sets(st.integers(0, len(parameters) - 1), max_size=3)) if parameters else ()
        for index in sorted(changed):
            arguments[index] = data.draw(any_value(parameters[index], files))
        answer = raw.ask(http, name, *arguments)
        if answer[0] != "complete":
            raw.check_sentence(answer)

    ask()


def test_too_many_arguments_and_too_few(http, endpoints):
    for name in NAMES:
        most = len(endpoints[f"/{name}"]["parameters"])
        raw.check_sentence(raw.ask(http, name, *[None] * (most + 1)))
        if most > 1:
            raw.check_sentence(raw.ask(http, name, None))


@pytest.mark.parametrize("name", ["sample", "call", "taps"])
def test_bodies_that_are_no_call(http, name):
    for body in (
        b"",
        b"null",
        b"[]",
        b"7",
        b'{"data": 7}',
        b'{"data": {}}',
        b'{"data": null}',
        b"\xff\xfe",
        b'{"data": [',
        b"{}",
    ):
        raw.check_sentence(raw.ask(http, name, body=body))
        answer = http.post("/gradio_api/queue/join", content=body, headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500
    for strange in ({"fn_index": 10**9, "data": []}, {"fn_index": -1, "data": []}, {"fn_index": "x", "data": []}):
        answer = http.post("/gradio_api/queue/join", json={**strange, "session_hash": "fuzz"})
        assert 400 <= answer.status_code < 500


@settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.text(max_size=30), way=st.sampled_from(["call", "call/v2", "queue", "component_server", "upload", "cancel", ""])
)
def test_places_that_are_none(http, name, way):
    from urllib.parse import quote

    place = f"/gradio_api/{way}/{quote(name, safe='')}"
    for answer in (http.post(place, json={"data": []}), http.post(place, content=b"\x00"), http.get(place + "/x")):
        assert answer.status_code < 500
        assert "Traceback" not in answer.text


def working(endpoint, parameter, files):
    """A value with which the endpoint is likely to go far."""
    name = parameter["parameter_name"]
    values = {**WORKING, **BY_ENDPOINT.get(endpoint, {})}
    if name in values:
        return values[name]
    if is_file(parameter) and parameter["parameter_name"] in ("file", "other_file"):
        return files[1] if endpoint == "/vocode" else files[0]
    return parameter.get("parameter_default")


def any_value(parameter, files):
    """Values of the kind that is asked for, and of any other."""
    kind = json.dumps(parameter["type"])
    if is_file(parameter):
        elsewhere = [
            raw.file("/etc/passwd"),
            raw.file("http://example.com/x.mid"),
            {"path": 7},
            [files[0]],
            files[:2],
            [None],
        ]
        return st.one_of(st.sampled_from([*files, None, *elsewhere]), TREES)
    if '"number"' in kind or '"integer"' in kind:
        return st.one_of(NUMBERS, LEAVES, TREES)
    if '"string"' in kind:
        return st.one_of(WORDS, LEAVES, TREES)
    return CLIPS


def is_file(parameter):
    return "filepath" in parameter["python_type"]["type"]
