"""Measures drawn with the grammar are measures, whatever the weights say; without it nothing changes."""

import pytest
import torch

from hub_models import MusicVAEConfig, MusicVAEModel
from hub_models.music_vae.multitrack_events import END, NOTE_OFF, PROGRAM, TIME_SHIFT, VELOCITY
from hub_models.music_vae.multitrack_measures import validity
from hub_models.music_vae.track_grammar import TrackGrammar

from .test_family import seeded, small


def random_band(seed: int) -> MusicVAEModel:
    """A small model of measures that has learned nothing and is sure of it."""
    sizes = {"latent_size": 8, "encoder_hidden_sizes": [8], "decoder_hidden_sizes": [12]}
    torch.manual_seed(seed)
    model = MusicVAEModel(MusicVAEConfig.from_preset("hier-multiperf_vel_1bar_med", **sizes)).eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(12)
    return model


@pytest.mark.parametrize("temperature", [None, 0.5, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_every_measure_is_valid(seed, temperature):
    model = random_band(seed)
    latents = torch.randn(12, 8, generator=seeded(seed))
    with_grammar = model.decode(latents, temperature=temperature, generator=seeded(seed), legal_only=True)
    for rule, holds in validity(with_grammar).items():
        assert holds.all(), rule
    without = model.decode(latents, temperature=temperature, generator=seeded(seed))
    assert not all(holds.all() for holds in validity(without).values())


def test_what_is_drawn_is_the_likeliest_of_what_is_legal():
    model = random_band(0)
    latents = torch.randn(3, 8, generator=seeded())
    measures = model.decode(latents, temperature=None, legal_only=True)
    logits = model.teacher_forced_logits(latents, measures).view(24, 64, -1)
    grammar = TrackGrammar(torch.arange(8).repeat(3))
    open_rows = torch.arange(24)
    for step in range(64):
        legal = grammar.legal()
        likeliest = logits[open_rows, step].masked_fill(~legal, -torch.inf).argmax(dim=-1)
        events = measures.view(24, 64)[open_rows, step]
        assert torch.equal(events, likeliest)
        kept = (events != END).nonzero().squeeze(-1)
        grammar.advance(events, kept)
        open_rows = open_rows[kept]
        if not len(open_rows):
            break
    assert not len(open_rows)


def follow(events: list[int], track: int = 0) -> torch.Tensor:
    """What may come after some events of a track."""
    grammar = TrackGrammar(torch.tensor([track]))
    for event in events:
        assert grammar.legal()[0, event], event
        grammar.advance(torch.tensor([event]), None)
    return grammar.legal()[0]


def test_rules_of_a_track():
    assert follow([]).nonzero().flatten().tolist() == list(range(PROGRAM, END))  # the first two tracks are there
    assert follow([], track=2)[END]
    start = [PROGRAM + 33, VELOCITY + 5]
    assert follow(start)[:NOTE_OFF].all()
    assert not follow(start)[NOTE_OFF:].any()  # a velocity is followed by a note
    sounding = [*start, 40]
    legal = follow(sounding)
    assert not legal[40]  # it sounds already
    assert not legal[NOTE_OFF + 40]  # and has not lasted yet
    assert not legal[END]
    later = follow([*sounding, TIME_SHIFT + 23])
    assert later[NOTE_OFF + 40]
    assert later[TIME_SHIFT + 71]
    assert not later[TIME_SHIFT + 72]  # beyond the bar line
    over = follow([*sounding, TIME_SHIFT + 95])
    assert over.nonzero().flatten().tolist() == [NOTE_OFF + 40, END]
    assert not follow([PROGRAM])[TIME_SHIFT + 95]  # an empty bar is no track


def test_the_grammar_is_for_measures():
    with pytest.raises(ValueError, match="legal_only is for models of multitrack measures"):
        small("hier-multiperf_vel_1bar_med", output_size=12, end_token=11).decode(torch.zeros(1, 6), legal_only=True)
    with pytest.raises(ValueError, match="are for models that have an end token"):
        small("cat-mel_2bar_small").decode(torch.zeros(1, 6), legal_only=True)
