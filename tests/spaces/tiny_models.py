"""Tiny models with random weights, one of every kind that the Studio plays with, under the names of the bundled ones."""

from pathlib import Path

MELODY, DRUMS = "music-vae-tiny-melody", "music-vae-tiny-drums"
LONG_MELODY, TRIO = "music-vae-tiny-melody-16", "music-vae-tiny-trio"
HUMANIZE = "music-vae-groove-2bar-humanize"
TAP = "music-vae-groove-2bar-tap"
HATS = "music-vae-groove-2bar-add-closed-hh"
BAND = "multitrack-tiny-chords"
VOCODER = "wavegrad-tiny"
JUKEBOX = "jukebox-tiny-random"
JUKEBOX_RATE, JUKEBOX_HOPS, JUKEBOX_CONTEXT = 8000, (512, 128, 32), 16  # the top level first
PERFORMER, FREE_PERFORMER = "transformer-autoencoder-tiny", "transformer-autoencoder-tiny-free"
PERFORMER_CONTEXT = 512
PERFORMERS = {PERFORMER: {"performance_encoder": "style", "melody_encoder": True}, FREE_PERFORMER: {}}

PRESETS = {
    MELODY: "cat-mel_2bar_small",
    DRUMS: "cat-drums_2bar_small",
    LONG_MELODY: "hier-mel_16bar",
    TRIO: "hierdec-trio_16bar",
    HUMANIZE: "groovae_2bar_humanize",
    TAP: "groovae_2bar_tap_fixed_velocity",
    HATS: "groovae_2bar_add_closed_hh",
    BAND: "hier-multiperf_vel_1bar_med_chords",
}
ATTRIBUTES = ("c_diatonic", "note_density", "average_interval", "syncopation_16th", "syncopation_8th")
BAND_ATTRIBUTES = ("pitch_range", "num_tracks", "strings", "note_density", "loudness")


def write(folder: Path, names: tuple[str, ...] = (*PRESETS, VOCODER, *PERFORMERS, JUKEBOX)) -> Path:
    """Writes the models called `names` to folders under `folder`, those of melodies and bands with attribute vectors."""
    if VOCODER in names:
        write_vocoder(folder / VOCODER)
    if JUKEBOX in names:
        write_jukebox(folder / JUKEBOX)
    for name in PERFORMERS:
        if name in names:
            write_performer(folder / name, **PERFORMERS[name])
    names = tuple(name for name in names if name in PRESETS)
    import torch
    from safetensors.torch import save_file

    from hub_models import MusicVAEConfig, MusicVAEModel, MusicVAEProcessor

    for name in names:
        torch.manual_seed(7)
        sizes = {"latent_size": 8, "encoder_hidden_sizes": [16], "decoder_hidden_sizes": [16, 16]}
        model = MusicVAEModel(MusicVAEConfig.from_preset(PRESETS[name], **sizes))
        _rest_often(model)
        model.save_pretrained(folder / name)
        MusicVAEProcessor.from_preset(PRESETS[name]).save_pretrained(folder / name)
    for model_name, attributes in ((MELODY, ATTRIBUTES), (BAND, BAND_ATTRIBUTES)):
        if model_name in names:
            generator = torch.Generator().manual_seed(1)
            vectors = {name: torch.randn(8, generator=generator) for name in attributes}
            save_file(vectors, folder / model_name / "attribute_vectors.safetensors")
    return folder


def write_vocoder(folder: Path) -> None:
    """A pipeline with random weights and schedules of 2, 6 and 40 steps."""
    import torch

    from hub_models.wavegrad import WaveGradFeatureExtractor, WaveGradModel, WaveGradPipeline, WaveGradScheduler, preset

    torch.manual_seed(7)
    extractor = WaveGradFeatureExtractor()
    widths = {"mel_channels": 8, "down_channels": [4] * 5, "up_channels": [8, 8, 4, 4, 4]}
    model = WaveGradModel(**preset("wavegrad-lmnt", **widths, mel_settings=extractor.mel_settings))
    schedules = {
        "2": [1e-4, 0.3],
        "6": [1e-6, 2e-5, 1e-4, 1e-3, 1e-2, 6e-2],
        "slow": {"type": "linear", "beta_start": 1e-4, "beta_end": 0.05, "num_steps": 40},
    }
    scheduler = WaveGradScheduler(schedules=schedules, default_schedule="6")
    WaveGradPipeline(model, scheduler, extractor).save_pretrained(folder)


