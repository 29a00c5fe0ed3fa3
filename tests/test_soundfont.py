"""SoundFonts are copied so that the synthesiser plays them in tune; what is none is refused."""

import multiprocessing
import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from symusic import Note, Score, Synthesizer, Track

from hub_models import soundfont
from hub_models.soundfont import SoundFontError, read, tuned

RATE = 44_100
PERIOD = 100  # samples of the sine: 441 Hz, which the tests call pitch 69
SINE = np.round(16_000 * np.sin(2 * np.pi * np.arange(20_000) / PERIOD)).astype("<i2")
SOUND = (0, 20_000, 10_000, 10_100, RATE, 69, 0)  # start, end, loop start, loop end, rate, root, correction
LOOPED = (54, 1)


def chunk(kind, content):
    return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def make_soundfont(zones=((LOOPED, (53, 0)),), preset_zones=(((41, 0),),), samples=(SOUND,), second=None, version=2):
    """A file with one instrument, or two, of program 0 (and 1); a zone is a list of (generator, amount)."""
    instruments = [zones] if second is None else [zones, second]
    presets = [preset_zones] if second is None else [preset_zones, [[(41, 1)]]]

    def group(groups):
        flat = [zone for group in groups for zone in group]
        places = np.cumsum([0, *map(len, flat)])
        generators = b"".join(struct.pack("<HH", kind, amount & 0xFFFF) for zone in flat for kind, amount in zone)
        bags = b"".join(struct.pack("<HH", place, 0) for place in places)
        return np.cumsum([0, *map(len, groups)]), bags, generators + bytes(4)

    preset_bags, pbag, pgen = group(presets)
    instrument_bags, ibag, igen = group(instruments)
    phdr = b"".join(struct.pack("<20sHHHIII", b"Sine", i, 0, bag, 0, 0, 0) for i, bag in enumerate(preset_bags))
    inst = b"".join(struct.pack("<20sH", b"Sine", bag) for bag in instrument_bags)
    shdr = b"".join(struct.pack("<20sIIIIIBbHH", b"Sine", *sample, 0, 1) for sample in samples) + bytes(46)
    tables = {"phdr": phdr, "pbag": pbag, "pmod": bytes(10), "pgen": pgen, "inst": inst, "ibag": ibag}
    tables |= {"imod": bytes(10), "igen": igen, "shdr": shdr}
    body = b"sfbk" + chunk(b"LIST", b"INFO" + chunk(b"ifil", struct.pack("<HH", version, 1)))
    body += chunk(b"LIST", b"sdta" + chunk(b"smpl", SINE.tobytes() + bytes(92)))
    body += chunk(b"LIST", b"pdta" + b"".join(chunk(kind.encode(), table) for kind, table in tables.items()))
    return b"RIFF" + struct.pack("<I", len(body)) + body


def play(path, pitch=69, programs=(0,)):
    """One second of each program, one after the other: (samples,)."""
    score = Score(ttype="second")
    for index, program in enumerate(programs):
        track = Track(program=program, is_drum=False, ttype="second")
        track.notes.append(Note(float(index), 1.0, pitch, 100, ttype="second"))
        score.tracks.append(track)
    return Synthesizer(str(path), RATE, 0).render(score, stereo=True)[0]


def cents(wave):
    """How far a sine is from 441 Hz. Measured where it loops."""
    wave = wave[RATE // 2 : RATE // 2 + 16_384]
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 8 * len(wave)))
    return 1200 * np.log2(np.argmax(spectrum) * RATE / (8 * len(wave)) / (RATE / PERIOD))


@pytest.fixture
def play_tuned(tmp_path):
    def _play(content, **how):
        (tmp_path / "sine.sf2").write_bytes(content)
        return play(tuned(tmp_path / "sine.sf2", tmp_path / "cache"), **how)

    return _play


