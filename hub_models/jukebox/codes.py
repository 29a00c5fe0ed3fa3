"""Songs as codes: encoded once by a VQ-VAE, kept in files that are mapped from disk.

songs = encode_recordings(recordings.songs, vqvae, cache)   # goes on where it was stopped
songs[0].codes[0]                                           # of the finest level
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from tqdm.auto import tqdm
from transformers import PreTrainedConfig

from .data import Recording, cache_folder, fingerprint_of
from .modeling_jukebox_vqvae import JukeboxVQVAE
from .song_files import SongFile

CACHE_VERSION = 1
SEGMENT_SECONDS = 20.0
DONE = "done.uint8"
INDEX = "index.json"


@dataclass(frozen=True)
class CodedSong:
    """A song as codes.

    Attributes:
        song: its file and labels.
        codes: of each level of the VQ-VAE, finest first, (T / hop,), mapped from disk.
        total_length: samples of the whole song, of which this may be a part.
        offset: samples of it before this part.
    """

    song: SongFile
    codes: list[np.ndarray]
    total_length: int
    offset: int


def encode_recordings(
    recordings: Sequence[Recording],
    vqvae: JukeboxVQVAE,
    cache: Path | None = None,
    accelerator: Accelerator | None = None,
    progress: bool = True,
) -> list[CodedSong]:
    """Encode all songs, with a progress bar, or map their codes from the cache.

    The cache folder is named by fingerprints of the VQ-VAE and of the sound. Each song is written as soon as it is encoded,
    so that what was stopped goes on where it was. Several processes share the work. What remains of a song after whole
    codes of the top level is left out.

    Args:
        recordings: the songs.
        vqvae: in evaluation mode, on the device to encode on.
        cache: where to keep codes, 2 bytes each; see `cache_folder`.
        accelerator: of a run with several processes, all of which call this.
        progress: show a bar.

    Raises:
        OSError: the disk is full, for instance. Codes written so far stay.
    """
    hops = vqvae.config.hop_lengths
    folder = cache_folder(cache) / f"codes-{_fingerprint(recordings, vqvae)}"
    starts = np.cumsum([0, *(len(recording.samples) // hops[-1] for recording in recordings)])
    dtype = np.dtype("<u2" if vqvae.config.nb_discrete_codes <= 1 << 16 else "<i4")
    if not (folder / INDEX).exists():
        _encode_missing(recordings, vqvae, folder, starts, dtype, accelerator, progress)
    levels = []
    for level, hop in enumerate(hops):
        ratio, path = hops[-1] // hop, folder / f"level_{level}.{dtype.name}"
        row = np.memmap(path, dtype=dtype, mode="r") if starts[-1] else np.zeros(0, dtype)
        levels.append([row[start * ratio : end * ratio] for start, end in pairwise(starts)])
    return [
        CodedSong(recording.song, [level[number] for level in levels], recording.total_length, recording.offset)
        for number, recording in enumerate(recordings)
    ]


def _encode_missing(
    recordings: Sequence[Recording],
    vqvae: JukeboxVQVAE,
    folder: Path,
    starts: np.ndarray,
    dtype: np.dtype,
    accelerator: Accelerator | None,
    progress: bool,
) -> None:
    hops = vqvae.config.hop_lengths
    process, processes = (0, 1) if accelerator is None else (accelerator.process_index, accelerator.num_processes)
    is_main = process == 0
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"level_{level}.{dtype.name}" for level in range(len(hops))]
    files = [os.open(path, os.O_RDWR | os.O_CREAT, 0o644) for path in (*paths, folder / DONE)]
    *level_files, done_file = files
    try:
        mine = range(process, len(recordings), processes)
        done = np.zeros(len(recordings), np.uint8)
        written = np.frombuffer(os.pread(done_file, len(recordings), 0), np.uint8)
        done[: len(written)] = written
        missing = [number for number in mine if not done[number]]
        for number in tqdm(missing, desc="encoding", unit="song", disable=not (progress and is_main)):
            for level, codes in enumerate(encode_song(recordings[number], vqvae)):
                place = int(starts[number]) * (hops[-1] // hops[level])
                _write(level_files[level], codes.astype(dtype).tobytes(), place * dtype.itemsize)
            for file in level_files:
                os.fsync(file)
            _write(done_file, b"\1", number)
    finally:
        for file in files:
            os.close(file)
    if accelerator is not None:
        accelerator.wait_for_everyone()
    if is_main:
        temporary = folder / f".{INDEX}"
        temporary.write_text(json.dumps({"songs": [recording.song.name for recording in recordings]}), encoding="utf-8")
        os.replace(temporary, folder / INDEX)
    if accelerator is not None:
        accelerator.wait_for_everyone()


def _write(file: int, content: bytes, place: int) -> None:
    while content:
        written = os.pwrite(file, content, place)
        content, place = content[written:], place + written


@torch.no_grad()
def encode_song(recording: Recording, vqvae: JukeboxVQVAE, segment_seconds: float = SEGMENT_SECONDS) -> list[np.ndarray]:
    """Codes of a whole song, of each level, finest first.

    It is encoded in segments, each with as much before and behind as its codes depend on, so that they are those of the song
    in one piece, in bounded memory.
    """
    config, hop = vqvae.config, vqvae.config.hop_lengths[-1]
    total = len(recording.samples) // hop * hop
    reach = max(encoder.reach * encoder.hop_length for encoder in vqvae.encoders)
    margin = -(-reach // hop) * hop
    length = max(1, round(segment_seconds * config.sampling_rate / hop)) * hop
    pieces: list[list[np.ndarray]] = [[np.zeros(0, np.int64)] for _ in config.hop_lengths]
    for start in range(0, total, length):
        end = min(start + length, total)
        first, last = max(0, start - margin), min(total, end + margin)
        audio = torch.from_numpy(recording.audio(first, last - first, config.conv_input_shape))
        codes = vqvae.encode(audio[None].to(vqvae.device))
        for level, level_hop in enumerate(config.hop_lengths):
            piece = codes[level][0, (start - first) // level_hop : (end - first) // level_hop]
            pieces[level].append(piece.cpu().numpy())
    return [np.concatenate(level) for level in pieces]


def vqvae_fingerprint(vqvae: JukeboxVQVAE) -> str:
    """A name for what a VQ-VAE's codes are decided by: its encoders and codebooks."""
    digest = hashlib.sha256(repr(sorted(_shape_of(vqvae.config).items())).encode())
    for name, tensor in sorted(vqvae.state_dict().items()):
        if name.startswith("encoders.") or name.endswith(".codebook"):
            digest.update(name.encode() + tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:20]


def _shape_of(config: PreTrainedConfig) -> dict:
    names = (
        "sampling_rate conv_input_shape res_downs_t res_strides_t multipliers res_conv_depth res_conv_width conv_res_scale "
        "res_convolution_multiplier res_dilation_cycle res_dilation_growth_rate nb_discrete_codes embed_dim"
    )
    return {name: getattr(config, name) for name in names.split()}


def _fingerprint(recordings: Sequence[Recording], vqvae: JukeboxVQVAE) -> str:
    return hashlib.sha256(f"{CACHE_VERSION} {vqvae_fingerprint(vqvae)} {fingerprint_of(recordings)}".encode()).hexdigest()[
        :20
    ]
