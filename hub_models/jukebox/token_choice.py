"""The choice of the next token: temperature, top-k, top-p, and draws that can be repeated."""

from collections.abc import Sequence

import torch
from torch import Tensor


class TokenChoice:
    """Draws tokens from logits.

    All random numbers are drawn beforehand, one for each token, on the generator's device: tokens depend on nothing but them
    and the logits. Logits are divided by the temperature; then all but the likeliest are dropped; then a token is the one at
    which the sum of probabilities passes the number.

    Args:
        batch_size (`int`): N.
        steps (`int`): tokens to draw in each row.
        temperature (`float`, defaults to 1): above 0.
        top_k (`int`, defaults to 0): see [`filter_logits`].
        top_p (`float`, defaults to 0): see [`filter_logits`].
        generator (`torch.Generator` or a sequence of N, *optional*): with one for each row, a row's numbers do not depend on
            the other rows.
        device (`torch.device`, *optional*): of the logits.

    Raises:
        ValueError: numbers that no distribution has, or two ways to cut it at once.
    """

    def __init__(
        self,
        batch_size: int,
        steps: int,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 0.0,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        device: torch.device | None = None,
    ):
        check_choice(temperature, top_k, top_p)
        self.steps, self.temperature, self.top_k, self.top_p = steps, temperature, int(top_k), top_p
        self.numbers = draw_numbers(batch_size, steps, generator).to(device)
        self.health = torch.zeros(batch_size, 1, dtype=torch.float64, device=device)

    def __call__(self, logits: Tensor, step: int | Tensor) -> Tensor:
        """Tokens (N,) from logits (N, V), for draw number `step`; a tensor (1,) where the device shall look it up."""
        numbers = self.numbers[step] if isinstance(step, int) else self.numbers.index_select(0, step).squeeze(0)
        logits = logits.float()
        if self.temperature != 1.0:
            logits = logits / self.temperature
        if self.top_k or self.top_p:
            logits = filter_logits(logits, self.top_k, self.top_p)
        cumulative = logits.softmax(dim=-1).cumsum(dim=-1, dtype=torch.float64)
        total = cumulative[:, -1:]
        self.health += total
        tokens = torch.searchsorted(cumulative, numbers.unsqueeze(1) * total, right=True)
        return tokens.squeeze(1).clamp_(max=logits.shape[-1] - 1)

    def check(self, count: int):
        """
        Raises:
            ValueError: logits so far were infinite or not numbers.
        """
        if not bool(self.health.isfinite().all()):
            raise ValueError(
                f"The model gave logits that are not finite numbers, at or before token {count}: its weights are damaged, "
                f"or their type cannot hold what it computes."
            )


def check_choice(temperature: float, top_k: int, top_p: float):
    """
    Raises:
        ValueError: numbers that no distribution has, or two ways to cut it at once.
    """
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temp must be above 0 and finite, got {temperature}; top_k=1 always takes the likeliest token.")
    if top_k < 0 or int(top_k) != top_k:
        raise ValueError(f"top_k must be a whole number from 0, got {top_k}.")
    if not 0 <= top_p <= 1:
        raise ValueError(f"top_p must be from 0 to 1, got {top_p}.")
    if top_k and top_p:
        raise ValueError(f"Give top_k or top_p, not both; got {top_k} and {top_p}.")


def filter_logits(logits: Tensor, top_k: int = 0, top_p: float = 0.0) -> Tensor:
    """Logits (N, V) of which all but the likeliest are minus infinity.

    Args:
        top_k (`int`, defaults to 0): so many stay, and those that are as likely as the last of them; 0: all.
        top_p (`float`, defaults to 0): those stay than which likelier ones have no more than this probability together;
            0: all.
    """
    if top_k:
        least = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[:, -1:]
        return logits.masked_fill(logits < least, -torch.inf)
    if top_p:
        ordered, order = logits.sort(dim=-1, descending=True)
        probabilities = ordered.softmax(dim=-1)
        dropped = probabilities.cumsum(dim=-1) - probabilities > top_p
        dropped = torch.zeros_like(dropped).scatter(-1, order, dropped)
        return logits.masked_fill(dropped, -torch.inf)
    return logits


def draw_numbers(
    batch_size: int, steps: int, generator: torch.Generator | Sequence[torch.Generator] | None = None
) -> Tensor:
    """Numbers from 0 to below 1, (steps, N) on the CPU, of one generator or of one for each row.

    Raises:
        ValueError: there are not as many generators as rows.
    """
    if isinstance(generator, Sequence):
        if len(generator) != batch_size:
            raise ValueError(f"There must be one generator for each of {batch_size} rows, got {len(generator)}.")
        return torch.stack([torch.rand(steps, generator=each, device=each.device).cpu() for each in generator], dim=1)
    device = None if generator is None else generator.device
    return torch.rand(steps, batch_size, generator=generator, device=device).cpu()
