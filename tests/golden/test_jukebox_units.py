"""Parts of Jukebox's priors compute what openai/jukebox's compute, each by itself."""

import itertools
import json
import math
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from hub_models.jukebox.attention import JukeboxAttention
from hub_models.jukebox.attention_cache import CacheLayout, KeyValueCache
from hub_models.jukebox.attention_patterns import (
    COLUMN,
    CROSS,
    DENSE,
    PREVIOUS,
    PRIME,
    ROW,
    SUMMARY,
    SUMMARY_SPREAD,
)
from hub_models.jukebox.conditioning import JukeboxRangeEmbedding
from hub_models.jukebox.configuration_jukebox import JukeboxPriorConfig
from hub_models.jukebox.decoding import TokenDecoder
from hub_models.jukebox.modeling_jukebox_prior import JukeboxPrior
from hub_models.jukebox.sampling_windows import window_starts
from hub_models.jukebox.token_choice import filter_logits
from hub_models.jukebox.transformer import ACTIVATION_FUNCTIONS
from hub_models.training.arguments import TrainingArguments
from hub_models.training.schedules import learning_rate_schedule

from .conftest import golden_folders, parametrize_cases

#: The original's `attn_func`.
PATTERNS = (DENSE, ROW, COLUMN, PREVIOUS, SUMMARY, SUMMARY_SPREAD, CROSS, PRIME)
#: Of each, an `attention_pattern` that a configuration of it may have.
ORDERS = {SUMMARY_SPREAD: "row_summary_spread_attention", PRIME: "enc_dec_with_lyrics"}


@cache
def case(folder: Path) -> dict:
    return json.loads((folder / "case.json").read_text())


@cache
def arrays(folder: Path) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in np.load(folder / "io.npz").items()}


FOLDERS = [
    folder for folder in golden_folders("jukebox") if (folder / "io.npz").is_file() and case(folder).get("kind") == "units"
]


def parametrize_units(part: str):
    """Each unit of a kind: its folder, and its number."""
    found = [(folder, number) for folder in FOLDERS for number in range(len(case(folder)[part]))]
    return parametrize_cases("unit", found, [f"{folder.name}-{number}" for folder, number in found])


def attention_of(folder: Path, numbers: dict) -> tuple[JukeboxAttention, dict[str, torch.Tensor]]:
    """A layer of attention with the original's weights, and the tensors of its case."""
    prefix = f"attn{numbers['attn_func']}/"
    io = {name.removeprefix(prefix): array for name, array in arrays(folder).items() if name.startswith(prefix)}
    width, pattern = io["x"].shape[-1], PATTERNS[numbers["attn_func"]]
    is_prime = pattern == PRIME
    config = JukeboxPriorConfig(
        hidden_size=width,
        attention_multiplier=numbers["n_state"] / width,
        n_heads=numbers["n_head"],
        blocks=numbers["blocks"],
        spread=numbers["spread"],
        attention_pattern=ORDERS.get(pattern, "raw_column_previous_row_attention"),
        n_ctx=numbers["n_ctx"] - (numbers["prime_len"] if is_prime else 0),
        nb_relevant_lyric_tokens=numbers["prime_len"] if is_prime else 0,
        is_encoder_decoder=is_prime,
    )
    attention = JukeboxAttention(config, pattern).eval()
    weights = {re.sub(r"w$", "weight", re.sub(r"b$", "bias", name)): array for name, array in io.items() if "c_" in name}
    attention.load_state_dict(weights)
    attention.config = config
    return attention, io


@parametrize_units("attention")
@torch.no_grad()
def test_attention_is_the_originals(unit):
    folder, number = unit
    numbers = case(folder)["attention"][number]
    attention, io = attention_of(folder, numbers)
    output, weights = attention(io["x"], io.get("encoder_kv"), return_weights=True)
    np.testing.assert_allclose(output, io["y"], rtol=0, atol=2e-6)
    if attention.pattern == PRIME:  # the original shows what music hears of lyrics
        weights = weights[:, :, numbers["prime_len"] :, : numbers["prime_len"]]
        assert attention.prime_length == numbers["prime_cache_len"]
    np.testing.assert_allclose(weights, io["w"], rtol=0, atol=2e-6)
    without_weights, _ = attention(io["x"], io.get("encoder_kv"))
    np.testing.assert_allclose(without_weights, io["y"], rtol=0, atol=2e-6)


