"""Is this a well-formed Standard MIDI File? Asked before any byte reaches symusic, whose C++ reader trusts the lengths in
the file and crashes the process (segmentation fault) on chunks, events or variable-length numbers that run past the end."""

HEADER_LENGTH = 14
# Data bytes after a status byte of a channel message, by its upper four bits from 0x8.
_DATA_BYTES = (2, 2, 2, 2, 1, 1, 2)


class MidiError(ValueError):
    """A MIDI file that cannot be read or is larger than allowed; the message is one sentence for a person."""


def check_midi_structure(data: bytes) -> None:
    """Walks through every chunk and event of a MIDI file without making anything of them.

    Takes about a second for the largest file that is accepted (5 MB), milliseconds for a usual one.

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
    where, end, data_bytes = 0, len(track), 0
    while where < end:
        where = _skip_number(track, where)  # delta time
        status = track[where]
        if status < 0xF0:
            if status >= 0x80:
                data_bytes = _DATA_BYTES[(status >> 4) - 8]
                where += 1
            elif not data_bytes:  # running status: this is the first data byte already
                raise MidiError("an event has no status byte")
            if track[where] >= 0x80 or track[where + data_bytes - 1] >= 0x80:
                raise MidiError("a data byte is over 127")
            where += data_bytes
        elif status in (0xF0, 0xF7, 0xFF):
            where += 2 if status == 0xFF else 1
            start = where
            where = _skip_number(track, where)
            length = 0
            for byte in track[start:where]:
                length = length << 7 | byte & 0x7F
            where += length
            data_bytes = 0
        else:
            raise MidiError("a system message stands in a file")
        if where > end:
            raise MidiError("an event runs past the end of its track")


def _skip_number(track: bytes, where: int) -> int:
    """Where the variable-length number at `where`, of at most four bytes, ends."""
    for _ in range(4):
        where += 1
        if track[where - 1] < 0x80:
            return where
    raise MidiError("a number is too long")
