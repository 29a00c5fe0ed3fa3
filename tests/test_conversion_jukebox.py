"""Checkpoints of openai/jukebox and folders of transformers 4: every form they come in, and everything that can be wrong."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from conversion import jukebox_folders, openai_jukebox
from conversion.__main__ import main
from conversion.errors import ConversionError
from conversion.jukebox_folders import write_folder
from conversion.jukebox_names import prior_config_from, prior_name, vqvae_config_from, vqvae_name
from conversion.openai_jukebox import convert, convert_prior, convert_vqvae
from conversion.stored_tensors import Storage
from conversion.torch_streams import open_torch
from hub_models.hub import HubError, check_card, write_model_repository
from hub_models.jukebox.configuration_jukebox import JukeboxConfig
from hub_models.jukebox.modeling_jukebox import JukeboxModel
from hub_models.jukebox.modeling_jukebox_prior import JukeboxPrior
from hub_models.jukebox.modeling_jukebox_vqvae import JukeboxVQVAE
from hub_models.jukebox.tokenization_jukebox import JukeboxTokenizer

from .jukebox_originals import (
    KINDS,
    VQVAE_HPS,
    checkpoint,
    prior_hps,
    prior_tensors,
    vqvae_tensors,
    write,
    write_model,
    write_prior,
    write_vqvae,
)


def stored(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of a converted folder, as they are stored."""
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            tensors |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
    return tensors


def all_fitted(report: dict) -> bool:
    """Whether loading found every tensor of the model, and none beside."""
    return not (report["missing_keys"] or report["unexpected_keys"])


def same_numbers(tensors: dict[str, torch.Tensor], others: dict[str, torch.Tensor]):
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        assert tensor.dtype == others[name].dtype, name
        assert torch.equal(tensor, others[name]), name


# One file


def test_a_vqvae_becomes_one_of_ours(tmp_path):
    convert(write_vqvae(tmp_path / "original"), tmp_path / "ours")
    model, report = JukeboxVQVAE.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert all_fitted(report)
    expected = {vqvae_name(name): tensor for name, tensor in vqvae_tensors().items()}
    same_numbers(stored(tmp_path / "ours"), expected)
    state = model.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())
    assert model.config.hop_lengths == [8, 32, 128]


@pytest.mark.parametrize("kind", KINDS)
def test_a_prior_becomes_one_of_ours(kind, tmp_path):
    path = write_prior(tmp_path / "original", kind)
    convert_prior(path, tmp_path / "ours", VQVAE_HPS)
    model, report = JukeboxPrior.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert all_fitted(report)
    state = model.state_dict()
    for name, tensor in prior_tensors(prior_hps(kind)).items():
        assert torch.equal(state[prior_name(name)], tensor), name
    tied = model.prior.fc_proj_out.weight is model.prior.embed_tokens.weight
    assert tied == (not model.config.merged_decoder)


@pytest.mark.parametrize("zipped", [False, True])
def test_old_and_new_files_of_torch_give_the_same(zipped, tmp_path):
    contents = checkpoint(VQVAE_HPS, vqvae_tensors())
    convert(write(tmp_path / "vqvae.pth.tar", contents, zipped), tmp_path / "ours")
    same_numbers(stored(tmp_path / "ours"), {vqvae_name(name): tensor for name, tensor in vqvae_tensors().items()})


def test_prefixes_of_training_on_several_gpus_are_taken_off(tmp_path):
    tensors = {f"module.{name}": tensor for name, tensor in vqvae_tensors().items()}
    convert(write(tmp_path / "vqvae.pth.tar", checkpoint(VQVAE_HPS, tensors)), tmp_path / "ours")
    same_numbers(stored(tmp_path / "ours"), {vqvae_name(name): tensor for name, tensor in vqvae_tensors().items()})


