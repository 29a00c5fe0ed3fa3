"""Writing performances: caches, windows, primers, seeds, stopping."""

import pytest
import torch
from transformers import DynamicCache
from transformers.generation.streamers import BaseStreamer

from hub_models.transformer_autoencoder.attention import PerformanceCache
from hub_models.transformer_autoencoder.generation import melody_after, prepare_primer, window_start

from .conftest import KINDS, conditions, events, sequence, small_model

FREE = {"eos_token_id": None, "do_sample": False}


def test_an_event_at_a_time_gives_the_logits_of_all_at_once(model):
    ids, heard = sequence(2, 30), conditions(model, 2)
    whole = model(ids, **heard).logits
    for cache in (PerformanceCache(2), DynamicCache(config=model.config)):
        first = model(ids[:, :7], **heard, cache=cache).logits
        chunk = model(ids[:, 7:12], **heard, cache=cache).logits
        steps = [model(ids[:, i : i + 1], **heard, cache=cache).logits for i in range(12, 30)]
        torch.testing.assert_close(torch.cat([first, chunk, *steps], dim=1), whole, atol=1e-4, rtol=1e-4)
        assert cache.get_seq_length() == 30


def test_cached_generation_equals_recomputation_far_beyond_the_context(model):
    heard = conditions(model, 2)
    cached = model.generate(**heard, max_new_tokens=100, **FREE)
    assert torch.equal(cached, model.generate(**heard, max_new_tokens=100, use_cache=False, **FREE))
    assert cached.shape == (2 if heard else 1, 101)
    drawn = {**FREE, "do_sample": True, "seed": 3, "max_new_tokens": 60}
    assert torch.equal(model.generate(**heard, **drawn), model.generate(**heard, **drawn, use_cache=False))


def test_within_the_context_generation_is_the_argmax_of_the_whole():
    model = small_model()
    ids = model.generate(max_new_tokens=20, **FREE)
    assert torch.equal(model(ids).logits[0, :-1].argmax(-1), ids[0, 1:])


def test_beyond_the_context_only_the_window_is_heard():
    model = small_model()
    context = model.config.context_length
    ids = model.generate(max_new_tokens=3 * context, **FREE)[0]
    for length in (context + 1, 2 * context, 3 * context):
        heard = ids[window_start(length, context) : length].clone()
        heard[0] = 0  # a window starts as a sequence does
        assert model(heard[None]).logits[0, -1].argmax() == ids[length]


