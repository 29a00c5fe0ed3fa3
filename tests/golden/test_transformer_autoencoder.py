"""Transformer Autoencoder and Music Transformer against what the original computed, layer by layer and event by event."""

import json
import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from conversion.magenta_score2perf import CONFIG_NAMES, convert, read_config, read_layout, to_state_dict
from conversion.tensorflow_checkpoints import is_leftover
from hub_models.transformer_autoencoder import TransformerAutoencoderForConditionalGeneration, attention

from .conftest import GOLDEN, golden_folders, parametrize_cases

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = GOLDEN / "transformer_autoencoder"
TOLERANCE = 3e-5  # of logits, which are up to about 10
END = 1


class Case(NamedTuple):
    """A golden case: its folder, and one of the batches of its `io.npz`."""

    folder: Path
    batch: str

    @property
    def description(self) -> dict:
        return json.loads((self.folder / "case.json").read_text())

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """By name, without the batch."""
        return {
            name.partition("/")[2]: array for name, array in _read(self.folder).items() if name.startswith(f"{self.batch}/")
        }


@cache
def _read(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "io.npz") as arrays:
        return dict(arrays)


def batches(part: str) -> list[Case]:
    """All batches with `part` of a computation."""
    found = []
    for folder in golden_folders("transformer_autoencoder"):
        if (folder / "io.npz").is_file():
            names = [name for name in _read(folder) if name.split("/")[1] == part]
            found += [Case(folder, batch) for batch in dict.fromkeys(name.partition("/")[0] for name in names)]
    return found


def parametrize_batches(part: str):
    found = batches(part)
    return parametrize_cases("case", found, [f"{case.folder.name}-{case.batch}" for case in found])


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """The model of a case, by way of its folder on disk."""
    folders = {}

    def load(case: Case) -> TransformerAutoencoderForConditionalGeneration:
        if case.folder not in folders:
            output, description = tmp_path_factory.mktemp(case.folder.name), case.description
            numbers = description["hparams_effective_eval"]
            aggregates = {"performance", "melody"} <= _heard(description)
            convert(
                case.folder / description["ckpt_prefix"],
                description["hparams_set"],
                output,
                num_heads=numbers["num_heads"],
                aggregation=numbers["aggregation"] if aggregates else None,
            )
            folders[case.folder] = TransformerAutoencoderForConditionalGeneration.from_pretrained(output).eval()
        return folders[case.folder]

    return load


def _heard(description: dict) -> set[str]:
    """What the encoders of the case read, from the names of their variables."""
    parts = {name.split("/")[2] for name in description["variables"] if "/body/" in name}
    return {ours for theirs, ours in {"perf_encoder": "performance", "mel_encoder": "melody"}.items() if theirs in parts}


def conditions(
    model: TransformerAutoencoderForConditionalGeneration, arrays: dict[str, np.ndarray]
) -> dict[str, torch.Tensor]:
    """Performance and melody of a batch, as far as the model hears them."""
    config, found = model.config, {}
    if config.performance_encoder != "none":
        found["performance_ids"] = arrays.get("in/performance", arrays.get("in/inputs"))
    if config.melody_encoder:
        found["melody_ids"] = arrays.get("in/melody", arrays.get("in/inputs"))
    return {name: torch.from_numpy(ids).long() for name, ids in found.items()}


def sequences(ids: np.ndarray) -> torch.Tensor:
    """Events (B, T) with the 0 that starts a sequence, (B, 1 + T)."""
    return torch.nn.functional.pad(torch.from_numpy(ids).long(), (1, 0))


def assert_close(ours: torch.Tensor, theirs: np.ndarray, tolerance: float = TOLERANCE):
    assert tuple(ours.shape) == theirs.shape
    scale = max(1.0, float(np.abs(theirs).max()) / 10)
    np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=0, atol=tolerance * scale)