def test_tensors_that_were_on_a_gpu_are_read_without_one(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:3")
    path = write_vqvae(tmp_path / "original")
    monkeypatch.undo()
    assert b"cuda:3" in path.read_bytes()
    convert(path, tmp_path / "ours")
    assert stored(tmp_path / "ours")


def test_half_precision_stays_half_precision(tmp_path):
    """The 5b models keep their matrices in float16; the model is loaded in float32, so that nothing is rounded further."""
    hps = prior_hps("top")
    tensors = {name: tensor.half() if name.endswith(".w") else tensor for name, tensor in prior_tensors(hps).items()}
    path = write(tmp_path / "prior_level_2.pth.tar", checkpoint(hps, tensors))
    convert_prior(path, tmp_path / "ours", VQVAE_HPS)
    same_numbers(stored(tmp_path / "ours"), {prior_name(name): tensor for name, tensor in tensors.items()})
    model = JukeboxPrior.from_pretrained(tmp_path / "ours")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_tensors_that_are_no_rows_of_their_storage_are_gathered(tmp_path):
    tensors = vqvae_tensors()
    name = "encoders.0.level_blocks.0.model.1.0.weight"
    expected = tensors[name].clone()
    tensors[name] = torch.stack([expected, expected + 1], dim=1)[:, 0]
    tensors["bottleneck.level_blocks.0.k"] = tensors["bottleneck.level_blocks.0.k"].T.contiguous().T
    convert(write(tmp_path / "vqvae.pth.tar", checkpoint(VQVAE_HPS, tensors)), tmp_path / "ours")
    written = stored(tmp_path / "ours")
    assert torch.equal(written[vqvae_name(name)], expected)
    assert torch.equal(written["bottleneck.level_blocks.0.codebook"], vqvae_tensors()["bottleneck.level_blocks.0.k"])


def test_the_optimizer_is_left_in_the_file(tmp_path, monkeypatch):
    path = write_vqvae(tmp_path / "original")
    read = []

    def counted(storage, first, buffer):
        read.append(len(buffer))
        read_part(storage, first, buffer)

    read_part = Storage.read
    monkeypatch.setattr(Storage, "read", counted)
    convert(path, tmp_path / "ours")
    assert sum(read) == sum(tensor.nbytes for tensor in vqvae_tensors().values())


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux to see how much memory is used")
@pytest.mark.parametrize("zipped", [False, True])
def test_a_large_checkpoint_needs_little_memory(zipped, tmp_path):
    convert(write_vqvae(tmp_path / "small"), tmp_path / "warm")  # what is imported and allocated once
    codes = 1_000_000
    tensors = vqvae_tensors() | {f"bottleneck.level_blocks.{level}.k": torch.ones(codes, 6) for level in range(3)}
    path = write(tmp_path / "vqvae.pth.tar", checkpoint(VQVAE_HPS | {"l_bins": codes}, tensors), zipped)
    del tensors
    assert path.stat().st_size > 140e6
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak_bytes()
    convert(path, tmp_path / "ours")
    assert _peak_bytes() - before < 50e6


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


# Which numbers


def test_without_a_vqvae_a_prior_of_other_codes_is_refused(tmp_path):
    path = write_prior(tmp_path, "joint_lyrics")
    with pytest.raises(ConversionError, match="is a prior of 16 codes: give the checkpoint of their VQ-VAE with --vqvae"):
        convert(path, tmp_path / "ours")
    convert(path, tmp_path / "ours", vqvae=write_vqvae(tmp_path))
    assert JukeboxPrior.from_pretrained(tmp_path / "ours").config.music_vocab_size == 16


def test_a_prior_that_knows_its_vqvae_needs_no_other(tmp_path):
    path = write_prior(tmp_path, "top", **{name: VQVAE_HPS[name] for name in ("levels", "downs_t", "strides_t", "l_bins")})
    assert not any("published VQ-VAE" in note for note in convert(path, tmp_path / "ours"))


@pytest.fixture
def small_release(monkeypatch):
    """The published models are as small as those of these tests."""
    configs = {
        "vqvae": vqvae_config_from(VQVAE_HPS),
        "prior_5b": prior_config_from(prior_hps("top"), VQVAE_HPS),
        "prior_5b_lyrics": prior_config_from(prior_hps("separate_lyrics"), VQVAE_HPS),
        "prior_1b_lyrics": prior_config_from(prior_hps("joint_lyrics"), VQVAE_HPS),
        "upsampler_level_0": prior_config_from(prior_hps("upsampler_level_0"), VQVAE_HPS),
        "upsampler_level_1": prior_config_from(prior_hps("upsampler_level_1"), VQVAE_HPS),
    }
    monkeypatch.setattr(openai_jukebox, "published_config", lambda name: type(configs[name])(**configs[name].to_dict()))


@pytest.mark.parametrize("hps", [{}, None, {"levels": 3}, VQVAE_HPS | {"width": 5}])
def test_published_tensors_are_recognised_without_their_numbers(hps, tmp_path, small_release):
    contents = checkpoint(VQVAE_HPS, vqvae_tensors()) | {"hps": hps}
    notes = convert(write(tmp_path / "checkpoint.pth.tar", contents), tmp_path / "ours")
    assert any("tensors of the published vqvae" in note for note in notes)
    assert JukeboxVQVAE.from_pretrained(tmp_path / "ours").config.res_conv_width == 4


def test_the_upsamplers_are_told_apart_by_the_name_of_the_file(tmp_path, small_release):
    tensors = prior_tensors(prior_hps("upsampler_level_1"))
    named = write(tmp_path / "prior_level_1.pth.tar", {"model": tensors})
    convert(named, tmp_path / "ours")
    assert JukeboxPrior.from_pretrained(tmp_path / "ours").config.level == 1
    unnamed = write(tmp_path / "checkpoint.pth.tar", {"model": tensors})
    with pytest.raises(ConversionError, match="upsampler_level_0 or upsampler_level_1: say which with --config"):
        convert(unnamed, tmp_path / "theirs")
    convert(unnamed, tmp_path / "theirs", config="upsampler_level_0")
    assert JukeboxPrior.from_pretrained(tmp_path / "theirs").config.level == 2


def test_numbers_that_contradict_the_published_ones_are_told(tmp_path, small_release):
    path = write_prior(tmp_path, "top", min_duration=17.5, levels=3, l_bins=16, downs_t=(3, 2, 2), strides_t=(2, 2, 2))
    notes = convert(path, tmp_path / "ours")
    assert any("min_duration 17.5, not 1.0" in note for note in notes)
    assert JukeboxPrior.from_pretrained(tmp_path / "ours").config.min_duration == 17.5
    convert(path, tmp_path / "published", config="prior_5b")
    assert JukeboxPrior.from_pretrained(tmp_path / "published").config.min_duration == 1.0


def test_where_lyrics_are_followed_was_found_after_training(tmp_path, small_release):
    path = write_prior(tmp_path, "joint_lyrics", alignment_layer=None, alignment_head=None)
    convert(path, tmp_path / "ours", vqvae=write_vqvae(tmp_path))
    config = JukeboxPrior.from_pretrained(tmp_path / "ours").config
    assert (config.alignment_layer, config.alignment_head) == (15, 0)


def test_the_wrong_published_name_is_refused(tmp_path, small_release):
    with pytest.raises(ConversionError, match="not those of the published prior_1b_lyrics"):
        convert(write_prior(tmp_path, "top"), tmp_path / "ours", config="prior_1b_lyrics")
    with pytest.raises(ConversionError, match="is a model of four files"):
        convert(write_vqvae(tmp_path), tmp_path / "ours", config="5b")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attn_order": 99}, "attn_order is 99; known are 0, 1"),
        ({"blocks": 7}, "blocks must divide"),
        ({"level": 5}, "of level 5, but its VQ-VAE has 3"),
        ({"y_cond_as_bias": True}, "y_cond_as_bias is on"),
        ({"cond_levels": [0, 1]}, "hears the levels"),
        ({"prior_width": 10**9}, "hidden_size must be between"),
        ({"heads": "two"}, "n_heads"),
    ],
)
def test_numbers_of_no_prior_are_refused(changes, message, tmp_path):
    contents = checkpoint(prior_hps("top", **changes), prior_tensors(prior_hps("top")))
    with pytest.raises(ConversionError, match=message):
        convert_prior(write(tmp_path / "prior_level_2.pth.tar", contents), tmp_path / "ours", VQVAE_HPS)
    assert not (tmp_path / "ours").exists()