def write_jukebox(folder: Path, seed: int = 7) -> None:
    """Three levels with random weights that know a few names, and lyrics; a window of the top level is a second."""
    import torch

    from hub_models.jukebox import JukeboxConfig, JukeboxModel, JukeboxTokenizer

    torch.manual_seed(seed)
    artists, genres = ["low voice", "high voice", "piano", "music box", "band", "drums"], ["nursery", "poem", "folk", "pop"]
    resampling = {"sampling_rate": JUKEBOX_RATE, "res_downs_t": [1, 1, 1], "res_strides_t": [32, 4, 4]}
    convolutions = {"res_conv_width": 8, "res_conv_depth": 1}
    prior = {
        **resampling,
        **convolutions,
        "hidden_size": 16,
        "num_layers": 4,
        "n_heads": 2,
        "n_ctx": JUKEBOX_CONTEXT,
        "blocks": 4,
        "music_vocab_size": 24,
        "metadata_dims": [1 + len(genres), 1 + len(artists)],
        "max_nb_genres": 1,
        "timing_dims": 8,
        "min_duration": 1,
        "max_duration": 60,
        "is_encoder_decoder": False,
        "init_scale": 1.0,
        "merged_decoder": False,
    }
    by_blocks = "raw_column_previous_row_attention"
    upsampler = {**prior, "num_layers": 1, "attention_pattern": by_blocks, "nb_relevant_lyric_tokens": 0}
    lyrics = {
        "attention_pattern": "enc_dec_every_4_layers",
        "nb_relevant_lyric_tokens": 16,
        "lyric_vocab_size": 79,
        "encoder_config": {
            "hidden_size": 16,
            "num_layers": 1,
            "n_heads": 2,
            "blocks": 4,
            "attention_pattern": by_blocks,
            "init_scale": 1.0,
        },
        "alignment_layer": 3,
        "alignment_head": 0,
    }
    config = JukeboxConfig(
        sampling_rate=JUKEBOX_RATE,
        vqvae_config={
            **resampling,
            **convolutions,
            "nb_discrete_codes": 24,
            "embed_dim": 8,
            "multipliers": [1, 1, 1],
            "hop_fraction": [0.25, 0.5, 0.5],
        },
        prior_config_list=[{**prior, **lyrics, "level": 0}, *({**upsampler, "level": level} for level in (1, 2))],
    )
    model = JukeboxModel(config)
    with torch.no_grad():
        for block in model.vqvae.bottleneck.level_blocks:
            block.codebook.normal_()
        for decoder in model.vqvae.decoders:  # loud enough to be seen
            decoder.out.weight.mul_(4.0)
            decoder.out.bias.zero_()
    model.save_pretrained(folder)
    JukeboxTokenizer.from_names(artists, genres, "v3", 3, max_n_lyric_tokens=16).save_pretrained(folder)


def write_performer(folder: Path, hidden_size: int = 32, num_hidden_layers: int = 2, **kind) -> None:
    """A model of performances with random weights, that plays as densely as a pianist does and never ends."""
    import torch

    from hub_models.transformer_autoencoder import (
        TransformerAutoencoderConfig,
        TransformerAutoencoderForConditionalGeneration,
        TransformerAutoencoderProcessor,
    )

    torch.manual_seed(7)
    sizes = {"hidden_size": hidden_size, "key_size": hidden_size, "intermediate_size": hidden_size}
    sizes |= {"num_hidden_layers": num_hidden_layers, "num_attention_heads": 4}
    lengths = {"max_relative_position": 64, "context_length": PERFORMER_CONTEXT}
    model = TransformerAutoencoderForConditionalGeneration(TransformerAutoencoderConfig(**sizes, **lengths, **kind))
    likely = torch.full((310,), -3.0)
    likely[[0, 1]] = -30.0
    likely[2 + 27 : 2 + 64] = 0.5  # notes of the middle of the keyboard begin
    likely[90 + 27 : 90 + 64] = 1.0  # and end
    likely[178 + 4 : 178 + 20] = 2.0  # 50 to 200 ms pass
    likely[278 + 8 : 278 + 28] = 0.0
    with torch.no_grad():  # the bias of the last norm reaches the logits through the rows of the output layer
        bias = torch.ones(hidden_size)
        model.model.decoder.norm.bias.copy_(bias)
        model.lm_head.weight.add_(likely[:, None] * bias / bias.square().sum())
    model.save_pretrained(folder)
    TransformerAutoencoderProcessor(context_length=PERFORMER_CONTEXT).save_pretrained(folder)


def _rest_often(model) -> None:
    """Makes rests the likeliest events, as they are in music, and hits of drums neither rare nor everywhere."""
    import torch

    projections = [module for path, module in model.named_modules() if path.endswith("output_projection")]
    with torch.no_grad():
        for projection in projections:
            if projection.out_features == 27:
                projection.bias[:9] = -1.0
            elif projection.out_features == 490:  # many tracks are drums, and tracks end soon
                projection.bias[488] = 2.6
                projection.bias[489] = 2.0
            else:
                projection.bias[0] = 2.0
