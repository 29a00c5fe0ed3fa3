"""Training WaveGrad from the command line: what it learns, saves, resumes, logs and refuses."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState
from safetensors.torch import load_file
from tiny_training import make_arguments
from tiny_wavegrad import HOP, RATE, TINY, WEIGHTS, command, run, tones, write_sound, write_sounds

from hub_models.training import NoTrainingDataError, TrainingTask, create_accelerator, loop
from hub_models.training.checkpoints import ResumeError, checkpoint_folders
from hub_models.training.data_order import ExampleKey
from hub_models.wavegrad import WaveGradFeatureExtractor, WaveGradModel, WaveGradPipeline, WaveGradScheduler, train
from hub_models.wavegrad.data import CropDataset
from hub_models.wavegrad.train import WaveGradTask, collate

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    return write_sounds(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="module")
def trained(sounds, tmp_path_factory):
    """A run of two steps with a validation, sound and pictures."""
    torch.set_num_threads(1)
    output = run(
        sounds,
        tmp_path_factory.mktemp("trained") / "run",
        *("--evaluate-every", "2", "--validation-steps", "6", "50", "--validation-frames", "8"),
    )
    again()
    return output


def weights(output, folder=""):
    return load_file(output / folder / WEIGHTS)


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def log_of(output, split):
    lines = [json.loads(line) for line in (output / "train_log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines if line["split"] == split]


def again():
    """What a new process would have: no accelerator left from the run before."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


# Learning


def test_the_loss_falls(sounds, tmp_path):
    output = run(sounds, tmp_path / "run", "--learning-rate", "1e-2", "--trackers", max_steps=60)
    losses = [line["loss"] for line in log_of(output, "train")]
    assert len(losses) == 60
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])


def test_half_precision_on_the_forward_pass_trains_float32_weights(sounds, tmp_path):
    output = run(sounds, tmp_path / "half", "--mixed-precision", "bf16", "--evaluate-every", "2")
    assert all(value.dtype == torch.float32 for value in weights(output).values())
    again()
    whole = run(sounds, tmp_path / "whole", "--evaluate-every", "2")
    losses = [[line["loss"] for line in log_of(folder, "train")] for folder in (output, whole)]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0] != losses[1]  # it was indeed another precision
    assert np.isfinite(log_of(output, "validation")[0]["ls_mse_2_steps"])


def tiny_task(loss=None):
    """The parts of a run, for the loop itself."""
    torch.manual_seed(0)
    options = train.parse_arguments(["--data", ".", "--output", ".", "--override", *TINY])
    pipeline = train.build_pipeline(options)
    clips = [(tones(seed) * 32767).astype(np.int16) for seed in range(4)]
    wavegrad = WaveGradTask(pipeline, [2])
    return TrainingTask(
        model=pipeline.model,
        train_dataset=CropDataset(clips, 4, HOP, pipeline.feature_extractor.n_fft // 2, gain_db=6),
        collate=collate,
        compute_loss=(lambda *arguments: loss(wavegrad, *arguments)) if loss else wavegrad.compute_loss,
    )


def loss_with_fixed_noise(wavegrad, model, batch, step, generator):
    """Noise and levels that are functions of the example, so that they do not depend on how a batch is divided."""
    noise = torch.sin(batch["audio"] * 999)
    levels = batch["audio"].abs().amax(dim=1).clamp(0.05, 0.95)
    noisy = wavegrad.scheduler.add_noise(batch["audio"], noise, levels)
    return {"loss": (model(noisy, levels, wavegrad.mel_of(batch)).sample - noise).abs().mean()}


def test_accumulation_gives_the_gradient_of_the_joint_batch(tmp_path, monkeypatch):
    """The gradient, not the weights: Adam would hide a wrong factor."""
    clip = loop._clip

    def first_gradient(name, **settings):
        again()
        task, gradient = tiny_task(loss_with_fixed_noise), {}

        def saving_clip(accelerator, arguments, model, optimizer):
            gradient.update({key: p.grad.clone() for key, p in task.model.named_parameters()})
            return clip(accelerator, arguments, model, optimizer)

        monkeypatch.setattr(loop, "_clip", saving_clip)
        arguments = make_arguments(tmp_path / name, max_steps=1, **settings)
        loop.train(create_accelerator(arguments), arguments, task)
        return gradient

    joint = first_gradient("joint", batch_size=6)
    parts = first_gradient("parts", batch_size=2, gradient_accumulation_steps=3)
    other = first_gradient("other", batch_size=2)
    for name, value in joint.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-3, atol=1e-6)
    assert not torch.allclose(other["mel_conv.weight"], joint["mel_conv.weight"], rtol=1e-3, atol=1e-6)