@pytest.mark.parametrize(
    ("generators", "expected"),
    [
        ([], 0),
        ([(58, 57)], 1200),
        ([(58, 81)], -1200),
        ([(52, 40)], 40),
        ([(51, 7), (52, -30)], 670),
        ([(58, 60), (51, -2), (52, 50)], 750),
        ([(56, 0), (58, 60)], 0),  # every key sounds as recorded
        ([(56, 50), (58, 61)], 400),
        ([(46, 72)], 300),  # every key sounds as key 72
    ],
)
def test_zones_are_tuned(play_tuned, generators, expected):
    assert cents(play_tuned(make_soundfont([[LOOPED, *generators, (53, 0)]]))) == pytest.approx(expected, abs=6)


def test_global_zones_presets_and_headers_add_up(play_tuned):
    content = make_soundfont(
        zones=[[(58, 57), (52, 20)], [LOOPED, (53, 0)]],
        preset_zones=[[(51, -12)], [(52, 30), (41, 0)]],
        samples=[(*SOUND[:6], 25)],
    )
    assert cents(play_tuned(content)) == pytest.approx(1200 + 20 - 1200 + 30 + 25, abs=6)


def test_zones_without_pitch_of_their_own_have_middle_c(play_tuned):
    assert cents(play_tuned(make_soundfont(samples=[(*SOUND[:5], 255, 0)]))) == pytest.approx(900, abs=6)


def test_rates_that_the_synthesiser_cannot_hold(play_tuned):
    assert cents(play_tuned(make_soundfont(samples=[(*SOUND[:4], 88_200, 69, 0)]))) == pytest.approx(1200, abs=6)


def test_one_sample_has_a_tuning_for_each_zone(play_tuned):
    content = make_soundfont(second=[[LOOPED, (58, 64), (53, 0)]])
    wave = play_tuned(content, programs=(0, 1))
    assert [cents(wave), cents(wave[RATE:])] == pytest.approx([0, 500], abs=6)


def test_one_sample_has_a_loudness_for_each_zone(play_tuned):
    wave = np.abs(play_tuned(make_soundfont(second=[[LOOPED, (48, 500), (53, 0)]]), programs=(0, 1)))
    assert wave[RATE + 1000 : RATE + 9000].max() < 0.6 * wave[1000:9000].max()


@pytest.mark.parametrize("pitch", [69, 93, 110, 127])
def test_short_loops_stay_in_tune_and_end(play_tuned, pitch):
    content = make_soundfont(samples=[(0, 20_000, 10_000, 10_100, RATE, 69, 0)])
    expected = 100 * (pitch - 69)
    if pitch < 120:  # above, the sine itself is beyond hearing
        assert cents(play_tuned(content, pitch=pitch)) == pytest.approx(expected, abs=10)
    assert np.isfinite(play_tuned(content, pitch=pitch)).all()


def test_loop_ends_may_move_back(play_tuned):
    content = make_soundfont([[LOOPED, (3, 20), (53, 0)]], samples=[(0, 20_000, 10_000, 10_080, RATE, 69, 0)])
    assert cents(play_tuned(content)) == pytest.approx(0, abs=6)


def test_zones_of_nothing_are_silent(play_tuned):
    """A sample that lies outside of the file, or an index of none, must not reach the synthesiser."""
    for content in (
        make_soundfont(samples=[(0, 4_000_000, 10, 20, RATE, 69, 0)]),
        make_soundfont([[LOOPED, (53, 9)]]),
        make_soundfont(samples=[(500, 400, 10, 20, RATE, 69, 0)]),
    ):
        assert not play_tuned(content).any()


def test_loops_of_nothing_are_left_out(play_tuned):
    wave = play_tuned(make_soundfont([[LOOPED, (35, 0), (53, 0)]], samples=[(0, 20_000, 300, 300, RATE, 69, 0)]))
    assert np.isfinite(wave).all()


