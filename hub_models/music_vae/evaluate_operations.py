"""What the operations of [`Band`] do to the music, in numbers: new chords, one style over a song, a way between two styles,
and attributes.

The paper (Simon et al., 2018, figures 2 to 5 and its page of sounds) shows them by examples. The progressions are those of
its figure 5.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .band import Arrangement, Band
from .band_chords import chord_steps
from .evaluate_interpolation import TEMPERATURE, draw_pairs
from .evaluate_multitracks import chords_of, drawn_as_bands_do, mean_of_known, sample_figures
from .evaluate_samples import progress, sequences_of
from .multitrack_attributes import measure_multitracks
from .multitrack_measures import chord_tone_share, program_overlaps

PROGRESSIONS = ("Am Dm G C", "F Bdim E E", "C G Bb F", "Ab Eb D G", "C Caug Am E", "F Fm C G")
NUM_BARS = 16


@torch.no_grad()
def evaluate_band_samples(
    band: Band,
    examples: np.ndarray,
    num_samples: int,
    temperature: float = TEMPERATURE,
    batch_size: int = 256,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures from the prior, under chords of random examples where there are chords, at a band's temperature.

    Returns:
        `temperature`, and what [`sample_figures`] gives of the same latents and draws decoded in two ways: `free`, any event
        drawn as the network has it; `legal`, as [`Band`] does it, only those drawn that a measure can hold.
    """
    if not num_samples:
        return {}
    generator = torch.Generator().manual_seed(seed)
    chosen = examples[np.random.default_rng(seed).integers(len(examples), size=num_samples)]
    latents = torch.randn((num_samples, band.latent_size), generator=generator)
    draws = torch.rand((num_samples, band.processor.window_steps), generator=generator)
    data = sequences_of(band.processor, examples, batch_size)
    figures: dict[str, Any] = {"temperature": temperature}
    for name, legal_only in (("free", False), ("legal", True)):
        samples = _decode(band, latents, chosen, draws, temperature, batch_size, legal_only)
        figures[name] = sample_figures(samples.cpu().numpy(), data)
    return figures


@torch.no_grad()
def evaluate_operations(
    band: Band,
    examples: np.ndarray,
    file_index: np.ndarray,
    num_songs: int,
    num_bars: int = NUM_BARS,
    temperature: float = TEMPERATURE,
    seed: int = 0,
) -> dict[str, Any]:
    """Arranges songs over [`PROGRESSIONS`] and measures what the operations change in them, and what they keep.

    "Chord tones" are shares of sounding time as in [`evaluate_harmony`]; "overlap" is the mean Jaccard overlap of the sets
    of programs in two bars, 0..1.

    Args:
        examples, file_index: shapes (N, 512, 2) and (N,); the ways lead from an example to one of another file.
        num_songs: as many for each operation.

    Returns:
        `num_songs`, `num_bars` and `temperature`, and

        `change_chords`: bars with a z each get the chords of another progression. `chord_tones_before` and
        `chord_tones_after`: the share on the new chords, before and after; `overlap`: of each bar with itself before;
        `overlap_other_bars`: the control, with another bar before.

        `style`: songs of one style each. `chord_tones`; `overlap`, of bars side by side; `overlap_other_songs`: the
        control, of bars of different songs.

        `path`: songs on the way from the style of one example to that of another. `chord_tones`; `first_with_start`,
        `first_with_end`, `last_with_start` and `last_with_end`: overlaps of the first and last bars of the songs with the
        examples at the ends; `start_with_end`, that of these two; `neighbours`, of bars side by side.
    """
    starts, ends = draw_pairs(file_index, num_songs, np.random.default_rng(seed))
    if not len(starts):
        return {}
    changes, styles, paths = [], [], []
    latents = torch.stack([_encode(band, examples[rows]) for rows in (starts, ends)], dim=1)  # (num_songs, 2, latent_size)
    for song in progress(range(num_songs), "operations"):
        progression, other = (PROGRESSIONS[(song + turn) % len(PROGRESSIONS)] for turn in (0, 1))
        settings = {"num_bars": num_bars, "temperature": temperature, "seed": seed * num_songs + song}
        bars = band.sample(progression, **settings)
        changes.append((bars, band.change_chords(bars, other)))
        styles.append(band.arrange(progression, **settings))
        paths.append(band.arrange(progression, path=latents[song], **settings))
    return {
        "num_songs": num_songs,
        "num_bars": num_bars,
        "temperature": temperature,
        "change_chords": _change_figures(changes),
        "style": _style_figures(styles),
        "path": _path_figures(paths, *(sequences_of(band.processor, examples[rows]) for rows in (starts, ends))),
    }


