"""Folders as transformers 4 writes them: pickles and safetensors, whole and in shards, in every precision."""

import json
import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from conversion.__main__ import main
from conversion.errors import ConversionError
from conversion.hf_jukebox import convert
from conversion.openai_jukebox import convert as convert_original
from hub_models.jukebox import JukeboxConfig, JukeboxModel, JukeboxPrior, JukeboxProcessor, JukeboxTokenizer, JukeboxVQVAE

from .jukebox_originals import write_model

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def model_of(tmp_path_factory) -> Callable[[str], Path]:
    """Gives a model of ours whose top prior is of a kind."""

    @cache
    def make(kind: str) -> Path:
        folder = tmp_path_factory.mktemp("ours")
        convert_original(write_model(folder / "original", kind), folder / "model")
        return folder / "model"

    return make


@pytest.fixture(params=["joint_lyrics", "separate_lyrics"])
def ours(request, model_of) -> Path:
    """A model of ours, of each kind."""
    return model_of(request.param)


@pytest.fixture
def one_of_ours(model_of) -> Path:
    """Where the kind makes no difference."""
    return model_of("joint_lyrics")


@cache
def state(folder: Path) -> Tensors:
    """What `state_dict` is in transformers 4: outputs and embeddings are both there, and one tensor where they are tied."""
    model = JukeboxModel.from_pretrained(folder)
    return {name: tensor for name, tensor in model.state_dict().items() if "code_" not in name}


