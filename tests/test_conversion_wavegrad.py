"""lmnt's WaveGrad checkpoints: every form they come in, everything that can be wrong with them, and the way back."""

import hashlib
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from conversion import lmnt_wavegrad, torch_checkpoints
from conversion.__main__ import main
from conversion.errors import ConversionError
from conversion.lmnt_wavegrad import convert, export, mapping, to_original
from hub_models.wavegrad import (
    WaveGradFeatureExtractor,
    WaveGradModel,
    WaveGradPipeline,
    WaveGradScheduler,
    preset,
)

RATE = 24_000
SMALL = {
    "num_mel_bands": 8,
    "mel_channels": 6,
    "down_channels": [4, 6, 4, 6, 4],
    "up_channels": [6, 5, 4, 5, 4],
}
BETAS = np.linspace(1e-6, 0.01, 1000).tolist()


def original_tensors() -> dict[str, torch.Tensor]:
    """Random weights of a small network under lmnt's names."""
    with torch.device("meta"):
        shapes = to_original(WaveGradModel(**preset("wavegrad-lmnt", **SMALL)).state_dict())
    generator = torch.Generator().manual_seed(0)
    return {name: 0.3 * torch.randn(tensor.shape, generator=generator) for name, tensor in shapes.items()}


def original_checkpoint(**changes) -> dict:
    """What lmnt's training writes; `changes` replace parts of it."""
    tensors = original_tensors()
    optimizer = torch.optim.Adam([tensor.clone().requires_grad_() for tensor in tensors.values()])
    params = {"batch_size": 32, "sample_rate": 22050, "hop_samples": 300, "noise_schedule": BETAS}
    parts = {"step": 1500, "model": tensors, "optimizer": optimizer.state_dict(), "params": params, "scaler": {}}
    return parts | changes


def write(path: Path, contents) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(contents, path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("original") / "weights.pt", original_checkpoint())


