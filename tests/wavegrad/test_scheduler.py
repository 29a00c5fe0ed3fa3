"""Noise schedules: by number, name or betas; the reverse step; the levels of training; what a saved file keeps."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_models.wavegrad import WaveGradScheduler

PUBLISHED = [1e-6, 1.8929e-5, 1e-4, 1e-3, 1.11e-2, 6e-2]


@pytest.fixture
def scheduler():
    return WaveGradScheduler()


def waveforms(batch=2, samples=50, seed=0, scale=0.1):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(batch, samples, generator=generator), torch.randn(batch, samples, generator=generator)


def public(config):
    return {name: value for name, value in config.items() if not name.startswith("_")}


def first_step(scheduler):
    scheduler.set_timesteps()
    sample, output = waveforms()
    return scheduler.step(output, scheduler.timesteps[0], sample, torch.Generator().manual_seed(0)).prev_sample


# Choosing a schedule


def test_the_default_is_a_published_schedule_of_six_steps(scheduler):
    scheduler.set_timesteps()
    assert scheduler.num_inference_steps == 6
    assert scheduler.betas.tolist() == PUBLISHED
    assert scheduler.timesteps.tolist() == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("steps", [6, 25, 50, 1000])
def test_a_number_takes_the_saved_schedule_of_that_length(scheduler, steps):
    scheduler.set_timesteps(steps)
    by_number = scheduler.betas
    scheduler.set_timesteps(schedule=str(steps))
    assert len(scheduler.timesteps) == scheduler.num_inference_steps == steps
    np.testing.assert_array_equal(scheduler.betas, by_number)


def test_the_schedules_of_the_paper(scheduler):
    np.testing.assert_allclose(scheduler.schedule_betas("1000"), np.linspace(1e-4, 0.005, 1000))
    np.testing.assert_allclose(scheduler.schedule_betas("50"), np.linspace(1e-4, 0.05, 50))
    fibonacci = scheduler.schedule_betas("25")
    np.testing.assert_allclose(fibonacci[:5], [1e-6, 2e-6, 3e-6, 5e-6, 8e-6])
    np.testing.assert_allclose(fibonacci[-1], 0.121393)
    np.testing.assert_allclose(scheduler.schedule_betas("training"), np.linspace(1e-6, 0.01, 1000))


@pytest.mark.parametrize("steps", [2, 3, 10, 999])
def test_any_other_number_spaces_the_log_of_signal_to_noise_evenly_over_the_training(scheduler, steps):
    scheduler.set_timesteps(steps)
    signal = np.cumprod(1 - scheduler.betas)
    log_snr = np.log(signal / (1 - signal))
    np.testing.assert_allclose(np.diff(log_snr), (log_snr[-1] - log_snr[0]) / (steps - 1), rtol=1e-5)
    torch.testing.assert_close(scheduler.noise_levels[[0, -1]], scheduler.training_noise_levels[[1, -1]])


def test_a_single_step_starts_from_the_noisiest_level(scheduler):
    scheduler.set_timesteps(1)
    torch.testing.assert_close(scheduler.noise_levels, scheduler.training_noise_levels[-1:])


def test_levels_fall_with_the_timestep_and_are_told_by_it(scheduler):
    scheduler.set_timesteps(25)
    levels = torch.stack([scheduler.noise_level(timestep) for timestep in scheduler.timesteps])
    assert levels.dtype == torch.float32
    assert (levels.diff() > 0).all()  # from noise to sound
    assert float(levels[-1]) == pytest.approx(np.sqrt(1 - 1e-6))


@pytest.mark.parametrize(
    "betas", [PUBLISHED, tuple(PUBLISHED), np.array(PUBLISHED), torch.tensor(PUBLISHED, dtype=torch.float64)]
)
def test_betas_may_come_in_any_kind_of_list(scheduler, betas):
    scheduler.set_timesteps(betas=betas)
    assert scheduler.betas.tolist() == PUBLISHED


def test_before_it_is_set_the_schedule_is_that_of_training(scheduler):
    assert scheduler.num_inference_steps is None
    assert len(scheduler.timesteps) == len(scheduler) == 1000
    torch.testing.assert_close(scheduler.noise_levels, scheduler.training_noise_levels[1:])


# Refusals


@pytest.mark.parametrize("steps", [0, -1, 1001, 100_000, 6.5, True])
def test_a_number_of_steps_that_is_not_possible_is_refused(scheduler, steps):
    with pytest.raises(ValueError, match=f"from 1 to 1000, not {steps}"):
        scheduler.set_timesteps(steps)


def test_a_name_in_the_place_of_the_number_is_pointed_to_its_own(scheduler):
    with pytest.raises(ValueError, match="schedule='training'"):
        scheduler.set_timesteps("training")


def test_an_unknown_name_lists_the_names(scheduler):
    with pytest.raises(ValueError, match="no schedule 'fast'; there are '6', '25', '50', '1000', 'training'"):
        scheduler.set_timesteps(schedule="fast")


@pytest.mark.parametrize("beta", [0.0, 1.0, -0.1, 1.5, float("nan"), float("inf"), 1e-20])
def test_betas_outside_zero_and_one_are_refused_by_their_place(scheduler, beta):
    with pytest.raises(ValueError, match="between 0 and 1; number 1 is"):
        scheduler.set_timesteps(betas=[0.1, beta])
    with pytest.raises(ValueError, match="between 0 and 1; number 1 is"):
        WaveGradScheduler(trained_betas=[0.1, beta])
    with pytest.raises(ValueError, match="'mine' must lie between 0 and 1"):
        WaveGradScheduler(schedules={"mine": [0.1, beta]})


@pytest.mark.parametrize("betas", [[], [[0.1, 0.2]], 0.1, [0.001] * 1001, ["a"], "0.1", {"a": 1}])
def test_betas_that_are_no_list_of_numbers_are_refused(scheduler, betas):
    with pytest.raises(ValueError, match="list of"):
        scheduler.set_timesteps(betas=betas)


@pytest.mark.parametrize("name", [6, ["6"], ""])
def test_a_name_that_is_none_is_an_unknown_name(scheduler, name):
    with pytest.raises(ValueError, match="no schedule"):
        scheduler.set_timesteps(schedule=name)


def test_one_way_to_choose_at_a_time(scheduler):
    with pytest.raises(ValueError, match="not num_inference_steps and schedule"):
        scheduler.set_timesteps(6, schedule="6")


@pytest.mark.parametrize(
    ("schedules", "message"),
    [
        ({"training": [0.1]}, "'training'"),
        ({"": [0.1]}, "name"),
        ({6: [0.1] * 6}, "not 6"),
        ({"6": [0.1] * 5}, "5 steps"),
        ({"x": {"type": "cosine"}}, "linear or fibonacci"),
        ({"x": {"type": "linear", "beta_start": 0.1}}, "needs beta_start, beta_end, num_steps"),
        ({"x": {"type": "linear", "beta_start": 0.1, "beta_end": 0.2, "num_steps": 10**12}}, "from 1 to 1000"),
        ({"x": {"type": "linear", "beta_start": 0.1, "beta_end": 2, "num_steps": 3}}, "between 0 and 1"),
        ({"x": {"type": "fibonacci", "first": 1e-6, "second": 2e-6, "num_steps": 1000}}, "between 0 and 1"),
        ([0.1, 0.2], "dictionary"),
    ],
)
def test_broken_schedules_are_refused_when_a_scheduler_is_made(schedules, message):
    with pytest.raises(ValueError, match=message):
        WaveGradScheduler(schedules=schedules)


@pytest.mark.parametrize("steps", [0, 100_000])
def test_the_training_has_1_to_1000_levels(steps):
    with pytest.raises(ValueError, match="from 1 to 1000"):
        WaveGradScheduler(num_train_timesteps=steps)


@pytest.mark.parametrize("timestep", [6, -1, 999])
def test_a_timestep_of_another_schedule_is_refused(scheduler, timestep):
    scheduler.set_timesteps(6)
    sample, noise = waveforms()
    for call in (lambda: scheduler.noise_level(timestep), lambda: scheduler.step(noise, timestep, sample)):
        with pytest.raises(ValueError, match="0 to 5"):
            call()


# The reverse step


def test_the_last_step_gives_the_sound_back_when_the_noise_is_known(scheduler):
    scheduler.set_timesteps(betas=[0.5])
    sound, noise = waveforms(scale=0.3)
    sound = sound.clamp(-1, 1)
    noisy = scheduler.add_noise(sound, noise, scheduler.noise_level(0))
    torch.testing.assert_close(scheduler.step(noise, 0, noisy).prev_sample, sound)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-6, 0.9), min_size=1, max_size=12))
def test_with_the_true_noise_each_step_has_the_variance_of_its_level(betas):
    """For silence the true noise is sample / sqrt(1 - a): the sample's variance must become that of the next level."""
    scheduler = WaveGradScheduler(clip_sample=False)
    scheduler.set_timesteps(betas=betas)
    one = torch.ones(1, 1, dtype=torch.float64)
    variances = [0.0, *(1 - np.cumprod(1 - scheduler.betas))]
    for timestep in scheduler.timesteps:
        variance = variances[timestep + 1]
        kept = float(scheduler.step(one / variance**0.5, timestep, one, variance_noise=0 * one).prev_sample)
        added = float(scheduler.step(0 * one, timestep, 0 * one, variance_noise=one).prev_sample)
        assert kept**2 * variance + added**2 == pytest.approx(variances[timestep], abs=1e-9)


