"""Tiny songs with labels and short runs of a tiny Jukebox, made in code."""

import json

import numpy as np
import soundfile

from hub_models.jukebox import train

RATE = 4_000
VQVAE = [
    f"sampling_rate={RATE}",
    "nb_discrete_codes=16",
    "embed_dim=8",
    "res_conv_width=8",
    "res_conv_depth=1",
    "res_strides_t=[4,2,2]",
    "sample_length=512",
    "lmu=0.9",
    "revival_threshold=0.1",
    "n_fft=256",
    "hop_length=64",
    "window_size=192",
    "multispec_loss_n_fft=[256,128,64]",
    "multispec_loss_hop_length=[60,30,15]",
    "multispec_loss_window_size=[240,120,60]",
    "linf_k=64",
]
HOPS = (4, 8, 16)
CONTEXT = 32
PRIOR = [
    f"n_ctx={CONTEXT}",
    "blocks=4",
    "hidden_size=16",
    "n_heads=2",
    "num_layers=4",
    "metadata_dims=[3,4]",
    "min_duration=0.1",
    "max_duration=10",
    "res_conv_width=8",
    "res_conv_depth=1",
]
TOP = [
    *PRIOR,
    "nb_relevant_lyric_tokens=8",
    "alignment_layer=3",
    'encoder_config={"hidden_size":16,"num_layers":1,"n_heads":2,"blocks":2,"attention_multiplier":0.5,'
    '"attention_pattern":"raw_column_previous_row_attention"}',
]
#: What songs can be by, and the pitch that tells them apart.
ARTISTS = {"Low Voice": 220.0, "high voice": 880.0}


def tone(seed, seconds=1.0, pitch=440.0, rate=RATE, channels=1):
    """(T,) or (T, channels) float32: decaying notes around a pitch."""
    draw = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    sound = [
        sum(np.sin(2 * np.pi * pitch * draw.uniform(0.8, 1.2) * time) * np.exp(-(time % 0.3) * 8) for _ in range(3)) * 0.2
        for _ in range(channels)
    ]
    return (np.stack(sound, axis=1) if channels > 1 else sound[0]).astype(np.float32)


def row_of(number, count):
    """Labels of a song: the last two are for validation, every second has lyrics."""
    artist = list(ARTISTS)[number % 2]
    lyrics = "la le li lo" if number % 3 else ""
    words = [{"word": word, "start": 0.2 * place, "end": 0.2 * place + 0.1} for place, word in enumerate(lyrics.split())]
    return {
        "file": f"song{number}.wav",
        "artist": artist,
        "genre": ("Pop", "folk")[number // 2 % 2],
        "lyrics": lyrics,
        "split": "validation" if number >= count - 2 else "train",
        "words": words,
    }


def write_song(path, sound, rate=RATE):
    """(T,) or (T, channels) to 16-bit WAV or FLAC, as the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate, subtype="PCM_16")
    return path


def write_songs(folder, count=8):
    """Songs of different lengths with a labels.jsonl. Gives the folder."""
    rows = [row_of(number, count) for number in range(count)]
    for number, row in enumerate(rows):
        write_song(folder / row["file"], tone(number, 1.0 + 0.05 * number, ARTISTS[row["artist"]]))
    (folder / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return folder


def command(part, folder, output, *more, max_steps=2):
    """Arguments of a short silent run on CPU."""
    return [
        *(part, "--data", str(folder), "--output", str(output), "--cache", str(output.parent / "cache")),
        *("--no-progress", "--max-steps", str(max_steps), "--warmup-steps", "0", "--batch-size", "4"),
        *("--evaluate-every", "0", "--log-every", "1", "--save-every", "100", "--trackers"),
        *map(str, more),
    ]


def train_vqvae(folder, output, *more, tiny=True, **settings):
    """Train a VQ-VAE as the command line does; `tiny=False` leaves the model to `more`. Gives the output folder."""
    model = ["--preset", "jukebox-tiny", "--override", *VQVAE] if tiny else []
    train.main(command("vqvae", folder, output, *model, *more, **settings))
    return output


def train_prior(level, folder, vqvae, output, *more, tiny=True, **settings):
    """Train the prior of a level likewise."""
    model = ["--preset", "jukebox-tiny", "--override", *(TOP if level == "top" else PRIOR)] if tiny else []
    vqvae_options = ["--vqvae", vqvae] if vqvae is not None else []
    train.main(command("prior", folder, output, "--level", level, *vqvae_options, *model, *more, **settings))
    return output


def log_of(output, split):
    """The lines of a run's log, without times."""
    lines = [json.loads(line) for line in (output / "train_log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines if line["split"] == split]
