"""The way with fewer multiplications that inference on a CPU takes gives what plain convolutions give."""

import pytest
import torch
import torch.nn.functional as F

from hub_models.wavegrad import PRESETS
from hub_models.wavegrad.modeling_wavegrad import MIN_WIDTH, Convolution, WaveGradModel

from .test_modeling import inputs, tiny


def set_wide(model: WaveGradModel, wide: bool) -> WaveGradModel:
    for module in model.modules():
        if isinstance(module, Convolution):
            module.in_wide_network = wide
    return model


@pytest.mark.parametrize("length", [1, 2, 5, 6, 7, 31])
@pytest.mark.parametrize("dilation", [1, 2, 3, 4, 8])
def test_three_taps(length, dilation):
    torch.manual_seed(0)
    conv = Convolution(5, 7, dilation=dilation).double()
    hidden_states = torch.randn(2, 5, length, dtype=torch.float64)
    with torch.no_grad():
        expected = F.conv1d(hidden_states, conv.weight, conv.bias, padding=dilation, dilation=dilation)
        torch.testing.assert_close(conv(hidden_states), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kernel_size", "stride"), [(1, 1), (5, 1), (1, 3), (3, 2), (3, 5)])
def test_other_kernels_and_strides(kernel_size, stride):
    torch.manual_seed(0)
    conv = Convolution(4, 6, kernel_size, stride).double()
    hidden_states = torch.randn(2, 4, 30, dtype=torch.float64)
    with torch.no_grad():
        expected = F.conv1d(hidden_states, conv.weight, conv.bias, stride=stride, padding=kernel_size // 2)
        torch.testing.assert_close(conv(hidden_states), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("repeats", [1, 2, 3, 5])
@pytest.mark.parametrize("dilation", [1, 2, 7])
def test_convolution_of_repeated_samples(repeats, dilation):
    torch.manual_seed(0)
    conv = Convolution(3, 4, dilation=dilation).double()
    hidden_states = torch.randn(2, 3, 9, dtype=torch.float64)
    repeated = hidden_states.repeat_interleave(repeats, dim=2)
    with torch.no_grad():
        expected = F.conv1d(repeated, conv.weight, conv.bias, padding=dilation, dilation=dilation)
        torch.testing.assert_close(conv(hidden_states, repeats), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("frames", [1, 11, 400])  # 400 frames of 24 samples: several windows
def test_the_whole_network(name, frames):
    model = tiny(name).double()
    audio, level, mel = (tensor.double() for tensor in inputs(model, frames))
    with torch.no_grad():
        plain = set_wide(model, False)(audio, level, mel).sample
        fast = set_wide(model, True)(audio, level, mel).sample
        features = model.encode_mel(mel)
        with_features = model(audio, level, mel, mel_features=features).sample
    scale = plain.abs().max()
    assert (fast - plain).abs().max() <= 1e-9 * scale
    assert (with_features - plain).abs().max() <= 1e-9 * scale


def test_rounding_in_float32_is_small():
    model = tiny(up_channels=[MIN_WIDTH] * 5, down_channels=[32] * 5, mel_channels=64)
    assert model.audio_conv.in_wide_network
    audio, level, mel = inputs(model, 60)
    with torch.no_grad():
        fast = model(audio, level, mel).sample
        plain = set_wide(model, False)(audio, level, mel).sample
    assert 0 < (fast - plain).abs().max() <= 2e-5 * plain.abs().max()


def test_changed_weights_are_used_at_once():
    model = set_wide(tiny(), True)
    audio, level, mel = inputs(model)
    with torch.no_grad():
        before = model(audio, level, mel).sample
        model.up_blocks[2].convs[1].weight.mul_(1.5)
        after = model(audio, level, mel).sample
        expected = set_wide(model, False)(audio, level, mel).sample
    assert (after - before).abs().max() > 1e-4
    torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-4)


def test_narrow_networks_training_and_half_precision_use_plain_convolutions():
    hidden_states = torch.randn(1, 3, 5)
    conv = Convolution(3, 3)
    assert not conv.is_fast(hidden_states)  # gradients are wanted
    with torch.no_grad():
        assert conv.is_fast(hidden_states)
        assert not conv.is_fast(hidden_states.bfloat16())
        assert not tiny().audio_conv.is_fast(hidden_states)


def test_a_half_precision_model_is_initialised():
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float16)
    try:
        model = WaveGradModel(up_channels=[8] * 5, down_channels=[4] * 5, mel_channels=8)
    finally:
        torch.set_default_dtype(dtype)
    assert model.dtype == torch.float16
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_an_item_is_the_same_alone_and_in_a_batch():
    model = set_wide(tiny(), True)
    audio, level, mel = inputs(model, batch=3)
    with torch.no_grad():
        together = model(audio, level, mel).sample
        for item in range(3):
            alone = model(audio[item : item + 1], level[item : item + 1], mel[item : item + 1]).sample[0]
            torch.testing.assert_close(alone, together[item], rtol=1e-4, atol=1e-4)
