"""What holds for every architecture of the family, on small random models of each preset."""

import pytest
import torch

from hub_models import MusicVAEConfig, MusicVAEModel
from hub_models.music_vae import PRESETS
from hub_models.music_vae.output_heads import GrooveHead
from hub_models.music_vae.recurrent import LSTM

HIERARCHICAL = [name for name, preset in PRESETS.items() if "decoder_level_lengths" in preset]
FULL_SEGMENTS = [name for name in HIERARCHICAL if "end_token" not in PRESETS[name]]
CONTROLLED = [name for name, preset in PRESETS.items() if preset.get("control_size")]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(preset: str, **overrides) -> MusicVAEModel:
    """A preset with few units and short segments; weights large enough for z to matter."""
    template = PRESETS[preset]
    sizes = {
        "latent_size": 6,
        "encoder_hidden_sizes": [8] * len(template["encoder_hidden_sizes"]),
        "decoder_hidden_sizes": [10] * len(template["decoder_hidden_sizes"]),
        "max_sequence_length": 12,
        "free_bits": 0.0,
    }
    sizes |= {name: [3, 4] for name in ("encoder_level_lengths", "decoder_level_lengths") if name in template}
    if "nade_hidden_size" in template:
        sizes["nade_hidden_size"] = 5
    torch.manual_seed(0)
    model = MusicVAEModel(MusicVAEConfig.from_preset(preset, **{**sizes, **overrides})).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "latent" in name or "initial_state" in name:
                parameter.mul_(300)
    return model


