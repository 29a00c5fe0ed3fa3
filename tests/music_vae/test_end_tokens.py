"""Models whose segments end by themselves: each track of a measure stops at its own end token."""

import pytest
import torch

from hub_models import MusicVAEModel
from hub_models.music_vae.recurrent import LSTM
from hub_models.music_vae.timed_controls import TimedControls

from .test_family import inputs_for, seeded, small

PRESET = "hier-multiperf_vel_1bar_med_chords"
SEGMENTS, LENGTH = 4, 5
EVENTS, END, PADDING = 12, 11, -1


def band(end_bias: float = 1.0, **overrides) -> MusicVAEModel:
    """A small model of 12 events whose segments of 5 end early as often as `end_bias` makes them."""
    sizes = {
        "input_size": EVENTS,
        "output_size": EVENTS,
        "end_token": END,
        "max_sequence_length": SEGMENTS * LENGTH,
        "encoder_level_lengths": [LENGTH, SEGMENTS],
        "decoder_level_lengths": [SEGMENTS, LENGTH],
        "control_size": 3,
    }
    model = small(PRESET, **{**sizes, **overrides})
    with torch.no_grad():
        model.decoder.core.output_projection.weight.mul_(8)
        model.decoder.core.output_projection.bias[END] = end_bias
    return model


