"""Small music and small models, made in code."""

import pretty_midi
import pytest
import torch

from hub_models import MusicVAEConfig, MusicVAEModel, MusicVAEProcessor

SMALL = {"latent_size": 6, "encoder_hidden_sizes": [8], "decoder_hidden_sizes": [10, 10]}


def make_midi(
    notes: list[tuple[int, float, float]],
    tempo: float = 120.0,
    metre: tuple[int, int] | None = (4, 4),
    program: int = 0,
    is_drum: bool = False,
    velocity: int = 90,
) -> pretty_midi.PrettyMIDI:
    """One instrument; notes are (pitch, start, end) in quarter notes."""
    midi = pretty_midi.PrettyMIDI(initial_tempo=tempo)
    if metre:
        midi.time_signature_changes.append(pretty_midi.TimeSignature(*metre, 0.0))
    instrument = pretty_midi.Instrument(program, is_drum)
    seconds = 60.0 / tempo
    instrument.notes = [pretty_midi.Note(velocity, p, start * seconds, end * seconds) for p, start, end in notes]
    midi.instruments.append(instrument)
    return midi


def scale(num_quarters: int, start: float = 0.0) -> list[tuple[int, float, float]]:
    """A C major scale up and down, a note per quarter."""
    degrees = [60, 62, 64, 65, 67, 69, 71, 72, 71, 69, 67, 65, 64, 62]
    return [(degrees[i % len(degrees)], start + i, start + i + 1) for i in range(num_quarters)]


@pytest.fixture(scope="session")
def melody_processor() -> MusicVAEProcessor:
    return MusicVAEProcessor("melody")


@pytest.fixture(scope="session")
def drums_processor() -> MusicVAEProcessor:
    return MusicVAEProcessor("drums")


@pytest.fixture(params=["cat-mel_2bar_small", "cat-drums_2bar_small"])
def model(request) -> MusicVAEModel:
    torch.manual_seed(0)
    model = MusicVAEModel(MusicVAEConfig.from_preset(request.param, **SMALL)).eval()
    with torch.no_grad():  # away from the near-zero start, so that z matters
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


@pytest.fixture
def batch(model) -> dict[str, torch.Tensor]:
    processor = MusicVAEProcessor("drums" if model.config.input_size == 10 else "melody")
    labels = torch.randint(0, model.config.output_size, (3, 32), generator=torch.Generator().manual_seed(1))
    return processor.features(labels)
