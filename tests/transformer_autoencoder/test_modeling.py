"""What the network promises, on small random models."""

import pytest
import torch
import torch.nn.functional as F
from huggingface_hub.errors import StrictDataclassClassValidationError
from transformers import AutoConfig, AutoModel

from hub_models.transformer_autoencoder import (
    PRESETS,
    TransformerAutoencoderConfig,
    TransformerAutoencoderForConditionalGeneration,
    TransformerAutoencoderModel,
    mix_styles,
)
from hub_models.transformer_autoencoder.attention import (
    RelativePositions,
    absolute_to_relative,
    relative_to_absolute,
    timing_signal,
)

from .conftest import KINDS, SMALL, conditions, events, sequence, small_model


@pytest.mark.parametrize("name", list(PRESETS))
@pytest.mark.parametrize("kind", list(KINDS))
def test_every_preset_builds_every_model(name, kind):
    config = TransformerAutoencoderConfig.from_preset(name, **{"melody_encoder": False, **KINDS[kind]})
    with torch.device("meta"):
        model = TransformerAutoencoderModel(config)
    assert (model.melody_encoder is not None) == config.melody_encoder
    assert (model.performance_encoder is not None) == (config.performance_encoder != "none")
    assert len(model.decoder.layers) == config.num_hidden_layers


def test_published_checkpoints_have_their_published_sizes():
    for name, size in {"unconditional_model_16": 50_565_120, "melody_conditioned_model_16": 117_987_328}.items():
        with torch.device("meta"):
            model = TransformerAutoencoderForConditionalGeneration(TransformerAutoencoderConfig.from_preset(name))
        ours = sum(parameter.numel() for parameter in model.parameters())
        unused = 31 * 512 if model.config.melody_encoder else 0  # rows of target spaces that there are not
        assert ours + unused == size


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 0}, "hidden_size must be between 1 and 16384, got 0"),
        ({"key_size": 50}, "key_size must be a multiple of the 4 heads, got 50"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"attention_type": "local"}, "attention_type must be one of relative, absolute, got 'local'"),
        ({"performance_encoder": "sequence", "melody_encoder": True}, "takes no melody"),
        ({"num_hidden_layers": 1000}, "num_hidden_layers must be between 1 and 128"),
        ({"context_length": 0}, "context_length must be between"),
    ],
)
def test_numbers_that_no_model_can_have_are_refused(fields, message):
    with pytest.raises(StrictDataclassClassValidationError, match=message):
        TransformerAutoencoderConfig(**{**SMALL, **fields})


def test_an_unknown_preset_is_refused_with_those_that_exist():
    with pytest.raises(ValueError, match=r"no preset 'tiny'.*t_rel_len2048_dropout15_tiny"):
        TransformerAutoencoderConfig.from_preset("tiny")


def naive_relative_logits(query: torch.Tensor, table: torch.Tensor, num_keys: int) -> torch.Tensor:
    """Logits of one row and head: queries (T, D), of which the last is the last key, and a table (R, D)."""
    num_queries, reach = len(query), len(table)
    logits = torch.zeros(num_queries, num_keys)
    for i in range(num_queries):
        for j in range(num_keys):
            distance = num_keys - num_queries + i - j
            if 0 <= distance < reach:
                logits[i, j] = query[i] @ table[reach - 1 - distance]
    return logits


@pytest.mark.parametrize(("num_queries", "num_keys"), [(1, 1), (5, 5), (12, 12), (20, 20), (1, 7), (1, 30), (4, 9), (4, 30)])
def test_relative_logits_are_those_of_the_distances(num_queries, num_keys):
    positions = RelativePositions(3, 12, 8, shared=False)
    torch.nn.init.normal_(positions.weight)
    query = torch.randn(2, 3, num_queries, 8)
    ours = positions(query, num_keys).detach()
    causal = torch.ones(num_queries, num_keys).tril(num_keys - num_queries).bool()
    for row in range(2):
        for head in range(3):
            naive = naive_relative_logits(query[row, head], positions.weight[head].detach(), num_keys)
            torch.testing.assert_close(ours[row, head][causal], naive[causal])


def test_keys_after_the_query_get_what_the_original_leaves_there():
    by_distance = torch.arange(16.0).view(4, 4)
    absolute = relative_to_absolute(by_distance)
    for i in range(4):
        for j in range(4):
            # After the query: one zero, then the next row's farthest distances.
            leftover = 0.0 if j == i + 1 else by_distance[min(i + 1, 3), max(j - i - 2, 0)]
            assert absolute[i, j] == (by_distance[i, 3 - i + j] if j <= i else leftover)