def latents_and_draws(number: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(number, 6, generator=seeded()), torch.rand(number, SEGMENTS * LENGTH, generator=seeded(1))


def controls_for(number: int = 6) -> torch.Tensor:
    return torch.rand(number, SEGMENTS * LENGTH, 3, generator=seeded(2))


def lengths_of(sequences: torch.Tensor) -> torch.Tensor:
    return (sequences != PADDING).unflatten(1, (SEGMENTS, LENGTH)).sum(-1)


def one_step_at_a_time(model, latents, draws, controls, temperature) -> torch.Tensor:
    """What decoding means, without any of its shortcuts: one item, one segment, one step after the other."""
    core, sequences = model.decoder.core, []
    for item, embeddings in enumerate(model.segment_embeddings(latents)):
        sequence = torch.full((1, SEGMENTS * LENGTH), PADDING)
        for segment, embedding in enumerate(embeddings):
            start = segment * LENGTH
            for step in range(start, start + LENGTH):
                before = torch.full((1, 1), PADDING) if start == 0 else sequence[:, start - 1 : start]
                read = torch.cat([before, sequence[:, start:step]], dim=1)
                feedback = model.decoder.head.feedback(read)
                outputs = core(embedding[None], feedback, controls[item : item + 1, start : step + 1])
                probabilities = torch.softmax(outputs[0, -1].double() / temperature, dim=-1).cumsum(-1)
                event = int((probabilities < draws[item, step]).sum())
                sequence[0, step] = event
                if event == END:
                    break
        sequences.append(sequence)
    return torch.cat(sequences)


@pytest.mark.parametrize("end_bias", [0.5, 1.0, 3.0])
@torch.no_grad()
def test_all_segments_at_once_are_one_step_after_the_other(end_bias):
    model, (latents, draws), controls = band(end_bias), latents_and_draws(), controls_for()
    sequences = model.decode(latents, temperature=0.7, controls=controls, draws=draws)
    assert torch.equal(sequences, one_step_at_a_time(model, latents, draws, controls, 0.7))
    assert 1 < lengths_of(sequences).float().mean() < LENGTH


@torch.no_grad()
def test_what_follows_a_full_segment_reads_its_last_event():
    model, (latents, draws), controls = band(0.0), latents_and_draws(), controls_for()
    sequences = model.decode(latents, temperature=0.7, controls=controls, draws=draws)
    full = (sequences.unflatten(1, (SEGMENTS, LENGTH))[:, :-1, -1] != PADDING).sum()
    assert full > 0
    assert torch.equal(sequences, one_step_at_a_time(model, latents, draws, controls, 0.7))


def test_every_segment_is_its_events_an_end_and_padding():
    model, (latents, draws) = band(), latents_and_draws(20)
    sequences = model.decode(latents, controls=controls_for(20), draws=draws)
    for segment in sequences.view(-1, LENGTH):
        events = segment[segment != PADDING]
        assert len(events) >= 1
        assert (segment[len(events) :] == PADDING).all()
        assert (events[:-1] != END).all()
        assert events[-1] == END or len(events) == LENGTH


def test_an_item_decodes_the_same_alone_and_in_any_batch():
    model, (latents, draws), controls = band(), latents_and_draws(), controls_for()
    whole = model.decode(latents, controls=controls, draws=draws)
    assert torch.equal(whole, model.decode(latents, controls=controls, draws=draws, batch_size=4))
    alone = model.decode(latents[3:4], controls=controls[3:4], draws=draws[3:4])
    assert torch.equal(alone[0], whole[3])


def test_the_first_event_of_a_segment_may_have_a_temperature_of_its_own():
    model, (latents, draws), controls = band(), latents_and_draws(40), controls_for(40)
    cold = model.decode(latents, temperature=None, controls=controls, draws=draws).unflatten(1, (SEGMENTS, LENGTH))
    first = model.decode(latents, temperature=None, controls=controls, draws=draws, first_temperature=2.0)
    first = first.unflatten(1, (SEGMENTS, LENGTH))
    assert (first[..., 0] != cold[..., 0]).float().mean() > 0.3
    same = (first[:, 0, 0] == cold[:, 0, 0]).nonzero().squeeze(-1)
    assert len(same)
    assert torch.equal(first[same, 0], cold[same, 0])  # what follows is the likeliest all the same
    with pytest.raises(ValueError, match="temperature must be a positive number"):
        model.decode(latents, controls=controls, first_temperature=0.0)


def test_draws_come_from_the_generator_where_none_are_given():
    model, (latents, _) = band(), latents_and_draws()
    controls = controls_for()
    draws = torch.rand(6, SEGMENTS * LENGTH, generator=seeded(5))
    assert torch.equal(
        model.decode(latents, controls=controls, generator=seeded(5)), model.decode(latents, controls=controls, draws=draws)
    )


def test_the_originals_ways_of_stopping():
    model, (latents, _) = band(), latents_and_draws()
    controls = controls_for()
    never = model.decode(latents, temperature=None, controls=controls, stopping="never")
    assert (never != PADDING).all()
    batch = model.decode(latents, temperature=None, controls=controls, stopping="batch")
    lengths = lengths_of(batch)
    assert (lengths == lengths[0]).all()  # nobody stops before the others
    assert torch.equal(batch[:, :LENGTH][batch[:, :LENGTH] != PADDING], never[:, : int(lengths[0, 0])].flatten())


def test_timed_controls_hold_at_the_position_that_the_events_have_reached():
    model, (latents, draws) = band(-2.0), latents_and_draws()
    durations = torch.arange(EVENTS) % 3  # events move time on by 0, 1 or 2 steps
    values = torch.rand(6, 4, 3, generator=seeded(3))
    timed = TimedControls(values, durations, first=torch.tensor([9.0, 0.0, 0.0]))
    sequences = model.decode(latents, controls=timed, draws=draws)
    by_event = torch.zeros(6, SEGMENTS, LENGTH, 3)
    for item, tracks in enumerate(sequences.unflatten(1, (SEGMENTS, LENGTH))):
        for number, track in enumerate(tracks):
            position = 0
            for step, event in enumerate(track):
                by_event[item, number, step] = timed.first if step == 0 else values[item, min(position, 3)]
                position += int(durations[event]) if event != PADDING else 0
    assert torch.equal(model.decode(latents, controls=by_event.flatten(1, 2), draws=draws), sequences)
    other = TimedControls(1 - values, durations, timed.first)
    assert not torch.equal(model.decode(latents, controls=other, draws=draws), sequences)


def test_one_set_of_timed_controls_serves_all():
    model, (latents, draws) = band(), latents_and_draws()
    values = torch.rand(1, 4, 3, generator=seeded(3))
    durations, first = torch.ones(EVENTS, dtype=torch.int64), torch.zeros(3)
    shared = model.decode(latents, controls=TimedControls(values, durations, first), draws=draws, batch_size=2)
    each = model.decode(latents, controls=TimedControls(values.expand(6, -1, -1), durations, first), draws=draws)
    assert torch.equal(shared, each)


def test_padding_costs_nothing_and_reads_as_zeros():
    model, lengths = band(), torch.tensor([[5, 1, 3, 2], [2, 4, 1, 5]])
    inputs = inputs_for(model, 2)
    valid = (torch.arange(LENGTH) < lengths.unsqueeze(-1)).flatten(1)
    inputs["labels"] = inputs["labels"].where(valid, PADDING)
    whole = model(**inputs, lengths=lengths)
    logits = model.teacher_forced_logits(whole.latents, inputs["labels"], inputs["controls"])  # all steps, for comparison
    expected = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), inputs["labels"].flatten(), ignore_index=PADDING, reduction="none"
    )
    torch.testing.assert_close(whole.sequence_reconstruction_loss, expected.view(2, -1).sum(-1))
    torch.testing.assert_close(whole.logits[valid], logits[valid])
    inputs["input_values"] = inputs["input_values"] * valid.unsqueeze(-1)
    torch.testing.assert_close(model(**inputs, lengths=lengths).loss, whole.loss)


