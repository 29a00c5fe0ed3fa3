"""Long music in, long music out: a whole song as the latents of its windows, which can be edited and decoded again.

song = encode_song(model, processor, "song.mid")
song = song.smooth(width=4).morph(other, [0, 1]).hold_attribute(vectors["note_density"])
midi = decode_song(model, processor, song)

Tempo map, time and key signatures, lyrics and the instruments that the model does not read stay as they were. What it reads
comes back on its grid of steps, from a melody model one note at a time; `song.rejections` has what was left out or kept.
"""

import copy
import math
from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
import pretty_midi
import torch
from torch import Tensor

from .chord_annotations import find_chords
from .chord_symbols import chord_index, chord_symbol
from .chords import transpose_chords
from .melodies import FIRST_NOTE_ON, NO_EVENT, NOTE_OFF
from .modeling_music_vae import MusicVAEModel
from .note_sequence import MidiSource, NoteSequence, read_midi
from .pieces import Rejection
from .processing_music_vae import MusicVAEProcessor, NoExamplesError
from .representation import Line, Representation
from .song_grid import OtherBars, SongGrid, SongWindow, lay_out
from .song_latents import Song, SongPart, SongTrack

OTHER_METRES = ("refuse", "keep")
TO_C = "to_c"
MAX_TRANSPOSITION = 12
# What a file of three hours with sixteen instruments needs, and what fits in memory.
MAX_LATENTS = 100_000
MAX_LISTED = 8
WINDOWS_AT_A_TIME = 256
DEFAULT_VELOCITY = 80
# Control changes that belong to the sound of an instrument and not to its notes: bank, volume, pan, reverb, chorus.
MIX_CONTROLS = frozenset({0, 7, 10, 32, 91, 93})
_C_MAJOR = np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1], dtype=np.float64)

Progress = Callable[[int, int], None]


class MetreError(ValueError):
    """A song with bars that no window can hold. `rejections` has the metre and the bars, and so does the message."""

    def __init__(self, rejections: list[Rejection]):
        super().__init__(
            f"The song has bars that the model cannot read: {_listed(rejections)}. "
            "With other_metres='keep' their notes stay as they are."
        )
        self.rejections = rejections