def test_skewing_back_and_forth_is_the_identity_on_causal_weights():
    weights = torch.rand(2, 3, 6, 6).tril()
    torch.testing.assert_close(relative_to_absolute(absolute_to_relative(weights)).tril(), weights)
    lower = torch.rand(2, 4, 9).tril(5)
    torch.testing.assert_close(relative_to_absolute(absolute_to_relative(lower)).tril(5), lower)


def test_the_timing_signal_is_sines_then_cosines():
    signal = timing_signal(50, 7)
    assert signal.shape == (50, 7)
    torch.testing.assert_close(signal[:, 0], torch.arange(50.0).sin())
    torch.testing.assert_close(signal[:, 3], torch.arange(50.0).cos())
    torch.testing.assert_close(signal[:, 2], (torch.arange(50.0) / 10_000).sin())
    assert not signal[:, 6].any()


def test_no_event_hears_what_comes_after_it(model):
    ids, heard = sequence(2, 20), conditions(model, 2)
    changed = ids.clone()
    changed[:, 11:] = events(2, 9, seed=9)
    ours, other = model(ids, **heard).logits, model(changed, **heard).logits
    torch.testing.assert_close(ours[:, :11], other[:, :11])
    assert (ours[:, 11:] - other[:, 11:]).abs().max() > 1e-3


def test_every_condition_is_heard(model):
    ids, heard = sequence(1, 20), conditions(model, 1)
    before = model(ids, **heard).logits
    for name in heard:
        changed = {**heard, name: conditions(model, 1, seed=7)[name]}
        assert (model(ids, **changed).logits - before).abs().max() > 1e-4, name


def test_a_row_does_not_depend_on_its_batch_nor_on_padding(model):
    ids, heard = sequence(2, 20), conditions(model, 2)
    for name, value in heard.items():
        heard[name] = value.clone()
        heard[name][1, 6:] = 0
    together = model(ids, **heard)
    alone = model(ids[1:], **{name: value[1:, :6] for name, value in heard.items()})
    torch.testing.assert_close(together.logits[1:], alone.logits, atol=1e-4, rtol=1e-4)
    if together.style is not None:
        torch.testing.assert_close(together.style[1:], alone.style, atol=1e-5, rtol=1e-4)


def test_with_the_quirks_of_the_original_padding_matters():
    model = small_model(performance_encoder="style", original_quirks=True)
    performance = events(1, 15)
    padded = F.pad(performance, (0, 6))
    assert (model.encode_style(performance) - model.encode_style(padded)).abs().max() > 1e-3


def test_masks_say_the_same_as_zeros():
    model = small_model(**KINDS["sum"])
    heard = conditions(model, 1)
    cut = {name: value.masked_fill(torch.arange(value.shape[1]) >= 5, 0) for name, value in heard.items()}
    masks = {
        name.replace("_ids", "_attention_mask"): (torch.arange(value.shape[1]) < 5).long()[None]
        for name, value in heard.items()
    }
    ids = sequence(1, 9)
    torch.testing.assert_close(model(ids, **heard, **masks).logits, model(ids, **cut).logits)


def test_loss_is_the_mean_negative_log_likelihood_of_real_events():
    model = small_model()
    ids = sequence(2, 20)
    ids[1, 15:] = 0
    output = model(ids, labels=ids)
    nll = -output.logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
    asked = ids[:, 1:] != 0
    torch.testing.assert_close(output.loss, nll[asked].mean())
    ignored = ids.masked_fill(ids == 0, -100)
    torch.testing.assert_close(model(ids, labels=ignored).loss, output.loss)


def test_label_smoothing_is_that_of_tensor2tensor_and_for_training_alone():
    model = small_model(label_smoothing=0.1)
    ids = sequence(2, 20)
    plain = model(ids, labels=ids).loss
    model.train()
    smoothed = model(ids, labels=ids)
    log_probabilities = smoothed.logits[:, :-1].log_softmax(-1)
    soft = torch.full_like(log_probabilities, 0.1 / 309).scatter_(-1, ids[:, 1:, None], 0.9)
    least = -(0.9 * torch.tensor(0.9).log() + 0.1 * torch.tensor(0.1 / 309).log())
    torch.testing.assert_close(smoothed.loss, -(soft * log_probabilities).sum(-1).mean() - least)
    assert not torch.isclose(plain, smoothed.loss)


