"""Writing event by event: primers, the window that a decoder hears, and the loop."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from .melody_events import MELODY_STEPS_PER_SECOND, NO_EVENT_ID
from .performance_events import STEPS_PER_SECOND, TIME_SHIFT_OFFSET, VELOCITY_OFFSET


def window_start(length: int, context_length: int) -> int:
    """Index of the first event that is heard when event number `length` is written.

    Everything is heard until `context_length` events are there; then the window drops its older half, again and again.
    """
    hop = max(context_length // 2, 1)
    return 0 if length <= context_length else -(-(length - context_length) // hop) * hop


def melody_after(melody_ids: Tensor, events: Tensor, num_steps: int) -> Tensor:
    """What is left of melodies after performances have been played so far.

    Args:
        melody_ids (`Tensor` of shape (B, S)): events of 100 ms, padded with 0 at the end.
        events (`Tensor` of shape (B, N)): performance events.
        num_steps (`int`): length of the result at most.

    Returns:
        (B, at most num_steps); where nothing is left, one step without an event.
    """
    is_shift = (events >= TIME_SHIFT_OFFSET) & (events < VELOCITY_OFFSET)
    centiseconds = ((events - TIME_SHIFT_OFFSET + 1) * is_shift).sum(dim=1, keepdim=True)
    steps_before = (centiseconds * MELODY_STEPS_PER_SECOND / STEPS_PER_SECOND).round().long()
    lengths = (melody_ids != 0).sum(dim=1, keepdim=True)
    num_steps = min(num_steps, max(1, int((lengths - steps_before).max())))
    places = torch.arange(num_steps, device=melody_ids.device) + steps_before
    rest = melody_ids.gather(1, places.clamp(max=melody_ids.shape[1] - 1)) * (places < lengths)
    rest[:, :1].masked_fill_(rest[:, :1] == 0, NO_EVENT_ID)
    return rest


def prepare_primer(
    primer: Tensor | None, attention_mask: Tensor | None, batch_size: int, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Primers that start with a 0, and which of their events are padding.

    Args:
        primer (`Tensor` of shape (B, P) or (1, P), *optional*): padded with 0 at the beginning.
        attention_mask (`Tensor` of the same shape, *optional*): 0 where padded.
        batch_size (`int`): rows of the result.

    Returns:
        (B, 1 + P) ids, or (B, P) where all start with 0 already, and a mask of the same shape.
    """
    if primer is None or primer.shape[1] == 0:
        start = torch.zeros(batch_size, 1, dtype=torch.long, device=device)
        return start, torch.ones_like(start)
    primer = primer.to(device).long().expand(batch_size, -1)
    if bool((primer[:, 0] != 0).any()):
        primer = torch.nn.functional.pad(primer, (1, 0))
        if attention_mask is not None:
            attention_mask = torch.nn.functional.pad(attention_mask, (1, 0))
    # Of the zeros before the first event, the last starts the sequence.
    first = (primer != 0).long().cumsum(dim=1)
    starts = torch.nn.functional.pad((first == 0)[:, 1:], (0, 1), value=False)
    mask = (~starts).long()
    if attention_mask is not None:
        mask = mask * (attention_mask.to(device).expand_as(mask) != 0) | (first == 0) * mask
    return primer, mask


def decode_tokens(generator: torch.Generator | None, streamer) -> Callable:
    """transformers' loop for sampling and greedy search, with draws from a generator of one's own."""
    return partial(_decode_tokens, generator=generator, streamer=streamer)


def _decode_tokens(
    model,
    input_ids: Tensor,
    logits_processor,
    stopping_criteria,
    generation_config,
    generator: torch.Generator | None = None,
    streamer=None,
    **model_kwargs,
):
    """Writes events until every row has ended or the criteria say so; see transformers' `GenerationMixin._sample`."""
    from transformers.generation import GenerateDecoderOnlyOutput

    pad = generation_config.pad_token_id
    ends = any(hasattr(criterion, "eos_token_id") for criterion in stopping_criteria)
    wants_scores, wants_logits = generation_config.output_scores, generation_config.output_logits
    returns_dict = generation_config.return_dict_in_generate
    scores, raw_logits = [], []
    attention_mask = model_kwargs.pop("attention_mask", None)
    if attention_mask is not None and bool((attention_mask != 0).all()):
        attention_mask = None
    unfinished = torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)
    # Written into one buffer that doubles: adding an event copies no other.
    length = input_ids.shape[1]
    events = _room(input_ids, 2 * length + 256)
    while True:
        known = events[:, :length]
        inputs = model.prepare_inputs_for_generation(known, attention_mask=attention_mask, **model_kwargs)
        logits = model(**inputs).logits[:, -1].float()
        processed = logits_processor(known, logits.clone() if wants_logits else logits)
        if generation_config.do_sample:
            chosen = torch.multinomial(processed.softmax(dim=-1), 1, generator=generator).squeeze(1)
        else:
            chosen = processed.argmax(dim=-1)
        if returns_dict and wants_scores:
            scores.append(processed)
        if returns_dict and wants_logits:
            raw_logits.append(logits)
        if ends and not bool(unfinished.all()):
            chosen = torch.where(unfinished, chosen, pad)
        if length == events.shape[1]:
            events = _room(events, 2 * length)
        events[:, length] = chosen
        length += 1
        if attention_mask is not None:
            attention_mask = torch.nn.functional.pad(attention_mask, (0, 1), value=1)
        if streamer is not None:
            streamer.put(chosen.cpu())
        unfinished = unfinished & ~stopping_criteria(events[:, :length], None)
        if not bool(unfinished.any()):
            break
    if streamer is not None:
        streamer.end()
    sequences = events[:, :length].clone()
    if not returns_dict:
        return sequences
    return GenerateDecoderOnlyOutput(
        sequences=sequences,
        scores=tuple(scores) if wants_scores else None,
        logits=tuple(raw_logits) if wants_logits else None,
        cache=model_kwargs.get("cache"),
    )


def _room(events: Tensor, capacity: int) -> Tensor:
    """The events (B, T) at the beginning of a buffer (B, capacity)."""
    buffer = events.new_zeros(len(events), capacity)
    buffer[:, : events.shape[1]] = events
    return buffer
