"""The pipeline as diffusers uses its pipelines, what it refuses, and its folders."""

import contextlib
import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import cpu_offload
from diffusers import AudioPipelineOutput, DiffusionPipeline

import hub_models.wavegrad
from hub_models.wavegrad import (
    WaveGradFeatureExtractor,
    WaveGradModel,
    WaveGradPipeline,
    WaveGradScheduler,
    pipeline_wavegrad,
)

from .tiny_pipelines import BANDS, FEATURES, SAMPLE_RATE, seeded, tiny_mel, tiny_model, tiny_pipeline, tone

HOP = 300


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline()


@pytest.fixture
def folder(tmp_path):
    tiny_pipeline().save_pretrained(tmp_path / "pipeline")
    return tmp_path / "pipeline"


def make(pipeline, **arguments) -> np.ndarray:
    return pipeline(**{"mel": tiny_mel(6), "generator": seeded(1)} | arguments).audios


def assert_close(audio, expected):
    np.testing.assert_allclose(audio, expected, rtol=0, atol=1e-4)


# What comes out


def test_a_mel_becomes_audio(pipeline):
    output = pipeline(mel=tiny_mel(6))
    assert isinstance(output, AudioPipelineOutput)
    assert output.audios.shape == (1, 6 * HOP)
    assert output.audios.dtype == np.float32
    assert 0 < np.abs(output.audios).max() <= 1
    assert pipeline.sample_rate == SAMPLE_RATE


def test_it_is_algorithm_2_of_the_paper(pipeline):
    mel, betas = tiny_mel(6), np.array([0.01, 0.1, 0.4])
    noise = torch.randn(3, 1, 6 * HOP, generator=seeded(0))
    signal, audio = np.cumprod(1 - betas), noise[0]
    for n in (2, 1, 0):
        level = torch.tensor(signal[n] ** 0.5, dtype=torch.float32)
        with torch.no_grad():
            estimate = pipeline.model(audio, level, mel).sample
        audio = (audio - betas[n] / (1 - signal[n]) ** 0.5 * estimate) / (1 - betas[n]) ** 0.5
        if n:
            audio = audio + ((1 - signal[n - 1]) / (1 - signal[n]) * betas[n]) ** 0.5 * noise[3 - n]
        audio = audio.clamp(-1, 1)
    assert_close(make(pipeline, mel=mel, betas=betas, latents=noise[0], variance_noise=noise[1:]), audio.numpy())


def test_output_types(pipeline):
    expected = make(pipeline)
    tensor = make(pipeline, output_type="pt")
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor, expected)
    np.testing.assert_array_equal(make(pipeline, output_type="latent"), expected)
    (audio,) = pipeline(mel=tiny_mel(6), generator=seeded(1), return_dict=False)
    np.testing.assert_array_equal(audio, expected)


def test_a_mel_without_batch_a_numpy_mel_and_a_list(pipeline):
    expected = make(pipeline)
    assert_close(make(pipeline, mel=tiny_mel(6)[0]), expected)
    assert_close(make(pipeline, mel=tiny_mel(6).numpy()), expected)
    assert_close(make(pipeline, mel=[tiny_mel(6), tiny_mel(6)[0]], generator=seeded(1, 1)), np.repeat(expected, 2, axis=0))


# Schedules


def test_one_of_three_says_the_schedule(pipeline):
    by_name = make(pipeline, schedule="2")
    np.testing.assert_array_equal(make(pipeline, num_inference_steps=2), by_name)
    np.testing.assert_array_equal(make(pipeline, betas=[1e-2, 0.2]), by_name)
    assert pipeline.num_timesteps == 2
    assert np.abs(make(pipeline) - by_name).max() > 0.01
    assert pipeline.num_timesteps == 3


@pytest.mark.parametrize("steps", [1, 7])
def test_any_number_of_steps(pipeline, steps):
    make(pipeline, num_inference_steps=steps)
    assert pipeline.num_timesteps == steps