def test_every_step_is_clamped_after_its_noise(scheduler):
    scheduler.set_timesteps(6)
    sample = torch.full((1, 8), 0.9)
    for timestep in scheduler.timesteps:
        loud = scheduler.step(torch.zeros(1, 8), timestep, sample, variance_noise=torch.full((1, 8), 50.0)).prev_sample
        assert float(loud.max()) <= 1.0
    free = WaveGradScheduler(clip_sample=False)
    free.set_timesteps(6)
    assert float(free.step(torch.zeros(1, 8), 5, sample, variance_noise=torch.full((1, 8), 50.0)).prev_sample.max()) > 1.0


def test_noise_comes_from_the_generator_and_the_last_step_draws_none(scheduler):
    scheduler.set_timesteps(6)
    sample, output = waveforms()

    def step(timestep, seed):
        return scheduler.step(output, timestep, sample, generator=torch.Generator().manual_seed(seed)).prev_sample

    assert torch.equal(step(5, 0), step(5, 0))
    assert not torch.equal(step(5, 0), step(5, 1))
    assert torch.equal(step(0, 0), step(0, 1))
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    scheduler.step(output, 0, sample, generator=generator)
    assert torch.equal(generator.get_state(), before)


def test_a_list_of_generators_makes_each_item_its_own(scheduler):
    scheduler.set_timesteps(6)
    sample, output = waveforms()
    together = scheduler.step(output, 3, sample, [torch.Generator().manual_seed(seed) for seed in (7, 8)]).prev_sample
    for item, seed in enumerate((7, 8)):
        rows = slice(item, item + 1)
        alone = scheduler.step(output[rows], 3, sample[rows], torch.Generator().manual_seed(seed)).prev_sample
        torch.testing.assert_close(together[rows], alone)
    for count in (1, 3):
        with pytest.raises(ValueError, match=f"{count} generators for a batch of 2"):
            scheduler.step(output, 3, sample, [torch.Generator()] * count)


