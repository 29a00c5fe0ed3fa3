"""The windows in which a level's codes are sampled, and one such window.

A prior hears and writes `n_ctx` codes. Longer music is sampled in windows that overlap: each begins with codes that are
there and adds what is missing ("Jukebox", arXiv 2005.00341, section 4.4).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .labels import window_metadata

if TYPE_CHECKING:
    from .modeling_jukebox_prior import JukeboxPrior

Generators = torch.Generator | Sequence[torch.Generator] | None


class Window(NamedTuple):
    """One run of a prior.

    Attributes:
        start: number of its first code.
        known: codes from there on that are there already.
        end: as many codes there are afterwards.
    """

    start: int
    known: int
    end: int

    @property
    def new(self) -> int:
        """Codes that it adds."""
        return self.end - self.start - self.known


def window_starts(total: int, n_ctx: int, hop: int) -> list[int]:
    """Where windows of `n_ctx` codes start that move by `hop` and end with code number `total`.

    Raises:
        ValueError: they would not move.
    """
    if hop < 1:
        raise ValueError(f"Windows must move by at least one code, got {hop}: make hop_fraction larger.")
    return [min(start, total - n_ctx) for start in range(0, total - n_ctx + hop, hop)]


def level_windows(total: int, n_ctx: int, hop: int, known: int) -> list[Window]:
    """The windows that are left to sample.

    Where `total` is shorter than a window, `total` codes are added to those that are known, whatever their number, as in
    the original.

    Args:
        total: codes of the level.
        n_ctx: codes in a window.
        hop: codes by which windows move.
        known: codes that are there.
    """
    if total < n_ctx:
        start = max(0, known + total - n_ctx)
        return [Window(start, known - start, known + total)]
    windows = []
    for start in window_starts(total, n_ctx, hop):
        if start + n_ctx > known:
            windows.append(Window(start, known - start, start + n_ctx))
            known = start + n_ctx
    return windows


@dataclass(frozen=True)
class Choice:
    """How codes are drawn at a level.

    Attributes:
        temperature: logits are divided by it.
        top_k: only so many of the likeliest; 0: all.
        top_p: only those than which likelier ones have no more than this probability together; 0: all.
        chunk_size: codes of a window's beginning that are read at a time; bounds memory, changes no result.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 0.0
    chunk_size: int | None = None


def window_labels(
    prior: "JukeboxPrior", labels: Sequence[Tensor] | Tensor | None, start: int, total_length: int, offset: int
) -> Tensor | None:
    """The `metadata` of a window, or nothing for a prior that hears none."""
    config = prior.config
    if not config.metadata_conditioning and not config.nb_relevant_lyric_tokens:
        return None
    if labels is None:
        raise ValueError("This model hears artist and genre: labels are needed, see JukeboxTokenizer.")
    return window_metadata(labels, config, start, total_length, offset)


def conditioning_codes(prior: "JukeboxPrior", codes_above: Tensor | None, start: int) -> Tensor | None:
    """The codes of the level above that belong to a window, (N, n_ctx / factor); nothing at the top.

    (transformers 4 gave a window all codes of the level above.)

    Raises:
        ValueError: there are too few, or the window begins between two of them.
    """
    config = prior.config
    if not config.is_upsampler:
        return None
    factor = config.conditioning_factor
    first, last = start // factor, (start + config.n_ctx) // factor
    if start % factor:
        raise ValueError(f"Windows must start at multiples of {factor} codes at level {config.level}, got {start}.")
    there = 0 if codes_above is None else codes_above.shape[1]
    if there < last:
        raise ValueError(f"Level {config.level} needs {last} codes of the level above it here; there are {there}.")
    return codes_above[:, first:last]


def sample_window(
    prior: "JukeboxPrior",
    window: Window,
    codes: Tensor,
    codes_above: Tensor | None,
    labels: Sequence[Tensor] | Tensor | None,
    total_length: int,
    offset: int,
    choice: Choice,
    generator: Generators = None,
    on_tokens: Callable[[int], None] | None = None,
) -> Tensor:
    """Samples one window.

    Args:
        prior: of the level.
        window: one of [`level_windows`].
        codes (`Tensor` of shape (N, window.start + window.known)): of this level so far.
        codes_above (`Tensor` of shape (N, more)): of the whole level above, for an upsampler.
        labels: rows of [`JukeboxTokenizer`], one for each of N.
        total_length, offset: samples of the whole song, and of it before the first code.
        choice: how codes are drawn.
        generator: one, or one for each row.
        on_tokens: called every few codes with how many the window has added.

    Returns:
        (N, window.end), `codes` first.
    """
    config = prior.config
    told = None if on_tokens is None else lambda count: on_tokens(count - window.known)
    written = prior.sample(
        n_samples=len(codes),
        music_tokens=codes[:, window.start :],
        music_tokens_conds=conditioning_codes(prior, codes_above, window.start),
        metadata=window_labels(prior, labels, window.start, total_length, offset),
        temp=choice.temperature,
        top_k=choice.top_k,
        top_p=choice.top_p,
        chunk_size=choice.chunk_size,
        sample_tokens=min(window.end - window.start, config.n_ctx),
        generator=generator,
        on_tokens=told,
    )
    return torch.cat([codes, written[:, window.known :].to(codes.device)], dim=1)


def window_generator(seed: int, level: int, window: int, sample: int, device: torch.device | str) -> torch.Generator:
    """The generator of one sample in one window. As every one has its own, a run can end after any window and go on from
    there, and samples do not depend on which others are computed at the same time."""
    digest = hashlib.blake2b(f"{seed}/{level}/{window}/{sample}".encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)