@pytest.fixture(scope="module")
def converted(checkpoint, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("converted") / "pipeline"
    convert(checkpoint, output, RATE)
    return output


def small_pipeline(folder: Path, scheduler: WaveGradScheduler | None = None, **overrides) -> Path:
    """A pipeline folder as training writes it."""
    torch.manual_seed(0)
    feature_extractor = WaveGradFeatureExtractor(feature_size=8, sampling_rate=22050)
    model = WaveGradModel(**preset("wavegrad-lmnt", **(SMALL | overrides)), mel_settings=feature_extractor.mel_settings)
    WaveGradPipeline(model, scheduler or WaveGradScheduler(), feature_extractor).save_pretrained(folder)
    return folder


# From the original to a pipeline


def test_a_converted_pipeline_has_the_originals_weights_and_the_given_rate(converted):
    pipeline = WaveGradPipeline.from_pretrained(converted)
    state, tensors = pipeline.model.state_dict(), original_tensors()
    assert set(state) == {ours for _, ours in mapping()}
    assert all(torch.equal(state[ours], tensors[original]) for original, ours in mapping())
    assert pipeline.feature_extractor.sampling_rate == RATE
    assert dict(pipeline.model.config.mel_settings) == pipeline.feature_extractor.mel_settings
    assert pipeline.scheduler.config.trained_betas is None
    np.testing.assert_allclose(pipeline.scheduler.schedule_betas("training"), BETAS, rtol=1e-9)
    generator = torch.Generator().manual_seed(0)
    assert pipeline(mel=np.zeros((8, 2), np.float32), generator=generator).audios.shape == (1, 600)


def test_the_folder_has_a_part_for_each_component(converted):
    assert {"model_index.json", "model", "scheduler", "feature_extractor"} <= {path.name for path in converted.iterdir()}
    assert list(converted.rglob("*.safetensors"))
    assert not list(converted.rglob("*.bin"))


def test_command_line_tells_what_the_checkpoint_is(checkpoint, tmp_path, capsys):
    arguments = ["lmnt-wavegrad", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--sample-rate", str(RATE)]) == 0
    said = capsys.readouterr().out
    assert "mel_channels is 6 in this checkpoint; lmnt's package has 768." in said
    assert "trained for 1,500 steps" in said
    assert "parameters say 22050 Hz" in said
    assert main([*arguments, "--sample-rate", str(RATE)]) == 1
    assert "exists and is not empty" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [np.ndarray.tolist, list, np.asarray, torch.from_numpy])
def test_a_noise_schedule_of_its_own_becomes_that_of_training(kind, tmp_path):
    betas = np.linspace(1e-5, 0.02, 1000)
    path = write(tmp_path / "weights.pt", original_checkpoint(params={"noise_schedule": kind(betas)}))
    notes = convert(path, tmp_path / "out", RATE)
    assert "a noise schedule of its own, 1000 levels" in " ".join(notes)
    scheduler = WaveGradScheduler.from_pretrained(tmp_path / "out", subfolder="scheduler")
    np.testing.assert_array_equal(scheduler.schedule_betas("training"), betas)


def test_older_files_and_half_precision_are_read(tmp_path):
    halves = {name: tensor.half() for name, tensor in original_tensors().items()}
    path = tmp_path / "weights.pt"
    torch.save({"model": halves}, path, _use_new_zipfile_serialization=False)
    convert(path, tmp_path / "out", RATE)
    state = WaveGradModel.from_pretrained(tmp_path / "out", subfolder="model").state_dict()
    assert all(torch.equal(state[ours], halves[original].float()) for original, ours in mapping())


def test_a_training_folder_means_its_newest_weights(checkpoint, tmp_path):
    folder = tmp_path / "run"
    for step in (9, 10):  # as text, 9 comes last
        write(folder / f"weights-{step}.pt", original_checkpoint(step=step))
    assert "trained for 10 steps" in " ".join(convert(folder, tmp_path / "newest", RATE))
    (folder / "weights.pt").symlink_to("weights-9.pt")
    assert "trained for 9 steps" in " ".join(convert(folder, tmp_path / "linked", RATE))
    assert "trained for 9 steps" in " ".join(convert(folder / "weights.pt", tmp_path / "link", RATE))
    (folder / "weights-9.pt").unlink()
    with pytest.raises(ConversionError, match=r"a link to weights-9\.pt, which is not there"):
        convert(folder, tmp_path / "broken", RATE)


def test_a_folder_without_weights_is_told_what_to_hold(tmp_path):
    with pytest.raises(ConversionError, match=r"no weights\.pt and no weights-<step>\.pt"):
        convert(tmp_path, tmp_path / "out", RATE)
    with pytest.raises(ConversionError, match="There is no file"):
        convert(tmp_path / "nothing.pt", tmp_path / "out", RATE)


def test_push_to_hub_publishes_what_was_written(checkpoint, tmp_path, monkeypatch):
    published = []
    monkeypatch.setattr("hub_models.hub.__main__.main", lambda arguments: published.append(arguments) or 0)
    arguments = ["--checkpoint", str(checkpoint), "--sample-rate", str(RATE), "--output", str(tmp_path / "out")]
    assert main(["lmnt-wavegrad", *arguments, "--push-to-hub", "me/a-voice"]) == 0
    assert published == [["publish", str(tmp_path / "out"), "me/a-voice", "--license", "apache-2.0"]]


# The sample rate


@pytest.mark.parametrize(
    ("rate", "sentence"),
    [(None, r"Give --sample-rate: .* 24000 \(wavegrad-24kHz\.pt\)"), (24, "--sample-rate is 24; 8000 to 192000 Hz")],
)
def test_a_rate_must_be_given(checkpoint, tmp_path, rate, sentence):
    with pytest.raises(ConversionError, match=sentence):
        convert(checkpoint, tmp_path / "out", rate)


@pytest.mark.parametrize("rate", [None, 22_050])
def test_a_published_file_is_known_by_its_digest(checkpoint, tmp_path, monkeypatch, rate):
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    monkeypatch.setattr(lmnt_wavegrad, "PUBLISHED", {digest: ("wavegrad-24kHz.pt", RATE)})
    with pytest.raises(ConversionError, match=f"the published wavegrad-24kHz.pt: give --sample-rate 24000, not {rate}"):
        convert(checkpoint, tmp_path / "out", rate)
    convert(checkpoint, tmp_path / "out", RATE)


# What is refused


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_download_that_broke_off_is_refused(tmp_path, older, share):
    path = tmp_path / "weights.pt"
    torch.save(original_checkpoint(), path, _use_new_zipfile_serialization=not older)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(
        ConversionError, match=r"weights\.pt (breaks off or is damaged|is damaged or no file of torch\.save)"
    ):
        convert(path, tmp_path / "out", RATE)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "is a web page and no checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a Git LFS pointer"),
        (b"weights-100.pt", "is no file of torch.save"),
        (pickle.dumps({"model": {}}, protocol=4), "is no file of torch.save"),
        (b"PK\x03\x04" + bytes(100), "breaks off or is damaged"),
    ],
)
def test_what_is_no_checkpoint_is_called_by_its_name(tmp_path, data, sentence):
    path = tmp_path / "weights.pt"
    path.write_bytes(data)
    with pytest.raises(ConversionError, match=sentence) as raised:
        convert(path, tmp_path / "out", RATE)
    assert "weights_only" not in str(raised.value)  # torch advises to open the unpickler: never passed on