def write_config(source: Path, folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    values = json.loads((source / "config.json").read_text())
    top = values["prior_config_list"][0]
    shared = {name: top[name] for name in ("timing_dims", "min_duration", "max_duration", "max_nb_genres")}
    values |= {"transformers_version": "4.57.3", "hop_fraction": [0.125, 0.5, 0.5], **shared, **changes}
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def write_bin(source: Path, folder: Path, shards: int = 1, dtype: torch.dtype = torch.float32) -> Path:
    """pytorch_model.bin, or as many shards and their index."""
    write_config(source, folder)
    tensors = {name: tensor.to(dtype) for name, tensor in state(source).items()}
    for name in [name for name in tensors if name.endswith("fc_proj_out.weight")]:
        embedding = name.replace("fc_proj_out", "embed_tokens")
        if torch.equal(tensors[name], tensors[embedding]):
            tensors[name] = tensors[embedding]
    if shards == 1:
        torch.save(tensors, folder / "pytorch_model.bin")
        return folder
    names = sorted(tensors)
    weight_map = {}
    for number in range(shards):
        file_name = f"pytorch_model-{number + 1:05d}-of-{shards:05d}.bin"
        part = {name: tensors[name] for name in names[number::shards]}
        torch.save(part, folder / file_name)
        weight_map |= dict.fromkeys(part, file_name)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


def write_safetensors(source: Path, folder: Path, dropped: str = "fc_proj_out") -> Path:
    """model.safetensors without one of each two tied tensors."""
    write_config(source, folder)
    untied = {"priors.0."} if JukeboxConfig.from_pretrained(source).prior_configs[0].merged_decoder else set()
    tensors = {
        name: tensor
        for name, tensor in state(source).items()
        if not (name.endswith(f"prior.{dropped}.weight") and name[: len("priors.0.")] not in untied)
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_pickle_becomes_safetensors(ours, tmp_path):
    convert(write_bin(ours, tmp_path / "theirs"), tmp_path / "converted")
    expected, converted = load_file(ours / "model.safetensors"), load_file(tmp_path / "converted" / "model.safetensors")
    assert expected.keys() == converted.keys()
    assert all(torch.equal(tensor, converted[name]) for name, tensor in expected.items())
    _, report = JukeboxModel.from_pretrained(tmp_path / "converted", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]


def test_shards_become_one_file(one_of_ours, tmp_path):
    convert(write_bin(one_of_ours, tmp_path / "theirs", shards=3), tmp_path / "converted")
    expected, converted = (
        load_file(one_of_ours / "model.safetensors"),
        load_file(tmp_path / "converted" / "model.safetensors"),
    )
    assert all(torch.equal(tensor, converted[name]) for name, tensor in expected.items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_precision_stays_as_it_is(one_of_ours, dtype, tmp_path):
    convert(write_bin(one_of_ours, tmp_path / "theirs", dtype=dtype), tmp_path / "converted")
    tensors = load_file(tmp_path / "converted" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {dtype}
    assert JukeboxConfig.from_pretrained(tmp_path / "converted").dtype == dtype


@pytest.mark.parametrize("dropped", ["fc_proj_out", "embed_tokens"])
def test_safetensors_may_lack_one_of_two_tied_tensors(ours, dropped, tmp_path):
    convert(write_safetensors(ours, tmp_path / "theirs", dropped), tmp_path / "converted")
    expected, converted = load_file(ours / "model.safetensors"), load_file(tmp_path / "converted" / "model.safetensors")
    assert expected.keys() == converted.keys()
    assert all(torch.equal(tensor, converted[name]) for name, tensor in expected.items())


def test_safetensors_need_no_conversion(ours, tmp_path):
    folder = write_safetensors(ours, tmp_path / "theirs")
    model = JukeboxModel.from_pretrained(folder)
    expected = state(ours)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items() if name in expected)


def test_pickles_are_not_loaded_and_the_command_is_told(one_of_ours, tmp_path):
    folder = write_bin(one_of_ours, tmp_path / "theirs")
    with pytest.raises(ValueError, match="python -m conversion hf-jukebox"):
        JukeboxModel.from_pretrained(folder)


def test_a_vqvae_and_a_prior_alone_are_converted(ours, tmp_path):
    model = JukeboxModel.from_pretrained(ours)
    for part, part_class in ((model.vqvae, JukeboxVQVAE), (model.priors[1], JukeboxPrior)):
        folder = tmp_path / part_class.__name__
        part.config.save_pretrained(folder)
        tensors = {name: tensor for name, tensor in part.state_dict().items() if "code_" not in name}
        torch.save(tensors, folder / "pytorch_model.bin")
        convert(folder, tmp_path / "converted" / part_class.__name__)
        loaded = part_class.from_pretrained(tmp_path / "converted" / part_class.__name__).state_dict()
        assert all(torch.equal(tensor, loaded[name]) for name, tensor in tensors.items())


# Configurations


def test_numbers_of_the_whole_overrule_those_of_its_parts_as_they_did(ours, tmp_path):
    config = JukeboxConfig.from_pretrained(write_config(ours, tmp_path, min_duration=5, max_duration=50))
    assert [(prior.min_duration, prior.max_duration) for prior in config.prior_configs] == [(5, 50)] * 3
    written_here = JukeboxConfig.from_pretrained(write_config(ours, tmp_path, min_duration=5, transformers_version="5.24.0"))
    assert written_here.prior_configs[0].min_duration == 1.0


def test_upsamplers_hear_bags_of_words_whatever_the_top_prior_hears(ours, tmp_path):
    config = JukeboxConfig.from_pretrained(write_config(ours, tmp_path, max_nb_genres=1))
    assert [prior.max_nb_genres for prior in config.prior_configs] == [1, 5, 5]


def test_published_configurations_have_their_priors_beside_the_other_fields(ours, tmp_path):
    values = json.loads((write_config(ours, tmp_path) / "config.json").read_text())
    for level, prior in enumerate(values.pop("prior_config_list")):
        values[f"prior_{level}"] = prior | ({"res_conv_width": None, "res_dilation_growth_rate": None} if level == 0 else {})
    values |= {"timing_dims": 1000, "max_nb_genres": 1, "transformers_version": "4.25.0.dev0", "init_std": 0.2}
    (tmp_path / "config.json").write_text(json.dumps(values))
    config = JukeboxConfig.from_pretrained(tmp_path)
    assert [prior.timing_dims for prior in config.prior_configs] == [4] * 3
    assert [prior.level for prior in config.prior_configs] == [0, 1, 2]


def test_numbers_given_at_loading_hold_for_every_prior(ours):
    config = JukeboxConfig.from_pretrained(ours, min_duration=0)
    assert [prior.min_duration for prior in config.prior_configs] == [0] * 3
    config, rest = JukeboxConfig.from_pretrained(ours, max_duration=30, colour="blue", return_unused_kwargs=True)
    assert (config.prior_configs[0].max_duration, rest) == (30, {"colour": "blue"})


def test_the_weights_say_how_many_bins_the_timing_signal_has(ours, tmp_path):
    folder = write_bin(ours, tmp_path / "theirs")
    write_config(ours, folder, timing_dims=64)
    convert(folder, tmp_path / "converted")
    assert JukeboxConfig.from_pretrained(tmp_path / "converted").prior_configs[0].timing_dims == 4


# Tokenizers


def write_tokenizer(folder: Path, **changes: Any) -> None:
    names = {"artists.json": {"": 0, "blur": 1, ".v2": 0, "blur.v2": 2}, "genres.json": {"pop": 1, "pop.v2": 3}}
    names["lyrics.json"] = {"a": 1, "b": 2, "<unk>": 0}
    for name, content in names.items():
        (folder / name).write_text(json.dumps(content))
    settings = {"tokenizer_class": "JukeboxTokenizer", "version": ["v3", "v2", "v2"], "max_n_lyric_tokens": 8, "n_genres": 5}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | changes))


def test_the_tokenizer_comes_along_and_fits_the_model(ours, tmp_path):
    folder = write_bin(ours, tmp_path / "theirs")
    write_tokenizer(folder)
    notes = convert(folder, tmp_path / "converted")
    assert not any("tokenizer" in note for note in notes)
    tokenizer = JukeboxTokenizer.from_pretrained(tmp_path / "converted")
    assert tokenizer.version == ["v3", "v2", "v2"]
    assert tokenizer.n_genres == JukeboxConfig.from_pretrained(tmp_path / "converted").prior_configs[0].max_nb_genres
    processor = JukeboxProcessor.from_pretrained(tmp_path / "converted")
    assert processor(artist="Blur", genre="pop", lyrics="ab")["labels"][1].tolist()[0][3:5] == [2, 3]


def test_a_tokenizer_that_is_damaged_is_told(one_of_ours, tmp_path):
    folder = write_bin(one_of_ours, tmp_path / "theirs")
    write_tokenizer(folder)
    (folder / "genres.json").write_text("[1, 2]")
    with pytest.raises(ConversionError, match="The tokenizer in theirs cannot be read"):
        convert(folder, tmp_path / "converted")
    assert not (tmp_path / "converted").exists()


# What is wrong


def test_the_command_line_converts_and_tells(one_of_ours, tmp_path, capsys):
    folder = write_bin(one_of_ours, tmp_path / "theirs")
    assert main(["hf-jukebox", "--checkpoint", str(folder), "--output", str(tmp_path / "converted")]) == 0
    printed = capsys.readouterr().out
    assert "no tokenizer" in printed
    assert "Noncommercial Use License" in printed
    assert main(["hf-jukebox", "--checkpoint", str(tmp_path), "--output", str(tmp_path / "other")]) == 1
    assert "There is no file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "model type 'bert'; read are jukebox, jukebox_vqvae, jukebox_prior"),
        ({"vqvae_config": 3}, "describes no Jukebox"),
        ({"prior_config_list": [{"n_heads": 3}]}, "describes no Jukebox"),
    ],
)
def test_other_configurations_are_refused(one_of_ours, changes, message, tmp_path):
    folder = write_bin(one_of_ours, tmp_path / "theirs")
    write_config(one_of_ours, folder, **changes)
    with pytest.raises(ConversionError, match=message):
        convert(folder, tmp_path / "converted")