@pytest.mark.parametrize("arguments", [{"num_inference_steps": 0}, {"num_inference_steps": 100_000}], ids=str)
def test_numbers_of_steps_that_are_not_possible(pipeline, arguments):
    with pytest.raises(ValueError, match=r"num_inference_steps .*1000"):
        make(pipeline, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [{"schedule": "fastest"}, {"betas": [0.0, 0.5]}, {"betas": []}, {"schedule": "2", "num_inference_steps": 2}],
    ids=str,
)
def test_schedules_that_are_not_possible(pipeline, arguments):
    with pytest.raises(ValueError):  # noqa: PT011 -- the scheduler's tests read its messages
        make(pipeline, **arguments)


# Randomness


def test_a_generator_makes_it_reproducible(pipeline):
    np.testing.assert_array_equal(make(pipeline, generator=seeded(3)), make(pipeline, generator=seeded(3)))
    assert np.abs(make(pipeline, generator=seeded(4)) - make(pipeline, generator=seeded(3))).max() > 0.01


def test_a_generator_goes_on(pipeline):
    generator = seeded(3)
    assert np.abs(make(pipeline, generator=generator) - make(pipeline, generator=generator)).max() > 0.01


def test_without_a_generator_the_global_seed_decides(pipeline):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        first, second = make(pipeline, generator=None), make(pipeline, generator=None)
        torch.manual_seed(5)
        np.testing.assert_array_equal(make(pipeline, generator=None), first)
    assert np.abs(first - second).max() > 0.01


def test_an_item_is_the_same_alone_and_in_a_batch(pipeline):
    mel = tiny_mel(6, batch_size=3)
    batch = make(pipeline, mel=mel, generator=seeded(7, 8, 9))
    for item, seed in enumerate((7, 8, 9)):
        assert_close(batch[item : item + 1], make(pipeline, mel=mel[item], generator=seeded(seed)))


def test_one_generator_gives_each_item_its_own_noise(pipeline):
    batch = make(pipeline, mel=tiny_mel(6).repeat(2, 1, 1), generator=seeded(1))
    assert_close(batch[:1], make(pipeline))
    assert np.abs(batch[0] - batch[1]).max() > 0.01


def test_a_longer_mel_begins_with_the_same_noise(pipeline):
    mel = tiny_mel(30)
    context = 3 * pipeline.model.context_frames
    shorter = make(pipeline, mel=mel[:, :, :20])
    assert_close(make(pipeline, mel=mel)[:, : (20 - context) * HOP], shorter[:, : (20 - context) * HOP])


def test_the_noise_is_normal_and_new_at_every_step_and_place():
    noise = pipeline_wavegrad._Noise(seeded(1), batch_size=2)
    values = torch.cat([noise(draw, 0, 30_000) for draw in range(3)])
    assert values.mean(dim=1).abs().max() < 0.03
    assert (values.std(dim=1) - 1).abs().max() < 0.03
    assert (torch.corrcoef(values) - torch.eye(6)).abs().max() < 0.03
    assert len(values.unique()) > 0.99 * values.numel()
    torch.testing.assert_close(noise(1, 4000, 9000), values[2:4, 4000:9000], rtol=0, atol=0)


def test_wrong_number_of_generators(pipeline):
    with pytest.raises(ValueError, match="2 generators for a batch of 3"):
        make(pipeline, mel=tiny_mel(6, batch_size=3), generator=seeded(1, 2))


def test_noise_of_the_wrong_shape(pipeline):
    with pytest.raises(ValueError, match=r"latents has shape \(1, 6\); .* must have \(1, 1800\)"):
        make(pipeline, latents=torch.zeros(1, 6))
    with pytest.raises(ValueError, match=r"variance_noise has shape .* must have \(2, 1, 1800\)"):
        make(pipeline, variance_noise=torch.zeros(3, 1, 1800))


# Callbacks and progress