class RunsCode:
    """Pickles to a call that makes a folder."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("place", ["model", "params", "scaler"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path, place, older):
    trace, path = tmp_path / "it-ran", tmp_path / "weights.pt"
    torch.save(original_checkpoint(**{place: RunsCode(trace)}), path, _use_new_zipfile_serialization=not older)
    with pytest.raises(ConversionError, match=r"asks for the Python object posix\.mkdir, which could run code"):
        convert(path, tmp_path / "out", RATE)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists()  # so the file was dangerous


def test_numpys_own_unpickling_is_not_used(tmp_path):
    """It trusts the file: an array of objects, made from bytes, would be made of addresses."""
    path = write(tmp_path / "weights.pt", original_checkpoint(params={"noise_schedule": np.array([None, 0.1])}))
    with pytest.raises(ConversionError, match="NumPy's type 'O8'; read are f2, f4, f8, i4, i8"):
        convert(path, tmp_path / "out", RATE)


def test_a_whole_module_is_refused(tmp_path):
    path = write(tmp_path / "weights.pt", {"model": nn.Conv1d(1, 1, 1)})
    with pytest.raises(ConversionError, match=r"asks for the Python object torch\.nn\.modules\.conv\.Conv1d"):
        convert(path, tmp_path / "out", RATE)


def test_large_files_are_refused_before_they_are_read(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(torch_checkpoints, "MAX_FILE_BYTES", 2_000_000)
    bomb = tmp_path / "bomb.pt"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(3_000_000))
    assert bomb.stat().st_size < 100_000
    with pytest.raises(ConversionError, match="unpacks to 3,000,000 bytes; at most 2,000,000 are read"):
        convert(bomb, tmp_path / "out", RATE)
    monkeypatch.setattr(torch_checkpoints, "MAX_FILE_BYTES", 1000)
    with pytest.raises(ConversionError, match="at most 1,000 are read"):
        convert(checkpoint, tmp_path / "out", RATE)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("film.2.input_conv.bias", None, "Missing:\n  film.2.input_conv.bias"),
        ("film.5.input_conv.bias", torch.zeros(3), "Unknown:\n  film.5.input_conv.bias"),
        ("last_conv.bias", torch.zeros(3), r"last_conv.bias: \(3,\) in the checkpoint, \(1,\) in the network"),
        ("first_conv.weight", torch.zeros(3), r"shapes that no convolution has:\n  first_conv.weight: \(3,\)"),
        ("downsample.0.weight", torch.zeros(5, 1, 5), "each must be even"),
        ("last_conv.bias", torch.tensor([torch.nan]), "NaN or infinite values in\n  last_conv.bias"),
        ("last_conv.bias", torch.tensor([-torch.inf]), "NaN or infinite values in\n  last_conv.bias"),
        ("last_conv.bias", torch.zeros(1, dtype=torch.int64), "last_conv.bias: torch.int64"),
        ("last_conv.bias", [1.0], "last_conv.bias: list"),
        ("last_conv.bias", torch.zeros(1).expand(10**12), r"last_conv.bias: torch.float32, \(10+,\)"),
    ],
)
def test_tensors_that_do_not_fit_are_listed_by_name(name, value, sentence, tmp_path):
    contents = original_checkpoint()
    contents["model"][name] = value
    if value is None:
        del contents["model"][name]
    path = write(tmp_path / "weights.pt", contents)
    with pytest.raises(ConversionError, match=sentence):
        convert(path, tmp_path / "out", RATE)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("contents", "sentence"),
    [
        (torch.zeros(3), "no checkpoint of lmnt's: it has no 'model', but\n  Tensor"),
        ({"state_dict": {}, "epoch": 3}, "it has no 'model', but\n  epoch\n  state_dict"),
        ({"model": {}}, "'model' must be a dict of tensors"),
        (original_checkpoint(params={"hop_samples": 256}), "hop_samples is 256; lmnt's network has a hop of 300"),
        (original_checkpoint(params={"noise_schedule": [0.1, 1.5]}), "a list of numbers between 0 and 1"),
        (original_checkpoint(params={"noise_schedule": [0.1, float("nan")]}), "a list of numbers between 0 and 1"),
        (original_checkpoint(params={"noise_schedule": "linear"}), "no list of numbers"),
    ],
)
def test_other_files_of_torch_are_refused(contents, sentence, tmp_path):
    path = write(tmp_path / "weights.pt", contents)
    with pytest.raises(ConversionError, match=sentence):
        convert(path, tmp_path / "out", RATE)
    assert not (tmp_path / "out").exists()


# And back


def test_there_and_back_is_exact(checkpoint, converted, tmp_path):
    export(converted, tmp_path / "weights.pt")
    before, after = (torch.load(path, weights_only=True) for path in (checkpoint, tmp_path / "weights.pt"))
    assert list(after) == list(before)
    assert list(after["model"]) == list(before["model"])
    assert all(torch.equal(after["model"][name], tensor) for name, tensor in before["model"].items())
    assert (after["params"]["sample_rate"], after["params"]["hop_samples"]) == (RATE, 300)
    np.testing.assert_allclose(after["params"]["noise_schedule"], BETAS, rtol=1e-9)


def test_an_exported_checkpoint_can_be_trained_on(converted, tmp_path):
    export(converted, tmp_path / "weights.pt")
    contents = torch.load(tmp_path / "weights.pt", weights_only=True)
    optimizer = torch.optim.Adam([tensor.requires_grad_() for tensor in contents["model"].values()], lr=1.0)
    optimizer.load_state_dict(contents["optimizer"])
    assert optimizer.param_groups[0]["lr"] == contents["params"]["learning_rate"]
    torch.amp.GradScaler("cpu", enabled=True).load_state_dict(contents["scaler"])


def test_an_own_noise_schedule_goes_back_too(tmp_path):
    betas = np.linspace(1e-4, 0.05, 50)
    folder = small_pipeline(tmp_path / "pipeline", WaveGradScheduler(trained_betas=betas.tolist()))
    assert "lmnt's training needs 1000 betas and fails with these 50" in " ".join(export(folder, tmp_path / "weights.pt"))
    params = torch.load(tmp_path / "weights.pt", weights_only=True)["params"]
    np.testing.assert_array_equal(params["noise_schedule"], betas)


def test_command_line_exports_and_says_what_loads_it(converted, tmp_path, capsys):
    arguments = ["lmnt-wavegrad", "--export", str(converted), "--output", str(tmp_path / "weights.pt")]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "num_mel_bands, mel_channels, down_channels, up_channels of this one differ" in said
    assert "loads only in a copy" in said
    assert main(arguments) == 1
    assert "exists; --export writes a new file" in capsys.readouterr().err
    (tmp_path / "weights.pt").unlink()
    assert main([*arguments, "--sample-rate", "24000"]) == 1
    assert "--export takes no --sample-rate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"downsample_type": "strided"}, "downsample_type is strided; lmnt's is nearest"),
        ({"noise_level_scale": 5000.0}, r"noise_level_scale is 5000\.0; lmnt's is 1\.0"),
        ({"layers_per_block": 2}, "layers_per_block is 2; lmnt's is 1"),
        ({"leaky_relu_slope": 0.1}, r"leaky_relu_slope is 0\.1; lmnt's is 0\.2"),
        ({"up_factors": [3, 5, 5, 2, 2]}, r"up_factors is \[3, 5, 5, 2, 2\]; lmnt's is \[5, 5, 3, 2, 2\]"),
        ({"up_dilations": [[1, 2, 4, 8]] * 5}, "up_dilations is"),
    ],
)
def test_networks_that_lmnts_code_cannot_compute_are_not_exported(overrides, sentence, tmp_path):
    folder = small_pipeline(tmp_path / "pipeline", **overrides)
    with pytest.raises(ConversionError, match=f"lmnt's network cannot compute what this model computes:\n  {sentence}"):
        export(folder, tmp_path / "weights.pt")
    assert not (tmp_path / "weights.pt").exists()


def test_only_pipelines_are_exported(converted, tmp_path):
    with pytest.raises(ConversionError, match="is no folder of a pipeline"):
        export(converted / "model", tmp_path / "weights.pt")
    broken = small_pipeline(tmp_path / "pipeline")
    weights = next(broken.rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ConversionError, match="does not load"):
        export(broken, tmp_path / "weights.pt")
    (broken / "model_index.json").write_text("{")
    with pytest.raises(ConversionError, match="does not load"):
        export(broken, tmp_path / "weights.pt")