@pytest.mark.parametrize("context", [1, 2, 7, 24, 2048])
def test_the_window_holds_between_half_and_all_of_the_context(context):
    starts = [window_start(length, context) for length in range(1, 5 * context)]
    assert starts == sorted(starts)
    for length, start in enumerate(starts, start=1):
        assert length - start <= context
        assert length - start >= min(length, context - max(context // 2, 1))


def test_seeds_make_draws_reproducible_whatever_else_draws(model):
    heard = conditions(model, 2)
    options = {**heard, "max_new_tokens": 30, "do_sample": True, "eos_token_id": None}
    first = model.generate(**options, seed=5)
    torch.randn(7)
    assert torch.equal(first, model.generate(**options, seed=5))
    assert torch.equal(first, model.generate(**options, generator=torch.Generator().manual_seed(5)))
    assert not torch.equal(first, model.generate(**options, seed=6))
    with pytest.raises(ValueError, match="a seed or a generator, not both"):
        model.generate(**options, seed=5, generator=torch.Generator())


def test_the_settings_of_sampling_are_heard():
    model = small_model()
    greedy = model.generate(max_new_tokens=40, **FREE)
    options = {"max_new_tokens": 40, "do_sample": True, "eos_token_id": None, "seed": 1}
    assert torch.equal(greedy, model.generate(**options, top_k=1))
    assert torch.equal(greedy, model.generate(**options, top_p=1e-6, top_k=0))
    assert torch.equal(greedy, model.generate(**options, temperature=1e-4))
    assert not torch.equal(greedy, model.generate(**options, temperature=2.0))


def test_rows_are_written_as_if_alone_and_several_for_each():
    model = small_model(**KINDS["sum"])
    heard = conditions(model, 3)
    together = model.generate(**heard, max_new_tokens=30, **FREE)
    alone = model.generate(**{name: value[2:] for name, value in heard.items()}, max_new_tokens=30, **FREE)
    assert torch.equal(together[2:], alone)
    drawn = model.generate(**heard, max_new_tokens=10, do_sample=True, num_return_sequences=4, seed=1)
    assert len(drawn) == 12
    assert len(torch.unique(drawn[:4], dim=0)) > 1


def test_one_style_serves_several_melodies():
    model = small_model(**KINDS["sum"])
    heard = conditions(model, 3)
    style = model.encode_style(heard["performance_ids"])[1]
    ids = model.generate(style=style, melody_ids=heard["melody_ids"], max_new_tokens=20, **FREE)
    heard["performance_ids"] = heard["performance_ids"][[1, 1, 1]]
    assert torch.equal(ids, model.generate(**heard, max_new_tokens=20, **FREE))
    with pytest.raises(ValueError, match="equal numbers, or one for all"):
        model.generate(style=style.expand(2, -1), melody_ids=heard["melody_ids"], max_new_tokens=5)


def test_a_primer_is_continued(model):
    heard, primer = conditions(model, 1), events(1, 10, seed=4)
    ids = model.generate(primer, **heard, max_new_tokens=10, **FREE)
    assert ids[0, 0] == 0
    assert torch.equal(ids[:, 1:11], primer)
    started = torch.nn.functional.pad(primer, (1, 0))
    assert torch.equal(ids, model.generate(started, **heard, max_new_tokens=10, **FREE))
    assert model(ids[:, :-1], **heard).logits[0, -1].argmax() == ids[0, -1]


def test_primers_of_different_lengths_are_continued_as_if_alone(model):
    heard, primers = conditions(model, 2), events(2, 10, seed=4)
    primers[1, :6] = 0
    together = model.generate(primers, **heard, max_new_tokens=12, **FREE)
    alone = model.generate(primers[1:, 6:], **{name: value[1:] for name, value in heard.items()}, max_new_tokens=12, **FREE)
    assert torch.equal(together[1, 6:], alone[0])
    first = model.generate(primers[:1], **{n: v[:1] for n, v in heard.items()}, max_new_tokens=12, **FREE)
    assert torch.equal(together[0], first[0])


def test_a_primer_longer_than_the_context_is_continued_from_its_end():
    model = small_model()
    primer = events(1, 100, seed=2)
    ids = model.generate(primer, max_new_tokens=5, **FREE)
    assert torch.equal(ids[:, 1:101], primer)
    heard = ids[:, window_start(101, 24) : 101].clone()
    heard[:, 0] = 0
    assert model(heard).logits[0, -1].argmax() == ids[0, 101]


def test_melodies_go_on_where_the_performance_is():
    melody = torch.tensor([[4, 5, 6, 7, 8, 9], [10, 11, 12, 0, 0, 0]])
    events_before = torch.tensor([[0, 5, 187, 187, 60], [0, 277, 277, 277, 3]])  # 0.2 s and 3 s
    assert melody_after(melody, events_before, 24).tolist() == [[6, 7, 8, 9], [2, 0, 0, 0]]
    assert melody_after(melody, events_before, 2).tolist() == [[6, 7], [2, 0]]
    assert melody_after(melody, events_before[:, :1], 24).tolist() == melody.tolist()


def test_a_later_window_hears_the_melody_of_its_time():
    model = small_model(**KINDS["sum"])
    heard = conditions(model, 1)
    heard["melody_ids"] = events(1, 400, vocab_size=92)
    ids = model.generate(**heard, max_new_tokens=60, **FREE)
    start = window_start(60, 24)
    window = ids[:, start:60].clone()
    window[:, 0] = 0
    heard["melody_ids"] = melody_after(heard["melody_ids"], ids[:, : start + 1], 24)
    assert model(window, **heard).logits[0, -1].argmax() == ids[0, 60]


def test_generation_can_go_on_where_it_stopped():
    model = small_model()
    whole = model.generate(max_new_tokens=40, **FREE)
    part = model.generate(max_new_tokens=15, **FREE)
    assert torch.equal(whole, model.generate(part, max_new_tokens=25, **FREE))


def test_what_the_primer_holds_is_checked():
    with pytest.raises(ValueError, match="Events are 0 to 309; the primer holds 310"):
        small_model().generate(torch.tensor([[5, 310]]), max_new_tokens=2)
    with pytest.raises(ValueError, match="Events are 0 to 91; melody_ids holds -3"):
        small_model(**KINDS["melody"]).generate(melody_ids=torch.tensor([[5, -3]]), max_new_tokens=2)
    with pytest.raises(ValueError, match="Events are 0 to 309; performance_ids holds 400"):
        small_model(**KINDS["style"]).generate(performance_ids=torch.tensor([[5, 400]]), max_new_tokens=2)
    with pytest.raises(ValueError, match="must have the shape"):
        small_model().generate(torch.tensor([5, 6]), max_new_tokens=2)


def test_a_row_stops_at_its_end_and_the_rest_is_padding():
    model = small_model()
    with torch.no_grad():
        model.lm_head.weight[1] = model.lm_head.weight.mean(0) + 0.3 * torch.randn(
            32, generator=torch.Generator().manual_seed(0)
        )
    ids = model.generate(events(16, 3), max_new_tokens=400, do_sample=True, eos_token_id=1, seed=0)
    ended = 0
    for row in ids[:, 4:].tolist():
        if 1 in row:
            ended += 1
            assert not any(row[row.index(1) + 1 :])
    assert ended >= 8
    assert ids.shape[1] <= 404


class Collector(BaseStreamer):
    def __init__(self):
        self.chunks, self.ended = [], False

    def put(self, value):
        self.chunks.append(value)

    def end(self):
        self.ended = True


def test_streamers_get_every_event():
    model, streamer = small_model(), Collector()
    ids = model.generate(events(1, 5), max_new_tokens=10, streamer=streamer, **FREE)
    assert streamer.ended
    assert torch.cat([chunk.flatten() for chunk in streamer.chunks]).tolist() == ids[0].tolist()


def test_criteria_stop_and_scores_are_returned():
    model = small_model()
    stop = [lambda ids, scores: torch.full((len(ids),), ids.shape[1] >= 8)]
    output = model.generate(
        max_new_tokens=50,
        stopping_criteria=stop,
        return_dict_in_generate=True,
        output_scores=True,
        output_logits=True,
        **FREE,
    )
    assert output.sequences.shape == (1, 8)
    assert len(output.scores) == len(output.logits) == 7
    assert torch.equal(torch.stack(output.logits).argmax(-1).squeeze(1), output.sequences[0, 1:])


def test_beam_search_finds_nothing_less_likely_than_greedy_search():
    model = small_model(**KINDS["sum"])
    heard = conditions(model, 1)
    options = {"max_new_tokens": 12, **FREE}

    def likelihood(ids):
        rows = model(ids, **heard).logits[0, :-1].log_softmax(-1)
        return rows.gather(-1, ids[0, 1:, None]).sum().item()

    beams = model.generate(**heard, num_beams=4, **options)
    assert likelihood(beams) >= likelihood(model.generate(**heard, **options)) - 1e-4
    assert torch.equal(beams, model.generate(**heard, num_beams=4, use_cache=False, **options))
    with pytest.raises(ValueError, match="take no seed"):
        model.generate(**heard, num_beams=4, seed=1, **options)


def test_primers_are_started_and_masked():
    ids, mask = prepare_primer(torch.tensor([[5, 6, 7], [0, 0, 8]]), None, 2, torch.device("cpu"))
    assert ids.tolist() == [[0, 5, 6, 7], [0, 0, 0, 8]]
    assert mask.tolist() == [[1, 1, 1, 1], [0, 0, 1, 1]]
    ids, mask = prepare_primer(None, None, 2, torch.device("cpu"))
    assert (ids.tolist(), mask.tolist()) == ([[0], [0]], [[1], [1]])
    ids, mask = prepare_primer(torch.tensor([[0, 0, 5, 0, 6]]), None, 1, torch.device("cpu"))
    assert mask.tolist() == [[0, 1, 1, 1, 1]]  # a zero between events is no padding
