"""Small random models of every kind."""

import pytest
import torch

from hub_models.transformer_autoencoder import (
    TransformerAutoencoderConfig,
    TransformerAutoencoderForConditionalGeneration,
)

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "key_size": 48,
    "intermediate_size": 64,
    "max_relative_position": 12,
    "context_length": 24,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
}
KINDS = {
    "unconditional": {},
    "melody": {"melody_encoder": True},
    "style": {"performance_encoder": "style"},
    "sequence": {"performance_encoder": "sequence"},
    "sum": {"performance_encoder": "style", "melody_encoder": True},
    "concat": {"performance_encoder": "style", "melody_encoder": True, "aggregation": "concat"},
    "tile": {"performance_encoder": "style", "melody_encoder": True, "aggregation": "tile"},
}


def small_model(seed: int = 0, **fields) -> TransformerAutoencoderForConditionalGeneration:
    torch.manual_seed(seed)
    model = TransformerAutoencoderForConditionalGeneration(TransformerAutoencoderConfig(**{**SMALL, **fields})).eval()
    with torch.no_grad():  # far enough from zero that every part has a say
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def events(batch_size: int, length: int, vocab_size: int = 310, seed: int = 0) -> torch.Tensor:
    return torch.randint(2, vocab_size, (batch_size, length), generator=torch.Generator().manual_seed(seed))


def sequence(batch_size: int, length: int, seed: int = 0) -> torch.Tensor:
    """Events after the 0 that starts a sequence, (batch_size, length)."""
    return torch.nn.functional.pad(events(batch_size, length - 1, seed=seed), (1, 0))


def conditions(model, batch_size: int, seed: int = 1) -> dict[str, torch.Tensor]:
    """What a model of this kind listens to."""
    heard = {}
    if model.config.performance_encoder != "none":
        heard["performance_ids"] = events(batch_size, 15, seed=seed)
    if model.config.melody_encoder:
        heard["melody_ids"] = events(batch_size, 9, vocab_size=92, seed=seed)
    return heard


@pytest.fixture(params=list(KINDS))
def model(request):
    return small_model(**KINDS[request.param])
