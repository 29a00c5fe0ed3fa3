"""Tiny performances and short runs of a tiny Transformer Autoencoder, made in code."""

import numpy as np
import pretty_midi

from hub_models.transformer_autoencoder import train

CONTEXT = 32
TINY = [
    "hidden_size=16",
    "num_hidden_layers=2",
    "num_attention_heads=2",
    "key_size=16",
    "intermediate_size=32",
    "max_relative_position=16",
    f"context_length={CONTEXT}",
]
ENCODERS = {
    "unconditional": [],
    "performance": ["performance_encoder=style"],
    "melody": ["melody_encoder=true"],
    "melody-performance": ["performance_encoder=style", "melody_encoder=true"],
}


def performance(seed, notes=60, lowest=40, highest=85, pedal=True):
    """Notes of random pitch, loudness and length, one about every 0.2 s, with a pedal."""
    draw = np.random.default_rng(seed)
    midi = pretty_midi.PrettyMIDI()
    piano = pretty_midi.Instrument(0, name="PIANO")
    time = 0.0
    for _ in range(notes):
        time += float(draw.uniform(0.05, 0.35))
        length = float(draw.uniform(0.05, 0.6))
        pitch, velocity = int(draw.integers(lowest, highest + 1)), int(draw.integers(20, 120))
        piano.notes.append(pretty_midi.Note(velocity, pitch, time, time + length))
    if pedal:
        piano.control_changes += [
            pretty_midi.ControlChange(64, 127 * (number % 2), number * time / 8) for number in range(8)
        ]
    midi.instruments.append(piano)
    return midi


def write_performances(folder, count=6):
    """Performances of different lengths; the last two are for validation. Gives the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["file,split"]
    for number in range(count):
        performance(number, 40 + 10 * number).write(str(folder / f"piece{number}.mid"))
        rows.append(f"piece{number}.mid,{'validation' if number >= count - 2 else 'train'}")
    (folder / "splits.csv").write_text("\n".join(rows) + "\n")
    return folder


def command(folder, output, *more, encoders="unconditional", max_steps=2):
    """Arguments of a short silent run on CPU. `encoders=None` leaves the model to `more`."""
    override = [] if encoders is None else ["--override", *TINY, *ENCODERS[encoders]]
    return [
        *("--data", str(folder), "--splits", str(folder / "splits.csv"), "--output", str(output)),
        *("--cache", str(output.parent / "cache"), "--num-proc", "1", "--no-progress", "--max-steps", str(max_steps)),
        *("--tokens-per-batch", str(4 * CONTEXT), "--replications", "2", "--max-validation-examples", "4"),
        *("--evaluate-every", "2", "--log-every", "1", "--save-every", "100", "--trackers"),
        *override,
        *map(str, more),
    ]


def run(folder, output, *more, **settings):
    """Train as the command line does; gives the output folder."""
    train.main(command(folder, output, *more, **settings))
    return output