def test_a_callback_sees_every_step(pipeline):
    seen = []

    def remember(called, step, timestep, tensors):
        assert called is pipeline
        seen.append((step, int(timestep), tensors))
        return tensors

    audio = make(pipeline, callback_on_step_end=remember, callback_on_step_end_tensor_inputs=["latents", "mel"])
    assert [(step, timestep) for step, timestep, _ in seen] == [(0, 2), (1, 1), (2, 0)]
    assert all(set(tensors) == {"latents", "mel"} for _, _, tensors in seen)
    assert all(tensors["latents"].shape == (1, 6 * HOP) for _, _, tensors in seen)
    np.testing.assert_array_equal(seen[-1][2]["latents"], audio)
    assert not torch.equal(seen[0][2]["latents"], seen[1][2]["latents"])


def test_a_callback_gets_what_it_asks_for(pipeline):
    def check(_pipeline, _step, _timestep, tensors):
        assert set(tensors) == {"mel"}

    make(pipeline, callback_on_step_end=check, callback_on_step_end_tensor_inputs=["mel"])


def test_a_callback_sees_the_whole_waveform_of_chunks(pipeline):
    shapes = []

    def remember(_pipeline, _step, _timestep, tensors):
        shapes.append(tensors["latents"].shape)

    make(pipeline, callback_on_step_end=remember, chunk_frames=2)
    assert shapes == [(1, 6 * HOP)] * 3


def test_a_callback_can_change_the_waveform(pipeline):
    def silence(_pipeline, step, _timestep, tensors):
        return {"latents": torch.zeros_like(tensors["latents"])} if step == 2 else {}

    assert np.abs(make(pipeline, callback_on_step_end=silence)).sum() == 0


@pytest.mark.parametrize("chunk_frames", [None, 2])
def test_a_callback_can_change_the_mel(pipeline, chunk_frames):
    other = tiny_mel(6, seed=9)

    def change(_pipeline, step, _timestep, tensors):
        return {"mel": other} if step == 0 else None

    after_first = []

    def keep(_pipeline, step, _timestep, tensors):
        after_first.append(tensors["latents"])

    noise = torch.randn(3, 1, 6 * HOP, generator=seeded(0))
    changed = make(
        pipeline, latents=noise[0], variance_noise=noise[1:], callback_on_step_end=change, chunk_frames=chunk_frames
    )
    make(pipeline, latents=noise[0], variance_noise=noise[1:], callback_on_step_end=keep)
    betas = pipeline.scheduler.schedule_betas("3")
    expected = after_first[0]
    pipeline.scheduler.set_timesteps(betas=betas)
    for timestep, step_noise in ((1, noise[2]), (0, None)):
        with torch.no_grad():
            estimate = pipeline.model(expected, pipeline.scheduler.noise_level(timestep), other).sample
        expected = pipeline.scheduler.step(estimate, timestep, expected, variance_noise=step_noise).prev_sample
    assert_close(changed, expected.numpy())


def test_tensors_that_a_callback_cannot_have(pipeline):
    with pytest.raises(ValueError, match="latents, mel, not noise"):
        make(pipeline, callback_on_step_end_tensor_inputs=["latents", "noise"])


def test_the_progress_bar_counts_to_the_end_and_can_be_switched_off():
    pipeline = tiny_pipeline()
    printed = {}
    for disable in (False, True):
        pipeline.set_progress_bar_config(disable=disable)
        with contextlib.redirect_stderr(io.StringIO()) as stderr:
            make(pipeline, chunk_frames=2)
        printed[disable] = stderr.getvalue()
    assert "9/9" in printed[False]
    assert printed[True] == ""


# Audio in, audio out


@pytest.mark.parametrize("samples", [1, 299, 300, 512, 513, 4500, 4501, 5000])
def test_audio_comes_out_as_long_as_it_went_in(pipeline, samples):
    audio = make(pipeline, mel=None, audio=tone(samples), sampling_rate=SAMPLE_RATE)
    assert audio.shape == (1, samples)
    assert np.isfinite(audio).all()


