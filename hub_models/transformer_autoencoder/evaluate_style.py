"""Whether what a model writes sounds like the performance that it was given, and keeps the melody that it was given."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hub_models.music_vae.evaluate_samples import progress

from .data import collate, melody_of
from .melody_events import NO_EVENT_ID, decode_melody
from .modeling_transformer_autoencoder import TransformerAutoencoderForConditionalGeneration
from .overlapping_area import Gaussians, describe_areas, fit_gaussians, overlapping_areas
from .performance_events import decode_performance
from .performance_features import FEATURES, HOP_SECONDS, WINDOW_SECONDS, window_features
from .performance_notes import PerformanceNotes
from .performances import Piece

# Melodies have steps of 100 ms, so a note is up to 50 ms away from where its melody has it.
TOLERANCE_SECONDS = 0.1
FEWEST_PERFORMANCES = 4  # own style, own melody, another melody, and something to compare with


@dataclass(frozen=True)
class Listening:
    """Excerpts of validation performances, each of another composition.

    Attributes:
        styles: tokens (T,) of each, for the performance encoder.
        same_piece: tokens (T,) of another place in the same performance.
        melodies: (steps,) of each style.
    """

    styles: list[np.ndarray]
    same_piece: list[np.ndarray]
    melodies: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.styles)

    def melody_source(self, number: int, steps: int = 1) -> int:
        """Whose melody goes with style `number`: that of the next one."""
        return (number + steps) % len(self)

    def melodies_to_play(self, is_blank: bool) -> list[np.ndarray]:
        """For each style the melody of another composition, or nothing for as long as it lasts."""
        melodies = [self.melodies[self.melody_source(number)] for number in range(len(self))]
        return [np.full_like(melody, NO_EVENT_ID) for melody in melodies] if is_blank else melodies


def choose_excerpts(
    pieces: Sequence[Piece],
    compositions: Sequence[str],
    length: int,
    num_performances: int,
    melody_source: str = "infer",
    seed: int = 0,
) -> Listening:
    """Excerpts of `length` tokens at random places of random performances, each of another composition and long enough for
    two; fewer than `num_performances` where there are not so many."""
    draw = np.random.default_rng(seed)
    by_composition: dict[str, list[Piece]] = {}
    for piece, composition in zip(pieces, compositions, strict=True):
        if len(piece) >= 2 * length:
            by_composition.setdefault(composition, []).append(piece)
    names = sorted(by_composition)
    chosen = [names[number] for number in draw.permutation(len(names))[:num_performances]]
    styles, same_piece = [], []
    for name in chosen:
        piece = by_composition[name][int(draw.integers(len(by_composition[name])))]
        offsets = draw.choice(len(piece) // length, size=2, replace=False) * length
        for excerpts, offset in zip((styles, same_piece), offsets.tolist(), strict=True):
            excerpts.append(np.asarray(piece.tokens[offset : offset + length], dtype=np.int64))
    return Listening(styles, same_piece, [melody_of(tokens, melody_source) for tokens in styles])


@torch.no_grad()
def perform(
    model: TransformerAutoencoderForConditionalGeneration,
    excerpts: Listening,
    melodies: Sequence[np.ndarray] | None,
    num_tokens: int,
    temperature: float = 1.0,
    top_p: float | None = None,
    batch_size: int = 8,
    seed: int = 0,
    name: str = "performances",
) -> list[np.ndarray]:
    """One performance in each excerpt's style, around its melody, as the model's kind has it: tokens (num_tokens,) each."""
    generator = torch.Generator(model.device).manual_seed(seed)
    written: list[np.ndarray] = []
    for first in progress(range(0, len(excerpts), batch_size), name):
        rows = range(first, min(first + batch_size, len(excerpts)))
        examples = [{"target": excerpts.styles[row]} for row in rows]
        for example, row in zip(examples, rows, strict=True):
            if model.config.performance_encoder != "none":
                example["performance"] = excerpts.styles[row]
            if melodies is not None:
                example["melody"] = melodies[row]
        heard = {
            key: value.to(model.device)
            for key, value in collate(examples).items()
            if "performance" in key or "melody" in key
        }
        start = torch.zeros(len(rows), 1, dtype=torch.long, device=model.device)
        ids = model.generate(
            start,
            **heard,
            do_sample=True,
            temperature=temperature,
            top_k=0,
            top_p=1.0 if top_p is None else top_p,
            max_new_tokens=num_tokens,
            eos_token_id=None,
            generator=generator,
        )
        written += list(ids[:, 1:].cpu().numpy())
    return written


def evaluate_style(
    model: TransformerAutoencoderForConditionalGeneration,
    excerpts: Listening,
    num_tokens: int,
    temperature: float = 1.0,
    top_p: float | None = None,
    batch_size: int = 8,
    seed: int = 0,
) -> dict[str, Any]:
    """Writes a performance for each excerpt and compares it with the excerpts; see [`compare_styles`].

    Models that hear a melody get that of another composition ("with melody"), and if they hear a style, too, one in which
    nothing happens for as long ("without melody"). Models that hear no style are measured alike, as a control.

    Returns:
        `style`: `with_melody` and `without_melody`, as far as the model has them, and as a measure for both `data`: of real
        music, another place in the same performance. `melody`, of models that hear one: see [`compare_melodies`].
    """
    if len(excerpts) < FEWEST_PERFORMANCES:
        return {}
    hears_melody, hears_style = model.config.melody_encoder, model.config.performance_encoder != "none"
    settings = {"temperature": temperature, "top_p": top_p, "batch_size": batch_size, "seed": seed}
    figures: dict[str, Any] = {"window_seconds": WINDOW_SECONDS, "hop_seconds": HOP_SECONDS, "features": list(FEATURES)}
    melody_figures: dict[str, Any] = {}
    if hears_melody:
        written = perform(model, excerpts, excerpts.melodies_to_play(False), num_tokens, **settings, name="with melody")
        written = [decode_performance(tokens) for tokens in written]
        figures["with_melody"] = compare_styles(written, excerpts)
        melody_figures = {"melody": compare_melodies(written, excerpts)}
    if hears_style or not hears_melody:
        blank = excerpts.melodies_to_play(True) if hears_melody else None
        written = perform(model, excerpts, blank, num_tokens, **settings, name="without melody")
        figures["without_melody"] = compare_styles([decode_performance(tokens) for tokens in written], excerpts)
    data = compare_styles([decode_performance(tokens) for tokens in excerpts.same_piece], excerpts)
    areas = data.pop("overlapping_area")
    data["overlapping_area"] = {"same_piece": areas["own_style"], "other_piece": areas["other_style"]}
    return {"style": {**figures, "data": data}, **melody_figures}


def compare_styles(written: Sequence[PerformanceNotes], excerpts: Listening) -> dict[str, Any]:
    """How alike performances and the excerpts in whose styles they were written are.

    A performance is nearer to its own style than to another if the mean over the eight features of its overlapping area
    with that excerpt is larger (chance 0.5; a tie is half). It is compared with all other excerpts but the one whose melody
    goes with it.

    Returns:
        `num_generations`, `num_pairs` (comparisons), `nearer_to_own`, with its `standard_error` over performances and, as if
        each performance had been compared with one other excerpt only, `binomial_standard_error`; `chance`;
        `overlapping_area` by feature and their `mean`, with `own_style` and `other_style`; `mean_seconds` and `empty`, how
        many performances hold no notes.
    """
    areas = overlapping_areas(
        [_gaussians(notes) for notes in written], [_gaussians(decode_performance(tokens)) for tokens in excerpts.styles]
    )
    count = len(written)
    own = np.eye(count, dtype=bool)
    compared = ~own
    for number in range(count):
        compared[number, excerpts.melody_source(number)] = False
    alike = areas.mean(axis=-1)
    nearer = np.where(alike == alike[own][:, None], 0.5, alike[own][:, None] > alike)
    shares = np.array([nearer[number, compared[number]].mean() for number in range(count)])
    share = float(shares.mean())
    others = np.stack([areas[number, compared[number]].mean(axis=0) for number in range(count)])
    return {
        "num_generations": count,
        "num_pairs": int(compared.sum()),
        "nearer_to_own": share,
        "standard_error": float(shares.std(ddof=1) / np.sqrt(count)),
        "binomial_standard_error": float(np.sqrt(share * (1 - share) / count)),
        "chance": 0.5,
        "overlapping_area": {"own_style": describe_areas(areas[own]), "other_style": describe_areas(others)},
        "mean_seconds": float(np.mean([notes.end.max(initial=0.0) for notes in written])),
        "empty": sum(len(notes) == 0 for notes in written),
    }


def _gaussians(notes: PerformanceNotes) -> Gaussians:
    return fit_gaussians(window_features(notes))


def compare_melodies(written: Sequence[PerformanceNotes], excerpts: Listening) -> dict[str, Any]:
    """How much of the melodies that were to be played is in the performances; see [`kept_notes`].

    Returns:
        `tolerance_seconds`, `num_generations`; `num_notes` of the melodies, up to where their performances end; `kept`, the
        share of them that is there, with its `standard_error` over performances; `chance`, the same for the melody of
        another composition in the same performances; `data`, for the melodies in the music that they come from; and
        `kept_pitch_class`, `chance_pitch_class` where octaves do not count.
    """
    own, chance, data, own_classes, chance_classes = [], [], [], [], []
    for number, notes in enumerate(written):
        source, other = excerpts.melody_source(number), excerpts.melody_source(number, 2)
        melody = decode_melody(excerpts.melodies[source])
        own.append(kept_notes(notes, melody))
        own_classes.append(kept_notes(notes, melody, octaves_count=False))
        chance.append(kept_notes(notes, decode_melody(excerpts.melodies[other])))
        chance_classes.append(kept_notes(notes, decode_melody(excerpts.melodies[other]), octaves_count=False))
        data.append(kept_notes(decode_performance(excerpts.styles[source]), melody))
    shares = [is_kept.mean() for is_kept in own if len(is_kept)]
    return {
        "tolerance_seconds": TOLERANCE_SECONDS,
        "num_generations": len(written),
        "num_notes": sum(map(len, own)),
        "kept": _share(own),
        "standard_error": float(np.std(shares, ddof=1) / np.sqrt(len(shares))) if len(shares) > 1 else None,
        "chance": _share(chance),
        "data": _share(data),
        "kept_pitch_class": _share(own_classes),
        "chance_pitch_class": _share(chance_classes),
    }


def kept_notes(
    notes: PerformanceNotes,
    melody: PerformanceNotes,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    octaves_count: bool = True,
) -> np.ndarray:
    """Which notes of a melody are in a performance: a note of the same pitch begins within `tolerance_seconds`.

    Args:
        notes: the performance. What the melody has after its end is not asked for.
        octaves_count: whether the same note in another octave is another note.

    Returns:
        (M,) bool, one for each of the melody's notes that is asked for.
    """
    asked = melody.start <= notes.end.max(initial=0.0)
    if not len(notes):
        return np.zeros(0, dtype=bool)
    apart = notes.pitch[None] - melody.pitch[asked][:, None]
    is_same = apart == 0 if octaves_count else apart % 12 == 0
    # Times are sums of steps of 10 ms, which floats do not hold exactly.
    is_near = np.abs(notes.start[None] - melody.start[asked][:, None]) <= tolerance_seconds + 1e-6
    return (is_same & is_near).any(axis=1)


def _share(kept: Sequence[np.ndarray]) -> float | None:
    """Over all notes; None where there are none."""
    everything = np.concatenate([*kept, np.zeros(0, dtype=bool)])
    return float(everything.mean()) if len(everything) else None
