"""The VQ-VAE of Jukebox on sound: how near each level comes to it, and how its codes are used."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from hub_models.training.data_order import ExampleKey

from .codes import CodedSong
from .data import ChunkDataset, Recording
from .estimates import Estimate
from .modeling_jukebox_vqvae import JukeboxVQVAE
from .reconstruction_metrics import level_name, reconstructions, spectral_convergence_db, usage_of


@torch.inference_mode()
def evaluate_vqvae(
    vqvae: JukeboxVQVAE,
    recordings: Sequence[Recording],
    songs: Sequence[CodedSong],
    max_chunks: int,
    chunk_seconds: float,
) -> dict[str, Any] | None:
    """Spectral convergence of every level on chunks of songs, and the use of codes in the whole songs.

    Args:
        vqvae: in evaluation mode.
        recordings: songs as sound.
        songs: the same as codes.
        max_chunks: at most so many, spread evenly over the songs.
        chunk_seconds: length of a chunk, rounded down to whole codes of the top level.

    Returns:
        Means over chunks that are not silent, with standard errors over songs; None where no song is as long as a chunk.
    """
    config, levels = vqvae.config, vqvae.config.levels
    length = int(chunk_seconds * config.sampling_rate) // config.hop_lengths[-1] * config.hop_lengths[-1]
    chunks = ChunkDataset(recordings, length, config.conv_input_shape, augment=False, max_chunks=max_chunks)
    if length == 0 or len(chunks) == 0:
        return None
    decibels = np.zeros((levels, len(chunks)))
    for index in tqdm(range(len(chunks)), desc="VQ-VAE", unit="chunk"):
        audio = torch.from_numpy(chunks[ExampleKey(0, index)])[None].to(vqvae.device)
        for level, copy in enumerate(reconstructions(vqvae, audio)):
            decibels[level, index] = spectral_convergence_db(audio, copy, config).item()
    song_of = [chunks.chunks[ExampleKey(0, index)][0] for index in range(len(chunks))]
    report: dict[str, Any] = {"num_chunks": len(chunks), "chunk_seconds": length / config.sampling_rate, "levels": {}}
    for level, hop in enumerate(config.hop_lengths):
        estimate = Estimate.of(decibels[level], song_of)
        counts = sum(np.bincount(song.codes[level], minlength=config.nb_discrete_codes) for song in songs)
        report["levels"][level_name(level, levels)] = {
            "hop_length": hop,
            "spectral_convergence_db": estimate.mean,
            "standard_error": estimate.standard_error,
            "codebook": usage_of(torch.as_tensor(counts)),
        }
    return report