def test_audio_is_its_mel(pipeline):
    audio = tone(4000)
    mel = pipeline.feature_extractor(audio, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
    expected = make(pipeline, mel=mel)
    arguments = {"mel": None, "sampling_rate": SAMPLE_RATE}
    assert_close(make(pipeline, audio=audio, **arguments), expected[:, :4000])
    assert_close(make(pipeline, audio=torch.from_numpy(audio)[None], **arguments), expected[:, :4000])
    assert_close(make(pipeline, audio=audio.tolist(), **arguments), expected[:, :4000])
    assert_close(make(pipeline, audio=audio, output_type="latent", **arguments), expected)


def test_integer_samples_are_scaled(pipeline):
    pcm = (tone(4000) * 32768).astype(np.int16)
    expected = make(pipeline, mel=None, audio=(pcm / 32768).astype(np.float32), sampling_rate=SAMPLE_RATE)
    assert_close(make(pipeline, mel=None, audio=pcm, sampling_rate=SAMPLE_RATE), expected)


def test_several_clips(pipeline):
    clips = [tone(4000), tone(4000, frequency=330.0)]
    audio = make(pipeline, mel=None, audio=clips, sampling_rate=SAMPLE_RATE, generator=seeded(1, 2))
    for item, (clip, seed) in enumerate(zip(clips, (1, 2), strict=True)):
        alone = make(pipeline, mel=None, audio=clip, sampling_rate=SAMPLE_RATE, generator=seeded(seed))
        assert_close(audio[item : item + 1], alone)


@pytest.mark.parametrize("name", ["silent", "clipped"])
def test_silent_and_clipped_audio_work(pipeline, name):
    audio = np.zeros(4000, np.float32) if name == "silent" else 5 * tone(4000)
    assert np.isfinite(make(pipeline, mel=None, audio=audio, sampling_rate=SAMPLE_RATE)).all()


# What is refused


@pytest.mark.parametrize("rate", [None, 44_100, 192_000])
def test_other_sampling_rates(pipeline, rate):
    with pytest.raises(ValueError, match=rf"works at 8000 Hz.*{'no sampling_rate' if rate is None else rate}"):
        make(pipeline, mel=None, audio=tone(4000), sampling_rate=rate)


@pytest.mark.parametrize("shape", [(2, 4000), (4000, 2), (1, 2, 4000)])
def test_stereo(pipeline, shape):
    with pytest.raises(ValueError, match=r"mono, \(samples,\), not of shape"):
        make(pipeline, mel=None, audio=np.zeros(shape, np.float32), sampling_rate=SAMPLE_RATE)


@pytest.mark.parametrize("audio", [np.zeros(0, np.float32), [], torch.zeros(1, 0)], ids=["array", "list", "tensor"])
def test_no_audio(pipeline, audio):
    with pytest.raises(ValueError, match="audio is empty"):
        make(pipeline, mel=None, audio=audio, sampling_rate=SAMPLE_RATE)


def test_audio_that_is_not_finite(pipeline):
    audio = tone(4000)
    audio[100] = np.nan
    with pytest.raises(ValueError, match="finite"):
        make(pipeline, mel=None, audio=audio, sampling_rate=SAMPLE_RATE)


def test_items_of_different_lengths(pipeline):
    with pytest.raises(ValueError, match="4000, 5000 samples"):
        make(pipeline, mel=None, audio=[tone(4000), tone(5000)], sampling_rate=SAMPLE_RATE)
    with pytest.raises(ValueError, match="6, 7 frames"):
        make(pipeline, mel=[tiny_mel(6), tiny_mel(7)])


def test_both_or_none_of_mel_and_audio(pipeline):
    with pytest.raises(ValueError, match="mel or audio, not both"):
        make(pipeline, audio=tone(4000), sampling_rate=SAMPLE_RATE)
    with pytest.raises(ValueError, match="mel or audio, not neither"):
        pipeline()


def test_another_number_of_bands(pipeline):
    with pytest.raises(ValueError, match=r"shape \(1, 80, 6\); this model reads \(8 bands, frames\)"):
        make(pipeline, mel=torch.rand(80, 6))
    with pytest.raises(ValueError, match="Transpose it"):
        make(pipeline, mel=torch.rand(1, 6, BANDS))
    with pytest.raises(ValueError, match="8 bands"):
        make(pipeline, mel=torch.rand(BANDS))


def test_a_mel_without_frames(pipeline):
    with pytest.raises(ValueError, match="at least one frame"):
        make(pipeline, mel=torch.zeros(BANDS, 0))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_mel_that_is_not_finite(pipeline, value):
    mel = tiny_mel(6)
    mel[0, 3, 2] = value
    with pytest.raises(ValueError, match="not numbers"):
        make(pipeline, mel=mel)


@pytest.mark.parametrize(
    ("low", "high"), [(-80, 0), (0, 5), (-11.5, 2)], ids=["decibels", "magnitudes", "natural logarithms"]
)
def test_a_mel_of_another_kind(pipeline, low, high):
    mel = low + (high - low) * tiny_mel(6).round()
    with pytest.raises(ValueError, match=rf"values from {low} to {high}; this model reads 0 to 1.*noise"):
        make(pipeline, mel=mel)


def test_a_mel_that_overshoots_a_little_is_taken(pipeline):
    make(pipeline, mel=tiny_mel(6) * 1.01 - 0.005)


def test_an_output_type_that_is_not_there(pipeline):
    with pytest.raises(ValueError, match="output_type is 'wav'; choose one of np, pt, latent"):
        make(pipeline, output_type="wav")


@pytest.mark.parametrize("setting", [{"window_normalized": False}, {"f_min": 0.0}, {"mel_scale": "slaney"}], ids=str)
def test_a_feature_extractor_with_other_settings(setting):
    model = tiny_model(mel_settings=WaveGradFeatureExtractor(**FEATURES).mel_settings)
    (name,) = setting
    with pytest.raises(ValueError, match=f"other mel spectrograms.*: {name} .* instead of [^,]*$"):
        WaveGradPipeline(model, WaveGradScheduler(), WaveGradFeatureExtractor(**FEATURES | setting))


def test_a_model_without_settings_takes_any_that_fit_its_sizes():
    parts = tiny_model(), WaveGradScheduler()
    WaveGradPipeline(*parts, WaveGradFeatureExtractor(**FEATURES | {"window_normalized": False}))
    with pytest.raises(ValueError, match="feature_size 9 instead of 8"):
        WaveGradPipeline(*parts, WaveGradFeatureExtractor(**FEATURES | {"feature_size": 9}))
    with pytest.raises(ValueError, match="hop_length 256 instead of 300"):
        WaveGradPipeline(*parts, WaveGradFeatureExtractor(**FEATURES | {"hop_length": 256}))


# Types, devices, components


def test_components_make_the_same_pipeline(pipeline):
    assert set(pipeline.components) == {"model", "scheduler", "feature_extractor"}
    other = WaveGradPipeline(**pipeline.components)
    other.set_progress_bar_config(disable=True)
    np.testing.assert_array_equal(make(other), make(pipeline))


def test_half_precision_weights_give_float32_audio():
    pipeline = tiny_pipeline(seed=1)
    expected = make(pipeline, num_inference_steps=2)
    pipeline.to(torch.bfloat16)
    assert pipeline.dtype == torch.bfloat16
    audio = make(pipeline, num_inference_steps=2)
    assert audio.dtype == np.float32
    assert 0 < np.abs(audio - expected).mean() < 0.02
    pipeline.to(torch.float64)
    assert_close(make(tiny_pipeline(seed=1).to(torch.float64), num_inference_steps=2), expected)


def test_hooks_that_move_the_weights_see_every_call():
    pipeline = tiny_pipeline()
    expected = make(pipeline)
    cpu_offload(pipeline.model, execution_device="cpu")
    assert_close(make(pipeline), expected)
    assert_close(np.concatenate(list(pipeline.stream(mel=tiny_mel(6), generator=seeded(1))), axis=1), expected)


def test_only_the_model_is_moved_to_a_device(pipeline):
    assert pipeline.model_cpu_offload_seq == "model"


# Folders


def test_a_saved_pipeline_comes_back(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    loaded = WaveGradPipeline.from_pretrained(tmp_path)
    loaded.set_progress_bar_config(disable=True)
    assert loaded.scheduler.config.schedules == pipeline.scheduler.config.schedules
    assert loaded.feature_extractor.mel_settings == pipeline.feature_extractor.mel_settings
    np.testing.assert_array_equal(make(loaded), make(pipeline))


def test_the_index_needs_no_package(folder):
    index = json.loads((folder / "model_index.json").read_text())
    assert index.pop("_diffusers_version")
    assert index == {
        "_class_name": ["pipeline_wavegrad", "WaveGradPipeline"],
        "model": ["modeling_wavegrad", "WaveGradModel"],
        "scheduler": ["scheduling_wavegrad", "WaveGradScheduler"],
        "feature_extractor": ["feature_extraction_wavegrad", "WaveGradFeatureExtractor"],
    }


def test_a_loaded_pipeline_is_saved_without_the_place_it_came_from(folder, tmp_path):
    WaveGradPipeline.from_pretrained(folder).save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "model_index.json").read_text() == (folder / "model_index.json").read_text()


def test_an_index_as_diffusers_writes_it_is_read_too(folder):
    path = folder / "model_index.json"
    index = json.loads(path.read_text()) | {"_class_name": "WaveGradPipeline"}
    index["model"] = ["hub_models.wavegrad.modeling_wavegrad", "WaveGradModel"]
    path.write_text(json.dumps(index))
    assert isinstance(WaveGradPipeline.from_pretrained(folder).model, WaveGradModel)


def test_a_component_can_be_given(folder):
    scheduler = WaveGradScheduler(schedules={"1": [0.5]}, default_schedule="1")
    pipeline = WaveGradPipeline.from_pretrained(folder, scheduler=scheduler)
    assert pipeline.scheduler is scheduler
    assert isinstance(pipeline.model, WaveGradModel)


def test_weights_are_loaded_in_the_type_asked_for(folder):
    assert WaveGradPipeline.from_pretrained(folder, dtype=torch.bfloat16).dtype == torch.bfloat16


def test_it_loads_where_nothing_else_is_imported(folder, monkeypatch):
    for name in ("modeling_wavegrad", "scheduling_wavegrad", "feature_extraction_wavegrad"):
        module = sys.modules[f"hub_models.wavegrad.{name}"]
        monkeypatch.setattr(hub_models.wavegrad, name, module)  # to be put back after the test
        monkeypatch.delitem(sys.modules, module.__name__)
    assert type(WaveGradPipeline.from_pretrained(folder).model).__name__ == "WaveGradModel"


@pytest.fixture
def folder_with_code(folder):
    """As on the Hub: each file of code beside what it reads."""
    source = Path(sys.modules[WaveGradPipeline.__module__].__file__).parent
    places = {"pipeline": "", "modeling": "model", "scheduling": "scheduler", "feature_extraction": "feature_extractor"}
    for name, place in places.items():
        shutil.copy(source / f"{name}_wavegrad.py", folder / place)
    return folder


def test_the_folder_with_its_code_is_a_pipeline_of_its_own(folder_with_code, pipeline, tmp_path):
    loaded = DiffusionPipeline.from_pretrained(folder_with_code, trust_remote_code=True)
    loaded.set_progress_bar_config(disable=True)
    assert not type(loaded.model).__module__.startswith("hub_models")
    np.testing.assert_array_equal(make(loaded), make(pipeline))
    loaded.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "model_index.json").read_text() == (folder_with_code / "model_index.json").read_text()


def test_our_class_runs_none_of_the_folders_code(folder_with_code):
    for path in folder_with_code.rglob("*.py"):
        path.write_text("raise RuntimeError('ran')")
    assert type(WaveGradPipeline.from_pretrained(folder_with_code).model) is WaveGradModel