def inputs_for(model: MusicVAEModel, batch_size: int = 3, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random inputs of the model's kind."""
    config, generator = model.config, seeded(seed)
    steps = config.max_sequence_length
    shape = (batch_size, steps)
    match config.output_type:
        case "categorical":
            labels = torch.randint(config.output_size, shape, generator=generator)
        case "multi_categorical":
            labels = torch.stack([torch.randint(n, shape, generator=generator) for n in config.output_sizes], dim=-1)
        case "nade":
            labels = torch.randint(2, (*shape, config.output_size), generator=generator)
        case "groove":
            labels = torch.rand(*shape, config.output_size, generator=generator)
            labels[..., : config.output_size // 3] = labels[..., : config.output_size // 3].round()
    inputs = {
        "input_values": torch.rand(*shape, config.input_size, generator=generator).round(),
        "labels": labels,
        "noise": torch.randn(batch_size, config.latent_size, generator=generator),
    }
    if config.control_size:
        inputs["controls"] = torch.rand(*shape, config.control_size, generator=generator).round()
    return inputs


@pytest.fixture(params=PRESETS)
def model(request) -> MusicVAEModel:
    return small(request.param)


def test_every_parameter_learns(model):
    model(**inputs_for(model)).loss.backward()
    for name, parameter in model.named_parameters():
        if "bias_hh" in name:
            assert not parameter.requires_grad, name
        elif "conductor.weight_ih_l0" in name:
            assert parameter.grad.abs().sum() == 0, "the conductor reads zeros"
        else:
            assert parameter.grad.abs().sum() > 0, name


def test_greedy_decoding_is_what_teacher_forcing_on_it_finds_likeliest(model):
    inputs = inputs_for(model)
    sequences = model.decode(inputs["noise"], temperature=None, controls=inputs.get("controls"))
    assert sequences.shape == inputs["labels"].shape
    assert sequences.dtype == inputs["labels"].dtype
    logits = model.teacher_forced_logits(inputs["noise"], sequences, inputs.get("controls"))
    assert model.decoder.head.correct(logits, sequences).eq(1).all()
    if model.config.output_type == "groove":
        drums = model.decoder.head.num_drums
        torch.testing.assert_close(model.decoder.head.activate(logits)[..., drums:], sequences[..., drums:])


def test_samples_follow_the_seed_and_the_temperature(model):
    controls = inputs_for(model, 1).get("controls")
    controls = None if controls is None else controls[0]
    first = model.sample(5, generator=seeded(1), controls=controls)
    assert torch.equal(first, model.sample(5, generator=seeded(1), controls=controls))
    assert not torch.equal(first, model.sample(5, generator=seeded(2), controls=controls))
    latents = torch.randn(5, 6, generator=seeded())
    cold = model.decode(latents, temperature=1e-9, generator=seeded(), controls=controls)
    torch.testing.assert_close(cold, model.decode(latents, temperature=None, controls=controls))


def test_a_sequence_does_not_depend_on_its_batch(model):
    inputs = inputs_for(model, 5)
    controls = inputs.get("controls")
    whole = model.decode(inputs["noise"], temperature=None, controls=controls)
    torch.testing.assert_close(whole, model.decode(inputs["noise"], temperature=None, controls=controls, batch_size=2))
    alone = model.encode(inputs["input_values"][1:2], controls=None if controls is None else controls[1:2])
    torch.testing.assert_close(model.encode(inputs["input_values"], controls=controls).mean[1:2], alone.mean)


def test_save_and_load_keep_outputs(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded, inputs = MusicVAEModel.from_pretrained(tmp_path).eval(), inputs_for(model)
    torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits, rtol=0, atol=0)
    assert all(p.requires_grad != ("bias_hh" in name) for name, p in loaded.named_parameters())


def test_steps_by_hand_and_torchs_lstm_agree(model):
    inputs = inputs_for(model)
    by_hand = model(**inputs)
    with torch.no_grad():
        by_torch = model(**inputs)
    assert by_hand.loss.requires_grad
    torch.testing.assert_close(by_hand.logits, by_torch.logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(by_hand.loss, by_torch.loss)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_of_the_recurrence_are_torchs(bidirectional):
    torch.manual_seed(0)
    lstm = LSTM(7, [5, 5], bidirectional)
    parts = [torch.eye(4).repeat(3, 2, 1), torch.randn(3, 1, 3)]  # one-hot events, and something that stays the same
    state = tuple(torch.randn(4 if bidirectional else 2, 3, 5) for _ in range(2))
    inputs = torch.cat([parts[0], parts[1].expand(-1, 8, -1)], dim=-1)

    def gradients(outputs, last):
        lstm.zero_grad()
        (outputs.square().sum() + last[0].sum() + last[1].sin().sum()).backward()
        return {name: p.grad.clone() for name, p in lstm.named_parameters() if p.requires_grad}

    ours = gradients(*lstm(parts, state))
    theirs = gradients(*torch.nn.LSTM.forward(lstm, inputs, state))
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], atol=1e-5, rtol=1e-4)


def test_dropout_draws_a_mask_for_every_step():
    torch.manual_seed(0)
    lstm = LSTM(4, [3], dropout=0.5).train()
    outputs, _ = lstm([torch.ones(1, 64, 2), torch.ones(1, 1, 2)])
    gates = outputs.diff(dim=1).abs()
    assert gates.gt(1e-6).any(dim=-1).float().mean() > 0.9  # a mask per sequence would settle


@pytest.mark.parametrize("preset", HIERARCHICAL)
def test_a_segment_sees_the_one_before_only_through_its_last_step(preset):
    model = small(preset)
    inputs = inputs_for(model, 1)
    latents, labels, controls = inputs["noise"], inputs["labels"], inputs.get("controls")
    logits = model.teacher_forced_logits(latents, labels, controls)
    inside = labels.clone()
    inside[:, 4:7] = (labels[:, 4:7] + 1) % 90
    torch.testing.assert_close(model.teacher_forced_logits(latents, inside, controls)[:, 8:], logits[:, 8:])
    last = labels.clone()
    last[:, 7] = (labels[:, 7] + 1) % 90
    assert not torch.allclose(model.teacher_forced_logits(latents, last, controls)[:, 8:], logits[:, 8:])


@pytest.mark.parametrize("preset", FULL_SEGMENTS)
def test_hierarchical_models_have_one_length(preset):
    model = small(preset)
    assert model.sample(2, length=5, generator=seeded()).shape[:2] == (2, 5)
    with pytest.raises(ValueError, match="at most 12 steps, got 13"):
        model.sample(1, length=13)
    with pytest.raises(ValueError, match="have 12 steps, got 8"):
        model.encode(torch.zeros(1, 8, model.config.input_size))
    with pytest.raises(ValueError, match="lengths must be 12"):
        model.encode(torch.zeros(1, 12, model.config.input_size), torch.tensor([7]))


def test_lengths_of_segments_mask_what_lies_beyond():
    model = small("hier-mel_16bar", encoder_level_lengths=[4, 3])
    inputs = inputs_for(model, 2)
    lengths = torch.tensor([[4, 1, 2], [3, 4, 4]])
    valid = (torch.arange(4) < lengths.unsqueeze(-1)).flatten(1)
    output = model(**inputs, lengths=lengths)
    changed = inputs["input_values"] * valid.unsqueeze(-1)
    torch.testing.assert_close(model.encode(changed, lengths).mean, output.posterior.mean)
    expected = torch.nn.functional.cross_entropy(output.logits.transpose(1, 2), inputs["labels"], reduction="none")
    segments = (expected * valid).unflatten(1, (3, 4)).sum(-1)
    torch.testing.assert_close(output.segment_reconstruction_loss, segments)
    torch.testing.assert_close(output.sequence_reconstruction_loss, segments.sum(-1))


@pytest.mark.parametrize("preset", CONTROLLED)
def test_controls_are_needed_checked_and_heard(preset):
    model = small(preset)
    inputs = inputs_for(model, 2)
    controls = inputs.pop("controls")
    with pytest.raises(ValueError, match="needs controls of"):
        model(**inputs)
    with pytest.raises(ValueError, match="controls must have the shape"):
        model.decode(inputs["noise"], controls=controls[..., 1:])
    if model.config.end_token is None:
        with pytest.raises(ValueError, match="controls must have the shape"):
            model.decode(inputs["noise"], length=99, controls=controls)
    shared = model.decode(inputs["noise"], temperature=None, controls=controls[0])
    torch.testing.assert_close(shared[0], model.decode(inputs["noise"], temperature=None, controls=controls)[0])
    other = model.teacher_forced_logits(inputs["noise"], inputs["labels"], 1 - controls)
    assert not torch.allclose(other, model.teacher_forced_logits(inputs["noise"], inputs["labels"], controls))


def test_controls_are_refused_where_there_are_none():
    model = small("cat-mel_2bar_small")
    with pytest.raises(ValueError, match="takes no controls"):
        model.sample(1, controls=torch.zeros(12, 49))


def test_a_control_encoder_reads_the_controls_both_ways():
    model = small("cat-mel_2bar_med_chords", control_hidden_sizes=[4])
    inputs = inputs_for(model, 2)
    late = inputs["controls"].clone()
    late[:, -1] = 1 - late[:, -1]
    logits = model.teacher_forced_logits(inputs["noise"], inputs["labels"], inputs["controls"])
    assert not torch.allclose(model.teacher_forced_logits(inputs["noise"], inputs["labels"], late)[:, 0], logits[:, 0])
    model(**inputs).loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in model.control_encoder.parameters() if p.requires_grad)