def test_gradients_of_packed_sequences_are_torchs():
    torch.manual_seed(0)
    lengths = torch.tensor([3, 6, 1, 6])
    for bidirectional in (False, True):
        lstm = LSTM(7, [5, 5], bidirectional)
        parts = [torch.eye(4).repeat(4, 2, 1)[:, :6], torch.randn(4, 1, 3)]
        state = tuple(torch.randn(4 if bidirectional else 2, 4, 5) for _ in range(2))
        inputs = torch.cat([parts[0], parts[1].expand(-1, 6, -1)], dim=-1)

        def by_torch(lstm=lstm, inputs=inputs, state=state):
            packed = torch.nn.utils.rnn.pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
            outputs, last = torch.nn.LSTM.forward(lstm, packed, state)
            return torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)[0], last

        results = []
        for outputs, last in (lstm(parts, state, lengths), by_torch()):
            lstm.zero_grad()
            (outputs.square().sum() + last[0].sum() + last[1].sin().sum()).backward()
            results.append([outputs, *last, *(p.grad.clone() for p in lstm.parameters() if p.requires_grad)])
        for ours, theirs in zip(*results, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
        with torch.no_grad():
            torch.testing.assert_close(lstm(parts, state, lengths)[0], results[0][0])


def test_what_does_not_fit_is_refused_in_a_sentence():
    model, (latents, draws) = band(), latents_and_draws()
    controls = controls_for()
    with pytest.raises(ValueError, match="stopping must be one of"):
        model.decode(latents, controls=controls, stopping="own")
    with pytest.raises(ValueError, match=r"draws must have the shape \(6, 20\)"):
        model.decode(latents, controls=controls, draws=draws[:, 1:])
    with pytest.raises(ValueError, match="are for models that have an end token"):
        model.decode(latents, controls=controls, draws=draws, stopping="never")
    with pytest.raises(ValueError, match="have 20 steps"):
        model.decode(latents, length=5, controls=controls)
    timed = TimedControls(torch.zeros(3, 4, 3), torch.zeros(EVENTS, dtype=torch.int64), torch.zeros(3))
    with pytest.raises(ValueError, match="Timed controls need values"):
        model.decode(latents, controls=timed)
    with pytest.raises(ValueError, match="are for models that have an end token"):
        small("cat-mel_2bar_med_chords").decode(torch.zeros(1, 6), controls=timed)