def test_step_gives_a_tuple_when_asked(scheduler):
    scheduler.set_timesteps(6)
    sample, output = waveforms()
    (first,) = scheduler.step(output, 0, sample, return_dict=False)
    assert torch.equal(first, scheduler.step(output, 0, sample).prev_sample)


@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (2, 1, 40), (4, 3, 8, 8)])
def test_samples_may_have_any_shape(scheduler, shape):
    scheduler.set_timesteps(6)
    sample = torch.rand(shape)
    assert scheduler.step(0.1 * sample, scheduler.timesteps[0], sample).prev_sample.shape == shape
    levels = torch.rand(shape[0])
    assert scheduler.add_noise(sample, torch.randn(shape), levels).shape == shape


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_and_given_back_in_half(scheduler, dtype):
    scheduler.set_timesteps(1000)
    sample, output = (values.to(dtype) for values in waveforms())
    stepped = scheduler.step(output, 0, sample).prev_sample
    assert stepped.dtype == dtype
    torch.testing.assert_close(stepped, scheduler.step(output.float(), 0, sample.float()).prev_sample.to(dtype))
    level = torch.tensor(0.9999)  # is 1 in half precision, which would add no noise
    noisy = scheduler.add_noise(sample, output, level)
    assert noisy.dtype == dtype
    assert not torch.equal(noisy, sample)