@pytest.mark.parametrize("preset", [name for name in PRESETS if PRESETS[name].get("sampling_schedule") is None])
def test_scheduled_sampling_runs_where_the_original_has_it(preset):
    model = small(preset, sampling_rate=1.0).train()
    inputs = inputs_for(model)
    output = model(**inputs, global_step=50, generator=seeded())
    assert not torch.allclose(output.logits, model(**inputs).logits)


def test_known_hits_are_played_as_loud_as_their_certainty_says():
    head = GrooveHead(6)
    outputs = torch.logit(torch.tensor([[0.5, 0.25, 0.4, 0.2, 0.5, 0.5]]))
    outputs[:, 4:] = torch.atanh(torch.tensor([-0.3, 0.2]))
    played = head.perform(outputs, torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(played, torch.tensor([[1.0, 0.0, 0.8, 0.0, -0.6, 0.0]]))
    unexpected = head.perform(torch.full((1, 6), -20.0), torch.ones(1, 2))
    assert unexpected.isfinite().all()
    assert unexpected[:, 2:4].abs().max() <= 1


def test_feel_is_decoded_for_exactly_the_given_hits():
    model = small("groovae_2bar_humanize")
    inputs = inputs_for(model)
    hits = inputs["labels"][..., :9]
    played = model.decode_feel(inputs["noise"], hits)
    assert torch.equal(played[..., :9], hits)
    assert played[..., 9:][hits.repeat(1, 1, 2) == 0].eq(0).all()
    assert played[..., 9:18][hits > 0].min() > 0
    again = model.decoder.head.perform(model.teacher_forced_logits(inputs["noise"], played), hits)
    settled = model.decode_feel(inputs["noise"], hits, num_passes=12)
    assert (again - settled).abs().max() <= (played - settled).abs().max() + 1e-6  # every pass comes closer
    with pytest.raises(ValueError, match="hits must have the shape"):
        model.decode_feel(inputs["noise"], hits[..., :8])
    with pytest.raises(ValueError, match="decode_feel is for groove models"):
        small("cat-mel_2bar_small").decode_feel(inputs["noise"], hits)


@pytest.mark.parametrize(
    ("preset", "fields", "message"),
    [
        ("hierdec-trio_16bar", {"output_sizes": [90, 90]}, "add up to 692"),
        ("hierdec-trio_16bar", {"decoder_level_lengths": [16, 15]}, "decoder_level_lengths must be two numbers"),
        ("hier-mel_16bar", {"encoder_level_lengths": [16]}, "encoder_level_lengths must be two numbers"),
        ("cat-mel_2bar_small", {"split_decoder": True}, "split_decoder needs"),
        ("cat-mel_2bar_small", {"nade_hidden_size": 4}, "nade_hidden_size belongs"),
        ("nade-drums_2bar_full", {"nade_hidden_size": None}, "nade_hidden_size belongs"),
        ("cat-mel_2bar_small", {"conductor_hidden_sizes": [4]}, "conductor_hidden_sizes needs"),
        ("cat-mel_2bar_small", {"control_hidden_sizes": [4]}, "control_hidden_sizes needs"),
        ("groovae_4bar", {"output_size": 28}, "multiple of 3"),
        ("cat-mel_2bar_small", {"control_size": -1}, "control_size must be between"),
        ("cat-mel_2bar_small", {"end_token": 4}, "end_token needs output_type 'categorical' and decoder_level_lengths"),
        ("hier-multiperf_vel_1bar_med", {"end_token": 490}, "end_token must be an event, 0..489"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(preset, fields, message):
    with pytest.raises(Exception, match=message):
        MusicVAEConfig.from_preset(preset, **fields)