def test_noise_comes_from_the_given_generator_alone():
    task = tiny_task()
    batch = collate([task.train_dataset[ExampleKey(0, index)] for index in range(4)])
    losses = []
    for seed, elsewhere in ((1, 10), (1, 20), (2, 10)):
        torch.manual_seed(elsewhere)
        losses.append(task.compute_loss(task.model, batch, 0, torch.Generator().manual_seed(seed))["loss"].item())
    assert losses[0] == losses[1] != losses[2]


def test_the_loss_is_the_mean_absolute_error_of_the_noise_at_levels_of_the_training_schedule():
    """What the network is asked and told, seen from inside."""
    seen = {}

    class Silent(torch.nn.Module):
        def forward(self, audio, noise_level, mel):
            seen.update(audio=audio, level=noise_level, mel=mel)
            return type("Output", (), {"sample": torch.zeros_like(audio)})

    task = tiny_task()
    batch = collate([task.train_dataset[ExampleKey(0, index)] for index in range(16)])
    loss = task.compute_loss(Silent(), batch, 0, torch.Generator().manual_seed(0))["loss"]
    assert loss.item() == pytest.approx(np.sqrt(2 / np.pi), rel=0.02)  # of a normal distribution
    level = seen["level"][:, None]
    levels = WaveGradScheduler().training_noise_levels
    assert levels.min() <= level.min() < level.max() <= levels.max()
    assert len(seen["level"].unique()) == 16  # one for each example
    noise = (seen["audio"] - level * batch["audio"]) / (1 - level**2).sqrt()
    assert noise.abs().mean().item() == pytest.approx(loss.item(), rel=1e-3)
    assert seen["mel"].shape == (16, 16, 4)


# Resuming


@pytest.fixture(scope="module")
def settings():
    return ["--ema-decay", "0.5", "--gain-db", "6", "--gradient-accumulation-steps", "2", "--trackers"]


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(sounds, tmp_path, settings):
    more = [*settings, "--evaluate-every", "2", "--save-every", "1"]
    run(sounds, tmp_path / "parts", *more, max_steps=3)
    again()
    run(sounds, tmp_path / "parts", *more, max_steps=7)
    again()
    run(sounds, tmp_path / "whole", *more, max_steps=7)
    assert_equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    last = "checkpoints/step-00000007"
    for name in ("model.safetensors", "ema.safetensors"):
        assert_equal(*(load_file(tmp_path / run_name / last / name) for run_name in ("parts", "whole")))
    for split in ("train", "validation"):
        assert log_of(tmp_path / "parts", split) == log_of(tmp_path / "whole", split)
    again()
    run(sounds, tmp_path / "other", *more, "--seed", "1", max_steps=3)
    assert log_of(tmp_path / "other", "train") != log_of(tmp_path / "whole", "train")[:3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--gain-db", "6"], "gain_db was 0.0 and is now 6.0"),
        (["--crop-frames", "5"], "crop_frames was 4 and is now 5"),
        (["--beta-end", "0.02"], "scheduler"),
        (["--override", *TINY, "mel_channels=12"], "config"),
    ],
)
def test_a_run_is_not_gone_on_with_under_other_settings(sounds, trained, change, message):
    with pytest.raises(ResumeError, match=re.escape(message)):
        run(sounds, trained, *change, max_steps=4)
    assert [folder.name for folder in checkpoint_folders(trained)] == ["step-00000002"]


def test_other_data_is_noticed(sounds, trained, tmp_path):
    folder = write_sounds(tmp_path / "other", count=4)
    with pytest.raises(ResumeError, match="data"):
        run(folder, trained, max_steps=4)


