"""Whether measures follow the chords that they are given, and whether a style outlasts a change of chord.

The paper (Simon et al., 2018, figures 4 and 5) shows both by examples to look at and to hear, and measures neither; the
definitions here are this project's own.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .chord_symbols import NO_CHORD
from .evaluate_interpolation import TEMPERATURE
from .evaluate_multitracks import chords_of, drawn_as_bands_do, mean_of_known
from .evaluate_samples import sequences_of
from .modeling_music_vae import MusicVAEModel
from .multitrack_events import STEPS_PER_BAR
from .multitrack_measures import chord_tone_share, program_sets
from .processing_music_vae import MusicVAEProcessor

TRIADS = np.arange(1, 25)  # the twelve major and the twelve minor ones


@torch.no_grad()
def evaluate_harmony(
    model: MusicVAEModel,
    processor: MusicVAEProcessor,
    examples: np.ndarray,
    num_samples: int,
    num_styles: int = 32,
    temperature: float = TEMPERATURE,
    batch_size: int = 256,
    seed: int = 0,
) -> dict[str, Any]:
    """Decodes latents from the prior under given chords, as `Band` does it.

    How well a measure follows a chord is the share of the sounding time of its pitched notes that lies on tones of the
    chord, a triad; a note of any pitch has one chance in four. Figures are means over measures; those where nothing pitched
    sounds under a chord do not count.

    Args:
        examples: shape (N, 512, 2), tokens and chords of measures.
        num_samples: measures that are sampled under chords of random examples.
        num_styles: latents that are each decoded under all of [`TRIADS`].

    Returns:
        `temperature`, `num_samples`, `num_styles`, and

        `chord_tones`: shares of measures and the chords that they were given. `data`: the examples, and the chords that
        they come with: what is to be expected of music. `samples`; `transposed`: the same z under each of the twelve major
        and the twelve minor chords; `transposed_lowest`: its lowest mean among these chords. The control is the same
        measures set against chords that were not theirs: `data_shuffled` and `samples_shuffled`, those of another measure
        at random; `transposed_shuffled`, the other chords that the same z was decoded under.

        `program_overlap`: the mean Jaccard overlap of the sets of programs in two measures. `one_style`: one z under
        different chords, events drawn independently; `one_style_same_draws`: with the same random numbers for all chords, as
        `Band` does (1 or nearly so: a program is drawn before the chord is read); `different_styles`: the control, different
        z under the same chord.
    """
    if not num_samples:
        return {}
    generator = torch.Generator(model.device).manual_seed(seed)
    rng = np.random.default_rng(seed)

    def decode(latents: Tensor, chords: np.ndarray, draws: Tensor | None = None) -> np.ndarray:
        settings = {"batch_size": batch_size, "draws": draws, **drawn_as_bands_do(temperature)}
        controls = processor.codec.timed_controls(chords)
        return model.decode(latents, None, temperature, generator, controls, **settings).cpu().numpy()

    def prior(count: int) -> Tensor:
        return torch.randn((count, model.config.latent_size), generator=generator, device=model.device)

    chords = chords_of(examples)
    with_chord = np.flatnonzero((chords != NO_CHORD).any(axis=1))
    shares = _shares(sequences_of(processor, examples, batch_size), chords, rng, "data")
    if len(with_chord):
        given = chords[rng.choice(with_chord, size=num_samples)]
        shares |= _shares(decode(prior(num_samples), given), given, rng, "samples")
    num_styles = min(num_styles, num_samples)
    latents = prior(num_styles).repeat_interleave(len(TRIADS), dim=0)
    grid = np.repeat(np.tile(TRIADS, num_styles)[:, None], STEPS_PER_BAR, axis=1)
    measures = decode(latents, grid)
    draws = torch.rand((num_styles, processor.window_steps), generator=generator, device=model.device)
    with_same_draws = decode(latents, grid, draws.repeat_interleave(len(TRIADS), dim=0))
    return {
        "temperature": temperature,
        "num_samples": num_samples,
        "num_styles": num_styles,
        "chord_tones": shares | _transposed_shares(measures, num_styles),
        "program_overlap": {
            "one_style": _overlaps(measures, num_styles)[0],
            "one_style_same_draws": _overlaps(with_same_draws, num_styles)[0],
            "different_styles": _overlaps(measures, num_styles)[1],
        },
    }


def _shares(sequences: np.ndarray, chords: np.ndarray, rng: np.random.Generator, name: str) -> dict[str, float | None]:
    """Of sequences (N, 512) under their chords (N, 96), and under those of the next in a random order."""
    order = rng.permutation(len(sequences))
    others = np.empty_like(chords)
    others[order] = chords[np.roll(order, 1)]
    return {
        name: mean_of_known(chord_tone_share(sequences, chords)),
        f"{name}_shuffled": mean_of_known(chord_tone_share(sequences, others)) if len(sequences) > 1 else None,
    }


def _transposed_shares(measures: np.ndarray, num_styles: int) -> dict[str, float | None]:
    """Of measures (num_styles * 24, 512), those of each style side by side under each of [`TRIADS`]."""
    # own[s, a, b]: the measure of style s under chord a, set against chord b
    against = np.stack([chord_tone_share(measures, int(chord)) for chord in TRIADS], axis=-1)
    against = against.reshape(num_styles, len(TRIADS), len(TRIADS))
    own = np.diagonal(against, axis1=1, axis2=2)
    means = [mean_of_known(own[:, number]) for number in range(len(TRIADS))]
    known = [mean for mean in means if mean is not None]
    return {
        "transposed": mean_of_known(own),
        "transposed_shuffled": mean_of_known(against[:, ~np.eye(len(TRIADS), dtype=bool)]),
        "transposed_lowest": min(known) if known else None,
    }


def _overlaps(measures: np.ndarray, num_styles: int) -> tuple[float | None, float | None]:
    """Mean overlap of programs in pairs of measures (num_styles * 24, 512): of one style under different chords, and of
    different styles under one chord."""
    sets = program_sets(measures).astype(np.float64)
    common, sizes = sets @ sets.T, sets.sum(axis=1)
    either = sizes[:, None] + sizes - common
    overlaps = np.where(either == 0, 1.0, common / np.maximum(either, 1))
    style, chord = np.divmod(np.arange(len(measures)), len(TRIADS))
    same_style, same_chord = style[:, None] == style, chord[:, None] == chord
    return mean_of_known(overlaps[same_style & ~same_chord]), mean_of_known(overlaps[same_chord & ~same_style])
