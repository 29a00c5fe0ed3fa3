"""The VQ-VAE: codes and sound of every level, in windows as in one piece, and codebooks that learn."""

import math

import pytest
import torch

from hub_models.jukebox import modeling_jukebox_vqvae
from hub_models.jukebox.audio_losses import measure_bandwidth
from hub_models.jukebox.configuration_jukebox import JukeboxVQVAEConfig
from hub_models.jukebox.modeling_jukebox_vqvae import JukeboxVQVAE

NUMBERS = {
    "levels": 2,
    "res_downs_t": [2, 1],
    "res_strides_t": [2, 4],
    "multipliers": [2, 1],
    "hop_fraction": [0.5, 0.5],
    "res_conv_width": 4,
    "res_conv_depth": 2,
    "embed_dim": 6,
    "nb_discrete_codes": 20,
    "sample_length": 512,
    "sampling_rate": 1000,
    "n_fft": 64,
    "hop_length": 16,
    "window_size": 48,
    "multispec_loss_n_fft": [64, 32],
    "multispec_loss_hop_length": [15, 7],
    "multispec_loss_window_size": [40, 20],
}
HOPS = (4, 16)


def make(**changes) -> JukeboxVQVAE:
    """A model whose codebooks hold vectors such as its encoders give."""
    torch.manual_seed(0)
    model = JukeboxVQVAE(JukeboxVQVAEConfig(**NUMBERS | changes)).train()
    with torch.no_grad():
        model(sound(seed=9))
    return model.eval()


def sound(samples: int = 512, batch: int = 2, seed: int = 1) -> torch.Tensor:
    return torch.randn(batch, samples, 1, generator=torch.Generator().manual_seed(seed)) * 0.3


@pytest.fixture(scope="module")
def model():
    return make()


def same(one, other):
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


# ---- Codes and sound


def test_each_level_has_a_code_for_as_many_samples_as_its_hop_the_finest_first(model):
    codes = model.encode(sound())
    assert [tuple(level.shape) for level in codes] == [(2, 512 // hop) for hop in HOPS]
    assert all(0 <= int(level.min()) <= int(level.max()) < 20 for level in codes)
    assert all(len(level.unique()) > 3 for level in codes)


def test_levels_can_be_encoded_alone(model):
    codes = model.encode(sound())
    assert same(model.encode(sound(), start_level=1), codes[1:])
    assert same(model.encode(sound(), end_level=1), codes[:1])


def test_the_first_codes_that_are_given_make_the_sound(model):
    codes = model.encode(sound())
    decoded = model.decode(codes)
    assert decoded.shape == (2, 512, 1)
    assert torch.equal(decoded, model.decode([codes[0], torch.zeros_like(codes[1])]))
    coarse = model.decode(codes[1:], start_level=1)
    assert coarse.shape == (2, 512, 1)
    assert not torch.allclose(coarse, decoded)


def test_a_batch_can_be_computed_in_parts(model):
    audio = sound(batch=3)
    codes = model.encode(audio)
    assert same(model.encode(audio, bs_chunks=2), codes)
    torch.testing.assert_close(model.decode(codes, bs_chunks=3), model.decode(codes), rtol=0, atol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"reverse_decoder_dilation": False}, {"res_dilation_cycle": 1}])
