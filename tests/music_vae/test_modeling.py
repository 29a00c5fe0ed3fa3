"""What the network promises, on small random models."""

import math

import pytest
import torch

from hub_models import MusicVAEConfig, MusicVAEModel
from hub_models.music_vae import PRESETS, slerp

from .conftest import SMALL


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbers(config: MusicVAEConfig) -> dict:
    return {name: value for name, value in config.to_dict().items() if not name.startswith("_")}


def test_same_seed_gives_the_same_samples_and_another_seed_others(model):
    first, again = model.sample(4, generator=seeded(1)), model.sample(4, generator=seeded(1))
    assert torch.equal(first, again)
    assert not torch.equal(first, model.sample(4, generator=seeded(2)))
    assert first.shape == (4, 32)
    assert first.min() >= 0
    assert first.max() < model.config.output_size


def test_greedy_decoding_agrees_with_teacher_forcing_on_its_own_output(model):
    latents = torch.randn(5, model.config.latent_size, generator=seeded())
    sequences = model.decode(latents, temperature=None)
    logits = model.teacher_forced_logits(latents, sequences)
    assert torch.equal(logits.argmax(dim=-1), sequences)


def test_a_sequence_does_not_depend_on_its_batch(model, batch):
    together = model.encode(batch["input_values"]).mean
    alone = model.encode(batch["input_values"][1:2]).mean
    torch.testing.assert_close(together[1:2], alone, atol=1e-6, rtol=1e-5)
    greedy = model.decode(together, temperature=None)
    assert torch.equal(greedy[1:2], model.decode(together[1:2], temperature=None))


def test_what_lies_beyond_the_length_does_not_matter(model, batch):
    lengths = torch.tensor([32, 20, 1])
    changed = batch["input_values"].clone()
    changed[1, 20:] = 0.0
    changed[2, 1:] = 0.0
    output = model(batch["input_values"], lengths, batch["labels"], noise=torch.zeros(3, 6))
    other = model(changed, lengths, batch["labels"], noise=torch.zeros(3, 6))
    torch.testing.assert_close(output.posterior.mean, other.posterior.mean)
    per_step = output.sequence_reconstruction_loss / lengths
    assert per_step.min() > 0
    shorter = model(batch["input_values"][2:, :1], None, batch["labels"][2:, :1], noise=torch.zeros(1, 6))
    torch.testing.assert_close(output.sequence_reconstruction_loss[2:], shorter.sequence_reconstruction_loss)


def test_loss_is_reconstruction_plus_beta_times_kl_beyond_free_bits(model, batch):
    model.config.free_bits, model.config.max_beta, model.config.beta_rate = 1.0, 0.5, 0.0
    noise = torch.zeros(3, 6)
    output = model(**batch, noise=noise)
    divergence = output.posterior.kl_divergence()
    expected_cost = (divergence - math.log(2)).clamp(min=0).mean()
    torch.testing.assert_close(output.kl_cost, expected_cost)
    torch.testing.assert_close(output.loss, output.reconstruction_loss + 0.5 * expected_cost)
    at_start = model(**batch, noise=noise, global_step=0)
    torch.testing.assert_close(at_start.loss, at_start.reconstruction_loss)


def test_kl_divergence_is_that_of_torch(model, batch):
    posterior = model.encode(batch["input_values"])
    normal = torch.distributions.Normal(posterior.mean, posterior.std)
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(-1)
    torch.testing.assert_close(posterior.kl_divergence(), expected)


def test_scheduled_sampling_with_an_empty_mask_is_teacher_forcing(model, batch):
    noise = torch.zeros(3, 6)
    forced = model(**batch, noise=noise).logits
    torch.testing.assert_close(
        model(**batch, noise=noise, sampling_mask=torch.zeros(3, 32, dtype=torch.bool)).logits, forced
    )
    sampled = model(**batch, noise=noise, sampling_mask=torch.ones(3, 32, dtype=torch.bool), generator=seeded()).logits
    assert not torch.allclose(sampled, forced)
    torch.testing.assert_close(sampled[:, 0], forced[:, 0])  # nothing comes before the first step


def test_every_parameter_but_the_second_biases_gets_a_gradient(model, batch):
    model(**batch, noise=torch.ones(3, 6)).loss.backward()
    for name, parameter in model.named_parameters():
        if "bias_hh" in name:
            assert not parameter.requires_grad, name
        else:
            assert parameter.grad.abs().sum() > 0, name


