"""How well a model foretells performances: the negative log-likelihood of a token, as the paper measures it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from hub_models.music_vae.evaluate_samples import progress
from hub_models.training.data_order import ExampleKey

from .data import Conditions, SegmentDataset, collate
from .melody_events import NO_EVENT_ID
from .modeling_transformer_autoencoder import TransformerAutoencoderForConditionalGeneration
from .performances import Piece

Example = dict[str, np.ndarray]


class ReportMismatchError(ValueError):
    """A report that was measured on other music than the one it is to be compared with."""


def evaluate_nll(
    model: TransformerAutoencoderForConditionalGeneration,
    pieces: Sequence[Piece],
    compositions: Sequence[str],
    conditions: Conditions,
    length: int,
    max_segments: int | None = None,
    batch_size: int = 8,
    seed: int = 0,
    others: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """The mean negative log-likelihood of a token, in nats, in segments of performances that follow one another.

    Args:
        pieces: the performances; what is shorter than a segment, or remains at a piece's end, is not measured.
        compositions: of each piece, what is played in it. Performances of one composition are not independent of one
            another, so the standard error is that of the mean over compositions, and a wrong condition is from another one.
        conditions: what the encoders hear of each segment.
        length: tokens of a segment.
        max_segments: at most so many, spread evenly over all.
        others: reports of other models on the same data.

    Returns:
        `length`, `num_pieces`, `num_too_short` (pieces that are shorter), `num_segments`, `num_tokens`; `nats_per_token`
        with its `standard_error`; `accuracy`, the share of tokens that the model thinks likeliest. What the same segments
        cost with a wrong condition: `other_style` and `other_melody`, those of another composition, and `blank_melody`.
        `by_piece`, nats per token; and `difference_from` other reports by their kind: how many nats this model needs more
        for the same segments, below 0 if it is better, with its standard error.

    Raises:
        ReportMismatchError: `others` are about other segments.
    """
    usable = [(piece, name) for piece, name in zip(pieces, compositions, strict=True) if len(piece) >= length]
    dataset = SegmentDataset([piece for piece, _ in usable], length, conditions, max_segments, seed)
    examples = [dataset[ExampleKey(0, number)] for number in progress(range(len(dataset)), "segments")]
    owners = np.array([number for number, _ in dataset.places], dtype=np.int64)
    groups = np.array([usable[owner][1] for owner in owners], dtype=object)
    nats, hits = token_losses(model, examples, batch_size)
    wrong = {
        name: float(token_losses(model, changed, batch_size, name)[0].mean())
        for name, changed in _wrong_conditions(examples, groups, conditions, np.random.default_rng(seed))
    }
    names = np.array([usable[owner][0].name for owner in owners], dtype=object)
    by_piece = {name: float(nats[names == name].mean()) for name in dict.fromkeys(names)}
    figures = {
        "length": length,
        "num_pieces": len(by_piece),
        "num_too_short": len(pieces) - len(usable),
        "num_segments": len(examples),
        "num_tokens": len(examples) * length,
        "nats_per_token": float(nats.mean()),
        "standard_error": clustered_error(nats, groups),
        "accuracy": float(hits.mean()),
        **wrong,
        "by_piece": by_piece,
    }
    differences = {}
    for other in others:
        _check_same_music(figures, other)
        apart = nats - np.array([other["nll"]["by_piece"][name] for name in names])
        differences[other["kind"]] = {
            "nats_per_token": float(apart.mean()),
            "standard_error": clustered_error(apart, groups),
        }
    return {**figures, "difference_from": differences}


@torch.no_grad()
def token_losses(
    model: TransformerAutoencoderForConditionalGeneration,
    examples: Sequence[Example],
    batch_size: int = 8,
    name: str = "likelihood",
) -> tuple[np.ndarray, np.ndarray]:
    """Nats per token, and the share of tokens that the model thinks likeliest, of each example: (N,) and (N,)."""
    nats, hits = [], []
    for first in progress(range(0, len(examples), batch_size), name):
        batch = {key: value.to(model.device) for key, value in collate(examples[first : first + batch_size]).items()}
        targets = batch.pop("labels")[:, 1:]
        logits = model(**batch).logits[:, :-1].float()
        losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none", ignore_index=-100)
        counts = (targets != -100).sum(dim=1)
        nats.append((losses.sum(dim=1) / counts).cpu().numpy().astype(np.float64))
        hits.append(((logits.argmax(dim=-1) == targets).sum(dim=1) / counts).cpu().numpy().astype(np.float64))
    return np.concatenate(nats), np.concatenate(hits)


def clustered_error(values: np.ndarray, clusters: Sequence[Any]) -> float | None:
    """Standard error of the mean of values (N,), of which those of one cluster hang together; None for a single cluster."""
    names, owner = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    if len(names) < 2:
        return None
    sums = np.bincount(owner, values - values.mean())
    return float(np.sqrt(len(names) / (len(names) - 1) * (sums**2).sum()) / len(values))


def of_others(groups: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """For each of `groups` (N,) the index of one that is another; -1 where all are the same."""
    return np.array(
        [draw.choice(there) if len(there := np.flatnonzero(groups != group)) else -1 for group in groups], dtype=np.int64
    )


def _wrong_conditions(
    examples: Sequence[Example], groups: np.ndarray, conditions: Conditions, draw: np.random.Generator
) -> list[tuple[str, list[Example]]]:
    """Names, and the examples with one condition replaced."""
    swaps: list[tuple[str, list[Example]]] = []
    for key in ("performance", "melody"):
        donors = of_others(groups, draw)
        if (conditions.style if key == "performance" else conditions.melody) and (donors >= 0).all():
            name = "other_style" if key == "performance" else "other_melody"
            swaps.append((name, [{**own, key: examples[donor][key]} for own, donor in zip(examples, donors, strict=True)]))
    if conditions.melody:
        swaps.append(("blank_melody", [{**own, "melody": np.full_like(own["melody"], NO_EVENT_ID)} for own in examples]))
    return swaps


def read_reports(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Earlier reports of `evaluate`.

    Raises:
        ReportMismatchError: a file is none.
    """
    reports = []
    for path in paths:
        report = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(report, dict) or "kind" not in report or "by_piece" not in report.get("nll", {}):
            raise ReportMismatchError(f"{path} is no report of hub_models.transformer_autoencoder.evaluate.")
        reports.append(report)
    return reports


def _check_same_music(figures: dict[str, Any], other: dict[str, Any]) -> None:
    for key in ("length", "num_segments"):
        if other["nll"][key] != figures[key]:
            raise ReportMismatchError(
                f"The report of {other['model']} has {key} {other['nll'][key]}, this one {figures[key]}: "
                "only reports on the same music can be compared."
            )
    apart = other["nll"]["by_piece"].keys() ^ figures["by_piece"].keys()
    if apart:
        raise ReportMismatchError(
            f"The report of {other['model']} is about other music: {len(apart)} pieces are in only one of the two, such as "
            f"{min(apart)}."
        )