@pytest.mark.parametrize(
    ("text", "message"), [("[1]", "holds no JSON object"), ("{", "is no JSON"), ("<html>", "is a web page")]
)
def test_damaged_configurations_are_refused(text, message, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConversionError, match=message):
        convert(tmp_path, tmp_path / "converted")


def test_missing_weights_are_told(one_of_ours, tmp_path):
    folder = write_config(one_of_ours, tmp_path / "theirs")
    with pytest.raises(ConversionError, match=r"has no weights: none of model\.safetensors, "):
        convert(folder, tmp_path / "converted")
    with pytest.raises(ConversionError, match="is no folder"):
        convert(folder / "config.json", tmp_path / "converted")
    folder = write_bin(one_of_ours, tmp_path / "shards", shards=3)
    (folder / "pytorch_model-00002-of-00003.bin").unlink()
    with pytest.raises(ConversionError, match=r"There is no file .*pytorch_model-00002-of-00003\.bin"):
        convert(folder, tmp_path / "converted")


def test_an_index_stays_in_its_folder(one_of_ours, tmp_path):
    folder = write_bin(one_of_ours, tmp_path / "theirs", shards=2)
    index = folder / "pytorch_model.bin.index.json"
    for weight_map in ({"a": "../secret.bin"}, {"a": 3}, {"a": "run.sh"}, [1]):
        index.write_text(json.dumps({"weight_map": weight_map}))
        with pytest.raises(ConversionError, match="is no index of weights"):
            convert(folder, tmp_path / "converted")
    index.write_text(json.dumps({"weight_map": {"a.weight": "pytorch_model-00001-of-00002.bin"}}))
    with pytest.raises(ConversionError, match=r"promises tensors that are in none of its files:\n  a\.weight"):
        convert(folder, tmp_path / "converted")


def test_tensors_that_do_not_fit_are_listed(one_of_ours, tmp_path):
    folder = write_bin(one_of_ours, tmp_path / "theirs")
    tensors = torch.load(folder / "pytorch_model.bin", weights_only=True)
    del tensors["vqvae.decoders.0.out.bias"]
    torch.save(tensors | {"lm_head.weight": torch.ones(2)}, folder / "pytorch_model.bin")
    with pytest.raises(ConversionError, match=r"Missing:\n  vqvae\.decoders\.0\.out\.bias\nUnknown:\n  lm_head\.weight"):
        convert(folder, tmp_path / "converted")


def test_pickles_that_run_code_are_refused(one_of_ours, tmp_path):
    folder = write_config(one_of_ours, tmp_path / "theirs")
    torch.save({"vqvae.decoders.0.out.bias": pickle.Unpickler}, folder / "pytorch_model.bin")
    with pytest.raises(ConversionError, match=r"asks for the Python object _?pickle\.Unpickler"):
        convert(folder, tmp_path / "converted")