def test_averaged_weights_are_what_is_saved_and_validated(sounds, tmp_path):
    more = ["--evaluate-every", "3", "--learning-rate", "1e-2", "--trackers"]
    averaged = run(sounds, tmp_path / "averaged", "--ema-decay", "0.9", *more, max_steps=3)
    again()
    plain = run(sounds, tmp_path / "plain", *more, max_steps=3)
    checkpoint = checkpoint_folders(averaged)[-1]
    assert_equal(load_file(checkpoint / "model.safetensors"), weights(plain))  # the steps themselves are the same
    average = {name.removeprefix("module."): value for name, value in load_file(checkpoint / "ema.safetensors").items()}
    for name, value in weights(averaged).items():
        torch.testing.assert_close(average[name], value, rtol=0, atol=0)
    assert not torch.equal(weights(averaged)["mel_conv.weight"], weights(plain)["mel_conv.weight"])
    assert log_of(averaged, "train") == log_of(plain, "train")
    assert log_of(averaged, "validation") != log_of(plain, "validation")


# What a run leaves


def test_the_output_is_a_pipeline_folder(trained):
    pipeline = WaveGradPipeline.from_pretrained(trained)
    assert isinstance(pipeline.model, WaveGradModel)
    assert isinstance(pipeline.scheduler, WaveGradScheduler)
    assert isinstance(pipeline.feature_extractor, WaveGradFeatureExtractor)
    assert pipeline.sample_rate == RATE
    assert pipeline.model.config.mel_settings == pipeline.feature_extractor.mel_settings
    assert_equal(dict(pipeline.model.state_dict()), weights(trained))
    pipeline.set_progress_bar_config(disable=True)
    mel = torch.rand(1, 16, 5, generator=torch.Generator().manual_seed(0))
    first, second = (
        pipeline(mel=mel, num_inference_steps=3, generator=torch.Generator().manual_seed(0)).audios for _ in range(2)
    )
    assert first.shape == (1, 5 * HOP)
    assert np.array_equal(first, second)


def test_the_output_is_what_the_pipeline_itself_would_save(trained, tmp_path):
    WaveGradPipeline.from_pretrained(trained).save_pretrained(tmp_path)
    expected = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert {Path("model_index.json"), Path(WEIGHTS), Path("scheduler/scheduler_config.json")} < expected
    assert expected <= {path.relative_to(trained) for path in trained.rglob("*")}
    for path in expected:
        if path.suffix == ".json":
            saved, trained_config = (json.loads((folder / path).read_text()) for folder in (tmp_path, trained))
            for name in saved.keys() | trained_config.keys():
                if name != "_name_or_path":
                    assert saved[name] == trained_config[name], f"{path}: {name}"


def test_the_data_is_summed_up_beside_the_model(trained):
    summary = json.loads((trained / "data_summary.json").read_text())
    assert (summary["train_files"], summary["validation_files"], summary["broken_files"]) == (6, 2, 0)
    assert summary["validation_clips"] == 2
    assert summary["train_crops"] == sum(round((0.5 + 0.05 * n) * RATE) // (4 * HOP) for n in range(6))


def test_validation_measures_the_loss_and_copy_synthesis_at_few_and_many_steps(trained):
    (line,) = log_of(trained, "validation")
    measures = {f"{measure}_{steps}_steps" for measure in ("ls_mse", "mcd", "mr_stft") for steps in (6, 50)}
    assert measures | {"loss", "step", "split"} == line.keys()
    assert all(np.isfinite(line[name]) and line[name] > 0 for name in measures)
    assert line["ls_mse_6_steps"] != line["ls_mse_50_steps"]


def test_tensorboard_gets_numbers_sound_and_pictures(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained / "logs/training")).Reload()
    tags = events.Tags()
    assert {"train/loss", "validation/ls_mse_6_steps", "validation/mcd_50_steps"} <= set(tags["scalars"])
    copies = {f"clip-{number}/{steps}-steps" for number in (1, 2) for steps in (6, 50)}
    assert set(tags["audio"]) == copies | {"clip-1/recording", "clip-2/recording"}
    assert set(tags["images"]) == copies
    (sound,) = events.Audio("clip-1/recording")
    assert sound.step == 2
    assert sound.sample_rate == RATE
    assert sound.length_frames == 8 * HOP
    (picture,) = events.Images("clip-1/6-steps")
    assert (picture.height, picture.width) == (2 * 16 * 2, 8 * 2)  # recording above copy, 2 pixels for a band and a frame


