"""The converter on checkpoints that TensorFlow writes here: every form they come in, and everything that can be wrong."""

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from conversion.__main__ import main
from conversion.errors import ConversionError
from conversion.magenta_music_vae import convert, mapping, to_original, to_state_dict
from conversion.tensorflow_checkpoints import find_prefix, is_leftover, read_checkpoint
from hub_models import MusicVAEConfig, MusicVAEModel, MusicVAEProcessor

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SMALL = {"latent_size": 3, "encoder_hidden_sizes": [4], "decoder_hidden_sizes": [5, 5]}


def original_arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights under the original's names, and what its training leaves beside them."""
    rng = np.random.default_rng(seed)
    config = MusicVAEConfig.from_preset("cat-mel_2bar_small", **SMALL)
    shapes = {name: tuple(t.shape) for name, t in to_original(MusicVAEModel(config).state_dict(), config).items()}
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    leftovers = {"global_step": np.int64(2500), "beta1_power": np.float32(0.5)}
    leftovers |= {f"{name}/Adam{suffix}": array for name, array in arrays.items() for suffix in ("", "_1")}
    return arrays | leftovers


def write_checkpoint(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    """A checkpoint in TensorFlow's own format; returns its prefix."""
    raw_ops = pytest.importorskip("tensorflow", reason="TensorFlow writes the test's checkpoint: extra 'convert'").raw_ops
    folder.mkdir(parents=True, exist_ok=True)
    prefix = folder / "model.ckpt"
    names = list(arrays)
    raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=[arrays[name] for name in names]
    )
    return prefix


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("original"), original_arrays())


def test_every_published_form_is_read(checkpoint, tmp_path):
    archive = tmp_path / "cat-mel_2bar_small.tar"
    with tarfile.open(archive, "w") as tar:
        for path in checkpoint.parent.iterdir():
            tar.add(path, f"cat-mel/{path.name}")
    expected = read_checkpoint(checkpoint)
    assert expected
    assert not any(is_leftover(name) for name in expected)
    for form in (archive, checkpoint.parent, checkpoint.with_suffix(".ckpt.index")):
        tensors = read_checkpoint(form)
        assert tensors.keys() == expected.keys()
        assert all(torch.equal(tensors[name], expected[name]) for name in expected)


def test_converted_weights_compute_the_originals_recurrence(checkpoint, tmp_path):
    """One decoder step by the original's formula, gates i, j, f, o and the forget bias of 1 added at run time."""
    convert(checkpoint, "cat-mel_2bar_small", tmp_path)
    model = MusicVAEModel.from_pretrained(tmp_path).eval()
    arrays = original_arrays()
    z = np.random.default_rng(1).normal(size=(2, 3)).astype(np.float32)

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    state = np.tanh(z @ arrays["decoder/z_to_initial_state/kernel"] + arrays["decoder/z_to_initial_state/bias"])
    cells, hiddens = [state[:, 0:5], state[:, 10:15]], [state[:, 5:10], state[:, 15:20]]
    inputs = np.concatenate([np.zeros((2, 90), dtype=np.float32), z], axis=1)
    for layer in range(2):
        name = f"decoder/multi_rnn_cell/cell_{layer}/lstm_cell"
        gates = np.concatenate([inputs, hiddens[layer]], axis=1) @ arrays[f"{name}/kernel"] + arrays[f"{name}/bias"]
        i, j, f, o = np.split(gates, 4, axis=1)
        inputs = sigmoid(o) * np.tanh(sigmoid(f + 1) * cells[layer] + sigmoid(i) * np.tanh(j))
    expected = inputs @ arrays["decoder/output_projection/kernel"] + arrays["decoder/output_projection/bias"]
    logits = model.teacher_forced_logits(torch.from_numpy(z), torch.zeros(2, 1, dtype=torch.int64))
    np.testing.assert_allclose(logits[:, 0].detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_mapping_there_and_back_is_the_identity(checkpoint):
    tensors = read_checkpoint(checkpoint)
    config = MusicVAEConfig.from_preset("cat-mel_2bar_small", **SMALL)
    state = to_state_dict(tensors, config)
    assert state.keys() == MusicVAEModel(config).state_dict().keys()
    back = to_original(state, config)
    for entry in mapping(config):
        assert torch.equal(back[f"{entry.original}/kernel"], tensors[f"{entry.original}/kernel"])


def test_command_line_writes_a_folder_that_loads(checkpoint, tmp_path, capsys):
    output = tmp_path / "converted"
    arguments = ["magenta-music-vae", "--config", "cat-mel_2bar_small", "--output", str(output)]
    assert main([*arguments, "--checkpoint", str(checkpoint)]) == 0
    assert "latent_size is 3 in this checkpoint; the published cat-mel_2bar_small has 256" in capsys.readouterr().out
    assert MusicVAEModel.from_pretrained(output).config.latent_size == 3
    assert MusicVAEProcessor.from_pretrained(output).mode == "original"
    assert main([*arguments, "--checkpoint", str(checkpoint)]) == 1
    assert "exists and is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda arrays: arrays.pop("encoder/mu/bias"), "Missing:\n  encoder/mu/bias"),
        (lambda arrays: arrays.update({"decoder/extra": np.float32(1)}), "Unknown:\n  decoder/extra"),
        (lambda arrays: arrays.pop("encoder/mu/kernel"), "it lacks\n  encoder/mu/kernel"),
        (lambda arrays: arrays.update({"encoder/mu/bias": np.zeros(9, np.float32)}), r"latent_mean.bias: \(9,\)"),
        (lambda arrays: arrays["encoder/mu/bias"].fill(np.nan), "NaN or infinite weights in\n  latent_mean.bias"),
    ],
)
def test_what_does_not_fit_is_listed_by_name(change, sentence, tmp_path):
    arrays = original_arrays()
    change(arrays)
    prefix = write_checkpoint(tmp_path / "broken", arrays)
    with pytest.raises(ConversionError, match=sentence):
        convert(prefix, "cat-mel_2bar_small", tmp_path / "output")
    assert not (tmp_path / "output").exists()


def test_a_checkpoint_of_another_configuration_is_refused(checkpoint, tmp_path):
    with pytest.raises(ConversionError, match="does not fit the configuration"):
        convert(checkpoint, "cat-drums_2bar_small", tmp_path / "output")


def test_where_there_is_no_checkpoint_it_is_said(tmp_path):
    with pytest.raises(ConversionError, match="no TensorFlow checkpoint"):
        find_prefix(tmp_path / "nothing")
    with pytest.raises(ConversionError, match="exactly one checkpoint"):
        find_prefix(tmp_path)


def test_a_truncated_checkpoint_is_refused(checkpoint, tmp_path):
    for path in checkpoint.parent.iterdir():
        data = path.read_bytes()
        (tmp_path / path.name).write_bytes(data[: len(data) // 8] if ".data" in path.name else data)
    with pytest.raises(ConversionError, match="is broken"):
        read_checkpoint(tmp_path)


def test_a_tar_that_leaves_its_folder_is_refused(checkpoint, tmp_path):
    archive = tmp_path / "evil.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(checkpoint.with_suffix(".ckpt.index"), "../../model.ckpt.index")
    with pytest.raises(ConversionError, match=r"evil\.tar is refused"):
        read_checkpoint(archive)