def test_bandwidths_come_with_the_numbers(tmp_path):
    bandwidth = {"l1": 0.1, "l2": 0.2, "spec": 30.0}
    convert_vqvae(write_vqvae(tmp_path), tmp_path / "ours", VQVAE_HPS | {"bandwidth": bandwidth})
    config = JukeboxVQVAE.from_pretrained(tmp_path / "ours").config
    assert (config.bandwidth_l1, config.bandwidth_l2, config.bandwidth_spec) == (0.1, 0.2, 30.0)


# Whole models


def test_a_folder_becomes_a_model(tmp_path):
    convert(write_model(tmp_path / "original"), tmp_path / "ours")
    model, report = JukeboxModel.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert all_fitted(report)
    state = model.state_dict()
    for name, tensor in vqvae_tensors().items():
        assert torch.equal(state[f"vqvae.{vqvae_name(name)}"], tensor)
    for number, kind in enumerate(("joint_lyrics", "upsampler_level_1", "upsampler_level_0")):
        for name, tensor in prior_tensors(prior_hps(kind)).items():
            assert torch.equal(state[f"priors.{number}.{prior_name(name)}"], tensor), name


def test_the_release_has_its_files_in_several_folders(tmp_path):
    models = tmp_path / "models"
    write_model(models / "5b", "top")
    write_prior(models / "1b_lyrics", "joint_lyrics")
    write_prior(models / "5b_lyrics", "separate_lyrics")
    convert(models / "1b_lyrics", tmp_path / "1b")
    assert JukeboxConfig.from_pretrained(tmp_path / "1b").prior_configs[0].has_lyric_prefix
    convert(models / "5b", tmp_path / "5b")
    assert not JukeboxConfig.from_pretrained(tmp_path / "5b").prior_configs[0].nb_relevant_lyric_tokens
    with pytest.raises(ConversionError, match=r"more than one prior_level_2\.pth\.tar(.|\n)*--config"):
        convert(models, tmp_path / "ours")


