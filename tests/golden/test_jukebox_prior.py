"""Jukebox's priors compute what openai/jukebox computes: conditioning, logits, losses in bits, gradients, tokens."""

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from hub_models.jukebox.attention import prime_length
from hub_models.jukebox.decoding import TokenDecoder
from hub_models.jukebox.modeling_jukebox_prior import JukeboxPrior
from hub_models.jukebox.token_choice import TokenChoice

from .conftest import golden_folders, parametrize_cases

conversion = pytest.importorskip("conversion.openai_jukebox", reason="the converters lie in the repository")
names = pytest.importorskip("conversion.jukebox_names", reason="the converters lie in the repository")

LOGIT_TOLERANCE = 2e-4
LOSS_TOLERANCE = 1e-4
#: Of the largest value of a tensor; with weights stored in half precision the original's gradients are, too.
GRADIENT_TOLERANCE, HALF_GRADIENT_TOLERANCE = 1e-5, 1e-3

#: Every tensor of a case is compared by one of the tests below, or read by it.
KNOWN_TENSORS = [
    r"z|y|z_cond|x_cond|y_cond|encoder_kv|prime_logits|logits|token_loss_bits|target_merged|lyric_attn",
    r"loss|bpd|prime_loss|gen_loss|train_loss|grad/.*",
    r"greedy|greedy_logits|greedy_merged_tokens|primed_\d+|partial",
]


def folders(part: str | None = None) -> list[Path]:
    """Cases of priors, or those that have a certain tensor."""
    found = [folder for folder in golden_folders("jukebox") if (folder / "io.npz").is_file()]
    found = [folder for folder in found if case(folder).get("kind") == "prior"]
    return [folder for folder in found if part is None or part in arrays(folder)]


@cache
def case(folder: Path) -> dict:
    return json.loads((folder / "case.json").read_text())


@cache
def arrays(folder: Path) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in np.load(folder / "io.npz").items()}


def for_every_case(part: str | None = None):
    return parametrize_cases("folder", folders(part), [folder.name for folder in folders(part)])


@pytest.fixture(scope="session")
def converted(tmp_path_factory):
    """The prior of a case, by way of its folder on disk."""

    @cache
    def convert(folder: Path) -> Path:
        output = tmp_path_factory.mktemp(folder.name)
        conversion.convert_prior(folder / case(folder)["checkpoint"], output, case(folder)["vqvae"], case(folder)["hps"])
        return output

    return lambda folder, dtype=torch.float32: JukeboxPrior.from_pretrained(convert(folder), dtype=dtype).eval()


def inputs_of(folder: Path) -> dict[str, torch.Tensor | None]:
    io = arrays(folder)
    return {"music_tokens_conds": io.get("z_cond"), "metadata": io.get("y")}


def assert_close(ours: torch.Tensor, expected: torch.Tensor, tolerance: float, what: str):
    assert ours.shape == expected.shape, f"{what}: {tuple(ours.shape)} and not {tuple(expected.shape)}"
    difference = (ours.detach().double() - expected.double()).abs().max().item()
    assert difference <= tolerance, f"{what}: off by {difference:.2e}, allowed are {tolerance:.2e}"


@for_every_case()
def test_every_tensor_of_the_case_is_known(folder):
    unknown = [name for name in arrays(folder) if not any(re.fullmatch(known, name) for known in KNOWN_TENSORS)]
    assert not unknown


@for_every_case()
def test_layers_attend_to_what_the_originals_do(folder, converted):
    numbers = ["dense_attn", "block_attn", "transpose_block_attn", "prev_block_attn", "summary_attn", "summary_spread_attn"]
    numbers += ["cross_attention", "prime_attn"]
    assert converted(folder).config.layer_attentions == [numbers[number] for number in case(folder)["attn_funcs"]]


@for_every_case()
def test_sizes_follow_from_the_numbers_of_the_original(folder, converted):
    config, expected = converted(folder).config, case(folder)
    assert config.n_ctx == expected["n_ctx"]
    assert config.hop_length == expected["raw_to_tokens"]
    assert config.n_ctx * config.hop_length == expected["sample_length"]
    assert (config.conditioning_factor if config.is_upsampler else None) == expected["cond_downsample"]
    if expected["cache_prime_len"] is not None:
        assert prime_length(config) == expected["cache_prime_len"]


