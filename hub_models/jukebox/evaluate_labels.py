"""Whether samples sound like what they are labelled: nearer to sound of their own artist than to others'.

Sound is compared by log-mel statistics: mean and standard deviation over time of each band, measured in standard deviations
within artists. An artist's place is the mean of songs of the training split. Songs pass through the VQ-VAE at the level that
samples are decoded from, so that its own sound does not tell them apart.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torchaudio
from torch import Tensor
from tqdm.auto import tqdm

from .codes import CodedSong
from .estimates import Estimate
from .reconstruction_metrics import level_name
from .sampling import JukeboxSampler
from .sampling_plan import SamplingPlan, Song
from .song_files import SongFile

N_FFT, MEL_BANDS = 1024, 64
FLOOR = 1e-5
REFERENCES_PER_LABEL = 8


def log_mel_statistics(audio: Tensor, sample_rate: int) -> np.ndarray:
    """Mean and standard deviation over time of each mel band's log10 magnitude, (2 * bands,), of (T, C) with T >= 32."""
    n_fft = min(N_FFT, 1 << (len(audio) - 1).bit_length() - 1)
    mel = torchaudio.transforms.MelSpectrogram(
        sample_rate, n_fft=n_fft, hop_length=n_fft // 4, n_mels=min(MEL_BANDS, n_fft // 16), power=1.0
    )
    bands = mel(audio.float().mean(-1)).clamp(min=FLOOR).log10()
    return torch.cat([bands.mean(-1), bands.std(-1)]).double().numpy()


def evaluate_labels(
    sampler: JukeboxSampler,
    references: Sequence[CodedSong],
    songs: Sequence[CodedSong],
    samples_per_artist: int,
    level: int = 0,
    temperature: float = 0.98,
    seed: int = 0,
) -> dict[str, Any] | None:
    """Sample with labels of songs, and see whose sound the samples are nearer to.

    Args:
        sampler: of the model.
        references: songs that say where artists and genres are.
        songs: others, whose labels samples get, and with which samples are compared.
        samples_per_artist: as the name says.
        level: down to which to sample, from the top.
        temperature: of the top level.
        seed: of the samples.

    Returns:
        Shares of pairs of a sample and another artist (and of another genre of the same artist) in which the sample is
        nearer to its own; `data`: the same of the songs themselves. None where there are fewer than two artists.
    """
    config = sampler.config
    top = config.prior_configs[0]
    length = top.n_ctx * top.hop_length
    wanted = _labels_for_samples([song.song for song in songs], samples_per_artist)
    features, labels = _features_of_songs(sampler, _few_of_each(references), level, length)
    if len({artist for artist, _ in labels}) < 2 or not wanted:
        return None
    totals = [song.total_length / top.sampling_rate for song in references]
    plan = SamplingPlan(
        songs=tuple(Song(song.artist, song.genre, song.lyrics) for song in wanted),
        number_of_samples=len(wanted),
        seconds=length / top.sampling_rate,
        total_seconds=max(float(np.median(totals)), length / top.sampling_rate),
        levels=tuple(range(level + 1)),
        temperatures=(temperature, *[0.99] * (config.nb_priors - 1)),
        seed=seed,
    )
    with tqdm(desc="sampling", unit="token") as bar:

        def show(progress: Any) -> None:
            bar.total = progress.total_tokens
            bar.update(progress.tokens - bar.n)

        result = sampler.sample(plan, on_progress=show)
    rate = sampler.sampling_rate
    sampled = np.stack([log_mel_statistics(audio, rate) for audio in result.audio[level]])
    real, real_labels = _features_of_songs(sampler, songs, level, length)
    space = LabelSpace(features, labels)
    sample_labels = [(song.artist, song.genre) for song in wanted]
    report: dict[str, Any] = {
        "num_samples": len(wanted),
        "seconds": length / rate,
        "temperature": temperature,
        "level": level_name(config.prior_configs[level].vqvae_level, config.vqvae_config.levels),
    }
    for kind in ("artist", "genre"):
        ours = space.nearer_to_own(sampled, sample_labels, kind)
        if ours is not None:
            data = space.nearer_to_own(real, real_labels, kind)
            report[kind] = {**ours, "chance": 0.5, "data": data["nearer_to_own"] if data else None}
    return report