def test_stored_styles_stand_for_performances():
    model = small_model(**KINDS["sum"])
    heard = conditions(model, 2)
    style = model.encode_style(heard["performance_ids"])
    ids = sequence(2, 12)
    stored = model(ids, style=style, melody_ids=heard["melody_ids"])
    torch.testing.assert_close(stored.logits, model(ids, **heard).logits)
    torch.testing.assert_close(mix_styles(style, [1.0, 0.0]), style[0])
    torch.testing.assert_close(mix_styles(style), style.mean(0))
    torch.testing.assert_close(mix_styles(style, [3.0, 1.0]), 0.75 * style[0] + 0.25 * style[1])


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0], [float("nan"), 1.0]])
def test_weights_that_mix_nothing_are_refused(weights):
    with pytest.raises(ValueError, match="weights"):
        mix_styles(torch.zeros(2, 32), weights)


def test_conditions_that_do_not_fit_the_model_are_refused():
    ids, heard = sequence(1, 5), {"performance_ids": events(1, 5), "melody_ids": events(1, 5, 92)}
    with pytest.raises(ValueError, match="hears no performance and no melody; it was given performance_ids"):
        small_model()(ids, performance_ids=heard["performance_ids"])
    with pytest.raises(ValueError, match="performance_ids or style and melody_ids; it was given melody_ids"):
        small_model(**KINDS["sum"])(ids, melody_ids=heard["melody_ids"])
    with pytest.raises(ValueError, match="given neither"):
        small_model(**KINDS["style"])(ids)
    with pytest.raises(ValueError, match="has no styles"):
        small_model(**KINDS["sequence"]).encode_style(heard["performance_ids"])


def test_saved_models_come_back_whole(model, tmp_path):
    ids, heard = sequence(1, 10), conditions(model, 1)
    before = model(ids, **heard).logits
    model.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("*.bin"))
    loaded = AutoModel.from_pretrained(tmp_path)
    assert isinstance(loaded, TransformerAutoencoderForConditionalGeneration)
    assert AutoConfig.from_pretrained(tmp_path).to_dict()["context_length"] == 24
    torch.testing.assert_close(loaded.eval()(ids, **heard).logits, before)
    headless = TransformerAutoencoderModel.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(headless(ids, **heard).last_hidden_state @ loaded.lm_head.weight.t(), before)


def test_tied_tables_stay_tied(tmp_path):
    model = small_model(tie_word_embeddings=True)
    assert model.lm_head.weight is model.model.event_embedding.weight
    model.save_pretrained(tmp_path)
    loaded = TransformerAutoencoderForConditionalGeneration.from_pretrained(tmp_path)
    assert loaded.lm_head.weight is loaded.model.event_embedding.weight


def test_weights_that_do_not_fit_are_an_error(tmp_path):
    model = small_model()
    model.save_pretrained(tmp_path)
    wider = TransformerAutoencoderConfig(**{**SMALL, "num_hidden_layers": 3})
    wider.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="do not fit the configuration"):
        TransformerAutoencoderForConditionalGeneration.from_pretrained(tmp_path)


def test_half_precision_on_disk_is_float32_when_loaded(tmp_path):
    model = small_model()
    ids = sequence(1, 10)
    before = model(ids).logits
    model.half().save_pretrained(tmp_path)
    loaded = TransformerAutoencoderForConditionalGeneration.from_pretrained(tmp_path).eval()
    assert loaded.dtype == torch.float32
    torch.testing.assert_close(loaded(ids).logits, before, atol=2e-2, rtol=2e-2)


def test_gradient_checkpointing_changes_no_gradient(model):
    ids, heard = sequence(2, 12), conditions(model, 2)
    model.train()
    model(ids, labels=ids, **heard).loss.backward()
    plain = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    model.activation_checkpointing_enable()
    model(ids, labels=ids, **heard).loss.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, plain[name])


def test_attentions_and_hidden_states_are_those_of_the_decoder(model):
    output = model(sequence(2, 12), **conditions(model, 2), output_attentions=True, output_hidden_states=True)
    assert [weights.shape for weights in output.attentions] == [(2, 4, 12, 12)] * 2
    for weights in output.attentions:
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 12))
        assert not weights.triu(1).any()
    assert len(output.hidden_states) == 3
    assert len(output.cross_attentions) == (2 if model.config.is_conditional else 0)


def test_new_models_start_near_the_uniform_distribution():
    torch.manual_seed(0)
    config = TransformerAutoencoderConfig.from_preset("t_rel_len2048_dropout15_tiny", performance_encoder="style")
    model = TransformerAutoencoderForConditionalGeneration(config).eval()
    ids = sequence(2, 40)
    loss = model(ids, labels=ids, performance_ids=ids[:, 1:]).loss.item()
    assert abs(loss - 5.74) < 0.5  # ln 310
