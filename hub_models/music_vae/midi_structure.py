"""Is this a well-formed Standard MIDI File? Asked before any byte reaches symusic, whose C++ reader trusts the lengths in
the file and crashes the process (segmentation fault) on chunks, events or variable-length numbers that run past the end."""

import re

HEADER_LENGTH = 14
# Channel messages, each after its delta time: a status byte with two data bytes or one, and any number of messages more
# that leave the status byte out (running status). The quantifiers take all they can and never go back.
_DELTA, _DATA = rb"[\x80-\xff]{0,3}+[\x00-\x7f]", rb"[\x00-\x7f]"
_CHANNEL_EVENTS = re.compile(
    rb"(?:%b(?:[\x80-\xbf\xe0-\xef]%b{2}(?:%b%b{2})*+|[\xc0-\xdf]%b(?:%b%b)*+))*+"
    % (_DELTA, _DATA, _DELTA, _DATA, _DATA, _DELTA, _DATA)
)


class MidiError(ValueError):
    """A MIDI file that cannot be read or is larger than allowed; the message is one sentence for a person."""


def check_midi_structure(data: bytes) -> None:
    """Walks through every chunk and event of a MIDI file without making anything of them.

    Raises:
        MidiError: where a chunk, an event or a number in it runs past its end, or an event has no status.
    """
    if len(data) < HEADER_LENGTH or data[:4] != b"MThd" or int.from_bytes(data[4:8], "big") != 6:
        raise MidiError("The MIDI file is broken: it has no complete header.")
    where, tracks = HEADER_LENGTH, 0
    while where < len(data):
        end = where + 8 + int.from_bytes(data[where + 4 : where + 8], "big")
        if end > len(data) or where + 8 > len(data):
            raise MidiError("The MIDI file is broken: it ends in the middle of a track.")
        if data[where : where + 4] == b"MTrk":
            tracks += 1
            try:
                _check_track(data[where + 8 : end])
            except (IndexError, MidiError) as error:
                raise MidiError(f"The MIDI file is broken: track {tracks} holds an event that makes no sense.") from error
        where = end
    if tracks == 0:
        raise MidiError("The MIDI file is broken: it holds no track.")


def _check_track(track: bytes) -> None:
    """IndexError where an event runs past the end, MidiError for one that cannot be."""
    where, end = 0, len(track)
    while True:
        where = _CHANNEL_EVENTS.match(track, where).end()  # nearly all of a file, at the speed of C
        if where == end:
            return
        where = _skip_number(track, where)  # delta time
        status = track[where]
        if status not in (0xF0, 0xF7, 0xFF):
            raise MidiError("an event has no status byte, or a data byte over 127, or stands in no file")
        where += 2 if status == 0xFF else 1
        start = where
        where = _skip_number(track, where)
        length = 0
        for byte in track[start:where]:
            length = length << 7 | byte & 0x7F
        where += length
        if where > end:
            raise MidiError("an event runs past the end of its track")


def _skip_number(track: bytes, where: int) -> int:
    """Where the variable-length number at `where`, of at most four bytes, ends."""
    for _ in range(4):
        where += 1
        if track[where - 1] < 0x80:
            return where
    raise MidiError("a number is too long")