def test_config_says_which_model_of_the_release_it_is(tmp_path, small_release):
    write_model(tmp_path / "5b", "top")
    write_prior(tmp_path / "5b_lyrics", "separate_lyrics")
    convert(tmp_path, tmp_path / "ours", config="5b_lyrics")
    assert JukeboxConfig.from_pretrained(tmp_path / "ours").prior_configs[0].has_lyric_encoder
    with pytest.raises(ConversionError, match="--config vqvae is one checkpoint"):
        convert(tmp_path, tmp_path / "theirs", config="vqvae")


def test_the_finest_priors_may_be_missing(tmp_path):
    folder = write_model(tmp_path / "original")
    (folder / "prior_level_0.pth.tar").unlink()
    notes = convert(folder, tmp_path / "ours")
    assert any("no codes finer than those of level 1" in note for note in notes)
    assert len(JukeboxModel.from_pretrained(tmp_path / "ours").priors) == 2
    for name in ("prior_level_2.pth.tar", "vqvae.pth.tar"):
        (folder / name).unlink()
        with pytest.raises(ConversionError, match=f"There is no {name}"):
            convert(folder, tmp_path / "theirs")


def test_files_under_wrong_names_are_refused(tmp_path):
    folder = write_model(tmp_path / "original")
    shutil.copyfile(folder / "prior_level_1.pth.tar", folder / "prior_level_2.pth.tar")
    with pytest.raises(ConversionError, match="is not the prior that its name says"):
        convert(folder, tmp_path / "ours")
    numbers = {name: VQVAE_HPS[name] for name in ("levels", "downs_t", "strides_t", "l_bins")}
    shutil.move(write_prior(tmp_path, "top", **numbers), folder / "vqvae.pth.tar")
    with pytest.raises(ConversionError, match="is no VQ-VAE"):
        convert(folder, tmp_path / "ours")


def write_ids(folder: Path) -> Path:
    folder.mkdir()
    for version in ("v2", "v3"):
        name = "nina_simone" if version == "v2" else "nina simone"
        (folder / f"{version}_artist_ids.txt").write_text(f"unknown;0\n{name};1\nblur;2\n")
        (folder / f"{version}_genre_ids.txt").write_text("unknown;0\njazz;1\npop;2\n")
    return folder