def test_save_and_load_keeps_weights_outputs_and_the_frozen_bias(model, batch, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = MusicVAEModel.from_pretrained(tmp_path).eval()
    assert numbers(loaded.config) == numbers(model.config)
    noise = torch.zeros(3, 6)
    torch.testing.assert_close(loaded(**batch, noise=noise).logits, model(**batch, noise=noise).logits, rtol=0, atol=0)
    assert {n for n, p in loaded.named_parameters() if not p.requires_grad} == {
        n for n, p in model.named_parameters() if not p.requires_grad
    }


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_build_on_the_meta_device_and_round_trip(preset, tmp_path):
    config = MusicVAEConfig.from_preset(preset)
    with torch.device("meta"):
        MusicVAEModel(config)
    config.save_pretrained(tmp_path)
    assert numbers(MusicVAEConfig.from_pretrained(tmp_path)) == numbers(config)


def test_fresh_weights_follow_the_original(tmp_path):
    torch.manual_seed(0)
    model = MusicVAEModel(MusicVAEConfig(latent_size=64, encoder_hidden_sizes=[64], decoder_hidden_sizes=[48, 48]))
    assert model.latent_mean.weight.std().item() == pytest.approx(0.001, rel=0.1)
    bias = model.decoder.lstm.bias_ih_l0.reshape(4, 48)
    assert bias[1].eq(1).all()
    assert bias[[0, 2, 3]].eq(0).all()
    bound = math.sqrt(6 / (90 + 64 + 4 * 64))
    assert model.encoder.lstm.weight_ih_l0.abs().max().item() == pytest.approx(bound, rel=0.01)


def test_interpolation_starts_and_ends_at_its_ends(model):
    start, end = torch.randn(2, 6, generator=seeded())
    sequences = model.interpolate(start, end, 7)
    assert sequences.shape == (7, 32)
    assert torch.equal(sequences[[0, -1]], model.decode(torch.stack([start, end]), temperature=None))


def test_slerp_keeps_the_length_and_the_angle():
    start, end = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    points = slerp(start, end, torch.linspace(0, 1, 5))
    torch.testing.assert_close(points.norm(dim=1), torch.full((5,), 2.0))
    angles = torch.atan2(points[:, 1], points[:, 0])
    torch.testing.assert_close(angles, torch.linspace(0, math.pi / 2, 5))


def test_slerp_of_parallel_vectors_is_a_line():
    start = torch.tensor([1.0, 1.0])
    torch.testing.assert_close(slerp(start, 3 * start, torch.tensor([0.5])), torch.tensor([[2.0, 2.0]]))


def test_corners_of_the_grid_are_the_four_latents(model):
    corners = torch.randn(4, 6, generator=seeded())
    grid = model.interpolate_corners(corners, 3)
    assert grid.shape == (3, 3, 32)
    decoded = model.decode(corners, temperature=None)
    assert torch.equal(torch.stack([grid[0, 0], grid[0, -1], grid[-1, 0], grid[-1, -1]]), decoded)


def test_reconstruct_decodes_the_mean(model, batch):
    mean = model.encode(batch["input_values"]).mean
    assert torch.equal(model.reconstruct(batch["input_values"]), model.decode(mean, 32, temperature=None))


def test_low_temperature_approaches_the_likeliest_events(model):
    latents = torch.randn(4, 6, generator=seeded())
    assert torch.equal(model.decode(latents, temperature=1e-6, generator=seeded()), model.decode(latents, temperature=None))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_absurd_temperatures_are_refused(model, temperature):
    with pytest.raises(ValueError, match="temperature must be a positive number"):
        model.sample(1, temperature=temperature)


@pytest.mark.parametrize("length", [0, -5, 10**9])
def test_absurd_lengths_are_refused(model, length):
    with pytest.raises(ValueError, match="length must be between 1 and"):
        model.sample(1, length=length)


def test_wrong_shapes_are_refused_by_name(model):
    with pytest.raises(ValueError, match="input_values must have the shape"):
        model.encode(torch.zeros(1, 32, 7))
    with pytest.raises(ValueError, match="latents must have the shape"):
        model.decode(torch.zeros(1, 5))
    with pytest.raises(ValueError, match="lengths must be"):
        model.encode(torch.zeros(1, 32, model.config.input_size), torch.tensor([33]))
    with pytest.raises(ValueError, match="num_steps must be at least 2"):
        model.interpolate(torch.zeros(6), torch.ones(6), 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("latent_size", 0),
        ("latent_size", 10**12),
        ("decoder_hidden_sizes", []),
        ("decoder_hidden_sizes", [8, 16]),
        ("encoder_hidden_sizes", [-1]),
        ("max_sequence_length", 10**9),
        ("dropout", 2.0),
        ("max_beta", math.nan),
        ("output_type", "poetry"),
        ("sampling_schedule", "sometimes"),
        ("sampling_rate", 0.0),
        ("latent_size", "many"),
    ],
)
def test_nonsense_in_a_configuration_is_refused_by_name(field, value):
    with pytest.raises(Exception, match=field):
        MusicVAEConfig(**{**SMALL, field: value})


def test_unknown_preset_names_those_that_exist():
    with pytest.raises(ValueError, match="cat-mel_2bar_small"):
        MusicVAEConfig.from_preset("mel_2bar")


def test_schedules_are_the_originals():
    config = MusicVAEConfig(max_beta=0.2, beta_rate=0.99999, sampling_schedule="inverse_sigmoid", sampling_rate=1000.0)
    assert config.beta(0) == 0.0
    assert config.beta(10**7) == pytest.approx(0.2)
    assert config.scheduled_sampling_probability(0) == pytest.approx(1 / 1001)
    step = 1000 * math.log(1000)
    assert config.scheduled_sampling_probability(int(step)) == pytest.approx(0.5, abs=1e-3)
    assert config.scheduled_sampling_probability(10**9) == 1.0
    assert MusicVAEConfig(sampling_schedule="none").scheduled_sampling_probability(10**9) == 0.0
