"""Models in folders: read part by part, told from others, and never unpickled."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from hub_models.jukebox import model_parts
from hub_models.jukebox.modeling_jukebox import JukeboxModel
from hub_models.jukebox.sampling import JukeboxSampler
from hub_models.jukebox.sampling_plan import SamplingPlan, Song

from .small_models import small_folder, small_model, small_tokenizer

PLAN = SamplingPlan(songs=Song("flute"), seconds=0.3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_folder(tmp_path_factory.mktemp("jukebox"), lyrics=False)


@pytest.fixture
def reads(monkeypatch):
    """Names of the tensors that are read whole, in order."""
    names = []
    original = model_parts.safe_open

    class Recording:
        def __init__(self, *arguments, **keywords):
            self._manager = original(*arguments, **keywords)

        def __enter__(self):
            self._file = self._manager.__enter__()
            return self

        def __exit__(self, *error):
            return self._manager.__exit__(*error)

        def __getattr__(self, name):
            return getattr(self._file, name)

        def get_tensor(self, name):
            names.append(name)
            return self._file.get_tensor(name)

    monkeypatch.setattr(model_parts, "safe_open", Recording)
    return names


@pytest.fixture
def priors_alive(monkeypatch):
    """How many values of priors there were at the most, and what is left."""
    counts = {"now": 0, "most": 0}
    load, release = model_parts.FolderParts._load_prior, model_parts.FolderParts._release

    def loading(self, level):
        prior = load(self, level)
        counts["now"] += 1
        counts["most"] = max(counts["most"], counts["now"])
        return prior

    def releasing(self, prior):
        release(self, prior)
        assert all(parameter.device.type == "meta" for parameter in prior.parameters())
        counts["now"] -= 1

    monkeypatch.setattr(model_parts.FolderParts, "_load_prior", loading)
    monkeypatch.setattr(model_parts.FolderParts, "_release", releasing)
    return counts


def same(result, other):
    return all(
        torch.equal(row, row_of_other)
        for rows, rows_of_other in zip(result.codes, other.codes, strict=True)
        for row, row_of_other in zip(rows, rows_of_other, strict=True)
    )


def test_a_model_in_memory_and_its_folder_sample_the_same(folder):
    model = JukeboxModel.from_pretrained(folder)
    in_memory = JukeboxSampler(model, tokenizer=small_tokenizer())
    samplers = [JukeboxSampler(folder), JukeboxSampler(folder, low_memory=True)]
    assert all(sampler.fingerprint == in_memory.fingerprint for sampler in samplers)
    assert all(same(sampler.sample(PLAN), in_memory.sample(PLAN)) for sampler in samplers)


def test_low_memory_has_one_prior_at_a_time(folder, priors_alive):
    JukeboxSampler(folder, low_memory=True).sample(PLAN)
    assert priors_alive == {"now": 0, "most": 1}


def test_otherwise_priors_stay(folder, priors_alive):
    sampler = JukeboxSampler(folder)
    assert priors_alive["most"] == 0
    sampler.sample(PLAN)
    sampler.sample(PLAN)
    assert priors_alive == {"now": 3, "most": 3}


def test_a_prior_is_released_when_sampling_ends_with_an_error(folder, priors_alive):
    def fail(look):
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        JukeboxSampler(folder, low_memory=True).sample(PLAN, on_progress=fail)
    assert priors_alive["now"] == 0


def test_only_the_levels_that_are_sampled_are_read(folder, reads):
    sampler = JukeboxSampler(folder, low_memory=True)
    sampler.sample(SamplingPlan(songs=Song("flute"), seconds=0.3, levels=[0]))
    assert {name.split(".")[0] for name in reads} == {"vqvae", "priors"}
    assert {name.split(".")[1] for name in reads if name.startswith("priors.")} == {"0"}
    reads.clear()
    sampler.sample(SamplingPlan("upsample", songs=Song("flute"), levels=[1]), prompt=[torch.zeros(1, 20).long()])
    assert {".".join(name.split(".")[:2]) for name in reads} == {"priors.1"}


def test_weights_in_several_files_are_read(folder, tmp_path):
    JukeboxModel.from_pretrained(folder).save_pretrained(tmp_path, max_shard_size="20KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    shutil.copy(folder / "artists.json", tmp_path)
    for name in ("genres.json", "lyrics.json", "tokenizer_config.json"):
        shutil.copy(folder / name, tmp_path)
    sampler = JukeboxSampler(tmp_path, low_memory=True)
    assert same(sampler.sample(PLAN), JukeboxSampler(folder).sample(PLAN))


def test_computing_in_another_type_is_told_apart(folder):
    half = JukeboxSampler(folder, dtype="bfloat16", low_memory=True)
    assert half.fingerprint["dtype"] == "bfloat16"
    assert half.fingerprint["vqvae"] == JukeboxSampler(folder).fingerprint["vqvae"]
    assert half.vqvae.dtype == torch.float32
    half.sample(SamplingPlan(songs=Song("flute"), seconds=0.1, levels=[0]))


def test_models_with_other_weights_are_told_apart(folder):
    ours = JukeboxSampler(folder).fingerprint
    model = small_model(seed=1, lyrics=False)
    other = JukeboxSampler(model).fingerprint
    assert ours["vqvae"] != other["vqvae"]
    assert all(one != two for one, two in zip(ours["priors"], other["priors"], strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low_memory": True}, "are for a model's folder; a model is in memory as it is"),
        ({"dtype": "float16"}, "are for a model's folder"),
    ],
)
def test_a_model_in_memory_stays_as_it_is(arguments, message):
    with pytest.raises(ValueError, match=message):
        JukeboxSampler(small_model(), **arguments)


@pytest.mark.parametrize("dtype", ["int8", torch.int64, "save"])
def test_types_that_nothing_computes_in_are_refused(folder, dtype):
    with pytest.raises(ValueError, match="dtype is float32, bfloat16 or float16"):
        JukeboxSampler(folder, dtype=dtype)


# ---- Folders that cannot be read


def copy_of(folder, path):
    shutil.copytree(folder, path, dirs_exist_ok=True)
    return path


@pytest.mark.parametrize("open_folder", [JukeboxSampler, JukeboxModel.from_pretrained])
def test_pickles_are_not_read_and_the_converter_is_named(folder, tmp_path, open_folder):
    copy_of(folder, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04cposix\nsystem\n(X\x04\x00\x00\x00true\x85R.")
    with pytest.raises(ValueError, match=r"only pytorch_model\.bin, a pickle.*python -m conversion hf-jukebox"):
        open_folder(tmp_path)


@pytest.mark.parametrize("open_folder", [JukeboxSampler, JukeboxModel.from_pretrained])
def test_a_folder_without_weights_is_told(folder, tmp_path, open_folder):
    copy_of(folder, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="holds no safetensors"):
        open_folder(tmp_path)


@pytest.mark.parametrize("open_folder", [JukeboxSampler, JukeboxModel.from_pretrained])
def test_weights_that_are_damaged_are_told(folder, tmp_path, open_folder):
    weights = copy_of(folder, tmp_path) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ValueError, match="damaged"):
        open_folder(tmp_path)


def sampled(folder):
    return JukeboxSampler(folder).sample(PLAN)


@pytest.mark.parametrize("use", [sampled, JukeboxModel.from_pretrained])
@pytest.mark.parametrize(
    ("change", "name"),
    [("missing", "priors.1.prior.embed_tokens.weight"), ("mismatched", "priors.0.prior.pos_emb.pos_emb")],
)
def test_weights_that_do_not_fit_are_never_made_up(folder, tmp_path, use, change, name):
    path = copy_of(folder, tmp_path) / "model.safetensors"
    tensors = load_file(path)
    tensor = tensors.pop(name)
    if change == "mismatched":
        tensors[name] = tensor[:-1].clone()
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(ValueError, match=f"do not fit the configuration: .*{name}"):
        use(tmp_path)


def test_another_kind_of_model_is_told(folder, tmp_path):
    JukeboxModel.from_pretrained(folder).vqvae.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a model of type 'jukebox_vqvae'; 'jukebox' is read"):
        JukeboxSampler(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"weight_map": {"a": "../b.safetensors"}}'])
def test_a_damaged_index_is_told(folder, tmp_path, content):
    copy_of(folder, tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ValueError, match=r"index\.json (is damaged|names a file outside of its folder)"):
        JukeboxSampler(tmp_path)


def test_an_index_that_names_missing_files_is_told(folder, tmp_path):
    copy_of(folder, tmp_path)
    names = dict.fromkeys(load_file(folder / "model.safetensors"), "gone.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(ValueError, match=r"gone\.safetensors are missing or damaged"):
        JukeboxSampler(tmp_path)