@torch.no_grad()
def encode_song(
    model: MusicVAEModel,
    processor: MusicVAEProcessor,
    source: MidiSource,
    batch_size: int = 64,
    progress: Progress | None = None,
    *,
    other_metres: str = "refuse",
    instruments: Collection[int] | None = None,
    transpose: int | str = 0,
) -> Song:
    """Reads a song from its first bar to its last, window after window, along its tempo map.

    What becomes a part depends on the model. Melodies: every pitched instrument, of which one note at a time is kept, the
    highest of those that begin together; a new note ends the one before. Drums and grooves: all drum tracks, joined. Trios:
    the melody and the bass that play in most bars, and the drums. All else is kept for [`decode_song`] as it is.

    A note that is held over the end of a window is struck again in the next, and tied when it is decoded.

    Args:
        source: a path, bytes or `PrettyMIDI`.
        batch_size (`int`, defaults to 64): windows that are encoded at a time.
        progress (*optional*): called with the number of windows that are encoded, and of all.
        other_metres (`str`, defaults to `"refuse"`): what happens to bars in which the parts play and that are not 4/4 (nor
            2/4 or 2/2, nor an upbeat): `"refuse"` raises an error that lists them, `"keep"` leaves their notes as they are.
        instruments (collection of `int`, *optional*): numbers of the instruments to read, from 0; the others stay as they
            are. None: all.
        transpose (`int` or `"to_c"`, defaults to 0): semitones, -12..12, to read the song higher. [`decode_song`] goes back
            to the song's key. `"to_c"` finds the interval, -5..6, that puts most of it on the white keys: then songs in
            different keys can be morphed, and the attribute "c_diatonic" means the song's own scale.

    Raises:
        MidiError: for a file that cannot be read or is too large.
        MetreError: for a song with bars in other metres.
        NoExamplesError: for a song in which the model can read nothing.
        ValueError: for other arguments than the above, or more than 100,000 windows.
    """
    if other_metres not in OTHER_METRES:
        raise ValueError(f"other_metres must be one of {OTHER_METRES}, got {other_metres!r}.")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    midi = read_midi(source)
    notes = NoteSequence.from_pretty_midi(midi)
    codec = processor.codec
    chosen = _choose(midi, notes, instruments)
    transposition = _transposition(notes.select(chosen), transpose)
    grid = lay_out(_transposed(notes, transposition), codec.steps_per_quarter, codec.num_bars)
    lines = list(codec.lines(grid.piece, grid.num_steps, chosen))
    if not lines:
        rejections = codec.extract(notes.select(chosen), "musical").rejections
        why = f": {_listed(rejections)}" if rejections else ""
        raise NoExamplesError(f"The song holds no {codec.music} that this model reads{why}.", rejections)
    read = np.logical_or.reduce([line.read for line in lines])
    other_bars = _where_played(grid, read)
    in_the_way = [bars.rejection for bars in other_bars]
    if in_the_way and other_metres == "refuse":
        raise MetreError(in_the_way)
    if len(lines) * len(grid.windows) > MAX_LATENTS:
        raise ValueError(
            f"The song has {len(lines):,} parts of {len(grid.windows):,} windows; at most {MAX_LATENTS:,} windows in all "
            "can be encoded. Choose some of its instruments."
        )
    parts, played = zip(*(_part(notes, grid, line, codec) for line in lines), strict=True) if grid.windows else ((), ())
    if not any(map(len, played)):
        raise NoExamplesError(f"No window of the song has anything to encode: {_listed(in_the_way)}.", in_the_way)
    latents = _encode(model, codec, np.concatenate(played), batch_size, progress)
    parts = [_with_latents(part, own) for part, own in zip(parts, latents.split(list(map(len, played))), strict=True)]
    return Song(
        parts=tuple(parts),
        windows=tuple(grid.windows),
        representation=processor.representation,
        num_bars=codec.num_bars,
        steps_per_quarter=codec.steps_per_quarter,
        timeline=notes.select(np.zeros(len(notes), dtype=bool)),
        length_bars=grid.num_bars,
        length_seconds=float(midi.get_end_time()),
        transposition=transposition,
        frame=_frame(midi, notes, grid, read, other_bars),
        rejections=tuple(_left_out(notes, grid, lines, other_bars, codec)),
    )


@torch.no_grad()
def decode_song(
    model: MusicVAEModel,
    processor: MusicVAEProcessor,
    song: Song,
    temperature: float | None = None,
    generator: torch.Generator | None = None,
    batch_size: int = 64,
    progress: Progress | None = None,
) -> pretty_midi.PrettyMIDI:
    """Writes a song with as many bars as it had, on its tempo map, with its time and key signatures and its instruments.

    Rests stay rests. Instruments that the model writes keep name, program, bank, volume, pan, reverb and chorus, and lose
    pedal, pitch bends and other control changes, which belonged to the notes they had. A window is as loud as it was on
    average; grooves bring their own dynamics.

    Args:
        temperature (`float`, *optional*): of the draws; None takes the likeliest events.
        generator (`torch.Generator`, *optional*): for the draws. The same seed and `batch_size` give the same song.
        batch_size (`int`, defaults to 64): windows that are decoded at a time.
        progress (*optional*): called with the number of windows that are decoded, and of all.

    Raises:
        ValueError: for a song that was encoded for another processor, or a model whose latents have another size.
    """
    codec = processor.codec
    given = (processor.representation, codec.num_bars, codec.steps_per_quarter)
    if given != (song.representation, song.num_bars, song.steps_per_quarter):
        raise ValueError(
            f"The song was encoded as {song.num_bars}-bar {song.representation} with {song.steps_per_quarter} steps per "
            f"quarter; the processor reads {codec.num_bars}-bar {processor.representation} with {codec.steps_per_quarter}."
        )
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    jobs = [(part, window) for part in song.parts for window in torch.nonzero(~part.rests)[:, 0].tolist()]
    writers = {id(part): [_TrackWriter(track) for track in part.tracks] for part in song.parts}
    for start in range(0, len(jobs), batch_size):
        batch = jobs[start : start + batch_size]
        controls = {}
        if batch[0][0].controls is not None:
            controls["controls"] = torch.stack([part.controls[window] for part, window in batch])
        latents = torch.stack([part.latents[window] for part, window in batch])
        sequences = model.decode(
            latents,
            length=codec.window_steps,
            temperature=temperature,
            generator=generator,
            batch_size=batch_size,
            **controls,
        )
        for (part, window), sequence in zip(batch, sequences.cpu().numpy(), strict=True):
            _write(writers[id(part)], codec, song, part, window, sequence)
        if progress is not None:
            progress(min(start + batch_size, len(jobs)), len(jobs))
    midi = _copy_midi(song.frame)
    for writer in (writer for part in song.parts for writer in writers[id(part)]):
        instrument = midi.instruments[writer.track.instrument]
        instrument.notes = sorted(
            instrument.notes + writer.notes(song.timeline, -song.transposition), key=lambda note: (note.start, note.pitch)
        )
    if midi.get_end_time() < song.length_seconds:  # a song that ends with a rest is as long as it was
        midi.text_events.append(pretty_midi.Text("", song.length_seconds))
    return midi