@torch.no_grad()
def evaluate_attributes(
    band: Band,
    examples: np.ndarray,
    num_bars: int = 512,
    temperature: float = TEMPERATURE,
    batch_size: int = 256,
    seed: int = 0,
) -> dict[str, Any]:
    """Moves the latents of random examples along each attribute vector, one vector's length there and back, and decodes them
    under their own chords, with the same draws.

    Returns:
        `num_bars` and `temperature`; for each attribute, the mean of its measure (see [`measure_multitracks`]) in the bars
        that come out: `less` (strength -1), `unchanged` (0) and `more` (1). `effect` is what a strength of 1 adds. Empty
        where the model has no attribute vectors.
    """
    if not band.attributes:
        return {}
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    examples = examples[np.sort(rng.permutation(len(examples))[:num_bars])]
    latents = _encode(band, examples, batch_size)
    draws = torch.rand((len(latents), band.processor.window_steps), generator=generator)

    def measured(moved: Tensor) -> dict[str, np.ndarray]:
        return measure_multitracks(_decode(band, moved, examples, draws, temperature, batch_size))

    unchanged = measured(latents)
    figures: dict[str, Any] = {"num_bars": len(examples), "temperature": temperature}
    for name in progress(list(band.attributes), "attributes"):
        bars = {"less": measured(band.move(latents, name, -1.0)), "unchanged": unchanged}
        bars["more"] = measured(band.move(latents, name, 1.0))
        means = {way: float(measures[name].mean()) for way, measures in bars.items()}
        figures[name] = {**means, "effect": means["more"] - means["unchanged"]}
    return figures


def _encode(band: Band, examples: np.ndarray, batch_size: int = 256) -> Tensor:
    """Posterior means (N, latent_size) of examples."""
    means = []
    for start in range(0, len(examples), batch_size):
        features = band.processor.features(examples[start : start + batch_size])
        inputs = {name: values.to(band.model.device) for name, values in features.items() if name != "labels"}
        means.append(band.model.encode(**inputs).mean)
    return torch.cat(means)


def _decode(
    band: Band,
    latents: Tensor,
    examples: np.ndarray,
    draws: Tensor,
    temperature: float,
    batch_size: int,
    legal_only: bool = True,
) -> Tensor:
    """Latents (N, latent_size), under the chords of examples (N, ...) where there are any, as sequences (N, 512)."""
    controls = band.processor.codec.timed_controls(chords_of(examples)) if band.reads_chords else None
    settings = {"batch_size": batch_size, "draws": draws, **(drawn_as_bands_do(temperature) if legal_only else {})}
    return band.model.decode(latents, None, temperature, controls=controls, **settings)


def _chord_tones(songs: list[Arrangement], others: list[Arrangement] | None = None) -> float | None:
    """Mean over the bars of songs, on their own chords or on those of other songs."""
    pairs = zip(songs, others or songs, strict=True)
    return mean_of_known(
        np.concatenate([chord_tone_share(song.sequences, chord_steps(other.chords)) for song, other in pairs])
    )


def _overlap(sequences: Tensor, others: Tensor) -> float:
    """Mean overlap of the programs of bars (N, 512) and (N, 512)."""
    return float(program_overlaps(sequences, others).mean())


def _neighbours(songs: list[Arrangement]) -> float:
    """Mean overlap of bars side by side."""
    pairs = [(song.sequences[:-1], song.sequences[1:]) for song in songs]
    return _overlap(*(torch.cat(side) for side in zip(*pairs, strict=True)))


def _change_figures(changes: list[tuple[Arrangement, Arrangement]]) -> dict[str, float | None]:
    before, after = (list(songs) for songs in zip(*changes, strict=True))
    old, new = (torch.cat([song.sequences for song in songs]) for songs in (before, after))
    return {
        "chord_tones_before": _chord_tones(before, after),
        "chord_tones_after": _chord_tones(after),
        "overlap": _overlap(old, new),
        "overlap_other_bars": _overlap(old.roll(1, dims=0), new),
    }


def _style_figures(songs: list[Arrangement]) -> dict[str, float | None]:
    bars = torch.stack([song.sequences for song in songs])
    others = _overlap(bars.flatten(0, 1), bars.roll(1, dims=0).flatten(0, 1)) if len(songs) > 1 else None
    return {"chord_tones": _chord_tones(songs), "overlap": _neighbours(songs), "overlap_other_songs": others}


def _path_figures(songs: list[Arrangement], starts: np.ndarray, ends: np.ndarray) -> dict[str, float | None]:
    first, last = (torch.stack([song.sequences[bar] for song in songs]) for bar in (0, -1))
    starts, ends = torch.as_tensor(starts), torch.as_tensor(ends)
    return {
        "chord_tones": _chord_tones(songs),
        "first_with_start": _overlap(first, starts),
        "first_with_end": _overlap(first, ends),
        "last_with_start": _overlap(last, starts),
        "last_with_end": _overlap(last, ends),
        "start_with_end": _overlap(starts, ends),
        "neighbours": _neighbours(songs),
    }
