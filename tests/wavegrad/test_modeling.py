"""The network's own behaviour; what it computes is in tests/golden."""

import pytest
import torch

from hub_models.wavegrad import PRESETS, WaveGradModel, preset

TINY = {
    "num_mel_bands": 6,
    "mel_channels": 8,
    "down_channels": [4, 4, 6, 6, 8],
    "up_channels": [8, 8, 6, 6, 4],
    "up_factors": [3, 2, 2, 1, 2],
}


def tiny(name: str = "wavegrad-lmnt", **overrides) -> WaveGradModel:
    torch.manual_seed(3)
    model = WaveGradModel(**preset(name, **(TINY | overrides))).eval()
    with torch.no_grad():  # biases begin at zero, which would hide what padding and shifts do
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def inputs(model: WaveGradModel, frames: int = 11, batch: int = 2, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    audio = torch.randn(batch, frames * model.hop_length, generator=generator)
    mel = torch.rand(batch, model.config.num_mel_bands, frames, generator=generator)
    return audio, torch.rand(batch, generator=generator), mel


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_turns_noise_and_frames_into_noise_of_the_same_length(name):
    model = tiny(name)
    audio, level, mel = inputs(model)
    with torch.no_grad():
        sample = model(audio, level, mel).sample
    assert sample.shape == audio.shape
    assert sample.isfinite().all()
    assert sample.std() > 0


@pytest.mark.parametrize(("name", "parameters"), [("wavegrad-lmnt", 15_920_993), ("wavegrad-large", 27_630_945)])
def test_full_sizes(name, parameters):
    with torch.device("meta"):
        model = WaveGradModel(**preset(name))
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert model.hop_length == 300


def test_an_item_is_the_same_alone_and_in_a_batch():
    model = tiny()
    audio, level, mel = inputs(model, batch=3)
    with torch.no_grad():
        together = model(audio, level, mel).sample
        for item in range(3):
            alone = model(audio[item : item + 1], level[item : item + 1], mel[item : item + 1]).sample[0]
            torch.testing.assert_close(alone, together[item], rtol=1e-5, atol=1e-5)


def test_one_noise_level_serves_the_whole_batch():
    model = tiny()
    audio, _, mel = inputs(model)
    with torch.no_grad():
        several = model(audio, torch.tensor([0.3, 0.3]), mel).sample
        torch.testing.assert_close(model(audio, torch.tensor([0.3]), mel).sample, several)
        torch.testing.assert_close(model(audio, torch.tensor(0.3), mel).sample, several)


@pytest.mark.parametrize("scale", [1.0, 5000.0])
def test_the_noise_level_matters(scale):
    model = tiny(noise_level_scale=scale)
    audio, _, mel = inputs(model)
    with torch.no_grad():
        low, high = (model(audio, torch.tensor([level]), mel).sample for level in (0.1, 0.9))
    assert (low - high).abs().max() > 1e-3


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("factors", [[3, 2, 2, 1, 2], [2, 3, 1, 2, 5]])
def test_context_frames_are_enough_and_all_needed(name, factors):
    """A frame depends on `context_frames` on either side and no more: its gradient is exactly zero beyond."""
    model = tiny(name, up_factors=factors).double()
    context, hop = model.context_frames, model.hop_length
    frame = context + 2
    audio, level, mel = (tensor.double() for tensor in inputs(model, 2 * frame + 1, batch=1))
    audio.requires_grad_()
    mel.requires_grad_()
    model(audio, level, mel).sample[:, frame * hop : (frame + 1) * hop].square().sum().backward()
    influence = audio.grad.reshape(-1, hop).abs().sum(1) + mel.grad[0].abs().sum(0)
    frames = influence.nonzero().flatten() - frame
    assert max(-frames.min(), frames.max()) == context


def test_gradient_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        model = tiny("wavegrad-large").train()
        if checkpointing:
            model.enable_gradient_checkpointing()
        audio, level, mel = inputs(model)
        model(audio, level, mel).sample.square().mean().backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-5, atol=1e-7, msg=name)


def test_save_and_load(tmp_path):
    model = tiny("wavegrad-base", mel_settings={"n_fft": 64})
    model.save_pretrained(tmp_path)
    loaded = WaveGradModel.from_pretrained(tmp_path)
    assert loaded.config.mel_settings == {"n_fft": 64}
    assert dict(loaded.config) | {"_name_or_path": None} == dict(model.config) | {"_name_or_path": None}
    with torch.no_grad():
        torch.testing.assert_close(loaded(*inputs(model)).sample, model(*inputs(model)).sample)
    assert (tmp_path / "diffusion_pytorch_model.safetensors").is_file()


def test_initial_weights_are_orthogonal_and_seeded():
    models = []
    for _ in range(2):
        torch.manual_seed(5)
        models.append(WaveGradModel(**preset("wavegrad-lmnt", **TINY)))
    for (name, first), second in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        assert torch.equal(first, second), name
        if name.endswith("bias"):
            assert not first.any()
    weight = models[0].up_blocks[0].convs[1].weight.flatten(1)
    torch.testing.assert_close(weight @ weight.T, torch.eye(len(weight)), atol=1e-5, rtol=0)


def test_shapes_that_do_not_fit_are_refused():
    model = tiny()
    audio, level, mel = inputs(model)
    with pytest.raises(ValueError, match=r"mel of \(batch, 6, frames\), not .*\(2, 5, 11\)"):
        model(audio, level, mel[:, :5])
    with pytest.raises(ValueError, match="do not fit 2 x 11 frames: a frame is 24 samples"):
        model(audio[:, :-1], level, mel)
    with pytest.raises(ValueError, match="3 noise levels"):
        model(audio, torch.rand(3), mel)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"down_channels": [5, 4, 6, 6, 8]}, "must be even"),
        ({"up_channels": [8, 8, 6]}, "one entry per rate, not 5, 3, 5 and 5"),
        ({"up_dilations": [[1, 2, 4]] * 5}, "four convolutions"),
        ({"downsample_type": "average"}, "choose one of nearest, strided"),
        ({"layers_per_block": 3}, "1 and 2 are possible"),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(overrides, message):
    with pytest.raises(ValueError, match=message):
        tiny(**overrides)


def test_an_unknown_preset_names_those_there_are():
    with pytest.raises(ValueError, match="wavegrad-lmnt, wavegrad-base, wavegrad-large"):
        preset("wavegrad-huge")


def test_presets_are_copies():
    preset("wavegrad-lmnt")["up_channels"].append(1)
    assert len(PRESETS["wavegrad-lmnt"]["up_channels"]) == 5
