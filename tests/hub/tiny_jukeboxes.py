"""A tiny Jukebox with random weights, songs, and what `evaluate` measures of the one on the other."""

import json
from pathlib import Path

import numpy as np
import soundfile
import torch

from hub_models import JukeboxConfig, JukeboxModel, JukeboxProcessor, JukeboxTokenizer
from hub_models.jukebox.evaluate import main as evaluate

RATE = 8_000
ARTISTS = ["low voice", "piano", "strings"]
GENRES = ["nursery", "folk"]
_RESAMPLING = {"sampling_rate": RATE, "res_downs_t": [1, 1, 1], "res_strides_t": [64, 4, 4]}
_PRIOR = {
    **_RESAMPLING,
    "music_vocab_size": 32,
    "hidden_size": 16,
    "num_layers": 3,
    "n_heads": 2,
    "attention_multiplier": 0.5,
    "attention_pattern": "raw_column_previous_row_attention",
    "n_ctx": 32,
    "blocks": 4,
    "init_scale": 3.0,
    "merged_decoder": False,
    "metadata_dims": [1 + len(GENRES), 1 + len(ARTISTS)],
    "max_nb_genres": 1,
    "timing_dims": 8,
    "min_duration": 1,
    "max_duration": 30,
    "is_encoder_decoder": False,
    "nb_relevant_lyric_tokens": 0,
    "encoder_loss_fraction": 0.0,
    "res_conv_width": 8,
    "res_conv_depth": 1,
}
_LYRICS = {
    "num_layers": 4,
    "attention_pattern": "enc_dec_every_4_layers",
    "nb_relevant_lyric_tokens": 8,
    "lyric_vocab_size": 80,
    "encoder_config": {
        "hidden_size": 16,
        "num_layers": 1,
        "n_heads": 2,
        "attention_pattern": "raw_column_previous_row_attention",
        "attention_multiplier": 0.5,
        "blocks": 4,
        "init_scale": 3.0,
    },
    "alignment_layer": 3,
    "alignment_head": 1,
}


def tiny_config(**changes) -> JukeboxConfig:
    """Codes of 64, 256 and 1024 samples at 8 kHz; windows of 0.26, 1 and 4.1 seconds."""
    vqvae = {**_RESAMPLING, "nb_discrete_codes": 32, "embed_dim": 8, "multipliers": [1, 1, 1]}
    vqvae |= {"res_conv_width": 8, "res_conv_depth": 1, "multispec_loss_n_fft": [64, 32, 16]}
    priors = [{**_PRIOR, **_LYRICS, "level": 0}, {**_PRIOR, "level": 1}, {**_PRIOR, "level": 2}]
    return JukeboxConfig(sampling_rate=RATE, vqvae_config=vqvae, prior_config_list=priors, **changes)


def write_jukebox(folder: Path, seed: int = 0, **save_options) -> Path:
    """Model, tokenizer and processor."""
    torch.manual_seed(seed)
    model = JukeboxModel(tiny_config())
    tokenizer = JukeboxTokenizer.from_names(ARTISTS, GENRES, max_n_lyric_tokens=_LYRICS["nb_relevant_lyric_tokens"])
    model.save_pretrained(folder, **save_options)
    JukeboxProcessor.for_model(model.config, tokenizer).save_pretrained(folder)
    return folder


def write_measured_jukebox(folder: Path, workplace: Path) -> Path:
    """The same with metrics.json, as `evaluate` writes it of songs made in `workplace`."""
    write_jukebox(folder)
    songs = write_songs(workplace / "songs")
    sizes = {"max-chunks": 8, "max-windows": 16, "max-songs": 4, "samples-per-artist": 2, "speed-seconds": 1}
    options = [text for name, value in sizes.items() for text in (f"--{name}", str(value))]
    where = ["--data", str(songs), "--cache", str(workplace / "cache"), "--output", str(folder / "metrics.json")]
    evaluate(["--model", str(folder), *where, *options])
    return folder


def write_songs(folder: Path) -> Path:
    """Sound files with labels.jsonl: of each artist two songs or more in either split, some with words."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    rows = []
    for split in ("train", "validation"):
        for number, (artist, genre) in enumerate([("low voice", "nursery"), ("piano", "folk"), ("piano", "nursery")] * 2):
            file = f"{split}-{number}.wav"
            write_recording(folder / file, 5.0, RATE, frequency=float(draw.integers(100, 800)))
            words = [f"{split}{number}", "twinkle", "star"] if artist == "low voice" else []
            timed = [{"word": word, "start": start, "end": start + 0.5} for start, word in enumerate(words)]
            row = {"file": file, "artist": artist, "genre": genre, "lyrics": " ".join(words), "words": timed}
            rows.append(json.dumps({**row, "split": split}))
    (folder / "labels.jsonl").write_text("\n".join(rows))
    return folder


def write_recording(path: Path, seconds: float = 3.0, sample_rate: int = 16_000, frequency: float = 220.0) -> Path:
    """Two channels of a tone that swells."""
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    tone = np.sin(2 * np.pi * frequency * time) * np.linspace(0.1, 0.5, len(time))
    soundfile.write(path, np.stack([tone, 0.5 * tone], axis=1), sample_rate)
    return path
