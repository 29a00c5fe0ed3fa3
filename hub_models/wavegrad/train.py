"""Train or fine-tune WaveGrad on folders of sound files.

accelerate launch -m hub_models.wavegrad.train --data DIR --output DIR --preset wavegrad-base
accelerate launch -m hub_models.wavegrad.train --data DIR --output DIR --init-from NAME_OR_PATH
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import set_seed

from hub_models.training import (
    NoTrainingDataError,
    TrainingTask,
    add_training_arguments,
    create_accelerator,
    train,
    training_arguments_from,
)
from hub_models.training.data_order import ExampleKey
from hub_models.training.media import Media

from .configuration_wavegrad import PRESETS, preset
from .data import ClipDataset, CropDataset, Recordings, find_audio_files, fingerprint_of, prepare_recordings
from .feature_extraction_wavegrad import WaveGradFeatureExtractor
from .metrics import log_mel_mse, mel_cepstral_distortion, multi_resolution_stft_distance
from .modeling_wavegrad import WaveGradModel
from .pictures import spectrogram_picture
from .pipeline_wavegrad import WaveGradPipeline
from .scheduling_wavegrad import WaveGradScheduler

MEDIA_CLIPS = 3


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; the loop's defaults are those of lmnt-com/wavegrad."""
    parser = argparse.ArgumentParser(
        prog="accelerate launch -m hub_models.wavegrad.train", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="folders of sound files")
    parser.add_argument(
        "--splits", type=Path, nargs="+", metavar="CSV", help="one CSV per --data folder, with columns file and split"
    )
    parser.add_argument("--train-split", default="train", help="split to train on (default: %(default)s)")
    parser.add_argument("--validation-split", default="validation", help="split to validate on (default: %(default)s)")
    parser.add_argument(
        "--validation-share",
        type=float,
        default=0.05,
        help="share of files held out where there are no --splits (default: %(default)s)",
    )
    parser.add_argument(
        "--max-validation-clips", type=int, default=32, help="validate on at most so many (default: %(default)s)"
    )
    parser.add_argument("--validation-frames", type=int, default=96, help="length of those in frames (default: %(default)s)")
    parser.add_argument(
        "--validation-steps", type=int, nargs="+", default=[6, 50], help="step counts to synthesise with (default: 6 50)"
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where decoded sound is kept")
    parser.add_argument("--crop-frames", type=int, default=24, help="length of an example (default: %(default)s)")
    parser.add_argument(
        "--gain-db", type=float, default=0.0, help="make examples quieter by up to so many dB (default: %(default)s)"
    )
    parser.add_argument(
        "--normalize", action="store_true", help="first make each recording as loud as it can be, by at most 20 dB"
    )
    parser.add_argument("--sample-rate", type=int, default=22_050, help="Hz, of a new model (default: %(default)s)")
    parser.add_argument(
        "--beta-end",
        type=float,
        metavar="BETA",
        help="the noise levels of a new model's training are those of 1000 betas from 1e-6 to this; default: 0.01, as in "
        "the paper. With another, synthesis begins at the last of these levels, and the schedules of the model span them",
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--preset", choices=list(PRESETS), default="wavegrad-base", help="(default: %(default)s)")
    start.add_argument("--init-from", metavar="NAME_OR_PATH", help="fine-tune this pipeline: a folder or a Hub repository")
    parser.add_argument(
        "--override",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="numbers of the preset to change, values in JSON: mel_channels=256",
    )
    add_training_arguments(parser, batch_size=32, learning_rate=2e-4, max_gradient_norm=1.0)
    options = parser.parse_args(arguments)
    for name in ("crop_frames", "validation_frames", "max_validation_clips"):
        if getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be at least 1.")
    if options.init_from and (options.override or options.beta_end):
        parser.error("--override and --beta-end shape a new model; --init-from keeps the one that it names.")
    return options


def parse_overrides(pairs: list[str], preset_name: str) -> dict[str, Any]:
    """`["mel_channels=256"]` as `{"mel_channels": 256}`.

    Raises:
        ValueError: a pair has no "=", names no number of the preset, or its value is no JSON.
    """
    known = preset(preset_name)
    overrides = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or key not in known:
            raise ValueError(f"--override {pair}: write KEY=VALUE with one of these keys: {', '.join(sorted(known))}.")
        try:
            overrides[key] = json.loads(value)
        except json.JSONDecodeError:
            overrides[key] = value
    return overrides


def build_pipeline(options: argparse.Namespace) -> WaveGradPipeline:
    """The pipeline that the options ask for, new or to be fine-tuned."""
    if options.init_from:
        return WaveGradPipeline.from_pretrained(options.init_from)
    sizes = preset(options.preset, **parse_overrides(options.override, options.preset))
    extractor = WaveGradFeatureExtractor(
        feature_size=sizes["num_mel_bands"],
        sampling_rate=options.sample_rate,
        hop_length=int(np.prod(sizes["up_factors"])),
    )
    model = WaveGradModel(**sizes, mel_settings=extractor.mel_settings)
    return WaveGradPipeline(model, build_scheduler(options.beta_end), extractor)


def build_scheduler(beta_end: float | None) -> WaveGradScheduler:
    """The original's scheduler, or one for noise levels that end elsewhere: the original's schedules would leave them."""
    if beta_end is None:
        return WaveGradScheduler()
    levels = WaveGradScheduler(beta_end=beta_end)
    schedules: dict[str, Any] = {str(steps): levels.log_snr_betas(steps).tolist() for steps in (6, 25, 50)}
    schedules["1000"] = {"type": "linear", "beta_start": 1e-6, "beta_end": beta_end, "num_steps": 1000}
    return WaveGradScheduler(beta_end=beta_end, schedules=schedules, scale_initial_noise=True)


def build_datasets(
    options: argparse.Namespace, recordings: Recordings, extractor: WaveGradFeatureExtractor, seed: int
) -> tuple[CropDataset, ClipDataset | None, dict[str, Any]]:
    """Training and validation data and a summary of both.

    Raises:
        NoTrainingDataError: there is nothing to train on.
    """
    hop, margin = extractor.hop_length, extractor.n_fft // 2
    crops = CropDataset(
        recordings.select(options.train_split), options.crop_frames, hop, margin, options.gain_db, options.normalize, seed
    )
    if len(crops) == 0:
        shortest = max(options.crop_frames * hop, margin + 1)
        reasons = "; ".join(f"{name}: {why}" for name, why in list(recordings.rejected.items())[:5])
        raise NoTrainingDataError(
            f"The data gives nothing for the split '{options.train_split}': {len(recordings.files)} sound files could be "
            f"read ({json.dumps(recordings.summary())}); of the split {crops.num_dropped} are shorter than the "
            f"{shortest} samples of an example."
            f"{' Broken: ' + reasons if reasons else ''}"
        )
    clips = ClipDataset(
        recordings.select(options.validation_split), options.max_validation_clips, options.validation_frames, hop, margin
    )
    summary = {
        **recordings.summary(),
        "train_crops": len(crops),
        "train_files_too_short": crops.num_dropped,
        "validation_clips": len(clips),
        "validation_files_too_short": clips.num_dropped,
    }
    return crops, clips if len(clips) else None, summary


def collate(examples: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """A batch: `audio` (B, crop_frames * hop) and `context` (B, the same and margins), float32."""
    return {name: torch.from_numpy(np.stack([example[name] for example in examples])) for name in examples[0]}


class WaveGradTask:
    """Loss, metrics and media of one pipeline. The spectrograms are made on the model's device."""

    def __init__(self, pipeline: WaveGradPipeline, validation_steps: list[int]):
        self.scheduler = pipeline.scheduler
        self.extractor = pipeline.feature_extractor
        self.validation_steps = validation_steps

    def mel_of(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """(B, M, frames) of the crops, equal to those of the whole recordings."""
        frames = batch["audio"].shape[1] // self.extractor.hop_length
        return self.extractor.log_mel(batch["context"], center=False)[..., :frames]

    def compute_loss(
        self, model: Any, batch: dict[str, torch.Tensor], step: int, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """Mean absolute error of the noise estimated at continuous noise levels (algorithm 1 of the paper)."""
        audio = batch["audio"]
        levels = self.scheduler.sample_noise_levels(len(audio), generator=generator, device=audio.device)
        noise = torch.randn(audio.shape, generator=generator, device=audio.device)
        noisy = self.scheduler.add_noise(audio, noise, levels)
        return {"loss": F.l1_loss(model(noisy, levels, self.mel_of(batch)).sample.float(), noise)}

    def compute_metrics(
        self, model: Any, batch: dict[str, torch.Tensor], generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """The loss, and for each step count the distances between copy synthesis and recording."""
        metrics = self.compute_loss(model, batch, 0, generator)
        whole = getattr(model, "module", model)
        for steps in self.validation_steps:
            audio = self.synthesise(whole, self.mel_of(batch), steps, generator)
            metrics[f"ls_mse_{steps}_steps"] = log_mel_mse(audio, batch["audio"], self.extractor.sampling_rate).mean()
            metrics[f"mcd_{steps}_steps"] = mel_cepstral_distortion(
                audio, batch["audio"], self.extractor.sampling_rate
            ).mean()
            metrics[f"mr_stft_{steps}_steps"] = multi_resolution_stft_distance(audio, batch["audio"]).total.mean()
        return metrics

    def synthesise(self, model: Any, mel: torch.Tensor, steps: int, generator: torch.Generator) -> torch.Tensor:
        """(B, T) audio for (B, M, F) spectrograms."""
        pipeline = WaveGradPipeline(model, WaveGradScheduler.from_config(self.scheduler.config), self.extractor)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline(mel=mel, num_inference_steps=steps, generator=generator, output_type="pt").audios

    def make_media(self, dataset: ClipDataset) -> Any:
        """What makes the sound and the pictures of the first clips: the recordings and, below them, their copies."""
        batch = collate([dataset[ExampleKey(0, index)] for index in range(min(MEDIA_CLIPS, len(dataset)))])

        def media_of(model: Any, generator: torch.Generator) -> Media:
            device = next(model.parameters()).device
            mel = self.mel_of({name: value.to(device) for name, value in batch.items()})
            media = Media(sample_rate=self.extractor.sampling_rate)
            for index, sound in enumerate(batch["audio"]):
                media.sounds[f"clip-{index + 1}/recording"] = sound.numpy()
            for steps in self.validation_steps:
                audio = self.synthesise(model, mel, steps, generator)
                copies = self.extractor.log_mel(audio)[..., : mel.shape[-1]]
                for index, sound in enumerate(audio.cpu().float()):
                    media.sounds[f"clip-{index + 1}/{steps}-steps"] = sound.numpy()
                    pair = [spectrogram_picture(bands.cpu().numpy()) for bands in (mel[index], copies[index])]
                    media.pictures[f"clip-{index + 1}/{steps}-steps"] = np.concatenate(pair)
            return media

        return media_of


def main(arguments: list[str] | None = None) -> None:
    """Data, model, loss; the loop does the rest."""
    options = parse_arguments(arguments)
    training = training_arguments_from(options)
    accelerator = create_accelerator(training)
    set_seed(training.seed)
    pipeline = build_pipeline(options)
    model, extractor = pipeline.model, pipeline.feature_extractor

    files = find_audio_files(options.data, options.splits, validation_share=options.validation_share)
    with accelerator.main_process_first():
        recordings = prepare_recordings(files, extractor.sampling_rate, options.cache)
    crops, clips, summary = build_datasets(options, recordings, extractor, training.seed)
    accelerator.print(f"Data: {json.dumps(summary)}")
    for name, reason in recordings.rejected.items():
        accelerator.print(f"Left out: {name}: {reason}")
    accelerator.print(f"Model: {sum(p.numel() for p in model.parameters()):,} parameters")

    def save_extras(folder: Path) -> None:
        pipeline.scheduler.save_pretrained(folder / "scheduler")
        extractor.save_pretrained(folder / "feature_extractor")
        pipeline.save_config(folder)
        (folder / "data_summary.json").write_text(json.dumps(summary, indent=2) + "\n")

    wavegrad = WaveGradTask(pipeline, options.validation_steps)
    task = TrainingTask(
        model=model,
        train_dataset=crops,
        validation_dataset=clips,
        collate=collate,
        compute_loss=wavegrad.compute_loss,
        compute_metrics=wavegrad.compute_metrics,
        make_media=wavegrad.make_media(clips) if clips is not None else None,
        save_extras=save_extras,
        model_subfolder="model",
        identity={
            "config": {name: value for name, value in model.config.items() if not name.startswith("_")},
            "scheduler": {
                n: v for n, v in pipeline.scheduler.config.items() if n.startswith(("beta", "trained", "num_train"))
            },
            "init_from": options.init_from,
            "data": fingerprint_of(crops.clips),
            "crop_frames": options.crop_frames,
            "gain_db": options.gain_db,
            "normalize": options.normalize,
        },
    )
    train(accelerator, training, task)


if __name__ == "__main__":
    main()
