"""How well a model gives back what it encodes (paper section 5.1, table 1), for every representation."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .evaluate_grooves import GrooveTally, HitTally
from .evaluate_multitracks import MultitrackTally, chords_of
from .evaluate_samples import events_of, progress, valid_steps
from .modeling_music_vae import MusicVAEModel
from .processing_music_vae import MusicVAEProcessor
from .trios import PARTS


@torch.no_grad()
def evaluate_reconstruction(
    model: MusicVAEModel,
    processor: MusicVAEProcessor,
    examples: np.ndarray,
    latents: str = "sample",
    temperature: float = 1.0,
    batch_size: int = 256,
    seed: int = 0,
) -> dict[str, Any]:
    """Encodes examples, decodes them with teacher forcing and free-running, and compares.

    Args:
        examples: as the processor extracts them, shape (N, *example_shape).
        latents: "sample": decode z drawn from the posterior; "mean": decode the posterior's mean.
        temperature: of free-running decoding.
        seed: of all that is drawn: z, events, and what a corruption of the inputs leaves to chance.

    Returns:
        `teacher_forced_accuracy`, `sampled_accuracy`: share of steps reconstructed exactly, when each step reads the true
        event before it or the model's own; of a trio, the mean of its parts; of a drum roll, steps with every drum right;
        of a groove, the share of drums rightly hit or not hit. `..._event_accuracy`: the same over the steps where something
        happens (a note begins or ends, a drum is hit). `exact_sequences`: share of examples reconstructed without any error
        by sampling (a groove: all its hits). `kl_divergence_bits` and `reconstruction_nll_nats`: means per example.

        Of a trio, `parts`: the accuracies of `melody`, `bass` and `drums`, each by itself.

        Of a drum roll, `hits`: `precision`, `recall` and `f1` of single hits, `teacher_forced` and `sampled`. (With teacher
        forcing each bit knows the true bits before it, within the step, too.)

        Of measures, a step is a token, and where something happens it begins or ends a note; padding does not count.
        `tokens` and `measures`, see [`MultitrackTally`].

        Of a groove, `hits_loss` (nats), `velocities_loss` and `offsets_loss` (squared errors), means per example that add
        up to `reconstruction_nll_nats`; and `feel`, see [`GrooveTally`].
    """
    generator = torch.Generator(model.device).manual_seed(seed)
    rng = np.random.default_rng(seed)
    head = model.decoder.head
    tally = _Tally()
    hits = {"teacher_forced": HitTally(), "sampled": HitTally()}
    grooves = GrooveTally(examples, processor.steps_per_quarter) if processor.representation == "groove" else None
    measures = MultitrackTally() if processor.representation == "multitrack" else None
    for start in progress(range(0, len(examples), batch_size), "reconstruction"):
        features = processor.features(examples[start : start + batch_size], rng)
        features = {name: values.to(model.device) for name, values in features.items()}
        labels, controls = features["labels"], features.get("controls")
        posterior = model.encode(features["input_values"], features["lengths"], controls)
        z = posterior.sample(generator) if latents == "sample" else posterior.mean
        outputs = model.teacher_forced_logits(z, labels, controls, None if measures is None else features["lengths"])
        heard = controls  # what free-running decoding reads, where the tokens of a measure fall as they will
        if measures is not None and controls is not None:
            heard = processor.codec.timed_controls(chords_of(examples[start : start + batch_size]))
        sampled = model.decode(z, labels.shape[1], temperature, generator, heard)
        valid = valid_steps(processor, labels)
        forced = head.correct(outputs, labels)
        tally.add(forced, head.matches(sampled, labels), events_of(processor, labels), valid)
        tally.add_totals(kl=posterior.kl_divergence(), nll=head.negative_log_likelihood(outputs, labels))
        if processor.representation == "drum_roll":
            hits["teacher_forced"].add(head.conditional_probabilities(outputs, labels) >= 0.5, labels > 0)
            hits["sampled"].add(sampled > 0, labels > 0)
        if grooves is not None:
            tally.add_totals(**head.loss_terms(outputs, labels))
            grooves.add("teacher_forced", head.activate(outputs), labels)
            grooves.add("sampled", sampled, labels)
            grooves.add("likeliest", model.decode(posterior.mean, labels.shape[1], None, None, controls), labels)
            known = labels[..., : head.num_drums]
            grooves.add("known_hits", model.decode_feel(posterior.mean, known, controls), labels)
            grooves.add_inputs(features["input_values"], labels)
        if measures is not None:
            likeliest = model.decode(posterior.mean, labels.shape[1], None, None, heard)
            measures.add_tokens(labels, teacher_forced=forced[..., 0], sampled=head.matches(sampled, labels)[..., 0])
            measures.add("sampled", sampled, labels)
            measures.add("likeliest", likeliest, labels)
    parts = PARTS if processor.representation == "trio" else ()
    figures = tally.figures(parts)
    if processor.representation == "drum_roll":
        figures["hits"] = {way: counted.figures() for way, counted in hits.items()}
    if grooves is not None:
        figures["feel"] = grooves.figures()
    if measures is not None:
        figures |= measures.figures()
    return figures


class _Tally:
    """Sums over all examples; the parts of a step are kept apart."""

    def __init__(self):
        self.sums: dict[str, np.ndarray] = {}
        self.totals: dict[str, float] = {}
        self.num_examples = self.num_exact = 0

    def add(self, forced: Tensor, sampled: Tensor, events: Tensor, valid: Tensor):
        """What is right (1) or wrong (0) in each part of each step, with teacher forcing and sampled, and where something
        happens: all (N, T, parts). And which steps count, (N, T)."""
        valid = valid.to(forced.dtype).unsqueeze(-1).expand_as(forced)
        events = events.to(forced.dtype) * valid
        sums = {
            "steps": valid,
            "events": events,
            "teacher_forced": forced * valid,
            "sampled": sampled * valid,
            "teacher_forced_event": forced * events,
            "sampled_event": sampled * events,
            "exact": (sampled == 1).all(dim=1),
        }
        for name, values in sums.items():
            by_part = values.double().flatten(0, -2).sum(dim=0).cpu().numpy()
            self.sums[name] = self.sums.get(name, 0) + by_part
        self.num_examples += len(forced)
        self.num_exact += int((sampled == 1).all(dim=2).all(dim=1).sum())

    def add_totals(self, **values: Tensor):
        """Numbers (N, ...) of which the mean per example is wanted."""
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0.0) + value.double().sum().item()

    def figures(self, parts: tuple[str, ...]) -> dict[str, Any]:
        means = {name: total / self.num_examples for name, total in self.totals.items()}
        figures = {
            **self._accuracies(slice(None)),
            "exact_sequences": self.num_exact / self.num_examples,
            "kl_divergence_bits": means.pop("kl") / math.log(2),
            "reconstruction_nll_nats": means.pop("nll"),
            **means,
        }
        if parts:
            figures["parts"] = {
                name: {
                    **self._accuracies(slice(index, index + 1)),
                    "exact_sequences": float(self.sums["exact"][index]) / self.num_examples,
                }
                for index, name in enumerate(parts)
            }
        return figures

    def _accuracies(self, parts: slice) -> dict[str, float | None]:
        sums = {name: float(values[parts].sum()) for name, values in self.sums.items()}
        return {
            "teacher_forced_accuracy": sums["teacher_forced"] / sums["steps"],
            "sampled_accuracy": sums["sampled"] / sums["steps"],
            "teacher_forced_event_accuracy": share(sums["teacher_forced_event"], sums["events"]),
            "sampled_event_accuracy": share(sums["sampled_event"], sums["events"]),
        }


def share(count: float, total: float) -> float | None:
    """None where there is nothing to have a share of."""
    return count / total if total else None