@parametrize_batches("out")
@torch.no_grad()
def test_every_layer_is_the_originals(case, converted, monkeypatch):
    model, arrays = converted(case), case.arrays
    inner, heard = model.model, Listener(model, monkeypatch)
    events = sequences(arrays["in/targets"])
    conditioned = conditions(model, arrays)
    output = model(events, labels=events, output_attentions=True, **conditioned)
    checked = {"out/logits", "out/nll", "out/loss_training", "out/loss_extra"}
    logits = output.logits[:, :-1]
    assert_close(logits, arrays["out/logits"])
    targets = events[:, 1:]
    losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none") * (targets != 0)
    assert_close(losses, arrays["out/nll"])
    # The original's label smoothing is 0 outside of training, and `extra` losses it has none.
    np.testing.assert_allclose(output.loss, arrays["out/loss_training"] + arrays["out/loss_extra"], atol=TOLERANCE)

    ours = {"dec_in": heard.inputs["decoder"][:, :-1], "dec_out": output.last_hidden_state[:, :-1]}
    if model.config.is_conditional:
        encoding = inner.encode(**conditioned)
        stacks = [name for name in ("performance", "melody") if getattr(inner, f"{name}_encoder") is not None]
        ours |= {f"enc_in_{number}": heard.inputs[f"{name}_encoder"] for number, name in enumerate(stacks)}
        ours |= {f"enc_stack_{number}": encoding[f"{name}_hidden_states"] for number, name in enumerate(stacks)}
        ours["enc_out"] = output.encoder_hidden_states
        # Where the original masks nothing but one style, its bias cannot matter.
        ours["enc_bias"] = output.encoder_attention_bias
        if encoding.style is not None:
            ours["perf_style"] = output.style
            assert_close(model.encode_style(conditioned["performance_ids"]), arrays["out/perf_style"])
    for name, value in ours.items():
        if f"out/{name}" in arrays:
            assert_close(value, arrays[f"out/{name}"])
            checked.add(f"out/{name}")

    for name in [name for name in arrays if name.startswith("attn/")]:
        scope = name.split("/body/")[1].split("/")
        stack, layer = scope[0], int(scope[1].removeprefix("layer_"))
        is_cross, is_decoder = scope[2] == "encdec_attention", stack == "decoder"
        if not is_decoder:
            stack = "performance_encoder" if inner.melody_encoder is None or stack == "perf_encoder" else "melody_encoder"
        logits, weights = heard.attentions[f"{stack}.layers.{layer}.{'cross' if is_cross else 'self'}_attention"]
        if is_decoder:  # what `output_attentions` gives is the same
            assert torch.equal((output.cross_attentions if is_cross else output.attentions)[layer], weights)
            logits, weights = (part[..., :-1, :] if is_cross else part[..., :-1, :-1] for part in (logits, weights))
        if name.endswith("/logits"):
            # Where a bias of -1e9 stands, float32 keeps no digit of what it was added to.
            audible = arrays[name] > -1e8
            assert bool((logits.numpy()[~audible] < -1e8).all())
            np.testing.assert_allclose(logits.numpy()[audible], arrays[name][audible], rtol=0, atol=TOLERANCE)
        else:
            assert_close(weights, arrays[name])
        checked.add(name)
    assert checked == {name for name in arrays if name.partition("/")[0] in ("out", "attn")}