def test_names_of_artists_and_genres_make_a_tokenizer(tmp_path):
    convert(write_model(tmp_path / "original"), tmp_path / "ours", ids=write_ids(tmp_path / "ids"))
    tokenizer = JukeboxTokenizer.from_pretrained(tmp_path / "ours")
    assert tokenizer.version == ["v3", "v2", "v2"]
    rows = tokenizer("Nina Simone", "jazz", "Ab")["input_ids"]
    assert rows[0].tolist() == [[0, 0, 0, 1, 1, 1, 28]]
    assert rows[1].tolist() == [[0, 0, 0, 1, 1]]
    convert(write_model(tmp_path / "bags", "top"), tmp_path / "5b", ids=tmp_path / "ids")
    assert JukeboxTokenizer.from_pretrained(tmp_path / "5b").version == ["v2", "v2", "v2"]


def test_missing_names_are_told_before_anything_is_written(tmp_path):
    (tmp_path / "ids").mkdir()
    with pytest.raises(ConversionError, match=r"There is no file .*artist_ids\.txt"):
        convert(write_model(tmp_path / "original"), tmp_path / "ours", ids=tmp_path / "ids")
    assert not (tmp_path / "ours").exists()
    with pytest.raises(ConversionError, match="--ids is for a whole model"):
        convert(tmp_path / "original" / "vqvae.pth.tar", tmp_path / "ours", ids=tmp_path / "ids")
    with pytest.raises(ConversionError, match="--vqvae is for a prior alone"):
        convert(tmp_path / "original", tmp_path / "ours", vqvae=tmp_path / "original" / "vqvae.pth.tar")


# What is written


def test_the_card_says_the_licence(tmp_path):
    notes = convert(write_vqvae(tmp_path), tmp_path / "ours")
    assert any("Noncommercial Use License" in note for note in notes)
    card = (tmp_path / "ours" / "README.md").read_text()
    assert check_card(card, ("license", "license_name", "license_link", "pipeline_tag")) == []
    assert card.startswith("---\nlicense: other\n")
    assert "no commercial use" in card
    assert openai_jukebox.LICENSE == "other"


def test_a_converted_model_is_published_under_its_own_licence_only(tmp_path):
    convert(write_model(tmp_path / "original"), tmp_path / "ours", ids=write_ids(tmp_path / "ids"))
    written = write_model_repository(tmp_path / "ours", tmp_path / "published", license="other")
    assert {"processor_config.json", "artists.json", "modeling_jukebox.py"} <= set(written.files)
    (tmp_path / "ours" / "README.md").unlink()  # the configuration remembers it
    with pytest.raises(HubError, match="stay under its Noncommercial Use License"):
        write_model_repository(tmp_path / "ours", tmp_path / "stolen", license="mit")


def test_large_weights_come_in_shards(tmp_path):
    path = write_vqvae(tmp_path)
    convert(path, tmp_path / "whole")
    with open_torch(path) as contents:
        tensors = {vqvae_name(name): tensor for name, tensor in contents["model"].items()}
        write_folder(tmp_path / "shards", vqvae_config_from(VQVAE_HPS), tensors, ["x"], "y", max_shard_bytes=4000)
    files = sorted((tmp_path / "shards").glob("*.safetensors"))
    assert len(files) > 2
    assert files[0].name == f"model-00001-of-{len(files):05d}.safetensors"
    assert all(file.stat().st_size < 4000 + 10_000 for file in files)
    same_numbers(stored(tmp_path / "shards"), stored(tmp_path / "whole"))
    index = json.loads((tmp_path / "shards" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in tensors.values())
    state = JukeboxVQVAE.from_pretrained(tmp_path / "shards").state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in stored(tmp_path / "whole").items())


def test_a_disk_that_is_too_small_is_told_first(tmp_path, monkeypatch):
    path = write_vqvae(tmp_path)
    monkeypatch.setattr(jukebox_folders.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 5, 5))
    with pytest.raises(ConversionError, match="bytes, and 5 are free there"):
        convert(path, tmp_path / "ours")


def test_what_fails_leaves_nothing(tmp_path):
    tensors = vqvae_tensors()
    tensors["decoders.2.out.bias"] = torch.tensor([float("nan")])
    path = write(tmp_path / "vqvae.pth.tar", checkpoint(VQVAE_HPS, tensors))
    with pytest.raises(ConversionError, match=r"NaN or infinite values in decoders\.2\.out\.bias"):
        convert(path, tmp_path / "ours")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["vqvae.pth.tar"]