@for_every_case()
@torch.no_grad()
def test_conditioning_is_the_originals(folder, converted):
    io, prior = arrays(folder), converted(folder)
    heard = prior.conditioning(**inputs_of(folder))
    if "x_cond" in io:
        # Where lyrics and music are one sequence, nothing is said about the lyrics.
        length = io["x_cond"].shape[1]
        assert_close(heard.audio[:, -length:], io["x_cond"], LOGIT_TOLERANCE, "x_cond")
        assert not heard.audio[:, :-length].any()
    if "y_cond" in io:
        assert_close(heard.start, io["y_cond"], LOGIT_TOLERANCE, "y_cond")
    if "encoder_kv" in io:
        assert_close(heard.encoder_hidden_states, io["encoder_kv"], LOGIT_TOLERANCE, "encoder_kv")
    assert (heard.start is None) == ("y_cond" not in io)


@for_every_case()
@torch.no_grad()
def test_logits_and_losses_in_bits_are_the_originals(folder, converted):
    io, prior = arrays(folder), converted(folder)
    output = prior(io["z"], **inputs_of(folder), return_attention_of=case(folder).get("lyric_attn_layer"))
    assert_close(output.logits, io["logits"], LOGIT_TOLERANCE, "logits")
    token_losses = output.token_losses
    if prior.config.has_lyric_prefix:
        token_losses = torch.cat([output.prime_token_losses, token_losses], dim=1)
        merged = torch.cat(
            [io["y"][:, -prior.config.nb_relevant_lyric_tokens :], io["z"] + prior.config.lyric_vocab_size], 1
        )
        assert torch.equal(merged, io["target_merged"])
    assert_close(token_losses, io["token_loss_bits"], LOSS_TOLERANCE, "losses of tokens")
    for ours, theirs in (("loss", "loss"), ("gen_loss", "bpd"), ("gen_loss", "gen_loss"), ("prime_loss", "prime_loss")):
        assert_close(output[ours], io[theirs], LOSS_TOLERANCE, theirs)
    if "prime_logits" in io:
        assert_close(output.prime_logits, io["prime_logits"], LOGIT_TOLERANCE, "prime_logits")
    if "lyric_attn" in io:
        assert_close(output.lyric_attention, io["lyric_attn"], 1e-5, "attention to lyrics")


@for_every_case("lyric_attn")
def test_alignment_is_the_attention_of_the_configured_head(folder, converted):
    io, prior = arrays(folder), converted(folder)
    prior.config.alignment_layer = case(folder)["lyric_attn_layer"]
    for head in range(prior.config.n_heads):
        prior.config.alignment_head = head
        weights = prior.lyric_attention(io["z"], **inputs_of(folder))
        assert_close(weights, io["lyric_attn"][:, head], 1e-5, f"head {head}")


@for_every_case("train_loss")
def test_gradients_are_the_originals(folder, converted):
    io, prior = arrays(folder), converted(folder)
    stored = torch.load(folder / case(folder)["checkpoint"], map_location="cpu", weights_only=True)["model"]
    is_half = any(tensor.dtype == torch.float16 for tensor in stored.values())
    output = prior(io["z"], **inputs_of(folder))
    assert_close(output.loss, io["train_loss"], LOSS_TOLERANCE, "loss")
    output.loss.backward()
    gradients = {name: parameter.grad for name, parameter in prior.named_parameters()}
    tolerance = HALF_GRADIENT_TOLERANCE if is_half else GRADIENT_TOLERANCE
    for key in (key for key in io if key.startswith("grad/")):
        ours = gradients[names.prior_name(key.removeprefix("grad/"))]
        assert_close(ours, io[key], tolerance * io[key].abs().max().item(), key)
    norms = {names.prior_name(key): norm for key, norm in case(folder)["grad_norms"].items()}
    assert norms.keys() == gradients.keys()
    for name, norm in norms.items():
        assert gradients[name].norm().item() == pytest.approx(norm, rel=tolerance, abs=1e-6), name


@for_every_case()
@torch.inference_mode()
def test_logits_of_single_steps_are_those_of_whole_sequences(folder, converted):
    io, prior = arrays(folder), converted(folder)
    tokens, decoder = merged_tokens(prior, folder, io["z"])
    steps = [decoder.step(tokens[:, position - 1] if position else None) for position in range(tokens.shape[1])]
    assert_close(torch.stack(steps, dim=1), io["logits"], LOGIT_TOLERANCE, "logits")


