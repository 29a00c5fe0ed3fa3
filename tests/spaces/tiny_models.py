"""Tiny models with random weights, one of every kind that the Studio plays with, under the names of the bundled ones."""

from pathlib import Path

MELODY, DRUMS = "music-vae-tiny-melody", "music-vae-tiny-drums"
LONG_MELODY, TRIO = "music-vae-tiny-melody-16", "music-vae-tiny-trio"
HUMANIZE = "music-vae-groove-2bar-humanize"
TAP = "music-vae-groove-2bar-tap"
HATS = "music-vae-groove-2bar-add-closed-hh"
BAND = "multitrack-tiny-chords"
VOCODER = "wavegrad-tiny"
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


def write(folder: Path, names: tuple[str, ...] = (*PRESETS, VOCODER, *PERFORMERS)) -> Path:
    """Writes the models called `names` to folders under `folder`, those of melodies and bands with attribute vectors."""
    if VOCODER in names:
        write_vocoder(folder / VOCODER)
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


def write_performer(folder: Path, **kind) -> None:
    """A model of performances with random weights, that plays as densely as a pianist does and never ends."""
    import torch

    from hub_models.transformer_autoencoder import (
        TransformerAutoencoderConfig,
        TransformerAutoencoderForConditionalGeneration,
        TransformerAutoencoderProcessor,
    )

    torch.manual_seed(7)
    sizes = {"hidden_size": 32, "key_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
    lengths = {"max_relative_position": 64, "context_length": PERFORMER_CONTEXT}
    model = TransformerAutoencoderForConditionalGeneration(TransformerAutoencoderConfig(**sizes, **lengths, **kind))
    likely = torch.full((310,), -3.0)
    likely[[0, 1]] = -30.0
    likely[2 + 27 : 2 + 64] = 0.5  # notes of the middle of the keyboard begin
    likely[90 + 27 : 90 + 64] = 1.0  # and end
    likely[178 + 4 : 178 + 20] = 2.0  # 50 to 200 ms pass
    likely[278 + 8 : 278 + 28] = 0.0
    with torch.no_grad():  # the bias of the last norm reaches the logits through the rows of the output layer
        bias = torch.ones(32)
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
