"""The converter of score2perf on checkpoints that TensorFlow writes here: every model, and everything that can be wrong."""

import math
import os

import numpy as np
import pytest
import torch

from conversion.__main__ import main
from conversion.errors import ConversionError
from conversion.magenta_score2perf import convert, read_config, read_layout, to_state_dict
from conversion.tensorflow_checkpoints import is_leftover, read_checkpoint
from hub_models.transformer_autoencoder import (
    PRESETS,
    TransformerAutoencoderForConditionalGeneration,
    TransformerAutoencoderProcessor,
)

from .test_conversion import write_checkpoint

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HIDDEN, KEYS, INNER, HEADS, DISTANCES, LAYERS = 8, 12, 10, 2, 6, 2
RELATIVE_SET, ABSOLUTE_SET = "t_rel_len2048_h384_att512_fs1024_n8_dropout20", "transformer_tpu"
STACKS = {
    "transformer": (),
    "performance_transformer": ("encoder",),
    "baseline_performance_transformer": ("encoder",),
    "melody_performance_transformer": ("perf_encoder", "mel_encoder"),
    "baseline_melody_transformer": ("encoder",),
}


def original_shapes(
    model: str,
    *,
    inputs: int | None = None,
    relative: bool = True,
    shards: int = 1,
    shared: bool = False,
    tile: bool = False,
) -> dict[str, tuple[int, ...]]:
    """What tensor2tensor names the variables of a small model. inputs: vocabulary that a `transformer` reads."""
    keys = KEYS if relative else HIDDEN
    encoders = STACKS[model] or (("encoder",) if inputs else ())
    shapes: dict[str, tuple[int, ...]] = {}

    def table(vocabulary: int, kind: str):
        for shard in range(shards):
            rows = vocabulary // shards + (shard < vocabulary % shards)
            shapes[f"{model}/symbol_modality_{vocabulary}_{HIDDEN}/{kind}/weights_{shard}"] = (rows, HIDDEN)

    def attention(name: str, width: int):
        norm(name)
        sizes = {"q": (HIDDEN, keys), "k": (width, keys), "v": (width, HIDDEN), "output_transform": (HIDDEN, HIDDEN)}
        shapes.update({f"{name}/multihead_attention/{part}/kernel": shape for part, shape in sizes.items()})

    def norm(name: str):
        for part in ("scale", "bias"):
            shapes[f"{name}/layer_prepostprocess/layer_norm/layer_norm_{part}"] = (HIDDEN,)

    for kind in ("shared",) if shared else ("target_emb", "softmax"):
        table(310, kind)
    if model.startswith(("melody", "baseline_melody")):
        table(92, "input_emb")
    if model != "transformer":
        table(310, "input_emb")
    elif inputs:
        table(inputs, "input_emb")
    if encoders:
        shapes[f"{model}/body/target_space_embedding/kernel"] = (32, HIDDEN)
    for stack in (*encoders, "decoder"):
        norm(f"{model}/body/{stack}")
        for index in range(LAYERS):
            layer = f"{model}/body/{stack}/layer_{index}"
            attention(f"{layer}/self_attention", HIDDEN)
            if relative:
                scope = f"{layer}/self_attention/multihead_attention/dot_product_self_attention_relative_v2"
                shapes[f"{scope}/key_relative_embeddings"] = (HEADS, DISTANCES, keys // HEADS)
            if stack == "decoder" and encoders:
                attention(f"{layer}/encdec_attention", 2 * HIDDEN if tile else HIDDEN)
            norm(f"{layer}/ffn")
            shapes[f"{layer}/ffn/conv1/kernel"], shapes[f"{layer}/ffn/conv1/bias"] = (HIDDEN, INNER), (INNER,)
            shapes[f"{layer}/ffn/conv2/kernel"], shapes[f"{layer}/ffn/conv2/bias"] = (INNER, HIDDEN), (HIDDEN,)
    return shapes


def original_arrays(model: str, seed: int = 0, **how) -> dict[str, np.ndarray]:
    """Random weights under the original's names."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in original_shapes(model, **how).items()}


def training_leftovers(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What tensor2tensor's Adafactor leaves: factors of matrices, whole slots of vectors, and counters; 16 bytes of them."""
    slots = {}
    for name, array in arrays.items():
        if array.ndim == 2:
            slots[f"training/{name}/Adafactor"] = array.mean(axis=1)
            slots[f"training/{name}/Adafactor_1"] = array.mean(axis=0)
        else:
            slots[f"training/{name}/Adafactor"] = array
    means = {f"losses_avg/problem_0/{kind}_loss": np.float32(100) for kind in ("total", "extra", "training")}
    return slots | means | {"global_step": np.int64(2500), "train_stats/problem_0_steps": np.int32(0)}


VARIANTS = {
    "music transformer": ("transformer", {}, {"performance_encoder": "none", "melody_encoder": False}),
    "melody": ("transformer", {"inputs": 92}, {"performance_encoder": "none", "melody_encoder": True}),
    "performance as inputs": ("transformer", {"inputs": 310}, {"performance_encoder": "sequence", "melody_encoder": False}),
    "style": ("performance_transformer", {}, {"performance_encoder": "style", "melody_encoder": False}),
    "baseline": ("baseline_performance_transformer", {}, {"performance_encoder": "sequence", "melody_encoder": False}),
    "style and melody": ("melody_performance_transformer", {}, {"performance_encoder": "style", "aggregation": "sum"}),
    "tiled": ("melody_performance_transformer", {"tile": True}, {"melody_encoder": True, "aggregation": "tile"}),
    "melody baseline": ("baseline_melody_transformer", {}, {"performance_encoder": "none", "melody_encoder": True}),
}


@pytest.mark.parametrize(("model", "how", "expected"), VARIANTS.values(), ids=VARIANTS)
def test_names_and_shapes_tell_the_model(model, how, expected, tmp_path):
    convert(write_checkpoint(tmp_path / "original", original_arrays(model, **how)), RELATIVE_SET, tmp_path / "converted")
    loaded = TransformerAutoencoderForConditionalGeneration.from_pretrained(tmp_path / "converted")
    sizes = {
        "hidden_size": HIDDEN,
        "key_size": KEYS,
        "intermediate_size": INNER,
        "num_attention_heads": HEADS,
        "max_relative_position": DISTANCES,
        "num_hidden_layers": LAYERS,
        "original_quirks": True,
        "dropout": PRESETS[RELATIVE_SET]["dropout"],
    }
    assert {name: getattr(loaded.config, name) for name in (*sizes, *expected)} == sizes | expected


def test_converted_weights_compute_the_originals_feed_forward_layer_and_softmax(tmp_path):
    """By hand: an event after the start, through a network whose attention adds nothing."""
    arrays = original_arrays("transformer", relative=False)
    for name in arrays:
        if name.endswith("output_transform/kernel"):
            arrays[name][:] = 0
    convert(write_checkpoint(tmp_path / "original", arrays), ABSOLUTE_SET, tmp_path / "converted", num_heads=HEADS)
    model = TransformerAutoencoderForConditionalGeneration.from_pretrained(tmp_path / "converted").eval()

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        scale, bias = (arrays[f"{name}/layer_prepostprocess/layer_norm/layer_norm_{part}"] for part in ("scale", "bias"))
        return (x - x.mean()) / np.sqrt(x.var() + 1e-6) * scale + bias

    event, position = 60, 1
    rates = np.exp(-np.arange(HIDDEN // 2) * math.log(1e4) / (HIDDEN // 2 - 1))
    timing = np.concatenate([np.sin(position * rates), np.cos(position * rates)])
    x = arrays[f"transformer/symbol_modality_310_{HIDDEN}/target_emb/weights_0"][event] * HIDDEN**0.5 + timing
    for layer in range(LAYERS):
        ffn = f"transformer/body/decoder/layer_{layer}/ffn"
        inner = np.maximum(norm(x, ffn) @ arrays[f"{ffn}/conv1/kernel"] + arrays[f"{ffn}/conv1/bias"], 0)
        x = x + inner @ arrays[f"{ffn}/conv2/kernel"] + arrays[f"{ffn}/conv2/bias"]
    x = norm(x, "transformer/body/decoder")
    expected = arrays[f"transformer/symbol_modality_310_{HIDDEN}/softmax/weights_0"] @ x
    logits = model(torch.tensor([[0, event]])).logits[0, 1]
    np.testing.assert_allclose(logits.detach().numpy(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("inputs", [None, 92], ids=["unconditional_model_16", "melody_conditioned_model_16"])
def test_published_layouts_with_what_training_left(inputs, tmp_path, capsys):
    """Small, but named as the published files: no relative attention, Adafactor, one table where vocabularies agree."""
    name = "melody_conditioned_model_16" if inputs else "unconditional_model_16"
    weights = original_arrays("transformer", inputs=inputs, relative=False, shared=not inputs)
    leftovers = training_leftovers(weights)
    prefix = write_checkpoint(tmp_path / "original", weights | leftovers)
    assert all(is_leftover(leftover) for leftover in leftovers)
    assert read_checkpoint(prefix).keys() == weights.keys()
    output = tmp_path / "converted"
    arguments = ["magenta-score2perf", "--checkpoint", str(prefix), "--config", name, "--output", str(output)]
    assert main([*arguments, "--num-heads", str(HEADS)]) == 0
    printed = capsys.readouterr().out
    assert f"hidden_size is {HIDDEN} in this checkpoint; the published {name} has 512" in printed
    assert "heads does not show" not in printed  # it was given
    model = TransformerAutoencoderForConditionalGeneration.from_pretrained(output)
    assert model.config.attention_type == "absolute"
    assert model.config.tie_word_embeddings == (inputs is None)
    assert (model.lm_head.weight is model.get_input_embeddings().weight) == (inputs is None)
    assert model.generation_config.eos_token_id == 1
    processor = TransformerAutoencoderProcessor.from_pretrained(output)
    assert processor.context_length == model.config.context_length
    written = model.generate(**({"melody_ids": torch.tensor([[10, 2, 2]])} if inputs else {}), max_new_tokens=3, seed=0)
    assert written.shape == (1, 4)
    (note,) = processor.decode(torch.tensor([0, 41, 277, 129])).instruments[0].notes
    assert (note.pitch, note.end) == (60, 1.0)
    assert main(arguments) == 1
    assert "exists and is not empty" in capsys.readouterr().err


def test_shards_are_stacked_in_the_order_of_their_numbers():
    shapes = original_shapes("transformer", relative=False, shared=True, shards=16)
    tensors = {name: torch.randn(shape) for name, shape in shapes.items()}
    state = to_state_dict(tensors, read_config(tensors, "score2perf_transformer_base", num_heads=HEADS))
    table = f"transformer/symbol_modality_310_{HIDDEN}/shared/weights_"
    expected = torch.cat([tensors[f"{table}{shard}"] for shard in range(16)])
    assert [len(tensors[f"{table}{shard}"]) for shard in (5, 6)] == [20, 19]
    assert torch.equal(state["model.event_embedding.weight"], expected)
    assert torch.equal(state["lm_head.weight"], expected)


def test_queries_keys_and_values_lie_one_below_the_other():
    tensors = {name: torch.randn(shape) for name, shape in original_shapes("performance_transformer").items()}
    state = to_state_dict(tensors, read_config(tensors, RELATIVE_SET))
    layer = "performance_transformer/body/decoder/layer_1"
    kernels = {part: tensors[f"{layer}/self_attention/multihead_attention/{part}/kernel"] for part in "qkv"}
    fused = state["model.decoder.layers.1.self_attention.query_key_value.weight"]
    assert torch.equal(fused, torch.cat([kernels[part].t() for part in "qkv"]))
    kernels = {part: tensors[f"{layer}/encdec_attention/multihead_attention/{part}/kernel"] for part in "qkv"}
    assert torch.equal(
        state["model.decoder.layers.1.cross_attention.key_value.weight"], torch.cat([kernels["k"].t(), kernels["v"].t()])
    )
    assert torch.equal(state["model.decoder.layers.1.cross_attention.query.weight"], kernels["q"].t())
    spaces = tensors["performance_transformer/body/target_space_embedding/kernel"]
    assert torch.equal(state["model.encoder_offset"], spaces[0])


def test_what_does_not_show_is_asked_or_said(tmp_path):
    prefix = write_checkpoint(tmp_path / "original", original_arrays("melody_performance_transformer"))
    remarks = "\n".join(convert(prefix, RELATIVE_SET, tmp_path / "guessed"))
    assert "sum or concat does not show in this checkpoint; taken to be sum" in remarks
    remarks = "\n".join(convert(prefix, RELATIVE_SET, tmp_path / "asked", aggregation="concat"))
    assert "does not show" not in remarks
    model = TransformerAutoencoderForConditionalGeneration.from_pretrained(tmp_path / "asked")
    assert model.config.aggregation == "concat"
    prefix = write_checkpoint(tmp_path / "absolute", original_arrays("transformer", relative=False))
    remarks = "\n".join(convert(prefix, ABSOLUTE_SET, tmp_path / "default"))
    assert f"The number of heads does not show in this checkpoint; taken from {ABSOLUTE_SET}: 8." in remarks


def test_what_is_not_used_is_left_out_and_said(tmp_path):
    arrays = original_arrays("baseline_melody_transformer") | {"some_counter": np.float32(7)}
    remarks = convert(write_checkpoint(tmp_path / "original", arrays), RELATIVE_SET, tmp_path / "converted")
    unused = f"baseline_melody_transformer/symbol_modality_310_{HIDDEN}/input_emb"
    assert f"Left out what a baseline_melody_transformer has and does not use: {unused}." in remarks
    assert "Left out numbers that are no weights: some_counter." in remarks


def test_other_vocabularies_get_no_processor(tmp_path):
    """As of chords, 51 of them."""
    prefix = write_checkpoint(tmp_path / "original", original_arrays("transformer", inputs=51))
    remarks = "\n".join(convert(prefix, RELATIVE_SET, tmp_path / "converted"))
    assert "melody_vocab_size is 51 in this checkpoint" in remarks
    assert "No processor was written" in remarks
    assert (
        TransformerAutoencoderForConditionalGeneration.from_pretrained(tmp_path / "converted").config.melody_vocab_size == 51
    )


def test_one_of_several_checkpoints_is_chosen_by_its_index_file(tmp_path):
    folder = tmp_path / "run"
    for step in (1000, 2000):
        prefix = write_checkpoint(folder, original_arrays("transformer", seed=step))
        for path in folder.glob(f"{prefix.name}.*"):
            path.rename(folder / path.name.replace("model.ckpt", f"model.ckpt-{step}"))
    with pytest.raises(ConversionError, match=r"found model\.ckpt-1000\.index, model\.ckpt-2000\.index\. Give the \.index"):
        convert(folder, RELATIVE_SET, tmp_path / "converted")
    convert(folder / "model.ckpt-2000.index", RELATIVE_SET, tmp_path / "converted")
    model = TransformerAutoencoderForConditionalGeneration.from_pretrained(tmp_path / "converted")
    expected = original_arrays("transformer", seed=2000)[f"transformer/symbol_modality_310_{HIDDEN}/target_emb/weights_0"]
    np.testing.assert_array_equal(model.get_input_embeddings().weight.detach(), expected)


DECODER = "performance_transformer/body/decoder"
FIRST_NORM = f"{DECODER}/layer_0/ffn/layer_prepostprocess/layer_norm/layer_norm_bias"
TABLE = (
    f"{DECODER}/layer_0/self_attention/multihead_attention/dot_product_self_attention_relative_v2/key_relative_embeddings"
)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda arrays: arrays.pop(FIRST_NORM), f"Missing:\n  {FIRST_NORM}"),
        (lambda arrays: arrays.update({f"{DECODER}/extra": np.ones(3, np.float32)}), f"Unknown:\n  {DECODER}/extra"),
        (lambda arrays: arrays.update({f"{DECODER}/gain": np.float32(1)}), f"Unknown:\n  {DECODER}/gain"),
        (
            lambda arrays: arrays.pop(f"{DECODER}/layer_0/ffn/conv1/kernel"),
            f"it lacks\n  {DECODER}/layer_0/ffn/conv1/kernel",
        ),
        (
            lambda arrays: arrays.update({FIRST_NORM: np.zeros(3, np.float32)}),
            r"feed_forward_norm.bias: \(3,\) in the checkpoint",
        ),
        (
            lambda arrays: arrays[FIRST_NORM].fill(np.nan),
            "NaN or infinite weights in\n  model.decoder.layers.0.feed_forward_norm",
        ),
        (
            lambda arrays: arrays.update({TABLE: np.zeros((5, 6, 2), np.float32)}),
            "key_size must be a multiple of the 5 heads",
        ),
        (lambda arrays: arrays.update({TABLE: np.zeros(6, np.float32)}), "it needs 2 or 3 axes"),
        (
            lambda arrays: [arrays.pop(name) for name in list(arrays) if "/input_emb/" in name],
            "lacks the performance embedding",
        ),
        (lambda arrays: [arrays.pop(name) for name in list(arrays) if "_emb/" in name], "lacks an embedding of targets"),
        (
            lambda arrays: arrays.update({"transformer/body/decoder/x": np.ones(2, np.float32)}),
            "start with one of transformer",
        ),
    ],
)
def test_what_does_not_fit_is_listed_by_name(change, sentence, tmp_path):
    arrays = original_arrays("performance_transformer")
    change(arrays)
    with pytest.raises(ConversionError, match=sentence):
        convert(write_checkpoint(tmp_path / "broken", arrays), RELATIVE_SET, tmp_path / "output")
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(
    ("model", "how", "asked", "sentence"),
    [
        ("transformer", {}, {"num_heads": 4}, "are for 2 heads; --num-heads says 4"),
        ("transformer", {"relative": False}, {"num_heads": 3}, "must be a multiple of the 3 heads"),
        ("transformer", {"relative": False}, {"num_heads": 0}, "num_attention_heads must be between 1"),
        ("performance_transformer", {}, {"aggregation": "sum"}, "A performance_transformer aggregates nothing"),
        (
            "melody_performance_transformer",
            {"tile": True},
            {"aggregation": "sum"},
            "has the width of tile; --aggregation says sum",
        ),
        (
            "melody_performance_transformer",
            {},
            {"aggregation": "tile"},
            "has the width of sum or concat; --aggregation says tile",
        ),
    ],
)
def test_options_that_contradict_the_checkpoint_are_refused(model, how, asked, sentence):
    tensors = {name: torch.zeros(shape, device="meta") for name, shape in original_shapes(model, **how).items()}
    with pytest.raises(ConversionError, match=sentence):
        read_config(tensors, RELATIVE_SET if how.get("relative", True) else ABSOLUTE_SET, **asked)


def test_a_checkpoint_of_something_else_is_refused(tmp_path, capsys):
    prefix = write_checkpoint(tmp_path / "original", {"encoder/mu/kernel": np.ones((2, 2), np.float32)})
    arguments = [
        "magenta-score2perf",
        "--checkpoint",
        str(prefix),
        "--config",
        ABSOLUTE_SET,
        "--output",
        str(tmp_path / "out"),
    ]
    assert main(arguments) == 1
    assert "start with one of transformer, performance_transformer" in capsys.readouterr().err
    with pytest.raises(ConversionError, match="these are\n  encoder/mu/kernel"):
        read_layout(read_checkpoint(prefix))