def _choose(midi: pretty_midi.PrettyMIDI, notes: NoteSequence, instruments: Collection[int] | None) -> np.ndarray:
    """The notes (N,) of the chosen instruments, bool."""
    if instruments is None:
        return np.ones(len(notes), dtype=bool)
    if not len(instruments) or not all(number in range(len(midi.instruments)) for number in instruments):
        raise ValueError(
            f"instruments must be numbers 0..{len(midi.instruments) - 1} of the song's instruments, got {list(instruments)}."
        )
    return np.isin(notes.instrument, list(instruments))


def _transposition(notes: NoteSequence, transpose: int | str) -> int:
    """The interval in semitones that is asked for."""
    if transpose == TO_C:
        pitched = ~notes.is_drum
        lengths = (notes.end_quarter - notes.start_quarter)[pitched]
        share = np.bincount(notes.pitch[pitched] % 12, weights=lengths, minlength=12)
        on_white_keys = {interval: round(float(np.roll(share, interval) @ _C_MAJOR), 6) for interval in range(-5, 7)}
        return max(sorted(on_white_keys, key=abs), key=on_white_keys.get)
    if transpose not in range(-MAX_TRANSPOSITION, MAX_TRANSPOSITION + 1):
        raise ValueError(f"transpose must be {-MAX_TRANSPOSITION}..{MAX_TRANSPOSITION} or {TO_C!r}, got {transpose!r}.")
    return transpose


def _transposed(notes: NoteSequence, interval: int) -> NoteSequence:
    """The notes `interval` semitones higher, and the chord symbols with them."""
    if interval == 0:
        return notes
    chords = [(seconds, quarter, _transposed_symbol(symbol, interval)) for seconds, quarter, symbol in find_chords(notes)[0]]
    pitch = np.where(notes.is_drum, notes.pitch, _in_midi_range(notes.pitch + interval))
    return replace(notes, pitch=pitch, chords=chords or None, texts=[])


def _transposed_symbol(symbol: str, interval: int) -> str:
    return chord_symbol(int(transpose_chords(np.array(chord_index(symbol)), interval)))


def _in_midi_range(pitch):
    """Pitches of up to an octave outside 0..127, an octave nearer."""
    return pitch - 12 * (pitch > 127) + 12 * (pitch < 0)


def _where_played(grid: SongGrid, read: np.ndarray) -> list[OtherBars]:
    """The bars in other metres in which notes that are `read` (N,) sound."""
    first, after = _overlaps(grid, read, [(bars.first_step, bars.end_step) for bars in grid.other_bars])
    edges = np.zeros(len(grid.other_bars) + 1, dtype=np.int64)
    np.add.at(edges, first, 1)
    np.add.at(edges, after, -1)
    return [bars for bars, count in zip(grid.other_bars, np.cumsum(edges), strict=False) if count]