@parametrize_units("attention")
@torch.no_grad()
def test_attention_position_by_position_is_the_originals_with_no_more_kept_than_it_keeps(unit):
    folder, number = unit
    numbers = case(folder)["attention"][number]
    attention, io = attention_of(folder, numbers)
    length, heads, pattern = io["x"].shape[1], attention.num_heads, attention.pattern
    layout = CacheLayout(attention.config, pattern, numbers["encoder_dims"] if pattern == CROSS else 0)
    cache = KeyValueCache(layout, 1, (len(io["x"]), heads, attention.head_size), "cpu", torch.float32)
    query, key, value = attention.project(io["x"], io.get("encoder_kv"))
    if pattern == CROSS:
        cache.fill(0, key, value)
    outputs = []
    for position in range(length):
        views, state = cache.views(position), None
        if pattern != CROSS:
            state = torch.cat([key[:, position], value[:, position]], dim=1).unsqueeze(2)
        keys, values = views.exchange(0, state)
        one = torch.nn.functional.scaled_dot_product_attention(query[:, position, :, None], keys, values)
        outputs.append(attention.c_proj(one.squeeze(2).flatten(1)))
    np.testing.assert_allclose(torch.stack(outputs, dim=1), io["y"], rtol=0, atol=2e-6)
    for tokens, kept in zip(
        itertools.accumulate(numbers.get("chunks", ())), numbers.get("cache_len_after_chunk", ()), strict=True
    ):
        assert (kept if pattern == CROSS else live_slots(layout, tokens, length)) == kept
    expected = {ROW: numbers["block_ctx"], PREVIOUS: 2 * numbers["block_ctx"], PRIME: numbers["prime_cache_len"]}
    expected |= {CROSS: numbers["encoder_dims"], DENSE: length, COLUMN: length, SUMMARY: numbers["blocks"]}
    expected[SUMMARY_SPREAD] = numbers["blocks"] * numbers["spread"]
    assert layout.slots == expected[pattern]


def live_slots(layout: CacheLayout, tokens: int, length: int) -> int:
    """Slots of which later positions hear what the first `tokens` have left there."""
    written = {layout.access(position).slot for position in range(tokens)}
    heard, overwritten = set(), set()
    for slot, first, count in map(layout.access, range(tokens, length)):
        overwritten.add(slot)
        heard |= set(range(first, first + count)) - overwritten
    return len(written & heard)


@parametrize_units("attention")
@torch.no_grad()
def test_attention_in_chunks_of_whole_blocks_is_the_originals(unit):
    folder, number = unit
    numbers = case(folder)["attention"][number]
    attention, io = attention_of(folder, numbers)
    length, pattern = io["x"].shape[1], attention.pattern
    layout = CacheLayout(attention.config, pattern, numbers["encoder_dims"] if pattern == CROSS else 0)
    query, key, value = attention.project(io["x"], io.get("encoder_kv"))
    for blocks in (1, 2, numbers["blocks"]):
        cache = KeyValueCache(layout, 1, (len(io["x"]), attention.num_heads, attention.head_size), "cpu", torch.float32)
        if pattern == CROSS:
            cache.fill(0, key, value)
        outputs = []
        for start in range(0, length, blocks * numbers["block_ctx"]):
            chunk = slice(start, start + blocks * numbers["block_ctx"])
            states = () if pattern == CROSS else (key[:, chunk], value[:, chunk])
            outputs.append(attention.project_out(cache.extend(0, start, query[:, chunk], *states)))
        np.testing.assert_allclose(torch.cat(outputs, dim=1), io["y"], rtol=0, atol=2e-6)


@parametrize_units("get_starts")
def test_windows_start_where_those_of_the_original_start(unit):
    folder, number = unit
    numbers = case(folder)["get_starts"][number]
    assert window_starts(numbers["total"], numbers["n_ctx"], numbers["hop"]) == numbers["starts"]


