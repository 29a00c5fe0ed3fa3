"""Makes a piece, writes its files and prints its figures: `python -m hub_models.composing --seed 7 --output DIR`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from .moods import MOODS

FILES = ("chords", "melody", "band", "piano", "mix")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """What the command was given."""
    parser = argparse.ArgumentParser(prog="python -m hub_models.composing", description=__doc__)
    parser.add_argument("--chords", help="a progression, 'C Am F G'; by default one that suits the mood")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="one piece for each")
    parser.add_argument("--key", help="such as 'A minor'")
    parser.add_argument("--mood", choices=list(MOODS))
    parser.add_argument("--tempo", type=float, help="quarter notes per minute")
    parser.add_argument("--output", type=Path, help="folder for MIDI, WAV and the piece as JSON; none: figures alone")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """One JSON object for each seed: title, seconds that each stage took, and the figures of `measures`."""
    given = parse_arguments(arguments)
    from .. import audio, compose, midi
    from ..composing.models import ComposingModels
    from .measures import figures

    models = ComposingModels()
    for seed in given.seed:
        took, begun = {}, time.monotonic()

        def on_stage(stage: str, piece: object, took: dict = took, begun: float = begun) -> None:
            took[stage] = round(time.monotonic() - begun, 1)
            print(f"{took[stage]:7.1f} s  {stage}", file=sys.stderr)

        try:
            piece = compose(
                given.chords, seed=seed, key=given.key, mood=given.mood, tempo=given.tempo, models=models, on_stage=on_stage
            )
        except ValueError as error:
            raise SystemExit(str(error)) from None
        if given.output:
            folder = given.output if len(given.seed) == 1 else given.output / f"seed-{seed}"
            for name in FILES:
                midi.save(piece.part_midi(name), folder / f"{name}.mid")
            audio.save(piece.audio(), folder / "mix.wav", 44_100)
            (folder / "piece.json").write_text(json.dumps(piece.to_dict()), encoding="utf-8")
        styles = {stage: piece.parts[stage].how.get("style") for stage in ("band", "piano")}
        print(json.dumps({"seed": seed, "title": piece.title, "chords": piece.chords_text, "tempo": piece.tempo, **styles,
                          "seconds_until": took, **figures(piece)}))  # fmt: skip


if __name__ == "__main__":
    main()