class Listener:
    """Hears what goes into the stacks of a model, and the logits and weights of every attention.

    Attributes:
        inputs (`dict[str, Tensor]`): of the first layer, by stack.
        attentions (`dict[str, tuple[Tensor, Tensor]]`): by module.
    """

    def __init__(self, model: TransformerAutoencoderForConditionalGeneration, monkeypatch):
        self.inputs, self.attentions, self._at = {}, {}, ""
        self._original = attention.attention_weights
        monkeypatch.setattr(attention, "attention_weights", self._listen)
        for name, module in model.model.named_modules():
            if isinstance(module, (attention.SelfAttention, attention.CrossAttention)):
                self._hook(monkeypatch, module, lambda _, name=name: setattr(self, "_at", name))
            if name.endswith(".layers.0"):
                self._hook(monkeypatch, module, lambda states, name=name: self.inputs.update({name.split(".")[0]: states}))

    def _hook(self, monkeypatch, module, listen):
        forward = module.forward

        def heard(hidden_states, *rest):
            listen(hidden_states)
            return forward(hidden_states, *rest)

        monkeypatch.setattr(module, "forward", heard)

    def _listen(self, logits: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        weights = self._original(logits, bias)
        self.attentions[self._at] = (logits if bias is None else logits + bias, weights)
        return weights


@parametrize_batches("greedy")
@pytest.mark.parametrize("use_cache", [True, False], ids=["cached", "recomputed"])
def test_greedy_sequences_are_the_originals(case, use_cache, converted):
    model, arrays = converted(case), case.arrays
    expected = torch.from_numpy(arrays["greedy/outputs"]).long()
    primer = arrays.get("greedy/primer", np.zeros((len(expected), 0), dtype=np.int64))
    is_slow = case.description["greedy"][case.batch]["path"].startswith("slow")
    output = model.generate(
        sequences(primer),
        **conditions(model, arrays),
        do_sample=False,
        max_new_tokens=expected.shape[1],
        eos_token_id=None,
        use_cache=use_cache,
        output_logits=True,
        return_dict_in_generate=True,
    )
    written = output.sequences[:, 1 + primer.shape[1] :]
    assert torch.equal(written, expected)
    logits = torch.stack(output.logits, dim=1)
    if "greedy/logits" in arrays:
        assert_close(logits, arrays["greedy/logits"])
    if "greedy/margin" in arrays:
        best = logits.topk(2, dim=-1).values
        assert_close(best[..., 0] - best[..., 1], arrays["greedy/margin"])
    if "greedy/scores" in arrays:  # log probabilities up to the first end, be it in the primer
        chosen = logits.log_softmax(dim=-1).gather(2, written.unsqueeze(2)).squeeze(2)
        ended = (output.sequences[:, 1:-1] == END).cumsum(dim=1)[:, -written.shape[1] :] > 0
        if not primer.size:
            ended = torch.nn.functional.pad(ended, (1, 0))
        np.testing.assert_allclose((chosen * ~ended).sum(dim=1), arrays["greedy/scores"], rtol=1e-5, atol=1e-4)
    assert is_slow or written.shape[1] == _fast_length(case, arrays, output.sequences[:, 1:], primer.shape[1])


def _fast_length(case: Case, arrays: dict[str, np.ndarray], events: torch.Tensor, primer_length: int) -> int:
    """How far the original's cached path goes: as far as it was asked, or until every row has ended."""
    asked = case.description["greedy"][case.batch]["decode_length_arg"]
    inputs = [name for name in ("in/performance", "in/inputs") if name in arrays]
    limit = asked + (arrays[inputs[0]].shape[1] if inputs else 0)
    ends = (events == END).any(dim=1).all()
    first = int((events == END).int().argmax(dim=1).max()) + 1 if ends else limit + primer_length
    return min(limit, max(first - primer_length, 1))


@parametrize_batches("greedy")
def test_rows_of_a_batch_stop_at_their_ends(case, converted):
    """With an end event a row is the original's up to there and padding after it."""
    model, arrays = converted(case), case.arrays
    expected = torch.from_numpy(arrays["greedy/outputs"]).long()
    primer = arrays.get("greedy/primer", np.zeros((len(expected), 0), dtype=np.int64))
    end = int(expected[0, expected.shape[1] // 2])
    written = model.generate(
        sequences(primer), **conditions(model, arrays), do_sample=False, max_new_tokens=expected.shape[1], eos_token_id=end
    )[:, 1 + primer.shape[1] :]
    after = torch.nn.functional.pad((expected == end).cumsum(dim=1)[:, :-1], (1, 0)) > 0
    kept = expected.masked_fill(after, 0)
    assert torch.equal(written, kept[:, : written.shape[1]])
    assert bool((expected[:, : written.shape[1]] == end).any(dim=1).all()) or written.shape == expected.shape


@parametrize_batches("out")
@torch.no_grad()
def test_events_one_by_one_are_all_at_once(case, converted):
    """The cache: every event alone, after those before it."""
    model, arrays = converted(case), case.arrays
    events, conditioned = sequences(arrays["in/targets"]), conditions(model, arrays)
    whole = model(events, **conditioned, use_cache=True)
    cache, logits = None, []
    for event in events.split(1, dim=1):
        output = model(event, **conditioned, cache=cache, use_cache=True)
        cache = output.cache
        logits.append(output.logits)
    torch.testing.assert_close(torch.cat(logits, dim=1), whole.logits, rtol=0, atol=TOLERANCE)
    assert_close(torch.cat(logits, dim=1)[:, :-1], arrays["out/logits"])


class Manifest(NamedTuple):
    """Names and shapes of a checkpoint at full size: of a published one, or of one model of a set of hyper-parameters."""

    config_name: str
    model: str
    description: dict
    numbers: dict


def manifests() -> list[Manifest]:
    found = []
    for path in sorted((ROOT / "full_manifests").glob("*.json")):
        content = json.loads(path.read_text())
        for model, description in content.get("models", {"published": content}).items():
            found.append(Manifest(path.stem, model, description, content["hparams"]))
    return found


MANIFESTS = manifests()


@parametrize_cases("manifest", MANIFESTS, [f"{manifest.config_name}-{manifest.model}" for manifest in MANIFESTS])
def test_checkpoints_of_full_size_map(manifest):
    """At the preset's own numbers: what the tensors tell is what the preset says."""
    config_name, model, description, numbers = manifest
    variables = {**description["variables"], **description.get("training_state_variables", {})}
    with torch.device("meta"):
        tensors = {name: torch.empty(shape) for name, shape in variables.items() if not is_leftover(name)}
    assert tensors.keys() == description["variables"].keys()
    aggregation = description["overrides"].get("aggregation") or model.partition(":")[2] or None
    config = read_config(tensors, config_name, aggregation=aggregation)
    assert config_name in CONFIG_NAMES
    state = to_state_dict(tensors, config)
    with torch.device("meta"):
        network = TransformerAutoencoderForConditionalGeneration(config)
    assert {name: tensor.shape for name, tensor in state.items()} == {
        name: tensor.shape for name, tensor in network.state_dict().items()
    }
    # 31 of 32 rows of the target space embedding are for other problems; one table may be there for nothing.
    spaces = 31 * config.hidden_size if config.is_conditional else 0
    unused = sum(tensors[name].numel() for name in read_layout(tensors).unused)
    assert network.num_parameters() + spaces + unused == description["num_parameters"]
    preset = type(config).from_preset(config_name)
    for name in (
        "hidden_size",
        "num_hidden_layers",
        "intermediate_size",
        "attention_type",
        "total_key_size",
        "total_value_size",
    ):
        assert getattr(config, name) == getattr(preset, name), name
    assert config.num_attention_heads == preset.num_attention_heads == numbers["num_heads"]
    if config.attention_type == "relative":
        assert config.max_relative_position == preset.max_relative_position == numbers["max_relative_position"]
    assert config.original_quirks