def _overlaps(grid: SongGrid, read: np.ndarray, spans: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """For each note (N,) the number of the first of `spans` (first step, step after the last) in which it sounds, and the
    number after the last of them. A hit of a drum is only where it begins; what is not `read` is nowhere."""
    piece = grid.piece
    starts, ends = np.array(spans, dtype=np.int64).reshape(-1, 2).T
    until = np.where(piece.notes.is_drum, piece.start_step + 1, piece.end_step)
    first = np.searchsorted(ends, piece.start_step, side="right")
    return first, np.where(read, np.maximum(np.searchsorted(starts, until), first), first)


def _part(notes: NoteSequence, grid: SongGrid, line: Line, codec: Representation) -> tuple[SongPart, np.ndarray]:
    """A part with no latents yet, and the examples (M, *example_shape) of the windows in which it plays."""
    examples, ties, held = _cut(grid, line, codec)
    first = grid.window_steps
    end = first + [window.end_step - window.first_step for window in grid.windows]
    start_step, pitch, velocity = grid.piece.start_step, notes.pitch, notes.velocity
    window_of = np.searchsorted(first, start_step, side="right") - 1
    begins = line.read & (window_of >= 0) & (start_step < end[np.clip(window_of, 0, None)])
    plays = held | (np.bincount(window_of[begins], minlength=len(first)) > 0)
    velocities = np.empty((len(first), len(line.instruments)))
    for track, numbers in enumerate(line.instruments):
        own = line.read & np.isin(notes.instrument, numbers)
        counts = np.bincount(window_of[own & begins], minlength=len(first))
        sums = np.bincount(window_of[own & begins], velocity[own & begins], minlength=len(first))
        mean = velocity[own].mean()
        velocities[:, track] = np.where(counts > 0, sums / np.maximum(counts, 1), mean)
    tracks = []
    for numbers in line.instruments:
        own = np.flatnonzero(notes.instrument == numbers[0])[0]
        name = notes.instrument_names[numbers[0]]
        tracks.append(SongTrack(name, int(notes.program[own]), bool(notes.is_drum[own]), numbers[0]))
    part = SongPart(
        tracks=tuple(tracks),
        latents=torch.zeros(len(first), 0),
        rests=torch.from_numpy(~plays),
        ties=torch.from_numpy(ties),
        velocities=torch.from_numpy(velocities).float(),
        register=float(pitch[line.read].mean()),
        controls=_controls(codec, examples) if codec.control_size else None,
    )
    return part, examples[plays]


def _cut(grid: SongGrid, line: Line, codec: Representation) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A line in windows (W, *example_shape), filled up with rests where they reach out of the song.

    What is held over the beginning of a window is struck again, what is held over the end of a cut-off one ends there.

    Returns:
        the windows, whether they begin with a note that is held over from the window before (W, tracks), and whether they
        begin with one from anywhere (W,).
    """
    num_windows, steps = len(grid.windows), line.steps
    windows = np.zeros((num_windows, *codec.example_shape), dtype=codec.example_dtype)
    first = np.array([window.first_step for window in grid.windows], dtype=np.int64)
    end = np.array([window.end_step for window in grid.windows], dtype=np.int64)
    for number, (begin, start, stop) in enumerate(zip(grid.window_steps, first, end, strict=True)):
        windows[number, start:stop] = steps[begin : begin + stop - start]
    ties, held = np.zeros((num_windows, len(line.instruments)), dtype=bool), np.zeros(num_windows, dtype=bool)
    follows = np.concatenate([[False], (grid.window_steps + end - first)[:-1] == grid.window_steps[1:]])
    columns = windows.reshape(num_windows, codec.window_steps, math.prod(codec.step_shape))
    every_window = np.arange(num_windows)
    for track in codec.melodic:
        events = steps.reshape(len(steps), -1)[:, track]
        latest = np.maximum.accumulate(np.where(events != NO_EVENT, np.arange(len(events)), -1))
        sounding = np.append(np.where((latest >= 0) & (events[latest] >= FIRST_NOTE_ON), events[latest], NO_EVENT), NO_EVENT)
        before = sounding[grid.window_steps - 1]  # at step 0 the appended last one: nothing
        own = columns[every_window, first, track]
        restruck = (own == NO_EVENT) & (before != NO_EVENT)
        columns[every_window, first, track] = np.where(restruck, before, np.where(own == NOTE_OFF, NO_EVENT, own))
        ties[:, track], held = restruck & follows, held | restruck
        cut = np.flatnonzero((end < codec.window_steps) & (sounding[grid.window_steps + end - first - 1] != NO_EVENT))
        columns[cut, end[cut], track] = NOTE_OFF
    return windows, ties, held


def _controls(codec: Representation, examples: np.ndarray) -> Tensor:
    batches = range(0, len(examples), WINDOWS_AT_A_TIME)
    return torch.cat([codec.features(examples[start : start + WINDOWS_AT_A_TIME])["controls"] for start in batches])


def _encode(
    model: MusicVAEModel, codec: Representation, examples: np.ndarray, batch_size: int, progress: Progress | None
) -> Tensor:
    """Examples (N, *example_shape) to the means of their posteriors (N, latent_size), float32 in main memory."""
    latents = []
    for start in range(0, len(examples), batch_size):
        features = codec.features(examples[start : start + batch_size])
        controls = {"controls": features["controls"].to(model.device)} if "controls" in features else {}
        latents.append(model.encode(features["input_values"].to(model.device), **controls).mean.float().cpu())
        if progress is not None:
            progress(min(start + batch_size, len(examples)), len(examples))
    return torch.cat(latents)


def _with_latents(part: SongPart, latents: Tensor) -> SongPart:
    """The part with latents (M, latent_size) for the windows in which it plays."""
    filled = torch.zeros(len(part.rests), latents.shape[1])
    filled[~part.rests] = latents
    return replace(part, latents=filled)


def _frame(
    midi: pretty_midi.PrettyMIDI, notes: NoteSequence, grid: SongGrid, read: np.ndarray, other_bars: list[OtherBars]
) -> pretty_midi.PrettyMIDI:
    """The file with all that the parts do not hold: notes (N,) that are not `read`, and those of bars in other metres, cut
    off where these begin and end."""
    stretches: list[OtherBars] = []
    for bars in other_bars:
        if stretches and stretches[-1].end_step == bars.first_step:
            bars = replace(bars, start_quarter=stretches[-1].start_quarter, first_step=stretches.pop().first_step)
        stretches.append(bars)
    starts = notes.seconds_at(np.array([stretch.start_quarter for stretch in stretches]))
    ends = notes.seconds_at(np.array([stretch.end_quarter for stretch in stretches]))
    first, after = _overlaps(grid, read, [(stretch.first_step, stretch.end_step) for stretch in stretches])
    frame = _copy_midi(midi)
    for number in np.unique(notes.instrument[read]).tolist():
        instrument, rows = frame.instruments[number], np.flatnonzero(notes.instrument == number)
        kept = []
        for note, row in zip(instrument.notes, rows, strict=True):
            if not read[row]:
                kept.append(note)
            for stretch in range(first[row], after[row]):
                start, end = max(note.start, float(starts[stretch])), min(note.end, float(ends[stretch]))
                if end <= start:  # a short note just before the bar line, to which it was rounded
                    start, end = note.start, note.end
                kept.append(pretty_midi.Note(note.velocity, note.pitch, start, end))
        instrument.notes = kept
        instrument.pitch_bends = []
        instrument.control_changes = [change for change in instrument.control_changes if change.number in MIX_CONTROLS]
    return frame


def _left_out(
    notes: NoteSequence, grid: SongGrid, lines: list[Line], other_bars: list[OtherBars], codec: Representation
) -> list[Rejection]:
    """By instrument, what the parts do not hold."""
    rejections = []
    read = np.logical_or.reduce([line.read for line in lines])
    for number in np.unique(notes.instrument).tolist():
        name, own = repr(notes.instrument_names[number]), notes.instrument == number
        unread = notes.pitch[own & ~read]
        if len(unread) == own.sum():
            rejections.append(Rejection(f"kept as it is; this model reads {codec.music}", name))
        elif len(unread):
            pitches = f"MIDI pitches {unread.min()}-{unread.max()}"
            rejections.append(Rejection(f"{len(unread)} notes that this model does not have ({pitches}) are kept", name))
    in_windows = np.ones(grid.num_steps, dtype=bool)
    for bars in other_bars:
        in_windows[bars.first_step : bars.end_step] = False
    for line in lines:
        for track in codec.melodic:
            own = line.read & np.isin(notes.instrument, line.instruments[track])
            count = int(in_windows[grid.piece.start_step[own]].sum())
            events = line.steps.reshape(grid.num_steps, -1)[in_windows, track]
            lost = count - int((events >= FIRST_NOTE_ON).sum())
            if lost:
                reason = f"{lost} of {count} notes begin together with a higher one and are left out"
                rejections.append(Rejection(reason, repr(notes.instrument_names[line.instruments[track][0]])))
    return rejections + [bars.rejection for bars in other_bars]


class _TrackWriter:
    """Gathers the notes of one track, window after window."""

    def __init__(self, track: SongTrack):
        self.track = track
        self.rows: list[list[float]] = []  # pitch, velocity, start and end in quarter notes of the song

    def add(self, pitch: int, velocity: int, start: float, end: float, tied: bool):
        """`tied`: where the note before ends as this one begins, at the same pitch, they are one."""
        last = self.rows[-1] if self.rows else None
        if tied and last is not None and last[0] == pitch and abs(last[3] - start) < 1e-6:
            last[3] = end
        else:
            self.rows.append([pitch, velocity, start, end])

    def notes(self, timeline: NoteSequence, interval: int) -> list[pretty_midi.Note]:
        """The notes in seconds, those of pitched instruments `interval` semitones higher."""
        pitch, velocity, start, end = np.array(self.rows, dtype=np.float64).reshape(-1, 4).T
        if not self.track.is_drum:
            pitch = _in_midi_range(pitch + interval)
        rows = zip(velocity, pitch, timeline.seconds_at(start.clip(min=0.0)), timeline.seconds_at(end), strict=True)
        return [pretty_midi.Note(int(v), int(p), float(s), float(e)) for v, p, s, e in rows]


def _write(
    writers: list[_TrackWriter], codec: Representation, song: Song, part: SongPart, number: int, sequence: np.ndarray
):
    """Adds what a window's sequence (T, *sequence_shape) holds within the song."""
    window = song.windows[number]
    sequence = sequence.copy()
    sequence[: window.first_step], sequence[window.end_step :] = 0, 0
    # One step of rest before the window: what is early on its first step begins there.
    sequence = np.concatenate([np.zeros_like(sequence[:1]), sequence])
    instruments = codec.instruments(sequence, 1.0, 0, DEFAULT_VELOCITY)
    for track, (writer, instrument) in enumerate(zip(writers, instruments, strict=True)):
        tied = bool(part.ties[number, track])
        loudness = max(1, min(127, round(part.velocities[number, track].item())))
        for note in sorted(instrument.notes, key=lambda note: note.start):
            start, end = note.start - 1, note.end - 1
            if not writer.track.is_drum:
                end = min(end, window.end_step)
            velocity = note.velocity if codec.output_type == "groove" else loudness
            quarters = (window.start_quarter + step / song.steps_per_quarter for step in (start, end))
            writer.add(note.pitch, velocity, *quarters, tied=tied and start == window.first_step)


def _copy_midi(midi: pretty_midi.PrettyMIDI) -> pretty_midi.PrettyMIDI:
    """A deep copy, in a fraction of the time that `copy.deepcopy` takes over notes."""
    bare = copy.copy(midi)
    bare.instruments = []
    result = copy.deepcopy(bare)
    for instrument in midi.instruments:
        twin = pretty_midi.Instrument(instrument.program, instrument.is_drum, instrument.name)
        twin.notes = [pretty_midi.Note(note.velocity, note.pitch, note.start, note.end) for note in instrument.notes]
        twin.pitch_bends = [pretty_midi.PitchBend(bend.pitch, bend.time) for bend in instrument.pitch_bends]
        twin.control_changes = [
            pretty_midi.ControlChange(change.number, change.value, change.time) for change in instrument.control_changes
        ]
        result.instruments.append(twin)
    return result


def _listed(rejections: list[Rejection]) -> str:
    more = f"; and {len(rejections) - MAX_LISTED} more" if len(rejections) > MAX_LISTED else ""
    return "; ".join(map(str, rejections[:MAX_LISTED])) + more


__all__ = ["MetreError", "Song", "SongPart", "SongTrack", "SongWindow", "decode_song", "encode_song"]
