"""Controls that a decoder reads by the time in the music, where its events themselves say how time goes on."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TimedControls:
    """Controls by time, such as the chords of a bar at each of its 96 steps. Decoders whose events move time on, as those of
    a multitrack measure do, read at every event what holds at its own position: they need not know beforehand how many
    events they will write up to a change of chord.

    Args:
        values (`Tensor` of shape (B, steps, control_size), or (1, steps, control_size) for all): the controls by time; those
            of the last step hold on.
        durations (`Tensor` of shape (output_size,), int64): by how many steps each event moves time on.
        first (`Tensor` of shape (control_size,)): what the first event of each segment reads, whatever the time.
    """

    values: Tensor
    durations: Tensor
    first: Tensor

    def check(self, batch_size: int, control_size: int, output_size: int):
        """Raises ValueError where the shapes do not fit a model and a batch."""
        fits = self.values.ndim == 3 and len(self.values) in (1, batch_size) and self.values.shape[2] == control_size
        if not fits or self.durations.shape != (output_size,) or self.first.shape != (control_size,):
            raise ValueError(
                f"Timed controls need values ({batch_size} or 1, steps, {control_size}), durations ({output_size},) and "
                f"first ({control_size},); got {tuple(self.values.shape)}, {tuple(self.durations.shape)} and "
                f"{tuple(self.first.shape)}."
            )

    def __getitem__(self, items: slice) -> "TimedControls":
        """Those of some items of the batch."""
        values = self.values if len(self.values) == 1 else self.values[items]
        return TimedControls(values, self.durations, self.first)

    def to(self, reference: Tensor) -> "TimedControls":
        """On the device and in the type of `reference`."""
        return TimedControls(self.values.to(reference), self.durations.to(reference.device), self.first.to(reference))


class ControlCursor:
    """What decoders that end each on their own read next.

    Args:
        controls (`Tensor` of shape (rows, length, control_size), or [`TimedControls`] of B items): one row of the decoder
            each; of timed controls, row r belongs to item `items[r]`.
        items (`Tensor` of shape (rows,), int64).
    """

    def __init__(self, controls: Tensor | TimedControls, items: Tensor):
        self.controls = controls
        self.rows = torch.arange(len(items), device=items.device)
        self.items = items if isinstance(controls, Tensor) or len(controls.values) > 1 else torch.zeros_like(items)
        self.positions = torch.zeros_like(items)
        self.step = 0

    def read(self) -> Tensor:
        """The controls (open rows, control_size) of the next event."""
        if isinstance(self.controls, Tensor):
            return self.controls[self.rows, self.step]
        if self.step == 0:
            return self.controls.first.expand(len(self.rows), -1)
        last = self.controls.values.shape[1] - 1
        return self.controls.values[self.items[self.rows], self.positions.clamp(max=last)]

    def advance(self, labels: Tensor, kept: Tensor | None):
        """The events (open rows,) that were written, and those rows (indices) that go on; None: all."""
        self.step += 1
        if not isinstance(self.controls, Tensor):
            self.positions = self.positions + self.controls.durations[labels]
        if kept is not None:
            self.rows, self.positions = self.rows[kept], self.positions[kept]
