"""A Jukebox through a local Hub: pushed, published, loaded and sampled with and without Encore; its licence goes along."""

import json
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_measure import measure
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from tiny_jukeboxes import write_jukebox, write_recording
from transformers import AutoModel, AutoProcessor, AutoTokenizer

from hub_models import JukeboxModel, JukeboxProcessor, JukeboxTokenizer
from hub_models.hub import HubError, write_model_repository
from hub_models.hub.models import load_model
from hub_models.jukebox.presets import PRESETS

HERE = Path(__file__).resolve().parent
KEPT = "noncommercial-use-license"
LINK = "https://github.com/openai/jukebox/blob/master/LICENSE"


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return write_recording(tmp_path_factory.mktemp("recording") / "my-recording.wav")


@pytest.fixture(scope="module")
def expected(jukebox, recording):
    return measure(JukeboxModel.from_pretrained(jukebox).eval(), JukeboxProcessor.from_pretrained(jukebox), recording)


@pytest.fixture
def source(jukebox, tmp_path):
    """A copy of the model, to change."""
    return shutil.copytree(jukebox, tmp_path / "source")


def assert_same(path, expected):
    found = np.load(path)
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-5, err_msg=name)
    assert len(np.unique(found["codes_2"])) > 10


def change_config(folder: Path, change) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def from_openai(config: dict) -> None:
    """As conversion notes it, in one of the parts."""
    config["prior_config_list"][1]["weights_license"] = KEPT


def test_push_to_hub_and_back(hub, run_client, jukebox, recording, expected, tmp_path):
    example = tmp_path / "example.py"
    example.write_text("from hub_models import JukeboxSampler\nassert JukeboxSampler('someone/pushed-jukebox').tokenizer\n")
    client = run_client(HERE / "hub_push.py", jukebox, "someone/pushed-jukebox", recording, tmp_path / "found.npz", example)
    assert client.returncode == 0, client.stderr
    files = hub.model_files("someone/pushed-jukebox")
    assert {"config.json", "model.safetensors", "processor_config.json", "artists.json", "lyrics.json"} <= set(files)
    assert not [name for name in files if name.endswith(".py")]
    assert_same(tmp_path / "found.npz", expected)


def test_published_model_samples_without_encore(hub, run_client, jukebox, recording, expected, tmp_path):
    client = run_client("-m", "hub_models.hub", "publish", jukebox, "someone/jukebox", "--license", "apache-2.0")
    assert client.returncode == 0, client.stderr
    repository = hub.repositories["models", "someone/jukebox"]
    assert len(repository.messages) == 1, "one commit"
    files = repository.files()
    assert set(files) >= {
        "README.md",
        "artists.json",
        "config.json",
        "configuration_jukebox.py",
        "feature_extraction_jukebox.py",
        "genres.json",
        "lyrics.json",
        "metrics.json",
        "model.safetensors",
        "modeling_jukebox.py",
        "modeling_jukebox_prior.py",
        "modeling_jukebox_vqvae.py",
        "processing_jukebox.py",
        "processor_config.json",
        "tokenization_jukebox.py",
        "tokenizer_config.json",
    }
    assert not {"train.py", "evaluate.py", "data.py", "bundle.py"} & set(files)
    assert json.loads(files["config.json"])["auto_map"] == {
        "AutoConfig": "configuration_jukebox.JukeboxConfig",
        "AutoModel": "modeling_jukebox.JukeboxModel",
    }
    card = ModelCard(files["README.md"].decode())
    assert card.data.license == "apache-2.0"
    example = tmp_path / "example.py"
    example.write_text(re.findall(r"```python\n(.*?)```", str(card), flags=re.DOTALL)[0])
    script = HERE / "hub_measure.py"
    client = run_client("-I", script, "someone/jukebox", recording, tmp_path / "found.npz", example, token=None)
    assert client.returncode == 0, client.stderr
    assert_same(tmp_path / "found.npz", expected)


def test_where_encore_is_installed_its_own_classes_load_a_published_model(jukebox, tmp_path):
    folder = write_model_repository(jukebox, tmp_path / "repository").folder
    assert type(AutoModel.from_pretrained(folder, trust_remote_code=True)) is JukeboxModel
    assert type(AutoProcessor.from_pretrained(folder, trust_remote_code=True)) is JukeboxProcessor
    assert type(AutoTokenizer.from_pretrained(folder)) is JukeboxTokenizer


def test_a_published_folder_can_be_published_again(jukebox, tmp_path):
    first = write_model_repository(jukebox, tmp_path / "first")
    second = write_model_repository(tmp_path / "first", tmp_path / "second")
    assert first.files == second.files
    for name in first.files:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_publishing_leaves_save_pretrained_free_of_code(jukebox, tmp_path):
    write_model_repository(jukebox, tmp_path / "repository")
    JukeboxModel.from_pretrained(jukebox).save_pretrained(tmp_path / "plain")
    JukeboxProcessor.from_pretrained(jukebox).save_pretrained(tmp_path / "plain")
    assert not list((tmp_path / "plain").glob("*.py"))
    for path in (tmp_path / "plain").glob("*.json"):
        assert "auto_map" not in path.read_text(), path.name