def test_long_sound_in_windows_is_the_same_as_in_one_piece(changes, monkeypatch):
    model = make(**changes)
    audio = sound(16_000, batch=1)
    codes, decoded = model.encode(audio), [model.decode(model.encode(audio)[level:], level) for level in range(2)]
    monkeypatch.setattr(modeling_jukebox_vqvae, "WINDOW_SAMPLES", 512)
    assert len(list(modeling_jukebox_vqvae._windows(16_000 // 16, 16, model.encoders[1].reach))) > 1
    assert same(model.encode(audio), codes)
    for level in range(2):
        torch.testing.assert_close(model.decode(codes[level:], level), decoded[level], rtol=0, atol=1e-6)


@pytest.mark.parametrize("changes", [{}, {"conv_res_scale": True, "res_convolution_multiplier": 2, "conv_input_shape": 2}])
def test_inference_tile_by_tile_is_what_training_computes(changes):
    torch.manual_seed(0)
    model = JukeboxVQVAE(JukeboxVQVAEConfig(**NUMBERS | changes))
    audio = torch.randn(2, model.config.conv_input_shape, 5000 // 16 * 16)
    for encoder, decoder in zip(model.encoders, model.decoders, strict=True):
        vectors = encoder(audio)
        decoded = decoder(vectors)
        with torch.no_grad():
            torch.testing.assert_close(encoder(audio), vectors, rtol=0, atol=1e-5)
            torch.testing.assert_close(decoder(vectors), decoded, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (sound()[0], r"float of shape \(batch, samples, 1\), got torch.float32 \(512, 1\)"),
        (sound().expand(2, 512, 2), r"float of shape \(batch, samples, 1\)"),
        (sound().long(), "got torch.int64"),
        (sound(500), "multiple of 16 samples long, .*got 500: cut it, or add zeros"),
        (sound(0), "There is no audio"),
        (sound() / 0, "finite"),
        (sound() * float("nan"), "finite"),
    ],
)
def test_what_is_no_audio_is_refused(model, audio, message):
    for use in (model.encode, model):
        with pytest.raises(ValueError, match=message):
            use(audio)


def test_what_is_no_code_is_refused(model):
    for codes, message in (
        ([], "codes of at least one level, got none"),
        ([torch.zeros(1, 8)], "integers of shape .* got torch.float32"),
        ([torch.zeros(8).long()], r"integers of shape \(batch, length\), got torch.int64 \(8,\)"),
        ([torch.zeros(1, 0).long()], "There are no codes"),
        ([torch.full((1, 8), 20)], "Codes must be from 0 to 19, got 20 to 20"),
        ([torch.full((1, 8), -1)], "Codes must be from 0 to 19, got -1 to -1"),
    ):
        with pytest.raises(ValueError, match=message):
            model.decode(codes)


@pytest.mark.parametrize("levels", [(2, None), (-1, None), (1, 1), (0, 3)])
def test_levels_that_there_are_not_are_refused(model, levels):
    with pytest.raises(ValueError, match=r"levels of the 2 from 0, the first below the second"):
        model.encode(sound(), *levels)
    with pytest.raises(ValueError, match="bs_chunks must be at least 1, got 0"):
        model.encode(sound(), bs_chunks=0)


# ---- Training


def test_the_loss_is_the_weighted_sum_of_what_metrics_say():
    model = make(spectral=0.5, multispectral=2.0, commit=0.1, lmix_l1=0.3, lmix_l2=0.6, lmix_linf=0.02, linf_k=100)
    output = model(sound())
    metrics = output.metrics
    weighted = metrics["reconstruction_loss"] + 0.5 * metrics["spectral_loss"] + 2 * metrics["multispectral_loss"]
    torch.testing.assert_close(output.loss, weighted + 0.1 * metrics["commitment_loss"])
    for name in ("reconstruction_loss", "spectral_loss", "multispectral_loss", "commitment_loss"):
        torch.testing.assert_close(metrics[name], metrics[f"{name}_level_0"] + metrics[f"{name}_level_1"])
    finest = 0.3 * metrics["l1_loss"] + 0.6 * metrics["l2_loss"] + 0.02 * metrics["linf_loss"]
    torch.testing.assert_close(metrics["reconstruction_loss_level_0"], finest)
    residual = sound() - output.reconstruction
    torch.testing.assert_close(metrics["l1_loss"], residual.abs().mean())
    largest = residual.square().flatten(1).sort(dim=1, descending=True).values[:, :100]
    torch.testing.assert_close(metrics["linf_loss"], largest.mean())


@pytest.mark.parametrize("loss_fn", ["l1", "l2", "linf"])
def test_one_kind_of_error_can_be_the_loss(loss_fn):
    metrics = make(loss_fn=loss_fn)(sound()).metrics
    assert metrics["reconstruction_loss_level_0"] == metrics[f"{loss_fn}_loss"]


def test_errors_are_relative_to_the_bandwidth_of_the_data():
    one, other = make(), make(bandwidth_l1=2.0, bandwidth_l2=4.0, bandwidth_spec=8.0)
    metrics, expected = other(sound()).metrics, one(sound()).metrics
    for name, factor in (("l1_loss", 2), ("l2_loss", 4), ("linf_loss", 4), ("spectral_loss", 8), ("multispectral_loss", 8)):
        torch.testing.assert_close(factor * metrics[name], expected[name])
    relative = make(use_nonrelative_specloss=False)(sound()).metrics
    torch.testing.assert_close(relative["spectral_loss_level_0"], relative["spectral_convergence"])


def test_bandwidth_is_measured_on_clips():
    clips = [sound()[0], sound()[1]]
    values = torch.cat(clips)
    found = measure_bandwidth(clips, JukeboxVQVAEConfig(**NUMBERS))
    assert found.l1 == pytest.approx(values.abs().mean().item(), rel=1e-5)
    assert found.l2 == pytest.approx(values.var(correction=0).item(), rel=1e-5)
    assert found.spec > 0
    with pytest.raises(ValueError, match="All sound is silent"):
        measure_bandwidth([torch.zeros(512, 1)], JukeboxVQVAEConfig(**NUMBERS))
    with pytest.raises(ValueError, match="no clips"):
        measure_bandwidth([], JukeboxVQVAEConfig(**NUMBERS))


def test_a_codebook_begins_with_vectors_of_the_first_batch():
    torch.manual_seed(0)
    model = JukeboxVQVAE(JukeboxVQVAEConfig(**NUMBERS, revival_threshold=0.0)).train()
    blocks = model.bottleneck.level_blocks
    assert not any(block.is_initialised for block in blocks)
    rows = [encoder(sound().mT).mT.flatten(0, 1) for encoder in model.encoders]
    model(sound())
    for block, vectors in zip(blocks, rows, strict=True):
        assert block.is_initialised
        # The average moves by a hundredth; codes without a row in the batch stay where they are.
        assert torch.cdist(block.codebook, vectors).min(1).values.max() < 0.02 * vectors.norm(dim=1).max()


def test_codes_move_to_the_mean_of_what_they_stand_for_and_unused_ones_to_the_batch():
    model = make(lmu=0.0, revival_threshold=1.0).train()
    block, encoder = model.bottleneck.level_blocks[0], model.encoders[0]
    with torch.no_grad():
        block.codebook[7] = 1e3
    rows = encoder(sound().mT).mT.flatten(0, 1).detach()
    codes, _ = block.nearest(rows)
    output = model(sound(), generator=torch.Generator().manual_seed(0))
    for code in codes.unique():
        torch.testing.assert_close(block.codebook[code], rows[codes == code].mean(0))
    assert (rows == block.codebook[7]).all(1).any()
    assert output.metrics["codes_used_level_0"] == len(codes.unique())


def test_what_is_drawn_follows_from_the_generator():
    def codebooks(seed):
        model = make(lmu=0.0).train()
        model(sound(), generator=torch.Generator().manual_seed(seed))
        return [block.codebook for block in model.bottleneck.level_blocks]

    assert same(codebooks(1), codebooks(1))
    assert not same(codebooks(1), codebooks(2))


def test_evaluation_learns_nothing(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    output = model(sound())
    assert output.loss.requires_grad
    assert "codebook_usage" not in output.metrics
    assert same(list(model.state_dict().values()), list(before.values()))
    assert same(output.codes, model.encode(sound()))


def test_gradients_pass_through_the_codes_to_the_encoders():
    model = make()
    model(sound()).loss.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.encoders.parameters())


# ---- Files


def test_a_training_goes_on_exactly_from_its_state():
    one, other = make().train(), JukeboxVQVAE(JukeboxVQVAEConfig(**NUMBERS)).train()
    other.load_state_dict(one.state_dict())
    for model in (one, other):
        model(sound(), generator=torch.Generator().manual_seed(3))
    assert same(list(one.state_dict().values()), list(other.state_dict().values()))


def test_a_saved_model_has_codebooks_and_no_averages_and_encodes_the_same(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = JukeboxVQVAE.from_pretrained(tmp_path).eval()
    assert same(loaded.encode(sound()), model.encode(sound()))
    for block in loaded.bottleneck.level_blocks:
        assert not block.code_counts.any()
        assert not block.code_sums.any()


def test_a_training_from_saved_weights_begins_as_if_all_codes_were_used_alike(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = JukeboxVQVAE.from_pretrained(tmp_path)
    for block, hop in zip(loaded.bottleneck.level_blocks, HOPS, strict=True):
        block.restore()
        count = 512 // hop / 20
        torch.testing.assert_close(block.code_counts, torch.full((20,), count))
        torch.testing.assert_close(block.code_sums, block.codebook * count)


def test_a_model_in_half_precision_makes_codes_and_sound(model, tmp_path):
    model.save_pretrained(tmp_path)
    half = JukeboxVQVAE.from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    codes = half.encode(sound())
    agreement = (codes[0] == model.encode(sound())[0]).float().mean()
    assert agreement > 0.8
    decoded = half.decode(codes)
    assert decoded.dtype == torch.bfloat16
    assert math.isfinite(decoded.float().abs().max().item())