@for_every_case()
@torch.inference_mode()
def test_a_prefix_read_in_chunks_leaves_what_single_steps_leave(folder, converted):
    io, prior = arrays(folder), converted(folder)
    length = io["logits"].shape[1]
    for prefix, chunk_size in ((1, None), (length // 3, 1), (length // 2 + 1, None), (length - 5, 2 * length // 5)):
        tokens, decoder = merged_tokens(prior, folder, io["z"])
        decoder.read(tokens[:, :prefix], chunk_size)
        steps = [decoder.step(tokens[:, position - 1]) for position in range(prefix, length)]
        expected = io["logits"][:, prefix:]
        assert_close(torch.stack(steps, dim=1), expected, LOGIT_TOLERANCE, f"logits after {prefix} in {chunk_size}")


def merged_tokens(prior: JukeboxPrior, folder: Path, codes: torch.Tensor) -> tuple[torch.Tensor, TokenDecoder]:
    """The tokens of the transformer's own sequence, and the transformer at its beginning."""
    heard = prior.conditioning(**inputs_of(folder))
    if prior.config.has_lyric_prefix:
        codes = torch.cat([heard.lyrics, codes + prior.config.lyric_vocab_size], dim=1)
    return codes, TokenDecoder(prior.prior, len(codes), heard.audio, heard.start, heard.encoder_hidden_states)


@for_every_case("greedy")
def test_greedy_tokens_are_the_originals(folder, converted):
    io, prior = arrays(folder), converted(folder)
    codes = prior.sample(len(io["z"]), **inputs_of(folder), top_k=case(folder)["top_k"])
    assert torch.equal(codes, io["greedy"])


@for_every_case("greedy_logits")
@torch.inference_mode()
@pytest.mark.parametrize("is_static", [False, True], ids=["views", "static shapes"])
def test_logits_on_the_way_are_the_originals(folder, converted, is_static):
    """The tokens and logits of the transformer itself, where characters may come between codes."""
    io, prior = arrays(folder), converted(folder)
    merged = io.get("greedy_merged_tokens", io["greedy"])
    start = prior.config.nb_relevant_lyric_tokens if prior.config.has_lyric_prefix else 0
    _, decoder = merged_tokens(prior, folder, io["greedy"])
    decoder.read(merged[:, :start])
    choice = Listener(len(merged), merged.shape[1] - start, top_k=1)
    written = decoder.write(merged[:, start - 1] if start else None, choice, is_static=is_static)
    assert torch.equal(written, merged[:, start:])
    assert_close(torch.stack(choice.logits, dim=1), io["greedy_logits"][:, start:], LOGIT_TOLERANCE, "logits")


class Listener(TokenChoice):
    """Notes the logits that it chooses from."""

    def __call__(self, logits, step):
        self.logits = [*getattr(self, "logits", []), logits.clone()]
        return super().__call__(logits, step)


@for_every_case("primed_0")
def test_tokens_after_a_prefix_are_the_originals(folder, converted):
    io, prior = arrays(folder), converted(folder)
    for name in (name for name in io if re.fullmatch(r"primed_\d+", name)):
        numbers, expected = case(folder)[name], io[name]
        prefix = expected[:, : numbers["prime_len"]]
        chunk_size = numbers["chunk_size"]
        codes = prior.sample(len(expected), prefix, **inputs_of(folder), top_k=case(folder)["top_k"], chunk_size=chunk_size)
        assert torch.equal(codes, expected), name


@for_every_case("partial")
def test_tokens_of_a_part_of_the_context_are_the_originals(folder, converted):
    io, prior, numbers = arrays(folder), converted(folder), case(folder)["partial"]
    prefix = io["partial"][:, : numbers["prime_len"]]
    codes = prior.sample(
        len(prefix),
        prefix,
        **inputs_of(folder),
        top_k=case(folder)["top_k"],
        chunk_size=numbers["chunk_size"],
        sample_tokens=numbers["sample_tokens"],
    )
    assert torch.equal(codes, io["partial"])


@for_every_case("greedy")
def test_weights_in_half_precision_are_computed_with_in_float32(folder, converted):
    io, prior = arrays(folder), converted(folder, torch.float16)
    same = converted(folder, torch.float16).float()
    length = min(24, prior.config.n_ctx)
    codes = prior.sample(len(io["z"]), **inputs_of(folder), top_k=1, sample_tokens=length)
    assert torch.equal(codes, same.sample(len(io["z"]), **inputs_of(folder), top_k=1, sample_tokens=length))