def test_weights_are_published_as_they_are_stored_and_never_held_as_a_whole(source, tmp_path):
    """Half precision for some, in shards: as the largest release is converted."""
    weights = load_file(source / "model.safetensors")
    (source / "model.safetensors").unlink()
    weights = {name: weight.half() if name.endswith("c_fc.weight") else weight for name, weight in weights.items()}
    names = sorted(weights)
    shards = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, held in shards.items():
        save_file({name: weights[name] for name in held}, source / file, metadata={"format": "pt"})
    weight_map = {name: file for file, held in shards.items() for name in held}
    (source / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (source / "model-00001-of-00003.safetensors").write_bytes(b"of an earlier model")

    loaded = load_model(source)
    assert {tensor.device.type for tensor in loaded.model.parameters()} == {"meta"}

    written = write_model_repository(source, tmp_path / "output")
    assert "model.safetensors" not in written.files
    assert written.left_out == ["model-00001-of-00003.safetensors"]
    for name in (*shards, "model.safetensors.index.json"):
        assert (tmp_path / "output" / name).read_bytes() == (source / name).read_bytes(), name
    model = JukeboxModel.from_pretrained(tmp_path / "output")
    for name, tensor in model.state_dict().items():
        if name in weights:
            assert torch.equal(tensor, weights[name].float()), name


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        ({"weight_map": {"vqvae.x": "model-00002-of-00002.safetensors"}}, "model-00002-of-00002.safetensors missing"),
        ({"weight_map": {"vqvae.x": "../other/model.safetensors"}}, "names no weights"),
        ({"weight_map": {}}, "names no weights"),
        ({"weight_map": [1, 2]}, "names no weights"),
        ([], "must hold a JSON object"),
    ],
)
def test_broken_indices_of_shards_are_refused(source, tmp_path, index, problem):
    (source / "model.safetensors").unlink()
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(HubError, match=problem):
        write_model_repository(source, tmp_path / "output")
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda weights: weights.pop("priors.1.prior.pos_emb.pos_emb"),
            r"1 missing \(such as priors.1.prior.pos_emb.pos_emb",
        ),
        (lambda weights: weights.update({"priors.3.x": torch.zeros(2)}), r"1 unexpected \(such as priors.3.x\)"),
        (lambda weights: weights["priors.0.prior.embed_tokens.weight"].fill_(float("nan")), r"not all finite numbers"),
    ],
    ids=["missing", "unexpected", "not a number"],
)
def test_weights_that_do_not_fit_are_refused(source, tmp_path, change, problem):
    weights = load_file(source / "model.safetensors")
    change(weights)
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HubError, match=problem):
        write_model_repository(source, tmp_path / "output")


def test_weights_from_openai_keep_their_licence(source, tmp_path):
    change_config(source, from_openai)
    card = ModelCard((write_model_repository(source, tmp_path / "output").folder / "README.md").read_text())
    assert (card.data.license, card.data.license_name, card.data.license_link) == ("other", KEPT, LINK)
    assert "no commercial use" in card.text
    assert json.loads((tmp_path / "output" / "config.json").read_text())["prior_config_list"][1]["weights_license"] == KEPT


def test_the_licence_survives_fine_tuning_and_saving(source, tmp_path):
    change_config(source, from_openai)
    JukeboxModel.from_pretrained(source).save_pretrained(tmp_path / "tuned")
    JukeboxProcessor.from_pretrained(source).save_pretrained(tmp_path / "tuned")
    with pytest.raises(HubError, match="stay under its Noncommercial Use License; they cannot be published under 'mit'"):
        write_model_repository(tmp_path / "tuned", tmp_path / "output", license="mit")
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("front_matter", "accepted"),
    [
        ("license: apache-2.0", False),
        ("license: other\nlicense_name: my-own\nlicense_link: https://example.org", False),
        (f"license: other\nlicense_name: {KEPT}\nlicense_link: {LINK}", True),
    ],
)
def test_a_card_of_ones_own_must_state_the_licence_of_openai(source, tmp_path, front_matter, accepted):
    change_config(source, from_openai)
    (source / "README.md").write_text(f"---\n{front_matter}\n---\n# My Jukebox\n")
    if accepted:
        written = write_model_repository(source, tmp_path / "output")
        assert "# My Jukebox" in (written.folder / "README.md").read_text()
    else:
        with pytest.raises(HubError, match=f"license_name: {KEPT}"):
            write_model_repository(source, tmp_path / "output")


def test_a_card_with_the_licence_of_openai_is_not_overruled(source, tmp_path):
    (source / "README.md").write_text(f"---\nlicense: other\nlicense_name: {KEPT}\nlicense_link: {LINK}\n---\n# Mine\n")
    with pytest.raises(HubError, match=r"cannot be published under 'apache-2\.0'"):
        write_model_repository(source, tmp_path / "output", license="apache-2.0")


def test_an_unknown_licence_in_the_configuration_is_refused(source, tmp_path):
    change_config(source, lambda config: config.update(weights_license="secret"))
    with pytest.raises(HubError, match=f"has weights_license secret; Encore knows {KEPT}"):
        write_model_repository(source, tmp_path / "output")


def test_a_model_of_the_size_of_a_release_is_published_with_a_warning(source, tmp_path, monkeypatch):
    top = json.loads((source / "config.json").read_text())["prior_config_list"][0]
    monkeypatch.setitem(PRESETS, "jukebox-of-this-size", {"prior_config_list": [top]})
    with pytest.warns(UserWarning, match=r"has the sizes of jukebox-of-this-size. If its weights come from OpenAI's"):
        write_model_repository(source, tmp_path / "output", license="mit")


def test_other_models_are_published_without_a_warning(source, checkpoint, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        write_model_repository(source, tmp_path / "first", license="mit")
        write_model_repository(checkpoint, tmp_path / "second", license="mit")


def test_a_part_of_a_jukebox_is_not_published_alone(tmp_path):
    folder = write_jukebox(tmp_path / "whole")
    JukeboxModel.from_pretrained(folder).vqvae.save_pretrained(tmp_path / "part")
    shutil.copyfile(folder / "processor_config.json", tmp_path / "part" / "processor_config.json")
    with pytest.raises(HubError, match=r"holds a model of type 'jukebox_vqvae'; Encore publishes jukebox, "):
        write_model_repository(tmp_path / "part", tmp_path / "output")