class LabelSpace:
    """Where artists, and genres of artists, are in the space of log-mel statistics.

    Args:
        features: (N, D), of reference songs.
        labels: artist and genre of each.
    """

    def __init__(self, features: np.ndarray, labels: Sequence[tuple[str, str]]):
        artists = [artist for artist, _ in labels]
        centred = features - np.stack([features[[each == artist for each in artists]].mean(0) for artist in artists])
        self.scale = np.sqrt((centred**2).mean(0)).clip(1e-6)
        self.centres: dict[str, dict[tuple[str, ...], np.ndarray]] = {"artist": {}, "genre": {}}
        for kind, keys in (("artist", [(artist,) for artist in artists]), ("genre", [tuple(label) for label in labels])):
            for key in sorted(set(keys)):
                self.centres[kind][key] = features[[each == key for each in keys]].mean(0) / self.scale

    def nearer_to_own(self, features: np.ndarray, labels: Sequence[tuple[str, str]], kind: str) -> dict[str, Any] | None:
        """The share of pairs of a sound and another label in which the sound is nearer to its own label.

        Args:
            features: (N, D).
            labels: artist and genre of each.
            kind: `"artist"`, against all other artists; `"genre"`, against other genres of the same artist.

        Returns:
            `num_pairs`, `nearer_to_own` and its standard error over sounds; None where there are no pairs.
        """
        centres = self.centres[kind]
        outcomes, sounds = [], []
        for number, (artist, genre) in enumerate(labels):
            own = (artist,) if kind == "artist" else (artist, genre)
            if own not in centres:
                continue
            place = features[number] / self.scale
            distance = np.linalg.norm(place - centres[own])
            for other, centre in centres.items():
                if other != own and (kind == "artist" or other[0] == artist):
                    outcomes.append(float(distance < np.linalg.norm(place - centre)))
                    sounds.append(number)
        if not outcomes:
            return None
        estimate = Estimate.of(outcomes, sounds)
        return {
            "num_pairs": len(outcomes),
            "nearer_to_own": estimate.mean,
            "standard_error": estimate.standard_error,
        }


def _labels_for_samples(songs: Sequence[SongFile], per_artist: int) -> list[SongFile]:
    """So many songs of each artist, its genres taking turns, over and over where there are fewer."""
    chosen = []
    for artist in sorted({song.artist for song in songs if song.artist}):
        turns: dict[str, int] = {}
        ranked = []
        for song in (song for song in songs if song.artist == artist):
            turns[song.genre] = turns.get(song.genre, -1) + 1
            ranked.append((turns[song.genre], song.genre, song.name, song))
        ranked.sort(key=lambda entry: entry[:3])
        chosen += [ranked[number % len(ranked)][3] for number in range(per_artist)]
    return chosen


def _few_of_each(songs: Sequence[CodedSong]) -> list[CodedSong]:
    counts: dict[tuple[str, str], int] = {}
    chosen = []
    for song in songs:
        key = (song.song.artist, song.song.genre)
        counts[key] = counts.get(key, 0) + 1
        if song.song.artist and counts[key] <= REFERENCES_PER_LABEL:
            chosen.append(song)
    return chosen


def _features_of_songs(
    sampler: JukeboxSampler, songs: Sequence[CodedSong], level: int, length: int
) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """Statistics (N, D) and labels of the first `length` samples of songs, decoded from a level's codes."""
    config = sampler.config
    vqvae_level = config.vqvae_config.levels - 1 - level
    count = length // config.vqvae_config.hop_lengths[vqvae_level]
    usable = [song for song in songs if len(song.codes[vqvae_level]) >= count]
    features = []
    for song in tqdm(usable, desc="decoding songs", unit="song"):
        codes = torch.from_numpy(song.codes[vqvae_level][:count].astype(np.int64))
        features.append(log_mel_statistics(sampler.decode(codes, level), sampler.sampling_rate))
    return np.array(features), [(song.song.artist, song.song.genre) for song in usable]