def test_nothing_is_overwritten(tmp_path):
    path = write_vqvae(tmp_path)
    (tmp_path / "ours").mkdir()
    convert(path, tmp_path / "ours")
    before = (tmp_path / "ours" / "model.safetensors").stat()
    with pytest.raises(ConversionError, match="exists and is not empty"):
        convert(path, tmp_path / "ours")
    assert (tmp_path / "ours" / "model.safetensors").stat() == before
    (tmp_path / "theirs.partial").mkdir()
    with pytest.raises(ConversionError, match="left of a conversion that was killed"):
        convert(path, tmp_path / "theirs")


def test_the_command_line_converts_and_tells(tmp_path, capsys):
    path = write_vqvae(tmp_path)
    arguments = ["openai-jukebox", "--checkpoint", str(path), "--output", str(tmp_path / "ours")]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "is of training step 20" in printed
    assert "Noncommercial Use License" in printed
    assert "Wrote" in printed
    assert main(arguments) == 1
    assert "not empty" in capsys.readouterr().err
    assert main([*arguments[:-1], str(tmp_path / "theirs"), "--config", "5b"]) == 1
    assert "model of four files" in capsys.readouterr().err


def test_large_conversions_show_how_far_they_are(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(jukebox_folders, "PROGRESS_BYTES", 1)
    convert(write_vqvae(tmp_path), tmp_path / "ours")
    assert "100%" in capsys.readouterr().err


# Tensors that are wrong


def changed(tmp_path: Path, changes: dict[str, torch.Tensor | None]) -> Path:
    """A prior's checkpoint with some tensors replaced, and those that are `None` left out."""
    tensors = prior_tensors(prior_hps("upsampler_level_1")) | changes
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    contents = {"hps": prior_hps("upsampler_level_1"), "model": kept}
    return write(tmp_path / "prior_level_1.pth.tar", contents)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prior.pos_emb.pos_emb": None}, r"Missing:\n  prior\.pos_emb\.pos_emb$"),
        ({"prior.pos_emb.pos_emb": torch.ones(31, 16)}, r"\(31, 16\) in the checkpoint, \(32, 16\) in the model"),
        ({"prior.surprise": torch.ones(1)}, r"no prior of openai/jukebox has, or twice:\n  prior\.surprise$"),
        ({"module.prior.x_emb.weight": torch.ones(16, 16)}, r"or twice:\n  module\.prior\.x_emb\.weight"),
        ({"prior.x_emb.weight": torch.ones(16, 16)}, "differ; without merged_decoder they are one"),
        ({"prior.start_token": torch.ones(1, 16)}, r"Unknown:\n  prior\.start_token$"),
        ({"prior.x_emb.weight": torch.ones(16, 16, dtype=torch.int64)}, r"must hold tensors of .*\n.*int64, \(16, 16\)"),
        ({"prior.x_emb.weight": torch.ones(1).expand(16, 16)}, "beyond its 1 numbers"),
        ({"prior.x_emb.weight": [3]}, r"prior\.x_emb\.weight: list"),
        ({"prior.pos_emb.pos_emb": torch.full((32, 16), torch.inf)}, r"infinite values in prior\.pos_emb"),
    ],
)
def test_tensors_that_do_not_fit_are_listed(changes, message, tmp_path):
    with pytest.raises(ConversionError, match=message):
        convert_prior(changed(tmp_path, changes), tmp_path / "ours", VQVAE_HPS)
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize(
    "contents", [[1, 2], {"state_dict": {}}, {"model": None}, {"model": {}}, {"model": {3: torch.ones(1)}}]
)
def test_other_contents_are_refused(contents, tmp_path):
    with pytest.raises(ConversionError, match=r"no checkpoint of openai/jukebox|must (hold|be a dict of) tensors"):
        convert(write(tmp_path / "vqvae.pth.tar", contents), tmp_path / "ours")


def test_an_output_of_its_own_storage_may_equal_its_embedding(tmp_path):
    """Training frameworks untie weights when they copy them."""
    tensors = prior_tensors(prior_hps("upsampler_level_1"))
    path = changed(tmp_path, {"prior.x_out.weight": tensors["prior.x_emb.weight"].clone()})
    convert_prior(path, tmp_path / "ours", VQVAE_HPS)
    assert "prior.fc_proj_out.weight" not in stored(tmp_path / "ours")
    assert os.listdir(tmp_path / "ours")
