"""What a track of a measure can be, event by event: nothing else is drawn where this grammar is asked for.

The original draws from all events at every step, and a network that has learned well hardly errs. The grammar takes away
what makes no sense in a measure, and leaves the rest as likely, one against the other, as the network has it.
"""

import torch
from torch import Tensor

from .multitrack_events import (
    DRUMS,
    DURATIONS,
    END,
    MAX_TRACK_TOKENS,
    NOTE_OFF,
    NOTE_ON,
    NUM_EVENTS,
    PROGRAM,
    STEPS_PER_BAR,
    TIME_SHIFT,
    VELOCITY,
)

MIN_TRACKS = 2  # of a measure: they are its first


class TrackGrammar:
    """The rules, and where each row of a decoder stands in its track.

    A track begins with its program, or is missing: an end token alone, but for the first two of a measure. Notes that do not
    sound begin; those that sound, and have lasted, end. Time goes on to the end of the bar and no further, where what still
    sounds may end and the track has to; it has at least one note. Velocities are followed by notes. Sixty-four tokens
    suffice.

    Args:
        tracks (`Tensor` of shape (rows,), int64): which track of its measure each row is, from 0.
    """

    def __init__(self, tracks: Tensor):
        device = tracks.device
        self.tracks = tracks
        self.positions = torch.zeros_like(tracks)  # steps since the bar line
        # Where each sounding note began; -1: it does not sound.
        self.begun = torch.full((len(tracks), NOTE_OFF - NOTE_ON), -1, dtype=torch.int16, device=device)
        self.has_notes = torch.zeros_like(tracks, dtype=torch.bool)
        self.after_velocity = torch.zeros_like(self.has_notes)
        self.durations = torch.as_tensor(DURATIONS, device=device)
        self.shifts = self.durations[TIME_SHIFT:VELOCITY]
        self.step = 0

    def legal(self) -> Tensor:
        """The events that may come next: bool (rows, 490), at least one in each row."""
        rows = len(self.tracks)
        legal = torch.zeros(rows, NUM_EVENTS, dtype=torch.bool, device=self.tracks.device)
        if self.step == 0:
            legal[:, PROGRAM : DRUMS + 1] = True
            legal[:, END] = self.tracks >= MIN_TRACKS
            return legal
        left = (STEPS_PER_BAR - self.positions).unsqueeze(-1)
        over = left.squeeze(-1) == 0
        if self.step == MAX_TRACK_TOKENS - 1:
            legal[:, END] = True
            return legal
        if self.step == MAX_TRACK_TOKENS - 2:  # room for one more: to the end of the bar, if not there yet
            legal[:, TIME_SHIFT:VELOCITY] = self.shifts == left
            legal[:, END] = over
            return legal
        sounds = self.begun >= 0
        legal[:, NOTE_ON:NOTE_OFF] = ~sounds & (left > 0)
        ends = sounds & (self.begun < self.positions.unsqueeze(-1)) & ~self.after_velocity.unsqueeze(-1)
        legal[:, NOTE_OFF:TIME_SHIFT] = ends
        goes_on = ~self.after_velocity.unsqueeze(-1)
        room = torch.where(self.has_notes.unsqueeze(-1), left, left - 1)  # a bar that is over has had a note
        legal[:, TIME_SHIFT:VELOCITY] = (self.shifts <= room) & goes_on
        has_room = self.step < MAX_TRACK_TOKENS - 3
        legal[:, VELOCITY:PROGRAM] = (left > 0) & goes_on & has_room & ~sounds.all(dim=-1, keepdim=True)
        legal[:, END] = over
        return legal

    def advance(self, labels: Tensor, kept: Tensor | None):
        """The events (rows,) that were written, and those rows (indices) that go on; None: all."""
        self.step += 1
        rows = torch.arange(len(labels), device=labels.device)
        is_on = labels < NOTE_OFF
        is_off = (labels >= NOTE_OFF) & (labels < TIME_SHIFT)
        pitches = labels % (NOTE_OFF - NOTE_ON)
        self.begun[rows[is_on], pitches[is_on]] = self.positions[is_on].to(self.begun.dtype)
        self.begun[rows[is_off], pitches[is_off]] = -1
        self.has_notes = self.has_notes | is_on
        self.after_velocity = (labels >= VELOCITY) & (labels < PROGRAM)
        self.positions = self.positions + self.durations[labels]
        if kept is not None:
            self.tracks, self.positions, self.begun = self.tracks[kept], self.positions[kept], self.begun[kept]
            self.has_notes, self.after_velocity = self.has_notes[kept], self.after_velocity[kept]