@parametrize_units("split_chunks")
@torch.inference_mode()
def test_a_prefix_is_read_in_the_chunks_of_the_original(unit, monkeypatch):
    """Where there are no blocks; chunks are whole blocks otherwise."""
    folder, number = unit
    numbers = case(folder)["split_chunks"][number]
    config = JukeboxPriorConfig(
        hidden_size=8,
        num_layers=1,
        n_heads=1,
        n_ctx=numbers["length"],
        music_vocab_size=4,
        attention_pattern="full_dense_attention",
        blocks=None,
        metadata_conditioning=False,
        nb_relevant_lyric_tokens=0,
        is_encoder_decoder=False,
    )
    decoder = TokenDecoder(JukeboxPrior(config).prior, 1)
    read = []
    monkeypatch.setattr(decoder, "_read_chunk", lambda states, start: read.append(states.shape[1]))
    decoder.read(torch.zeros(1, numbers["length"], dtype=torch.long), numbers["chunk"])
    assert read == numbers["chunks"]


@parametrize_units("lr_schedule")
def test_learning_rates_are_those_of_the_original_one_step_earlier(unit):
    """The original's first step has rate 0. Its decays are not offered, and no release was trained with one."""
    folder, number = unit
    numbers = case(folder)["lr_schedule"][number]
    hps = {"lr": 3e-4, "lr_scale": 1.0, "lr_warmup": 100.0} | numbers["hps"]
    begins = hps.get("lr_start_linear_decay", 0) if hps.get("lr_use_linear_decay") else hps.get("lr_decay", math.inf)
    rate = learning_rate_schedule(
        TrainingArguments(output=Path("run"), learning_rate=hps["lr_scale"] * hps["lr"], warmup_steps=int(hps["lr_warmup"]))
    )
    steps = [(step, expected) for step, expected in numbers["lr"] if 1 <= step < max(begins, 1)]
    assert steps
    for step, expected in steps:
        assert rate(step - 1) == pytest.approx(expected, rel=1e-9)


@parametrize_cases("folder", FOLDERS, [folder.name for folder in FOLDERS])
def test_nothing_of_a_case_is_overlooked(folder):
    known = {"kind", "seed", "attention", "get_starts", "split_chunks", "range_embedding", "lr_schedule"}
    assert {name for name in case(folder) if not name.startswith("resnet")} <= known
    parts = r"(attn\d+|act|filter|range/\d+|resnet\d+)/.*"
    assert not [name for name in arrays(folder) if not re.fullmatch(parts, name)]


@parametrize_cases("folder", FOLDERS, [folder.name for folder in FOLDERS])
def test_activations_are_the_originals(folder):
    io = arrays(folder)
    for name in (name.removeprefix("act/") for name in io if name.startswith("act/") and name != "act/x"):
        np.testing.assert_allclose(ACTIVATION_FUNCTIONS[name](io["act/x"]), io[f"act/{name}"], rtol=0, atol=1e-6)


@parametrize_cases("folder", FOLDERS, [folder.name for folder in FOLDERS])
def test_filtered_logits_are_the_originals(folder):
    io = arrays(folder)
    filters = [re.fullmatch(r"filter/(top_[kp])_(.*)", name) for name in io]
    for name, value in (match.groups() for match in filters if match):
        number = int(value) if name == "top_k" else float(value)
        ours = filter_logits(io["filter/logits"], **{name: number})
        np.testing.assert_array_equal(ours, io[f"filter/{name}_{value}"])


@parametrize_units("range_embedding")
def test_bins_of_times_are_the_originals(unit):
    folder, number = unit
    numbers, io = case(folder)["range_embedding"][number], arrays(folder)
    embedding = JukeboxRangeEmbedding(
        numbers["n_time"], numbers["bins"], tuple(numbers["range"]), 2, "time", 1.0, clamps=numbers["clamp"]
    )
    bins = embedding.bins_of(io[f"range/{number}/start"], io.get(f"range/{number}/end"))
    assert torch.equal(bins, io[f"range/{number}/bins"])


def test_what_lies_beyond_a_range_is_refused():
    embedding = JukeboxRangeEmbedding(4, 8, (0.0, 10.0), 2, "position in samples", 1.0)
    with pytest.raises(ValueError, match=r"position in samples must be within 0 and 10, got 9 to 11 in row 1"):
        embedding.bins_of(torch.tensor([[0.0], [9.0]]), torch.tensor([[2.0], [11.0]]))