def test_the_best_model_is_kept_as_a_pipeline_folder(sounds, tmp_path):
    output = run(
        sounds,
        tmp_path / "run",
        *("--evaluate-every", "1", "--keep-best", "lowest:ls_mse_2_steps", "--trackers"),
        *("--learning-rate", "1e-2"),
        max_steps=3,
    )
    WaveGradPipeline.from_pretrained(output / "best")
    scores = [line["ls_mse_2_steps"] for line in log_of(output, "validation")]
    assert len(set(scores)) == 3
    is_last = int(np.argmin(scores)) == 2
    same = [torch.equal(value, weights(output)[name]) for name, value in weights(output, "best").items()]
    assert all(same) == is_last


def test_a_launched_run_ends_with_a_pipeline_that_makes_sound(sounds, tmp_path):
    """The whole way: `accelerate launch`, then copy synthesis."""
    output = tmp_path / "run"
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]
    subprocess.run(
        [*launch, "-m", "hub_models.wavegrad.train", *command(sounds, output, "--evaluate-every", "2")],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        check=True,
        timeout=400,
    )
    assert [line["step"] for line in log_of(output, "train")] == [1, 2]
    pipeline = WaveGradPipeline.from_pretrained(output)
    pipeline.set_progress_bar_config(disable=True)
    audio = tones(5, 0.2)
    assert pipeline(audio=audio, sampling_rate=RATE, num_inference_steps=2).audios.shape == (1, len(audio))


# Fine-tuning


def test_fine_tuning_starts_from_the_given_weights(sounds, trained, tmp_path):
    tuned = run(sounds, tmp_path / "tuned", "--init-from", trained, "--learning-rate", "1e-12", tiny=False)
    before = weights(trained)
    for name, value in weights(tuned).items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=1e-9)
    learnt = run_again(sounds, tmp_path / "learnt", "--init-from", trained, "--learning-rate", "1e-2")
    assert not torch.allclose(weights(learnt)["mel_conv.weight"], before["mel_conv.weight"], atol=1e-4)


def run_again(folder, output, *more):
    again()
    return run(folder, output, *more, tiny=False)