def test_compressed_soundfonts_keep_their_sound(tmp_path):
    """Version 3: places are bytes, and the headers of one sample have copies of them."""
    samples = [(0, 1001, 10, 20, RATE, 69, 0)]
    (tmp_path / "a.sf3").write_bytes(make_soundfont(second=[[LOOPED, (58, 64), (53, 0)]], samples=samples, version=3))
    font = read(tuned(tmp_path / "a.sf3", tmp_path))
    assert font.samples["root"].tolist() == [69, 64]
    for sample in font.samples:
        assert font.sound[sample["start"] : sample["end"]].tobytes() == SINE.tobytes()[:1001]


GOOD = make_soundfont()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"MThd",
        b"RIFF\0\0\0\0sfbk",
        b"RIFF\0\0\0\0WAVE",
        GOOD[:-200],
        GOOD.replace(b"igen", b"xxxx"),
        GOOD.replace(b"shdr\x5c", b"shdr\x5b"),
        GOOD.replace(b"ifil\4\0\0\0\2", b"ifil\4\0\0\0\7"),
        make_soundfont(preset_zones=[[(41, 5)]]),
    ],
)
def test_what_is_no_soundfont_is_refused_in_one_sentence(tmp_path, content):
    (tmp_path / "broken.sf2").write_bytes(content)
    with pytest.raises(SoundFontError, match=r"^broken\.sf2 .*\.$"):
        tuned(tmp_path / "broken.sf2", tmp_path / "cache")


def test_files_that_are_too_large_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(soundfont, "MAX_BYTES", 1000)
    (tmp_path / "big.sf2").write_bytes(GOOD)
    with pytest.raises(SoundFontError, match="at most 1,000"):
        tuned(tmp_path / "big.sf2", tmp_path)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_wrong_bytes_are_refused_or_read_never_worse(tmp_path_factory, data):
    """In the tables; what is accepted has samples only inside the file."""
    content = bytearray(GOOD)
    tables = content.index(b"pdta")
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(tables, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fuzz") / "a.sf2"
    path.write_bytes(content)
    try:
        font = read(tuned(path, path.parent))
    except SoundFontError:
        return
    for sample in font.samples:
        assert sample["start"] < sample["end"] <= len(font.sound)
        assert sample["start"] <= sample["loop_start"] <= sample["loop_end"] <= sample["end"]


def test_copies_are_kept_by_content(tmp_path, monkeypatch):
    for name in ("a.sf2", "b.sf2"):
        (tmp_path / name).write_bytes(GOOD)
    first = tuned(tmp_path / "a.sf2", tmp_path / "cache")
    monkeypatch.setattr(soundfont, "tune", lambda font: pytest.fail("made again"))
    assert tuned(tmp_path / "a.sf2", tmp_path / "cache") == tuned(tmp_path / "b.sf2", tmp_path / "cache") == first
    assert os.listdir(tmp_path / "cache") == [first.name]


def test_a_changed_file_has_a_new_copy_and_a_lost_copy_is_made_again(tmp_path):
    path = tmp_path / "a.sf2"
    path.write_bytes(GOOD)
    first = tuned(path, tmp_path / "cache")
    first.unlink()
    assert tuned(path, tmp_path / "cache") == first
    assert first.is_file()
    path.write_bytes(make_soundfont([[LOOPED, (58, 60), (53, 0)]]))
    assert tuned(path, tmp_path / "cache") != first


def test_a_folder_that_cannot_be_written_is_replaced(tmp_path):
    (tmp_path / "a.sf2").write_bytes(GOOD)
    (tmp_path / "occupied").write_bytes(b"a file, not a folder")
    copy = tuned(tmp_path / "a.sf2", tmp_path / "occupied")
    assert tmp_path not in copy.parents
    assert cents(play(copy)) == pytest.approx(0, abs=6)
    assert tuned(tmp_path / "a.sf2", tmp_path / "occupied") == copy


def test_two_processes_at_once(tmp_path):
    (tmp_path / "a.sf2").write_bytes(GOOD)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        copies = pool.starmap(tuned, [(tmp_path / "a.sf2", tmp_path / "cache")] * 4, chunksize=1)
    assert len(set(copies)) == 1
    assert os.listdir(tmp_path / "cache") == [copies[0].name]
    assert read(copies[0]).samples["root"].tolist() == [69]
