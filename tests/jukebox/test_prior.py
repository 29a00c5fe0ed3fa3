"""A prior: every attention pattern, token by token as in one piece; losses, conditioning, drawing, files."""

import math

import pytest
import torch

from hub_models.jukebox.configuration_jukebox import ATTENTION_PATTERNS, JukeboxPriorConfig
from hub_models.jukebox.decoding import TokenDecoder
from hub_models.jukebox.modeling_jukebox_prior import JukeboxPrior
from hub_models.jukebox.token_choice import TokenChoice

CODES, TOKENS, READ = 24, 24, 8
BASE = {
    "sampling_rate": 1000,
    "res_downs_t": [1, 1],
    "res_strides_t": [4, 2],
    "music_vocab_size": CODES,
    "hidden_size": 16,
    "num_layers": 4,
    "n_heads": 2,
    "attention_multiplier": 0.5,
    "attention_pattern": "raw_column_previous_row_attention",
    "n_ctx": TOKENS,
    "blocks": 4,
    "spread": 2,
    "init_scale": 5.0,
    "merged_decoder": False,
    "metadata_dims": [3, 4],
    "max_nb_genres": 2,
    "timing_dims": 8,
    "min_duration": 0.1,
    "max_duration": 10,
    "is_encoder_decoder": False,
    "nb_relevant_lyric_tokens": 0,
    "res_conv_width": 4,
    "res_conv_depth": 1,
}
SEPARATE = {
    "nb_relevant_lyric_tokens": READ,
    "lyric_vocab_size": 10,
    "encoder_config": {**BASE, "num_layers": 1, "init_scale": 3.0},
    "attention_pattern": "enc_dec_every_4_layers",
}
#: Every 16th layer hears the lyrics at the beginning of the one sequence.
JOINT = {
    "nb_relevant_lyric_tokens": READ,
    "lyric_vocab_size": 10,
    "is_encoder_decoder": True,
    "attention_pattern": "enc_dec_with_lyrics",
    "num_layers": 16,
}
UPSAMPLER = {"level": 1}
KINDS = {
    "music": {},
    "separate": SEPARATE,
    "joint": JOINT,
    "upsampler": UPSAMPLER,
    "unlabelled": {"metadata_conditioning": False},
}


def make(**changes) -> JukeboxPrior:
    """A prior with random weights, also where a new one has zeros: biases, and all that layers add that hear lyrics."""
    torch.manual_seed(0)
    prior = JukeboxPrior(JukeboxPriorConfig(**BASE | changes)).eval()
    with torch.no_grad():
        for parameter in prior.parameters():
            if not parameter.any():
                parameter.normal_(0.0, 0.1 * prior.config.init_scale)
    return prior


