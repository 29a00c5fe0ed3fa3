"""Hostile, broken and huge MIDI: one clear sentence, quickly, and nothing else happens."""

import io
import struct

import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_models import MusicVAEProcessor
from hub_models.music_vae import MidiError, MidiLimits, NoExamplesError, read_midi
from hub_models.music_vae.note_sequence import parse_score

from .conftest import make_midi, scale


def midi_bytes(midi: pretty_midi.PrettyMIDI) -> bytes:
    buffer = io.BytesIO()
    midi.write(buffer)
    return buffer.getvalue()


def raw_midi(track: bytes, division: int = 480, num_tracks: int = 1) -> bytes:
    """A file of one track with these event bytes."""
    header = b"MThd" + struct.pack(">IHHH", 6, 1, num_tracks, division)
    return header + b"MTrk" + struct.pack(">I", len(track)) + track


def number(value: int) -> bytes:
    """A variable-length number."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(0x80 | value & 0x7F)
    return bytes(reversed(digits))


END = b"\x00\xff\x2f\x00"
NOTE = b"\x00\x90\x3c\x50" + number(480) + b"\x80\x3c\x00"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (b"RIFF....WAVE", "no Standard MIDI File"),
        (b"MThd", "header is cut short"),
        (raw_midi(NOTE + END, division=0), "time division of zero"),
        (raw_midi(NOTE + END, division=0xE728), "SMPTE"),
        (raw_midi(NOTE + END, num_tracks=3), "announces 3 tracks and holds 1"),
        (raw_midi(b"\x00\xff\x51\x03\x00\x00\x00" + NOTE + END), "tempo of zero"),
        (raw_midi(b"\x00\xff\x58\x04\x00\x02\x18\x08" + NOTE + END), "time signature of zero"),
        (raw_midi(b"\x00\x3c\x50"), "event that makes no sense"),
        (raw_midi(NOTE + b"\x00\x90\x3c"), "event that makes no sense"),
        (raw_midi(b"\x00\xff\x01\x7f"), "event that makes no sense"),
        (raw_midi(NOTE + (number(2**28 - 1) + b"\x90\x3c\x50" + b"\x10\x80\x3c\x00") * 3 + END), "at most"),
        (bytes(5_000_001), "5,000,001 bytes; at most 5,000,000"),
    ],
)
def test_each_gives_one_clear_sentence(data, sentence):
    with pytest.raises(MidiError) as error:
        read_midi(data)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 250


def test_too_many_notes_are_refused():
    data = raw_midi(b"\x00\x90\x3c\x50" + b"\x01\x3c\x00\x01\x3c\x50" * 100_001 + END)
    with pytest.raises(MidiError, match="notes; at most 100,000"):
        read_midi(data)


def test_a_file_of_ten_hours_is_refused():
    with pytest.raises(MidiError, match=r"10\.0 hours; at most 3\.0"):
        read_midi(midi_bytes(make_midi([(60, 0, 1), (62, 71_999, 72_000)])))


def test_limits_can_be_changed():
    data = midi_bytes(make_midi(scale(8)))
    assert len(read_midi(data, MidiLimits(max_notes=8)).instruments[0].notes) == 8
    with pytest.raises(MidiError, match="8 notes; at most 7"):
        read_midi(data, MidiLimits(max_notes=7))


def test_two_thousand_tempo_changes_are_read():
    events = b"".join(
        number(240)
        + b"\xff\x51\x03"
        + (400_000 + 37 * i).to_bytes(3, "big")  # a tempo, and a note
        + b"\x00\x90\x3c\x50"
        + number(240)
        + b"\x80\x3c\x00"
        for i in range(2000)
    )
    data = raw_midi(events + END)
    processor = MusicVAEProcessor("melody")
    assert len(processor(data)["labels"]) == 1  # one note on every off-beat: the same two bars throughout
    with pytest.raises(NoExamplesError, match="shorter than 2 bars"):
        processor(data, mode="original")


def test_a_missing_file_is_named_without_its_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no MIDI file 'song\.mid'"):
        read_midi(tmp_path / "song.mid")


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="got int"):
        read_midi(5)


def test_a_last_track_announced_too_long_is_read():
    data = midi_bytes(make_midi(scale(8)))
    position = data.rindex(b"MTrk") + 4
    longer = data[:position] + b"\x00\x0f\xff\xff" + data[position + 4 :]
    assert len(read_midi(longer).instruments[0].notes) == 8
    assert len(read_midi(data + b"\x00\x00").instruments[0].notes) == 8


@settings(deadline=None, max_examples=150)
@given(data=st.binary(max_size=300))
def test_random_bytes_never_do_harm(data):
    for candidate in (data, b"MThd" + data, raw_midi(data)):
        try:
            read_midi(candidate)
        except MidiError as error:
            assert "\n" not in str(error)


@settings(deadline=None, max_examples=150)
@given(
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=12),
    cut=st.integers(0, 400),
)
def test_damaged_files_are_read_or_refused(changes, cut):
    data = bytearray(midi_bytes(make_midi(scale(16))))
    for position, value in changes:
        data[position % len(data)] = value
    damaged = bytes(data[: max(len(data) - cut, 1)])
    for read in (read_midi, parse_score):
        try:
            music = read(damaged)
        except MidiError as error:
            assert "\n" not in str(error)
            continue
        for mode in ("musical", "original"):
            try:
                MusicVAEProcessor("melody")(music, mode=mode)
            except NoExamplesError as error:
                assert error.rejections or "no notes" in str(error)