def test_fine_tuning_keeps_the_sample_rate_the_training_levels_and_the_schedules_of_the_model(sounds, tmp_path):
    """A pipeline as converters write them: another rate, its own training betas and a searched schedule."""
    extractor = WaveGradFeatureExtractor(feature_size=16, sampling_rate=24_000)
    sizes = train.parse_overrides(TINY, "wavegrad-lmnt")
    torch.manual_seed(0)
    model = WaveGradModel(**train.preset("wavegrad-lmnt", **sizes), mel_settings=extractor.mel_settings)
    betas = np.linspace(1e-6, 0.02, 1000).tolist()
    scheduler = WaveGradScheduler(trained_betas=betas, schedules={"mine": [1e-4, 1e-2, 0.3]}, default_schedule="mine")
    WaveGradPipeline(model, scheduler, extractor).save_pretrained(tmp_path / "start")

    tuned = run(sounds, tmp_path / "tuned", "--init-from", tmp_path / "start", tiny=False)
    pipeline = WaveGradPipeline.from_pretrained(tuned)
    assert pipeline.sample_rate == 24_000
    assert dict(pipeline.scheduler.config)["trained_betas"] == pytest.approx(betas)
    assert pipeline.scheduler.config.default_schedule == "mine"
    assert pipeline.scheduler.schedule_names == ["mine"]
    assert pipeline.model.config.downsample_type == "nearest"
    summary = json.loads((tuned / "data_summary.json").read_text())
    assert summary["train_crops"] == sum(round((0.5 + 0.05 * n) * 24_000) // (4 * HOP) for n in range(6))  # resampled


def test_a_converted_checkpoint_can_be_fine_tuned(sounds, trained, tmp_path):
    conversion = pytest.importorskip("conversion.__main__", reason="the converters lie beside the package, not in it")
    extractor = WaveGradFeatureExtractor()
    torch.manual_seed(0)
    sizes = train.parse_overrides([pair for pair in TINY if "num_mel_bands" not in pair], "wavegrad-lmnt")
    model = WaveGradModel(**train.preset("wavegrad-lmnt", **sizes), mel_settings=extractor.mel_settings)
    WaveGradPipeline(model, WaveGradScheduler(), extractor).save_pretrained(tmp_path / "model")
    assert conversion.main(f"lmnt-wavegrad --export {tmp_path}/model --output {tmp_path}/weights.pt".split()) == 0
    convert = f"lmnt-wavegrad --checkpoint {tmp_path}/weights.pt --sample-rate {RATE} --output {tmp_path}/converted"
    assert conversion.main(convert.split()) == 0
    tuned = run(sounds, tmp_path / "tuned", "--init-from", tmp_path / "converted", "--learning-rate", "1e-12", tiny=False)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(weights(tuned)[name], value, rtol=0, atol=1e-7)


# Refusals


def splits(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "splits.csv").write_text("file,split\n" + "".join(f"{name},{split}\n" for name, split in rows))


def test_data_too_short_for_an_example_is_an_error_that_says_so(tmp_path):
    write_sound(tmp_path / "data/short.wav", tones(0, 0.04))
    splits(tmp_path / "data", [("short.wav", "train")])
    with pytest.raises(NoTrainingDataError, match=r"split 'train': .* 1 are shorter than the 1200 samples"):
        run(tmp_path / "data", tmp_path / "run")
    assert not (tmp_path / "run/checkpoints").exists()


def test_data_that_is_all_broken_names_the_files(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/noise.wav").write_bytes(b"no sound")
    splits(tmp_path / "data", [("noise.wav", "train")])
    with pytest.raises(NoTrainingDataError, match=r"noise\.wav: This is not a sound file"):
        run(tmp_path / "data", tmp_path / "run")


def test_a_split_without_files_names_what_there_is(sounds, tmp_path):
    with pytest.raises(NoTrainingDataError, match=r"split 'tran': .*train_files"):
        run(sounds, tmp_path / "run", "--train-split", "tran")


def test_broken_and_short_files_among_good_ones_are_named_and_left_out(sounds, tmp_path, capsys):
    folder = write_sounds(tmp_path / "data", count=5)
    (folder / "tone0.wav").write_bytes(b"no sound")
    write_sound(folder / "tone1.wav", tones(1, 0.03))
    output = run(folder, tmp_path / "run", "--trackers")
    assert "Left out: tone0.wav: This is not a sound file" in capsys.readouterr().out
    summary = json.loads((output / "data_summary.json").read_text())
    assert summary["broken_files"] == summary["train_files_too_short"] == 1


def test_without_validation_files_a_run_trains_all_the_same(tmp_path):
    folder = write_sounds(tmp_path / "data", count=3)
    splits(folder, [(f"tone{number}.wav", "train") for number in range(3)])
    output = run(folder, tmp_path / "run", "--evaluate-every", "1")
    assert log_of(output, "validation") == []
    WaveGradPipeline.from_pretrained(output)


@pytest.mark.parametrize("pair", ["mel_channels", "size=3", "=3"])
def test_overrides_that_name_no_number_are_refused(pair):
    with pytest.raises(ValueError, match="mel_channels"):
        train.parse_overrides([pair], "wavegrad-base")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--init-from", "x", "--override", "mel_channels=4"], "shape a new model"),
        (["--init-from", "x", "--beta-end", "0.02"], "shape a new model"),
        (["--init-from", "x", "--preset", "wavegrad-lmnt"], "not allowed with"),
        (["--crop-frames", "0"], "--crop-frames is 0; it must be at least 1"),
        (["--validation-frames", "0"], "--validation-frames is 0"),
        (["--preset", "wavegrad-tiny"], "invalid choice"),
    ],
)
def test_options_that_make_no_sense_are_refused(capsys, more, message):
    with pytest.raises(SystemExit):
        train.parse_arguments(["--data", "x", "--output", "y", *more])
    assert message in capsys.readouterr().err