def inputs(prior: JukeboxPrior, count: int = 2, seed: int = 1) -> dict[str, torch.Tensor | None]:
    """Codes, and what the prior hears besides."""
    config, random = prior.config, torch.Generator().manual_seed(seed)
    given = {"music_tokens": torch.randint(CODES, (count, TOKENS), generator=random)}
    if config.is_upsampler:
        given["music_tokens_conds"] = torch.randint(CODES, (count, TOKENS // 2), generator=random)
    if config.metadata_conditioning or config.nb_relevant_lyric_tokens:
        times = torch.tensor([[2000, 100, TOKENS * config.hop_length, 2, 1, -1]]).expand(count, -1)
        lyrics = torch.randint(10, (count, config.nb_relevant_lyric_tokens), generator=random)
        given["metadata"] = torch.cat([times, lyrics], dim=1)
    return given


def conditions(prior: JukeboxPrior, count: int = 2) -> dict[str, torch.Tensor | None]:
    given = inputs(prior, count)
    del given["music_tokens"]
    return given


def decoder_of(prior: JukeboxPrior, given: dict) -> tuple[torch.Tensor, TokenDecoder]:
    """The tokens of the transformer's sequence, and the transformer at its beginning."""
    heard = prior.conditioning(given.get("music_tokens_conds"), given.get("metadata"))
    tokens = given["music_tokens"]
    if prior.config.has_lyric_prefix:
        tokens = torch.cat([heard.lyrics, tokens + prior.config.lyric_vocab_size], dim=1)
    return tokens, TokenDecoder(prior.prior, len(tokens), heard.audio, heard.start, heard.encoder_hidden_states)


#: A prior of each pattern; those that hear lyrics through an encoder have one, and as many layers as it takes.
PATTERNS = {
    name: {"attention_pattern": name, "num_layers": 5}
    | ({**SEPARATE, "attention_pattern": name, "num_layers": layers} if (layers := depth) else {})
    | ({**JOINT} if name == "enc_dec_with_lyrics" else {})
    for name, depth in {
        **dict.fromkeys(ATTENTION_PATTERNS),
        "enc_dec_every_4_layers": 4,
        "enc_dec_every_16_layers": 16,
        "enc_dec_every_10_layers": 10,
        "large_separated_enc_dec_w_lyrics": 19,
        "separated_enc_dec_with_dense_attention": 48,
    }.items()
}


# ---- Attention


@pytest.mark.parametrize("pattern", PATTERNS)
@torch.inference_mode()
def test_single_steps_give_what_the_whole_sequence_gives(pattern):
    prior = make(**PATTERNS[pattern])
    given = inputs(prior)
    expected = prior(**given).logits
    tokens, decoder = decoder_of(prior, given)
    steps = [decoder.step(tokens[:, place - 1] if place else None) for place in range(tokens.shape[1])]
    torch.testing.assert_close(torch.stack(steps, dim=1), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pattern", PATTERNS)
@torch.inference_mode()
def test_a_prefix_that_is_read_in_chunks_leaves_what_single_steps_leave(pattern):
    prior = make(**PATTERNS[pattern])
    given = inputs(prior)
    expected = prior(**given).logits
    for prefix, chunk_size in ((1, None), (13, 6), (20, 1), (23, 100)):
        tokens, decoder = decoder_of(prior, given)
        decoder.read(tokens[:, :prefix], chunk_size)
        steps = [decoder.step(tokens[:, place - 1]) for place in range(prefix, tokens.shape[1])]
        torch.testing.assert_close(torch.stack(steps, dim=1), expected[:, prefix:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pattern", PATTERNS)
@torch.inference_mode()
def test_steps_of_static_shapes_write_the_same(pattern):
    """What a GPU replays as a CUDA graph, computed here without one."""
    prior = make(**PATTERNS[pattern])

    def written(is_static):
        tokens, decoder = decoder_of(prior, inputs(prior))
        prefix = tokens.shape[1] - 18
        decoder.read(tokens[:, :prefix])
        choice = TokenChoice(len(tokens), 18, temperature=0.9, generator=torch.Generator().manual_seed(0))
        return decoder.write(tokens[:, prefix - 1], choice, is_static=is_static)

    found = written(False)
    assert len(found.unique()) > 4
    assert torch.equal(found, written(True))


@pytest.mark.parametrize("pattern", PATTERNS)
@torch.inference_mode()
def test_no_token_hears_those_after_it(pattern):
    prior = make(**PATTERNS[pattern])
    given = inputs(prior)
    logits = prior(**given).logits
    given["music_tokens"][:, 15:] = (given["music_tokens"][:, 15:] + 1) % CODES
    changed = prior(**given).logits
    place = logits.shape[1] - TOKENS + 16
    assert torch.equal(changed[:, :place], logits[:, :place])
    assert not torch.equal(changed[:, place:], logits[:, place:])


@pytest.mark.parametrize("kind", ["separate", "joint"])
@torch.inference_mode()
def test_attention_to_lyrics_can_be_seen(kind):
    prior = make(**KINDS[kind])
    given = inputs(prior)
    layer = prior.config.lyric_layers[-1]
    attention = prior(**given, return_attention_of=layer).lyric_attention
    assert attention.shape == (2, 2, TOKENS, READ)
    assert (attention >= 0).all()
    total = attention.sum(-1)
    assert (total <= 1 + 1e-5).all()
    if kind == "separate":  # nothing else is heard there
        torch.testing.assert_close(total, torch.ones_like(total))
    prior.config.alignment_layer, prior.config.alignment_head = layer, 1
    assert torch.equal(prior.lyric_attention(**given), attention[:, 1])


def test_only_layers_that_hear_lyrics_show_attention_to_them():
    prior = make(**SEPARATE)
    with pytest.raises(ValueError, match=r"Layer 0 does not attend to lyrics; of this prior \[3\] do"):
        prior(**inputs(prior), return_attention_of=0)
    prior = make()
    with pytest.raises(ValueError, match="Layer 3 does not attend to lyrics; of this prior none do"):
        prior(**inputs(prior), return_attention_of=3)
    with pytest.raises(ValueError, match="This prior hears no lyrics"):
        prior.lyric_attention(**inputs(prior))


# ---- Losses and conditioning


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_losses_are_bits_of_what_is_right(kind):
    prior = make(**KINDS[kind])
    given = inputs(prior)
    output = prior(**given)
    offset = prior.config.lyric_vocab_size if kind == "joint" else 0
    chances = output.logits[:, -TOKENS:].softmax(-1)
    right = chances.gather(-1, (given["music_tokens"] + offset)[..., None])[..., 0]
    torch.testing.assert_close(output.token_losses, -right.log2(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(output.gen_loss, output.token_losses.mean())
    if prior.config.nb_relevant_lyric_tokens:
        assert output.prime_token_losses.shape == (2, READ)
        torch.testing.assert_close(output.prime_loss, output.prime_token_losses.mean())
        expected = (0.4 * READ * output.prime_loss + TOKENS * output.gen_loss) / (READ + TOKENS)
        torch.testing.assert_close(output.loss, expected)
    else:
        assert output.prime_token_losses is None
        assert output.loss == output.gen_loss


def test_a_new_prior_is_as_good_as_guessing():
    prior = JukeboxPrior(JukeboxPriorConfig(**BASE | {"init_scale": 0.01})).eval()
    assert prior(**inputs(prior)).gen_loss.item() == pytest.approx(math.log2(CODES), abs=0.01)


def changed(given: dict, column: int, value: int) -> dict:
    metadata = given["metadata"].clone()
    metadata[:, column] = value
    return {**given, "metadata": metadata}


@pytest.mark.parametrize("column", [0, 1, 3, 4, 6], ids=["length", "time", "artist", "genre", "lyrics"])
@torch.inference_mode()
def test_the_top_prior_hears_times_artist_genre_and_lyrics(column):
    prior = make(**SEPARATE)
    given = inputs(prior)
    other = changed(given, column, {0: 9000, 1: 800, 3: 0, 4: 0, 6: (int(given["metadata"][0, 6]) + 5) % 10}[column])
    assert not torch.allclose(prior(**given).logits, prior(**other).logits)


@torch.inference_mode()
def test_an_upsampler_hears_the_codes_above_and_no_times():
    prior = make(**UPSAMPLER)
    given = inputs(prior)
    logits = prior(**given).logits
    assert torch.equal(prior(**changed(given, 1, 800)).logits, logits)
    above = (given["music_tokens_conds"] + 1) % CODES
    assert not torch.allclose(prior(**{**given, "music_tokens_conds": above}).logits, logits)


@torch.inference_mode()
def test_genres_are_a_bag():
    prior = make()
    given = inputs(prior)
    one, other = changed(changed(given, 4, 1), 5, 2), changed(changed(given, 4, 2), 5, 1)
    torch.testing.assert_close(prior(**one).logits, prior(**other).logits)
    assert not torch.allclose(prior(**one).logits, prior(**given).logits)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (
            "music",
            {"music_tokens": torch.zeros(2, 23).long()},
            r"music_tokens must be of shape \(batch, 24\), got \(2, 23\)",
        ),
        ("music", {"music_tokens": torch.zeros(2, 24)}, "music_tokens must be integers, got torch.float32"),
        ("music", {"music_tokens": torch.full((2, 24), 24)}, "music_tokens must be from 0 to 23, got 24"),
        ("music", {"metadata": None}, r"metadata must be of shape \(batch, 6\), got None"),
        ("music", {"metadata": torch.zeros(2, 9).long()}, r"metadata must be of shape \(batch, 6\), got \(2, 9\)"),
        ("music", (3, 4), "Ids of artist must be from 0 to 3, got 4"),
        ("music", (4, 3), "Ids of genre must be from -1 to 2, got 3"),
        ("music", (0, 50), "total length in samples must be within 100 and 10000, got 50 in row 0"),
        ("music", (1, 9990), "position in samples must be within 0 and 10000, got 9990 to 10182 in row 0"),
        ("separate", (-1, 10), "lyrics in metadata must be from 0 to 9, got 10"),
        ("upsampler", {"music_tokens_conds": None}, r"music_tokens_conds must be of shape \(batch, 12\), got None"),
        ("upsampler", {"music_tokens_conds": torch.full((2, 12), -1)}, "music_tokens_conds must be from 0 to 23, got -1"),
    ],
)
def test_what_a_prior_cannot_hear_is_refused(kind, change, message):
    prior = make(**KINDS[kind])
    given = inputs(prior)
    given = changed(given, *change) if isinstance(change, tuple) else given | change
    with pytest.raises(ValueError, match=message):
        prior(**given)


def test_gradients_are_the_same_where_layers_are_computed_again():
    def gradients(again):
        prior = make(**SEPARATE).train()
        if again:
            prior.activation_checkpointing_enable()
        prior(**inputs(prior)).loss.backward()
        return {name: parameter.grad for name, parameter in prior.named_parameters()}

    once = gradients(False)
    assert all(gradient is not None for gradient in once.values())
    for name, gradient in gradients(True).items():
        torch.testing.assert_close(gradient, once[name], msg=name)


# ---- Drawing


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drawn_is_what_the_logits_say(kind):
    """Greedy codes are the likeliest of a pass over all of them."""
    prior = make(**KINDS[kind])
    given = conditions(prior)
    codes = prior.sample(2, **given, top_k=1)
    assert codes.shape == (2, TOKENS)
    logits = prior(codes, **given).logits[:, -TOKENS:]
    offset = prior.config.lyric_vocab_size if kind == "joint" else 0
    best = (logits.argmax(-1) - offset).clamp(min=0)
    # A character among the codes becomes code 0; what follows it was drawn after the character.
    until = min([int(row.argmax()) for row in (logits.argmax(-1) < offset).int() if row.any()] + [TOKENS - 1]) + 1
    assert torch.equal(codes[:, :until], best[:, :until])


def test_drawing_goes_on_from_known_codes_to_the_length_that_is_asked_for():
    prior = make()
    known = torch.tensor([[3, 1, 4], [1, 5, 9]])
    codes = prior.sample(2, known, **conditions(prior), sample_tokens=10)
    assert codes.shape == (2, 10)
    assert torch.equal(codes[:, :3], known)
    whole = prior.sample(2, **conditions(prior), top_k=1)
    assert torch.equal(prior.sample(2, whole[:, :11], **conditions(prior), top_k=1, chunk_size=4), whole)


def test_what_was_drawn_can_be_trained_on():
    prior = make()
    prior(prior.sample(2, **conditions(prior)), **conditions(prior)).loss.backward()
    assert prior.prior.embed_tokens.weight.grad.any()


def test_one_row_of_labels_is_for_all_samples():
    prior = make(**UPSAMPLER)
    one, both = conditions(prior, 1), {name: value.expand(3, -1) for name, value in conditions(prior, 1).items()}
    assert torch.equal(prior.sample(3, **one, top_k=1), prior.sample(3, **both, top_k=1))
    with pytest.raises(ValueError, match="must have one row, or one for each of 3 samples, got 2"):
        prior.sample(3, **conditions(prior, 2))


def test_draws_follow_from_generators_and_rows_have_their_own():
    prior = make()

    def drawn(*seeds):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return prior.sample(len(seeds), **conditions(prior, 1), generator=generators)

    both = drawn(1, 2)
    assert torch.equal(both[:1], drawn(1))
    assert torch.equal(both[1:], drawn(2))
    assert not torch.equal(both[0], both[1])
    shared = [prior.sample(2, **conditions(prior), generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*shared)
    with pytest.raises(ValueError, match="one generator for each of 2 rows, got 1"):
        prior.sample(2, **conditions(prior), generator=[torch.Generator()])


@torch.inference_mode()
def test_codes_are_drawn_as_often_as_they_are_likely():
    prior, rows = make(), 4000
    given = conditions(prior, 1)
    for temp in (1.0, 2.0):
        codes = prior.sample(rows, **given, temp=temp, sample_tokens=1, generator=torch.Generator().manual_seed(0))
        logits = prior(torch.zeros(1, TOKENS, dtype=torch.long), **given).logits[0, 0]
        chances = (logits / temp).softmax(-1)
        counts = torch.bincount(codes[:, 0], minlength=CODES) / rows
        assert (counts - chances).abs().max() < 4 * 0.5 / rows**0.5


@torch.inference_mode()
def test_unlikely_codes_can_be_left_out():
    prior, given = make(init_scale=2.0), conditions(make(), 1)
    chances = prior(torch.zeros(1, TOKENS, dtype=torch.long), **given).logits[0, 0].softmax(-1)
    order = chances.argsort(descending=True).tolist()
    three = prior.sample(300, **given, top_k=3, sample_tokens=1)
    assert set(three.flatten().tolist()) == set(order[:3])
    count = next(count for count in range(1, CODES) if chances[order[:count]].sum() > 0.5)
    half = prior.sample(300, **given, top_p=0.5, sample_tokens=1)
    assert set(half.flatten().tolist()) <= set(order[:count])


def test_who_listens_is_told_how_many_codes_there_are_and_can_end_it():
    prior, told = make(), []
    prior.sample(1, torch.zeros(1, 4).long(), **conditions(prior, 1), on_tokens=told.append)
    assert told == [20, 24]

    def stop(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prior.sample(1, **conditions(prior, 1), on_tokens=stop)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temp": 0.0}, "temp must be above 0 and finite, got 0.0; top_k=1 always takes the likeliest"),
        ({"temp": float("nan")}, "temp must be above 0"),
        ({"top_k": -1}, "top_k must be a whole number from 0, got -1"),
        ({"top_p": 1.5}, "top_p must be from 0 to 1, got 1.5"),
        ({"top_k": 2, "top_p": 0.5}, "Give top_k or top_p, not both"),
        ({"sample_tokens": 25}, "sample_tokens must be from 1 to 24, got 25"),
        ({"sample_tokens": 0}, "sample_tokens must be from 1 to 24, got 0"),
        ({"music_tokens": torch.zeros(1, 3).long()}, r"music_tokens must be of shape \(2, at most 24\), got \(1, 3\)"),
        ({"music_tokens": torch.full((2, 3), 24)}, "music_tokens must be from 0 to 23, got 24"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    prior = make()
    with pytest.raises(ValueError, match=message):
        prior.sample(2, **conditions(prior), **arguments)


def test_damaged_weights_are_told_and_not_drawn_from():
    prior = make()
    with torch.no_grad():
        prior.prior.transformer._attn_mods[0].mlp.c_fc.weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="logits that are not finite numbers, at or before token 16"):
        prior.sample(1, **conditions(prior, 1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision_are_computed_with_in_float32_on_a_cpu(dtype):
    prior = make(**SEPARATE).to(dtype)
    codes = prior.sample(2, **conditions(prior), top_k=1)
    assert torch.equal(codes, prior.float().sample(2, **conditions(prior), top_k=1))


# ---- Files


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_saved_and_loaded_it_computes_the_same(kind, tmp_path):
    prior = make(**KINDS[kind])
    prior.save_pretrained(tmp_path)
    loaded = JukeboxPrior.from_pretrained(tmp_path).eval()
    assert torch.equal(loaded(**inputs(prior)).logits, prior(**inputs(prior)).logits)


def test_the_output_is_the_embedding_unless_the_decoder_is_merged(tmp_path):
    tied, own = make(), make(merged_decoder=True)
    assert tied.prior.fc_proj_out.weight is tied.prior.embed_tokens.weight
    assert own.prior.fc_proj_out.weight is not own.prior.embed_tokens.weight
    for number, prior in enumerate((tied, own)):
        folder = tmp_path / str(number)
        prior.save_pretrained(folder)
        loaded = JukeboxPrior.from_pretrained(folder).prior
        assert (loaded.fc_proj_out.weight is loaded.embed_tokens.weight) == (prior is tied)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_stored_in_half_precision_are_float32_in_memory_unless_asked_otherwise(dtype, tmp_path):
    make().to(dtype).save_pretrained(tmp_path)
    assert JukeboxPrior.from_pretrained(tmp_path).dtype == torch.float32
    assert JukeboxPrior.from_pretrained(tmp_path, dtype=dtype).dtype == dtype


def test_weights_that_do_not_fit_are_never_made_up(tmp_path):
    prior = make()
    state = prior.state_dict()
    missing = {name: value for name, value in state.items() if not name.endswith("pos_emb.pos_emb")}
    prior.save_pretrained(tmp_path / "missing", state_dict=missing)
    with pytest.raises(
        ValueError, match=r"do not fit the configuration: tensors 1 missing \(such as prior.pos_emb.pos_emb\)"
    ):
        JukeboxPrior.from_pretrained(tmp_path / "missing")
    prior.save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match=r"do not fit the configuration: tensors .* of another shape"):
        JukeboxPrior.from_pretrained(tmp_path / "other", config=JukeboxPriorConfig(**BASE | {"n_ctx": 28}))