# The forward process and training


def test_levels_reach_from_the_sound_to_the_noise(scheduler):
    sound, noise = waveforms()
    noisy = scheduler.add_noise(sound, noise, torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(noisy[0], sound[0])
    torch.testing.assert_close(noisy[1], noise[1])


def test_whole_numbers_are_timesteps(scheduler):
    scheduler.set_timesteps(25)
    sound, noise = waveforms()
    by_timestep = scheduler.add_noise(sound, noise, torch.tensor([3, 20]))
    torch.testing.assert_close(by_timestep, scheduler.add_noise(sound, noise, scheduler.noise_levels[[3, 20]]))


def test_levels_of_training_are_continuous_and_reproducible(scheduler):
    levels, again, others = (
        scheduler.sample_noise_levels(4000, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert levels.shape == (4000,)
    assert levels.dtype == torch.float32
    bounds = scheduler.training_noise_levels
    assert float(levels.min()) >= float(bounds[-1])
    assert float(levels.max()) <= 1.0
    assert not torch.isin(levels, bounds).all()
    # Segments are drawn evenly: half of the levels lie in the first half of the segments.
    assert (levels > bounds[500]).float().mean() == pytest.approx(0.5, abs=0.05)
    assert torch.equal(levels, again)
    assert not torch.equal(levels, others)


def test_a_segment_reaches_from_one_bound_to_the_next(scheduler):
    segments = torch.tensor([1, 1, 1000])
    levels = scheduler.training_noise_level(segments, torch.tensor([0.0, 1.0, 1.0]))
    torch.testing.assert_close(levels, scheduler.training_noise_levels[[0, 1, 1000]])


# Saving


def test_a_named_schedule_survives_a_save(scheduler, tmp_path):
    searched = [2e-6, 3e-4, 4e-3, 0.05]
    published = scheduler.with_schedule("searched-4", searched, default=True)
    assert "searched-4" not in scheduler.schedule_names
    published.save_pretrained(tmp_path)
    loaded = WaveGradScheduler.from_pretrained(tmp_path)
    assert loaded.schedule_names == ["searched-4", "6", "25", "50", "1000"]
    for options in ({}, {"num_inference_steps": 4}, {"schedule": "searched-4"}):
        loaded.set_timesteps(**options)
        assert loaded.betas.tolist() == searched
    assert json.loads((tmp_path / "scheduler_config.json").read_text())["schedules"]["searched-4"] == searched


def test_a_searched_schedule_takes_the_place_of_the_one_with_its_name(scheduler):
    searched = np.array([1e-6, 1e-5, 1e-4, 2e-3, 2e-2, 0.3])
    scheduler = scheduler.with_schedule("6", searched)
    scheduler.set_timesteps()
    np.testing.assert_array_equal(scheduler.betas, searched)
    with pytest.raises(ValueError, match="5 steps"):
        scheduler.with_schedule("6", searched[:5])
    with pytest.raises(ValueError, match="training"):
        scheduler.with_schedule("training", searched)


def test_of_two_schedules_of_one_length_the_default_is_taken(scheduler, tmp_path):
    first, second = [0.1, 0.2, 0.3], [0.2, 0.3, 0.4]
    scheduler = scheduler.with_schedule("b", first).with_schedule("a", second)
    scheduler.save_pretrained(tmp_path)
    for candidate in (scheduler, WaveGradScheduler.from_pretrained(tmp_path)):
        candidate.set_timesteps(3)
        assert candidate.betas.tolist() == second
    scheduler = scheduler.with_schedule("b", first, default=True)
    scheduler.set_timesteps(3)
    assert scheduler.betas.tolist() == first


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_train_timesteps": 10, "beta_end": 0.3},
        {"trained_betas": np.array([0.1, 0.3])},
        {"schedules": {"two": (0.1, 0.2), "rule": {"type": "fibonacci", "first": 0.1, "second": 0.1, "num_steps": 4}}},
        {"schedules": {}},
        {"clip_sample": False, "default_schedule": "training"},
    ],
)
def test_saved_and_loaded_schedulers_are_the_same(options, tmp_path):
    scheduler = WaveGradScheduler(**options)
    scheduler.save_pretrained(tmp_path)
    for loaded in (WaveGradScheduler.from_pretrained(tmp_path), WaveGradScheduler.from_config(scheduler.config)):
        assert public(loaded.config) == public(scheduler.config)
        assert torch.equal(loaded.training_noise_levels, scheduler.training_noise_levels)
        assert torch.equal(first_step(loaded), first_step(scheduler))


def test_the_betas_of_training_may_be_given(tmp_path):
    scheduler = WaveGradScheduler(trained_betas=np.array([0.1, 0.3]))
    assert len(scheduler) == scheduler.config.num_train_timesteps == 2
    assert scheduler.betas.tolist() == [0.1, 0.3]
    scheduler.set_timesteps(schedule="training")
    assert scheduler.betas.tolist() == [0.1, 0.3]


def test_a_change_to_one_scheduler_leaves_the_defaults_alone(scheduler):
    scheduler.config.schedules["6"][0] = 0.5
    assert WaveGradScheduler().schedule_betas("6").tolist() == PUBLISHED


# What diffusers asks of any scheduler


def test_interface_of_a_diffusers_scheduler(scheduler):
    assert scheduler.order == 1
    assert scheduler.init_noise_sigma == 1.0
    sample, _ = waveforms()
    assert torch.equal(scheduler.scale_model_input(sample, 0.0), sample)
    assert scheduler.compatibles == [WaveGradScheduler]


def test_timesteps_and_levels_are_put_where_they_are_asked_for(scheduler):
    scheduler.set_timesteps(6, device="meta")
    assert scheduler.timesteps.device.type == scheduler.noise_levels.device.type == "meta"


def test_initial_noise_can_be_as_loud_as_the_first_level_says(tmp_path):
    scheduler = WaveGradScheduler(scale_initial_noise=True)
    scheduler.set_timesteps(betas=[1e-4, 1e-2, 0.2])
    assert scheduler.init_noise_sigma == pytest.approx((1 - (1 - 1e-4) * (1 - 1e-2) * (1 - 0.2)) ** 0.5)
    scheduler.save_pretrained(tmp_path)
    loaded = WaveGradScheduler.from_pretrained(tmp_path)
    loaded.set_timesteps(betas=[0.5])
    assert loaded.init_noise_sigma == pytest.approx(0.5**0.5)


def test_the_original_begins_with_noise_of_variance_one():
    scheduler = WaveGradScheduler()
    for steps in (6, 50):
        scheduler.set_timesteps(steps)
        assert scheduler.init_noise_sigma == 1.0
